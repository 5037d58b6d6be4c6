"""The exercise bank: right answers pass in any form, each mistake is called by name."""

import importlib

import nbformat
import numpy as np
import pytest

from mfcourse import exercises
from mfcourse.exercises.verdict import NOT_TRIED
from tests.conftest import ROOT

BANK = exercises.bank()
EACH = pytest.mark.parametrize("ex", BANK.values(), ids=BANK)


def forms(ex):
    """Right answers that are not the bank's own."""
    module = importlib.import_module(f"tests.forms.lesson_{ex.lesson}")
    return [f for name, f in vars(module).items() if name.startswith(f"{ex.name}__")]


def starter(ex):
    space = {}
    exec(ex.starter, space)
    return space[ex.name]


def test_two_exercises_a_lesson():
    assert [(ex.lesson, ex.number) for ex in BANK.values()] == [
        (f"{lesson:02d}", number) for lesson in range(9) for number in (1, 2)
    ]


def test_the_bank_knows_ninety_mistakes():
    assert sum(len(ex.mistakes) for ex in BANK.values()) >= 18 * 5


@EACH
def test_right_answers_pass_in_any_form(ex):
    assert ex.mark(ex.function).passed
    assert len(forms(ex)) >= 2
    for form in forms(ex):
        assert (verdict := ex.mark(form)).passed, f"{form.__name__}: {verdict}"


@EACH
def test_right_answers_agree_on_other_cases(ex):
    for seed in range(3):
        for case in ex.draw(seed):
            wanted = ex.run(ex.function, case)
            assert wanted.error is None
            assert not wanted.changed
            for form in forms(ex):
                assert wanted.same(ex.run(form, case)), form.__name__


@EACH
def test_each_typical_mistake_is_rejected_and_named(ex):
    assert len(ex.mistakes) >= 5
    for message in ex.mistakes:
        with np.errstate(all="ignore"):
            verdict = ex.mark(ex.broken(message))
        assert not verdict.passed, message
        assert verdict.says[0] == message
        assert message in " ".join(repr(verdict).split())  # it is wrapped


@EACH
def test_an_unattempted_exercise_is_told_so(ex):
    assert repr(ex.mark(starter(ex))) == NOT_TRIED


@EACH
def test_nothing_in_an_exercise_is_left_out(ex):
    assert len(ex.hints) == len(set(ex.hints)) == 3
    assert ex.source in ex.solution().markdown
    assert len(ex.draw()) >= 5
    assert "    ..." in ex.starter
    assert ex.starter.count('"""') == 2


@EACH
def test_the_lesson_has_the_statement_and_the_starter_of_the_bank(ex):
    (path,) = (ROOT / "notebooks").glob(f"{ex.lesson}_*.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    (at,) = [n for n, cell in enumerate(cells) if cell.source == ex.cell]
    assert ex.statement in cells[at - 1].source
    assert f"**Exercise {ex.number}" in cells[at - 1].source
