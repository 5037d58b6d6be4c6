"""course.py: set-up that repairs itself, and copies that are never overwritten."""

import ast
import contextlib
import errno
import importlib.util
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCK = """\
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:aa
    # via
    #   mfcourse (pyproject.toml)
    #   scikit-learn
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:bb
    # via mfcourse (pyproject.toml)
joblib==1.6.0 \\
    --hash=sha256:cc
    # via scikit-learn
requests==2.34.2 \\
    --hash=sha256:dd
    # via mfcourse (pyproject.toml)
scikit-learn==1.9.1 \\
    --hash=sha256:ee
    # via mfcourse (pyproject.toml:test)
setuptools==84.2.1 \\
    --hash=sha256:ff
    # via mfcourse (pyproject.toml:test)
urllib3==2.8.0 \\
    --hash=sha256:00
    # via requests
"""


def load_course(root: Path):
    """course.py as a module that works in another checkout."""
    spec = importlib.util.spec_from_file_location("course", ROOT / "course.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.ROOT, module.ENV, module.MY = root, root / ".venv", root / "my"
    module.NOTEBOOKS, module.LOCK = root / "notebooks", root / "requirements.lock"
    return module


@pytest.fixture
def course(tmp_path):
    """A small checkout: three notebooks, a lock, one extra."""
    for name in ("start_here", "00_first", "01_second", "experiments/E1_ladder"):
        path = tmp_path / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}, first edition")
    (tmp_path / "requirements.lock").write_text(LOCK)
    (tmp_path / "pyproject.toml").write_text(
        '[project.optional-dependencies]\nbench = ["peer>=1"]\n'
    )
    return load_course(tmp_path)


@pytest.fixture
def commands(course, monkeypatch):
    """The commands of a set-up, recorded; venv makes an interpreter. No uv."""
    seen = []

    def watch(command, lock):
        seen.append(command)
        if "venv" in command:
            place = Path(course.python())
            place.parent.mkdir()
            place.touch()

    monkeypatch.setattr(course, "_watch", watch)
    monkeypatch.setattr(course.shutil, "which", lambda name: None)
    return seen


def kinds(commands) -> list[str]:
    """What each recorded command does: venv, lock, self."""
    return [
        "venv" if "venv" in c else "lock" if "--require-hashes" in c else "self"
        for c in commands
    ]


# ---- Any Python ----------------------------------------------------------------------


def test_an_old_python_parses_it():
    source = (ROOT / "course.py").read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 6))
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    for function in functions:  # annotations are evaluated as the file loads
        for note in [a.annotation for a in function.args.args] + [function.returns]:
            assert not isinstance(note, ast.Subscript | ast.BinOp), function.name


@pytest.mark.parametrize("version", [(3, 7, 16), (3, 10, 0), (3, 15, 0)])
def test_a_wrong_python_is_one_sentence(course, monkeypatch, capsys, version):
    monkeypatch.setattr(course.sys, "version_info", version)
    assert course.main(["lab"]) == 1
    assert "needs Python 3.11 to 3.14; this is" in capsys.readouterr().err
    assert not course.ENV.exists()


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 14, 9)])
def test_the_supported_pythons_pass(course, monkeypatch, version):
    monkeypatch.setattr(course.sys, "version_info", version)
    course._check_python()


# ---- Set-up --------------------------------------------------------------------------


def test_setup_runs_once(course, commands):
    course.setup()
    assert kinds(commands) == ["venv", "lock", "self"]
    course.setup()
    assert len(commands) == 3


def test_lab_installs_no_tools_of_the_tests(course, commands):
    course.setup()
    part = (course.ENV / "requirements.txt").read_text()
    assert "numpy==2.4.6" in part
    assert "scikit-learn==" not in part
    course.setup(tests=True)
    assert kinds(commands[3:]) == ["lock", "self"]
    assert (course.ENV / "requirements.txt").read_text() == LOCK
    course.LOCK.write_text(LOCK.replace("1.9.1", "1.9.2"))
    course.setup()  # tools once installed are kept up to date
    assert "scikit-learn==1.9.2" in (course.ENV / "requirements.txt").read_text()


@pytest.mark.parametrize("file", ["requirements.lock", "pyproject.toml"])
def test_a_changed_file_is_installed_on_top(course, commands, file):
    course.setup()
    with (course.ROOT / file).open("a") as opened:
        opened.write("\n")
    course.setup()
    assert kinds(commands[3:]) == ["lock", "self"]


def test_another_place_python_or_no_interpreter_starts_anew(
    course, commands, monkeypatch
):
    course.setup()
    stamp = json.loads((course.ENV / "course.json").read_text())
    for key, value in (("root", "elsewhere"), ("python", "3.9")):
        (course.ENV / "course.json").write_text(json.dumps({**stamp, key: value}))
        commands.clear()
        course.setup()
        assert kinds(commands) == ["venv", "lock", "self"]
    Path(course.python()).unlink()
    commands.clear()
    course.setup()
    assert kinds(commands) == ["venv", "lock", "self"]


@pytest.mark.parametrize("step", [0, 1, 2])
@pytest.mark.parametrize("cause", [KeyboardInterrupt, OSError(errno.ENOSPC, "full")])
def test_a_set_up_cut_off_is_repaired(course, commands, monkeypatch, step, cause):
    whole = course._watch

    def cut(command, lock):
        whole(command, lock)
        (course.ENV / "half-a-package").mkdir(exist_ok=True)
        if len(commands) == step + 1:
            raise cause

    monkeypatch.setattr(course, "_watch", cut)
    assert course.main(["lab"]) in (1, 130)
    monkeypatch.setattr(course, "_watch", whole)
    commands.clear()
    course.setup()
    assert kinds(commands) == ["venv", "lock", "self"]
    assert not (course.ENV / "half-a-package").exists()


def test_an_update_cut_off_starts_anew(course, commands, monkeypatch):
    course.setup()
    working = course._watch

    def cut(command, lock):
        raise KeyboardInterrupt

    monkeypatch.setattr(course, "_watch", cut)
    course.LOCK.write_text(LOCK + "\n")
    assert course.main(["lab"]) == 130
    monkeypatch.setattr(course, "_watch", working)
    course.LOCK.write_text(LOCK)  # gone back, but what was installed is unknown
    commands.clear()
    course.setup()
    assert kinds(commands) == ["venv", "lock", "self"]


def test_a_foreign_environment_is_left_alone(course, commands, capsys):
    theirs = course.ENV / "pyvenv.cfg"
    theirs.parent.mkdir()
    theirs.touch()
    assert course.main(["lab"]) == 1
    assert "did not make" in capsys.readouterr().err
    assert theirs.exists()
    assert not commands


def test_the_second_set_up_waits_for_the_first(course, commands, monkeypatch, capsys):
    with contextlib.ExitStack() as first:
        first.enter_context(course._one_at_a_time())
        monkeypatch.setattr(course.time, "sleep", lambda _: first.close())
        course.setup()
    assert "Another set-up is at work" in capsys.readouterr().out
    assert kinds(commands) == ["venv", "lock", "self"]


def test_who_waited_finds_it_done(course, commands, monkeypatch):
    with course._one_at_a_time():
        pass
    course.setup()
    stamp = (course.ENV / "course.json").read_bytes()
    (course.ENV / "course.json").unlink()
    lock, answers = course._lock, iter([False, False, True])
    monkeypatch.setattr(course, "_lock", lambda file: next(answers) and lock(file))
    monkeypatch.setattr(
        course.time, "sleep", lambda _: course._write(course.ENV / "course.json", stamp)
    )
    commands.clear()
    course.setup()
    assert not commands


@pytest.mark.skipif(os.name != "posix", reason="file descriptors are inherited so")
def test_a_child_that_outlives_a_kill_holds_the_lock(course):
    wait = "import sys; print('up', flush=True); sys.stdin.read()"
    with course._one_at_a_time() as lock:
        course._watch(script(f"import os; os.fstat({lock})"), lock)  # inherited
        child = subprocess.Popen(
            [sys.executable, "-c", wait], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, pass_fds=(lock,),
        )  # fmt: skip
        child.stdout.readline()
    with (course.ENV / "course.lock").open("a") as file:
        assert not course._lock(file.fileno())
        child.communicate()
        assert course._lock(file.fileno())


def test_where_the_file_system_has_no_locks_it_goes_on(course, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def flock(file, how):
        raise OSError(errno.ENOTSUP, "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    with course._one_at_a_time():
        pass


def test_uv_is_used_where_it_is_and_pip_where_it_fails(course, commands, monkeypatch):
    monkeypatch.setattr(course.shutil, "which", lambda name: "/bin/uv")
    course.setup()
    assert [c[0] for c in commands[1:]] == ["/bin/uv"] * 2
    working = course._watch

    def without_uv(command, lock):
        working(command, lock)
        if command[0] == "/bin/uv":
            raise course.CommandError("broken")

    monkeypatch.setattr(course, "_watch", without_uv)
    course.LOCK.write_text(LOCK + "\n")
    commands.clear()
    course.setup()
    assert [c[0] for c in commands] == ["/bin/uv", course.python()] * 2


def test_uv_makes_the_environment_where_ensurepip_is_missing(
    course, commands, monkeypatch
):
    monkeypatch.setattr(course.shutil, "which", lambda name: "/bin/uv")
    working = course._watch

    def debian(command, lock):
        if command[1:3] == ["-m", "venv"]:
            raise course.CommandError("ensurepip is not available")
        working(command, lock)

    monkeypatch.setattr(course, "_watch", debian)
    course.setup()
    assert commands[0][:2] == ["/bin/uv", "venv"]


def test_a_nearly_full_disk_stops_it_once_the_old_environment_is_gone(
    course, commands, monkeypatch, capsys
):
    with course._one_at_a_time():
        (course.ENV / "half-a-package").touch()

    def usage(path):
        free = 10**12 if (course.ENV / "half-a-package").exists() else 10**8
        return shutil._ntuple_diskusage(10**12, 10**12 - free, free)

    monkeypatch.setattr(course.shutil, "disk_usage", usage)
    assert course.main(["lab"]) == 1
    assert "has 0.1 GB left. Free some space" in capsys.readouterr().err
    assert not commands


# ---- Commands of the set-up ----------------------------------------------------------


def script(text: str) -> list[str]:
    return [sys.executable, "-c", text]


@pytest.fixture
def lock(course):
    with course._one_at_a_time() as held:
        yield held


def test_watch_keeps_the_output(course, lock):
    course._watch(script("print('fine')"), lock)
    with pytest.raises(course.CommandError, match=r"(?s)out\n.*No space left"):
        course._watch(
            script("print('out', flush=True); raise OSError('No space left')"), lock
        )
    log = (course.ENV / "course.log").read_text()
    assert "fine\n" in log
    assert "No space left" in log


@pytest.mark.parametrize("terminal", [True, False])
def test_watch_shows_how_far_it_is(course, lock, monkeypatch, capsys, terminal):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    clock = itertools.count(step=11)
    monkeypatch.setattr(course.time, "monotonic", lambda: next(clock))
    course._watch(script("print('Collecting numpy==2.5.5 (from x)')"), lock)
    shown = capsys.readouterr().out
    assert "s  fetching package 1: numpy==2.5.5" in shown
    assert ("\r" in shown) is terminal


def test_state_counts_what_is_installed(course):
    folder = course.sysconfig.get_path("purelib", "venv", {"base": str(course.ENV)})
    for name in ("a", "b"):
        (Path(folder) / f"{name}.dist-info").mkdir(parents=True)
    output = ["Collecting a==1 (from x)\n", "Installing collected packages: a, b\n"]
    assert course._state(output) == "2 packages are in place"


def test_ctrl_c_ends_the_command(course, lock, monkeypatch):
    started = []

    class Popen(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            started.append(self)

    def interrupted(output):
        raise KeyboardInterrupt

    monkeypatch.setattr(course.subprocess, "Popen", Popen)
    clock = itertools.count(step=11)
    monkeypatch.setattr(course.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(course, "_state", interrupted)
    with pytest.raises(KeyboardInterrupt):
        course._watch(script("import threading; threading.Event().wait()"), lock)
    assert started[0].returncode not in (None, 0)


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("ERROR: [Errno 28] No space left on device", "disk is full"),
        ("failed to write: (os error 28)", "disk is full"),
        ("OSError: [Errno 122] Disk quota exceeded", "disk is full"),
        ("because ensurepip is not available", "sudo apt install python3"),
        ("/usr/bin/python3: No module named venv", "sudo apt install python3"),
        ("SSLError: certificate verify failed: expired", "certificate"),
        ("Failed to establish a new connection: [Errno 111]\nNo matching "
         "distribution found for anyio", "cannot be reached"),
        ("Temporary failure in name resolution", "cannot be reached"),
        ("error: error sending request for url", "cannot be reached"),
        ("ReadTimeoutError: Read timed out.", "cannot be reached"),
        ("ProxyError('Cannot connect to proxy.')", "cannot be reached"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES FROM", "refused"),
        ("No matching distribution found for pyarrow==26", "ready-made pyarrow==26"),
        ("Because numba==0.68.1 has no wheels with", "ready-made numba==0.68.1 for"),
        ("Could not install: [Errno 13] Permission denied: 'x'", "cannot be written"),
        ("ERROR: Failed building wheel for peer", "C compiler"),
        ("ERROR: something new.\n", "set-up failed: ERROR: something new. Look into"),
        ("", "set-up failed: no output. Look into"),
    ],
)  # fmt: skip
def test_each_failure_is_a_sentence_with_the_next_step(course, output, sentence):
    said = course.explain(output)
    assert sentence in said
    assert said.endswith("then run the same command again.")
    assert "{" not in said


@pytest.mark.parametrize("failing", ["venv", "lock", "self"])
def test_a_failed_command_ends_in_the_sentence(
    course, commands, monkeypatch, capsys, failing
):
    working = course._watch

    def fail(command, lock):
        working(command, lock)
        if kinds([command]) == [failing]:
            raise course.CommandError("... No space left on device")

    monkeypatch.setattr(course, "_watch", fail)
    assert course.main(["lab"]) == 1
    assert capsys.readouterr().err.startswith("\nThe disk is full")
    assert not (course.ENV / "course.json").exists()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "no space"), "The disk is full"),
        (
            PermissionError(errno.EACCES, "denied", "there"),
            "there cannot be written (den",
        ),
        (
            OSError(errno.EROFS, "read-only"),
            "cannot be written (read-only). Put",
        ),
        (OSError(errno.EIO, "bad disk"), "bad disk. Mend the cause"),
    ],
)
def test_the_systems_refusals_are_sentences(
    course, monkeypatch, capsys, error, sentence
):
    def refuse(*args, **kwargs):
        raise error

    monkeypatch.setattr(course, "_one_at_a_time", refuse)
    assert course.main(["lab"]) == 1
    assert sentence in capsys.readouterr().err


def test_commands_run_in_the_environment_alone(course, monkeypatch):
    for name in ("PYTHONPATH", "PYTHONHOME", "PIP_USER"):
        monkeypatch.setenv(name, "1")
    env = course.environment()
    assert env["PATH"].startswith(os.path.dirname(course.python()) + os.pathsep)
    assert env["PIP_USER"] == "0"
    assert not {"PYTHONPATH", "PYTHONHOME"} & set(env)


# ---- The lock ------------------------------------------------------------------------


def test_packages_follow_what_needs_them(course):
    names, part = course.packages(LOCK, tests=False)
    assert names == ["numpy", "requests", "setuptools", "urllib3"]
    assert re.findall("sha256:(..)", part) == ["aa", "bb", "dd", "ff", "00"]
    names, part = course.packages(LOCK, tests=True)
    assert len(names) == 6
    assert part == LOCK


def test_a_lock_without_reasons_is_installed_whole(course):
    bare = re.sub(r"\n    #.*", "", LOCK)
    assert len(course.packages(bare, tests=False)[0]) == 6


def test_what_lab_installs_needs_nothing_else(course):
    lock = (ROOT / "requirements.lock").read_text()
    names, _ = course.packages(lock, tests=False)
    assert {"jupyterlab", "mfcourse"} & set(names) == {"jupyterlab"}
    assert not {"ruff", "mypy", "playwright", "hypothesis"} & set(names)
    for name in names:
        try:
            needs = metadata.requires(name) or ()
        except metadata.PackageNotFoundError:
            continue  # of another system
        for need in map(Requirement, needs):
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                assert canonicalize_name(need.name) in names, (name, need)


# ---- The learner's copies ------------------------------------------------------------


def read(course, name: str) -> str:
    return (course.MY / f"{name}.ipynb").read_text()


def publish(course, name: str, text: str) -> None:
    (course.NOTEBOOKS / f"{name}.ipynb").write_text(text)


def files(course) -> set[str]:
    found = (p for p in course.MY.rglob("*") if p.is_file())
    return {p.relative_to(course.MY).as_posix() for p in found} - {".handed_out.json"}


def test_the_first_time_each_notebook_is_copied_and_nothing_else(course):
    (course.NOTEBOOKS / "conftest.py").touch()
    (course.NOTEBOOKS / ".ipynb_checkpoints").mkdir()
    publish(course, ".ipynb_checkpoints/00_first-checkpoint", "hidden")
    assert course.hand_out() == ["my/ holds your own copies of the lessons"]
    names = ("start_here", "00_first", "01_second", "experiments/E1_ladder")
    assert files(course) == {f"{name}.ipynb" for name in names}
    before = (course.MY / ".handed_out.json").stat().st_mtime_ns
    assert course.hand_out() == []
    assert (course.MY / ".handed_out.json").stat().st_mtime_ns == before


def test_a_new_lesson_is_added_and_an_untouched_one_updated(course):
    course.hand_out()
    publish(course, "02_third", "third")
    publish(course, "01_second", "second edition")
    assert course.hand_out() == ["my/02_third.ipynb is new"]
    assert read(course, "01_second") == "second edition"
    assert read(course, "02_third") == "third"


def test_a_changed_copy_stays_and_the_new_edition_is_offered_once(course):
    course.hand_out()
    mine = course.MY / "01_second.ipynb"
    mine.write_text("mine")
    assert course.hand_out() == []
    publish(course, "01_second", "second edition")
    told = "my/01_second.ipynb is yours and stays; new beside it: 01_second.new.ipynb"
    assert course.hand_out() == [told]
    assert course.hand_out() == []
    assert read(course, "01_second") == "mine"
    assert read(course, "01_second.new") == "second edition"
    publish(course, "01_second", "third edition")  # an offer left untouched follows
    assert course.hand_out() == [told]
    assert read(course, "01_second.new") == "third edition"
    (course.MY / "01_second.new.ipynb").write_text("mine too")
    publish(course, "01_second", "fourth edition")
    assert "01_second.new-2.ipynb" in course.hand_out()[0]
    assert read(course, "01_second.new") == "mine too"
    (course.MY / "01_second.new-2.ipynb").unlink()  # declined
    assert course.hand_out() == []


def test_the_checks_of_an_assignment_come_with_it(course):
    checks = course.NOTEBOOKS / "PS1_checks.json"
    checks.write_text("first edition")
    course.hand_out()
    mine = course.MY / "PS1_checks.json"
    assert mine.read_text() == "first edition"
    mine.write_text("mine")
    checks.write_text("second edition")
    (told,) = course.hand_out()
    assert told.endswith("new beside it: PS1_checks.new.json")


@pytest.mark.parametrize("damage", [None, "", "{", "[]", '{"files": 3, "given": {}}',
                                    '{"files": {"01_second.ipynb": 1}}'])  # fmt: skip
def test_a_lost_record_loses_nothing(course, damage):
    course.hand_out()
    (course.MY / "01_second.ipynb").write_text("mine")
    record = course.MY / ".handed_out.json"
    record.unlink() if damage is None else record.write_text(damage)
    course.hand_out()
    assert read(course, "01_second") == "mine"
    assert read(course, "01_second.new") == "01_second, first edition"
    assert not (course.MY / "00_first.new.ipynb").exists()
    publish(course, "00_first", "second edition")
    assert course.hand_out() == []
    assert read(course, "00_first") == "second edition"


def test_a_write_cut_off_leaves_no_half_file(course, monkeypatch):
    course.hand_out()
    publish(course, "01_second", "second edition")

    def full(*args):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(course.os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        course.hand_out()
    assert read(course, "01_second") == "01_second, first edition"
    assert not list(course.MY.rglob("*.part"))


@pytest.mark.parametrize("asked", ["01", "1", "01_second", "01_Second.ipynb",
                                   "my/01_second.ipynb"])  # fmt: skip
def test_fresh_puts_a_copy_beside(course, asked):
    course.hand_out()
    (course.MY / "01_second.ipynb").write_text("mine")
    assert course.fresh(asked).name == "01_second.fresh.ipynb"
    (course.MY / "01_second.fresh.ipynb").write_text("mine too")
    assert course.fresh(asked).name == "01_second.fresh-2.ipynb"
    assert read(course, "01_second.fresh-2") == "01_second, first edition"
    assert read(course, "01_second.fresh") == "mine too"
    assert read(course, "01_second") == "mine"


def test_fresh_finds_experiments_and_names_what_there_is(course, capsys):
    assert course.main(["fresh", "e1"]) == 0
    path = Path("my", "experiments", "E1_ladder.ipynb")
    assert capsys.readouterr().out == f"{path}\n"
    with pytest.raises(course.CourseError, match=r"No lesson.*'07'.*00_first, 01_sec"):
        course.fresh("07")
    publish(course, "01_again", "x")
    with pytest.raises(course.CourseError, match=r"More than one.*_again, 01_second$"):
        course.fresh("1")
    assert course.main(["fresh"]) == 1
    assert "python3 course.py fresh 01" in capsys.readouterr().err


class Learner(RuleBasedStateMachine):
    """Any sequence of a learner's acts and the course's updates.

    ``theirs`` holds each file that the learner wrote last; nothing else may write it.
    """

    paths = Bundle("paths")
    numbers = itertools.count()

    def __init__(self):
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.course = load_course(self.root)
        self.course.NOTEBOOKS.mkdir()
        self.theirs: dict[Path, bytes] = {}
        self.names = ("00_a.ipynb", "01_b.ipynb", "experiments/E1.ipynb")

    def teardown(self):
        shutil.rmtree(self.root)

    def new(self) -> bytes:
        return b"%d" % next(self.numbers)

    def mine(self) -> list[Path]:
        return sorted(p for p in self.course.MY.rglob("*.ipynb"))

    @rule(lesson=st.integers(0, 2), old=st.booleans())
    def publish(self, lesson, old):
        path = self.course.NOTEBOOKS / self.names[lesson]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"an edition that returns" if old else self.new())

    @rule(pick=st.integers(0, 9))
    def edit(self, pick):
        if found := self.mine():
            path = found[pick % len(found)]
            self.theirs[path] = self.new()
            path.write_bytes(self.theirs[path])

    @rule(pick=st.integers(0, 9))
    def delete(self, pick):
        if found := self.mine():
            path = found[pick % len(found)]
            path.unlink()
            self.theirs.pop(path, None)

    @rule(pick=st.integers(0, 9), other=st.integers(0, 9))
    def accept(self, pick, other):
        if found := self.mine():
            path, target = found[pick % len(found)], found[other % len(found)]
            os.replace(path, target)
            if path != target:
                self.theirs.pop(target, None)
                if path in self.theirs:
                    self.theirs[target] = self.theirs.pop(path)

    @rule(text=st.sampled_from(["", "{}", "[1]", '{"files": []}', None]))
    def lose_record(self, text):
        record = self.course.MY / ".handed_out.json"
        if record.exists():
            record.unlink() if text is None else record.write_text(text)

    @rule(after=st.integers(0, 3))
    def cut_off(self, after):
        """The update is killed at its n-th write."""
        replace, left = os.replace, itertools.count(after, -1)

        def killed(*args):
            if next(left) <= 0:
                raise KeyboardInterrupt
            replace(*args)

        self.course.os.replace = killed
        try:
            self.course.hand_out()
        except KeyboardInterrupt:
            pass
        finally:
            self.course.os.replace = replace

    @rule()
    def hand_out(self):
        self.course.hand_out()
        for name, path in self.course.lessons().items():
            assert (self.course.MY / name).exists()
            if self.course.MY / name not in self.theirs and not self.moved(name):
                assert (self.course.MY / name).read_bytes() == path.read_bytes()
        before = {p: p.read_bytes() for p in self.course.MY.rglob("*") if p.is_file()}
        assert self.course.hand_out() == []
        after = {p: p.read_bytes() for p in self.course.MY.rglob("*") if p.is_file()}
        assert before == after

    def moved(self, name: str) -> bool:
        """Whether the copy may be the learner's without their edit: not as recorded."""
        record = json.loads((self.course.MY / ".handed_out.json").read_text())
        content = (self.course.MY / name).read_bytes()
        return record["files"].get(name) != self.course._sha256(content)

    @rule(lesson=st.integers(0, 2))
    def fresh(self, lesson):
        name = self.names[lesson]
        if name in self.course.lessons():
            before = set(self.mine())
            assert self.course.fresh(name) not in before

    @invariant()
    def nothing_of_theirs_is_lost(self):
        for path, content in self.theirs.items():
            assert path.read_bytes() == content
        assert not list(self.root.rglob("*.part"))


@pytest.mark.soak
def test_no_sequence_of_updates_overwrites_a_learners_file(soak_share):
    examples = settings(
        max_examples=int(400 * soak_share),
        stateful_step_count=30,
        derandomize=True,
        deadline=None,
    )
    run_state_machine_as_test(Learner, settings=examples)


# ---- Commands ------------------------------------------------------------------------


@pytest.fixture
def became(course, commands, monkeypatch):
    """Commands that course.py turns into."""
    seen = []
    monkeypatch.setattr(course, "_become", lambda command: seen.append(command) or 0)
    return seen


def test_lab_opens_the_start_page_and_passes_the_rest_on(course, became, capsys):
    assert course.main(["lab", "--no-browser", "--port=1"]) == 0
    command = became[0]
    assert command[:3] == [course.python(), "-m", "jupyterlab"]
    assert "--LabApp.default_url=/lab/tree/start_here.ipynb" in command
    assert f"--ServerApp.root_dir={course.MY}" in command
    assert command[-2:] == ["--no-browser", "--port=1"]
    assert (course.MY / "start_here.ipynb").exists()
    quiet = (course.ENV / "share/jupyter/lab/settings/overrides.json").read_text()
    assert '"fetchNews": "false"' in quiet
    assert "my/ holds your own copies" in capsys.readouterr().out


@pytest.mark.parametrize("codes", [(0, 0), (1, 0), (0, 2), (3, 4)])
@pytest.mark.parametrize("more", [[], ["--soak"], ["--cov", "--soak"]])
def test_test_runs_tests_and_notebooks(course, commands, monkeypatch, codes, more):
    runs, left = [], iter(codes)

    def call(command, **kwargs):
        runs.append(command[3:])
        return next(left)

    monkeypatch.setattr(course.subprocess, "call", call)
    assert course.main(["test", *more]) == next(filter(None, codes), 0)
    assert runs == [
        ["tests", "-n", "3", "--dist", "worksteal", "--durations=25", *more],
        ["--nbval", "notebooks", "-n", "3", "--dist", "loadscope"],
    ]
    assert (course.ENV / "requirements.txt").read_text() == LOCK
    assert not course.MY.exists()


@pytest.mark.parametrize(
    ("args", "command"),
    [
        (["test", "-k", "x"], ["-m", "pytest", "-k", "x"]),
        (["refresh", "00.ipynb"], ["{NOTEBOOKS}/refresh.py", "00.ipynb"]),
        (["doctor", "--json"], ["-m", "mfcourse", "doctor", "--json"]),
    ],
)
def test_arguments_are_passed_on(course, became, args, command):
    assert course.main(args) == 0
    want = [text.format(NOTEBOOKS=course.NOTEBOOKS) for text in command]
    assert became[0] == [course.python(), *want]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no exec")
def test_the_command_takes_the_place_of_course_py(course, monkeypatch):
    def execve(program, command, env):
        raise SystemExit(f"{program} {command[1:]} in {env['VIRTUAL_ENV']}")

    monkeypatch.setattr(course.os, "execve", execve)
    with pytest.raises(SystemExit, match=rf"^python \['x'\] in {course.ENV}$"):
        course._become(["python", "x"])


def test_add_installs_an_extra_beside_the_locked_versions(course, commands):
    assert course.main(["add", "bench"]) == 0
    assert commands[-1][-3:] == ["-c", str(course.ENV / "constraints.txt"), "peer>=1"]
    pins = (course.ENV / "constraints.txt").read_text().splitlines()
    assert pins[:2] == [
        "numpy==2.4.6 ; python_full_version < '3.12'",
        "numpy==2.5.5 ; python_full_version >= '3.12'",
    ]
    assert len(pins) == 7


@pytest.mark.parametrize("args", [[], ["spark"]])
def test_add_says_which_extras_exist(course, commands, capsys, args):
    assert course.main(["add", *args]) == 1
    assert "There are: bench" in capsys.readouterr().err
    assert not commands


@pytest.mark.parametrize("args", [[], ["--help"], ["help"], ["lab", "-h"]])
def test_help_shows_every_command(course, commands, capsys, args):
    assert course.main(args) == 0
    said = capsys.readouterr().out
    assert all(f"python3 course.py {name}" in said for name in course.COMMANDS)
    assert not commands


def test_an_unknown_command_names_the_known(course, capsys):
    assert course.main(["labs"]) == 1
    assert "'labs'. There are: lab, test, fresh" in capsys.readouterr().err


def test_ctrl_c_is_no_traceback(course, monkeypatch, capsys):
    def stop(args):
        raise KeyboardInterrupt

    monkeypatch.setitem(course.COMMANDS, "lab", stop)
    assert course.main(["lab"]) == 130
    assert "The same command carries on" in capsys.readouterr().err
