"""How good, in numbers: arrays in, numbers out. No model is seen here.

Errors of predicted ratings, over the rows of a test frame (e = r − r̂):

    RMSE = √(mean e²)        MAE = mean |e|

Quality of a list of N items for one user. ``hits[j]`` says whether the item at rank
j + 1 is relevant; ``n_relevant`` counts all relevant items there were to find:

    precision = hits in the list / N
    recall    = hits in the list / n_relevant          (or / min(N, n_relevant))
    AP        = Σ_{j: hit} precision at j + 1, over min(N, n_relevant)
    RR        = 1 / rank of the first hit, 0 without one
    NDCG      = Σ_{j: hit} 1 / log₂(rank + 1), over what the best list would get

MAP and MRR are the means over users of AP and RR. A short list counts as N long: places
left empty are misses. Every function gives a value per user and leaves the mean to
``evaluate``, which needs the values for intervals.

Reference: K. Järvelin and J. Kekäläinen, "Cumulated Gain-Based Evaluation of IR
Techniques", ACM TOIS 20(4), 2002 (NDCG).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def rmse(rating: ArrayLike, prediction: ArrayLike) -> float:
    """Root mean squared error, in the unit of the ratings.

    Parameters
    ----------
    rating, prediction : arrays of shape (n,)

    Returns
    -------
    float

    Raises
    ------
    ValueError
        Shapes differ, nothing to average, or a value is not finite.
    """
    return float(np.sqrt(np.mean(_error(rating, prediction) ** 2)))


def mae(rating: ArrayLike, prediction: ArrayLike) -> float:
    """Mean absolute error, in the unit of the ratings.

    Parameters
    ----------
    rating, prediction : arrays of shape (n,)

    Returns
    -------
    float

    Raises
    ------
    ValueError
        Shapes differ, nothing to average, or a value is not finite.
    """
    return float(np.mean(np.abs(_error(rating, prediction))))


def precision(hits: ArrayLike) -> np.ndarray:
    """Share of the list that is relevant.

    Parameters
    ----------
    hits : bool array of shape (n_users, N)
        In order of rank.

    Returns
    -------
    array of shape (n_users,)
    """
    hits = _hits(hits)
    return hits.sum(axis=1) / hits.shape[1]


def recall(
    hits: ArrayLike, n_relevant: ArrayLike, denominator: str = "all"
) -> np.ndarray:
    """Share of the relevant items that the list holds.

    Parameters
    ----------
    hits : bool array of shape (n_users, N)
    n_relevant : int array of shape (n_users,)
        At least 1 each.
    denominator : {"all", "min"}
        Divide by all relevant items, or by min(N, relevant), so that a full list scores
        1. Papers differ: say which.

    Returns
    -------
    array of shape (n_users,)

    Raises
    ------
    ValueError
        Of the shapes, a count that is too small, or an unknown denominator.
    """
    hits, n_relevant = _both(hits, n_relevant)
    if denominator not in ("all", "min"):
        raise ValueError(f'denominator must be "all" or "min"; got {denominator!r}')
    findable = np.minimum(hits.shape[1], n_relevant)
    return hits.sum(axis=1) / (n_relevant if denominator == "all" else findable)


def average_precision(hits: ArrayLike, n_relevant: ArrayLike) -> np.ndarray:
    """Mean of the precision at each hit; its mean over users is MAP.

    Parameters
    ----------
    hits : bool array of shape (n_users, N)
    n_relevant : int array of shape (n_users,)

    Returns
    -------
    array of shape (n_users,)
    """
    hits, n_relevant = _both(hits, n_relevant)
    rank = np.arange(1, hits.shape[1] + 1)
    at_hit = np.where(hits, np.cumsum(hits, axis=1) / rank, 0.0)
    return at_hit.sum(axis=1) / np.minimum(hits.shape[1], n_relevant)


def reciprocal_rank(hits: ArrayLike) -> np.ndarray:
    """1 / rank of the first hit, 0 without one; its mean over users is MRR.

    Parameters
    ----------
    hits : bool array of shape (n_users, N)

    Returns
    -------
    array of shape (n_users,)
    """
    hits = _hits(hits)
    return np.where(hits.any(axis=1), 1.0 / (hits.argmax(axis=1) + 1), 0.0)


def ndcg(hits: ArrayLike, n_relevant: ArrayLike) -> np.ndarray:
    """Hits discounted by rank, as a share of the best possible.

    Parameters
    ----------
    hits : bool array of shape (n_users, N)
    n_relevant : int array of shape (n_users,)

    Returns
    -------
    array of shape (n_users,)
    """
    hits, n_relevant = _both(hits, n_relevant)
    discount = 1 / np.log2(np.arange(2, hits.shape[1] + 2))  # (N,)
    gain = np.where(hits, discount, 0.0).sum(axis=1)
    best = np.cumsum(discount)[np.minimum(hits.shape[1], n_relevant) - 1]
    return gain / best


def _error(rating: ArrayLike, prediction: ArrayLike) -> np.ndarray:
    rating, prediction = np.asarray(rating, float), np.asarray(prediction, float)
    if rating.shape != prediction.shape or rating.ndim != 1 or not len(rating):
        raise ValueError(
            "expected two arrays of one length above 0; got shapes "
            f"{rating.shape} and {prediction.shape}"
        )
    error = rating - prediction
    if not np.isfinite(error).all():
        row = int((~np.isfinite(error)).argmax())
        raise ValueError(
            f"rating or prediction is not finite at row {row}: "
            f"{rating[row]}, {prediction[row]}. An average would hide it"
        )
    return error


def _hits(hits: ArrayLike) -> np.ndarray:
    hits = np.asarray(hits)
    if hits.ndim != 2 or not hits.shape[1] or hits.dtype != bool:
        raise ValueError(
            "hits must be a bool array of shape (n_users, N), a row per user; got "
            f"{hits.dtype} of shape {hits.shape}"
        )
    return hits


def _both(hits: ArrayLike, n_relevant: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    hits, n_relevant = _hits(hits), np.asarray(n_relevant)
    if n_relevant.shape != hits.shape[:1]:
        raise ValueError(
            f"n_relevant must hold a count per row of hits, {len(hits)}; got shape "
            f"{n_relevant.shape}"
        )
    if (n_relevant < np.maximum(hits.sum(axis=1), 1)).any():
        raise ValueError(
            "n_relevant must be at least 1 and at least the hits in each row. Leave "
            "out users with nothing relevant, and say how many they are"
        )
    return hits, n_relevant
