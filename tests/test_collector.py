"""What is collected from a notebook, by a process that a hostile one cannot harm."""

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from mfcourse.grading.collector import Collector

BOOK = (
    """
import numpy as np
import pandas as pd
""",
    "K = 3\ndef double(x):\n    return x * K",
    "%time 1\ndef f(x):\n    return double(np.sum(x)) + z",
)


@pytest.fixture(scope="module")
def collector():
    with Collector() as host:
        yield host


def book(*cells):
    parts = [new_markdown_cell("# PS1"), *map(new_code_cell, cells)]
    return nbformat.writes(new_notebook(cells=parts)).encode()


def test_a_function_comes_with_all_it_needs(collector):
    found = collector.read(book(*BOOK), ["f"]).functions["f"]
    assert found.status == "ok"
    assert found.source == (
        "import numpy as np\nK = 3\ndef double(x):\n    return x * K\n"
        "def f(x):\n    return double(np.sum(x)) + z\n"
    )
    assert found.missing == ("z",)
    assert found.absent == ()
    assert found.places == ((1, 2), (2, 1), (2, 2), (2, 3), (3, 2), (3, 3))


def test_magics_are_read_once_however_many_functions_are_asked_for(collector):
    # IPython's transformer takes quadratic time for them.
    cells = ["\n".join("!echo" for _ in range(150)), "def f(): return 1"]
    names = ["f", *(f"g{n}" for n in range(30))]
    assert collector.read(book(*cells), names).functions["f"].status == "ok"


def test_an_odd_cell_elsewhere_costs_nothing(collector):
    odd = (
        "text = " + " + ".join(["'a'"] * 3_000),
        "chart = x" + ".mark()" * 1_000,
        "z = 1\nif z: pass\n" + "\n".join("elif z: pass" for _ in range(3_000)),
        "n = 0x" + "f" * 5_000 + "; z = 1",
    )
    found = collector.read(book(*odd, "def f(): return 1"), ["f"])
    assert found.functions["f"].status == "ok"


def test_what_is_not_there_or_no_python_is_told(collector):
    cells = ("def f(:\n    pass", "def g(): pass", "def h(x): return '\0'")
    found = collector.read(book(*cells), ["f", "g", "h", "i"]).functions
    statuses = {name: one.status for name, one in found.items()}
    assert statuses == {"f": "syntax", "g": "ok", "h": "syntax", "i": "not_found"}


def test_a_written_answer_is_the_last_text_of_its_name(collector):
    cells = (
        'why = """\n...\n"""', "why = '''because\nit is'''", "other = 'x'", "1 +",
        "empty = ' ... '", "formula = 1", "%time 1\nbad = '\\ud800'",
    )  # fmt: skip
    names = ["why", "empty", "missing", "bad"]
    assert collector.read(book(*cells), [], names).written == {
        "why": "because\nit is",
        "bad": "?",
    }


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe\x00", "no JSON"),
        (b"[" * 10**6, "no JSON"),
        (b'{"cells": ' * 10**5, "no JSON"),
        (b"[]", "no cells"),
        (b'{"worksheets": [{"cells": []}]}', "no cells"),
        (json.dumps({"cells": "x"}).encode(), "no cells"),
    ],
)
def test_what_is_no_notebook_is_unreadable(collector, content, says):
    assert says in collector.read(content, ["f"]).unreadable


def test_strange_cells_are_passed_over(collector):
    cells = [
        1, None, [], {"cell_type": "code"}, {"cell_type": "code", "source": 5},
        {"cell_type": "code", "source": [1]},
        {"cell_type": "code", "source": ["def f():\n", "    return 1"]},
    ]  # fmt: skip
    content = b"\xef\xbb\xbf" + json.dumps({"cells": cells}).encode()
    assert collector.read(content, ["f"]).functions["f"].status == "ok"


@pytest.mark.parametrize(
    "cell",
    [
        "f = " + "(" * 10**5,
        "f = " + "-" * 10**6 + "1",
        "def f(): return " + "+".join("1" * 10**5),
        "def f(): return x" + ".x" * 50_000,
        "f = [" + "[" * 10**5,
        "f" + "\\\n" * 10**5,
        "def f():\n" + "\n".join(" " * n + "if 1:" for n in range(1, 1200)),
    ],
    ids=lambda cell: cell[:6],
)
def test_a_source_that_breaks_parsers_costs_only_itself(collector, cell):
    found = collector.read(book(cell), ["f"])
    status = found.functions["f"].status if found.functions else "unreadable"
    assert status in ("syntax", "not_found", "unreadable")
    again = collector.read(book("def g(): return 1"), ["g"])
    assert again.functions["g"].status == "ok"


def test_a_child_that_crashes_is_told(monkeypatch, tmp_path):
    crash = tmp_path / "sitecustomize.py"
    crash.write_text(
        "import sys, os\n"
        "if sys.argv[0] == '-m':\n"
        "    import ast, mfcourse.exercises.collect as c\n"
        "    def bad(*a): os.abort()\n"
        "    c.collect = bad\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Collector() as host:
        found = host.read(book("def f(): return 1"), ["f"])
        assert found.unreadable == "it crashes whoever reads it"
        assert host.read(b"", []).unreadable


def test_a_host_that_is_gone_is_started_again():
    with Collector() as host:
        host._host.kill()
        host._host.wait()
        assert host.read(book("def f(): return 1"), ["f"]).unreadable
        assert host.read(book("def f(): return 1"), ["f"]).functions["f"].source


def test_prints_are_the_same_whatever_the_names(collector):
    def prints(*cells):
        return collector.read(book(*cells), ["f"]).prints

    one = (
        "def f(a, b):\n    c = [x * 2 for x in a if x > b]\n    return sum(c) / len(c)"
    )
    same = one.replace("a", "zz").replace("x", "y").replace("def f(zz", "def f(zz")
    other = (
        "def f(a, b):\n    while a:\n        b += a.pop()\n    return b, (b, b), [b]"
    )
    assert prints(one) == prints("# note\n" + same.replace("2", "7"))
    assert len(prints(one)) > 10
    assert not prints(one) & prints(other)
