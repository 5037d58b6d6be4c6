"""A key: what an assignment asks, how it is marked, and what differs between classes.

A key is a Python file of the instructor's. A task in it is an exercise whose points
stand on groups of cases, and whose text has variants: the order of two arguments, a
denominator, a rule for ties. A secret draws one of each, for a class.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import inspect
import itertools
import json
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mfcourse.exercises import bank
from mfcourse.exercises.exercise import Arguments, Exercise, edited, text_of

Cases = Callable[[np.random.Generator], Iterable[dict[str, Any]]]
Groups = dict[str, tuple[int, Cases]]
Variants = dict[str, dict[str, tuple[str, ...]]]
NO_HINTS = ("", "", "")


class GradingError(Exception):
    """Something that the instructor or the student has to mend, in a sentence."""


@dataclass(eq=False, repr=False)
class Task(Exercise):
    """A function to write, for points.

    Parameters
    ----------
    groups : dict
        Name → points and a generator of cases: dicts, a value an argument. The points
        of a group are given if all of its cases are right.
    variants : dict
        Name → what it may be, by name: a sentence, then texts of the solution and what
        stands there instead, in turn. ``[[name]]`` in the statement is the sentence.
    """

    groups: Groups = field(default_factory=dict)
    variants: Variants = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Task {self.name}, {self.points} points"

    @property
    def points(self) -> int:
        """Points of all groups."""
        return sum(points for points, _ in self.groups.values())

    def draw(self, seed: int | None = None) -> list[Arguments]:
        """Arguments of the cases of all groups.

        Parameters
        ----------
        seed : int, optional
            By default that of the public cases.

        Returns
        -------
        list of tuple
        """
        return [case for cases in self.grouped(seed).values() for case in cases]

    def grouped(self, seed: int | None = None) -> dict[str, list[Arguments]]:
        """Arguments of the cases, a list a group.

        Parameters
        ----------
        seed : int, optional
            By default that of the public cases.

        Returns
        -------
        dict
        """
        seed = int.from_bytes(self.name.encode()) if seed is None else seed
        order = list(inspect.signature(self.function).parameters)
        drawn = {}
        for number, (name, (_, cases)) in enumerate(self.groups.items()):
            made = cases(np.random.default_rng([seed, number]))
            drawn[name] = [_in_order(case, order) for case in made]
        return drawn

    def all_variants(self) -> Iterator[Task]:
        """The task as each class might have it.

        Yields
        ------
        Task
        """
        for chosen in itertools.product(*self.variants.values()):
            yield self.variant(dict(zip(self.variants, chosen, strict=True)))

    def variant(self, chosen: dict[str, str]) -> Task:
        """The task with its variants settled.

        Parameters
        ----------
        chosen : dict
            A name of `variants` → a name in it.

        Returns
        -------
        Task
            Without the mistakes whose text is not in this variant's solution.

        Raises
        ------
        ValueError
            A text to change is not in the solution exactly once.
        """
        source, statement = self.source, self.statement
        for name, choice in chosen.items():
            says, *edits = self.variants[name][choice]
            source = edited(source, edits, f"{self.name}, {name}: {choice}")
            statement = statement.replace(f"[[{name}]]", says)
        settled = replace(
            self, function=self._built(source), source=source, statement=statement,
            variants={},
        )  # fmt: skip
        settled.mistakes = {
            says: edits for says, edits in self.mistakes.items() if _fits(source, edits)
        }
        return settled


@dataclass(frozen=True)
class Written:
    """A question that a person marks.

    Parameters
    ----------
    name : str
        Of the variable that holds the answer, a text.
    points : int
    question : str
        Markdown.
    """

    name: str
    points: int
    question: str


@dataclass(frozen=True)
class Key:
    """An assignment with all that marks it.

    Parameters
    ----------
    name : str
        Such as "PS1".
    title, intro : str
        Of the notebook; Markdown.
    tasks : dict
        Name → Task, settled for a class.
    written : dict
        Name → Written.
    secret : str
        Draws the variants of a class and the cases of a student.
    digest : str
        Of the key's text and secret: another key, another digest.
    """

    name: str
    title: str
    intro: str
    tasks: dict[str, Task]
    written: dict[str, Written]
    secret: str
    digest: str

    @property
    def points(self) -> int:
        """Points of all tasks and written questions."""
        written = sum(question.points for question in self.written.values())
        return written + sum(task.points for task in self.tasks.values())

    @property
    def edition(self) -> str:
        """A mark of all that students are told: other variants, another edition."""
        tasks = [[t.name, t.statement, t.starter] for t in self.tasks.values()]
        told = [tasks, [[w.name, w.question] for w in self.written.values()]]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:8]

    def seed(self, student: str, task: str, sha256: str) -> int:
        """What draws a student's cases: nobody knows it without the secret.

        Parameters
        ----------
        student, task : str
        sha256 : str
            Of the notebook: another notebook, other cases.

        Returns
        -------
        int
        """
        return number(self.secret, self.name, student, task, sha256)


def task(
    *,
    statement: str,
    groups: Groups,
    mistakes: dict[str, tuple[str, ...]],
    variants: Variants | None = None,
    in_place: tuple[str, ...] = (),
) -> Callable[[Callable[..., Any]], Task]:
    """Make a task of the solution below.

    Parameters
    ----------
    statement, groups, mistakes, variants, in_place
        As in `Task` and `Exercise`.

    Returns
    -------
    callable
        A decorator.
    """

    def made(function: Callable[..., Any]) -> Task:
        return Task(
            function, text_of(function), "", 0, statement, NO_HINTS, lambda rng: (),
            mistakes, in_place, groups=groups, variants=variants or {},
        )  # fmt: skip

    return made


def read(path: Path, secret: str) -> Key:
    """Read a key's file, and settle its variants for a class.

    Parameters
    ----------
    path : Path
        A Python file with ``TITLE``, ``INTRO``, tasks, and perhaps ``WRITTEN``.
    secret : str

    Returns
    -------
    Key

    Raises
    ------
    GradingError
        The file is not there, does not run, or has no task.
    """
    name = path.stem.upper()
    module = _module(path)
    tasks: dict[str, Task] = {}
    for value in vars(module).values():
        if isinstance(value, Task):
            drawn = _drawn(value, secret, name)
            tasks[value.name] = replace(
                value.variant(drawn), lesson=name, number=len(tasks) + 1
            )
    if not tasks:
        raise GradingError(f"{path} has no @task. instructor/ps1.py shows how")
    title, intro = (str(getattr(module, part, "")) for part in ("TITLE", "INTRO"))
    written = {w.name: w for w in getattr(module, "WRITTEN", ())}
    digest = _digest(path.read_text(encoding="utf-8"), secret)
    return Key(name, title, intro, tasks, written, secret, digest)


def practice(secret: str) -> Key:
    """The exercises of the lessons as a key: a point each.

    Parameters
    ----------
    secret : str

    Returns
    -------
    Key
    """
    tasks: dict[str, Task] = {}
    for name, ex in bank().items():
        parts = {key: value for key, value in vars(ex).items() if key[0] != "_"}
        cases = {"all cases": (1, ex.cases)}
        tasks[name] = Task(**parts, groups=cases)
    sources = json.dumps({name: task.source for name, task in tasks.items()})
    digest = _digest(sources, secret)
    return Key("practice", "Practice", "", tasks, {}, secret, digest)


def number(secret: str, *words: str) -> int:
    """A number that only who has the secret can know.

    Parameters
    ----------
    secret : str
    *words : str
        What it is for.

    Returns
    -------
    int
    """
    message = json.dumps(words).encode()
    return int.from_bytes(hmac.digest(secret.encode(), message, hashlib.sha256)[:16])


def _drawn(task: Task, secret: str, name: str) -> dict[str, str]:
    """The options of a class: never all first or all last ones.

    Those two stand in the open, in the key's file and in its tests.
    """
    options = list(itertools.product(*task.variants.values()))
    hidden = options[1:-1] or options
    drawn = number(secret, name, task.name, "variant") % len(hidden)
    return dict(zip(task.variants, hidden[drawn], strict=True))


def _digest(text: str, secret: str) -> str:
    return hmac.digest(secret.encode(), text.encode(), hashlib.sha256).hex()[:16]


def _module(path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(f"mfcourse_key_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise GradingError(f"{path} is no Python file of a key")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise GradingError(
            f"the key {path} stops with {type(error).__name__}: {error}. Mend it"
        ) from error
    return module


def _in_order(case: Any, order: list[str]) -> Arguments:
    return tuple(case[name] for name in order) if isinstance(case, dict) else case


def _fits(source: str, edits: tuple[str, ...]) -> bool:
    try:
        edited(source, edits, "")
    except ValueError:
        return False
    return True
