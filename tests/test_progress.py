"""The log of progress: nothing confirmed is lost, and the lesson goes on."""

import json
import os
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from mfcourse import learn
from mfcourse.learn import bank, progress
from mfcourse.learn.progress import Event, ProgressError

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty folder for the log, recording on, nothing noted before."""
    monkeypatch.setenv("MFCOURSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MFCOURSE_RECORD", "1")
    monkeypatch.setattr(progress, "_wrong", "")
    monkeypatch.setattr(progress, "_damaged", "")
    return tmp_path / "home"


def answer(subject="01.1", right=True, **more):
    return progress.record("answer", subject, choice="é·λ", right=right, **more)


def passed(lesson, number, helped=False):
    name = f"{lesson}-{number}"
    data = {"lesson": lesson, "number": number, "helped": helped}
    return progress.record("passed", name, once=True, **data)


def python(code: str, *args: object, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        **options,
    )


# ---- Writing and reading -------------------------------------------------------------


def test_an_event_comes_back_as_it_was(home):
    assert progress.events() == []
    assert not home.exists()  # looking leaves no trace
    assert answer("02.3", stars=4.5, why=None, list=[1, {"a": "\ud83d\n"}]) == ""
    (event,) = progress.events()
    assert (event.kind, event.subject) == ("answer", "02.3")
    assert event.data["choice"] == "é·λ"
    assert event.data["list"] == [1, {"a": "\ud83d\n"}]
    at = datetime.fromisoformat(event.at)
    assert abs(datetime.now().astimezone() - at) < timedelta(minutes=5)
    assert at.utcoffset() == datetime.now().astimezone().utcoffset()


def test_events_are_told_apart_by_kind_oldest_first():
    for number in range(5):
        progress.record("rated", str(number), stars=number)
        answer(f"01.{number}")
    assert [e.subject for e in progress.events("rated")] == ["0", "1", "2", "3", "4"]
    assert len(progress.events()) == 10
    assert progress.events("passed") == []


def test_once_means_the_first_counts():
    assert passed("01", 1) == passed("01", 1, helped=True) == ""
    (event,) = progress.events()
    assert event.data["helped"] is False


def test_nothing_is_recorded_where_recording_is_off(home, monkeypatch):
    monkeypatch.setenv("MFCOURSE_RECORD", "0")
    assert not progress.recording()
    assert answer() == ""
    assert not home.exists()


@pytest.mark.parametrize(
    "value", [float("nan"), {1: "a"}, (1, 2), {1, 2}, b"x", "x" * 3_000]
)
@pytest.mark.parametrize("on", ["0", "1"])
def test_data_that_would_not_come_back_is_a_mistake_of_the_caller(
    value, on, monkeypatch
):
    monkeypatch.setenv("MFCOURSE_RECORD", on)
    with pytest.raises((TypeError, ValueError), match="JSON"):
        progress.record("rated", "1", value=value)
    assert progress.events() == []


def test_the_folder_is_the_users_own_unless_it_is_named(monkeypatch):
    monkeypatch.setenv("MFCOURSE_HOME", "~/here")
    assert progress.folder() == Path.home() / "here"
    monkeypatch.setenv("MFCOURSE_HOME", "")
    assert progress.folder().name == "mfcourse"
    assert progress.folder().is_absolute()


def test_a_folder_named_once_stays_there(home, monkeypatch, tmp_path):
    monkeypatch.setenv("MFCOURSE_HOME", "kept-here")
    monkeypatch.chdir(tmp_path)
    before = progress.folder()
    monkeypatch.chdir(tmp_path.parent)
    assert progress.folder() == before == tmp_path / "kept-here"
    monkeypatch.setenv("MFCOURSE_HOME", "~nobody-of-that-name/x")
    assert progress.events() == []


def test_only_true_counts_as_right_and_helped():
    progress.record("answer", "01.1", right="no")
    progress.record("passed", "x", lesson="01", number=1, helped="no")
    assert progress.summary().xp == progress.XP_EXERCISE


def test_an_export_is_not_written_over_the_log_or_a_folder(home):
    answer()
    for path in (home / "progress.sqlite", home, ""):
        with pytest.raises(progress.ProgressError, match="Name"):
            progress.export(path)
    assert len(progress.events()) == 1


def test_data_too_deep_is_broken(tmp_path):
    deep = "[" * 900 + "]" * 900
    row = {"at": "2026-01-01T00:00:00+00:00", "kind": "a", "subject": "b", "key": "c"}
    content = {"format": progress.FORMAT, "version": 1, "events": [row | {"data": 0}]}
    path = tmp_path / "deep.json"
    path.write_text(
        json.dumps(content).replace('"data": 0', f'"data": {{"x": {deep}}}')
    )
    with pytest.raises(progress.ProgressError):
        progress.import_(path)


def test_the_module_loads_no_package():
    code = "import sys; import mfcourse.learn.progress; print(*sys.modules)"
    names = {name.split(".")[0] for name in python(code).stdout.split()}
    assert not names & {"numpy", "pandas", "anywidget", "platformdirs", "IPython"}


# ---- Many at once, and kills ---------------------------------------------------------

WRITE = """if True:
    import sys
    from mfcourse.learn import progress
    for number in range(int(sys.argv[2])):
        said = progress.record("answer", f"{sys.argv[1]}.{number}", right=True)
        print(said or f"{sys.argv[1]}.{number}", flush=True)
"""


@pytest.mark.soak
def test_eight_processes_lose_no_event(soak_share):
    each = round(500 * soak_share)
    began = time.perf_counter()
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE, str(writer), str(each)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for writer in range(8)
    ]
    said = [line for w in writers for line in w.communicate()[0].splitlines()]
    print(f"{8 * each} events in {time.perf_counter() - began:.1f} s")
    wanted = sorted(f"{writer}.{n}" for writer in range(8) for n in range(each))
    assert sorted(said) == wanted
    assert sorted(event.subject for event in progress.events()) == wanted
    assert progress.notice() == ""


# Children that write until they are killed: some events later, and then amid one. To
# start a Python for each would take most of the time.
KILLS = """if True:
    import os, signal, sys, time
    from mfcourse.learn import progress
    for line in sys.stdin:
        round_, count, delay = line.split()
        out, into = os.pipe()
        if not (child := os.fork()):
            number = 0
            while True:
                said = progress.record("answer", f"{round_}.{number}", right=True)
                os.write(into, f"{said or number}\\n".encode())
                number += 1
        os.close(into)
        with os.fdopen(out) as pipe:
            said = [pipe.readline() for _ in range(int(count))]
            until = time.perf_counter() + float(delay)
            while time.perf_counter() < until:
                pass
            os.kill(child, signal.SIGKILL)
            said += pipe.readlines()
        os.waitpid(child, 0)
        print(*map(str.strip, said), flush=True)
"""


@pytest.mark.soak
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills with POSIX signals")
def test_a_kill_at_any_moment_loses_no_confirmed_event(soak_share, home):
    rng = random.Random(5)
    kills, confirmed, amid = round(200 * soak_share), set(), 0
    with subprocess.Popen(
        [sys.executable, "-c", KILLS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as parent:
        for round_ in range(kills):
            asked = round_, rng.randrange(4), rng.uniform(0, 0.02)
            print(*asked, file=parent.stdin, flush=True)
            said = parent.stdout.readline().split()
            confirmed |= {f"{round_}.{number}" for number in said}
            amid += (home / "progress.sqlite-journal").exists()
            there = {event.subject for event in progress.events()}
            assert confirmed <= there
            assert progress.notice() == ""
        parent.stdin.close()
    print(f"{kills} kills, {len(confirmed)} confirmed, {amid} amid a transaction")
    assert len(there - confirmed) <= kills  # at most the one that was being confirmed
    assert amid
    assert answer() == ""


# ---- Trouble with the file -----------------------------------------------------------


def test_a_folder_that_cannot_be_is_a_notice_and_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for home in (tmp_path / "file", tmp_path / "file" / "below"):
        monkeypatch.setenv("MFCOURSE_HOME", str(home))
        said = answer()
        assert said.startswith("Your progress is not being saved: ")
        assert str(home) in said
        assert "MFCOURSE_HOME" in said
        assert progress.notice() == said
        with pytest.raises(ProgressError, match="MFCOURSE_HOME"):
            progress.reset()


def test_a_folder_in_place_of_the_file_is_left_alone(home):
    (home / "progress.sqlite").mkdir(parents=True)
    assert "unable to open" in answer()
    assert progress.events() == []
    assert "unable to open" in progress.notice()
    assert (home / "progress.sqlite").is_dir()


def test_trouble_that_has_passed_is_not_told_again(home):
    (home / "progress.sqlite").mkdir(parents=True)
    assert answer()
    (home / "progress.sqlite").rmdir()
    assert answer() == progress.notice() == ""


READ_ONLY = """if True:
    import json, os, sys
    from pathlib import Path
    from mfcourse.learn import progress
    for path in Path(os.environ["MFCOURSE_HOME"]).iterdir():
        path.chmod(0o444)
    Path(os.environ["MFCOURSE_HOME"]).chmod(int(sys.argv[1], 8))
    if os.geteuid() == 0:
        os.seteuid(65534)  # rights do not bind root
    said = progress.record("answer", "01.2", right=True)
    events = [event.subject for event in progress.events()]
    print(json.dumps([said, events, progress.notice()]))
"""


@pytest.fixture
def shared_home(monkeypatch):
    """A home that other users may reach, too."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        monkeypatch.setenv("MFCOURSE_HOME", f"{folder}/home")
        yield Path(folder, "home")
        Path(folder, "home").chmod(0o755)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights of POSIX")
@pytest.mark.parametrize("rights", ["555", "777"])
def test_a_read_only_file_is_read_and_the_lesson_goes_on(shared_home, rights):
    answer("01.1")
    said, events, notice = json.loads(python(READ_ONLY, rights).stdout)
    assert "not being saved" in said
    assert "Check the rights" in said
    assert (events, notice) == (["01.1"], "")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights of POSIX")
def test_a_damaged_read_only_file_gives_what_can_be_read(shared_home):
    answer("01.1")
    overwrite(shared_home / "progress.sqlite", 0, bytes(100))
    said, events, notice = json.loads(python(READ_ONLY, "555").stdout)
    assert "not being saved" in said
    assert events == ["01.1"]
    assert "damaged; 1 events could be read" in notice
    assert "rights" in notice
    assert len(list(shared_home.iterdir())) == 2


FULL = """if True:
    import json, resource
    from mfcourse.learn import progress
    for number in range(20):
        assert progress.record("answer", "01.1", right=True) == ""
    size = progress._file().stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    said = [progress.record("answer", "01.2", text=2_000 * "x") for _ in range(20)]
    print(json.dumps([said, len(progress.events()), progress.notice()]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a limit of POSIX")
def test_a_file_that_cannot_grow_keeps_what_was_confirmed():
    said, count, notice = json.loads(python(FULL).stdout)
    confirmed = said.count("")
    assert confirmed < 20
    assert count == 20 + confirmed
    assert {s[:33] for s in said} <= {"", "Your progress is not being saved: "[:33]}
    assert notice == ""
    assert answer() == ""


def test_a_full_disk_is_told_as_such(monkeypatch):
    for _ in range(20):
        answer()
    real = progress._connect

    def small(path, mode):
        log = real(path, mode)
        pages = log.execute("PRAGMA page_count").fetchone()[0]
        log.execute(f"PRAGMA max_page_count = {pages}")
        return log

    monkeypatch.setattr(progress, "_connect", small)
    said = [answer(text=2_000 * "x") for _ in range(20)]
    assert "the disk is full" in said[-1]
    assert "Free some space" in said[-1]
    assert len(progress.events()) == 20 + said.count("")
    monkeypatch.undo()


def test_a_log_that_another_holds_is_busy(monkeypatch):
    answer()
    monkeypatch.setattr(progress, "_WAIT_S", 0.01)
    with progress._lock():
        assert "busy" in answer()
    assert answer() == ""


def test_a_log_of_a_newer_version_is_left_as_it_is(home, tmp_path):
    answer()
    set_version(home / "progress.sqlite", progress.VERSION + 1)
    before = (home / "progress.sqlite").read_bytes()
    assert "Update mfcourse" in answer()
    assert progress.events() == []
    assert "Update mfcourse" in progress.notice()
    for use in (progress.reset, lambda: progress.export(tmp_path / "e.json")):
        with pytest.raises(ProgressError, match="Update mfcourse"):
            use()
    assert (home / "progress.sqlite").read_bytes() == before
    assert not list(tmp_path.glob("*.json"))
    assert not list(home.glob("*.json"))


def set_version(path, version):
    log = sqlite3.connect(path)
    log.execute(f"PRAGMA user_version = {version}")
    log.close()


# ---- Damage --------------------------------------------------------------------------


def overwrite(path, at, new):
    with path.open("r+b") as file:
        file.seek(at)
        file.write(new)


def kept(home):
    return list(home.glob("progress-damaged-*.sqlite"))


@pytest.mark.parametrize("content", [b"Dear diary", b"x" * 100_000, b"\0" * 5_000])
@pytest.mark.parametrize("first", ["read", "write"])
def test_a_file_that_is_no_log_is_set_aside(home, content, first):
    home.mkdir()
    (home / "progress.sqlite").write_bytes(content)
    if first == "read":
        assert progress.events() == []
        assert answer() == ""
    else:
        assert "damaged" in answer()
    assert len(progress.events()) == 1
    (aside,) = kept(home)
    assert aside.read_bytes() == content
    assert str(aside) in progress.notice()
    assert str(date.today()) in aside.name


@pytest.mark.parametrize(
    "made",
    ["CREATE TABLE event (mine TEXT)", "CREATE TABLE event (id, key UNIQUE, line)",
     "PRAGMA application_id = 7"],
)  # fmt: skip
def test_a_database_of_another_program_is_set_aside(home, made):
    home.mkdir()
    other = sqlite3.connect(home / "progress.sqlite")
    other.execute(made)
    other.close()
    assert "damaged" in answer()
    assert len(progress.events()) == len(kept(home)) == 1


def test_an_empty_file_is_a_log_to_be(home):
    home.mkdir()
    (home / "progress.sqlite").write_bytes(b"")
    assert progress.events() == []
    assert answer() == ""
    assert kept(home) == []


def test_the_middle_overwritten_costs_only_what_was_there(home):
    for number in range(300):
        answer(f"01.{number}")
    path = home / "progress.sqlite"
    whole = path.read_bytes()
    pages = len(whole) // 4096
    lost = {}
    for page in range(pages):
        for other in home.iterdir():
            other.unlink()
        path.write_bytes(whole)
        overwrite(path, 4096 * page, random.Random(page).randbytes(4096))
        there = {event.subject for event in progress.events()}
        assert "damaged" in progress.notice()
        assert f"{len(there)} events could be read" in progress.notice()
        assert len(kept(home)) == 1
        assert answer("02.1") == ""
        assert len(progress.events()) == len(there) + 1
        lost[page] = 300 - len(there)
    assert sum(lost.values()) == 300  # each event lies in one page, and in no other
    assert max(lost.values()) < 30
    assert lost[0] == lost[1] == 0  # the header, and the top of the tree


@pytest.mark.soak
@pytest.mark.parametrize("first", ["read", "write"])
def test_any_damage_is_seen_and_costs_no_whole_line(home, first, soak_share):
    for number in range(300):
        answer(f"01.{number}")
    path = home / "progress.sqlite"
    whole, rng = path.read_bytes(), random.Random(first)
    for _ in range(round(300 * soak_share)):
        for other in home.iterdir():
            other.unlink()
        size = rng.choice([1, 8, 64, 512, 4096])
        at = rng.randrange(len(whole) - size)
        broken = bytearray(whole)
        broken[at : at + size] = rng.choice([bytes(size), rng.randbytes(size)])
        path.write_bytes(broken if rng.random() < 0.9 else whole[:at])
        lines = {event.key for event in progress._search(path)}
        said = progress.record("new", "x", once=True) if first == "write" else ""
        there = {event.key for event in progress.events()}
        if "newer" in progress.notice():  # the version itself was hit
            continue
        assert lines <= there
        assert first == "read" or "new:x" in there or "not being saved" in said
        assert len(there - {"new:x"}) == 300 or "damaged" in progress.notice()


def test_a_changed_byte_in_an_event_is_no_other_answer(home):
    answer("01.1", right=True)
    answer("01.2", right=True)
    path = home / "progress.sqlite"
    overwrite(path, path.read_bytes().rindex(b"01.1"), b"01.3")
    assert [event.subject for event in progress.events()] == ["01.2"]
    assert "1 events could be read" in progress.notice()


def test_a_line_that_lies_there_twice_is_one_event(home):
    answer("01.1")
    path = home / "progress.sqlite"
    path.write_bytes(bytes(100) + path.read_bytes()[100:] * 2)  # as old pages do
    assert len(progress.events()) == 1
    assert " 1 events" in progress.notice()


def test_two_that_find_damage_repair_it_once(home):
    for number in range(50):
        answer(f"01.{number}")
    overwrite(home / "progress.sqlite", 0, bytes(4096))
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITE, str(n), "20"], cwd=ROOT,
                         stdout=subprocess.DEVNULL)
        for n in range(4)
    ]  # fmt: skip
    assert [writer.wait() for writer in writers] == [0] * 4
    assert len(progress.events()) == 50 + 4 * 20
    assert len(kept(home)) == 1
    assert not (home / "progress-new.sqlite").exists()


def test_what_another_has_repaired_meanwhile_is_not_repaired_again(home, monkeypatch):
    answer()
    overwrite(home / "progress.sqlite", 0, bytes(4096))
    lock = progress._lock

    @contextmanager
    def after_another():
        with lock():
            progress._repair()
            yield

    monkeypatch.setattr(progress, "_lock", after_another)
    assert len(progress.events()) == len(kept(home)) == 1


def test_a_damaged_log_can_be_reset(home):
    answer()
    (home / "progress-new.sqlite").write_text("left by a repair that was killed")
    overwrite(home / "progress.sqlite", 0, bytes(100))
    backup = progress.reset()
    assert progress.events() == []
    assert len(kept(home)) == 1
    assert progress.import_(backup) == 1


def test_damage_that_no_repair_cures_is_told(home, monkeypatch):
    answer()
    overwrite(home / "progress.sqlite", 0, bytes(100))
    monkeypatch.setattr(progress, "_repair", list)
    assert "the log is damaged" in answer()


def test_a_repair_that_fails_leaves_the_file_and_gives_what_can_be_read(
    home, monkeypatch
):
    answer()
    overwrite(home / "progress.sqlite", 0, bytes(100))
    damaged = (home / "progress.sqlite").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(progress.shutil, "copyfile", full)
    assert len(progress.events()) == 1
    assert "No space left" in progress.notice()
    assert "the disk is full" in answer("01.2")
    assert (home / "progress.sqlite").read_bytes() == damaged


# ---- Summary -------------------------------------------------------------------------

TODAY = date(2026, 3, 30)


def event(kind, subject, days_ago=0, **data):
    at = datetime(2026, 3, 30, 23, 30, tzinfo=timezone(timedelta(hours=2)))
    at -= timedelta(days=days_ago)
    return Event(at.isoformat(), kind, subject, data, f"{kind}:{subject}:{days_ago}")


def summarize(*log):
    return progress.summarize(list(log), TODAY)


def finished(number):
    exercises = [
        event("passed", f"{number}-{n}", lesson=number, number=n) for n in (1, 2)
    ]
    if number == progress.DECK:
        names = [card.about["id"] for card in bank.deck()]
        exercises = [event("practised", name, grade="good") for name in names]
    return exercises + [event("answer", f"{number}.{n}", right=True) for n in (1, 2, 3)]


def test_titles_are_those_of_the_lessons():
    titles = {}
    for path in sorted((ROOT / "notebooks").glob("0*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        head = "".join(cells[0]["source"]).splitlines()[0]
        number, title = re.fullmatch(r"# (\d\d) · (.+)", head).groups()
        titles[number] = title
    assert titles == progress.LESSONS


def test_nothing_done_yet():
    here = summarize()
    assert (here.xp, here.level, here.streak) == (0, 1, 0)
    assert [lesson.number for lesson in here.lessons] == list(progress.LESSONS)
    assert not any(lesson.done or lesson.exercises for lesson in here.lessons)
    assert here.next == "Lesson 00: exercise 1"


@pytest.mark.parametrize(
    ("tries", "xp", "right"),
    [([1], 10, 1), ([0], 0, 0), ([0, 1], 5, 1), ([0, 0, 1, 1], 5, 1), ([1, 0], 10, 0)],
)
def test_the_first_answer_gives_more_and_the_last_one_counts(tries, xp, right):
    here = summarize(*(event("answer", "02.2", right=bool(t)) for t in tries))
    assert here.xp == xp
    assert here.lessons[2].questions == right


def test_exercises_predictions_and_playgrounds_give_xp_once():
    here = summarize(
        event("passed", "a", lesson="01", number=1, helped=False),
        event("passed", "a", lesson="01", number=1, helped=True),
        event("passed", "b", lesson="01", number=2, helped=True),
        event("predicted", "01-overlap", choice="a"),
        event("predicted", "01-overlap", choice="b"),
        event("predicted", "01-other", choice="b"),
        event("played", "01"),
        event("rated", "7", stars=4),
    )
    assert here.xp == 20 + 5 + 2 + 2 + 2
    lesson = here.lessons[1]
    assert (lesson.exercises, lesson.predicted, lesson.played) == (2, True, True)
    assert not lesson.done


def test_a_level_is_a_hundred_xp():
    log = finished("00") + finished("01")  # 70 each
    assert summarize(*log[:5]).level == 1
    assert (summarize(*log).xp, summarize(*log).level) == (140, 2)


def test_the_next_step_is_the_first_that_is_missing():
    log = finished("00") + finished("01")[:1]
    assert summarize(*log).next == "Lesson 01: exercise 2"
    log = finished("00") + finished("01")[:3] + finished("02")
    assert summarize(*log).next == "Lesson 01: quick check, 1 of 3 right so far"
    log = [row for number in progress.LESSONS for row in finished(number)]
    assert "All lessons are done" in summarize(*log).next
    assert all(lesson.done for lesson in summarize(*log).lessons)


@pytest.mark.parametrize(
    ("days", "streak"),
    [([0], 1), ([1], 1), ([2], 0), ([0, 1, 2], 3), ([1, 2, 4], 2), ([0, 2, 3], 1),
     ([0, 0, 1], 2), ([-1, 0], 1)],
)  # fmt: skip
def test_a_streak_ends_today_or_yesterday(days, streak):
    assert summarize(*(event("rated", "1", ago) for ago in days)).streak == streak


def test_a_day_is_the_learners_own():
    late = Event("2026-03-30T00:30:00+02:00", "rated", "1", {}, "a")  # 29th in London
    assert summarize(late).streak == 1
    assert progress.summarize([late], date(2026, 4, 1)).streak == 0


def test_what_no_lesson_knows_counts_for_nothing():
    here = summarize(
        event("answer", "99.1", right=True),
        event("answer", "01.4", right=True),
        event("answer", "", right=[1]),
        event("passed", "x", lesson=["01"], number={}),
        event("passed", "x"),
        event("later", "01"),
    )
    assert here.xp == 0


# ---- Export, import, reset -----------------------------------------------------------


def test_an_export_says_what_it_is(tmp_path):
    answer()
    passed("01", 1)
    assert progress.export(tmp_path / "me.json") == 2
    content = json.loads((tmp_path / "me.json").read_text())
    assert content["format"] == "mfcourse progress"
    assert content["version"] == 1
    assert "unverified" in content["note"] or "verified" in content["note"]
    assert content["exported"].startswith(str(date.today()))
    assert content["summary"]["xp"] == 30
    assert len(content["events"]) == 2
    assert [path.name for path in tmp_path.glob("me*")] == ["me.json"]


def test_an_export_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "me.json"
    path.write_text("old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(progress.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        progress.export(path)
    assert path.read_text() == "old"
    assert list(tmp_path.glob("me*")) == [path]


def test_what_is_imported_counts_once(home, tmp_path, monkeypatch):
    answer("01.1")
    passed("01", 1)
    progress.export(tmp_path / "one.json")
    there = progress.events()
    monkeypatch.setenv("MFCOURSE_HOME", str(tmp_path / "other"))
    passed("01", 1, helped=True)
    answer("01.2")
    assert progress.import_(tmp_path / "one.json") == 1  # passed it here, too
    assert progress.import_(tmp_path / "one.json") == 0
    here = progress.events()
    assert [e.subject for e in here] == ["01.1", "01-1", "01.2"]  # in order of time
    assert here[0] == there[0]


def exported(**changes):
    row = {"at": "2026-03-30T12:00:00+02:00", "kind": "rated", "subject": "1",
           "data": {"stars": 4}, "key": "k"}  # fmt: skip
    content = {"format": "mfcourse progress", "version": 1, "events": [row]}
    content["events"].append(row | {"key": "l"} | changes.pop("row", {}))
    return json.dumps(content | changes)


def test_the_rows_below_are_broken_only_by_what_they_change(tmp_path):
    (tmp_path / "e.json").write_text(exported())
    assert progress.import_(tmp_path / "e.json") == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("\ufeff{", "is not JSON"),
        ("[]", "is not an export"),
        ("{}", "is not an export"),
        (exported(format="diary"), "is not an export"),
        (exported(version=2), "Update mfcourse"),
        (exported(version="1"), "Update mfcourse"),
        (exported(events=None), "no list of events"),
        (exported(events=[1]), "event 1 of 1 is broken: 1"),
        *(
            (exported(row=row), "event 2 of 2 is broken")
            for row in (
                {"at": "yesterday"},
                {"at": "2026-03-30T12:00:00"},
                {"at": 3},
                {"kind": None},
                {"subject": 1},
                {"data": []},
                {"data": {"x": float("nan")}},
                {"data": {"x": "y" * 3_000}},
                {"key": ""},
                {"key": 7},
                {"key": "\ud800"},
                {"more": 1},
            )
        ),
    ],
)
def test_a_file_that_is_no_export_adds_nothing(text, words, tmp_path):
    (tmp_path / "e.json").write_text(text, encoding="utf-8")
    with pytest.raises(ProgressError, match=words) as caught:
        progress.import_(tmp_path / "e.json")
    assert str(tmp_path / "e.json") in str(caught.value)
    assert len(str(caught.value)) < 400
    assert progress.events() == []


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        progress.import_(tmp_path / "none.json")


def test_reset_keeps_an_export_that_brings_all_back(home):
    for number in range(10):
        answer(f"01.{number}")
    before = progress.events()
    backup = progress.reset()
    assert backup.parent == home
    assert progress.events() == []
    assert progress.summary().xp == 0
    assert progress.import_(backup) == 10
    assert progress.events() == before


def test_reset_without_a_backup_removes_nothing(home, monkeypatch):
    answer()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(progress.os, "fsync", full)
    with pytest.raises(ProgressError, match="disk is full"):
        progress.reset()
    assert len(progress.events()) == 1
    assert not list(home.glob("*.json*"))


def test_what_was_reset_does_not_come_back_from_damage(home):
    for number in range(10):
        answer(f"01.{number}")
    progress.reset()
    answer("02.1")
    overwrite(home / "progress.sqlite", 0, bytes(100))
    assert [event.subject for event in progress.events()] == ["02.1"]


# ---- Dashboard -----------------------------------------------------------------------


def test_the_dashboard_shows_the_log_and_looks_again(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("00_utility.ipynb", "00_utility-mine.ipynb", "05_biases.ipynb"):
        (tmp_path / name).write_text("{}")
    shown = learn.dashboard()
    assert shown.shown["xp"] == 0
    files = [lesson["file"] for lesson in shown.shown["lessons"]]
    assert files == ["00_utility.ipynb", *[""] * 4, "05_biases.ipynb", *[""] * 4]
    assert shown.shown["next_file"] == "00_utility.ipynb"
    passed("00", 1)
    shown._handle_custom_msg({"refresh": True}, [])
    assert shown.shown["xp"] == 20
    assert shown.shown["next"] == "Lesson 00: exercise 2"
    assert shown.notice == ""


def test_the_dashboard_is_empty_where_recording_is_off(monkeypatch):
    answer()
    monkeypatch.setenv("MFCOURSE_RECORD", "0")
    assert learn.dashboard().shown["xp"] == 0


def test_the_dashboard_tells_of_damage(home):
    home.mkdir()
    (home / "progress.sqlite").write_text("x" * 100)
    assert "the damaged file is kept" in learn.dashboard().notice


def test_the_words_of_the_dashboard_never_change():
    before = repr(learn.dashboard())
    answer()
    assert repr(learn.dashboard()) == before
    assert "mfcourse progress" in before
