"""The sample keys: right in any form, closed to short cuts, other for each class."""

import collections
import importlib
import itertools
import math
import warnings

import numpy as np
import pytest

from mfcourse.exercises import bank, wire
from mfcourse.exercises.verdict import NOT_TRIED
from mfcourse.grading import key
from tests.conftest import ROOT

PATHS = {path.stem: path for path in sorted((ROOT / "instructor").glob("ps*.py"))}
TASKS = {
    f"{stem}-{task.name}": task
    for stem, path in PATHS.items()
    for task in vars(key._module(path)).values()
    if isinstance(task, key.Task)
}
EACH = pytest.mark.parametrize("name", TASKS)


def variants(task):
    """Each choice of variants with the task of such a class."""
    for choice in itertools.product(*task.variants.values()):
        chosen = dict(zip(task.variants, choice, strict=True))
        yield chosen, task.variant(chosen)


def earned(task, function, seed):
    """Points for what a function gives back, as the grader counts."""
    points = 0
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for name, cases in task.grouped(seed).items():
            pairs = ((task.run(task.function, c), task.run(function, c)) for c in cases)
            points += task.groups[name][0] * all(a.same(b) for a, b in pairs)
    return points


def forms(name):
    """Right answers written otherwise, each with its choice of variants."""
    stem, _, task = name.partition("-")
    module = importlib.import_module(f"tests.forms.{stem}")
    for form, chosen in module.CHOSEN.items():
        if form.startswith(f"{task}__"):
            yield getattr(module, form), chosen


def test_the_assignments_ask_what_the_lessons_teach():
    assert [name.partition("-")[2] for name in TASKS] == [
        "rmse", "recall_at_n", "shrunk_cosine", "masked_objective", "sgd_step",
        "als_solve_user", "als_half_step", "damped_biases", "predict_biased",
        "confidence", "ials_solve_user", "fold_in", "recommend_unseen", "ndcg_at_n",
    ]  # fmt: skip
    written = key.read(PATHS["ps3"], "a secret").written
    assert [w.points for w in written.values()] == [4]


@EACH
def test_a_reference_answers_with_plain_data_and_touches_nothing(name):
    for _, task in variants(TASKS[name]):
        assert "[[" not in task.statement
        assert sum(points for points, _ in task.groups.values()) >= 3
        for seed in (None, 1):
            for case in task.draw(seed):
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    outcome = task.run(task.function, case)
                assert outcome.error is None
                assert not outcome.changed
                assert wire.loads(wire.dumps(list(case))) is not None
                told = wire.loads(wire.dumps(outcome.value))
                assert outcome.same(type(outcome)(told))


@EACH
def test_right_answers_earn_all_in_any_form(name):
    for form, chosen in forms(name):
        task = TASKS[name].variant(chosen)
        assert [earned(task, form, seed) for seed in range(4)] == [task.points] * 4


@EACH
def test_what_is_published_answers_no_class(name):
    settled = list(variants(TASKS[name]))
    (first, printed), *drawn, (last, _) = settled
    chosen = [chosen for _, chosen in forms(name)]
    assert all(choice in (first, last) for choice in chosen)
    assert first in chosen
    assert last in chosen
    assert len(drawn) >= 2
    assert printed.source == TASKS[name].source
    for _, own in drawn:
        for form, _ in forms(name):
            assert 2 * earned(own, form, 1) <= own.points, form.__name__


@EACH
def test_no_exercise_of_the_lessons_answers_a_task(name):
    solutions = [ex.function for ex in bank().values()]
    solutions += [lambda *a, f=f, n=n: f(*a)[n] for f in solutions for n in (0, 1)]
    for _, task in variants(TASKS[name]):

        def any_right(*case, task=task):
            right = task.run(task.function, case)
            answers = (task.run(solution, case) for solution in solutions)
            return next((a.value for a in answers if right.same(a)), None)

        assert earned(task, any_right, 1) == 0


def text(answer):
    """The same for answers that are nearly the same."""
    if isinstance(answer, tuple | list):
        return str([text(part) for part in answer])
    return str((np.round(answer, 9) + 0.0).tolist())


@EACH
def test_no_table_of_frequent_answers_passes_a_group(name):
    task, n_seeds = next(variants(TASKS[name]))[1], 60
    answers = collections.defaultdict(list)
    for seed in range(n_seeds):
        for group, cases in task.grouped(seed).items():
            for place, case in enumerate(cases):
                answers[group, place].append(text(task.run(task.function, case).value))
    for group in task.groups:
        often = [
            collections.Counter(given).most_common(1)[0][1] / n_seeds
            for (other, _), given in answers.items()
            if other == group
        ]
        assert math.prod(often) < 1e-3, (group, often)


@EACH
def test_each_mistake_costs_points_and_is_named(name):
    named = set()
    for _, task in variants(TASKS[name]):
        for message in set(task.mistakes) - named:
            named.add(message)
            broken = task.broken(message)
            for seed in range(3):
                assert earned(task, broken, seed) < task.points, message
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                assert task.mark(broken).says[0] == message
    assert named == set(TASKS[name].mistakes)
    assert len(named) >= 4


@EACH
def test_the_answer_of_another_class_earns_at_most_half(name):
    task, settled = TASKS[name], list(variants(TASKS[name]))
    assert len(settled) >= 2
    for (chosen, own), (other, theirs) in itertools.permutations(settled, 2):
        if sum(chosen[part] != other[part] for part in task.variants) == 1:
            assert 2 * earned(own, theirs.function, 1) <= own.points, (chosen, other)


@EACH
def test_short_cuts_earn_nothing(name):
    for _, task in itertools.islice(variants(TASKS[name]), 0, None, 3):
        right = {
            wire.dumps(list(case)): task.run(task.function, case).value
            for case in task.draw(1)
        }

        def shaped(fill, *arguments, right=right):
            value = right[wire.dumps(list(arguments))]
            if isinstance(value, tuple | list):
                return [np.full(np.shape(part), fill) for part in value]
            return np.full(np.shape(value), fill)

        cuts = [lambda *a, x=x: x for x in (0, 1, -1, None, [], True, np.nan, np.inf)]
        cuts += [lambda *a, n=n: a[n] for n in range(len(task.draw(1)[0]))]
        cuts += [lambda *a, x=x: shaped(x, *a) for x in (0.0, 1.0, np.nan)]
        assert [earned(task, cut, 1) for cut in cuts] == [0] * len(cuts)


@EACH
def test_a_starter_is_not_tried_yet(name):
    for _, task in variants(TASKS[name]):
        space = {}
        exec(task.starter, space)
        assert repr(task.mark(space[task.name])) == NOT_TRIED


def test_hidden_cases_differ_from_public_ones_and_between_students():
    made = key.read(PATHS["ps1"], "a secret of mine")
    for task in made.tasks.values():
        seeds = [made.seed(student, task.name, "aa") for student in ("anna", "ben")]
        drawn = [wire.dumps(task.draw(seed)) for seed in (None, *seeds)]
        assert len(set(drawn)) == 3


def test_a_secret_draws_variants_and_classes_differ():
    classes = [key.read(PATHS["ps1"], f"secret {n}") for n in range(12)]
    sources = ["".join(t.source for t in c.tasks.values()) for c in classes]
    again = key.read(PATHS["ps1"], "secret 0")
    assert "".join(t.source for t in again.tasks.values()) == sources[0]
    assert len(set(sources)) >= 10
    assert len({c.digest for c in classes}) == 12
    for name, task in TASKS.items():
        first, *_, last = task.all_variants()
        for made in classes if name.startswith("ps1") else ():
            source = made.tasks[task.name].source
            assert source not in (first.source, last.source)


def test_a_key_that_cannot_be_read_is_told_in_a_sentence(tmp_path):
    for text, says in (
        (None, "no Python file"),
        ("x = 1", "has no @task"),
        ("1 / 0", "stops with ZeroDivisionError"),
    ):
        path = tmp_path / "ps9.py"
        if text is not None:
            path.write_text(text)
        with pytest.raises(key.GradingError, match=says):
            key.read(path, "a secret")


def test_an_edit_that_does_not_fit_is_no_variant(tmp_path):
    path = tmp_path / "ps9.py"
    path.write_text(
        "from mfcourse.grading.key import task\n"
        "@task(statement='', groups={}, mistakes={}, "
        "variants={'v': {'a': ('', 'nothing', 'like this')}})\n"
        "def f(x):\n    '''x: number'''\n    return x\n"
    )
    with pytest.raises(ValueError, match="'nothing' is not in the solution"):
        key.read(path, "a secret")


def test_practice_is_the_bank():
    made = key.practice("a secret")
    assert len(made.tasks) == made.points == 18
    for task in made.tasks.values():
        assert earned(task, task.function, 5) == 1
        assert earned(task, lambda *a: 0, 5) == 0
