"""The best of many scores, compiled: a short sorted list, kept while walking a row."""

from __future__ import annotations

import numpy as np

from mfcourse.models._compiled import kernel, prange

STEP = 16  # scores looked at together


@kernel(parallel=True)
def top_n_block(scores, n):  # type: ignore[no-untyped-def]
    """The n largest scores of each row, as ``_lists.top_n`` gives them.

    Most scores are below the worst of the list so far; whether one of 16 is not is seen
    at once.

    Parameters
    ----------
    scores : array of shape (n_rows, n_items)
    n : int
        At most n_items.

    Returns
    -------
    positions, scores : arrays of shape (n_rows, n)
        Best first; −1 and −inf where a row has fewer.
    """
    n_rows, n_items = scores.shape
    best = np.full((n_rows, n), -1, np.int64)
    value = np.full((n_rows, n), -np.inf, scores.dtype)
    for u in prange(n_rows):
        score, mine, at = scores[u], value[u], best[u]
        for first in range(0, n_items, STEP):
            last = min(first + STEP, n_items)
            above = 0
            for i in range(first, last):
                above += score[i] > mine[n - 1]
            if above == 0:
                continue
            for i in range(first, last):
                if score[i] > mine[n - 1]:
                    p = n - 1
                    while p > 0 and mine[p - 1] < score[i]:  # ties: the first stays
                        mine[p], at[p] = mine[p - 1], at[p - 1]
                        p -= 1
                    mine[p], at[p] = score[i], i
    return best, value
