"""Submissions that cheat, attack or are broken, and honest ones: all in one batch.

Each attack is on one task; the other task of the same notebook is solved honestly, and
has to get its points. An attempt that is refused raises, so its task has "crashed" and
the refusal's name; one that succeeds would get to the end of the function.

Attacks of one kind stand together. By default every second submission that needs a
sandbox is in the batch, and so each kind; all are with --soak.
"""

import builtins
import contextlib
import csv
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tracemalloc
import unicodedata
import zipfile
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from mfcourse.grading import grade, intake, key, sandbox
from mfcourse.grading.collector import LARGEST_SOURCE
from mfcourse.grading.grade import Grader
from mfcourse.grading.key import GradingError

fcntl = pytest.importorskip("fcntl", reason="grading needs Linux or macOS")
pytestmark = pytest.mark.skipif(
    shutil.which("bwrap") is None, reason="bubblewrap is not here: nothing is attacked"
)

LIMITS = {"CALL": 1.2, "LOAD": 5.0, "ALL": 10.0}
HIDDEN = 0.27182818  # in each hidden input of `scaled`, and nowhere else
RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID", os.getpid())
TOKEN = f"hostile{RUN}"  # in all that an attack would write, and its processes
KEY = f"""
import numpy as np
from mfcourse.grading.key import Written, task

TITLE, INTRO = "Hostile", ""
WRITTEN = [Written("why", 2, "Why?")]

def _short(rng):
    yield {{"x": np.append({HIDDEN}, rng.normal(size=3)), "a": rng.normal()}}

def _long(rng):
    yield {{"x": np.append({HIDDEN}, rng.normal(size=5)), "a": rng.normal()}}

def _vectors(n):
    return lambda rng: [{{"x": rng.normal(size=5)}} for _ in range(n)]

def _scores(rng):
    for n in (2, 3):
        yield {{"scores": rng.normal(size=6), "n": n}}

@task(statement="", groups={{"short": (2, _short), "long": (3, _long)}}, mistakes={{}})
def scaled(x, a):
    return a * x

@task(statement="", groups={{"all": (4, _vectors(2))}}, mistakes={{}})
def norm(x):
    return float(np.sqrt((x**2).sum()))

@task(statement="", groups={{"all": (1, _vectors(20))}}, mistakes={{}})
def many(x):
    return x.sum()

@task(statement="", groups={{"all": (2, _scores)}}, mistakes={{}})
def top(scores, n):
    best = np.argsort(-scores)[:n]
    return [(int(i), float(scores[i])) for i in best]
"""
OF = {"scaled": 5, "norm": 4, "many": 1, "top": 2}

# ---- Attacks on `scaled` -------------------------------------------------------------

TOOLS = (
    "import _thread, atexit, builtins, ctypes, gc, importlib, json, mmap, os\n"
    "import multiprocessing, re, resource, shutil, signal, socket, subprocess, sys\n"
    "import threading, time, urllib.request, numpy as np, numpy.testing"
)
HELPERS = '''
def proof():
    """A loop that no signal ends."""
    for number in range(1, 65):
        try:
            signal.signal(number, lambda *told: None)
        except (OSError, ValueError):
            pass
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 15))
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass

def forge(line, times=1):
    """Write a line where the answers go, wherever that is."""
    for number in range(3, 64):
        try:
            data = line * times
            while data:
                data = data[os.write(number, data):]
        except OSError:
            pass

def native(name, *arguments):
    """Call the C library, past Python."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)

def places():
    """Folders that one might write to."""
    yield from ("OUTSIDE", "/tmp", "/dev/shm", "/var/tmp", os.path.expanduser("~"))
    for folder, *_ in os.walk("/"):
        yield folder

class Equal:
    __hash__ = None
    def always(self, *arguments, **named):
        return True
    __eq__ = __ne__ = __le__ = __ge__ = __lt__ = __gt__ = __bool__ = always
    def itself(self, *arguments, **named):
        return self
    __sub__ = __rsub__ = __abs__ = __array__ = __getattr__ = __getitem__ = itself
    def __float__(self):
        return 1.0
    def __len__(self):
        return 4

class Array(np.ndarray):
    def __eq__(self, other):
        return np.True_
    __sub__ = __rsub__ = __eq__
    def __array_ufunc__(self, *arguments, **named):
        return np.True_
    def __array_function__(self, *arguments, **named):
        return np.True_

class Float(float):
    __eq__ = __le__ = lambda self, other: True

class Posing:
    __class__ = np.ndarray
    dtype, nbytes, shape = np.dtype(float), 0, (4,)

class Endless(list):
    def __iter__(self):
        while True:
            yield 1

class Late:
    def __del__(self):
        os._exit(0)
'''
# Name → what `scaled` should get, and the body of an attack. After the status stands
# what the reason has to say.
BODIES = {
    # -- No end
    "loop": ("time_limit", "while True: pass"),
    "loop that no signal ends": ("time_limit", "proof()"),
    "loop in C": ("time_limit", "re.match('(a+)+$', 'a' * 60 + 'b')"),
    "large number": ("time_limit", "return 7 ** 10 ** 9"),
    "stops itself": ("time_limit", "os.kill(os.getpid(), signal.SIGSTOP)"),
    "waits for more input": (
        "time_limit",
        "for n in range(3, 64):\n try: os.read(n, 1 << 20)\n except OSError: pass",
    ),
    "endless list": ("time_limit|memory_limit", "return Endless([1])"),
    "forges and loops": ("wrong|time_limit", "forge(b'{\"value\": 0}\\n'); proof()"),
    # -- Memory
    "2 GB": ("memory_limit", "bytearray(1 << 31)"),
    "2 GB by and by": (
        "memory_limit", "held = []\nwhile True: held.append(np.empty(1 << 24))",
    ),
    "2 GB mapped": ("crashed OSError|memory_limit", "mmap.mmap(-1, 1 << 31)"),
    "2 GB of numbers": ("memory_limit", "return np.ones(1 << 28)"),
    "file in memory": ("crashed PermissionError", f"os.memfd_create('{TOKEN}')"),
    "shared memory": (
        "crashed PermissionError",
        "native('shmget', 0, ctypes.c_size_t(1 << 20), 0o1600)",
    ),
    # -- Processes
    "fork": ("crashed OSError", "while True: os.fork()"),
    "fork and setsid": (
        "crashed OSError", "if os.fork() == 0:\n  os.setsid()\n  proof()",
    ),
    "subprocess": ("crashed OSError", "subprocess.run([sys.executable, '-c', ''])"),
    "shell": (
        "crashed OSError",
        f"if os.system('sleep 99 & touch /tmp/{TOKEN}'): raise OSError",
    ),
    "background process": (
        "crashed OSError", "os.posix_spawn(sys.executable, ['python', '-c', ''], {})",
    ),
    "multiprocessing": (
        "crashed OSError", "multiprocessing.Process(target=proof, daemon=True).start()",
    ),
    "thread": ("crashed RuntimeError", "threading.Thread(target=proof).start()"),
    "thread of its own": (
        "crashed RuntimeError", "_thread.start_new_thread(proof, ())",
    ),
    "pip": (
        "crashed OSError",
        "subprocess.run([sys.executable, '-m', 'pip', 'install', 'scikit-learn'])",
    ),
    # -- Other processes
    "kills the parent": ("crashed|wrong", "os.kill(os.getppid(), signal.SIGKILL)"),
    "kills the grader": ("crashed ProcessLookupError", "os.kill(GRADER, 9)"),
    "kills everybody": ("crashed", "os.kill(-1, 9)"),
    "kills its group": ("crashed died", "os.killpg(0, 9)"),
    "traces its parent": ("crashed PermissionError", "native('ptrace', 16, 1, 0, 0)"),
    "becomes root": ("crashed OSError", "os.setuid(0)"),
    "leaves its root": ("crashed PermissionError", "os.chroot('/sandbox')"),
    "namespaces of its own": (
        "crashed PermissionError", "native('unshare', 0x10000000)",
    ),
    "mounts": (
        "crashed PermissionError", "native('mount', b'none', b'/', b'tmpfs', 0, None)",
    ),
    "no limits": (
        "crashed ValueError", "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    ),
    # -- Files
    "fills the disk": (
        "crashed OSError",
        "for place in places():\n"
        " try:\n"
        f"  with open(place + '/{TOKEN}', 'wb') as file: file.write(bytes(1 << 20))\n"
        "  break\n"
        " except OSError: pass\n"
        "else: raise OSError",
    ),
    "links": ("crashed OSError", f"os.symlink('OUTSIDE', '/{TOKEN}')"),
    "pipes": ("crashed OSError", f"os.mkfifo('/sandbox/{TOKEN}')"),
    "removes": ("crashed OSError", "os.unlink('/sandbox/worker.py')"),
    "removes all": ("crashed FileNotFoundError", "shutil.rmtree('OUTSIDE')"),
    "reads what is outside": ("crashed FileNotFoundError", "open('OUTSIDE/key.py')"),
    "reads who is here": ("crashed OSError", "open('/etc/passwd')"),
    "reads its process": ("crashed FileNotFoundError", "open('/proc/1/environ')"),
    "reads the environment": ("crashed KeyError", "os.environ['HOSTILE']"),
    "imports the answers": ("crashed ModuleNotFoundError", "import mfcourse"),
    "imports scikit-learn": ("crashed ModuleNotFoundError", "import sklearn"),
    "looks for answers": (
        "crashed LookupError",
        "words = 'mfcourse', 'sklearn', 'implicit-', '.ipynb', '.jsonl', 'pandas-'\n"
        "for _, folders, files in os.walk('/'):\n"
        " for name in folders + files:\n"
        "  if any(word in name for word in words): return 0\n"
        "raise LookupError",
    ),
    # -- Network
    "network": (
        "crashed OSError",
        "for place in ('127.0.0.1', PORT), ('::1', PORT):\n"
        " try: socket.create_connection(place, 0.3); break\n"
        " except OSError: pass\n"
        "else: raise OSError",
    ),
    "local socket": (
        "crashed OSError", "socket.socket(socket.AF_UNIX).connect('\\0ABSTRACT')",
    ),
    "web": ("crashed OSError", "urllib.request.urlopen('http://127.0.0.1:PORT')"),
    "packets": (
        "crashed OSError",
        "one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "one.sendto(b'x', ('127.0.0.1', PORT))",
    ),
    # -- Answers that are no answers
    "always equal": ("wrong", "return Equal()"),
    "always equal parts": ("wrong", "return [Equal() for _ in x]"),
    "own array": ("wrong", "return x.view(Array)"),
    "own number": ("wrong", "return [Float(0) for _ in x]"),
    "poses as an array": ("wrong|crashed", "return Posing()"),
    "masked": ("wrong", "return np.ma.masked_all_like(x)"),
    "objects": ("wrong", "return np.array([Float(0) for _ in x], object)"),
    "nan": ("wrong NaN", "return x * np.nan"),
    "infinities": ("wrong", "return x * np.inf"),
    "one number for all": ("wrong shape", "return a"),
    "none": ("wrong None", "return None"),
    "text": ("wrong", "return str(list(a * x))"),
    "dict": ("wrong", "return dict(enumerate(a * x))"),
    "complex": ("wrong", "return a * x + 0j"),
    "generator": ("wrong", "return (a * value for value in x)"),
    "list in itself": ("wrong", "a = []; a.append(a); return a"),
    "deep list": ("wrong", "a = []\nfor _ in range(99_999): a = [a]\nreturn a"),
    "goes away late": ("wrong|crashed", "return Late()"),
    "huge array": ("output_limit", "return np.broadcast_to(x[0], (10**6, 10**6))"),
    "large array": ("output_limit", "return np.zeros(1 << 20)"),
    "100 MB of text": ("output_limit|time_limit", "return 'x' * 10**8"),
    "many numbers": ("output_limit|time_limit", "return [0] * 3_000_000"),
    "deep array": ("wrong", "return np.zeros((1,) * 30)"),
    # -- Forged lines
    "forged value": (
        "wrong",
        "import base64; text = base64.b64encode(x.tobytes()).decode()\n"
        "line = {'value': {'dtype': '<f8', 'shape': list(x.shape), 'bytes': text}}\n"
        "forge(json.dumps(line).encode() + b'\\n')",
    ),
    "forged lines ahead": ("wrong", "forge(b'{\"value\": [0, 0, 0, 0]}\\n', 5_000)"),
    "forged marks": ("wrong", 'forge(b\'{"status": "ok", "points": 5}\\n\')'),
    "forged truth": ("wrong", 'forge(b\'{"ready": true, "value": true}\\n\', 9)'),
    "forged start": ("wrong", "forge(b'{\"ready\": true}\\n', 9)"),
    "forged error": (
        "crashed an exception",
        'forge(b\'{"error": "<b>Smuggled", "line": 99999999999999999999}\\n\', 9)',
    ),
    "forged bomb": (
        "wrong|output_limit", "forge(b'{\"value\": ' + b'[' * 10**6 + b'\\n')",
    ),
    "forged many": (
        "wrong|output_limit", "forge(b'{\"value\": [' + b'[],' * 10**6 + b'0]}\\n')",
    ),
    "forged digits": ("wrong", "forge(b'{\"value\": ' + b'9' * 10**6 + b'}\\n')"),
    "forged bytes": ("wrong", "forge(b'\\xff\\x00\\n')"),
    "forged shape": (
        "wrong",
        'forge(b\'{"value": {"dtype": "<f8", "shape": [4000000, 4000000], '
        '"bytes": ""}}\\n\')',
    ),
    "forged objects": (
        "wrong",
        'forge(b\'{"value": {"dtype": "|O8", "shape": [1], '
        '"bytes": "AAAAAAAAAAA="}}\\n\')',
    ),
    "forged flood": ("output_limit", "forge(b'x' * (9 << 20))"),
    # -- What checks
    "other numpy": (
        "wrong",
        "yes = lambda *arguments, **named: np.True_\n"
        "np.isclose = np.allclose = np.array_equal = np.abs = np.all = yes\n"
        "np.testing.assert_allclose = np.testing.assert_equal = yes\n"
        "builtins.abs = builtins.all = builtins.len = lambda *arguments: 0",
    ),
    "other json": ("wrong", "json.dumps = lambda *told, **named: '{\"ready\": true}'"),
    "other wire": (
        "wrong|crashed",
        "import wire\nwire.encode = lambda *value: True\nsys.modules['wire'] = Equal()",
    ),
    "no builtins": (
        "crashed", "for name in list(vars(builtins)): delattr(builtins, name)",
    ),
    "frames": (
        "wrong",
        "frame, seen = sys._getframe(), []\n"
        "while frame:\n"
        " seen += [*frame.f_locals.values(), *frame.f_globals.values()]\n"
        " frame = frame.f_back\n"
        "fits = [s for s in seen if isinstance(s, np.ndarray) and s is not x]\n"
        "return fits[0] if fits else None",
    ),
    "all objects": (
        "wrong",
        "fits = [s for s in gc.get_objects() if isinstance(s, list | tuple) and s and\n"
        " all(isinstance(v, float | np.ndarray) for v in s) and len(s) == len(x)]\n"
        "return fits[0] if fits else None",
    ),
    # -- The end
    "_exit": ("crashed died", "os._exit(0)"),
    "exit": ("crashed SystemExit", "sys.exit(0)"),
    "quits": ("crashed KeyboardInterrupt", "raise KeyboardInterrupt"),
    "abort": ("crashed died", "os.abort()"),
    "segfault": ("crashed died", "ctypes.string_at(0)"),
    "closes all": ("crashed died", "os.closerange(0, 64)"),
    "recursion": ("crashed RecursionError", "return scaled(x, a)"),
    "recursion in C": (
        "crashed|memory_limit|time_limit",
        "sys.setrecursionlimit(10**9)\nclass Deep:\n"
        " def __getattr__(self, name): return getattr(self, name + '_')\n"
        "return Deep().a",
    ),
    "notebook only": ("crashed NameError", "get_ipython().system('true')"),
    # -- Words that carry the input out
    "smuggles in an exception": (
        "crashed an exception|crashed Exception",
        "words = 'Smuggled' + '_'.join(map(str, x.tolist()))\n"
        "raise type(words, (Exception,), {'__module__': 'builtins'})(words)",
    ),
    "smuggles in a group": (
        "crashed ExceptionGroup",
        "raise ExceptionGroup('Smuggled' + str(x), [ValueError(str(x))])",
    ),
    "smuggles in a file": (
        "crashed", "exec(compile('raise ValueError', str(x.tolist()), 'exec'))",
    ),
    "smuggles in a text": ("wrong", "return 'Smuggled' + str(x.tolist())"),
    "smuggles in print": (
        "wrong", "print('Smuggled', x.tolist(), file=sys.stderr); print(x.tolist())",
    ),
}  # fmt: skip
# Name → status and cells with an attack that is more than a body.
SOURCES = {
    "loop at load": (
        "time_limit",
        [TOOLS, HELPERS, "class Now:\n    proof()\n\ndef scaled(x, a):\n    Now()"],
    ),
    "forges at load and loops": (
        "wrong|time_limit",
        [
            TOOLS,
            HELPERS,
            "def scaled(x, a, b=forge(b'{\"ready\": true}\\n')):\n    proof()",
        ],
    ),
    "2 GB at load": (
        "memory_limit", ["def scaled(x, a, held=bytearray(1 << 31)):\n    return x"],
    ),
    "exits at load": (
        "crashed died",
        ["import os\nclass Now:\n    os._exit(0)\n\ndef scaled(x, a):\n    Now"],
    ),
    "no function": ("crashed", ["scaled = 5", "scaled = 'text'"]),
    "other arguments": ("crashed TypeError", ["def scaled(x):\n    return x"]),
    "right once": (
        "wrong", ["def scaled(x, a):\n    return a * x if len(x) < 5 else 0"],
    ),
    "loops once": (
        "time_limit",
        ["def scaled(x, a):\n    while len(x) > 5:\n        pass\n    return a * x"],
    ),
    "no definition": ("not_found", ["scaled(1, 2)"]),
    "deleted": ("wrong", ["def scaled(x, a):\n    return 0", "del scaled"]),
    "comment": ("not_found", ["# def scaled(x, a): return a * x"]),
    "overwritten": (
        "wrong",
        ["def scaled(x, a):\n    return a * x", "def scaled(x, a):\n    return 0"],
    ),
    "no python": ("syntax", ["def scaled(x, a) return a * x"]),
    "other language": ("syntax", ["scaled <- function(x, a) { a * x }"]),
    "null byte": ("syntax", ["def scaled(x, a):\n    return 'a\0b'"]),
    "surrogates": ("crashed|syntax", ["def scaled(x, a):\n    return '\ud800'"]),
    "too large": (
        "syntax", ["def scaled(x, a):\n" + "#" * LARGEST_SOURCE + "\n    return a * x"],
    ),
    "in bash": ("not_found", ["%%bash\ndef scaled(x, a):\n    return a * x"]),
    "in a file": ("not_found", ["%%writefile scaled.py\ndef scaled(x, a): pass"]),
    "shell command": (
        "crashed NameError",
        [f"def scaled(x, a):\n    !touch /tmp/{TOKEN}\n    return x"],
    ),
    "transformer": (
        "wrong",
        [
            "def drop(lines):\n    return ['pass']\n"
            "get_ipython().input_transformers_post.append(drop)\n"
            "get_ipython().ast_node_interactivity = 'none'",
            "def scaled(x, a):\n    return 0",
            "ps.scaled.check = lambda: print('All cases are right')",
        ],
    ),
    "parentheses": (
        "syntax", ["def scaled(x, a):\n    return " + "(" * 9_999 + ")" * 9_999],
    ),
    "numbers in numbers": (
        "crashed|wrong|time_limit|memory_limit|syntax",
        ["def scaled(x, a):\n    return 9**9**9**9**9"],
    ),
    "long name": (
        "crashed ValueError",
        [
            "def " + "Smuggled" * 5_000 + "(x):\n    raise ValueError(x)",
            "def scaled(x, a):\n    " + "Smuggled" * 5_000 + "(x)",
        ],
    ),
}  # fmt: skip
# Sources that may crash who reads them, or take their time: Name → cells.
BOMBS = {
    "minus": ["def scaled(x, a):\n    return " + "-" * 50_000 + "1"],
    "sum": ["def scaled(x, a):\n    return " + "+".join(["1"] * 450_000)],
    "dots": ["def scaled(x, a):\n    return x" + ".T" * 20_000],
    "calls": ["def scaled(x, a):\n    return x" + "()" * 20_000],
    "lists": ["scaled = " + "[" * 90 + "]" * 90, "scaled = " + "[" * 20_000],
    "blocks": [
        "def scaled(x, a):\n" + "".join(" " * n + "if x:\n" for n in range(1, 99))
    ],
    "lambdas": ["scaled = " + "lambda: " * 10_000 + "0"],
    "text in text": ["def scaled(x, a):\n    return " + "f'{" * 500 + "}'" * 500],
    "decorators": ["@a\n" * 9_000 + "def scaled(x, a):\n    return 0"],
    "names": [";".join(f"a{n} = {n}" for n in range(4_000)), "def scaled(x, a): 0"],
    "back slashes": ["def scaled(x, a):\n    return 0" + "\\\n" * 20_000],
    "many magics": [
        "%time " * 9_999,
        "!" * 20_000,
        "?" * 20_000,
        "def scaled(x, a): 0",
    ],
}
NORM = "import numpy as np\n\ndef norm(x):\n    return float(np.sqrt((x**2).sum()))"


def notebook(*cells, **more):
    """A file of the format, with these code cells."""
    made = [
        {"cell_type": "code", "source": cell, "metadata": {}, "outputs": []}
        if isinstance(cell, str) else cell
        for cell in cells
    ]  # fmt: skip
    told = {"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(told | more).encode()


def attacks(words):
    """Student → notebook; `words` are replaced."""
    made = {}
    for name, (_, body) in BODIES.items():
        lines = [*body.split("\n"), "return 0 * x"]
        cells = [TOOLS, HELPERS, "\n    ".join(["def scaled(x, a):", *lines])]
        made[name] = cells
    made |= {name: cells for name, (_, cells) in SOURCES.items()} | BOMBS
    made["twenty loops"] = ["def many(x):\n    while True:\n        pass", TOP]
    for name, cells in made.items():
        for word, instead in words.items():
            cells = [cell.replace(word, instead) for cell in cells]
        made[name] = notebook(*cells, NORM)
    return made


# ---- Honest ones ---------------------------------------------------------------------

SCALED = "def scaled(x, a):\n    return a * x"
MANY = "def many(x):\n    return x.sum()"
TOP = (
    "import numpy as np\n\ndef top(scores, n):\n    best = np.argsort(-scores)[:n]\n"
    "    return [(i, scores[i]) for i in best]"
)
RIGHT = [SCALED, NORM, MANY, TOP]
REST = [NORM, MANY, TOP]
FRONT = {"display_name": "R", "language": "R", "name": "ir"}
HONEST = {
    "plain": notebook(*RIGHT),
    "prints": notebook(
        "def scaled(x, a):\n    print(x, 'Smuggled')\n    return a * x", *REST
    ),
    "prints 100 MB": notebook(
        "def scaled(x, a):\n    for _ in range(100):\n        print('x' * 10**6)\n"
        "    return a * x",
        *REST,
    ),
    "warns": notebook(
        "import warnings\nimport numpy as np",
        "def scaled(x, a):\n    warnings.warn('Smuggled')\n    np.log(-abs(x))\n"
        "    return a * x",
        *REST,
    ),
    "other names": notebook("def scaled(vector, α):\n    return α * vector", *REST),
    "other order": notebook("# mine", "1 / 0", *RIGHT[::-1], "while True: pass"),
    "older version": notebook("def scaled(x, a):\n    return 0", *RIGHT),
    "helpers": notebook(
        "from functools import lru_cache\n\nONE = 1",
        "class Times:\n    def __init__(self, a):\n        self.a = a * ONE\n"
        "    def __call__(self, x):\n        return twice(self.a * x) / 2",
        "def scaled(x, a):\n    return Times(a)(x)",
        "@lru_cache\ndef two():\n    return 2\n\ndef twice(x):\n    return two() * x",
        *REST,
    ),
    "imports inside": notebook(
        "def scaled(x, a):\n    import numpy\n    return numpy.multiply(a, x)", *REST
    ),
    "other kinds": notebook(
        "def scaled(x, a):\n    return tuple(float(a * value) for value in x)",
        "import numpy as np\n\ndef norm(x):\n    return np.float64((x @ x) ** 0.5)",
        "import numpy as np\n\ndef many(x):\n    return np.array(x.sum())",
        "def top(scores, n):\n    order = sorted(range(len(scores)), key=lambda i: "
        "-scores[i])\n    return tuple([i, float(scores[i])] for i in order[:n])",
    ),
    "lambda": notebook("scaled = lambda x, a: a * x", *REST),
    "magics": notebook(
        "%matplotlib inline\n!ls\n%load_ext autoreload",
        f"%%time\n{SCALED}",
        NORM,
        f"%%capture said\n{MANY}",
        f"!pip install nothing\n{TOP}\n%timeit 1\nnorm?",
    ),
    "broken elsewhere": notebook("def (", "a = = 1", "x = '\0'", "%%bash\nls", *RIGHT),
    "metadata": notebook(
        *(
            {
                "cell_type": "code",
                "id": "same",
                "execution_count": -1,
                "source": source.splitlines(keepends=True),
                "attachments": {},
                "metadata": {"nbgrader": {"grade": True, "points": 99}, "tags": [1]},
                "outputs": [{"output_type": "stream", "text": ["Smuggled"]}],
            }
            for source in RIGHT
        ),
        {"cell_type": "markdown", "source": "Smuggled"},
        {"cell_type": "code"},
        {"cell_type": "code", "source": 5},
        None,
        5,
        metadata={"kernelspec": FRONT, "language_info": {"name": "R"}, "points": 99},
    ),
    "no metadata": json.dumps(
        {"cells": [{"cell_type": "code", "source": source} for source in RIGHT]}
    ).encode(),
    "windows": notebook(*(source.replace("\n", "\r\n") for source in RIGHT)),
    "indented file": json.dumps(
        json.loads(notebook(*RIGHT)), indent=1, ensure_ascii=False
    ).encode(),
    "long": notebook("# " + "more " * 180_000, *RIGHT),
    "as long as can be": notebook(SCALED + "#" * (LARGEST_SOURCE - 99), *REST),
    "goes on at the end": notebook(
        f"{TOOLS}\n{HELPERS}",
        "def scaled(x, a):\n    atexit.register(proof)\n    return a * x",
        *REST,
    ),
    "CON": notebook(*RIGHT),
    "李 雷": notebook(*RIGHT),
}
ANSWERS = {
    "answers": notebook(*RIGHT, "why = '=HYPERLINK(\"http://a.b\")'"),
    "answers with marks": notebook(*RIGHT, "why = '<script>Smuggled</script>\\0,\"'"),
    "answers with halves": notebook(*RIGHT, "why = '\\ud800 Smuggled \\u2028 @x'"),
}

# ---- No notebooks, and nobody's ------------------------------------------------------

UNREADABLE = {
    "empty": b"",
    "cut": notebook(*RIGHT)[:-30],
    "latin": notebook(*RIGHT).replace(b"def", b"d\xe9f"),
    "bytes": bytes(range(256)) * 40,
    "null": b"\0" * 999,
    "list": b"[" + notebook(*RIGHT) + b"]",
    "number": b"5",
    "nested": b"[" * 10**6,
    "nested in": notebook(*RIGHT)[:-1]
    + b', "a": '
    + b"[" * 10**6
    + b"]" * 10**6
    + b"}",
    "digits": notebook(*RIGHT)[:-1] + b', "a": ' + b"9" * 10**5 + b"}",
    "format 3": json.dumps({"nbformat": 3, "worksheets": [{"cells": []}]}).encode(),
    "cells by name": notebook(cells={"a": SCALED}),
    "no cells": notebook(cells=None),
    "web page": b"<!DOCTYPE html><b>Smuggled</b>",
    "python": "\n".join(RIGHT).encode(),
    "large": notebook(*RIGHT, "#" * intake.LARGEST),
}
PLACES = ["folder", "link", "link to itself", "link to a secret", "pipe", "socket"]
FLAGGED = [
    "=cmd|' C calc'!A0__PS.ipynb", "<b>x__PS.ipynb", "__PS.ipynb", "alone.ipynb",
    "a\nb__PS.ipynb", "$(touch x)__PS.ipynb", b"\xff__PS.ipynb",
    "x" * 99 + "__PS.ipynb",
    "two__PS.ipynb", "two__PS (1).ipynb", "Anna__PS.ipynb", "anna__PS.ipynb",
    "Zo\u00eb__PS.ipynb", "Zoe\u0308__PS.ipynb", "Bob__PS.ipynb", "Ｂob__PS.ipynb",
    "@SUM__PS.ipynb", "-2+3__PS.ipynb", "..__PS.ipynb", ".x__PS.ipynb",
]  # fmt: skip


AS_USER = [
    "loop that no signal ends", "2 GB", "fork", "subprocess", "thread", "network",
    "fills the disk", "becomes root", "kills everybody", "forged value",
    "always equal",
    "reads its process", "_exit", "minus", "plain", "helpers", "nested",
]  # fmt: skip
OFTEN = {name for kind in (BODIES, SOURCES, BOMBS, HONEST) for name in list(kind)[::2]}
OFTEN |= {*AS_USER, "right once", "loops once", "twenty loops", *ANSWERS, *UNREADABLE}


def each(names):
    """Names as parameters, and which of them run with --soak alone."""
    return [
        pytest.param(name, marks=[] if name in OFTEN else pytest.mark.rare)
        for name in names
    ]


def hand_in(folder, words, secret, soak):
    """All submissions, or those that run by default, as files."""
    folder.mkdir()
    files = attacks(words) | HONEST | ANSWERS | UNREADABLE
    for name, content in files.items():
        if not soak and name not in OFTEN:
            continue
        (folder / f"{name}__PS.ipynb").write_bytes(content)
    for name in FLAGGED:
        path = os.path.join(os.fsencode(folder), os.fsencode(name))
        Path(os.fsdecode(path)).write_bytes(HONEST["plain"])
    where = {name: folder / f"{name}__PS.ipynb" for name in PLACES}
    where["folder"].mkdir()
    where["link"].symlink_to(folder / "plain__PS.ipynb")
    where["link to itself"].symlink_to(where["link to itself"])
    where["link to a secret"].symlink_to(secret)
    os.mkfifo(where["pipe"])
    with socket.socket(socket.AF_UNIX) as here, contextlib.chdir(folder):
        here.bind(where["socket"].name)
    for name in ("results.jsonl", "sitecustomize.py", "numpy.py", "PS_checks.json"):
        (folder / name).write_text(f"open('/tmp/{TOKEN}', 'w')\nraise SystemExit")


# ---- The batch -----------------------------------------------------------------------


def seen(folder):
    """All that a folder holds, to see a change."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [(path.name, path.stat().st_mtime_ns, path.read_bytes()) for path in files]


def ours():
    """Processes that descend from the batch, wherever they hang now."""
    found = {child.pid for child in psutil.Process().children(recursive=True)}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if TOKEN in process.environ().values():
                found.add(process.pid)
    return found


def written():
    """Files that carry the name that all attacks give theirs."""
    places = {"/", "/tmp", "/var/tmp", "/dev/shm", os.getcwd(), Path.home()}
    return [str(p) for place in places for p in Path(place).glob(f"*{TOKEN}*")]


def run(place, soak):
    """Grade all, and write down what an attack might have changed."""
    place.mkdir()
    outside = Path(tempfile.mkdtemp(prefix="mfcourse-outside-"))  # for all to reach
    (outside / "key.py").write_text("a secret of the grader's", encoding="utf-8")
    outside.chmod(0o777)
    (place / "ps.py").write_text(KEY, encoding="utf-8")
    asked = key.read(place / "ps.py", "a secret of the class")
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packets,
        socket.socket(socket.AF_UNIX) as local,
        pytest.MonkeyPatch.context() as patch,
    ):
        port = server.getsockname()[1]
        packets.bind(("127.0.0.1", port))
        local.bind(f"\0{TOKEN}")
        local.listen()
        words = {
            "OUTSIDE": str(outside), "PORT": str(port), "ABSTRACT": TOKEN,
            "GRADER": str(os.getpid()),
        }  # fmt: skip
        hand_in(place / "in", words, outside / "key.py", soak)
        for name, seconds in LIMITS.items():
            patch.setattr(grade, name, seconds)
        patch.setenv("HOSTILE", TOKEN)
        patch.setitem(sandbox.ENVIRONMENT, "MARK", TOKEN)
        patch.setenv("HOME", str(outside))
        grader = Grader(asked, sandbox.find())
        before, running = seen(outside), ours()
        since = time.monotonic()
        grader.grade(place / "in", place / "out", jobs=2)
        took = time.monotonic() - since
        heard = 0
        for one in (server, packets, local):
            one.setblocking(False)
            try:
                one.recv(1) if one is packets else one.accept()
                heard += 1
            except BlockingIOError:
                pass
        told = {
            "seconds": took,
            "heard": heard,
            "processes": sorted(ours() - running),
            "changed": seen(outside) != before,
        }
    told["written"] = written()
    shutil.rmtree(outside, ignore_errors=True)
    (place / "told.json").write_text(json.dumps(told), encoding="utf-8")


@pytest.fixture(scope="module")
def batch(tmp_path_factory, soak_share):
    """The folder of the graded batch: one, also where processes share the tests."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with open(base / "hostile.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (base / "hostile").exists():
            run(base / "hostile", soak=soak_share == 1)
    return base / "hostile"


@pytest.fixture(scope="module")
def results(batch):
    """Student → task → result."""
    return read_results(batch / "out")


@pytest.fixture(scope="module")
def told(batch):
    return json.loads((batch / "told.json").read_text(encoding="utf-8"))


def read_results(out):
    found = {}
    for line in (out / "results.jsonl").read_text("utf-8").splitlines()[1:]:
        one = json.loads(line)
        found.setdefault(one["student"], {})[one["task"]] = one
    return found


def fits(result, expected):
    """Whether a result is one of ``status reason|status reason``.

    A reason is words of it, or an exception or one that it derives from; "died" is that
    the process ended, so there is none.
    """
    for option in expected.split("|"):
        status, _, said = option.partition(" ")
        if result["status"] == status:
            if said in result["reason"] or (said == "died" and not result["reason"]):
                return True
            name = result["reason"].partition("with ")[2].rstrip(".").split(" ")[0]
            kinds = [getattr(builtins, word, None) for word in (name, said)]
            if all(isinstance(kind, type) for kind in kinds) and issubclass(*kinds):
                return True
    return False


# ---- Nothing that was not earned -----------------------------------------------------

EXPECTED = {name: status for name, (status, _) in (BODIES | SOURCES).items()}
EARNED = {"right once": 2, "loops once": 2}  # the group that is right


@pytest.mark.parametrize("name", each(EXPECTED))
def test_an_attack_gets_nothing_and_takes_nothing(name, results):
    attacked, honest = results[name]["scaled"], results[name]["norm"]
    assert fits(attacked, EXPECTED[name]), (attacked["status"], attacked["reason"])
    assert attacked["points"] == EARNED.get(name, 0)
    assert (honest["status"], honest["points"]) == ("ok", 4), honest["reason"]
    assert {results[name][task]["status"] for task in ("many", "top")} == {"not_found"}


@pytest.mark.parametrize("name", each(BOMBS))
def test_a_source_that_may_crash_a_parser_is_only_its_own_loss(name, results):
    assert results[name]["scaled"]["points"] == 0
    assert results[name]["norm"]["status"] in ("ok", "unreadable")


def test_a_submission_that_loops_in_each_call_ends_when_its_time_is_up(results):
    got = results["twenty loops"]
    assert got["norm"]["status"] == "ok"
    assert got["many"]["status"] == got["top"]["status"] == "time_limit"
    assert "whole submission" in got["top"]["reason"]
    # The calls of `many` alone would have taken longer, each to its own end.
    assert sum(result["seconds"] for result in got.values()) < 20 * LIMITS["CALL"]


@pytest.mark.parametrize("name", [*UNREADABLE, *PLACES])
def test_what_is_no_notebook_is_said_and_read_by_nobody(name, results):
    assert {(r["status"], r["points"]) for r in results[name].values()} == {
        ("unreadable", 0)
    }
    assert results[name].keys() == OF.keys()


@pytest.mark.parametrize("name", each([*HONEST, *ANSWERS]))
def test_an_honest_solution_gets_all(name, results):
    got = {task: (r["status"], r["points"]) for task, r in results[name].items()}
    assert got == {task: ("ok", points) for task, points in OF.items()}


def test_nobody_else_is_scored(batch, results, soak_share):
    named = {*EXPECTED, *BOMBS, "twenty loops", *HONEST, *ANSWERS, *UNREADABLE}
    named = {*(named if soak_share == 1 else named & OFTEN), *PLACES}
    assert results.keys() == named
    with (batch / "out" / "grades.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    others = [row for row in rows if row["SIS Login ID"].lstrip("'") not in named]
    said = "\n".join(cell for row in others for cell in row.values())
    said = unicodedata.normalize("NFC", said)
    for name in map(os.fsdecode, FLAGGED):
        is_hidden = name[0] == "."  # and so no file of a student's
        shown = unicodedata.normalize("NFC", intake._shown(name))
        assert is_hidden or shown in said, name
    for row in others:
        assert not any(cell for name, cell in row.items() if name.startswith("PS "))
        assert row["Flags"]


@pytest.mark.parametrize(
    "part",
    [
        *(b"[],", b"[[[[[[]]]]]],", b'"",', b"0,"),
        pytest.param(b"[0,0],", marks=pytest.mark.rare),
    ],
)
def test_the_largest_answer_does_not_weigh_on_the_grader(part):
    line = b'{"value": [' + part * (sandbox.OUTPUT // len(part) - 9) + b"0]}"
    tracemalloc.start()
    try:
        reply = sandbox._understood(line)
        assert not grade._same([0.0, 1.0], reply.value)
        assert tracemalloc.get_traced_memory()[1] < 150 * sandbox.MB
    finally:
        tracemalloc.stop()


def test_an_answer_that_is_there_counts_however_late_the_grader_looks(monkeypatch):
    """Another thread may hold up this one, with a stranger's answer in its hands."""
    late = [0.0]

    class HeldUp(sandbox.selectors.DefaultSelector):
        def select(self, timeout=None):
            if late[0] == 0 and len(self.get_map()) == 1:
                super().select(60)  # now the answer is there
                late[0] = 99.0
                return []
            return super().select(timeout)

    def clock():
        return time.monotonic() + late[0]

    with sandbox.Sandbox("bubblewrap").start(SCALED, "scaled") as session:
        assert session.load(60).kind == "value"
        monkeypatch.setattr(sandbox.selectors, "DefaultSelector", HeldUp)
        monkeypatch.setattr(sandbox, "time", SimpleNamespace(monotonic=clock))
        assert session.call((2, 3), 60) == ("value", 6, "", 0)
        assert late[0] == 99.0


# ---- Nothing outside -----------------------------------------------------------------


def test_nothing_outside_is_changed(batch, told):
    assert not told["changed"]
    assert not told["written"]
    names = ["in", "out", "ps.py", "told.json"]
    assert sorted(path.name for path in batch.iterdir() if path.name[0] != "_") == names
    out = {path.name for path in (batch / "out").iterdir()}
    assert out == {
        "class.html", "grades.csv", "results.jsonl", "students", "written.csv"
    }  # fmt: skip


def test_no_process_is_left(told):
    assert told["processes"] == []


def test_nobody_called(told):
    assert told["heard"] == 0


def test_no_hidden_number_and_no_word_of_a_student_is_in_a_report(batch, results):
    files = [path for path in (batch / "out").rglob("*") if path.is_file()]
    assert len(files) > len(results)
    for path in files:
        text = path.read_text("utf-8")
        assert str(HIDDEN)[2:] not in text, path
        if path.name != "written.csv":  # answers are for a person to read
            assert "Smuggled" not in text, path
            assert "<script" not in text, path


def test_no_cell_of_a_sheet_is_a_formula(batch):
    for name in ("grades.csv", "written.csv"):
        path = batch / "out" / name
        with path.open(encoding="utf-8-sig", newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert any("HYPERLINK" in cell or "SUM" in cell for cell in cells)
        assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r")], name


@pytest.mark.parametrize(
    "member", ["../x__PS.ipynb", "/x__PS.ipynb", "a/../../x", "..\\x"]
)
def test_a_zip_that_would_leave_its_folder_is_refused(tmp_path, member):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("plain__PS.ipynb", HONEST["plain"])
        archive.writestr(member, HONEST["plain"])
    (tmp_path / "ps.py").write_text(KEY, encoding="utf-8")
    grader = Grader(key.read(tmp_path / "ps.py", "s"), sandbox.Sandbox("bubblewrap"))
    with pytest.raises(GradingError, match="would leave its folder"):
        grader.grade(tmp_path / "in.zip", tmp_path / "out")
    left = {path.name for path in tmp_path.iterdir() if path.name[0] != "_"}
    assert left == {"in.zip", "ps.py"}
    assert not (tmp_path.parent / "x__PS.ipynb").exists()


def test_a_zip_is_graded_as_a_folder_is(tmp_path, results):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("a class/plain__PS.ipynb", HONEST["plain"])
        archive.writestr("__MACOSX/._plain__PS.ipynb", b"")
        archive.writestr("a class/cut__PS.ipynb", UNREADABLE["cut"])
    (tmp_path / "ps.py").write_text(KEY, encoding="utf-8")
    asked = key.read(tmp_path / "ps.py", "a secret of the class")
    grader = Grader(asked, sandbox.Sandbox("bubblewrap"))
    grader.grade(tmp_path / "in.zip", tmp_path / "out")
    got = read_results(tmp_path / "out")
    assert {name: marks(got[name]) for name in got} == {
        name: marks(results[name]) for name in ("plain", "cut")
    }


# ---- As somebody else ----------------------------------------------------------------


def marks(result):
    return {task: (one["status"], one["points"]) for task, one in result.items()}


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="is no root")
def test_an_ordinary_user_gets_the_same_marks(batch, results, tmp_path):
    (tmp_path / "in").mkdir()
    for name in AS_USER:
        shutil.copy(batch / "in" / f"{name}__PS.ipynb", tmp_path / "in")
    limits = "".join(f"grade.{name} = {LIMITS[name]}\n" for name in LIMITS)
    code = (
        "import os, sys\nfrom mfcourse import cli\nfrom mfcourse.grading import grade\n"
        f"{limits}assert os.getuid() == 1000\nsys.exit(cli.main(sys.argv[1:]))"
    )
    user = [
        "bwrap", "--bind", "/", "/", "--dev-bind", "/dev", "/dev", "--proc", "/proc",
        "--unshare-user", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL", "--",
    ]  # fmt: skip
    done = subprocess.run(
        [
            *user, sys.executable, "-c", code, "grade", tmp_path / "in", "--out",
            tmp_path / "out", "--key", batch / "ps.py", "--jobs", "2",
            "--secret", "a secret of the class",
        ],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not written()
    got = read_results(tmp_path / "out")
    assert {name: marks(got[name]) for name in got} == {
        name: marks(results[name]) for name in AS_USER
    }
