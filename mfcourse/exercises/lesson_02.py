"""Lesson 02: what a copy of rank k keeps, and filling holes again and again."""

from collections.abc import Iterator

import numpy as np

from mfcourse.exercises.exercise import Arguments, exercise


def _full(rng: np.random.Generator) -> Iterator[Arguments]:
    sides = np.array([[0, 3.0, 0, 0], [-4, 0, 0, 0], [0, 0, 0, 12]])
    yield sides, 2
    yield sides, 1
    yield np.outer([1, 2], [3, 1.0, 2]), 1
    yield np.array([[2.0], [1.0], [5.0]]), 1
    for shape in ((4, 3), (6, 5), (5, 9), (12, 7)):
        R = rng.uniform(1, 5, shape)
        yield R, int(rng.integers(1, min(shape)))
    yield R, min(R.shape)


@exercise(
    "02",
    1,
    statement="Return the share (0 to 1) of a full table's sum of squared cells that "
    "its best copy of rank `k` keeps. Not all cells are 0; `k` is at least 1 and at "
    "most the number of singular values.",
    hints=(
        "The maths tells what is lost: the squares of the singular values after k. "
        "With k = 0 all is lost: the sum of all squares.",
        "`np.linalg.svd(R, compute_uv=False)` gives the singular values, largest "
        "first.",
        "Divide the sum of the first k squares by the sum of all squares.",
    ),
    cases=_full,
    mistakes={
        "You added the singular values themselves. Add their squares: those sum to the "
        "squared cells.": (" ** 2", ""),
        "You squared twice: these are fourth powers. (The eigenvalues of RᵀR are "
        "squares already.)": (" ** 2", " ** 4"),
        "This is the share that is lost. Asked is what the copy keeps: the first k.": (
            "energy[:k]",
            "energy[k:]",
        ),
        "You kept one singular value too many: `[:k]` has the first k.": (
            "energy[:k]",
            "energy[: k + 1]",
        ),
        "You took only the k-th singular value. A copy of rank k has the first k.": (
            "energy[:k]",
            "energy[k - 1 : k]",
        ),
        "You took the smallest ones: numpy gives the largest first.": (
            "energy[:k]",
            "energy[::-1][:k]",
        ),
        "This is what the copy keeps, not its share. Divide by the sum of all "
        "squares.": (" / energy.sum()", ""),
        "You divided by the number of cells. Divide by the sum of their squares.": (
            "/ energy.sum()",
            "/ R.size",
        ),
        "You took the root of the share. It is one of squares: leave it so.": (
            "return energy[:k].sum() / energy.sum()",
            "return (energy[:k].sum() / energy.sum()) ** 0.5",
        ),
        "You subtracted each column's mean first. That belongs to principal "
        "components; here the table is taken as it is.": (
            "svd(R,",
            "svd(R - R.mean(axis=0),",
        ),
    },
)
def share_kept(R, k):
    """R: full table; k: rank of the copy."""
    energy = np.linalg.svd(R, compute_uv=False) ** 2
    return energy[:k].sum() / energy.sum()


def _holes(rng: np.random.Generator) -> Iterator[Arguments]:
    nan = np.nan
    tiny = np.array([[5, 4], [1, nan], [3, 2.0]])
    yield tiny, 1, 1
    yield tiny, 1, 3
    yield np.array([[5, 4.5, 1], [nan, 2, 4]]), 1, 2
    for (m, n), k, n_epochs in (
        ((5, 4), 1, 0), ((5, 4), 2, 1), ((6, 4), 1, 4), ((5, 7), 2, 6),
        ((8, 6), 3, 10), ((12, 8), 2, 20),
    ):  # fmt: skip
        known = rng.random((m, n)) < 0.7
        both = np.arange(max(m, n))
        known[both % m, both % n] = True  # in each row and column
        yield np.where(known, rng.uniform(1, 5, (m, n)), nan), k, n_epochs


@exercise(
    "02",
    2,
    statement="Hard impute, whole. Subtract from each film its mean over the known "
    "cells, and start with 0 in the holes. Then, `n_epochs` times: take the best copy "
    "of rank `k` of the filled table, and put its values into the holes (known cells "
    "stay). Return the last copy with the means added back: predictions in stars for "
    "*all* cells, known ones too. Each film has a known cell; with `n_epochs=0`, "
    "return its mean.",
    hints=(
        "`np.nanmean(R, axis=0)` gives film means. Subtract them at the start, and add "
        "them back at the end.",
        "In the loop, fill and copy: `np.where(known, R - mean, Z)`, with a table Z "
        "that is 0 at first. Its SVD, cut off after k, is the next Z.",
        "`P, sigma, Qt = np.linalg.svd(filled, full_matrices=False)`, then `Z = (P[:, "
        ":k] * sigma[:k]) @ Qt[:k]`. After the loop: `mean + Z`. (The lesson's "
        "`factors` gives the U and V of one copy.)",
    ),
    cases=_holes,
    mistakes={
        "You put 0 stars into the holes. Subtract the film means first: then a 0 says "
        "as usual.": ("C = R - mean", "C = R", "return mean + Z", "return Z"),
        "You put film means into the holes and left them in the table. Subtract them, "
        "so that a hole begins at 0.": (
            "C = R - mean",
            "C = R",
            "Z = np.zeros(R.shape)",
            "Z = np.tile(mean, (len(R), 1))",
            "return mean + Z",
            "return Z",
        ),
        "You subtracted each person's mean. Here it is each film's: axis=0.": (
            "axis=0)",
            "axis=1, keepdims=True)",
        ),
        "You subtracted one mean of the whole table. Each film has its own.": (
            "np.nanmean(R, axis=0)",
            "np.nanmean(R)",
        ),
        "You divided each film's sum by all users, not by those who rated it.": (
            "np.nanmean(R, axis=0)",
            "np.nan_to_num(R).mean(axis=0)",
        ),
        "You forgot to add the film means back.": ("mean + Z", "Z"),
        "Your SVDs after the first change nothing. Before each one, put the ratings "
        "(less the means) into the known cells, and the last copy's values into the "
        "holes.": ("np.where(known, C, Z)", "np.where(known, C, 0)"),
        "Your table still has holes, and no SVD can see through them. Fill them "
        "before each one.": ("np.where(known, C, Z)", "C"),
        "You put the ratings back into the known cells at the end. Return what the "
        "copy says, there too.": ("mean + Z", "np.where(known, R, mean + Z)"),
        "You took one SVD too many: n_epochs=1 takes one, n_epochs=0 none.": (
            "range(n_epochs)",
            "range(n_epochs + 1)",
        ),
        "You took one SVD too few: n_epochs=1 takes one.": (
            "range(n_epochs)",
            "range(n_epochs - 1)",
        ),
        "You left out the singular values: the vectors alone have length 1.": (
            "P[:, :k] * sigma[:k]",
            "P[:, :k]",
        ),
        "Your copy has only the k-th table. Rank k is the sum of the first k.": (
            "(P[:, :k] * sigma[:k]) @ Qt[:k]",
            "(P[:, k - 1 : k] * sigma[k - 1]) @ Qt[k - 1 : k]",
        ),
        "numpy's third result is already transposed: take its first k rows.": (
            "Qt[:k]",
            "Qt[:, :k].T",
        ),
    },
)
def hard_impute(R, k=1, n_epochs=20):
    """R: users × films, NaN where unknown. Predictions for all cells."""
    known = ~np.isnan(R)
    mean = np.nanmean(R, axis=0)
    C = R - mean
    Z = np.zeros(R.shape)
    for _ in range(n_epochs):
        filled = np.where(known, C, Z)
        P, sigma, Qt = np.linalg.svd(filled, full_matrices=False)
        Z = (P[:, :k] * sigma[:k]) @ Qt[:k]
    return mean + Z
