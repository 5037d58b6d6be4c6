"""A process that can compute, and nothing else: it is told what to run, and answers.

Inside there are Python, NumPy and SciPy, all read-only, and no network, no other file,
no other process, no place to write. Bubblewrap gives that on Linux, sandbox-exec on
macOS. Each promise is tried out, by breaking it, before the first submission runs
(`probe`); where one is open, nothing runs.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import selectors
import shutil
import signal
import struct
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from mfcourse.exercises import wire
from mfcourse.exercises.exercise import Arguments
from mfcourse.grading.key import GradingError

MB = 1 << 20
MEMORY, OUTPUT = 1024 * MB, MB  # of a process; of one answer
START = 30.0  # seconds until Python runs, on a crowded machine
LIMITS = {
    "RLIMIT_AS": MEMORY,
    "RLIMIT_CPU": 90,
    "RLIMIT_NPROC": 1,  # no second one
    "RLIMIT_FSIZE": 0,
    "RLIMIT_NOFILE": 32,
    "RLIMIT_SIGPENDING": 64,  # timers are the kernel's memory
    "RLIMIT_CORE": 1,  # 0 would still feed a program that collects cores
}
NOBODY = 65_534
ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
WORKER = Path(__file__).with_name("worker.py")
CURE = (
    "Install bubblewrap (Debian, Ubuntu: apt-get install bubblewrap; Fedora: dnf "
    "install bubblewrap), and see that users may make namespaces (in a container: "
    "--security-opt seccomp=unconfined, or run it on the host). docs/grading.md, "
    '"The sandbox", says more'
)

# System calls that no solution needs and an attack would: processes, threads, sockets,
# memory that outlives a process, mounts, other processes, new corners of the kernel.
_DENIED = {
    "x86_64": (
        0xC000003E,
        (29, 30, 41, 53, 56, 57, 58, 64, 68, 101, 103, 135, 155, 165, 166, 206, 240,
         248, 249, 250, 253, 254, 272, 278, 294, 298, 300, 304, 308, 310, 311, 319, 321,
         323),
    ),
    "aarch64": (
        0xC00000B7,
        (0, 26, 27, 39, 40, 41, 75, 92, 97, 116, 117, 180, 186, 190, 194, 196, 198, 199,
         217, 218, 219, 220, 241, 262, 265, 268, 270, 271, 279, 280, 282),
    ),
}  # fmt: skip
_STANDARD = ("stdlib", "platstdlib")
_FCNTL = {"x86_64": 72, "aarch64": 25}
_LOCKS = (6, 7, 37, 38)  # its commands that lock: the kernel's memory, too
_DENIED_EVERYWHERE = (
    425, 426, 427, 428, 429, 430, 432, 434, 435, 438, 442, 444, 445, 446, 447,
)  # fmt: skip


class Reply(NamedTuple):
    """What came of a call.

    ``kind`` is "value"; "error" (an exception, with its class and line); "unfit" (no
    plain data); "timeout", "memory", "flood" or "died", after which the process is
    gone.
    """

    kind: str
    value: Any = None
    error: str = ""
    line: int = 0


@dataclass(frozen=True)
class Sandbox:
    """How a process is shut in.

    Parameters
    ----------
    kind : {"bubblewrap", "sandbox-exec", "none"}
    """

    kind: str

    def __str__(self) -> str:
        if self.kind == "none":
            return "UNSAFE: without a sandbox. Submissions could read and change files"
        return f"in a sandbox ({self.kind})"

    def start(
        self, source: str, function: str, in_place: tuple[int, ...] = ()
    ) -> Session:
        """Start a process with a student's source.

        Parameters
        ----------
        source : str
            A module that defines the function.
        function : str
        in_place : tuple of int
            Arguments that are the answer, by place.

        Returns
        -------
        Session
        """
        return Session(self, source, function, in_place)

    def _command(self, folder: str, seccomp: int) -> tuple[list[str], list[str]]:
        """The command, and where it finds modules."""
        python = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
        run = [python, "-I", "-S", "-B"]
        if self.kind == "bubblewrap":
            return [
                *_bubblewrap(python, seccomp), *run, "/sandbox/worker.py",
            ], ["/sandbox", "/sandbox/site"]  # fmt: skip
        path = [str(Path(wire.__file__).parent), folder]
        if self.kind == "none":
            return [*run, str(WORKER)], [path[0], str(_packages()[0].parent)]
        for package in _packages():
            os.symlink(package, Path(folder, package.name))
        return ["sandbox-exec", "-p", _profile(python, folder), *run, str(WORKER)], path


class Session:
    """One process in the sandbox, and the talk with it; close it, or use ``with``.

    Parameters
    ----------
    sandbox : Sandbox
    source, function, in_place
        As in `Sandbox.start`.
    """

    def __init__(
        self, sandbox: Sandbox, source: str, function: str, in_place: tuple[int, ...]
    ) -> None:
        self._watched = sandbox.kind != "bubblewrap"
        self._folder = tempfile.TemporaryDirectory() if self._watched else None
        program, write = os.pipe()
        os.write(write, _filter())
        os.close(write)
        try:
            command, path = sandbox._command(
                self._folder.name if self._folder else "", program
            )
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=ENVIRONMENT,
                cwd="/",
                pass_fds=[program],
                start_new_session=True,
            )
        finally:
            os.close(program)
        assert self._process.stdin
        assert self._process.stdout
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout
        os.set_blocking(self._in, False)
        os.set_blocking(self._out.fileno(), False)
        self._read = bytearray()
        job = {
            "source": source, "function": function, "in_place": in_place,
            "limits": LIMITS, "uid": 0 if self._watched else NOBODY, "path": path,
        }  # fmt: skip
        self._to_send = json.dumps(job).encode() + b"\n"

    def load(self, seconds: float) -> Reply:
        """Wait until the source has run.

        Parameters
        ----------
        seconds : float

        Returns
        -------
        Reply
            Of kind "value" when the function is there.

        Raises
        ------
        GradingError
            The sandbox did not start, which is not the student's doing.
        """
        if self._answer(b"", START) != Reply("value", False):
            raise GradingError("the sandbox did not start on this machine")
        return self._answer(b"", seconds)

    def call(self, arguments: Arguments, seconds: float) -> Reply:
        """Call the function.

        Parameters
        ----------
        arguments : tuple
        seconds : float
            After which the process is killed.

        Returns
        -------
        Reply
        """
        return self._answer(wire.dumps(list(arguments)).encode() + b"\n", seconds)

    def close(self) -> None:
        """End the process, and with it whatever it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdin
        with suppress(OSError):
            self._process.stdin.close()
        self._out.close()
        if self._folder:
            self._folder.cleanup()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _answer(self, line: bytes, seconds: float) -> Reply:
        self._to_send += line
        end = time.monotonic() + seconds
        with selectors.DefaultSelector() as ready:
            ready.register(self._out, selectors.EVENT_READ)
            if self._to_send:
                ready.register(self._in, selectors.EVENT_WRITE)
            while b"\n" not in self._read:
                left = max(0.0, end - time.monotonic())
                for key, _ in ready.select(min(left, 0.1 if self._watched else left)):
                    if key.fd == self._in:
                        if not self._send():
                            ready.unregister(self._in)
                    elif not self._receive():
                        return Reply("died")
                if len(self._read) > OUTPUT:
                    return Reply("flood")
                if left == 0 and b"\n" not in self._read:  # what is there counts
                    return Reply("timeout")
                if self._watched and _resident(self._process.pid) > MEMORY:
                    return Reply("memory")
        answer, _, rest = bytes(self._read).partition(b"\n")
        self._read = bytearray(rest)
        return _understood(answer)

    def _send(self) -> bytes:
        try:
            sent = os.write(self._in, self._to_send[:65_536])
        except BlockingIOError:
            sent = 0
        except BrokenPipeError:
            self._to_send = b""
            return b""
        self._to_send = self._to_send[sent:]
        return self._to_send

    def _receive(self) -> bytes:
        got = self._out.read(1 << 16) or b""
        self._read += got
        return got


def find(unsafe: bool = False) -> Sandbox:
    """The strongest sandbox of this machine, each of its promises tried out.

    Parameters
    ----------
    unsafe : bool
        Go without one.

    Returns
    -------
    Sandbox

    Raises
    ------
    GradingError
        There is none, or a promise is open.
    """
    if not hasattr(os, "fork"):
        raise GradingError("grading needs Linux or macOS. On Windows, use WSL 2")
    if unsafe:
        return Sandbox("none")
    if shutil.which("bwrap"):
        found = Sandbox("bubblewrap")
    elif sys.platform == "darwin" and shutil.which("sandbox-exec"):
        found = Sandbox("sandbox-exec")
    else:
        raise GradingError(f"there is no sandbox on this machine. {CURE}")
    from mfcourse.grading.probe import probe

    _refuse(found.kind, probe(found))
    return found


def _refuse(kind: str, promises: list[str]) -> None:
    if promises:
        listed = "; ".join(promises)
        raise GradingError(f"{kind} leaves something open: {listed}. {CURE}")


def _understood(answer: bytes) -> Reply:
    """A line of a stranger's, as a reply."""
    try:
        told = json.loads(answer)
        if not isinstance(told, dict):
            raise ValueError
        if "value" in told:
            return Reply("value", wire.decode(told["value"]))
        if "ready" in told:
            return Reply("value", told["ready"] is True)
        if "unfit" in told:
            return Reply("flood" if told["unfit"] is True else "unfit")
        error, line = told["error"], told["line"]
        if not isinstance(error, str) or type(line) is not int:
            raise ValueError
        return Reply("error", error=error, line=line)
    except (ValueError, KeyError, RecursionError, MemoryError):
        return Reply("unfit")


def _resident(pid: int) -> int:
    with suppress(psutil.Error):
        return psutil.Process(pid).memory_info().rss
    return 0


def _packages() -> list[Path]:
    """Folders of NumPy and SciPy, with the libraries beside them."""
    found = []
    for name in ("numpy", "scipy"):
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.origin:
            raise GradingError(f"{name} is not installed. Run: mfcourse doctor")
        folder = Path(spec.origin).parent
        beside = folder.parent / f"{name}.libs"
        found += [folder, *([beside] if beside.exists() else [])]
    return found


def _bubblewrap(python: str, seccomp: int) -> list[str]:
    is_root = os.geteuid() == 0
    command = [
        shutil.which("bwrap") or "bwrap", "--unshare-ipc", "--unshare-pid",
        "--unshare-net", "--unshare-uts", "--unshare-cgroup-try",
        "--die-with-parent", "--new-session", "--cap-drop", "ALL",
    ]  # fmt: skip
    if is_root:  # the worker's first act is to become nobody
        command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        command += ["--unshare-user"]
    command += _mounts(python)
    return [*command, *(["--seccomp", str(seccomp)] if _filter() else []), "--"]


@cache
def _mounts(python: str) -> list[str]:
    """What is there; looked for once, as every task has a sandbox of its own."""
    command: list[str] = []
    base = {"platbase": sys.base_exec_prefix}
    standard = [sysconfig.get_path(name, vars=base) for name in _STANDARD]
    shared = Path("/usr/lib", str(sysconfig.get_config_var("MULTIARCH")))
    libraries = [shared if shared.exists() else shared.parent]
    libraries += [Path("/usr/lib64"), Path(sys.base_prefix, "lib")]
    libraries += map(Path, standard)
    roots = dict.fromkeys(path for path in libraries if path.exists())
    open_to_nobody = {part for path in [*roots, Path(python)] for part in path.parents}
    for folder in [*sorted(open_to_nobody), "/etc", "/sandbox", "/sandbox/site"]:
        command += ["--perms", "0755", "--dir", str(folder)]
    for path in roots:
        command += ["--ro-bind", str(path), str(path)]
    for link in ("/lib", "/lib64"):
        if os.path.islink(link):
            command += ["--symlink", os.readlink(link), link]
        else:
            command += ["--ro-bind-try", link, link]
    command += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    command += ["--ro-bind", python, python]
    for library in roots:
        own = [*library.glob("*-packages"), *library.glob("python*/*-packages")]
        for hidden in sorted(own):
            command += ["--tmpfs", str(hidden), "--remount-ro", str(hidden)]
    for package in _packages():
        command += ["--ro-bind", str(package), f"/sandbox/site/{package.name}"]
    command += ["--ro-bind", str(WORKER), "/sandbox/worker.py"]
    command += ["--ro-bind", str(wire.__file__), "/sandbox/wire.py"]
    command += ["--dev-bind", "/dev/null", "/dev/null", "--remount-ro", "/"]
    command += ["--chdir", "/"]
    return command


def _filter() -> bytes:
    """A classic BPF program for seccomp; empty on a machine we do not know."""
    if platform.machine() not in _DENIED:
        return b""
    architecture, denied = _DENIED[platform.machine()]
    numbers = [*denied, *_DENIED_EVERYWHERE]
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06
    steps = [
        (load, 0, 0, 4),
        (equal, 1, 0, architecture),
        (answer, 0, 0, 0x80000000),  # kill
        (load, 0, 0, 0),
        (at_least, len(numbers) + 7, 0, 0x40000000),  # the x32 twins of all calls
        *((equal, len(numbers) + 6 - n, 0, k) for n, k in enumerate(numbers)),
        (equal, 0, 5, _FCNTL[platform.machine()]),
        (load, 0, 0, 24),  # its command
        *((equal, 4 - n, 0, command) for n, command in enumerate(_LOCKS)),
        (answer, 0, 0, 0x7FFF0000),  # go on
        (answer, 0, 0, 0x00050001),  # EPERM
    ]
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def _profile(python: str, folder: str) -> str:
    """Rules of sandbox-exec: the last one that fits counts."""
    roots = [sys.base_prefix, "/usr/lib", "/System/Library", "/private/var/db/dyld"]
    own = [folder, str(WORKER), wire.__file__, *map(str, _packages())]
    reads = " ".join(f"(subpath {json.dumps(os.path.realpath(p))})" for p in roots)
    opens = " ".join(f"(subpath {json.dumps(os.path.realpath(p))})" for p in own)
    return f"""(version 1) (deny default)
(allow process-exec (literal {json.dumps(python)}))
(allow sysctl-read) (allow file-read-metadata)
(allow file-read* {reads} (literal "/dev/urandom") (literal "/"))
(deny file-read* (regex #"/(site|dist)-packages/"))
(allow file-read* {opens})
(allow file-read* file-write-data (literal "/dev/null"))"""
