"""The command `mfcourse`: the doctor's findings, the data sets, exit codes."""

import importlib.metadata
import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numba
import psutil
import pytest

from mfcourse import cli, datasets, doctor
from mfcourse.doctor import Finding
from mfcourse.learn import progress


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("MFCOURSE_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def checks(monkeypatch):
    """Put other checks in place of the doctor's; the kernel is healthy and free."""

    def put(**findings):
        healthy = Finding("kernel", "ok", "alive")
        monkeypatch.setattr(doctor, "check_kernel", lambda: healthy)
        table = {name: lambda f=f: f for name, f in findings.items()}
        monkeypatch.setattr(doctor, "CHECKS", table)

    return put


# ---- doctor: the report --------------------------------------------------------------


def test_this_installation_has_no_problem(cache, capsys):
    code = cli.main(["doctor", "--json"])
    findings = json.loads(capsys.readouterr().out)
    assert [f["name"] for f in findings] == list(doctor.CHECKS)
    problems = {f["name"] for f in findings if f["state"] == "problem"}
    assert problems <= {"memory", "cache folder", "course folder"}  # a full machine
    assert code == bool(problems)
    assert all(set(f) == {"name", "state", "found", "cure"} for f in findings)
    found = {f["name"]: f["found"] for f in findings}
    assert "100,004 ratings of 9,066 items" in found["data"]
    assert "starts this Python" in found["kernel"]
    assert "layer" in found["numba"]


def test_report_is_aligned_and_says_the_cure_below_its_problem(checks, capsys):
    checks(
        cores=Finding("cores", "ok", "2 of 2"),
        memory=Finding("memory", "problem", "0.1 GB free", "close programs"),
        java=Finding("java", "note", "none", "install one"),
    )
    assert cli.main(["doctor"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "ok       cores   2 of 2",
        "problem  memory  0.1 GB free",
        "                 -> close programs",
        "note     java    none",
        "                 -> install one",
    ]


def test_a_note_alone_is_no_failure(checks, capsys):
    checks(java=Finding("java", "note", "none", "install one"))
    assert cli.main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["state"] == "note"


@pytest.mark.parametrize(
    ("tty", "no_color", "coloured"),
    [(True, "", True), (True, "1", False), (False, "", False)],
)
def test_colour_is_for_a_terminal_only(
    checks, monkeypatch, capsys, tty, no_color, coloured
):
    checks(memory=Finding("memory", "problem", "0.1 GB", "close programs"))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: tty)
    monkeypatch.setenv("NO_COLOR", no_color)
    cli.main(["doctor"])
    assert ("\033[31mproblem\033[0m" in capsys.readouterr().out) == coloured


def test_a_terminal_without_utf8_shows_what_it_can(checks, monkeypatch):
    checks(course=Finding("course", "ok", "in /home/Zoë/日本"))
    plain = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", plain)
    assert cli.main(["doctor"]) == 0
    plain.flush()
    assert rb"in /home/Zo\xeb/\u65e5\u672c" in plain.buffer.getvalue()


def test_a_check_that_breaks_is_a_finding_and_the_others_run(monkeypatch):
    def broken():
        raise ZeroDivisionError("oh")

    def missing():
        raise ModuleNotFoundError("No module named 'scipy'", name="scipy.linalg")

    monkeypatch.setattr(doctor, "check_kernel", broken)
    table = {"memory": missing, "kernel": doctor.check_kernel, "cores": missing}
    monkeypatch.setattr(doctor, "CHECKS", table)
    memory, kernel, cores = doctor.examine()
    assert memory.state == kernel.state == cores.state == "problem"
    assert "ZeroDivisionError: oh" in kernel.found
    assert 'install "scipy"' in memory.cure


def test_doctor_runs_where_no_package_is_installed():
    """With the standard library alone it names what is missing, not a traceback."""
    code = """if True:
        import sys
        allowed = set(sys.stdlib_module_names) | {"mfcourse", "pip"}
        class NoPackages:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] not in allowed:
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        sys.meta_path.insert(0, NoPackages())
        from mfcourse.cli import main
        sys.exit(main(["doctor"]))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == ""
    assert 'install "jupyter_client"' in done.stdout
    assert "ok       cores" in done.stdout


# ---- doctor: each check --------------------------------------------------------------


def test_python_too_old_is_a_problem(monkeypatch):
    monkeypatch.setattr(sys, "version", "3.10.4 (old)")
    finding = doctor.check_python()
    assert finding.state == "problem"
    assert ">=3.11" in finding.cure


def test_packages_missing_or_too_old_are_named_with_one_command(monkeypatch):
    real = importlib.metadata.version

    def version(name):
        if name == "pooch":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.26.4" if name == "numpy" else real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    finding = doctor.check_packages()
    assert finding.state == "problem"
    assert "pooch is missing" in finding.found
    assert "numpy is 1.26.4, needed is >=" in finding.found
    assert "pandas" not in finding.found
    assert '"numpy>=' in finding.cure
    assert '"pooch>=' in finding.cure


def test_an_extra_is_not_asked_for(monkeypatch):
    wanted = ["numpy>=2", "nothing-like-it>=1; extra == 'bench'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: wanted)
    assert doctor.check_packages() == Finding(
        "packages", "ok", "1 asked for, all there"
    )


def test_course_not_installed_is_a_problem_with_the_command(monkeypatch):
    def gone(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", gone)
    finding = doctor._guard("packages", doctor.check_packages)
    assert finding.state == "problem"
    assert f'install -e "{doctor.course_folder()}"' in finding.cure


def test_cure_fits_an_environment_that_uv_made(monkeypatch):
    monkeypatch.setattr(doctor.util, "find_spec", lambda name: None)
    command = doctor.install("numpy>=2")
    assert command == f'uv pip install --python "{sys.executable}" "numpy>=2"'


@pytest.fixture
def kernelspec(tmp_path, monkeypatch):
    """Write a kernel python3 that hides the one of this environment."""

    def write(*argv):
        folder = tmp_path / "kernels" / "python3"
        folder.mkdir(parents=True)
        spec = {"argv": list(argv), "display_name": "Python 3", "language": "python"}
        (folder / "kernel.json").write_text(json.dumps(spec))
        monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
        return folder

    return write


def test_kernel_that_dies_is_a_problem_and_its_last_words_are_shown(kernelspec):
    kernelspec(sys.executable, "-c", "raise SystemExit('no sun today')")
    finding = doctor.check_kernel()
    assert finding.state == "problem"
    assert "does not answer" in finding.found
    assert "no sun today" in finding.found
    assert finding.cure.endswith('install --force-reinstall "ipykernel"')


def test_kernel_of_another_python_is_a_problem(kernelspec):
    launch = "import sys; sys.prefix = '/elsewhere'; from ipykernel import kernelapp; "
    folder = kernelspec(
        sys.executable, "-c", launch + "kernelapp.launch_new_instance()", "-f",
        "{connection_file}",
    )  # fmt: skip
    finding = doctor.check_kernel()
    assert finding.state == "problem"
    assert "'/elsewhere'" in finding.found
    assert str(folder) in finding.cure


def test_kernel_that_is_not_there_or_answers_wrong(monkeypatch):
    monkeypatch.setattr(doctor, "_ask_kernel", lambda log: ["3", repr(sys.prefix)])
    assert "1 + 1 is '3'" in doctor.check_kernel().found

    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    def no_spec(self, name):
        raise NoSuchKernel(name)

    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", no_spec)
    assert doctor.check_kernel().found == "there is no kernel python3"


@pytest.mark.parametrize(
    ("limit", "cores"),
    [("100000 100000", 1), ("150000 100000", 2), ("max 100000", 64), (None, 64)],
)
def test_usable_cores_are_no_more_than_a_container_has(
    limit, cores, tmp_path, monkeypatch
):
    if limit:
        (tmp_path / "cpu.max").write_text(limit)
    monkeypatch.setattr(doctor, "CGROUP", tmp_path)
    monkeypatch.setattr(
        doctor.os, "sched_getaffinity", lambda _: range(64), raising=False
    )
    assert doctor.usable_cores() == cores


def test_usable_cores_where_the_system_knows_no_affinity(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "CGROUP", tmp_path)
    monkeypatch.delattr(doctor.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(doctor.os, "cpu_count", lambda: 8)
    assert doctor.usable_cores() == 8


def pool(threads, api="openblas", user="blas"):
    return {
        "user_api": user,
        "internal_api": api,
        "version": "1.0",
        "num_threads": threads,
    }


@pytest.mark.parametrize(
    ("pools", "state", "words"),
    [
        ([pool(2), pool(9, user="openmp")], "ok", "openblas 1.0 on this core, 2 thr"),
        ([pool(2), pool(3)], "note", "more than the 2 usable"),
        ([], "ok", "cannot be seen"),
    ],
)
def test_more_blas_threads_than_cores_are_noted(monkeypatch, pools, state, words):
    import threadpoolctl

    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: pools)
    monkeypatch.setattr(doctor, "usable_cores", lambda: 2)
    finding = doctor.check_blas()
    assert finding.state == state
    assert words in finding.found
    assert ("OPENBLAS_NUM_THREADS=2" in finding.cure) == (state == "note")


def test_numba_without_a_cache_or_switched_off(monkeypatch):
    def no_cache(**options):
        raise RuntimeError("cannot cache function 'double': no locator available")

    monkeypatch.setattr(numba, "njit", no_cache)
    finding = doctor.check_numba()
    assert finding.state == "problem"
    assert "NUMBA_CACHE_DIR" in finding.cure

    def broken(**options):
        raise RuntimeError("LLVM is not well")

    monkeypatch.setattr(numba, "njit", broken)
    assert "LLVM" in doctor._guard("numba", doctor.check_numba).found

    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert doctor.check_numba().state == "note"


@pytest.mark.parametrize(
    ("free", "state"), [(0.5e9, "problem"), (2e9, "note"), (8e9, "ok")]
)
@pytest.mark.parametrize("container", [True, False])
def test_memory_counts_what_is_free_for_us(
    free, state, container, tmp_path, monkeypatch
):
    machine = SimpleNamespace(available=30e9 if container else free, total=32e9)
    if container:
        (tmp_path / "memory.max").write_text(str(10**10))
        (tmp_path / "memory.current").write_text(str(int(10**10 - free)))
    monkeypatch.setattr(doctor, "CGROUP", tmp_path)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: machine)
    finding = doctor.check_memory()
    assert finding.state == state
    assert f"{free / 1e9:.1f} of {10 if container else 32}.0 GB" in finding.found


@pytest.mark.parametrize(
    ("free", "state"), [(0.05e9, "problem"), (0.5e9, "note"), (5e9, "ok")]
)
def test_room_in_a_folder_that_is_still_to_be_made(cache, monkeypatch, free, state):
    usage = SimpleNamespace(free=free)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: usage)
    finding = doctor.check_cache()
    assert finding.state == state
    assert bool(finding.cure) == (state != "ok")
    assert str(cache) in finding.found
    assert not cache.exists()


def test_cache_folder_that_is_a_file_or_may_not_be_written_to(cache, monkeypatch):
    cache.write_text("a file")
    finding = doctor.check_cache()
    assert finding.state == "problem"
    assert "is no folder" in finding.found
    assert "MFCOURSE_DATA" in finding.cure
    cache.unlink()
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    assert "cannot be written" in doctor.check_cache().found


def test_course_folder_is_the_working_folder_of_an_installed_course(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(doctor, "__file__", str(tmp_path / "lib" / "p" / "doctor.py"))
    monkeypatch.chdir(tmp_path)
    assert doctor.course_folder() == tmp_path


def test_damaged_embedded_data_is_a_problem(monkeypatch):
    def damaged():
        raise datasets.DatasetError("items.csv is not the file that belongs there")

    monkeypatch.setattr(datasets, "load_items", damaged)
    finding = doctor.check_data()
    assert finding.state == "problem"
    assert "items.csv" in finding.found
    assert "install" in finding.cure


def test_further_data_sets_are_found_as_folder_or_zip(cache):
    assert doctor.check_data().found.endswith("in the cache folder: none")
    (cache / "ml-1m").mkdir(parents=True)
    (cache / "ml-100k.zip").write_bytes(b"")
    assert doctor.check_data().found.endswith(": ml-100k, ml-1m")


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        ('openjdk version "17.0.15" 2025-04-15', "ok", "17.0.15"),
        ('openjdk version "25-ea" 2025-09-16', "ok", "25-ea"),
        ('openjdk version "16.0.2" 2021-07-20', "note", "16.0.2"),
        ('java version "1.8.0_401"', "note", "1.8.0_401"),
        ("no Java runtime present", "note", "does not say"),
        (None, "note", "none"),
    ],
)
def test_java_is_optional(tmp_path, monkeypatch, answer, state, words):
    if answer:
        (tmp_path / "bin").mkdir()
        java = tmp_path / "bin" / "java"
        java.write_text(f"#!/bin/sh\necho '{answer}' >&2\n")
        java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    finding = doctor.check_java()
    assert finding.state == state
    assert words in finding.found
    assert ("openjdk-17-jre-headless" in finding.cure) == (state == "note")


# ---- data ----------------------------------------------------------------------------


def test_data_lists_every_set_with_its_state(cache, capsys):
    (cache / "ml-1m").mkdir(parents=True)
    assert cli.main(["data"]) == 0
    head, *rows, _, last = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == datasets.names()
    state = head.index("STATE")
    states = {row.split()[0]: row[state : state + 8].strip() for row in rows}
    assert states.pop("ml-latest-small-2016") == "embedded"
    assert states.pop("ml-1m") == "here"
    assert set(states.values()) == {"to fetch"}
    assert all("https://" in row for row in rows if "to fetch" in row)
    assert str(cache) in last


def test_fetch_hands_the_name_on_and_says_where_it_lies(monkeypatch, capsys, tmp_path):
    asked = {}

    def fetch(name, progress):
        asked.update(name=name, progress=progress)
        return tmp_path / "ml-100k.zip"

    monkeypatch.setattr(datasets, "fetch", fetch)
    assert cli.main(["data", "fetch", "ml-100k"]) == 0
    assert asked == {"name": "ml-100k", "progress": True}
    assert capsys.readouterr().out == f"{tmp_path / 'ml-100k.zip'}\n"


def test_the_embedded_set_is_not_fetched(capsys):
    assert cli.main(["data", "fetch", datasets.EMBEDDED]) == 0
    assert "embedded" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (datasets.DatasetError("no connection. Try again"), 1, "no connection"),
        (ImportError("No module named 'pooch'"), 1, "Run: mfcourse doctor"),
        (PermissionError(13, "Permission denied", "x"), 1, "Check the folder"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_an_error_is_one_line_and_a_code(monkeypatch, capsys, error, code, words):
    def fetch(name, progress):
        raise error

    monkeypatch.setattr(datasets, "fetch", fetch)
    assert cli.main(["data", "fetch", "ml-100k"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert words in err


def test_an_unknown_data_set_is_answered_with_those_there_are(capsys):
    assert cli.main(["data", "fetch", "ml-0k"]) == 1
    assert "ml-latest-small-2016" in capsys.readouterr().err


# ---- progress ------------------------------------------------------------------------


@pytest.fixture
def learner(tmp_path, monkeypatch):
    """A folder in which somebody has answered two questions and passed an exercise."""
    monkeypatch.setenv("MFCOURSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MFCOURSE_RECORD", "1")
    monkeypatch.setattr(progress, "_wrong", "")
    monkeypatch.setattr(progress, "_damaged", "")
    progress.record("answer", "00.1", choice="a", right=True)
    progress.record("answer", "00.2", choice="a", right=False)
    progress.record("passed", "x", once=True, lesson="00", number=1, helped=False)
    return tmp_path


def test_progress_is_a_row_a_lesson_and_what_is_next(learner, capsys):
    assert cli.main(["progress"]) == 0
    out = capsys.readouterr().out
    assert out.isascii()
    head, first, second, *rest = out.splitlines()
    assert first.startswith("00  The utility matrix and how to keep score")
    assert " ".join(first.split("score")[1].split()) == "1 of 2 1 of 3 - - -"
    assert " ".join(second.split("baseline")[1].split()) == "0 of 2 0 of 3 - - -"
    assert max(map(len, [head, first, second, *rest[:6]])) < 89
    level, streak, todo, place = rest[-4:]
    assert level == "Level 1   [######..............]  30 XP, 70 more to level 2"
    assert streak.endswith(" 1 day in a row")
    assert todo.endswith(" Lesson 00: exercise 2")
    assert str(learner / "home") in place


def test_a_lesson_that_is_done_says_so(learner, capsys):
    progress.record("passed", "y", once=True, lesson="00", number=2, helped=True)
    for number in (2, 3):
        progress.record("answer", f"00.{number}", choice="b", right=True)
    cli.main(["progress"])
    out = capsys.readouterr().out
    assert [line[:2] for line in out.splitlines() if line.endswith("yes")] == ["00"]
    assert "Lesson 01: exercise 1" in out


def test_progress_asks_nobody_and_writes_over_no_folder(learner, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    assert cli.main(["progress", "reset"]) == 1
    assert "Add --yes" in capsys.readouterr().err
    for file in ("", str(learner)):
        assert cli.main(["progress", "export", file, "--force"]) == 1
        assert "is no file. Name one" in capsys.readouterr().err
    assert len(progress.events()) == 3


def test_a_reader_that_leaves_is_no_problem(learner):
    command = f"'{sys.executable}' -m mfcourse progress | head -c 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_progress_says_where_nothing_is_recorded(learner, capsys, monkeypatch):
    monkeypatch.setenv("MFCOURSE_RECORD", "0")
    assert cli.main(["progress"]) == 0
    assert "MFCOURSE_RECORD is 0" in capsys.readouterr().out


def test_progress_that_cannot_be_read_is_a_problem(learner, capsys):
    (learner / "home" / "progress.sqlite").write_bytes(b"x" * 10_000)
    assert cli.main(["progress"]) == 1
    assert "damaged file is kept" in capsys.readouterr().err


def test_an_export_goes_to_another_machine_and_counts_once(
    learner, capsys, monkeypatch
):
    file = str(learner / "me.json")
    assert cli.main(["progress", "export", file]) == 0
    assert "3 events" in capsys.readouterr().out
    monkeypatch.setenv("MFCOURSE_HOME", str(learner / "other"))
    for new in (3, 0):
        assert cli.main(["progress", "import", file]) == 0
        assert f"{new} new events" in capsys.readouterr().out


def test_an_export_replaces_a_file_only_when_told(learner, capsys):
    file = learner / "me.json"
    file.write_text("mine")
    assert cli.main(["progress", "export", str(file)]) == 1
    assert "--force" in capsys.readouterr().err
    assert file.read_text() == "mine"
    assert cli.main(["progress", "export", str(file), "--force"]) == 0
    assert json.loads(file.read_text())["format"] == "mfcourse progress"


@pytest.mark.parametrize("words", [["import", "FILE"], ["export", "FILE/x.json"]])
def test_a_file_that_is_not_there_is_one_line(learner, capsys, words):
    words = [word.replace("FILE", str(learner / "none")) for word in words]
    assert cli.main(["progress", *words]) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert str(learner / "none") in err


def test_a_log_that_cannot_be_used_is_one_line(learner, capsys, monkeypatch):
    (learner / "file").write_text("{}")
    monkeypatch.setenv("MFCOURSE_HOME", str(learner / "file"))
    for words in (["import", str(learner / "file")], ["reset", "--yes"]):
        assert cli.main(["progress", *words]) == 1
        assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("typed", "tty", "left", "words"),
    [
        ("reset\n", True, 0, "Progress is empty"),
        ("yes\n", True, 3, "nothing was changed"),
        ("", True, 3, "nothing was changed"),
        ("reset\n", False, 3, "Add --yes"),
    ],
)
def test_reset_asks_first(learner, capsys, monkeypatch, typed, tty, left, words):
    answer = io.StringIO(typed)
    answer.isatty = lambda: tty
    monkeypatch.setattr(sys, "stdin", answer)
    assert cli.main(["progress", "reset"]) == int(left > 0)
    assert words in "".join(capsys.readouterr())
    assert len(progress.events()) == left


def test_reset_for_scripts_names_the_backup(learner, capsys):
    assert cli.main(["progress", "reset", "--yes"]) == 0
    assert progress.events() == []
    backup = capsys.readouterr().out.split("What there was: ")[1].strip()
    assert len(json.loads(Path(backup).read_text())["events"]) == 3


# ---- help ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    ["doctor", "data", "data fetch", "progress", "progress export", "progress import",
     "progress reset"],
)  # fmt: skip
def test_each_command_shows_examples_that_it_understands(words, capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main([*words.split(), "--help"])
    text = capsys.readouterr().out
    assert text.isascii()
    examples = [
        line.split("mfcourse ", 1)[1].split("  ")[0].split()
        for line in text.split("examples:")[1].splitlines()
        if line.startswith(("  mfcourse ", "  MFCOURSE_DATA=", "  MFCOURSE_HOME="))
    ]
    assert examples
    for example in examples:
        assert callable(cli._parser().parse_args(example).run)


def test_a_wrong_word_exits_with_2_and_no_traceback(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["doktor"])
    assert "invalid choice" in capsys.readouterr().err


def test_python_m_mfcourse_is_the_same_command():
    done = subprocess.run(
        [sys.executable, "-m", "mfcourse", "data", "fetch", "ml-0k"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("mfcourse: there is no data set 'ml-0k'")
