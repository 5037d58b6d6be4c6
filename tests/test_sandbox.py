"""The sandbox keeps its promises; a promise that is broken on purpose is seen."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from mfcourse.grading import sandbox
from mfcourse.grading.key import GradingError
from mfcourse.grading.probe import ALIVE, probe
from mfcourse.grading.sandbox import Sandbox

pytestmark = pytest.mark.skipif(not shutil.which("bwrap"), reason="no bubblewrap here")
SITE = Path(np.__file__).parents[1]
SHUT = Sandbox("bubblewrap")
AS_USER = [
    "bwrap", "--bind", "/", "/", "--dev-bind", "/dev", "/dev", "--proc", "/proc",
    "--unshare-user", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL", "--",
]  # fmt: skip


def answer(source, *arguments, name="f", seconds=5.0, in_place=(), where=SHUT):
    with where.start(source, name, in_place) as session:
        if (loaded := session.load(10)).kind != "value":
            return loaded
        return session.call(arguments, seconds)


# ---- The talk ------------------------------------------------------------------------


def test_values_go_in_and_come_back():
    source = "import numpy as np\ndef f(x, n, pair):\n    return [x * n, pair[0]]"
    reply = answer(source, np.arange(3.0), 2, (7, [8]))
    assert reply.kind == "value"
    assert np.array_equal(reply.value[0], [0, 2, 4])
    assert reply.value[1] == 7


def test_an_answer_larger_than_a_pipe_comes_whole_and_so_does_an_input():
    X = np.random.default_rng(0).normal(size=(200, 300))
    reply = answer("def f(X):\n    return X", X)
    assert np.array_equal(reply.value, X)


def test_arguments_changed_in_place_are_the_answer():
    reply = answer("def f(a, b):\n    b[0] = 9", 1, np.zeros(2), in_place=(1,))
    assert np.array_equal(reply.value[0], [9, 0])


def test_an_exception_is_told_by_class_and_line_alone():
    source = "class Odd(KeyError):\n    pass\n\ndef f(x):\n    raise Odd('secret')"
    assert answer(source, 1)[:1] + answer(source, 1)[2:] == ("error", "KeyError", 5)
    assert answer("def f(x)\n  1", 1).error == "SyntaxError"
    assert answer("f = 1", 1, name="g").error == "KeyError"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("while True: pass", "timeout"),
        ("import os; os._exit(0)", "died"),
        ("import ctypes; ctypes.string_at(0)", "died"),
        ("return {1}", "unfit"),
        ("return np.zeros(10**6)", "flood"),
        ("return [0.123456789] * 10**5", "flood"),
        ("raise SystemExit", "error"),
    ],
)
def test_how_a_call_can_end(body, kind):
    reply = answer(f"import numpy as np\ndef f(x):\n    {body}", 1, seconds=4)
    assert reply.kind == kind


def test_memory_is_limited_and_its_lack_is_told():
    reply = answer("def f(x):\n    return len(bytearray(2 << 30))", 1)
    assert (reply.kind, reply.error) == ("error", "MemoryError")


def test_a_process_that_does_not_read_is_given_up():
    source = "import time\nwhile True: time.sleep(1)\nf = 1"
    with SHUT.start(source, "f") as session:
        assert session.load(0.3).kind == "timeout"
        assert session.call((np.zeros(400_000),), 0.3).kind == "timeout"


def test_nothing_is_left_after_the_end():
    before = {p.pid for p in psutil.process_iter()}
    session = SHUT.start("def f(x):\n    while True: pass", "f")
    session.load(10)
    session.call((1,), 0.2)
    started = [p for p in psutil.process_iter(["cmdline"]) if p.pid not in before]
    mine = [p for p in started if "/sandbox/worker.py" in (p.info["cmdline"] or ())]
    assert mine
    session.close()
    _, alive = psutil.wait_procs(mine, timeout=10)
    assert not alive


def test_a_grader_that_is_killed_takes_all_with_it():
    code = (
        "from mfcourse.grading.sandbox import Sandbox\n"
        "s = Sandbox('bubblewrap').start('def f(x):\\n    while True: pass', 'f')\n"
        "s.load(10)\nprint('on', flush=True)\ns.call((1,), 60)"
    )
    grader = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert grader.stdout.readline() == b"on\n"
    family = psutil.Process(grader.pid).children(recursive=True)
    assert len(family) >= 2
    grader.kill()
    grader.communicate()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive


# ---- The promises --------------------------------------------------------------------


def test_every_promise_holds():
    assert probe(SHUT) == []
    assert str(sandbox.find()) == "in a sandbox (bubblewrap)"


def test_every_promise_holds_for_an_ordinary_user():
    if os.geteuid():
        pytest.skip("all tests are those of an ordinary user here")
    code = (
        "import os; assert os.geteuid() == 1000\n"
        "from mfcourse.grading import probe, sandbox\n"
        "print(probe.probe(sandbox.Sandbox('bubblewrap')))"
    )
    command = [*AS_USER, sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert done.stdout == "[]\n", done.stderr


def test_without_a_sandbox_every_promise_is_open():
    found = " ".join(probe(Sandbox("none")))
    for word in ("network", "reads", "writes", "signals", "fork", "thread", "memory"):
        assert word in found
    assert "import" in found
    with pytest.raises(GradingError, match="leaves something open: a submission"):
        sandbox._refuse("none", ["a submission reaches the network"])


@pytest.mark.parametrize(
    ("dropped", "added", "says"),
    [
        ("--unshare-net --seccomp", "", "network"),
        ("--unshare-ipc --seccomp", "", "more memory as shared memory"),
        ("", "--perms 0777 --tmpfs /tmp", "writes"),
        ("", f"--ro-bind {SITE} /sandbox/site", "import sklearn"),
        ("", "--ro-bind /etc/passwd /etc/passwd", "reads"),
    ],
)
def test_a_promise_that_is_open_is_seen(monkeypatch, dropped, added, says):
    real = sandbox._bubblewrap

    def other(python, seccomp):
        command = real(python, seccomp)
        for flag in dropped.split():
            place = command.index(flag)
            del command[place : place + 1 + (flag == "--seccomp")]
        last = len(command) - command[::-1].index("--remount-ro") - 1
        return [*command[:last], *added.split(), *command[last:]]

    monkeypatch.setattr(sandbox, "_bubblewrap", other)
    assert says in " ".join(probe(SHUT))


def test_a_sandbox_that_does_not_start_is_told(monkeypatch):
    monkeypatch.setattr(sandbox, "_bubblewrap", lambda *a: ["false"])
    assert probe(SHUT) == [ALIVE]
    with pytest.raises(GradingError, match=r"does not run in it.*apt-get install"):
        sandbox.find()


def test_without_bubblewrap_nothing_runs_unless_asked_to(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(GradingError, match="no sandbox on this machine"):
        sandbox.find()
    assert str(sandbox.find(unsafe=True)).startswith("UNSAFE")
    assert answer("def f(x):\n    return x", 3, where=Sandbox("none")).value == 3


def test_memory_is_watched_where_no_limit_holds(monkeypatch):
    monkeypatch.setattr(sandbox, "LIMITS", {})
    source = "def f(x):\n    b = bytearray(b'1') * (3 << 29)\n    while True: pass"
    assert answer(source, 1, where=Sandbox("none"), seconds=20).kind == "memory"


def test_the_rules_of_macos_name_no_more_than_needed():
    text = sandbox._profile("/usr/bin/python3", "/folder")
    assert text.startswith("(version 1) (deny default)")
    assert "network" not in text
    assert "process-fork" not in text
    assert '(subpath "/folder")' in text


def test_locks_and_timers_cannot_fill_the_kernel():
    source = (
        "import ctypes, fcntl, os, struct\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "def f(command):\n"
        "    file = os.open('/sandbox/wire.py', os.O_RDONLY)\n"
        "    lock = struct.pack('hhqqi', 0, 0, 0, 1, 0)\n"
        "    return len(fcntl.fcntl(file, command, lock))\n"
        "def timers(n):\n"
        "    made = ctypes.c_void_p()\n"
        "    return sum(libc.timer_create(1, None, ctypes.byref(made)) == 0\n"
        "               for _ in range(n))"
    )
    for command in (6, 7, 37, 38):
        assert answer(source, command).error == "PermissionError"
    assert answer(source, 5).kind == "value"  # asking is no lock
    assert answer(source, 1000, name="timers").value <= 64


def test_the_filter_denies_the_calls_of_this_machine():
    program = sandbox._filter()
    assert program[:8] == b"\x20\x00\x00\x00\x04\x00\x00\x00"
    assert len(program) % 8 == 0
    assert len(program) // 8 < 256  # jumps are bytes
    source = (
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "def f(n):\n    return [libc.syscall(n), ctypes.get_errno()]"
    )
    denied = [sandbox._DENIED["x86_64"][1], sandbox._DENIED["aarch64"][1]]
    ours = denied["aarch64" in os.uname().machine]
    with SHUT.start(source, "f") as session:
        session.load(10)
        for number in (*ours, *sandbox._DENIED_EVERYWHERE):
            assert session.call((number,), 5).value == [-1, errno.EPERM], number
