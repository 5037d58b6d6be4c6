r"""Sample key of PS1, public on purpose: it shows how a key is written.

Everybody can read these solutions. A class draws one option of each variant with a
secret, but never all first ones, as printed here, nor all last ones, as in tests/forms:
no text here answers a class as it stands, but it is near. For a real exam, change the
tasks, or write your own, and keep that key to yourself.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from mfcourse.grading.key import task

Case = dict[str, Any]

TITLE = "PS1: keeping score, neighbours, and gradient descent"
INTRO = """Five small functions: two scores of a model, a similarity, an objective, and
one step that lowers it. They lean on lessons 00 (scores), 01 (neighbours), 02 (low
rank) and 03 (gradient descent). Read each statement to its end: conventions differ from
those of the lessons, and from class to class, as they do from paper to paper."""


def _stars(rng: np.random.Generator, m: int, n: int, known: float) -> np.ndarray:
    """Stars with holes; the first two rows differ in how many they have."""
    R = rng.integers(1, 6, (m, n)).astype(float)
    mask = rng.random((m, n)) < known
    mask[0], mask[1:2] = True, np.arange(n) == 0
    return np.where(mask, R, np.nan)


def _off_scale(rng: np.random.Generator, R: np.ndarray) -> Case:
    prediction = rng.normal(3, 2, R.shape)
    prediction[0, :2] = rng.uniform([-1, 5.5], [0.4, 7])
    return {"R": R, "prediction": prediction}


def _holes(rng: np.random.Generator) -> Iterator[Case]:
    for m, n in ((1, 3), (2, 3), (4, 3), (5, 6)):
        yield _off_scale(rng, _stars(rng, m, n, 0.6))


def _silent(rng: np.random.Generator) -> Iterator[Case]:
    for m, n in ((3, 2), (4, 5), (6, 4), (12, 10)):
        R = _stars(rng, m, n, 0.3)
        R[2 :: int(rng.integers(2, 4))] = np.nan
        yield _off_scale(rng, R)


@task(
    statement="Ana has not rated every film, and a model may predict more than five "
    "stars. Write the root mean squared error of a table of predictions over the known "
    "cells: NaN in `R` is unknown, `prediction` has a number everywhere. Some cell is "
    "known. [[scale]] [[average]] Return one number. [[order]]",
    groups={"some holes": (2, _holes), "silent people": (1, _silent)},
    variants={
        "average": {
            "cells": (
                "Every known cell weighs the same: the root of the mean of all squared "
                "errors.",
            ),
            "people": (
                "In this class every *person* weighs the same: take each person's "
                "RMSE, over what that person rated, and then the mean of these. Leave "
                "out people who rated nothing.",
                "return np.sqrt(square.sum() / known.sum())",
                "n = known.sum(axis=1)\n"
                "    mse = square.sum(axis=1)[n > 0] / n[n > 0]\n"
                "    return np.sqrt(mse).mean()",
            ),
            "people, root last": (
                "In this class every *person* weighs the same: take each person's mean "
                "squared error, over what that person rated, then the mean of these, "
                "and the root at the very end. Leave out people who rated nothing.",
                "return np.sqrt(square.sum() / known.sum())",
                "n = known.sum(axis=1)\n"
                "    mse = square.sum(axis=1)[n > 0] / n[n > 0]\n"
                "    return np.sqrt(mse.mean())",
            ),
        },
        "scale": {
            "from 1": (
                "First move every prediction that is off the scale to its nearer end, "
                "1 or 5: a 5.7 counts as a 5.",
            ),
            "from 0.5": (
                "First move every prediction that is off the scale to its nearer end, "
                "0.5 or 5: a 5.7 counts as a 5, a 0.7 stays.",
                "clip(prediction, 1, 5)",
                "clip(prediction, 0.5, 5)",
            ),
        },
        "order": {
            "ratings": ("The ratings come first.",),
            "prediction": (
                "Mind the order: the prediction comes first.",
                "(R, prediction)",
                "(prediction, R)",
            ),
        },
    },
    mistakes={
        "You took the predictions as they are. First bring them onto the scale.": (
            "prediction = np.clip(",
            "np.clip(",
        ),
        "You left out the root: this is the mean of squares.": ("np.sqrt(", "("),
        "This is the mean of absolute errors. Square the errors, and take the root "
        "where the statement says.": (
            "np.where(known, R - prediction, 0) ** 2",
            "np.where(known, np.abs(R - prediction), 0)",
            "np.sqrt(",
            "(",
        ),
        "You filled the holes with 0. A missing rating is unknown: leave it out.": (
            "known = ~np.isnan(R)",
            "R = np.nan_to_num(R)\n    known = R == R",
        ),
        "Holes came through: what is computed with a NaN is NaN. Take only the known "
        "cells.": ("known = ~np.isnan(R)", "known = np.ones(R.shape, bool)"),
        "You divided by the number of all cells, not by that of the known ones.": (
            "/ known.sum())",
            "/ R.size)",
        ),
        "You divided each person's squares by the number of all films, not by how many "
        "that person rated.": ("/ n[n > 0]", "/ R.shape[1]"),
        "You counted people who rated nothing as if they had no error. Leave them "
        "out.": (
            "square.sum(axis=1)[n > 0] / n[n > 0]",
            "square.sum(axis=1) / np.maximum(n, 1)",
        ),
        "In your mean every known cell weighs the same. Here every person does.": (
            "n = known.sum(axis=1)",
            "return np.sqrt(square.sum() / known.sum())\n    n = known.sum(axis=1)",
        ),
        "You took each person's RMSE first, so people who rated little weigh as much "
        "as others. Here every known cell weighs the same.": (
            "return np.sqrt(square.sum() / known.sum())",
            "n = known.sum(axis=1)\n"
            "    return np.sqrt(square.sum(axis=1)[n > 0] / n[n > 0]).mean()",
        ),
        "You took the root after the mean over people. Here each person has a root.": (
            "np.sqrt(mse).mean()",
            "np.sqrt(mse.mean())",
        ),
        "You took a root for each person. Here there is one root, at the very end.": (
            "np.sqrt(mse.mean())",
            "np.sqrt(mse).mean()",
        ),
    },
)
def rmse(R, prediction):
    """R: users × films, NaN where unknown; prediction: the same shape. A number."""
    prediction = np.clip(prediction, 1, 5)
    known = ~np.isnan(R)
    square = np.where(known, R - prediction, 0) ** 2
    return np.sqrt(square.sum() / known.sum())


def _lists(
    rng: np.random.Generator, m: int, n_items: int, n: int, low: float, high: float
) -> Case:
    """Scores with ties; everybody has seen a share; n_items is at least n + 2."""
    score = rng.integers(-4, 2, (m, n_items)).astype(float)
    have = rng.random((m, n_items)) < rng.uniform(low, high, (m, 1))
    liked = rng.random((m, n_items)) < 0.4
    # A tie decides; one likes more than n, all below 0; one likes only what was seen;
    # one likes what comes first and last.
    score[0], have[0], liked[0] = -1, False, np.arange(n_items) == 0
    score[1], have[1], liked[1] = rng.integers(-4, 0, n_items), False, True
    score[1, -1], have[1, -1] = 1, True
    liked[2], have[2, 0] = False, True
    liked[2, 0] = True
    score[3:4], have[3:4], liked[3:4] = 1 - np.arange(n_items), False, False
    liked[3:4, [0, -1]] = True
    mixed = rng.permutation(m)
    return {"score": score[mixed], "seen": have[mixed], "liked": liked[mixed], "n": n}


def _much_left(rng: np.random.Generator) -> Iterator[Case]:
    for m, n_items, n in ((3, 4, 1), (5, 5, 2), (8, 10, 4), (12, 14, 5), (20, 16, 6)):
        yield _lists(rng, m, n_items, n, 0.2, 0.4)


def _little_left(rng: np.random.Generator) -> Iterator[Case]:
    for m, n_items, n in ((3, 6, 4), (5, 6, 4), (8, 9, 6)):
        yield _lists(rng, m, n_items, n, 0.7, 0.8)
    for m, n_items, n in ((12, 14, 5), (16, 15, 5), (20, 16, 5)):  # n are left for some
        yield _lists(rng, m, n_items, n, 0.5, 0.9)


def _more(rng: np.random.Generator) -> Iterator[Case]:
    for m, n_items, n in ((12, 12, 5), (12, 14, 4), (30, 20, 4)):
        yield _lists(rng, m, n_items, n, 0.3, 0.5)


@task(
    statement="A model has a `score` for each person and film. Everybody gets a list: "
    "the `n` films of highest score among those not `seen`, or all of these where "
    "fewer are left. [[ties]] What a person has seen counts for nothing, even where "
    "`liked` is True. [[denominator]] Return the mean recall over people, a number. "
    "[[nothing]] Somebody always likes an unseen film.",
    groups={
        "much left to see": (2, _much_left),
        "little left to see": (2, _little_left),
        "more people": (1, _more),
    },
    variants={
        "denominator": {
            "all": (
                "A person's recall: the liked films in the list, divided by *all* "
                "unseen films that this person likes.",
            ),
            "min": (
                "A person's recall: the liked films in the list, divided by the number "
                "of unseen films that this person likes, or by `n` if that is smaller.",
                "below = n_liked[asked]",
                "below = np.minimum(n, n_liked[asked])",
            ),
        },
        "ties": {
            "lower": (
                "Of equal scores, the film in the column further left is first.",
            ),
            "higher": (
                "Of equal scores, the film in the column further *right* is first.",
                "    liked = liked & ~seen\n",
                "    score, seen, liked = (x[:, ::-1] for x in (score, seen, liked))\n"
                "    liked = liked & ~seen\n",
            ),
        },
        "nothing": {
            "left out": ("People who like no unseen film are left out of the mean.",),
            "zero": (
                "In this class everybody counts in the mean: people who like no unseen "
                "film have recall 0.",
                "return share.mean()",
                "return share.sum() / len(score)",
            ),
        },
    },
    mistakes={
        "You let seen films into the lists, where they take places.": (
            "np.where(seen, -np.inf, score)",
            "score",
        ),
        "You gave seen films the score 0, which beats every negative score.": (
            "-np.inf",
            "0",
        ),
        "You counted seen films among those that a person likes. They count for "
        "nothing: they are no hits, and are not to be found.": (
            "liked = liked & ~seen",
            "liked = liked.copy()",
        ),
        "Your lists begin with the lowest scores. The highest come first.": (
            "argsort(-score",
            "argsort(score",
        ),
        "Equal scores stand the wrong way round in your lists. Read the rule for them "
        "again; whoever reverses a sorted list reverses its ties, too.": (
            'np.argsort(-score, axis=1, kind="stable")',
            'np.argsort(score, axis=1, kind="stable")[:, ::-1]',
        ),
        "You divided the hits by n: that is precision.": ("/ below", "/ n"),
        "You divided by min(n, liked). Here it is all that the person likes.": (
            "below = n_liked[asked]",
            "below = np.minimum(n, n_liked[asked])",
        ),
        "You divided by all that the person likes. A list of n cannot hold more than n "
        "of them: here the smaller of the two stands below the line.": (
            "np.minimum(n, n_liked[asked])",
            "n_liked[asked]",
        ),
        "You put everybody's hits into one pot. Divide for each person, then take the "
        "mean.": (
            "    share = hits[asked] / below\n",
            "    return hits[asked].sum() / below.sum()\n",
        ),
        "You counted people who like no unseen film as zeros. Leave them out.": (
            "share.mean()",
            "share.sum() / len(score)",
        ),
        "You left out people who like no unseen film. Here they count, with 0.": (
            "share.sum() / len(score)",
            "share.mean()",
        ),
    },
)
def recall_at_n(score, seen, liked, n):
    """score: users × films; seen, liked: True or False, the same shape. A number."""
    liked = liked & ~seen
    score = np.where(seen, -np.inf, score)
    top = np.argsort(-score, axis=1, kind="stable")[:, :n]
    hits = np.take_along_axis(liked, top, axis=1).sum(axis=1)
    n_liked = liked.sum(axis=1)
    asked = n_liked > 0
    below = n_liked[asked]
    share = hits[asked] / below
    return share.mean()


def _films(rng: np.random.Generator, common: int, alone: tuple[int, int]) -> Case:
    """Two films with so many people in common, and so many of their own."""
    size = common + sum(alone) + 1
    x, y = rng.uniform(1, 5, (2, size)).round(1)
    x[common + alone[0] :] = np.nan
    y[common : common + alone[0]] = y[-1] = np.nan
    mixed = rng.permutation(size)
    return {"x": x[mixed], "y": y[mixed], "shrinkage": int(rng.integers(3, 8))}


def _pairs(rng: np.random.Generator) -> Iterator[Case]:
    for common, alone in ((4, (2, 1)), (5, (3, 4)), (8, (2, 3)), (15, (6, 4))):
        yield _films(rng, common, alone)


def _strangers(rng: np.random.Generator) -> Iterator[Case]:
    for common in range(5):
        yield _films(rng, common, tuple(rng.integers(2, 5, 2).tolist()))


def _flat(rng: np.random.Generator) -> Iterator[Case]:
    for name, stars in (("x", 3.0), ("y", 3.0), ("", 0), ("x", 4.0), ("", 0)):
        case = _films(rng, int(rng.integers(3, 9)), (3, 2))
        if name:
            case[name] = np.where(np.isnan(case[name]), np.nan, stars)
        yield case


@task(
    statement="How alike are two films? `x` and `y` are their ratings, a place a "
    "person, NaN where unknown. [[centre]] Take the cosine of what is left, over the "
    "people who rated both: the sum of products, divided by the product of two "
    "lengths, the roots of sums of squares. [[lengths]] Few people in common prove "
    r"little. So with $n$ of them and $\beta$ = `shrinkage`, a positive number, "
    "multiply the cosine by [[shrinkage]] Return 0 where fewer than *three* people "
    "rated both, or a length is 0.",
    groups={
        "two films": (2, _pairs),
        "little in common": (1, _strangers),
        "always the same": (1, _flat),
    },
    variants={
        "shrinkage": {
            "ratio": (r"$n / (n + \beta)$.",),
            "capped": (
                r"$\min(n, \beta) / \beta$: with β people or more, nothing is lost.",
                "n / (n + shrinkage)",
                "min(n, shrinkage) / shrinkage",
            ),
            "less one": (
                r"$(n - 1) / (n - 1 + \beta)$. Mind the $-1$.",
                "n / (n + shrinkage)",
                "(n - 1) / (n - 1 + shrinkage)",
            ),
        },
        "centre": {
            "own mean": (
                "First subtract from each film its mean over *all* who rated it.",
            ),
            "middle": (
                "First subtract 3, the middle of the scale, from every rating.",
                "x, y = x - np.nanmean(x), y - np.nanmean(y)",
                "x, y = x - 3, y - 3",
            ),
        },
        "lengths": {
            "common": ("Both lengths are over the people who rated both.",),
            "own": (
                "Mind the lengths: each is over *all* the people who rated that film.",
                "(x[both] @ x[both]) * (y[both] @ y[both])",
                "np.nansum(x**2) * np.nansum(y**2)",
            ),
        },
    },
    mistakes={
        "You did not shrink: multiply by the weight that grows with n.": (
            "return weight * ",
            "return ",
        ),
        "Your weight grows beyond 1. From n = β on it stays 1.": (
            "min(n, shrinkage) / shrinkage",
            "n / shrinkage",
        ),
        "Your weight is n / (n + β). Here n − 1 stands for n.": (
            "(n - 1) / (n - 1 + shrinkage)",
            "n / (n + shrinkage)",
        ),
        "Your n counts everybody. Count those who rated both films.": (
            "n = both.sum()",
            "n = len(x)",
        ),
        "You filled the holes with 0. A missing rating is unknown: leave it out.": (
            "both = ~np.isnan(x) & ~np.isnan(y)",
            "x, y = np.nan_to_num(x), np.nan_to_num(y)\n    both = x == x",
        ),
        "You multiplied raw stars. They are all positive, so all films look alike: "
        "subtract first.": ("    x, y = x - ", "    centred = x - "),
        "You subtracted means over the people who rated both: that is Pearson. Here "
        "each film has one mean, over all who rated it.": (
            "x - np.nanmean(x), y - np.nanmean(y)",
            "x - (x[both].mean() if n else 0), y - (y[both].mean() if n else 0)",
        ),
        "You subtracted each film's mean. Here it is 3, for both.": (
            "x - 3, y - 3",
            "x - np.nanmean(x), y - np.nanmean(y)",
        ),
        "Your lengths are those of whole films. Take them over the people who rated "
        "both.": (
            "(x[both] @ x[both]) * (y[both] @ y[both])",
            "np.nansum(x**2) * np.nansum(y**2)",
        ),
        "Your lengths are over the people who rated both. Here each is over all who "
        "rated that film.": (
            "np.nansum(x**2) * np.nansum(y**2)",
            "(x[both] @ x[both]) * (y[both] @ y[both])",
        ),
        "One or two people in common are too few here: answer 0.": ("n < 3", "n < 1"),
        "You let films through whose length is 0, and 0/0 is no number. Answer 0.": (
            " or length < 1e-9",
            "",
        ),
    },
)
def shrunk_cosine(x, y, shrinkage):
    """x, y: ratings of two films, NaN where unknown; shrinkage: a number. A number."""
    both = ~np.isnan(x) & ~np.isnan(y)
    n = both.sum()
    x, y = x - np.nanmean(x), y - np.nanmean(y)
    length = np.sqrt((x[both] @ x[both]) * (y[both] @ y[both]))
    if n < 3 or length < 1e-9:
        return 0.0
    weight = n / (n + shrinkage)
    return weight * (x[both] @ y[both]) / length


def _model(rng: np.random.Generator, m: int, n: int, k: int) -> Case:
    U, V = rng.normal(0, 1, (m, k)), rng.normal(0, 1, (n, k))
    reg_u, reg_v = rng.uniform([0.1, 0.8], [0.5, 2]).round(2)[rng.permutation(2)]
    R = _stars(rng, m, n, 0.6)
    return {"R": R, "U": U, "V": V, "reg_u": float(reg_u), "reg_v": float(reg_v)}


def _tables(rng: np.random.Generator) -> Iterator[Case]:
    for m, n, k in ((2, 3, 1), (3, 2, 2), (4, 4, 3)):
        yield _model(rng, m, n, k)


def _unrated(rng: np.random.Generator) -> Iterator[Case]:
    for m, n, k in ((3, 3, 1), (4, 6, 2), (7, 5, 3), (6, 6, 2)):
        case = _model(rng, m, n, k)
        case["R"][rng.integers(1, m)] = np.nan
        case["R"][:, rng.integers(1, n)] = np.nan
        yield case


def _larger(rng: np.random.Generator) -> Iterator[Case]:
    for m, n, k in ((10, 8, 4), (12, 10, 3), (30, 25, 5)):
        yield _model(rng, m, n, k)


@task(
    statement="Training lowers one number: write it. The model predicts "
    r"$\hat R = U V^\top$; `R` has NaN where unknown, and some cell is known. "
    r"With $e_{ui} = R_{ui} - \hat R_{ui}$, known cells only, the fit is [[fit]] The "
    r"penalty has two strengths, $\lambda_u$ = `reg_u` and $\lambda_v$ = `reg_v`: "
    "[[penalty]] Return fit plus penalty, a number. [[order]]",
    groups={
        "small tables": (1, _tables),
        "unrated people and films": (2, _unrated),
        "larger tables": (1, _larger),
    },
    variants={
        "fit": {
            "sum": (r"the sum $\sum e_{ui}^2$.",),
            "mean": (
                r"the *mean* of $e_{ui}^2$. (The penalty is not divided.)",
                "(error**2).sum()",
                "(error**2).mean()",
            ),
            "half": (
                r"*half* the sum, $\frac12 \sum e_{ui}^2$. (The penalty stays whole.)",
                "(error**2).sum()",
                "(error**2).sum() / 2",
            ),
        },
        "penalty": {
            "counts": (
                r"$\lambda_u \sum_u n_u \lVert U_u \rVert^2 + "
                r"\lambda_v \sum_i n_i \lVert V_i \rVert^2$, where $n_u$ and $n_i$ "
                "count the known cells of person $u$ and of film $i$.",
            ),
            "plain": (
                r"$\lambda_u \sum_u \lVert U_u \rVert^2 + "
                r"\lambda_v \sum_i \lVert V_i \rVert^2$, each row once, however many "
                "ratings it has, even none.",
                "(known.sum(axis=1) @ U**2)",
                "(U**2)",
                "(known.sum(axis=0) @ V**2)",
                "(V**2)",
            ),
        },
        "order": {
            "ratings": ("The ratings come first.",),
            "factors": (
                "Mind the order: the factors come first, then the ratings.",
                "(R, U, V, reg_u, reg_v)",
                "(U, V, R, reg_u, reg_v)",
            ),
        },
    },
    mistakes={
        "You filled the holes with 0. A missing rating is unknown: leave it out.": (
            "known = ~np.isnan(R)",
            "R = np.nan_to_num(R)\n    known = R == R",
        ),
        "Holes came through: what is computed with a NaN is NaN. Take only the known "
        "cells.": ("(R - U @ V.T)[known]", "R - U @ V.T"),
        "You swapped the two strengths: reg_u belongs to U, reg_v to V.": (
            "known = ~np.isnan(R)\n",
            "known = ~np.isnan(R)\n    reg_u, reg_v = reg_v, reg_u\n",
        ),
        "You counted each row as often as it has ratings. Here it counts once.": (
            "(U**2)",
            "(known.sum(axis=1) @ U**2)",
            "(V**2)",
            "(known.sum(axis=0) @ V**2)",
        ),
        "You counted each row once. Here it counts as often as it has ratings.": (
            "(known.sum(axis=1) @ U**2)",
            "(U**2)",
            "(known.sum(axis=0) @ V**2)",
            "(V**2)",
        ),
        "You left out the penalty.": ("return fit + penalty", "return fit"),
        "You took the penalty away. It is a price: add it.": ("fit + ", "fit - "),
        "Your penalty has sizes, not squares.": (
            "U**2",
            "np.abs(U)",
            "V**2",
            "np.abs(V)",
        ),
        "Your fit has the sizes of errors, not their squares.": (
            "error**2",
            "np.abs(error)",
        ),
        "You divided by the number of all cells, not by that of the known ones.": (
            "(error**2).mean()",
            "(error**2).sum() / R.size",
        ),
        "You forgot to halve the sum of squares.": (".sum() / 2", ".sum()"),
    },
)
def masked_objective(R, U, V, reg_u, reg_v):
    """R: users × films, NaN where unknown; U: users × k; V: films × k. A number."""
    known = ~np.isnan(R)
    error = (R - U @ V.T)[known]
    fit = (error**2).sum()
    over_users = (known.sum(axis=1) @ U**2).sum()
    over_films = (known.sum(axis=0) @ V**2).sum()
    penalty = reg_u * over_users + reg_v * over_films
    return fit + penalty


def _visit(rng: np.random.Generator, k: int) -> Case:
    U_u, V_i = rng.normal(0, 0.8, (2, k))
    b_i, r, lr, reg = rng.uniform([1, 1, 0.05, 0.1], [4, 5, 0.3, 0.5]).round(2).tolist()
    return {"U_u": U_u, "V_i": V_i, "b_i": b_i, "r": r, "lr": lr, "reg": reg}


def _one(rng: np.random.Generator) -> Iterator[Case]:
    for _ in range(4):
        yield _visit(rng, 1)


def _several(rng: np.random.Generator) -> Iterator[Case]:
    for k in (2, 3, 5, 8):
        yield _visit(rng, k)


def _newcomer(rng: np.random.Generator) -> Iterator[Case]:
    for k, name in ((2, "U_u"), (3, "V_i"), (4, "")):
        case = _visit(rng, k)
        yield {**case, name: np.zeros(k)} if name else case


@task(
    statement=r"Ben gives a film `r` stars; the model said "
    r"$\hat r = b_i + U_u \cdot V_i$. This rating's part of the objective is "
    r"$J = (r - \hat r)^2 + \lambda \lVert U_u \rVert^2 + "
    r"\lambda \lVert V_i \rVert^2$, with λ = `reg`; the bias pays no penalty. "
    "Step against J's gradient with Ben's row, the film's row and its bias: [[step]] "
    "[[turn]] Return four things: the error, and the new $U_u$, $V_i$ and $b_i$. "
    "[[sign]] Change no argument.",
    groups={
        "one factor": (1, _one),
        "several factors": (2, _several),
        "a newcomer": (1, _newcomer),
    },
    variants={
        "step": {
            "half": (
                "`lr` times *half* the gradient. As in the lessons, the 2 of the "
                "derivative is in `lr`.",
            ),
            "whole": (
                "`lr` times the *whole* gradient. Mind the 2 of the derivative, which "
                "the lessons hide in `lr`.",
                "    new_U = ",
                "    lr = 2 * lr\n    new_U = ",
            ),
        },
        "turn": {
            "together": ("All three use the values from before the step.",),
            "in turn": (
                "They move in turn: the film's row already uses Ben's *new* row. The "
                "error is taken once, before.",
                "(e * U_u -",
                "(e * new_U -",
            ),
        },
        "sign": {
            "rating first": (
                r"The error to return is $r - \hat r$: positive where the prediction "
                "was too low.",
            ),
            "prediction first": (
                r"The error to return is $\hat r - r$: positive where the prediction "
                "was too high.",
                "return e,",
                "return -e,",
            ),
        },
    },
    mistakes={
        "The film's row uses Ben's new row. Here it uses the old one.": (
            "(e * U_u -",
            "(e * new_U -",
        ),
        "The film's row uses Ben's old row. Here it uses the new one.": (
            "(e * new_U -",
            "(e * U_u -",
        ),
        "The error that you return has the wrong sign: here it is r minus the "
        "prediction. The step is right.": ("return e,", "return -e,"),
        "The error that you return has the wrong sign: here it is the prediction minus "
        "r. The step is right.": ("return -e,", "return e,"),
        "The error that you return is right, but its part of the step has the wrong "
        "sign, so the prediction moves away from the rating.": (
            "    new_U = ",
            "    e = -e\n    new_U = ",
            "    return ",
            "    e = -e\n    return ",
        ),
        "Your error has the wrong sign, in what you return and in the step.": (
            "e = r - (b_i + U_u @ V_i)",
            "e = b_i + U_u @ V_i - r",
        ),
        "Your prediction leaves out the film's bias.": (
            "(b_i + U_u @ V_i)",
            "(U_u @ V_i)",
        ),
        "Your bias pays a penalty. Here it has none.": (
            "b_i + lr * e",
            "b_i + lr * (e - reg * b_i)",
        ),
        "Your rows pay no penalty: J has λ times their squared lengths.": (
            " - reg * U_u",
            "",
            " - reg * V_i",
            "",
        ),
        "You stepped twice as far: here it is half the gradient.": (
            "e = r - (b_i + U_u @ V_i)\n    new_U",
            "e = r - (b_i + U_u @ V_i)\n    lr = 2 * lr\n    new_U",
        ),
        "You stepped half as far: the derivative of a square has a 2.": (
            "    lr = 2 * lr\n",
            "",
        ),
        "The penalty is a square, too: its derivative also has a 2.": (
            "    lr = 2 * lr\n",
            "    lr, reg = 2 * lr, reg / 2\n",
        ),
        "You returned how far the rows and the bias move. Return where they end.": (
            "= U_u + lr",
            "= lr",
            "= V_i + lr",
            "= lr",
            "= b_i + lr",
            "= lr",
        ),
    },
)
def sgd_step(U_u, V_i, b_i, r, lr, reg):
    """U_u, V_i: rows of length k; all others: numbers. The error, two rows, a bias."""
    e = r - (b_i + U_u @ V_i)
    new_U = U_u + lr * (e * V_i - reg * U_u)
    new_V = V_i + lr * (e * U_u - reg * V_i)
    new_b = b_i + lr * e
    return e, new_U, new_V, new_b
