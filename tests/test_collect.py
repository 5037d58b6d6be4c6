"""What a grader takes out of a notebook: the function, and all that it stands on."""

import __future__ as future

import sys
import types

import numpy as np
import pytest

from mfcourse.exercises.collect import collect

CELLS = [
    "import numpy as np\nimport os.path, math as m\nfrom itertools import chain as ch",
    "N = 10\nNAMES = ['a', 'b']\nR = np.zeros(3)  # computed",
    "def helper(x):\n    return m.sqrt(x) + N",
    "class Kept:\n    size = N\n    def own(self):\n        return helper(4)",
    "%matplotlib inline\n!ls\nplot = R.sum()\nprint('never collected')",
    "def target(x):\n    # what it does\n    R = Kept().own()\n    return R + x",
]


def run(collected, name):
    module = sys.modules["collected"] = types.ModuleType("collected")
    space = vars(module)
    flags = future.annotations.compiler_flag  # as the grader's worker does
    exec(compile(collected.source, "<collected>", "exec", flags), space)
    return space[name]


def test_a_function_comes_with_all_it_reaches_and_nothing_else():
    got = collect(CELLS, "target")
    assert run(got, "target")(1) == 13
    assert got.missing == ()
    assert "never collected" not in got.source
    assert "import math as m\n" in got.source
    assert "os.path" not in got.source
    assert not {"NAMES", "ch", "R = np"} & set(got.source.split())
    assert "chain" not in got.source
    assert "# what it does" in got.source


def test_each_line_knows_where_it_stood():
    got = collect(CELLS, "target")
    lines = got.source.splitlines()
    assert len(lines) == len(got.places)
    for line, (cell, number) in zip(lines, got.places, strict=True):
        there = CELLS[cell].split("\n")[number]
        assert there == line or line == "import math as m"  # of two, what is used


def test_a_name_that_the_notebook_computed_is_named():
    cells = [*CELLS, "def uses(x):\n    return x @ R + sum(plot for plot in x)"]
    assert collect(cells, "uses").missing == ("R",)
    assert collect(["def f(x):\n    return x + nowhere"], "f").missing == ("nowhere",)


@pytest.mark.parametrize(
    "binding",
    [
        "total = sum(range(3))",
        "total, rest = 1, sum([])",
        "for total in range(3):\n    pass",
        "with open('x') as total:\n    pass",
        "total = 1\ntotal += 1",
        "if True:\n    def total(): ...",
        "print(total := 3)",
        "try:\n    import total\nexcept ImportError:\n    total = None",
    ],
)
def test_what_is_not_a_plain_definition_is_no_definition(binding):
    got = collect([binding, "def f():\n    return total"], "f")
    assert got.missing == ("total",)


@pytest.mark.parametrize(
    ("before", "body"),
    [
        ("total = sum([])", "total = 1\n    return total"),
        ("total = sum([])", "return [total for total in (1,)][0]"),
        ("total = sum([])", "def total(): return 1\n    return total()"),
        ("total = sum([])", "import math as total\n    return total.cos(0)"),
        ("total = 1", "return total"),
        ("total = -1", "return -total"),
        ("total: int = 1", "return total"),
        ("total = lambda: 1", "return total()"),
        ("from math import *", "return cos(0)"),
    ],
)
def test_a_local_name_or_a_plain_value_is_nobody_elses(before, body):
    got = collect([before, f"def f():\n    {body}"], "f")
    assert got.missing == ()
    assert run(got, "f")() == 1


def test_the_last_definition_counts():
    cells = ["def f(): return 1", "def g(): return f()", "def f(): return 2"]
    assert run(collect(cells, "g"), "g")() == 2
    cells += ["f = int('3')"]
    assert collect(cells, "g").missing == ("f",)


def test_decorators_defaults_and_the_future_come_along():
    cells = [
        "import functools",
        "START = 5",
        "from __future__ import annotations",
        "@functools.cache\ndef f(x=START) -> Unknown:\n    return x",
    ]
    got = collect(cells, "f")
    assert got.source.startswith("from __future__")
    assert got.missing == ()  # an annotation is never evaluated
    assert run(got, "f")() == 5


def test_what_an_annotation_names_is_not_needed():
    cells = [
        "import pandas as pd\nfrom dataclasses import dataclass",
        "@dataclass\nclass Row:\n    x: pd.Series\n    n: Nowhere = 3",
        "def f(x: pd.Series, *rest: Table) -> Optional[int]:\n"
        "    y: Vector = 2\n    return Row(x).n + y",
    ]
    got = collect(cells, "f")
    assert got.missing == got.absent == ()
    assert "pandas" not in got.source
    assert run(got, "f")(1) == 5


def test_a_package_that_is_not_there_is_named():
    cells = ["import pandas as pd, math", "def f(): return pd, math\n"]
    assert collect(cells, "f").absent == ("pandas",)
    inside = "def g():\n    from sklearn.svm import SVC\n    import numpy, scipy.linalg"
    assert collect([inside], "g").absent == ("sklearn",)


def test_a_counter_of_the_notebook_comes_along():
    cells = [
        "count = 0",
        "def f():\n    global count\n    count += 1\n    return count",
    ]
    got = collect(cells, "f")
    assert got.missing == ()
    assert run(got, "f")() == 1


@pytest.mark.parametrize(
    ("first", "change"),
    [
        ("C = {'k': 1}", "C['k'] = 2"),
        ("C = [1]", "C.append(2)"),
        ("class C: k = 1", "C.k = 2"),
        ("C = [1]", "for n in range(3): C[0] = n"),
        ("C = [1]", "if True:\n    C.append(1)"),
        ("C = [1]", "[C.append(n) for n in range(3)]"),
        ("C = [1]", "C[0], y = 7, 2"),
        ("class C: k = [1]", "C.k[0] += 2"),
        ("C = [1]", "del C[0]"),
        ("def C(): ...", "C.n: int = 0"),
    ],
)
def test_a_value_that_is_changed_later_is_named(first, change):
    cells = [first, change, "def f(): return C"]
    assert collect(cells, "f").missing == ("C",)
    assert collect([*cells, first], "f").missing == ()


def test_a_call_on_a_module_changes_nothing_that_counts():
    cells = ["import numpy as np", "np.random.seed(0)", "def f(): return np.ones(1)"]
    assert collect(cells, "f").missing == ()


@pytest.mark.parametrize(
    "value", ["math.inf", "10**-9", "-(1 + 2) * EPS", "[EPS, (1, {2: math.pi})]", "g"]
)
def test_values_made_of_values_are_plain(value):
    cells = ["import math", "EPS = 1e-9", "def g(): ...", f"X = {value}"]
    got = collect([*cells, "def f(): return X"], "f")
    assert got.missing == ()
    assert run(got, "f")() is not None


@pytest.mark.parametrize(
    "later",
    ["f = f(1)", "for f in (1, 2): pass", "del f", "f = 3",
     "from math import sqrt as f", "f, g = 1, 2"],
)  # fmt: skip
def test_the_last_def_counts_whatever_bears_its_name_later(later):
    cells = ["def f(x): return 0", "def f(x): return x and 1 + f(x - 1)", later]
    assert run(collect(cells, "f"), "f")(3) == 3


def test_another_name_for_a_function_is_that_function():
    assert run(collect(["def g(): return 1", "f = g"], "f"), "f")() == 1
    cells = ["def f(): ...", "def g(): return 1", "f = g"]
    assert run(collect(cells, "f"), "f")() == 1


def test_annotations_that_python_reads_come_along():
    cells = [
        "from dataclasses import KW_ONLY, dataclass\nfrom typing import ClassVar",
        "@dataclass\nclass Row:\n    seen: ClassVar[list] = []\n    x: int = 1\n"
        "    _: KW_ONLY\n    y: int = 2",
        "def f(): return Row(3, y=4).y",
    ]
    got = collect(cells, "f")
    assert got.missing == ()
    assert run(got, "f")() == 4


def test_what_is_registered_with_a_function_comes_with_it():
    cells = [
        "from functools import singledispatch",
        "def helper(x): return x + 1",
        "@singledispatch\ndef f(x): return -1",
        "@f.register\ndef _(x: int): return helper(x)",
        "@f.register(str)\ndef _(x): return len(x)",
    ]
    f = run(collect(cells, "f"), "f")
    assert (f(8), f("ab"), f(None)) == (9, 2, -1)


def test_of_an_import_only_what_is_used_is_taken():
    got = collect(["import math, pandas as pd", "def f(): return math.cos(0)"], "f")
    assert got.absent == ()
    assert run(got, "f")() == 1


def test_blank_lines_before_a_magic_are_no_obstacle():
    got = collect(["\n  \n%%time\ndef f(): return 1"], "f")
    assert run(got, "f")() == 1
    assert got.places == ((0, 3),)


def test_functions_that_call_each_other_end():
    cells = [
        "def even(n): return n == 0 or odd(n - 1)",
        "def odd(n): return n > 0 and even(n - 1)",
    ]
    assert run(collect(cells, "even"), "even")(10)


def test_two_statements_on_a_line_are_taken_apart():
    got = collect(["a = 1; b = print('ran'); c = 2", "def f(): return a + c"], "f")
    assert got.missing == ()
    assert "ran" not in got.source
    assert run(got, "f")() == 3
    assert len(got.places) == len(got.source.splitlines())


def test_what_a_def_needs_at_once_comes_from_above_it():
    cells = ["import math", "N = 1", "def f(x: math.nan = N): return N + x"]
    got = collect([*cells, "import math", "N = 5"], "f")
    assert run(got, "f")() == 6


def test_a_comprehension_keeps_its_names_and_a_walrus_in_it_does_not():
    cells = ["n = 3", "m = 3", "print(sum(n for n in range(4)), [m := 4 for _ in 'a'])"]
    assert collect([*cells, "def f(): return n + m"], "f").missing == ("m",)


def test_a_name_that_was_deleted_is_no_longer_there():
    got = collect(["sum = 0", "del sum", "def f(): return sum([1])"], "f")
    assert got.missing == ()
    assert run(got, "f")() == 1


def test_imports_of_two_parts_of_a_package_both_come():
    cells = ["import xml.dom", "import xml.sax", "def f(): return xml.dom, xml.sax"]
    assert collect(cells, "f").source.startswith("import xml.dom\nimport xml.sax\n")


def test_a_global_that_is_only_set_is_not_missing():
    assert collect(["def f():\n    global seen\n    seen = 1"], "f").missing == ()


@pytest.mark.parametrize("statement", ["match 3:\n    case total: pass", "del total"])
def test_a_plain_value_that_was_lost_is_missing(statement):
    cells = ["total = 1", statement, "def f(): return total"]
    assert collect(cells, "f").missing == ("total",)


@pytest.mark.parametrize("magic", ["%%time", "%%capture out", "%%prun -q"])
def test_a_cell_that_is_timed_still_defines(magic):
    got = collect([f"{magic}\ndef f():\n    return 1"], "f")
    assert run(got, "f")() == 1
    assert got.places == ((0, 1), (0, 2))
    assert collect([f"\n{magic}\ndef f(): ..."], "f").places == ((0, 2),)


def test_empty_lines_at_the_top_are_counted():
    assert collect(["\n\ndef f():\n    return 1"], "f").places == ((0, 2), (0, 3))


@pytest.mark.parametrize("cell", ["", "\n", "  ", "# comment", "%%html\n<b>"])
def test_a_cell_without_code_is_nothing(cell):
    assert collect([cell, "def f(): ...", cell], "f").places == ((1, 0),)


def test_another_cell_may_be_broken():
    assert run(collect(["def broken(:", "def f(): return 1"], "f"), "f")() == 1


def test_the_cell_that_defines_it_may_not():
    with pytest.raises(SyntaxError):
        collect(["def f(:\n    return 1"], "f")


@pytest.mark.parametrize("cells", [[], ["f = sum([])"], ["x = 1"], ["f(1)"]])
def test_a_function_that_no_cell_defines(cells):
    with pytest.raises(LookupError, match=r"no cell defines f\. Expected: def f"):
        collect(cells, "f")


def test_what_was_collected_runs_on_arrays():
    cells = [
        "import numpy as np\n\n\ndef cosine(x, y):\n    return x @ y / np.sqrt(x @ x)",
        "def like(X):\n    return [cosine(x, X[0]) for x in X]",
    ]
    like = run(collect(cells, "like"), "like")
    np.testing.assert_allclose(like(np.eye(2)), [1, 0])
