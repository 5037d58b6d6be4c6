"""An assignment for a class, and the look at a notebook before it is handed in."""

import json
import shutil
import stat

import nbformat
import pytest

from mfcourse import cli
from mfcourse.grading import assignment
from mfcourse.grading.key import GradingError
from tests.conftest import ROOT

SECRET = "words of a class"


@pytest.fixture
def folder(tmp_path):
    """A PS1 as a student has it."""
    student, _ = assignment.make("PS1", SECRET, tmp_path / "autumn")
    return student


def written(folder, name="PS1.ipynb", **cells):
    """The student's notebook with other cells, by their id."""
    notebook = nbformat.read(folder / "PS1.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = cells.get(cell.id.replace("-", "_"), cell.source)
    nbformat.write(notebook, folder / name)
    return folder / name


def looked(path, **options):
    return {one.name: one for one in assignment.precheck(path, **options)}


# ---- assignment new ------------------------------------------------------------------


def test_students_get_a_folder_without_a_solution(tmp_path, capsys):
    words = ["assignment", "new", "PS1", "--secret", SECRET, "--out", str(tmp_path)]
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert str(tmp_path / "PS1-key") in said
    names = {path.name for path in (tmp_path / "PS1").iterdir()}
    assert names == {"PS1.ipynb", "PS1_checks.json", "README.txt"}
    given = "".join(p.read_text("utf-8") for p in (tmp_path / "PS1").iterdir())
    assert SECRET not in given
    made = assignment.load(str(tmp_path / "PS1-key"))
    for task in made.tasks.values():
        assert task.starter in "\n".join(
            cell.source for cell in assignment.notebook(made).cells
        )
        last = task.source.splitlines()[-1].strip()
        assert last.startswith("return")
        assert last not in given


def test_the_key_is_for_its_owner_alone(tmp_path):
    _, own = assignment.make("PS2", SECRET, tmp_path)
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    made, known = assignment.load(str(own)), assignment.load("PS2", SECRET)
    assert made.digest == known.digest
    sources = [task.source for task in made.tasks.values()]
    assert sources == [task.source for task in known.tasks.values()]


def test_the_same_secret_makes_the_same_and_another_one_another(tmp_path):
    texts = []
    for n, secret in enumerate((SECRET, SECRET, "words of another")):
        student, _ = assignment.make("PS3", secret, tmp_path / str(n))
        texts.append((student / "PS3.ipynb").read_bytes())
    assert texts[0] == texts[1] != texts[2]


def test_a_secret_is_drawn_where_none_is_given(tmp_path, capsys):
    secrets = set()
    for n in range(2):
        out = str(tmp_path / str(n))
        assert cli.main(["assignment", "new", "PS1", "--out", out]) == 0
        told = json.loads((tmp_path / str(n) / "PS1-key" / "key.json").read_text())
        secrets.add(told["secret"])
    assert len(secrets) == 2
    assert min(map(len, secrets)) >= 24


def test_force_keeps_the_secret_unless_another_is_given(tmp_path, capsys):
    words = ["assignment", "new", "PS1", "--out", str(tmp_path)]
    own = tmp_path / "PS1-key" / "key.json"
    assert cli.main(words) == 0
    first = own.read_text()
    assert cli.main(words) == 1
    assert cli.main([*words, "--force"]) == 0
    assert own.read_text() == first
    assert cli.main([*words, "--force", "--secret", SECRET]) == 0
    assert SECRET in own.read_text()
    capsys.readouterr()


def test_the_students_folder_is_no_key(folder):
    with pytest.raises(GradingError, match=r"students' folder. Give .*PS1-key"):
        assignment.load(str(folder))


def test_a_notebook_of_another_class_is_noticed(folder, tmp_path, monkeypatch):
    other, _ = assignment.make("PS1", "words of another", tmp_path / "other")
    shutil.copy(other / "PS1.ipynb", folder / "anna__PS1.ipynb")
    found = looked(folder / "anna__PS1.ipynb")
    assert found["edition"].state == "problem"
    assert "edition" not in looked(folder / "PS1.ipynb")
    setup = nbformat.read(other / "PS1.ipynb", as_version=4).cells[2].source
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError, match="copy both again"):
        exec(setup, {})
    monkeypatch.chdir(other)
    exec(setup, {})


def test_the_sample_says_that_it_is_one():
    sample = assignment.load("PS1", assignment.SAMPLE)
    assert "the course's own PS1" in assignment.notebook(sample).cells[1].source
    own = assignment.load("PS1", SECRET)
    assert "the course's own PS1" not in assignment.notebook(own).cells[1].source


def test_what_is_there_is_not_replaced_unasked(folder):
    out = folder.parent
    (folder / "PS1.ipynb").write_text("mine")
    with pytest.raises(GradingError, match="Choose another --out"):
        assignment.make("PS1", SECRET, out)
    assert (folder / "PS1.ipynb").read_text() == "mine"
    assignment.make("PS1", SECRET, out, force=True)
    assert (folder / "PS1.ipynb").read_text() != "mine"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["new", "PS1", "--secret", "short"], "too short"),
        (["new", "PS7"], "there is no key PS7"),
        (["new", "nowhere/exam.py"], "is no Python file of a key"),
    ],
)
def test_wrong_words_are_answered_in_a_sentence(tmp_path, capsys, words, says):
    assert cli.main(["assignment", *words, "--out", str(tmp_path)]) == 1
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_key_of_ones_own_is_taken_by_its_path(tmp_path):
    path = tmp_path / "exam.py"
    shutil.copy(ROOT / "instructor" / "ps2.py", path)
    student, own = assignment.make(str(path), SECRET, tmp_path)
    assert (student / "EXAM.ipynb").is_file()
    assert assignment.load(str(own)).name == "EXAM"


def test_a_damaged_key_folder_is_told(tmp_path):
    (tmp_path / "key.json").write_text("{}")
    with pytest.raises(GradingError, match="damaged"):
        assignment.load(str(tmp_path))
    with pytest.raises(GradingError, match="add --secret"):
        assignment.load("PS1")


def test_the_assignments_are_listed(capsys, monkeypatch):
    assert cli.main(["assignment"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        ["PS1", "20"], ["PS2", "20"], ["PS3", "27"],
    ]  # fmt: skip
    monkeypatch.setattr(assignment, "_places", lambda: [])
    with pytest.raises(GradingError, match="There are: none here"):
        assignment.find("PS1")


# ---- precheck ------------------------------------------------------------------------


def test_an_untouched_notebook_is_not_ready(folder, capsys):
    path = str(folder / "PS1.ipynb")
    assert cli.main(["precheck", path]) == 1
    said = capsys.readouterr().out
    assert said.count("it is not written yet") == 5
    assert "hand it in as YOURNAME__PS1.ipynb" in said


def test_what_would_be_collected_is_shown(folder, capsys):
    cells = {
        "setup": "import numpy as np\nimport pandas as pd\ntable = np.ones(3)",
        "rmse_code": "def mean(x):\n    return np.mean(x)",
        "hand_in": "",
    }
    task = assignment.load("PS1", SECRET).tasks["rmse"]
    head = task.source.splitlines()[0]
    cells["recall_at_n_code"] = f"{head}\n    return mean(R) + table"
    cells["shrunk_cosine_code"] = "def shrunk_cosine(x, y):\n    return pd.NA"
    cells["masked_objective_code"] = "def masked_objective(:"
    cells["sgd_step_code"] = "def sgd_step(U_u):\n    return [U_u]"
    path = written(folder, "anna__PS1.ipynb", **cells)
    found = looked(path)
    assert found["anna__PS1.ipynb"].says == "from anna"
    rmse = found["rmse"]
    assert rmse.where == "code cells 1, 2, 3"
    assert "leans on table" in rmse.says
    assert "def mean(x)" in rmse.source
    assert "imports pandas" in found["shrunk_cosine"].says
    assert "no valid Python" in found["masked_objective"].says
    assert found["sgd_step"].state == "ok"
    assert "no cell defines it" in found["recall_at_n"].says
    assert cli.main(["precheck", str(path), "--show", "sgd_step"]) == 0
    assert capsys.readouterr().out.startswith("import") is False
    assert cli.main(["precheck", str(path), "--show", "recall_at_n"]) == 1
    assert "nothing would be collected" in capsys.readouterr().err


def test_a_ready_notebook_is_said_to_be(tmp_path, capsys):
    student, own = assignment.make("PS3", SECRET, tmp_path)
    notebook = nbformat.read(student / "PS3.ipynb", as_version=4)
    for cell in notebook.cells:
        for task in assignment.load(str(own)).tasks.values():
            cell.source = cell.source.replace(task.starter, task.source)
        cell.source = cell.source.replace("\n...\n", "\nIt does not follow.\n")
    nbformat.write(notebook, student / "anna__PS3.ipynb")
    assert cli.main(["precheck", str(student / "anna__PS3.ipynb")]) == 0
    assert "4 words" in capsys.readouterr().out


def test_precheck_runs_nothing(folder, tmp_path):
    trap = tmp_path / "trap"
    cell = f"open({str(trap)!r}, 'w')\ndef rmse(x, y=open({str(trap)!r})): return 1"
    assert looked(written(folder, rmse_code=cell))["rmse"].state == "ok"
    assert not trap.exists()


def test_lessons_can_be_looked_at(capsys):
    path = ROOT / "notebooks" / "01_neighborhood_baseline.ipynb"
    found = looked(path, where="practice")
    assert found["msd_similarity"].says == "it is not written yet"
    with pytest.raises(GradingError, match="0 files of checks"):
        assignment.precheck(path)


def test_precheck_tells_what_it_cannot_read(folder, tmp_path, capsys):
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(GradingError, match="no file of checks"):
        assignment.precheck(folder / "PS1.ipynb", str(tmp_path / "x.json"))
    (folder / "PS1.ipynb").write_text("no json")
    (one,) = assignment.precheck(folder / "PS1.ipynb")
    assert one.says == "cannot be read: it is no JSON"
    assert cli.main(["precheck", str(folder / "nowhere.ipynb")]) == 1
    assert "Go to its folder with cd" in capsys.readouterr().err
