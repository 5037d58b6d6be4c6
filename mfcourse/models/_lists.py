"""From scores to lists of items."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

BLOCK = 4_000_000  # scores held at once, 32 MB
MANY = 1_000_000  # scores from which on compiled code is worth loading


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


def top_n_rows(
    scores: np.ndarray, n: int, seen: csr_matrix | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same for each row of a block of scores, one list after the other.

    Parameters
    ----------
    scores : array of shape (n_rows, n_items)
        Changed where items are seen.
    n : int
    seen : csr_matrix of the same shape, optional
        What it holds is left out of the lists.

    Returns
    -------
    positions, scores : arrays of shape (at most n_rows · n,)
    lengths : int array of shape (n_rows,)
    """
    if seen is not None:
        rows = np.repeat(np.arange(len(scores)), np.diff(seen.indptr))
        scores[rows, seen.indices] = -np.inf
    if 1 <= n <= 100 and scores.size >= MANY:
        from mfcourse.models._compiled import njit
        from mfcourse.models._top import top_n_block

        if njit is not None:
            best, value = top_n_block(scores, min(n, scores.shape[1]))
            there = best >= 0
            return best[there], value[there], there.sum(axis=1)
    lists = [top_n(row, n) for row in scores]
    best, value = (np.concatenate(parts) for parts in zip(*lists, strict=True))
    return best, value, np.array([len(row) for row, _ in lists])


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


def frame(users: list[Any], ids: np.ndarray, blocks: list[Any]) -> pd.DataFrame:
    """Put each user's list into one frame.

    Parameters
    ----------
    users : list of n raw ids
    ids : array of shape (n_items,)
        Raw id of each item code.
    blocks : list of (item codes, scores, lengths)
        The lists of some users after the other, as ``top_n_rows`` gives them.

    Returns
    -------
    DataFrame with columns ``user, item, score, rank``
    """
    none = (np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))
    best, score, lengths = (
        np.concatenate(parts) for parts in zip(*(blocks or [none]), strict=True)
    )
    start = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return pd.DataFrame(
        {
            "user": pd.Series(users).repeat(lengths.tolist()).reset_index(drop=True),
            "item": ids[best],
            "score": score,
            "rank": np.arange(len(best)) - start + 1,
        }
    )
