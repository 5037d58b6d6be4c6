"""What a declaration may hold: a rule a key; errors name key, rule and value."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from mfcourse.evaluate import ERRORS, RANKED

NUMBERS = (int, float)  # a bool is none: kinds are compared, not their ancestors


class DeclarationError(Exception):
    """Something in a declaration, with its place and what was expected."""


@dataclass(frozen=True)
class Rule:
    """What a value must be.

    Parameters
    ----------
    kinds : tuple of type
    words : str
        What is expected, for the error.
    fits : callable, optional
        Tells whether a value of the right kind will do.
    """

    kinds: tuple[type, ...]
    words: str
    fits: Callable[[Any], bool] = lambda value: True


def _whole(least: int) -> Rule:
    return Rule((int,), f"a whole number from {least}", lambda value: value >= least)


def _is_clip(value: Any) -> bool:
    if isinstance(value, bool):
        return True
    return (
        len(value) == 2
        and all(type(end) in NUMBERS for end in value)
        and value[0] < value[1]
    )


def _are_seeds(value: list[Any]) -> bool:
    whole = all(type(seed) is int and 0 <= seed < 2**32 for seed in value)
    return whole and 0 < len(value) == len(set(value))


def _is_grid(value: list[Any]) -> bool:
    flat = [repr(one) for one in value if not isinstance(one, list | dict)]
    return 0 < len(value) == len(set(flat))


def _is_range(value: dict[str, Any]) -> bool:
    if set(value) == {"among"}:
        return isinstance(value["among"], list) and _is_grid(value["among"])
    low, high, log = value.get("from"), value.get("to"), value.get("log", False)
    return (
        set(value) - {"log"} == {"from", "to"}
        and type(low) in NUMBERS
        and type(high) in NUMBERS
        and type(log) is bool
        and (0 if log else -float("inf")) < low < high  # type: ignore[operator]
    )


def _are_figures(value: dict[str, Any]) -> bool:
    tables = [one for one in value.values() if isinstance(one, dict)]
    return len(tables) == len(value) and all(
        type(figure) in NUMBERS and is_metric(name)
        for table in tables
        for name, figure in table.items()
    )


def is_metric(name: Any) -> bool:
    """Whether there is such a metric: ``rmse``, ``ndcg@10`` …

    Parameters
    ----------
    name : value

    Returns
    -------
    bool
    """
    kind, at, n = str(name).partition("@")
    return (kind in RANKED and n.isdecimal() and int(n) > 0) or (
        kind in ERRORS and not at
    )


TEXT, BOOL, TABLE = (
    Rule((str,), "text"),
    Rule((bool,), "true or false"),
    Rule((dict,), "a table"),
)
NUMBER = Rule(NUMBERS, "a number")
SHARE = Rule(NUMBERS, "a number between 0 and 1", lambda value: 0 < value < 1)
TABLES = Rule(
    (dict, list), "a table, or a list of tables", lambda value: len(value) > 0
)
RANGE = Rule((dict,), "{ from = 0.01, to = 1.0, log = true } or { among = [32, 64] }",
             _is_range)  # fmt: skip
GRID = Rule((list,), "different values in a list", _is_grid)
FIGURES = Rule((dict,), "figures like { ml-100k = { rmse = 0.934 } }", _are_figures)

TOP = {
    "title": TEXT,
    "notes": TEXT,
    "metrics": Rule((list,), "a list"),
    "seeds": Rule((list,), "different whole numbers from 0 to 2³² − 1", _are_seeds),
    "reference": TEXT,
    "clip": Rule((bool, list), "true, false or [low, high]", _is_clip),
    "intervals": BOOL,
    "data": TABLES,
    "split": Rule(
        (str, dict, list), "a split, or a list of them", lambda v: len(v) > 0
    ),
    "search": TABLE,
    "quick": TABLE,
    "models": Rule((dict,), "a table for each model", lambda value: len(value) > 0),
}
DATA = {
    "name": TEXT,
    "path": TEXT,
    "columns": TABLE,
    "at_least": NUMBER,
    "binary": BOOL,
    "min_user_ratings": _whole(0),
    "min_item_ratings": _whole(0),
    "relevant_at": NUMBER,
}
COLUMNS = dict.fromkeys(("user", "item", "rating", "timestamp", "sep"), TEXT)
SPLIT = {
    "protocol": TEXT,
    "n_folds": _whole(2),
    "n": _whole(1),
    "test": SHARE,
    "users": SHARE,
    "by_user": BOOL,
    "seed": _whole(0),
}
SEARCH = {
    "trials": _whole(1),
    "rungs": _whole(1),
    "keep": _whole(2),
    "validation": SHARE,
    "seed": _whole(0),
}
QUICK = {"folds": _whole(1), "trials": _whole(0), "models": GRID, "settings": TABLE}


def check_value(value: Any, rule: Rule, place: str) -> None:
    """Raise where a value breaks its rule.

    Parameters
    ----------
    value : value
    rule : Rule
    place : str

    Raises
    ------
    DeclarationError
        Names the place, the rule and the value.
    """
    if type(value) not in rule.kinds or not rule.fits(value):
        raise DeclarationError(f"{place}: expected {rule.words}, got {value!r}")


def check(
    told: Any, rules: Mapping[str, Rule], place: str, needed: Collection[str] = ()
) -> None:
    """Raise where a table has a key without a rule, breaks a rule, or lacks a key.

    Parameters
    ----------
    told : value
    rules : mapping of key to Rule
    place : str
    needed : collection of str

    Raises
    ------
    DeclarationError
        Names the place, the key, and what there is or was expected.
    """
    check_value(told, TABLE, place)
    for name, value in told.items():
        find(name, rules, place)
        check_value(value, rules[name], f"{place}.{name}")
    for name in needed:
        if name not in told:
            raise DeclarationError(f"{place}: {name} is missing")


def find(name: Any, known: Collection[str], place: str) -> None:
    """Raise where a name is none of those that there are, and guess which was meant.

    Parameters
    ----------
    name : value
    known : collection of str
    place : str

    Raises
    ------
    DeclarationError
        Names the place, the guess, and all that there are.
    """
    if name in list(known):
        return
    close = difflib.get_close_matches(str(name), list(known), 1)
    guess = f" Did you mean {close[0]}?" if close else ""
    there = ", ".join(sorted(known))
    raise DeclarationError(f"{place}: there is no {name}.{guess} There are: {there}")
