"""Hold ratings back: split a frame of ratings into train, (validation,) test.

A split answers a question, so choose the one that asks yours:

    random       how well are missing ratings filled in, past and future mixed?
    leave_last   what does each user do next?
    temporal     what happens after a day on which the model was frozen?
    kfold        random, and each rating is tested exactly once
    newcomers    how well is someone served who was not there in training?

The last is called strong generalization: whole users are held out, the model is told
some of their ratings when it is tested (``fold_in``), and the rest is to be found.

Rows keep their index and order. Split first, index after: an id that only the test
rows know is then a cold start, seen as such.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

Frames = tuple[pd.DataFrame, ...]


def random(
    ratings: pd.DataFrame,
    *,
    test: float = 0.2,
    validation: float = 0.0,
    by_user: bool = False,
    seed: int = 0,
) -> Frames:
    """Hold back a random share of the ratings.

    Parameters
    ----------
    ratings : DataFrame with columns ``user, item, rating``
    test, validation : float
        Shares of all ratings, in [0, 1), together below 1.
    by_user : bool
        Draw the shares from each user's ratings, rounded down, so that everybody keeps
        some for training.
    seed : int

    Returns
    -------
    (train, test), or (train, validation, test) where ``validation`` is above 0

    Raises
    ------
    TypeError, ValueError
        ``ratings`` is no frame with users and rows, or the shares are out of range.
    """
    _check(ratings)
    order = np.random.default_rng(seed).permutation(len(ratings))
    return _cut(ratings, order, test, validation, by_user)


def temporal(
    ratings: pd.DataFrame, *, test: float = 0.2, validation: float = 0.0
) -> Frames:
    """Hold back the latest share of the ratings, whoever gave them.

    Parameters
    ----------
    ratings : DataFrame with columns ``user, item, rating, timestamp``
    test, validation : float
        Shares of all ratings, in [0, 1), together below 1. Of two ratings at the same
        time, the lower row counts as the later.

    Returns
    -------
    (train, test), or (train, validation, test) where ``validation`` is above 0

    Raises
    ------
    ValueError
        The frame has no timestamps.
    """
    _check(ratings, time=True)
    return _cut(ratings, _latest_first(ratings), test, validation, by_user=False)


def leave_last(
    ratings: pd.DataFrame, *, n: int = 1, validation: bool = False
) -> Frames:
    """Hold back the last n ratings of each user; ties as in `temporal`.

    Parameters
    ----------
    ratings : DataFrame with columns ``user, item, rating, timestamp``
    n : int
        Ratings per user in the test frame. A user with too few to leave one for
        training stays in training as a whole.
    validation : bool
        Hold back the n before those too.

    Returns
    -------
    (train, test), or (train, validation, test)

    Raises
    ------
    ValueError
        The frame has no timestamps, or n is below 1.
    """
    _check(ratings, time=True)
    if n < 1:
        raise ValueError(f"n is the number of ratings held back per user; got {n}")
    back, count = _rank_in_user(ratings, _latest_first(ratings))
    held = n * (2 if validation else 1)
    part = np.where(count > held, np.minimum(back // n, 2 if validation else 1), 9)
    if validation:
        return ratings[part >= 2], ratings[part == 1], ratings[part == 0]
    return ratings[part >= 1], ratings[part == 0]


def kfold(
    ratings: pd.DataFrame, n_folds: int = 5, *, seed: int = 0
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Cut the ratings into folds; each is the test frame once.

    Parameters
    ----------
    ratings : DataFrame with columns ``user, item, rating``
    n_folds : int
        At least 2, at most the number of ratings.
    seed : int

    Yields
    ------
    (train, test)

    Raises
    ------
    ValueError
        ``n_folds`` is out of range; raised at the call, not at the first fold.
    """
    _check(ratings)
    if not 2 <= n_folds <= len(ratings):
        raise ValueError(
            f"n_folds must lie between 2 and the {len(ratings)} ratings; got {n_folds}"
        )
    fold = np.empty(len(ratings), dtype=np.int64)
    order = np.random.default_rng(seed).permutation(len(ratings))
    fold[order] = np.arange(len(ratings)) * n_folds // len(ratings)
    return ((ratings[fold != f], ratings[fold == f]) for f in range(n_folds))


def newcomers(
    ratings: pd.DataFrame, *, users: float = 0.2, test: float = 0.2, seed: int = 0
) -> Frames:
    """Hold whole users out of training, and of each a random share to be found.

    Parameters
    ----------
    ratings : DataFrame with columns ``user, item, rating``
    users : float
        Share of the users to hold out, above 0 and below 1, rounded down. It is drawn
        from those with two ratings or more: a user with one, which cannot be both told
        and tested, stays in training.
    test : float
        Share of a held-out user's ratings to test, above 0 and below 1, rounded down;
        but one at least is tested, and one at least is told.
    seed : int

    Returns
    -------
    (train, known, test)
        ``known`` is what the model is told of the held-out users:
        ``evaluate.ranking(model, test, fold_in=known)``.

    Raises
    ------
    TypeError, ValueError
        ``ratings`` is no frame with users and rows, or the shares are out of range.
    """
    _check(ratings)
    if not (0 < users < 1 and 0 < test < 1):
        raise ValueError(
            "users and test are shares, above 0 and below 1; got "
            f"users={users}, test={test}"
        )
    rng = np.random.default_rng(seed)
    rank, count = _rank_in_user(ratings, rng.permutation(len(ratings)))
    ids = ratings["user"][count > 1].unique()
    n_held = min(int(users * len(ids) + 1e-9), len(ids) - 1)  # 1e-9 as in _cut
    drawn = ids[rng.permutation(len(ids))[:n_held]]
    held = ratings["user"].isin(drawn).to_numpy()
    tested = held & (rank < np.clip(np.floor(test * count + 1e-9), 1, count - 1))
    return ratings[~held], ratings[held & ~tested], ratings[tested]


def _cut(
    ratings: pd.DataFrame,
    order: np.ndarray,
    test: float,
    validation: float,
    by_user: bool,
) -> Frames:
    """The first rows in ``order`` are for testing, the next for validation."""
    if not (0 <= test < 1 and 0 <= validation < 1 and 0 < test + validation < 1):
        raise ValueError(
            "test and validation are shares of all ratings, in [0, 1) and together "
            f"between 0 and 1; got test={test}, validation={validation}"
        )
    if by_user:
        rank, count = _rank_in_user(ratings, order)
    else:
        rank = np.empty(len(ratings), dtype=np.int64)
        rank[order] = np.arange(len(ratings))
        count = np.full(len(ratings), len(ratings))
    # 1e-9: 0.29 · 100 is 28.999… in floating point; − 1: training keeps a row always
    n_test = np.minimum(np.floor(test * count + 1e-9), count - 1)
    n_held = np.minimum(n_test + np.floor(validation * count + 1e-9), count - 1)
    train, held = ratings[rank >= n_held], ratings[rank < n_test]
    if validation == 0:
        return train, held
    return train, ratings[(rank >= n_test) & (rank < n_held)], held


def _latest_first(ratings: pd.DataFrame) -> np.ndarray:
    return np.argsort(ratings["timestamp"].to_numpy(), kind="stable")[::-1]


def _rank_in_user(
    ratings: pd.DataFrame, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each row's place among its user's rows in ``order``, and how many there are."""
    user = pd.factorize(ratings["user"], use_na_sentinel=False)[0]
    by_user = order[np.argsort(user[order], kind="stable")]
    count = np.bincount(user)
    start = np.cumsum(count) - count
    rank = np.empty(len(ratings), dtype=np.int64)
    rank[by_user] = np.arange(len(ratings)) - start[user[by_user]]
    return rank, count[user]


def _check(ratings: pd.DataFrame, time: bool = False) -> None:
    if not isinstance(ratings, pd.DataFrame):
        raise TypeError(
            f"expected a DataFrame of ratings; got {type(ratings).__name__}"
        )
    if "user" not in ratings.columns:
        found = [str(c) for c in ratings.columns]
        raise ValueError(f"ratings has no column 'user'; found {found}. Rename one")
    if ratings.empty:
        raise ValueError("the frame has no rows to split")
    if time and "timestamp" not in ratings.columns:
        raise ValueError(
            "this split needs a column 'timestamp', and these ratings have none. "
            "Use split.random, or name that column where the file is read"
        )
    if time and ratings["timestamp"].isna().any():
        raise ValueError(
            f"{ratings['timestamp'].isna().sum()} row(s) have no timestamp. Drop them: "
            "ratings.dropna(subset='timestamp')"
        )
