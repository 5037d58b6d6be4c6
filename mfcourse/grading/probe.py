"""Does the sandbox hold? Each promise is broken from inside, as a student might.

The code below runs where submissions will run. It is ours, so what it reports can be
believed, and it tries each way that we know of.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfcourse.grading.key import GradingError

if TYPE_CHECKING:
    from mfcourse.grading.sandbox import Sandbox, Session

SECONDS = 20.0
_PLACES = (
    "", "in a process", "as shared memory", "in a pipe", "as a file in memory",
)  # fmt: skip
ALIVE = "Python or NumPy does not run in it"
_SOURCE = """
import ctypes, itertools, os, signal, socket, sys

def alive():
    import numpy, scipy.linalg
    return float(scipy.linalg.det(numpy.eye(2) * 2))

def network(port):
    for family, address in (
        (socket.AF_INET, ("127.0.0.1", port)), (socket.AF_UNIX, f"\\0mfcourse-{port}")
    ):
        try:
            socket.socket(family).connect(address)
            return True
        except OSError:
            pass
    return False

def reads(paths):
    return any(map(os.path.lexists, paths))

def writes(places):
    for place in itertools.chain(places, (folder for folder, *_ in os.walk("/"))):
        path = os.path.join(place, "mfcourse-probe")
        try:
            open(path, "w").close()
        except OSError:
            continue
        finally:
            try:
                os.unlink(path)
            except OSError:
                pass
        return True
    return False

def signals(pid):
    try:
        os.kill(pid, signal.SIGTERM)
        return True
    except OSError:
        return False

def processes(how):
    try:
        if how == "fork":
            child = os.fork()
        elif how == "vfork":
            import _posixsubprocess, subprocess
            subprocess.run([sys.executable, "-c", "0"], close_fds=False)
            return True
        else:
            import threading
            threading.Thread(target=int).start()
            return True
    except (OSError, RuntimeError):
        return False
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return True

def memory(size):
    try:
        bytearray(size)
        return 1
    except MemoryError:
        pass
    libc = ctypes.CDLL(None)
    libc.shmget.argtypes = (ctypes.c_int, ctypes.c_size_t, ctypes.c_int)
    segment = libc.shmget(0, size, 0o1600)
    if segment >= 0:
        libc.shmctl(segment, 0, None)
        return 2
    read, write = os.pipe()
    one = (ctypes.c_void_p * 2)(ctypes.addressof(ctypes.create_string_buffer(8)), 8)
    if libc.vmsplice(write, one, 1, 0) > 0:  # pages that leave the process
        return 3
    try:
        os.write(os.memfd_create("x"), b"x")
        return 4
    except (OSError, AttributeError):
        return 0

def packages(names):
    import importlib.util
    return [bool(importlib.util.find_spec(name)) for name in names]

def ask(name, *arguments):
    return globals()[name](*arguments)
"""


class _NoAnswer(Exception):  # noqa: N818
    pass


def probe(sandbox: Sandbox) -> list[str]:
    """Break each promise of a sandbox.

    Parameters
    ----------
    sandbox : Sandbox

    Returns
    -------
    list of str
        Those that are open.
    """
    found: list[str] = []
    with sandbox.start(_SOURCE, "ask") as session:
        try:
            session.load(SECONDS)
            for promise in _open_promises(session):
                found.append(promise)
        except (_NoAnswer, GradingError):
            found.append(ALIVE)
    return found


def _open_promises(session: Session) -> Iterator[str]:
    def ask(*arguments: Any) -> Any:
        reply = session.call(arguments, SECONDS)
        if reply.kind != "value":
            raise _NoAnswer
        return reply.value

    ask("alive")
    with _Outside() as outside:
        if ask("network", outside.port):
            yield "a submission reaches the network"
        if ask("reads", outside.files):
            yield "a submission reads files of this machine"
        if ask("writes", ["/tmp", "/dev/shm", "/var/tmp", *outside.folders]):
            yield "a submission writes files"
        if ask("signals", outside.pid) or outside.was_killed():
            yield "a submission signals processes outside"
    for how in ("fork", "vfork", "thread"):
        if ask("processes", how):
            yield f"a submission starts processes ({how})"
    if place := ask("memory", 1 << 31):
        yield f"a submission takes more memory {_PLACES[place]}"
    names = ["mfcourse", "sklearn", "implicit", "numba", "pandas", "surprise"]
    there = ask("packages", names)
    if found := [name for name, is_ in zip(names, there, strict=True) if is_]:
        yield f"a submission can import {', '.join(found)}"


class _Outside:
    """What a submission should not reach: a server, files, a process."""

    def __enter__(self) -> _Outside:
        self._folder = tempfile.TemporaryDirectory()
        secret = Path(self._folder.name, "secret")
        secret.write_text("a key", encoding="utf-8")
        os.chmod(self._folder.name, 0o777)
        home = Path.home()
        self.files = [str(secret), str(Path(__file__)), "/etc/passwd", "/proc/self"]
        self.folders = [self._folder.name, str(home), os.getcwd()]
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._local: socket.socket | None = None
        if sys.platform == "linux":
            self._local = socket.socket(socket.AF_UNIX)
            self._local.bind(f"\0mfcourse-{self.port}")
            self._local.listen()
        sleep = "import sys; sys.stdin.read()"
        self._victim = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", sleep], stdin=subprocess.PIPE
        )
        self.pid = self._victim.pid
        return self

    def was_killed(self) -> bool:
        return self._victim.poll() is not None

    def __exit__(self, *raised: object) -> None:
        self._victim.kill()
        self._victim.communicate()
        for server in (self._server, self._local):
            if server:
                server.close()
        self._folder.cleanup()
