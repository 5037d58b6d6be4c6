"""Checks that all models share: of hyper-parameters, counts, and newcomers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd

from mfcourse.interactions import (
    IdMap,
    check_columns,
    check_ratings,
    raise_duplicate,
)


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


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Raise unless a hyper-parameter is one of its choices.

    Parameters
    ----------
    name : str
    value : object
    choices : sequence

    Raises
    ------
    ValueError
        It is not.
    """
    if not isinstance(value, type(choices[0])) or value not in choices:
        raise ValueError(f"{name} must be one of {list(choices)}; got {value!r}")


# What each hyper-parameter may be, whichever model it belongs to.
NUMBERS: dict[str, dict[str, Any]] = {
    "n_factors": {"low": 1, "kind": int},
    "reg": {"low": 0},
    "lr": {"low": 0, "open": True},
    "decay": {"low": 0},
    "alpha": {"low": 0, "open": True},
    "damping_user": {"low": 0},
    "damping_item": {"low": 0},
    "n_epochs": {"low": 1, "kind": int},
    "n_blocks": {"low": 1, "kind": int},
    "cg_steps": {"low": 1, "kind": int},
    "init_sd": {"low": 0},
    "patience": {"low": 1, "kind": int},
    "seed": {"low": 0, "kind": int},
}
CHOICES: dict[str, list[Any]] = {
    "center": ["biases", "mean", "none"],
    "solver": ["cholesky", "cg"],
    "reg_scaling": ["none", "count", "frequency"],
    "negatives": ["uniform", "popularity"],
    "fill": ["mean", "zero"],
    "order": ["alternate", "joint"],
    "weighted": [True, False],
    "dtype": ["float64", "float32"],
    "engine": ["fast", "plain"],
    "implicit": [True, False],
}


def check_fields(model: Any) -> None:
    """Raise unless every hyper-parameter makes sense.

    Parameters
    ----------
    model : dataclass
        Its fields have the names of the glossary; one without a rule is left alone.

    Raises
    ------
    ValueError
        One does not; names it, what was expected and what came.
    """
    for field in fields(model):
        value = getattr(model, field.name)
        if field.name in NUMBERS:
            check_number(field.name, value, **NUMBERS[field.name])
        elif field.name in CHOICES:
            check_choice(field.name, value, CHOICES[field.name])


def check_counts(train: Any, validation: Any) -> None:
    """Raise unless the ratings can stand for events: plays, clicks, purchases.

    Parameters
    ----------
    train : Interactions
    validation : DataFrame or None
        Must be None: what these models learn has no error in ratings.

    Raises
    ------
    ValueError
        A count is 0 or below, or there are validation ratings.
    """
    if (few := train.rating <= 0).any():
        p = int(few.argmax())
        user = train.users.ids.tolist()[train.user_code[p]]
        item = train.items.ids.tolist()[train.item_code[p]]
        raise ValueError(
            f"counts must be above 0; user {user!r} has {train.rating[p]:g} for item "
            f"{item!r} ({few.sum()} such row(s)). What never happened is no row: "
            "frame[frame['rating'] > 0]"
        )
    if validation is not None:
        raise ValueError(
            "this model learns no ratings, so a validation frame has no RMSE. Fit "
            "without it, then evaluate.ranking(model, validation, relevant_at=0)"
        )


def check_newcomer_counts(rating: np.ndarray) -> None:
    """The same of a newcomer's ratings.

    Parameters
    ----------
    rating : array of shape (n,)

    Raises
    ------
    ValueError
        A count is 0 or below.
    """
    if (rating <= 0).any():
        raise ValueError(f"counts must be above 0; got {rating.min():g}")


def newcomer(ratings: pd.DataFrame, items: IdMap) -> tuple[np.ndarray, np.ndarray]:
    """Item codes and ratings of a new user, checked.

    Parameters
    ----------
    ratings : DataFrame with columns ``item, rating``
        May have no rows.
    items : IdMap
        Of training.

    Returns
    -------
    item_codes : int array of shape (n,)
    rating : float array of shape (n,)

    Raises
    ------
    KeyError
        An item was not in training.
    TypeError, ValueError
        A column or a value is missing, or an item comes twice.
    """
    check_columns(ratings, "item", "rating")
    one_user = ratings[["item", "rating"]].assign(user=0)
    if len(ratings):
        check_ratings(one_user)
    if one_user.duplicated("item").any():
        raise_duplicate(one_user)
    codes = items.codes(ratings["item"])
    if (codes < 0).any():
        unknown = ratings["item"][codes < 0].tolist()
        raise KeyError(
            f"item(s) {unknown[:5]} were not in training. Leave them out: "
            "ratings[ratings['item'].isin(model.train_.items.ids)]"
        )
    return codes, ratings["rating"].to_numpy(np.float64)
