"""Public checks of an assignment: an exercise whose solution stays with the teacher.

The file beside the notebook holds the starters, some cases with the right answers, and
what the typical mistakes answer there: enough for the same check as in the lessons.
"""

from __future__ import annotations

import builtins
import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from mfcourse.exercises import wire
from mfcourse.exercises.exercise import Arguments, Exercise, Outcome
from mfcourse.exercises.verdict import Text

FORMAT = "mfcourse checks 1"


class _RaisedError(Exception):
    """Stands for an exception that a mistake ran into."""


@dataclass(eq=False, repr=False)
class Assigned(Exercise):
    """An exercise of an assignment, as a student has it: cases, but no solution.

    Parameters
    ----------
    stored : dict
        What the file of checks says of it.
    """

    stored: dict[str, Any] = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{self.lesson}: {self.name}"

    @property
    def _called(self) -> str:
        return f"{self.lesson.lower()}.{self.name}"

    def draw(self, seed: int | None = None) -> list[Arguments]:
        """Arguments of the public cases.

        Parameters
        ----------
        seed : int, optional
            There are no others.

        Returns
        -------
        list of tuple
        """
        return [tuple(wire.decode(case)) for case in self.stored["cases"]]

    def expected(self, drawn: list[Arguments]) -> list[Outcome]:
        """The right answers.

        Parameters
        ----------
        drawn : list of tuple
            The public cases; there are no others.

        Returns
        -------
        list of Outcome
        """
        return list(map(_outcome, self.stored["expected"]))

    def mistaken(self, message: str, drawn: list[Arguments]) -> list[Outcome]:
        """What a typical mistake answers.

        Parameters
        ----------
        message : str
        drawn : list of tuple
            The public cases; there are no others.

        Returns
        -------
        list of Outcome
        """
        return list(map(_outcome, self.stored["mistakes"][message]))

    def hint(self, number: int | None = None) -> Text:
        """Say where to look: an assignment has no hints.

        Parameters
        ----------
        number : int, optional

        Returns
        -------
        Text
        """
        return Text(f"{self.lesson} has no hints. Read the statement again, then the "
                    "lessons that it names.")  # fmt: skip

    def solution(self) -> Text:
        """Say that there is none here.

        Returns
        -------
        Text
        """
        return Text(f"The solution of {self.name} is with your instructor.")

    def _record(self) -> str:
        return "These are the public cases. Hidden ones of the same kinds are marked."


def load(path: str | Path, edition: str = "") -> SimpleNamespace:
    """Read the checks of an assignment, a name an exercise.

    Parameters
    ----------
    path : str or Path
        Such as ``"PS1_checks.json"``, beside the notebook.
    edition : str
        Of the notebook: conventions differ between classes.

    Returns
    -------
    SimpleNamespace

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is not a file of checks, or one of another class.
    """
    try:
        stored = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} is not in {Path.cwd()}. It belongs beside the notebook: copy it "
            "from the folder that you were given"
        ) from None
    except ValueError:
        stored = None
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise ValueError(
            f"{path} is no file of checks ({FORMAT!r}). Copy it again from the folder "
            "that you were given"
        )
    if edition and edition != stored["edition"]:
        raise ValueError(
            f"this notebook is of edition {edition}, and {path} of edition "
            f"{stored['edition']}: copy both again from the folder that you were given"
        )
    named = {}
    for number, (name, told) in enumerate(stored["exercises"].items(), 1):
        space: dict[str, Any] = {}
        exec(compile(told["starter"], f"<{name}>", "exec"), space)
        named[name] = Assigned(
            space[name], told["starter"], stored["assignment"], number,
            told["statement"], ("", "", ""), lambda rng: (),
            dict.fromkeys(told["mistakes"], ()), tuple(told["in_place"]), stored=told,
        )  # fmt: skip
    return SimpleNamespace(**named)


def store(exercise: Exercise) -> dict[str, Any]:
    """What the file of checks says of an exercise.

    Parameters
    ----------
    exercise : Exercise
        With its solution, which is not written.

    Returns
    -------
    dict
        JSON values.
    """
    drawn = exercise.draw()
    return {
        "statement": exercise.statement,
        "starter": exercise.starter,
        "in_place": list(exercise.in_place),
        "cases": [wire.encode(list(case)) for case in drawn],
        "expected": [_stored(outcome) for outcome in exercise.expected(drawn)],
        "mistakes": {
            message: [_stored(outcome) for outcome in exercise.mistaken(message, drawn)]
            for message in exercise.mistakes
        },
    }


def _stored(outcome: Outcome) -> dict[str, Any]:
    if outcome.error is not None:
        return {"error": type(outcome.error).__name__}
    if outcome.changed:
        return {"changed": outcome.changed}
    return {"value": wire.encode(outcome.value)}


def _outcome(told: dict[str, Any]) -> Outcome:
    if "error" in told:
        name = told["error"]
        kind = getattr(np.linalg, name, getattr(builtins, name, _RaisedError))
        return Outcome(error=kind())
    return Outcome(wire.decode(told.get("value")), changed=told.get("changed", ""))
