"""Predict before a result, reveal after it: who has guessed looks more closely.

What was predicted last under a name is kept while Python runs, so that ``reveal``, in a
later cell, can set it beside the answer.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import traitlets

from mfcourse.learn import progress
from mfcourse.learn._widget import Widget, Words, place, script

_asked: dict[str, Predict] = {}


class Predict(Widget):
    """A question to answer before the result is seen.

    Parameters
    ----------
    name : str
    question : str
    choices : list, optional
    unit : str
    """

    _esm = script("predict.js")
    question = traitlets.Unicode().tag(sync=True)
    choices: Any = traitlets.List(allow_none=True).tag(sync=True)  # as text
    unit = traitlets.Unicode().tag(sync=True)
    chosen = traitlets.Unicode().tag(sync=True)  # as text
    revealed = traitlets.Bool().tag(sync=True)
    notice = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, name: str, question: str, choices: list[Any] | None, unit: str
    ) -> None:
        self.name, self.values = name, choices
        self.value: Any = None
        super().__init__(
            question=question,
            choices=None if choices is None else [say(c) for c in choices],
            unit=unit,
        )
        self.on_msg(self._heard)
        known = progress.events("predicted") if progress.recording() else []
        told = [e.data.get("choice") for e in known if e.subject == name]
        told += [before.value for before in [_asked.get(name)] if before]
        by_text: dict[Any, Any] = {say(choice): choice for choice in choices or ()}
        for value in told:
            if isinstance(value, str | Real):
                value = by_text.get(value, value)
                if self._fits(value):
                    self._keep(value)
        self.notice = progress.notice() if progress.recording() else ""

    def choose(self, value: Any) -> str:
        """Predict, where widgets do not run.

        Parameters
        ----------
        value : one of the choices, or a number

        Returns
        -------
        str
            What was kept.

        Raises
        ------
        ValueError
            No such choice, no number, or the answer is known already.
        """
        if self.revealed:
            raise ValueError(
                "the answer is known; run the question again to choose anew"
            )
        if not self._fits(value):
            wanted = "a number" if self.choices is None else f"one of {self.choices}"
            raise ValueError(f"{value!r} is no answer here; choose {wanted}")
        self._keep(value)
        return Words(f"Your prediction: {self.chosen}. You may still change it.")

    def _fits(self, value: Any) -> bool:
        if self.values is not None:
            return value in self.values
        number = isinstance(value, Real) and not isinstance(value, bool)
        return number and abs(value) < 1e300 and math.isfinite(value)

    def _keep(self, value: Any) -> None:
        self.value = value
        self.chosen = say(value, self.unit)

    def _heard(self, _: Any, content: dict[str, Any], __: Any) -> None:
        value = content.get("value")
        if self.values is not None:
            at = place(content.get("at"), len(self.values))
            value = None if at is None else self.values[at]
        if not self.revealed and value is not None and self._fits(value):
            self._keep(value)
            plain = value if self.values is None else self.chosen
            said = progress.record("predicted", self.name, once=True, choice=plain)
            self.notice = said

    def __repr__(self) -> str:
        choices = [f"  · {choice}" for choice in self.choices or ()]
        unit = f", in {self.unit}" if self.unit else ""
        return "\n".join(
            [f"Predict: {self.question}", *(choices or [f"  · a number{unit}"])]
        )


class _Revealed:
    """A prediction beside the answer, as words and as HTML."""

    def __init__(self, said: str, note: str) -> None:
        self._said, self._note = said, note

    def __repr__(self) -> str:
        return f"{self._said} {self._note}".rstrip()

    def _repr_html_(self) -> str:
        said, note = html.escape(self._said), html.escape(self._note)
        return f'<div class="mf"><strong>{said}</strong> {note}</div>'


def predict(
    name: str, question: str, choices: Iterable[Any] | None = None, *, unit: str = ""
) -> Predict:
    """Ask what the next cell will show.

    Parameters
    ----------
    name : str
        Such as "03-learning-rate"; `reveal` asks for it.
    question : str
    choices : iterable of str or numbers, optional
        Left out, a number is asked for.
    unit : str
        Of that number.

    Returns
    -------
    Predict
        A widget; ``.choose(value)`` answers where widgets do not run.

    Raises
    ------
    ValueError
        Fewer than two choices, or two alike.
    """
    listed = None if choices is None else list(choices)
    if listed is not None and not 1 < len({say(c) for c in listed}) == len(listed):
        raise ValueError(f"expected two or more different choices, got {listed}")
    _asked[name] = Predict(name, question, listed, unit)
    return _asked[name]


def reveal(
    name: str, answer: Any, note: str = "", *, within: float | str = "10%"
) -> _Revealed:
    """Set the answer beside what was predicted.

    Parameters
    ----------
    name : str
        As in `predict`.
    answer : one of the choices, or a number
    note : str
        A sentence that follows.
    within : float or str
        How far from a number is still near: 2, or "10%" of it.

    Returns
    -------
    _Revealed

    Raises
    ------
    ValueError
        Nothing was asked by that name, or the answer is none of its choices.
    """
    if name not in _asked:
        known = ", ".join(map(repr, _asked)) or "none so far"
        raise ValueError(
            f"nothing was asked as {name!r}; there is {known}. Run its cell first"
        )
    asked = _asked[name]
    if not asked._fits(answer):
        wanted = "a number" if asked.choices is None else f"one of {asked.choices}"
        raise ValueError(f"the answer {answer!r} to {name!r} must be {wanted}")
    told = say(answer, asked.unit)
    if asked.value is None:
        return _Revealed(f"No prediction was made. The answer: {told}.", note)
    asked.revealed = True
    if asked.values is not None or asked.value == answer:
        right = asked.value == answer
        verdict = "right" if right else "not so"
    else:
        away = abs(float(asked.value) - float(answer))
        right = away <= _reach(within, float(answer))
        verdict = f"{say(away)} away, {'near' if right else 'not near'}"
    sign = "✓" if right else "✗"
    return _Revealed(
        f"{sign} You predicted {asked.chosen}; it is {told}: {verdict}.", note
    )


def _reach(within: float | str, answer: float) -> float:
    if not isinstance(within, str):
        return within
    return float(within.removesuffix("%")) / 100 * abs(answer)


def say(value: Any, unit: str = "") -> str:
    """Write a value as a reader likes it: four digits, thousands with a comma.

    Parameters
    ----------
    value : object
    unit : str

    Returns
    -------
    str
    """
    said = str(value)
    if isinstance(value, Real) and not isinstance(value, bool):
        whole = isinstance(value, Integral) or abs(float(value)) >= 1e4
        said = f"{value:,.0f}" if whole else f"{value:.4g}"
    return f"{said} {unit}".rstrip()
