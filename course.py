#!/usr/bin/env python3
"""Set up the course, open it, test it: with nothing but Python 3.11 to 3.14.

    python3 course.py lab                 open the course in JupyterLab
    python3 course.py test                run every test, every notebook among them
    python3 course.py fresh 01            a new copy of lesson 01, beside yours
    python3 course.py doctor              what is wrong here, and its cure
    python3 course.py add bench           install an extra
    python3 course.py refresh [NOTEBOOK]  run notebooks again and tidy their outputs

The first run sets up .venv (about a minute, with a network); later runs need neither.
Ctrl-C stops it at any moment, and the same command carries on. What follows `lab` goes
to JupyterLab, what follows `test` to pytest:

    python3 course.py lab --no-browser --port=8890
    python3 course.py test tests/test_base.py -k save
    python3 course.py test --soak         long tests as a whole

`lab` keeps your own copies of the lessons in my/. An update never overwrites a file
that you changed: the new edition is put beside it.
"""
# Any Python from 3.6 on must get as far as the sentence that says which one is needed:
# no newer syntax, generics in quotes, late imports. Printed text is ASCII, for any
# terminal.

import contextlib
import errno
import hashlib
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path
from typing import Any, Iterator  # noqa: UP035 (Python 3.6 has it nowhere else)

OLDEST, NEWEST = (3, 11), (3, 14)
ROOT = Path(__file__).resolve().parent
ENV = ROOT / ".venv"
MY = ROOT / "my"
NOTEBOOKS = ROOT / "notebooks"
LOCK = ROOT / "requirements.lock"
GIGABYTES = 1.5  # that a set-up takes
AGAIN = "then run the same command again."


class CourseError(Exception):
    """What went wrong and the next step, in a sentence for the learner."""


class CommandError(Exception):
    """A command of the set-up failed; holds its output."""


# ---- Set-up --------------------------------------------------------------------------


def python() -> str:
    """The interpreter of .venv."""
    return str(ENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def setup(tests: bool = False) -> None:
    """Bring .venv in line with the lock; return at once where it is so already.

    A stamp, removed first and written last, tells a whole set-up from a broken-off one.
    """
    stamp = ENV / "course.json"
    want: dict[str, Any] = {
        "python": "{}.{}".format(*sys.version_info),
        "root": str(ROOT),  # after a move, paths in .venv lead nowhere
        "lock": _sha256(LOCK.read_bytes()),
        "project": _sha256((ROOT / "pyproject.toml").read_bytes()),
    }

    def lacking() -> "set[str]":
        have = _read_json(stamp)
        lacks = {key for key in want if have.get(key) != want[key]}
        if tests and not have.get("tests"):
            lacks.add("tests")
        return lacks if Path(python()).exists() else set(want)

    if not lacking():
        return
    with _one_at_a_time() as lock:
        lacks = lacking()
        if not lacks:  # another set-up has done it meanwhile
            return
        want["tests"] = tests or bool(_read_json(stamp).get("tests"))
        _remove(stamp)
        if lacks & {"python", "root"}:
            _make_environment(lock)
        names, text = packages(LOCK.read_text(encoding="utf-8"), want["tests"])
        part = ENV / "requirements.txt"
        part.write_text(text, encoding="utf-8")
        print(f"[2/3] Installing up to {len(names)} packages", flush=True)
        # --no-deps: the lock is whole, and without it old pips trip on coverage[toml]
        exact = ["--no-deps", "--require-hashes", "--only-binary=:all:"]
        _install([*exact, "-r", str(part)], lock)
        print("[3/3] Installing mfcourse itself", flush=True)
        _install(["--no-deps", "--no-build-isolation", "-e", str(ROOT)], lock)
        _silence_jupyterlab()
        _write(stamp, json.dumps(want).encode())
        print("The course is set up.", flush=True)


def packages(lock: str, tests: bool) -> "tuple[list[str], str]":
    """Names of the packages to install, and the part of the lock that holds them.

    Without ``tests``, only what mfcourse needs, found by following the comments
    ``# via`` up to ``mfcourse (pyproject.toml)``; all, if the lock has none of them.
    """
    entries = [(re.split("[ =]", e)[0], e) for e in re.split(r"\n(?=\w)", lock.strip())]
    via: dict[str, set[str]] = {}
    for name, entry in entries:
        found = re.findall(r"^ +#(?: via)? +(\S.*)$", entry, re.M)
        via.setdefault(name, set()).update(found)
    need, size = {"setuptools", "mfcourse (pyproject.toml)"}, 0
    while size != len(need):
        size = len(need)
        need |= {name for name in via if via[name] & need}
    if tests or not any(via.values()):
        need = set(via)
    kept = [(name, entry) for name, entry in entries if name in need]
    return sorted({n for n, _ in kept}), "\n".join(e for _, e in kept) + "\n"


def _make_environment(lock: int) -> None:
    for path in ENV.iterdir():
        if path.name != "course.lock":
            _remove(path)
    free = shutil.disk_usage(str(ENV)).free / 1e9
    if free < GIGABYTES:
        raise CourseError(
            f"The disk is nearly full: the set-up takes {GIGABYTES} GB, and {ROOT} has "
            f"{free:.1f} GB left. Free some space, {AGAIN}"
        )
    version = "{}.{}.{}".format(*sys.version_info)
    print(f"[1/3] Making .venv with Python {version}", flush=True)
    # the interpreter behind it, should this one be in the .venv just removed
    base = getattr(sys, "_base_executable", None) or sys.executable
    uv = shutil.which("uv")
    try:
        _watch([base, "-m", "venv", str(ENV)], lock)
    except CommandError as error:
        sentence = explain(str(error))
        if not uv:
            raise CourseError(sentence) from None
        try:  # needs no ensurepip
            _watch([uv, "venv", "--allow-existing", "-p", base, str(ENV)], lock)
        except CommandError:
            raise CourseError(sentence) from None


def _install(what: "list[str]", lock: int) -> None:
    """With uv where uv is there; with pip otherwise, and where uv fails."""
    uv = shutil.which("uv")
    if uv:
        try:
            _watch([uv, "pip", "install", "--python", python(), *what], lock)
            return
        except CommandError:
            print("  uv failed (.venv/course.log says how); trying pip", flush=True)
    # --no-compile halves the time: Python compiles what it uses, when it uses it.
    pip = [python(), "-m", "pip", "install", "--no-compile", "--no-input"]
    try:
        _watch([*pip, "--disable-pip-version-check", *what], lock)
    except CommandError as error:
        raise CourseError(explain(str(error))) from None


def _watch(command: "list[str]", lock: int) -> None:
    """Run a command of the set-up and show how far it is."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(),
        encoding="utf-8",
        errors="replace",
        # What outlives a killed course.py goes on holding the lock.
        pass_fds=(lock,) if os.name == "posix" else (),
    )
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    terminal = sys.stdout.isatty()
    output: list[str] = []
    start = shown = time.monotonic()
    try:
        while True:
            with contextlib.suppress(queue.Empty):
                line = lines.get(timeout=0.5)
                if line is None:
                    break
                output.append(line)
            now = time.monotonic()
            if now - shown > (0.3 if terminal else 10):
                shown = now
                text = f"  {now - start:3.0f} s  {_state(output)}"[:78]
                if terminal:
                    print("\r" + text.ljust(78), end="", flush=True)
                else:
                    print(text, flush=True)
    except BaseException:
        process.terminate()
        raise
    finally:
        if terminal:
            print("\r" + " " * 78 + "\r", end="", flush=True)
        code = process.wait()
        with (ENV / "course.log").open("a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(command)}\n{''.join(output)}\n")
    if code:
        raise CommandError("".join(output))


def _state(output: "list[str]") -> str:
    """What pip or uv is at, from its output and from what lies in .venv."""
    asked = [line.split()[1] for line in output if line.startswith("Collecting ")]
    if asked and not any(line.startswith("Installing coll") for line in output[-9:]):
        return f"fetching package {len(asked)}: {asked[-1]}"
    folder = sysconfig.get_path("purelib", "venv", {"base": str(ENV)})
    return f"{len(list(Path(folder).glob('*.dist-info')))} packages are in place"


# Patterns in the output of venv, pip or uv, and the sentence for each; first hit wins.
CAUSES = (
    (
        r"No space left|Errno 28\b|os error 28\b|not enough space|quota exceeded",
        "The disk is full, or the folder for temporary files is. Free some space,",
    ),
    (
        r"ensurepip is not available|No module named '?(ensurepip|venv)",
        "This Python comes without venv. Install it (Debian, Ubuntu: sudo apt install "
        "python{}.{}-venv),".format(*sys.version_info),
    ),
    (
        r"(?i)certificate.verify.failed|invalid peer certificate",
        "The certificate of the package index was refused. Check this computer's date "
        "(behind a company's proxy, set PIP_CERT to its certificate),",
    ),
    (
        r"(?i)name resolution|NameResolution|getaddrinfo|dns error|network is unreach"
        r"|failed to establish a new conn|connection ?(refused|reset|aborted|error)"
        r"|timed? ?out|ProxyError|error sending request|IncompleteRead|protocol error",
        "The package index cannot be reached. Connect to the internet (behind a proxy, "
        "set HTTPS_PROXY),",
    ),
    (
        r"(?i)do not match the hashes|hash mismatch",
        "A download was refused: it is not the file that requirements.lock names. Go "
        "round the mirror or proxy that alters it,",
    ),
    (
        r"No matching distribution found for (?P<pip>\S+)"
        r"|(?P<uv>\S+) has no (usable )?wheels",
        "There is no ready-made {name} for this computer. Take a 64-bit Python 3.12 or "
        "3.13 on Linux, Windows or a Mac with an Apple chip,",
    ),
    (
        r"Permission denied|Errno 13\b|Read-only file system|Access is denied",
        "A file of the set-up cannot be written. Put the course into a folder of your "
        "own and close programs that use it,",
    ),
    (
        r"(?i)failed (building|to build)|Microsoft Visual C\+\+|(gcc|cc|clang)' failed",
        "A package must be compiled here, and that failed. Install a C compiler "
        "(Debian, Ubuntu: sudo apt install build-essential python3-dev),",
    ),
)


def explain(output: str) -> str:
    """The cause and the next step in a sentence, from a failed command's output."""
    for pattern, sentence in CAUSES:
        match = re.search(pattern, output)
        if match:
            name = "".join(filter(None, match.groupdict().values()))
            return f"{sentence.replace('{name}', name)} {AGAIN}"
    last = (output.strip() or "no output").splitlines()[-1].strip(" .")
    return f"The set-up failed: {last}. Look into {ENV / 'course.log'}, {AGAIN}"


@contextlib.contextmanager
def _one_at_a_time() -> "Iterator[int]":
    """Hold the lock of .venv; the system frees it when its last holder ends."""
    mark = ENV / "course.lock"
    if ENV.is_dir() and any(ENV.iterdir()) and not mark.exists():
        raise CourseError(
            f"course.py did not make {ENV}, so it leaves it alone. Activate it and use "
            f"`jupyter lab` and `pytest`; or rename it, {AGAIN}"
        )
    ENV.mkdir(exist_ok=True)
    with mark.open("a") as file:
        if not _lock(file.fileno()):
            print("Another set-up is at work here; waiting for it.", flush=True)
            while not _lock(file.fileno()):
                time.sleep(0.5)
        yield file.fileno()


def _lock(file: int) -> bool:
    """Whether the lock is ours now; also where the file system knows no locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
    return True


def _silence_jupyterlab() -> None:
    """No question about news, no look for updates: the course works offline."""
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    settings = {"@jupyterlab/apputils-extension:notification": quiet}
    path = ENV / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    _write(path, json.dumps(settings).encode())


def environment() -> "dict[str, str]":
    """The environment of every command: .venv first, and nothing that leads past it."""
    env = dict(os.environ, VIRTUAL_ENV=str(ENV), PIP_USER="0")
    env["PATH"] = os.path.dirname(python()) + os.pathsep + env.get("PATH", "")
    env["JUPYTER_PREFER_ENV_PATH"] = "1"  # a kernel in the home folder is another one
    for name in ("PYTHONHOME", "PYTHONPATH"):
        env.pop(name, None)
    return env


# ---- The learner's copies ------------------------------------------------------------


def lessons(ending: str = ".ipynb") -> "dict[str, Path]":
    """The reference notebooks, or other files, by their path below notebooks/."""
    paths = ((p.relative_to(NOTEBOOKS), p) for p in NOTEBOOKS.rglob("*" + ending))
    return {
        name.as_posix(): path
        for name, path in sorted(paths)
        if not any(part.startswith(".") for part in name.parts)
    }


def hand_out() -> "list[str]":
    """Bring my/ up to date without touching what the learner wrote; say what is new.

    ``my/.handed_out.json`` holds the hash of each file as it was handed out (``files``)
    and of the last edition of each lesson that the learner was given, in place or
    beside (``given``). A file that differs from its hash, or has none, is theirs.
    """
    record = MY / ".handed_out.json"
    state, first = _read_json(record), not MY.exists()
    files, given = _hashes(state.get("files")), _hashes(state.get("given"))
    told = []

    def untouched(path: Path) -> bool:
        known = files.get(path.relative_to(MY).as_posix())
        return path.is_file() and _sha256(path.read_bytes()) == known

    for name, reference in {**lessons(), **lessons("_checks.json")}.items():
        content, mine = reference.read_bytes(), MY / name
        edition = _sha256(content)
        if not _exists(mine):
            _write(mine, content)
            told.append(f"my/{name} is new")
        elif mine.is_file() and mine.read_bytes() == content:
            pass
        elif untouched(mine):
            _write(mine, content)
        else:
            if given.get(name) != edition:
                offers = _beside(mine, "new")
                offer = next(p for p in offers if not _exists(p) or untouched(p))
                _write(offer, content)
                files[offer.relative_to(MY).as_posix()] = given[name] = edition
                told.append(
                    f"my/{name} is yours and stays; new beside it: {offer.name}"
                )
            continue
        files[name] = given[name] = edition
    new = {"files": files, "given": given}
    if state != new:
        _write(record, json.dumps(new, indent=1, sort_keys=True).encode())
    return ["my/ holds your own copies of the lessons"] if first else told


def fresh(lesson: str) -> Path:
    """A new copy of a lesson, beside the learner's own; returns its path."""
    found = lessons()
    asked = lesson.lower().rpartition("/")[2]
    asked = asked[:-6] if asked.endswith(".ipynb") else asked

    def fits(name: str) -> bool:
        stem = Path(name).stem.lower()
        number = stem.split("_")[0]
        return asked in (stem, number) or asked.zfill(2) == number

    names = [name for name in found if fits(name)]
    if len(names) != 1:
        there = ", ".join(Path(name).stem for name in names or found)
        many = "More than one" if names else "No"
        raise CourseError(f"{many} lesson is called {lesson!r}. Name one of: {there}")
    mine = MY / names[0]
    path = mine
    if _exists(mine):
        path = next(p for p in _beside(mine, "fresh") if not _exists(p))
    _write(path, found[names[0]].read_bytes())
    return path


def _beside(path: Path, word: str) -> "Iterator[Path]":
    """For 01.ipynb and "new": 01.new.ipynb, 01.new-2.ipynb, 01.new-3.ipynb, ..."""
    yield path.with_name(f"{path.stem}.{word}{path.suffix}")
    for number in range(2, sys.maxsize):
        yield path.with_name(f"{path.stem}.{word}-{number}{path.suffix}")


# ---- Files ---------------------------------------------------------------------------


def _exists(path: Path) -> bool:
    return os.path.lexists(str(path))  # a link to nowhere is something, too


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read_json(path: Path) -> "dict[str, Any]":
    """The object in a JSON file; empty if the file is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _hashes(value: Any) -> "dict[str, str]":
    pairs = value.items() if isinstance(value, dict) else ()
    return {name: text for name, text in pairs if isinstance(text, str)}


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        os.replace(str(part), str(path))
    finally:
        _remove(part)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(str(path))
    elif _exists(path):
        path.unlink()


# ---- Commands ------------------------------------------------------------------------


def lab(args: "list[str]") -> int:
    setup()
    for line in hand_out():
        print(line)
    command = [python(), "-m", "jupyterlab", f"--ServerApp.root_dir={MY}"]
    command.append("--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate")
    command += ["--LabApp.news_url=None", "--LabApp.extension_manager=readonly"]
    command.append("--LabApp.default_url=/lab/tree/start_here.ipynb")
    if os.name == "posix" and os.geteuid() == 0:  # in a container
        command.append("--allow-root")
    return _become([*command, *args])


def test(args: "list[str]") -> int:
    setup(tests=True)
    pytest = [python(), "-m", "pytest"]
    if set(args) - {"--soak", "--cov"}:
        return _become([*pytest, *args])
    code = 0
    for run in (
        # three for two cores, as many wait for a process of theirs
        ["tests", "-n", "3", "--dist", "worksteal", "--durations=25", *args],
        ["--nbval", "notebooks", "-n", "3", "--dist", "loadscope"],
    ):
        print("$ pytest " + " ".join(run), flush=True)
        done = subprocess.call([*pytest, *run], cwd=str(ROOT), env=environment())
        code = code or done
    return code


def refresh(args: "list[str]") -> int:
    setup()
    return _become([python(), str(NOTEBOOKS / "refresh.py"), *args])


def doctor(args: "list[str]") -> int:
    setup()
    return _become([python(), "-m", "mfcourse", "doctor", *args])


def copy(args: "list[str]") -> int:
    if len(args) != 1:
        raise CourseError("Name one lesson, for example: python3 course.py fresh 01")
    print(fresh(args[0]).relative_to(ROOT))
    return 0


def add(args: "list[str]") -> int:
    import tomllib

    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    unknown = [name for name in args if name not in extras]
    if unknown or not args:
        said = f"There is no extra {unknown[0]!r}" if unknown else "Name an extra"
        raise CourseError(f"{said}. There are: {', '.join(sorted(extras))}")
    setup()
    with _one_at_a_time() as lock:
        pins = ENV / "constraints.txt"  # an extra must not move what the lock holds
        text = LOCK.read_text(encoding="utf-8")
        lines = re.findall(r"^(\w[^\\\n]*?) *\\?$", text, re.M)
        pins.write_text("\n".join(lines), encoding="utf-8")
        for name in args:
            print(f"Installing the extra {name}", flush=True)
            _install(["-c", str(pins), *extras[name]], lock)
    print("Done.")
    return 0


def _become(command: "list[str]") -> int:
    """Run a command in place of this one, so that signals reach it."""
    sys.stdout.flush()
    if os.name == "posix":
        os.execve(command[0], command, environment())
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command
    return subprocess.call(command, env=environment())


COMMANDS = {
    "lab": lab,
    "test": test,
    "fresh": copy,
    "doctor": doctor,
    "add": add,
    "refresh": refresh,
}


def main(args: "list[str]") -> int:
    """Run a command; a foreseen failure ends in a sentence, not in a traceback."""
    try:
        _check_python()
        if not args or args[0] == "help" or {"-h", "--help"} & set(args):
            print((__doc__ or "").strip())
            return 0
        if args[0] not in COMMANDS:
            raise CourseError(
                f"There is no command {args[0]!r}. There are: {', '.join(COMMANDS)}. "
                "Examples: python3 course.py --help"
            )
        return COMMANDS[args[0]](args[1:])
    except KeyboardInterrupt:
        print("\nStopped. The same command carries on.", file=sys.stderr)
        return 130
    except CourseError as error:
        sentence = str(error)
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
            sentence = f"The disk is full. Free some space, {AGAIN}"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            sentence = (
                f"{error.filename or ROOT} cannot be written ({error.strerror}). Put "
                f"the course into a folder of your own, such as your home, {AGAIN}"
            )
        else:
            sentence = f"The system refused: {error}. Mend the cause, {AGAIN}"
    print("\n" + sentence, file=sys.stderr)
    return 1


def _check_python() -> None:
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        raise CourseError(
            "The course needs Python {}.{} to {}.{}".format(*OLDEST, *NEWEST)
            + f"; this is Python {sys.version.split()[0]}. Install one of them "
            "(https://www.python.org/downloads) and name it, for example: "
            "python3.13 course.py lab"
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
