"""From a folder to marks: each way a task can end, runs that stop, keys that change."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from functools import partial

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from mfcourse import cli
from mfcourse.grading import grade, key, results, sandbox
from mfcourse.grading.grade import Grader, much_alike
from mfcourse.grading.key import GradingError
from mfcourse.grading.results import Ledger
from mfcourse.grading.sandbox import Sandbox

pytestmark = pytest.mark.skipif(not shutil.which("bwrap"), reason="no bubblewrap here")
SHUT = Sandbox("bubblewrap")

KEY = '''
import numpy as np

from mfcourse.grading.key import Written, task

TITLE, INTRO = "A test", "Two tasks."
WRITTEN = (Written("why", 2, "Why?"),)


def few(rng):
    for n in (2, 3):
        yield {"x": rng.normal(size=n), "a": rng.normal()}


def many(rng):
    yield {"x": rng.normal(size=50), "a": 2.0}


@task(statement="", groups={"few": (1, few), "many": (2, many)}, mistakes={})
def scaled(x, a):
    """x: array; a: number. An array."""
    return a * x


@task(statement="", groups={"few": (3, few)}, mistakes={}, in_place=("x",))
def shift(x, a):
    """x: array, changed in place; a: number."""
    x += a
'''
RIGHT = (
    "import numpy as np",
    "def scaled(x, a):\n    return [a * v for v in x]",
    "def shift(x, a):\n    x[:] = x + a",
    "why = 'because'",
)


@pytest.fixture
def home(tmp_path):
    """A folder with a key; what is handed in goes to ``in``."""
    (tmp_path / "ps9.py").write_text(KEY)
    (tmp_path / "in").mkdir()
    return tmp_path


def hand_in(home, student, *cells):
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells or RIGHT])
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"  # the same notebook, the same bytes
    nbformat.write(notebook, home / "in" / f"{student}__PS9.ipynb")


def run(home, out="out", **options):
    made = key.read(home / "ps9.py", options.pop("secret", "a secret"))
    report = Grader(made, SHUT).grade(home / "in", home / out, **options)
    return {(r.student, r.task): r for r in report.results}, report


def test_right_answers_earn_all_and_each_group_stands_alone(home):
    hand_in(home, "anna")
    hand_in(home, "ben", "def scaled(x, a):\n    return a * x if len(x) > 9 else x")
    found, report = run(home, jobs=2)
    anna = found["anna", "scaled"]
    assert (anna.status, anna.points, anna.of) == ("ok", 3, 3)
    assert found["anna", "shift"].points == 3
    ben = found["ben", "scaled"]
    assert (ben.status, ben.points) == ("wrong", 2)
    few, many = ben.groups
    assert (few.status, few.points, few.right, few.cases) == ("wrong", 0, 0, 2)
    assert (many.status, many.points) == ("ok", 2)
    assert few.reason == "It gave back other numbers."
    assert found["ben", "shift"].status == "not_found"
    assert report.written == {"anna": {"why": "because"}}
    assert report.note.startswith("Marked in a sandbox (bubblewrap)")


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ("x = 1", "wrong", "None (is there a return?)"),
        ("return 'a'", "wrong", "no number, no array"),
        ("return a * x[:, None]", "wrong", "another shape"),
        ("return a * x * float('nan')", "wrong", "NaN where a number"),
        ("return [x, [1]]", "wrong", "another kind"),
        ("return x[99]", "crashed", "IndexError in code cell 1, line 3"),
        ("raise type('Mine', (KeyError,), {})", "crashed", "stopped with KeyError"),
        ("raise MemoryError", "memory_limit", ""),
        ("import os; os.abort()", "crashed", ""),
        ("return x.repeat(10**6)", "output_limit", ""),
        ("while True: pass", "time_limit", ""),
    ],
)
def test_how_a_task_can_end(home, monkeypatch, body, status, reason):
    monkeypatch.setattr(grade, "CALL", 0.5)
    hand_in(home, "anna", f"\ndef scaled(x, a):\n    {body}", *RIGHT[2:])
    found, _ = run(home)
    result = found["anna", "scaled"]
    assert (result.status, result.points) == (status, 0)
    assert reason in result.reason
    assert bool(reason) == bool(result.reason)
    assert found["anna", "shift"].status == "ok"


def test_a_timeout_costs_one_call(home, monkeypatch):
    monkeypatch.setattr(grade, "CALL", 0.7)
    loop = "def scaled(x, a):\n    while len(x) == 2: pass\n    return a * x"
    hand_in(home, "anna", loop)
    few, many = run(home)[0]["anna", "scaled"].groups
    assert (few.status, few.right, few.cases) == ("time_limit", 1, 2)
    assert many.status == "ok"


def test_time_is_limited_for_a_submission(home, monkeypatch):
    monkeypatch.setattr(grade, "CALL", 0.7)
    monkeypatch.setattr(grade, "ALL", 1.0)
    hand_in(home, "anna", "def scaled(x, a):\n    while True: pass", RIGHT[2])
    found, _ = run(home)
    assert found["anna", "shift"].status == "time_limit"
    assert "whole submission" in found["anna", "shift"].reason
    assert found["anna", "scaled"].seconds < 3


def test_a_source_that_does_not_load_is_tried_no_further(home, monkeypatch):
    monkeypatch.setattr(grade, "LOAD", 0.7)
    loop = "def endless():\n    while True: pass\n"
    hand_in(home, "anna", loop + "def scaled(x, a=endless()):\n    return a * x")
    hand_in(home, "ben", "def scaled(x, a=1 / 0):\n    return a * x")
    hand_in(home, "cleo", "import pandas\ndef scaled(x, a):\n    return pandas.x")
    found, _ = run(home)
    anna, ben, cleo = (found[name, "scaled"] for name in ("anna", "ben", "cleo"))
    assert anna.status == "time_limit"
    assert anna.seconds < 3
    assert (ben.status, cleo.status) == ("crashed", "crashed")
    assert "ZeroDivisionError in code cell 1, line 1" in ben.reason
    assert "ModuleNotFoundError in code cell 1, line 1" in cleo.reason


def test_a_notebook_of_another_class_is_for_a_person_and_keeps_its_marks(home):
    hand_in(home, "anna", 'ps9 = exercises.assignment("PS9_checks.json", "0123abcd")',
            *RIGHT)  # fmt: skip
    own = key.read(home / "ps9.py", "a secret").edition
    hand_in(home, "ben", f'x = y.assignment("PS9_checks.json", "{own}")', *RIGHT)
    found, report = run(home)
    assert {r.status for r in found.values()} == {"ok"}
    assert list(report.strange) == ["anna"]
    for name in ("class.html", "grades.csv"):
        text = (home / "out" / name).read_text(encoding="utf-8")
        assert text.count("of another edition") == 1


def test_what_is_not_written_yet_is_no_wrong_answer(home):
    hand_in(home, "anna", "def scaled(x, a):\n    'x: array.'\n    ...", RIGHT[2])
    found, _ = run(home)
    assert found["anna", "scaled"].status == "not_written"
    assert found["anna", "scaled"].points == 0


def test_a_try_out_in_a_later_cell_costs_nothing(home):
    hand_in(home, "anna", *RIGHT, "scaled = scaled(np.ones(2), 3)", "del shift")
    found, _ = run(home)
    assert {r.status for r in found.values()} == {"ok"}


def test_what_cannot_be_read_is_said(home):
    (home / "in" / "anna__PS9.ipynb").write_bytes(b"\xff")
    hand_in(home, "ben", "def scaled(:", "def shift(x, a): 1")
    hand_in(home, "Cleo")
    hand_in(home, "cleo")
    found, report = run(home)
    assert found["anna", "scaled"].status == "unreadable"
    assert found["ben", "scaled"].status == "syntax"
    assert set(report.flags) == {"Cleo", "cleo"}
    assert {student for student, _ in found} == {"anna", "ben"}


def test_a_key_or_machine_that_fails_is_for_a_person(home, monkeypatch):
    hand_in(home, "anna")
    path = home / "ps9.py"
    path.write_text(KEY.replace("return a * x", "return a * x[7]"))
    found, _ = run(home)
    assert (found["anna", "scaled"].status, found["anna", "scaled"].points) == (
        "grader_error", None,
    )  # fmt: skip
    assert found["anna", "shift"].status == "ok"

    path.write_text(KEY.replace("for n in (2, 3)", "for n in (2, 1 / 0)"))
    found, _ = run(home, out="third")
    assert found["anna", "scaled"].reason == (
        "The key of scaled fails: division by zero."
    )

    def no_process(*args):
        raise OSError(11, "no more processes")

    path.write_text(KEY)
    monkeypatch.setattr(Sandbox, "start", no_process)
    found, _ = run(home, out="second")
    assert "no more processes" in found["anna", "shift"].reason
    monkeypatch.undo()
    monkeypatch.setattr(sandbox, "_bubblewrap", lambda *a: ["false"])
    found, _ = run(home, out="second", resume=True)
    assert found["anna", "shift"].reason == (
        "The sandbox did not start on this machine."
    )
    monkeypatch.undo()
    found, _ = run(home, out="second", resume=True)
    assert {r.status for r in found.values()} == {"ok"}


# ---- Runs that go on -----------------------------------------------------------------


def graded(monkeypatch):
    """Every task that is run from now on."""
    real, seen = Grader._mark, []

    def mark(self, task, *rest):
        seen.append(task.name)
        return real(self, task, *rest)

    monkeypatch.setattr(Grader, "_mark", mark)
    return seen


def test_nothing_is_graded_twice_and_a_new_notebook_is(home, monkeypatch):
    hand_in(home, "anna")
    seen = graded(monkeypatch)
    first, _ = run(home)
    assert len(seen) == 2
    with pytest.raises(GradingError, match="Add --resume"):
        run(home)
    assert run(home, resume=True)[0] == first
    assert len(seen) == 2
    hand_in(home, "anna", RIGHT[1])
    hand_in(home, "ben")
    second, report = run(home, resume=True)
    assert len(seen) == 5
    assert second["anna", "shift"].status == "not_found"
    assert second["ben", "shift"].status == "ok"
    assert list(report.written) == ["ben"]


def test_another_key_is_refused_and_a_mended_task_graded_again(home, monkeypatch):
    hand_in(home, "anna")
    (home / "ps9.py").write_text(KEY.replace("return a * x", "return a * x + 1"))
    assert run(home)[0]["anna", "scaled"].points == 0
    (home / "ps9.py").write_text(KEY)
    with pytest.raises(GradingError, match="another key or secret"):
        run(home, resume=True)
    with pytest.raises(GradingError, match=r"no task norm. There are: scaled, shift"):
        run(home, regrade=["norm"])
    seen = graded(monkeypatch)
    found, _ = run(home, regrade=["scaled"])
    assert seen == ["scaled"]
    assert found["anna", "scaled"].points == 3
    assert run(home, resume=True)[0] == found
    with pytest.raises(GradingError, match="another key or secret"):
        run(home, resume=True, secret="another one")


def test_a_regrade_that_is_stopped_is_finished_by_resume(home, monkeypatch):
    for name in ("anna", "ben", "cleo"):
        hand_in(home, name)
    (home / "ps9.py").write_text(KEY.replace("return a * x", "return a * x + 1"))
    run(home)
    (home / "ps9.py").write_text(KEY)
    real, left = Ledger.append, [1]

    def stop(self, result):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        real(self, result)

    monkeypatch.setattr(Ledger, "append", stop)
    with pytest.raises(KeyboardInterrupt):
        run(home, regrade=["scaled"])
    monkeypatch.undo()
    found, _ = run(home, resume=True)
    assert {r.points for (_, task), r in found.items() if task == "scaled"} == {3}


def test_another_assignment_is_never_mixed_in(home):
    hand_in(home, "anna")
    run(home)
    other = home / "ps8.py"
    other.write_text(KEY)
    with pytest.raises(GradingError, match="is of PS9, not of PS8"):
        Grader(key.read(other, "a secret"), SHUT).grade(
            home / "in", home / "out", regrade=["scaled"]
        )


def test_a_task_whose_points_changed_is_graded_again(home):
    hand_in(home, "anna")
    run(home)
    (home / "ps9.py").write_text(KEY.replace('"few": (3, few)', '"few": (1, few)'))
    found, _ = run(home, regrade=["scaled"])
    assert (found["anna", "shift"].points, found["anna", "shift"].of) == (1, 1)


def test_results_do_not_go_among_the_submissions(home):
    hand_in(home, "anna")
    for out in ("in", "in/out"):
        with pytest.raises(GradingError, match="lies within"):
            run(home, out=out)


def test_a_file_that_cannot_be_read_again_is_for_a_person(home, monkeypatch):
    hand_in(home, "anna")

    def fails(self):
        raise OSError(5, "input or output error")

    monkeypatch.setattr(grade.Submission, "content", fails)
    found, _ = run(home, jobs=100_000)
    assert {r.status for r in found.values()} == {"grader_error"}
    monkeypatch.undo()
    found, _ = run(home, resume=True)
    assert {r.status for r in found.values()} == {"ok"}


def test_results_without_a_sandbox_are_not_mixed_with_others(home):
    hand_in(home, "anna")
    made = key.read(home / "ps9.py", "a secret")
    Grader(made, Sandbox("none")).grade(home / "in", home / "out")
    with pytest.raises(GradingError, match="another sandbox"):
        run(home, resume=True)


def test_an_answer_that_would_fill_the_graders_memory_does_not(home):
    wide = "def scaled(x, a):\n    return ['x' * 400_000] + [0] * 1_500"
    many = "def shift(x, a):\n    x[:] = 0\n    return [[]] * 1_900_000"
    hand_in(home, "anna", wide, many)
    found, _ = run(home)
    assert found["anna", "scaled"].reason == grade.UNFIT
    assert found["anna", "shift"].status == "wrong"


def test_a_class_with_hints_and_counters_is_no_trouble(home):
    cells = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "import pandas as pd",
        "@dataclass\nclass Row:\n    x: pd.Series\n    a: Number",
        "calls = 0",
        "def scaled(x: Vector, a: Number) -> Optional[Vector]:\n"
        "    global calls\n    calls += 1\n    row = Row(x, a)\n"
        "    return row.a * row.x",
    )
    hand_in(home, "anna", *cells, RIGHT[2])
    found, _ = run(home)
    assert {r.status for r in found.values()} == {"ok"}


def test_a_torn_line_is_dropped_and_a_strange_one_told(home):
    hand_in(home, "anna")
    first, _ = run(home)
    path = home / "out" / results.FILE
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    again, _ = run(home, resume=True)
    assert {k: r.points for k, r in again.items()} == {
        k: r.points for k, r in first.items()
    }
    last = whole.splitlines()[-1]
    wrong = last.replace(b'"points": 3', b'"points": 300')
    text = last.replace(b'"status": "ok"', b'"status": "fine"')
    for bad in (b"no json\n", b"[]\n", b'{"student": "x"}\n', b'{"groups": 7}\n',
                wrong + b"\n", text + b"\n",
                last.replace(b'"anna"', b'["anna"]') + b"\n",
                last.replace(b'"seconds": ', b'"seconds": -') + b"\n"):  # fmt: skip
        path.write_bytes(whole + bad)
        with pytest.raises(GradingError, match="line 4, is no result"):
            run(home, resume=True)


def test_only_one_process_grades_into_a_folder(home):
    hand_in(home, "anna")
    (home / "out").mkdir()
    ledger = Ledger(home / "out" / results.FILE, {"key": "x", "assignment": "PS9"})
    ledger.open(resume=False)
    with pytest.raises(GradingError, match="another process is grading"):
        run(home, resume=True)
    ledger.close()


def command(home, out, *more):
    return [
        sys.executable, "-m", "mfcourse", "grade", str(home / "in"), "--key",
        str(home / "ps9.py"), "--secret", "a secret", "--out", str(home / out),
        "--jobs", "2", *more,
    ]  # fmt: skip


def marks(folder):
    """Every result but for its seconds, and the sheet."""
    lines = (folder / results.FILE).read_text().splitlines()
    told = [json.loads(line) for line in lines if '"format"' not in line]
    pairs = [(t["student"], t["task"]) for t in told]
    assert len(pairs) == len(set(pairs))  # nothing was graded twice
    for line in told:
        del line["seconds"]
    return sorted(told, key=str), (folder / "grades.csv").read_bytes()


def test_a_run_that_is_killed_goes_on_to_the_same_marks(home, soak_share):
    for n in range(6):
        hand_in(home, f"s{n}", f"n = {n}", *RIGHT[: 2 + n % 3])
    subprocess.run(command(home, "calm"), check=True, capture_output=True)
    chance = random.Random(0)
    kills, resume = 0, []
    path = home / "stormy" / results.FILE
    while kills < 10 * max(soak_share, 0.3):
        shutil.rmtree(home / "stormy", ignore_errors=True)
        resume = []
        for _ in range(2):
            wanted = chance.randint(1, 10)
            kills += cut_off(command(home, "stormy", *resume), path, wanted)
            resume = ["--resume"] if path.exists() else []
        done = subprocess.run(
            command(home, "stormy", *resume), check=True, capture_output=True
        )
        assert b"ok" in done.stdout
        assert marks(home / "stormy") == marks(home / "calm")


def cut_off(command, path, wanted):
    """Kill a run once its file has some lines; whether it was still on."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    while process.poll() is None:
        if path.exists() and path.read_bytes().count(b"\n") > wanted:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
    return False


def test_ctrl_c_stops_at_once_and_says_how_to_go_on(home):
    hand_in(home, "anna", "def scaled(x, a):\n    while True: pass")
    hand_in(home, "ben")
    # A shell in the background has its children ignore Ctrl-C.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(
        command(home, "out"), stderr=subprocess.PIPE, preexec_fn=heed
    )
    path = home / "out" / results.FILE
    while not (path.exists() and path.read_bytes().count(b"\n") > 2):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"with --resume goes on" in said
    assert b"Traceback" not in said


# ---- Copies --------------------------------------------------------------------------


def test_copies_are_listed_and_what_all_have_is_no_copy():
    common, own = set(range(100)), set(range(1000, 1100))
    prints = {f"s{n}": frozenset(common | {200 + n}) for n in range(10)}
    prints["a"] = frozenset(common | own)
    prints["b"] = frozenset(common | own - {1000})
    prints["c"] = frozenset(range(5000, 5010))  # too little to say
    assert much_alike(prints) == [("a", "b", 0.99)]


# ---- The command ---------------------------------------------------------------------


def test_the_command_grades_and_says_where_to_look(home, capsys):
    hand_in(home, "anna")
    hand_in(home, "ben", RIGHT[1])
    code = cli.main(command(home, "out")[3:])
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "ok             3 tasks" in said.out
    assert "not_found      1 task\n" in said.out
    with (home / "out" / "grades.csv").open(encoding="utf-8-sig") as file:
        rows = {row["Student"]: row for row in csv.DictReader(file)}
    assert rows["anna"]["PS9 scaled (3)"] == "3"
    assert rows["ben"]["PS9 shift (3)"] == "0"
    page = (home / "out" / "class.html").read_text(encoding="utf-8")
    assert "bubblewrap" in page


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--jobs", "0"], "expected 1 or more"),
        (["--key", "PS7"], "there is no key PS7. There are: PS1, PS2, PS3"),
        (["--key", "PS1", "--secret", ""], "add --secret"),
        (["--regrade", "norm"], "no task norm"),
    ],
)
def test_wrong_words_are_answered_in_a_sentence(home, capsys, words, says):
    hand_in(home, "anna")
    assert cli.main([*command(home, "out")[3:], *words]) == 1
    assert says in capsys.readouterr().err


def test_without_a_sandbox_only_on_request_and_it_is_printed(home, capsys, monkeypatch):
    hand_in(home, "anna")
    monkeypatch.setenv("PATH", "/nowhere")
    assert cli.main(command(home, "out")[3:]) == 1
    assert "no sandbox on this machine" in capsys.readouterr().err
    assert cli.main([*command(home, "out")[3:], "--unsafe-no-sandbox"]) == 0
    assert "UNSAFE" in capsys.readouterr().out
    for name in ("class.html", "students/anna.html", "grades.csv"):
        assert "UNSAFE" in (home / "out" / name).read_text(encoding="utf-8")


def test_written_answers_are_marked_in_the_sheet_and_merged(home):
    hand_in(home, "anna")
    run(home)
    sheet = home / "out" / "written.csv"
    text = sheet.read_text(encoding="utf-8-sig")
    assert "because" in text
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    (row,) = (row for row in rows if row["Student"] == "anna")
    row["Mark"] = "1.5"
    with sheet.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)
    run(home, resume=True)
    with (home / "out" / "grades.csv").open(encoding="utf-8-sig") as file:
        (graded,) = csv.DictReader(file)
    assert graded["PS9 (8)"] == "7.5"


def test_a_mark_is_of_the_answer_that_was_marked(home):
    hand_in(home, "anna")
    hand_in(home, "ben")
    run(home)
    sheet = home / "out" / "written.csv"
    text = sheet.read_text(encoding="utf-8-sig").replace("because,,", "because,2,fine")
    assert text.count("because,2,fine") == 2
    sheet.write_text(text, encoding="utf-8")
    hand_in(home, "anna", *RIGHT[:3], "why = 'on second thought'")
    run(home, resume=True)
    with (home / "out" / "grades.csv").open(encoding="utf-8-sig") as file:
        anna, ben = csv.DictReader(file)
    assert (anna["PS9 why (2)"], ben["PS9 why (2)"]) == ("", "2")
    told = sheet.read_text(encoding="utf-8-sig")
    assert "on second thought,,(2 before the answer changed) fine" in told


def test_practice_can_be_graded(home, capsys):
    from mfcourse import exercises

    ex = exercises.msd_similarity
    hand_in(home, "anna", "import numpy as np", ex.source)
    words = ["grade", str(home / "in"), "--key", "practice", "--secret", "some words"]
    assert cli.main([*words, "--out", str(home / "out")]) == 0
    assert "ok             1 task\n" in capsys.readouterr().out
