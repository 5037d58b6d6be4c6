"""Checks of hyper-parameters, shared by all models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def check_number(
    name: str, value: Any, *, low: float, kind: type | None = None, open: bool = False
) -> None:
    """Raise unless a hyper-parameter is a finite number of the right kind and size.

    Parameters
    ----------
    name : str
        Of the hyper-parameter, for the message.
    value : number
    low : float
        Least value allowed.
    kind : type, optional
        ``int`` for whole numbers.
    open : bool
        ``low`` itself is not allowed.

    Raises
    ------
    ValueError
        It is not.
    """
    whole = kind is int
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    good = isinstance(value, kinds) and not isinstance(value, bool)
    if not good or not np.isfinite(value) or value < low or (open and value == low):
        sort = "a whole number" if whole else "a number"
        more = "above" if open else "of at least"
        raise ValueError(f"{name} must be {sort} {more} {low:g}; got {value!r}")


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raise unless a hyper-parameter is one of its choices.

    Parameters
    ----------
    name : str
    value : object
    choices : sequence of str

    Raises
    ------
    ValueError
        It is not.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {list(choices)}; got {value!r}")
