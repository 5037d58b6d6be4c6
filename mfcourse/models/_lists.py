"""From scores to lists of items."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

BLOCK = 4_000_000  # scores held at once, 32 MB


def top_n(score: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The n largest scores, best first; ties by position; −inf is left out.

    Parameters
    ----------
    score : array of shape (n_items,)
    n : int

    Returns
    -------
    positions, scores : arrays of shape (at most n,)

    Raises
    ------
    ValueError
        n is below 1.
    """
    if n < 1:
        raise ValueError(f"n is the length of a list, at least 1; got {n}")
    if n < len(score):  # only what can be in the list is sorted
        nth = np.partition(score, len(score) - n)[len(score) - n]
        candidates = np.flatnonzero((score >= nth) & (score > -np.inf))
    else:
        candidates = np.flatnonzero(score > -np.inf)
    best = candidates[np.argsort(-score[candidates], kind="stable")[:n]]
    return best, score[best]


def blocks(codes: np.ndarray, n_items: int) -> Iterator[np.ndarray]:
    """Cut users into blocks whose scores fit in memory.

    Parameters
    ----------
    codes : int array of shape (n,)
    n_items : int
        Scores per user.

    Yields
    ------
    int array
        Some of the codes, in order.
    """
    step = max(1, BLOCK // max(1, n_items))
    for start in range(0, len(codes), step):
        yield codes[start : start + step]


def frame(users: list[Any], ids: np.ndarray, lists: list[Any]) -> pd.DataFrame:
    """Put each user's list into one frame.

    Parameters
    ----------
    users : list of n raw ids
    ids : array of shape (n_items,)
        Raw id of each item code.
    lists : list of n (codes, scores)
        Best first, as ``top_n`` gives them.

    Returns
    -------
    DataFrame with columns ``user, item, score, rank``
    """
    lengths = [len(best) for best, _ in lists]
    none = (np.empty(0, np.int64), np.empty(0))
    best, score = (np.concatenate(parts) for parts in zip(none, *lists, strict=True))
    start = np.repeat(np.cumsum([0, *lengths[:-1]]), lengths) if lengths else none[0]
    return pd.DataFrame(
        {
            "user": pd.Series(users).repeat(lengths).reset_index(drop=True),
            "item": ids[best],
            "score": score,
            "rank": np.arange(len(best)) - start + 1,
        }
    )
