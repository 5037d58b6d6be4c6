"""One exercise: a solution, and what is said about attempts that differ from it.

A typical mistake is the solution with something changed in its text, and a sentence to
the learner. An attempt runs on drawn inputs; where it is wrong, every mistake runs on
the same inputs, and the one that answers as the attempt does, in every case, is named.
"""

from __future__ import annotations

import ast
import copy
import dis
import inspect
import sys
import traceback
import types
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mfcourse.exercises.collect import collect
from mfcourse.exercises.compare import difference
from mfcourse.exercises.verdict import NOT_TRIED, Text, Verdict, write
from mfcourse.learn import progress

Arguments = tuple[Any, ...]


@dataclass(frozen=True)
class Outcome:
    """What one call gave.

    Parameters
    ----------
    value : anything
        What came back, or the changed arguments of an exercise that works in place.
    error : Exception, optional
        What was raised instead.
    changed : str
        An argument that was changed and should not have been.
    """

    value: Any = None
    error: Exception | None = None
    changed: str = ""

    def same(self, other: Outcome) -> bool:
        """Whether another call went as this one.

        Parameters
        ----------
        other : Outcome

        Returns
        -------
        bool
        """
        if self.error or other.error or self.changed or other.changed:
            kinds = type(self.error) is type(other.error)
            return kinds and self.changed == other.changed
        if self.value is None or other.value is None:
            return self.value is other.value
        return not difference(self.value, other.value)


@dataclass(eq=False)
class Exercise:
    """A function to write, with everything around it.

    Parameters
    ----------
    function : callable
        The solution.
    source : str
        Its text, from ``def`` on.
    lesson : str
        "00" to "09".
    number : int
        1 or 2.
    statement : str
        Markdown.
    hints : tuple of str
        Three, each saying more than the one before.
    cases : callable
        Generator of argument tuples from a NumPy random generator.
    mistakes : dict
        Sentence to the learner → texts of the solution and what stands there instead,
        in turn.
    in_place : tuple of str
        Arguments that the function changes; they are its answer.
    """

    function: Callable[..., Any]
    source: str
    lesson: str
    number: int
    statement: str
    hints: tuple[str, str, str]
    cases: Callable[[np.random.Generator], Iterable[Arguments]]
    mistakes: dict[str, tuple[str, ...]]
    in_place: tuple[str, ...] = ()
    _failing: Arguments = field(default=(), init=False)
    _hinted: int = field(default=0, init=False)
    _helped: bool = field(default=False, init=False)

    def __repr__(self) -> str:
        return f"Exercise {self.number} of lesson {self.lesson}: {self.name}"

    @property
    def name(self) -> str:
        """Name of the function to write."""
        return self.function.__name__

    @property
    def failing(self) -> Arguments:
        """The smallest input that the last attempt got wrong."""
        return copy.deepcopy(self._failing)

    @property
    def starter(self) -> str:
        """The function with a hole in it."""
        (node,) = ast.parse(self.source).body
        assert isinstance(node, ast.FunctionDef)
        head = self.source.splitlines()[: node.body[0].end_lineno]
        return "\n".join([*head, "    ...  # your code"])

    @property
    def cell(self) -> str:
        """The cell of the lesson: the starter, and its check."""
        return (
            f"{self.starter}\n\n\nex = exercises.{self.name}\n"
            "ex.check()  # stuck? ex.hint(), again for more; at last ex.solution()"
        )

    @property
    def _called(self) -> str:
        """What it is called in the notebook."""
        return "ex"

    # ---- What the learner calls ------------------------------------------------------

    def check(self, function: Callable[..., Any] | None = None) -> Verdict:
        """Mark an attempt; a passing one is recorded in the progress log.

        Parameters
        ----------
        function : callable, optional
            By default the one of this name where ``check`` is called.

        Returns
        -------
        Verdict
        """
        frame = inspect.currentframe()
        around = frame.f_back.f_globals if frame and frame.f_back else {}
        function = around.get(self.name) if function is None else function
        if not callable(function):
            where = f"There is no function {self.name} here. Run the cell with its def."
            return Verdict(False, "Not yet.", (where,))
        verdict = self.mark(function)
        if verdict.headline == NOT_TRIED:
            return verdict
        says = [*verdict.says, _leans_on(self.name)]
        if verdict.passed:
            says.append(self._record())
        return replace(verdict, says=tuple(filter(None, says)))

    def _record(self) -> str:
        told = {"lesson": self.lesson, "number": self.number, "helped": self._helped}
        return progress.record("passed", self.name, once=True, **told)

    def hint(self, number: int | None = None) -> Text:
        """Show a hint.

        Parameters
        ----------
        number : {1, 2, 3}, optional
            By default the next one.

        Returns
        -------
        Text

        Raises
        ------
        ValueError
            There is no such hint.
        """
        if number is None:
            number = min(self._hinted + 1, 3)
        if number not in (1, 2, 3):
            raise ValueError(f"there are hints 1, 2 and 3, not {number!r}")
        self._hinted = max(self._hinted, number)
        more = "" if number < 3 else " (the last one; `ex.solution()` shows a solution)"
        return Text(f"**Hint {number} of 3**{more}: {self.hints[number - 1]}")

    def solution(self) -> Text:
        """Show one solution.

        Returns
        -------
        Text
        """
        self._helped = True
        return Text(
            f"One solution of several:\n\n```python\n{self.source}\n```\n\n"
            "Close it, and write it yourself: that is how it stays."
        )

    # ---- Marking ---------------------------------------------------------------------

    def mark(self, function: Callable[..., Any]) -> Verdict:
        """Run an attempt on all cases; record nothing.

        Parameters
        ----------
        function : callable

        Returns
        -------
        Verdict
        """
        if is_untouched(function):
            return Verdict(False, NOT_TRIED)
        drawn = self.draw()
        try:
            for arguments in drawn:
                inspect.signature(function).bind(*arguments)
        except TypeError as error:
            wanted = f"{self.name}{inspect.signature(self.function)}"
            return Verdict(False, "Not yet.", (f"It is called as {wanted}: {error}.",))
        except ValueError:  # a builtin that shows no signature
            pass
        expected = self.expected(drawn)
        got = [self.run(function, arguments) for arguments in drawn]
        wrong = [n for n in range(len(drawn)) if not expected[n].same(got[n])]
        if not wrong:
            return Verdict(True, f"Right, in all {len(drawn)} cases.")
        n = min(wrong, key=lambda n: _size(drawn[n]))
        self._failing = drawn[n]
        mistake = self._mistake(drawn, got, wrong, n)
        reason = _reason(expected[n], got[n], function, self.in_place)
        both = (mistake, "" if mistake and got[n].changed else reason)
        says = tuple(filter(None, both))
        headline = f"Not yet. Right: {len(drawn) - len(wrong)} of {len(drawn)} cases."
        return Verdict(False, headline, says, self._show(expected[n], got[n]))

    def draw(self, seed: int | None = None) -> list[Arguments]:
        """Arguments of all cases, the same for everybody.

        Parameters
        ----------
        seed : int, optional
            Other cases of the same kinds.

        Returns
        -------
        list of tuple
        """
        seed = zlib.crc32(self.name.encode()) if seed is None else seed
        return list(self.cases(np.random.default_rng(seed)))

    def expected(self, drawn: list[Arguments]) -> list[Outcome]:
        """What the solution gives.

        Parameters
        ----------
        drawn : list of tuple
            From ``draw()``.

        Returns
        -------
        list of Outcome
        """
        return [self.run(self.function, arguments) for arguments in drawn]

    def mistaken(self, message: str, drawn: list[Arguments]) -> list[Outcome]:
        """What a typical mistake gives.

        Parameters
        ----------
        message : str
            The sentence that stands for the mistake.
        drawn : list of tuple
            From ``draw()``.

        Returns
        -------
        list of Outcome
        """
        function = self.broken(message)
        with np.errstate(all="ignore"):
            return [self.run(function, arguments) for arguments in drawn]

    def run(self, function: Callable[..., Any], arguments: Arguments) -> Outcome:
        """Call a function on a copy of the arguments.

        Parameters
        ----------
        function : callable
        arguments : tuple

        Returns
        -------
        Outcome
        """
        own = copy.deepcopy(arguments)
        try:
            value = function(*own)
        except Exception as error:
            return Outcome(error=error)
        with suppress(Exception):  # a generator has no copy, and is shown as what it is
            value = copy.deepcopy(value)
        names = inspect.signature(self.function).parameters
        named = dict(zip(names, own, strict=False))
        if self.in_place:
            return Outcome(tuple(named[name] for name in self.in_place))
        for name, before in zip(named, arguments, strict=False):
            if not _untouched(before, named[name]):
                return Outcome(value, changed=name)
        return Outcome(value)

    def broken(self, message: str) -> Callable[..., Any]:
        """The solution with one of the typical mistakes.

        Parameters
        ----------
        message : str
            The sentence that stands for the mistake.

        Returns
        -------
        callable

        Raises
        ------
        ValueError
            A text to change is not in the solution exactly once.
        """
        return self._built(edited(self.source, self.mistakes[message], self.name))

    def _built(self, source: str) -> Callable[..., Any]:
        """The function that another text of the solution defines."""
        space = dict(self.function.__globals__)
        exec(compile(source, f"<{self.name}>", "exec"), space)
        return space[self.name]

    def _mistake(
        self, drawn: list[Arguments], got: list[Outcome], wrong: list[int], shown: int
    ) -> str:
        """The sentence of the mistake that answers just as the attempt does.

        Where none does so in every case, there may be a second slip: then one that
        explains the case shown and most others is named, with less certainty.
        """
        likely, most = "", max(3, 2 / 3 * len(wrong))
        for message in self.mistakes:
            made = self.mistaken(message, drawn)
            alike = [a.same(b) for a, b in zip(made, got, strict=True)]
            if all(alike):
                return message
            explained = sum(alike[n] for n in wrong)
            if alike[shown] and explained >= most and got[shown].error is None:
                likely, most = message, explained + 1
        return likely and f"It looks as if this holds: {likely}"

    def _answer(self, value: Any) -> str:
        if not self.in_place:
            return write(value, 9)
        pairs = zip(self.in_place, value, strict=True)
        rows = (f"{name} = {write(part, 12 + len(name))}" for name, part in pairs)
        return f"\n{'':9}".join(rows)

    def _show(self, expected: Outcome, got: Outcome) -> str:
        names = inspect.signature(self.function).parameters
        rows = [
            f"{name} = {write(value, len(name) + 3)}"
            for name, value in zip(names, self._failing, strict=False)
        ]
        rows += ["", f"expected {self._answer(expected.value)}"]
        if got.error is None:
            rows.append(f"got      {self._answer(got.value)}")
        again = f"{self.name}(*{self._called}.failing)"
        if self.in_place:
            again = f"args = {self._called}.failing; {self.name}(*args); args"
        rows += ["", f"The same input again: {again}"]
        return "\n".join(rows)


def exercise(
    lesson: str,
    number: int,
    *,
    statement: str,
    hints: tuple[str, str, str],
    cases: Callable[[np.random.Generator], Iterable[Arguments]],
    mistakes: dict[str, tuple[str, ...]],
    in_place: tuple[str, ...] = (),
) -> Callable[[Callable[..., Any]], Exercise]:
    """Make an exercise of the solution below.

    Parameters
    ----------
    lesson, number, statement, hints, cases, mistakes, in_place
        As in `Exercise`.

    Returns
    -------
    callable
        A decorator.
    """

    def made(function: Callable[..., Any]) -> Exercise:
        return Exercise(
            function, text_of(function), lesson, number, statement, hints, cases,
            mistakes, in_place,
        )  # fmt: skip

    return made


def text_of(function: Callable[..., Any]) -> str:
    """The text of a function, without what stands above its ``def``.

    Parameters
    ----------
    function : callable

    Returns
    -------
    str
    """
    text = inspect.getsource(function)
    return text[text.index(f"def {function.__name__}(") :].rstrip()


def edited(source: str, edits: Iterable[str], where: str) -> str:
    """A solution with something changed in its text.

    Parameters
    ----------
    source : str
    edits : iterable of str
        Texts and what stands there instead, in turn.
    where : str
        Named in the error.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        A text to change is not in the solution exactly once.
    """
    pairs = iter(edits)
    for old, new in zip(pairs, pairs, strict=True):
        if source.count(old) != 1:
            raise ValueError(
                f"{where}: {old!r} is not in the solution, or not there exactly once"
            )
        source = source.replace(old, new)
    return source


def is_untouched(function: Callable[..., Any]) -> bool:
    """Whether a function still is a starter: a docstring and ``...``.

    Parameters
    ----------
    function : callable

    Returns
    -------
    bool
    """

    code = getattr(function, "__code__", None)
    known = isinstance(code, types.CodeType)
    return known and _steps(code) == _steps(_starter.__code__)


def _starter() -> None: ...


def _steps(code: Any) -> list[tuple[str, Any]]:
    return [(step.opname, step.argval) for step in dis.get_instructions(code)]


def _untouched(before: Any, after: Any) -> bool:
    if isinstance(before, np.ndarray):
        return np.array_equal(before, after, equal_nan=before.dtype.kind == "f")
    if isinstance(before, tuple | list):
        same = isinstance(after, tuple | list) and len(before) == len(after)
        return same and all(map(_untouched, before, after))
    return before is after or before == after or before != before


def _size(arguments: Arguments) -> int:
    """How much there is to read in an input."""
    return sum(
        _size(tuple(part)) if isinstance(part, tuple | list) else np.size(part)
        for part in arguments
    )


def _reason(
    expected: Outcome,
    got: Outcome,
    function: Callable[..., Any],
    names: tuple[str, ...],
) -> str:
    if got.error is not None:
        code = getattr(inspect.unwrap(function), "__code__", None)
        own = getattr(code, "co_filename", "")
        steps = traceback.extract_tb(got.error.__traceback__)
        lines = [step.line for step in steps if step.filename == own and step.line]
        where = f" at `{lines[-1]}`" if lines else ""
        said = write(got.error, 0)[:300]
        return f"It stopped with {type(got.error).__name__}: {said}{where}."
    if got.changed:
        return f"It changed its argument {got.changed}. Work on a copy."
    said = difference(expected.value, got.value, names=names)
    return f"For the input below: {said}."


def _leans_on(name: str) -> str:
    """A warning where a function needs what only this notebook knows."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None:
        return ""
    try:  # `In` has the cells transformed, and may be a name of the learner's
        found = collect(shell.history_manager.input_hist_raw, name)
        missing, absent = found.missing, found.absent
    except Exception:  # defined in another way, which is fine here
        return ""
    says = []
    if missing:
        says.append(
            f"Careful: it uses {', '.join(f'`{other}`' for other in missing)}, which "
            "this notebook computed, changed, or never defined. Graded work is taken "
            "out of the notebook with the functions, classes, imports and plain values "
            "that it needs, and no more. Pass it in, or compute it within the function."
        )
    if absent:
        says.append(
            f"Careful: it imports {', '.join(f'`{other}`' for other in absent)}. Where "
            "work is graded, there are NumPy and SciPy alone."
        )
    return " ".join(says)
