"""Lesson 00: an error over the known cells, and two scores of lists."""

from collections.abc import Iterator

import numpy as np

from mfcourse.exercises.exercise import Arguments, exercise


def _predicted(rng: np.random.Generator) -> Iterator[Arguments]:
    nan = np.nan
    yield np.array([[5, nan], [1, 3]]), np.array([[4, 2], [1, 5.0]])
    yield np.array([[4, 2.0]]), np.array([[3, 3.0]])
    yield np.array([[nan, 2.0]]), np.array([[4, 3.5]])
    for shape in ((3, 2), (3, 4), (6, 5), (8, 12)):
        R = rng.integers(1, 6, shape).astype(float)
        R[:, 1:][rng.random((shape[0], shape[1] - 1)) < 0.5] = nan
        yield R, rng.uniform(1, 5, shape)


@exercise(
    "00",
    1,
    statement="Write the mean absolute error of a table of predictions over the known "
    "cells. `R` has NaN where nothing is known; at least one cell is known.",
    hints=(
        "First find the cells that are known.",
        "`known = ~np.isnan(R)` is True where there is a rating.",
        "`R[known]` and `prediction[known]` are equally long. Subtract them, take "
        "`np.abs`, and then the mean.",
    ),
    cases=_predicted,
    mistakes={
        "You divided by all cells, not by the rated ones.": (
            ".mean()",
            ".sum() / R.size",
        ),
        "You filled the holes with 0. A missing rating is unknown: leave it out.": (
            "known = ~np.isnan(R)",
            "R = np.nan_to_num(R)\n    known = R == R",
        ),
        "Holes came through: what is computed with a NaN is NaN. Take the known cells "
        "first, of both tables.": (
            "known = ~np.isnan(R)",
            "known = np.ones(R.shape, bool)",
        ),
        "Your errors cancel: too high and too low must both count. Take their size, "
        "`np.abs`.": ("np.abs(error)", "error"),
        "You took the size after the mean. Take it before, or errors cancel.": (
            "np.abs(error).mean()",
            "np.abs(error.mean())",
        ),
        "This is the RMSE: it squares the errors. MAE takes their size.": (
            "np.abs(error).mean()",
            "np.sqrt((error**2).mean())",
        ),
        "This is the mean squared error. MAE takes the size of the errors, without "
        "squaring.": ("np.abs(error)", "np.square(error)"),
        "You summed the errors. MAE is their mean.": (".mean()", ".sum()"),
        "You averaged within each row first, so a person with few ratings weighs as "
        "much as one with many. Here each known cell weighs the same.": (
            "np.abs(error).mean()",
            "np.nanmean(np.abs(R - prediction), axis=1).mean()",
        ),
    },
)
def masked_mae(R, prediction):
    """R, prediction: arrays of one shape; NaN in R is unknown."""
    known = ~np.isnan(R)
    error = R[known] - prediction[known]
    return np.abs(error).mean()


def _scored(rng: np.random.Generator) -> Iterator[Arguments]:
    def marks(*rows: str) -> np.ndarray:
        return np.array([[letter == "x" for letter in row] for row in rows])

    score = np.array([[0.9, 0.8, -0.4, -0.7]])
    yield score, marks("x..."), marks(".x.x"), 1
    score = np.array([[0.3, 0.1, 0.2], [0.5, 0.4, 0.6]])
    yield score, marks("...", "..."), marks("..x", "..."), 2
    for n_users, n_items, n in (
        (3, 5, 2), (4, 6, 1), (5, 8, 3), (6, 8, 3), (8, 10, 4), (12, 15, 5),
    ):  # fmt: skip
        seen = rng.random((n_users, n_items)) < 0.4
        for row in seen:  # leave n + 1 for the list, or more
            row[rng.permutation(n_items)[: n + 1]] = False
        liked = ~seen & (rng.random(seen.shape) < 0.5)
        liked[0] = False
        liked[1] |= ~seen[1]
        yield rng.normal(size=seen.shape) + seen, seen, liked, n


@exercise(
    "00",
    2,
    statement="Score lists. Three tables, users × items: a model's `score`; `seen`, "
    "True for the training items; `liked`, True for the held-out items that the user "
    "likes. Each user gets a list: the `n` items of highest score among those *not* "
    "seen. Return two numbers, precision@n and recall@n (divided by all that the user "
    "likes), each the mean over the users who like something; leave the others out. No "
    "two scores of a user are equal, no item is both seen and liked, and everybody has "
    "`n` unseen items.",
    hints=(
        "A seen item must never reach the list. Which score would keep it last? "
        "Work on a copy of the table.",
        "`np.where(seen, -np.inf, score)`; the items of each list are then "
        "`np.argsort(-score, axis=1)[:, :n]`.",
        "`np.take_along_axis(liked, top, axis=1)` tells which places of the lists are "
        "hits. Count them for each user, and divide by `n`, or by how many the user "
        "likes. Keep users with `liked.sum(axis=1) > 0`, then take two means.",
    ),
    cases=_scored,
    mistakes={
        "You scored the training items: they take places in the list and cannot be "
        "hits. Give seen items a score of -inf first.": (
            "np.where(seen, -np.inf, score)",
            "score",
        ),
        "You gave seen items the score 0, which beats every negative score. Use "
        "-inf.": ("-np.inf", "0"),
        "Your list begins with what was seen: argsort puts the smallest first, and "
        "that is -inf. Sort -score.": ("np.argsort(-score", "np.argsort(score"),
        "Your list has the lowest scores: argsort begins with the smallest. Sort "
        "-score.": ("np.argsort(-score", "np.argsort(np.where(seen, np.inf, score)"),
        "`argsort` tells which item is at each rank, not the rank of each item. Its "
        "first n columns are the list.": (
            "np.take_along_axis(liked, top, axis=1)",
            "(liked & (np.argsort(-score, axis=1) < n))",
        ),
        "You did not cut the list after n items.": ("[:, :n]", ""),
        "You counted users who like nothing as zeros. Leave them out of both means.": (
            "asked = n_liked > 0",
            "n_liked = np.maximum(n_liked, 1)\n    asked = n_liked > 0",
        ),
        "Users who like nothing gave 0/0, so the mean is NaN. Leave them out.": (
            "asked = n_liked > 0",
            "asked = n_liked >= 0",
        ),
        "You divided by all items, not by the n of the list.": (
            "hits[asked] / n\n",
            "hits[asked] / liked.shape[1]\n",
        ),
        "You divided recall by min(n, liked). Some papers do; here it is all that the "
        "user likes.": ("/ n_liked[asked]", "/ np.minimum(n, n_liked[asked])"),
        "You put everybody's hits into one pot. Divide for each user, then take the "
        "mean.": ("recall.mean()", "hits.sum() / n_liked.sum()"),
        "The two are swapped: precision divides by n, and comes first.": (
            "return precision.mean(), recall.mean()",
            "return recall.mean(), precision.mean()",
        ),
    },
)
def precision_and_recall(score, seen, liked, n):
    """score, seen, liked: users × items. Two numbers."""
    score = np.where(seen, -np.inf, score)
    top = np.argsort(-score, axis=1)[:, :n]  # the items of each list
    hits = np.take_along_axis(liked, top, axis=1).sum(axis=1)
    n_liked = liked.sum(axis=1)
    asked = n_liked > 0
    precision = hits[asked] / n
    recall = hits[asked] / n_liked[asked]
    return precision.mean(), recall.mean()
