"""Public checks of an assignment: they answer as in a lesson, and hold no solution."""

import json

import nbformat
import numpy as np
import pytest

from mfcourse import exercises
from mfcourse.exercises import assigned
from mfcourse.exercises.verdict import NOT_TRIED
from mfcourse.grading import assignment, key
from tests.conftest import ROOT

FOLDER = ROOT / "notebooks" / "assignments"
NAMES = ["PS1", "PS2", "PS3"]
EACH = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def made():
    """The keys of the sample assignments."""
    return {n: key.read(assignment.find(n), "sample secret") for n in NAMES}


@EACH
def test_the_sample_in_notebooks_is_what_its_key_makes(name, made):
    there = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    fresh = assignment.notebook(made[name])
    assert [(c.id, c.source) for c in there.cells] == [
        (c.id, c.source) for c in fresh.cells
    ]
    stored = (FOLDER / f"{name}_checks.json").read_text(encoding="utf-8")
    assert numbers(json.loads(stored)) == numbers(
        json.loads(assignment.checks(made[name]))
    )


def numbers(told):
    """The names and shapes in a file of checks; bits may differ between machines."""
    if isinstance(told, dict):
        return {k: numbers(v) if k != "bytes" else len(v) for k, v in told.items()}
    if isinstance(told, list):
        return list(map(numbers, told))
    return told if isinstance(told, str | bool) else type(told).__name__


@EACH
def test_a_public_check_answers_as_the_keys_own(name, made):
    public = vars(exercises.assignment(FOLDER / f"{name}_checks.json"))
    assert list(public) == list(made[name].tasks)
    for task in made[name].tasks.values():
        own = public[task.name]
        space = {}
        exec(own.starter, space)
        assert repr(own.mark(space[task.name])) == NOT_TRIED
        assert own.mark(task.function).passed
        for message in task.mistakes:
            with np.errstate(all="ignore"):
                verdict = own.mark(task.broken(message))
            assert not verdict.passed
            assert verdict.says[0] == message
            assert f"{task.name}(*{name.lower()}.{task.name}.failing)" in verdict.shown


@EACH
def test_what_students_get_holds_no_solution(name, made):
    given = "".join(path.read_text("utf-8") for path in FOLDER.glob(f"{name}*"))
    for task in made[name].tasks.values():
        lines = task.source.splitlines()[len(task.starter.splitlines()) - 1 :]
        assert lines
        for line in lines:
            if len(line.strip()) > 16:
                assert line.strip() not in given


def test_a_check_records_nothing_and_gives_no_solution(made):
    own = exercises.assignment(FOLDER / "PS1_checks.json").rmse
    task = made["PS1"].tasks["rmse"]
    verdict = own.check(task.function)
    assert verdict.passed
    assert "Hidden ones" in verdict.says[0]
    assert "no hints" in own.hint().markdown
    assert "with your instructor" in own.solution().markdown
    assert repr(own) == "PS1: rmse"


def test_a_mistake_that_stops_is_stored_by_its_class(made):
    def stops(prediction, R):
        raise np.linalg.LinAlgError

    outcome = made["PS1"].tasks["rmse"].run(stops, (np.ones(2), np.ones(2)))
    told = assigned._stored(outcome)
    assert told == {"error": "LinAlgError"}
    assert assigned._outcome(told).same(outcome)
    assert not assigned._outcome({"error": "Strange"}).same(outcome)
    changed = assigned._outcome({"changed": "R"})
    assert changed.changed == "R"
    assert assigned._stored(changed) == {"changed": "R"}


def test_a_file_that_is_no_file_of_checks_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="beside the notebook"):
        exercises.assignment(tmp_path / "PS1_checks.json")
    for text in ("", "[]", '{"format": "mfcourse checks 0"}'):
        (tmp_path / "c.json").write_text(text)
        with pytest.raises(ValueError, match="no file of checks"):
            exercises.assignment(tmp_path / "c.json")
