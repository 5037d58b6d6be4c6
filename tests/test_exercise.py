"""What an attempt is told: the smallest wrong input, the mistake, what comes next."""

import sys

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

from mfcourse import exercises
from mfcourse.exercises.exercise import exercise
from mfcourse.exercises.verdict import NOT_TRIED, write
from mfcourse.learn import progress


def lengths(rng):
    yield np.array([3.0, 4.0]), 1
    for size in (5, 3, 9):
        yield rng.normal(size=size), 2


def make(**changes):
    """An exercise of three lines."""
    told = {
        "statement": "Length of a times b.",
        "hints": ("one", "two", "three"),
        "cases": lengths,
        "mistakes": {
            "You forgot the root.": ("np.sqrt(a @ a)", "a @ a"),
            "You forgot b.": (" * b", ""),
            "You divided by nothing.": (" * b", " / np.zeros(())"),
        },
    }

    @exercise("01", 1, **(told | changes))
    def length(a, b=1):
        """a: array; b: number."""
        return np.sqrt(a @ a) * b

    return length


@pytest.fixture
def ex():
    return make()


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setenv("MFCOURSE_HOME", str(tmp_path))
    monkeypatch.setenv("MFCOURSE_RECORD", "1")
    return lambda: [(e.subject, e.data) for e in progress.events("passed")]


def test_the_smallest_wrong_input_is_shown_with_expected_and_got(ex):
    verdict = ex.mark(lambda a, b=1: np.sqrt(a @ a) if b == 1 else 7.25)
    assert verdict.headline == "Not yet. Right: 1 of 4 cases."
    assert len(ex.failing[0]) == 3
    assert "got      7.25" in verdict.shown
    assert f"expected {ex.function(*ex.failing):.6g}" in verdict.shown
    assert "length(*ex.failing)" in verdict.shown


def test_a_typical_mistake_is_named_before_the_reason(ex):
    says = ex.mark(lambda a, b=1: np.linalg.norm(a)).says
    assert says[0] == "You forgot b."
    assert says[1].startswith("For the input below: expected ")


def test_a_mistake_that_explains_few_cases_is_not_named(ex):
    says = ex.mark(lambda a, b=1: np.linalg.norm(a) if len(a) < 5 else 0).says
    assert len(says) == 1


def test_a_mistake_beside_another_slip_is_named_with_less_certainty():
    def cases(rng):
        for size in (1, 2, 3, 4, 5):
            yield rng.normal(size=size), 2

    ex = make(cases=cases)
    says = ex.mark(lambda a, b=1: np.linalg.norm(a) if len(a) < 5 else 0).says
    assert says[0] == "It looks as if this holds: You forgot b."


@pytest.mark.parametrize(
    "answer", ["0.5", {1: 2}, {1}, print, (n for n in "ab"), object(), ["a"], [None, 1]]
)
def test_any_answer_is_marked(ex, answer):
    verdict = ex.mark(lambda a, b=1: answer)
    assert not verdict.passed
    assert "expected a number" in repr(verdict) or "It stopped with" in repr(verdict)


class Hostile:
    def __repr__(self):
        raise RuntimeError

    __str__ = __array__ = __repr__


@pytest.mark.parametrize("attempt", [max, str, lambda a, b=1: (yield a),
                                     lambda a, b=1: Hostile(),
                                     lambda a, b=1: [1.0] * 300_000,
                                     lambda a, b=1: "x" * 9_999,
                                     lambda a, b=1: [[a, a[:1]]]])  # fmt: skip
def test_strange_attempts_are_marked_in_few_words(ex, attempt):
    verdict = ex.mark(attempt)
    assert not verdict.passed
    assert len(repr(verdict)) < 5_000


def test_what_is_masked_is_no_number(ex):
    assert not ex.mark(lambda a, b=1: np.ma.masked).passed


def test_an_input_turned_into_something_else_is_said():
    def cases(rng):
        yield [[1, 2], [3]], 1

    def length(a, b=1):
        a[0] = None
        return 0

    assert "changed its argument a" in make(cases=cases).mark(length).says[0]


def test_the_failing_input_stays_what_it_was(ex):
    ex.mark(lambda a, b=1: 0)
    before = ex.failing[0].copy()
    ex.failing[0][:] = 7
    np.testing.assert_array_equal(before, ex.failing[0])


def test_an_error_is_shown_with_its_line(ex):
    def length(a, b=1):
        return a @ undefined  # noqa: F821

    (says,) = ex.mark(length).says
    assert "NameError: name 'undefined' is not defined at `return a @ undef" in says


def test_a_changed_argument_is_said(ex):
    def length(a, b=1):
        wanted = np.sqrt(a @ a) * b
        a *= 2
        return wanted

    assert "It changed its argument a." in ex.mark(length).says[0]


@pytest.mark.parametrize(
    "attempt", [lambda a: 1, lambda: 1, lambda a, b, c: 1, lambda *, a, b: 1]
)
def test_another_signature_is_said(ex, attempt):
    assert "It is called as length(a, b=1)" in ex.mark(attempt).says[0]


def test_nothing_given_back_is_said(ex):
    assert "is there a return?" in ex.mark(lambda a, b=1: None if len(a) else 0).says[0]


def test_a_starter_with_other_words_is_still_untried(ex):
    def length(a, b=1):
        """My own words."""
        ...

    def passed(a, b=1):
        pass

    def tried(a, b=1):
        _ = a

    assert [ex.mark(f).headline == NOT_TRIED for f in (length, passed, tried)] == [
        True,
        True,
        False,
    ]


def test_an_exercise_in_place_looks_at_the_arguments():
    def cases(rng):
        for size in (2, 4):
            yield rng.normal(size=size), 0.5

    @exercise("03", 1, statement="", hints=("", "", ""), cases=cases,
              mistakes={"You added.": ("-=", "+=")}, in_place=("a",))  # fmt: skip
    def step(a, lr):
        """a: array, changed in place."""
        a -= lr * a

    def copied(a, lr):
        return a - lr * a

    assert step.mark(lambda a, lr: a.__imul__(0.5)).passed
    assert step.mark(step.broken("You added.")).says[0] == "You added."
    verdict = step.mark(copied)
    assert "a: 2 of 2 numbers differ" in verdict.says[0]
    assert "expected a = [" in verdict.shown
    assert verdict.shown.endswith(": args = ex.failing; step(*args); args")


def test_an_edit_must_fit_the_solution_once(ex):
    ex.mistakes["Not there."] = ("cosine", "sine")
    ex.mistakes["Twice."] = ("a", "c")
    for message in ("Not there.", "Twice."):
        with pytest.raises(ValueError, match="not there exactly once"):
            ex.broken(message)


def test_hints_go_on_from_where_one_was(ex):
    assert [repr(ex.hint())[-3:] for _ in range(2)] == ["one", "two"]
    assert repr(ex.hint(1)).endswith("one")
    assert repr(ex.hint()).endswith("three")
    assert "ex.solution()" in repr(ex.hint())
    with pytest.raises(ValueError, match="hints 1, 2 and 3, not 4"):
        ex.hint(4)


def test_text_of_a_learner_is_escaped(ex):
    def length(a, b=1):
        raise ValueError("<script>alert(1)</script>")

    for attempt in (length, lambda a, b=1: "<script>"):
        shown = ex.mark(attempt)._repr_html_()
        assert "<script>" not in shown
        assert "&lt;script&gt;" in shown


def test_long_input_is_cut():
    def long(rng):
        yield rng.normal(size=6000), 1

    shown = make(cases=long).mark(lambda a, b=1: 0.0).shown
    assert len(shown.splitlines()) < 20


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ((np.float64(1.5), 2, True), "(1.5, 2, True)"),
        ([np.array([3, -1])], "[[ 3 -1]]"),
        ((np.array([1]), 0.123456789), "([1],\n 0.123457)"),
        ([1, 2], "[1, 2]"),
        (None, "None"),
    ],
)
def test_values_are_shown_plainly(value, shown):
    assert write(value, 0) == shown


# ---- In a notebook -------------------------------------------------------------------


@pytest.fixture
def notebook(ex):
    """Runs cells; what the last one gave."""
    shell = InteractiveShell.instance()
    shell.reset()
    shell.user_ns.update(exercises=exercises, ex=ex, np=np)

    def run(*cells):
        for cell in cells:
            done = shell.run_cell(cell, store_history=True)
            done.raise_error()
        return done.result

    yield run
    InteractiveShell.clear_instance()


RIGHT = "def length(a, b=1):\n    return np.sqrt(a @ a) * b"


def test_check_finds_the_function_of_the_notebook(notebook, log):
    assert "no function length here" in repr(notebook("ex.check()"))
    assert notebook(RIGHT, "ex.check()").passed


def test_a_function_that_leans_on_the_notebook_passes_with_a_warning(notebook, log):
    notebook("import numpy as np", "two = int('2')", "root = vars(np)['sqrt']")
    notebook("In = 3", "%%time\ndef helper(x):\n    return x")
    leaning = "def length(a, b=1):\n    return root(a @ a) * b + two - two"
    verdict = notebook(leaning, "ex.check()")
    assert verdict.passed
    assert "it uses `root`, `two`, which this notebook computed," in verdict.says[0]
    alone = notebook("import numpy as np", RIGHT, "ex.check()")
    assert notebook(RIGHT.replace("a @ a", "helper(a @ a)"), "ex.check()").says == ()
    assert alone.says == ()


def test_a_pass_is_recorded_once(ex, log):
    for _ in range(2):
        assert ex.check(ex.function).passed
    assert log() == [("length", {"lesson": "01", "number": 1, "helped": False})]


def test_a_pass_after_the_solution_says_so(ex, log):
    ex.solution()
    ex.check(ex.function)
    assert [data["helped"] for _, data in log()] == [True]


def test_a_failed_attempt_and_a_starter_record_nothing(ex, log):
    ex.check(lambda a, b=1: 0)
    ex.check(lambda a, b=1: None)
    assert log() == []


def test_a_log_that_cannot_be_written_is_a_notice(ex, monkeypatch):
    monkeypatch.setattr(progress, "record", lambda *args, **more: "Disk full.")
    verdict = ex.check(ex.function)
    assert verdict.passed
    assert verdict.says == ("Disk full.",)


# ---- The bank ------------------------------------------------------------------------


def test_the_bank_is_a_list_of_names():
    assert set(exercises.bank()) < set(dir(exercises))
    assert exercises.msd_similarity is exercises.bank()["msd_similarity"]
    with pytest.raises(AttributeError, match="There are: masked_mae, "):
        _ = exercises.no_such_thing
    with pytest.raises(AttributeError):
        _ = exercises._private


def test_the_bank_loads_no_widget_and_no_model(run_python):
    loaded = run_python(
        "import sys; from mfcourse import exercises; exercises.bank();"
        "print(*sorted({n.split('.')[0] for n in sys.modules}))"
    )
    assert "numpy" in loaded.split()
    assert not {"ipywidgets", "anywidget", "pandas", "numba"} & set(loaded.split())


@pytest.fixture
def run_python():
    import subprocess

    def run(code):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True,
                              text=True, check=True)  # fmt: skip
        return done.stdout

    return run
