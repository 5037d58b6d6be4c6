"""Lesson 01: a similarity, and a prediction from films."""

from collections.abc import Iterator

import numpy as np

from mfcourse.exercises.exercise import Arguments, exercise


def _stars(
    rng: np.random.Generator, shape: tuple[int, ...], known: float
) -> np.ndarray:
    """Random stars with holes."""
    stars = rng.integers(1, 6, shape).astype(float)
    return np.where(rng.random(shape) < known, stars, np.nan)


def _rows(rng: np.random.Generator) -> Iterator[Arguments]:
    nan = np.nan
    yield np.array([5, 3, nan]), np.array([4, 1, 2.0])
    yield np.array([5, 3, nan]), np.array([nan, nan, 1])
    yield np.array([4, nan, 2.5]), np.array([4, 5, 2.5])
    for size in (4, 6, 9, 12):
        yield _stars(rng, (size,), 0.7), _stars(rng, (size,), 0.7)


@exercise(
    "01",
    1,
    statement="Write the MSD similarity of two rows: $1/(1 + d)$, where $d$ is the "
    "mean squared difference over the items that both rated. Where there are none, the "
    "similarity is 0.",
    hints=(
        "Start with the mask of items that both rated.",
        "`both = ~np.isnan(x) & ~np.isnan(y)`. What if no entry is true?",
        "d is the mean of `(x[both] - y[both]) ** 2`.",
    ),
    cases=_rows,
    mistakes={
        "You divided by all items, not by those that both rated.": (
            ".mean()",
            ".sum() / len(x)",
        ),
        "You summed the squares. MSD takes their mean.": (".mean()", ".sum()"),
        "You took the root of d: MSD is the mean square itself.": (
            ".mean()",
            ".mean() ** 0.5",
        ),
        "This is the distance d. The similarity is 1 / (1 + d): it falls as d grows.": (
            "return 1 / (1 + d)",
            "return d",
        ),
        "You left out the 1 + below the line: equal rows would divide by zero.": (
            "(1 + d)",
            "d",
        ),
        "You left the holes in, and NaN spoils every mean. First pick the items that "
        "both rated.": (
            "both = ~np.isnan(x) & ~np.isnan(y)",
            "both = np.full(len(x), True)",
        ),
        "You filled the holes with 0. A missing rating is unknown: leave it out.": (
            "both = ~np.isnan(x) & ~np.isnan(y)",
            "x, y = np.nan_to_num(x), np.nan_to_num(y)\n    both = x == x",
        ),
        "Where no item is shared, you gave NaN: the mean of nothing. It is 0.": (
            "return 0.0",
            "return np.nan",
        ),
        "Where no item is shared, you gave 1: perfect likeness on no evidence. It is "
        "0.": ("return 0.0", "return 1.0"),
    },
)
def msd_similarity(x, y):
    """x, y: arrays of ratings, NaN where unknown."""
    both = ~np.isnan(x) & ~np.isnan(y)
    if not both.any():
        return 0.0
    d = ((x[both] - y[both]) ** 2).mean()
    return 1 / (1 + d)


def _tables(rng: np.random.Generator) -> Iterator[Arguments]:
    # Stars with a fraction, so that no two similarities tie.
    yield np.array([[5, 4.1], [1, 2], [4, np.nan]]), 2, 1, 2
    yield np.array([[5, 2.5], [1, 4], [4.5, np.nan]]), 2, 1, 2  # opposite films
    yield np.array([[5, 4, 1.2], [1, 2.7, 4], [4, 4.6, 2]]), 2, 1, 1  # i is rated
    for m, n in ((6, 4), (7, 5), (9, 8), (12, 6)):
        R = _stars(rng, (m, n), 0.75) + rng.uniform(-0.4, 0.4, (m, n))
        R[:2] = rng.uniform(1, 5, (2, n))  # any two films share raters
        R[:, 0] = rng.uniform(1, 5, m)  # everybody has rated something
        for n_neighbors in (1, 2, 4):
            yield R, int(rng.integers(m)), int(rng.integers(n)), n_neighbors


@exercise(
    "01",
    2,
    statement="Predict from *films*: the lesson's formula with *user* and *item* "
    "swapped. Film `i`'s mean, plus the weighted **mean** of what user `u` said of "
    "other films, each measured from that film's mean (over all who rated it). The "
    "weight is the cosine of the two films, centred, over the people who rated both. "
    "Use the `n_neighbors` most similar films that `u` rated, with a positive "
    "similarity, never film `i` itself; without any, answer film `i`'s mean.",
    hints=(
        "Films are the columns. `(R - np.nanmean(R, axis=0)).T` has a centred row a "
        "film, and rows are what `all_cosines` compares.",
        "Then it is `predict` with the roles swapped: what it calls u, the one who is "
        "asked about, is now film i; its item is now user u.",
        "With `mean = np.nanmean(R, axis=0)` and `C = (R - mean).T`, call `predict` on "
        "C and the similarities `all_cosines(C)`, with u and i swapped. (Without the "
        "lesson's helpers: a loop over the films that u rated.)",
    ),
    cases=_tables,
    mistakes={
        "You asked people who are like u. Here the films, the columns, are compared "
        "(or your matrix is items × users).": (
            "mean = np.nanmean(R, axis=0)",
            "R, u, i = R.T, i, u\n    mean = np.nanmean(R, axis=0)",
        ),
        "You centred by each person's mean. Here each film has its own.": (
            "C = R - mean",
            "C = R - np.nanmean(R, axis=1)[:, None]",
        ),
        "You did not centre before the cosine: stars are all positive, so all films "
        "look alike.": (
            "x, y = C[both, i], C[both, j]",
            "x, y = R[both, i], R[both, j]",
        ),
        "You averaged the stars that u gave. Average how far they lie from each film's "
        "mean, and add that to film i's mean.": (
            "append((x @ y / length, C[u, j]))",
            "append((x @ y / length, R[u, j] - mean[i]))",
        ),
        "Your lengths are those of whole films. Take them over shared raters only.": (
            "length = np.sqrt((x @ x) * (y @ y))",
            "length = np.sqrt(np.nansum(C[:, i] ** 2) * np.nansum(C[:, j] ** 2))",
        ),
        "You also let films speak whose similarity is negative.": (
            " and x @ y > 0",
            "",
        ),
        "You let film i speak for itself.": ("j != i and ", ""),
        "You started from user u's mean. An opinion on films starts from film i's.": (
            "return mean[i] + ",
            "return np.nanmean(R[u]) + ",
        ),
        "You used all similar films, not the n_neighbors most similar ones.": (
            "[:n_neighbors]",
            "",
        ),
        "You used the least similar films: sorting goes upwards unless you turn it.": (
            ", reverse=True",
            "",
        ),
        "You divided by the number of neighbours, not by the sum of similarities.": (
            "/ similarity.sum()",
            "/ len(similarity)",
        ),
        "You did not divide by the sum of the similarities. The opinions want a "
        "weighted mean.": (" / similarity.sum()", ""),
        "You left out film i's mean: an opinion alone is no number of stars.": (
            "return mean[i] + ",
            "return ",
        ),
        "Without a similar film you gave user u's mean. Answer the film's.": (
            "return mean[i]\n",
            "return np.nanmean(R[u])\n",
        ),
        "You did not centre anywhere: raw stars, weighed by cosines of raw stars.": (
            "C = R - mean",
            "C = R",
            "return mean[i] + ",
            "return ",
        ),
        "That is Pearson: you centred once more, over the shared raters. Here each "
        "film is centred by its whole mean.": (
            "x, y = C[both, i], C[both, j]",
            "x, y = (C[both, f] - C[both, f].mean() for f in (i, j))",
        ),
        "You picked the neighbours before asking which films u rated.": (
            "np.flatnonzero(~np.isnan(R[u]))",
            "range(R.shape[1])",
            "[:n_neighbors]\n",
            "[:n_neighbors]\n    best = [(s, o) for s, o in best if o == o]\n",
        ),
        "Without a similar film you gave 0 stars. Answer the film's mean.": (
            "return mean[i]\n",
            "return 0.0\n",
        ),
    },
)
def predict_from_films(R, u, i, n_neighbors=2):
    """R: users × films, NaN where unknown. The rating of user u for film i."""
    mean = np.nanmean(R, axis=0)
    C = R - mean
    opinions = []
    for j in np.flatnonzero(~np.isnan(R[u])):
        both = ~np.isnan(R[:, i]) & ~np.isnan(R[:, j])
        x, y = C[both, i], C[both, j]
        length = np.sqrt((x @ x) * (y @ y))
        if j != i and x @ y > 0:
            opinions.append((x @ y / length, C[u, j]))
    best = sorted(opinions, reverse=True)[:n_neighbors]
    if not best:
        return mean[i]
    similarity, opinion = np.array(best).T
    return mean[i] + similarity @ opinion / similarity.sum()
