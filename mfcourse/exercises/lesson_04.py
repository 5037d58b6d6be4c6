"""Lesson 04: a row with its bias, and ALS from end to end."""

from collections.abc import Iterator

import numpy as np

from mfcourse.exercises.exercise import Arguments, exercise


def _rows(rng: np.random.Generator) -> Iterator[Arguments]:
    # Enough ratings a row that a solution without λ exists, but for one rating alone.
    yield np.array([[1.0, 2.0]]), np.array([3.0]), 2.0
    yield np.array([[1.0], [0.0], [-1.0]]), np.array([2.0, 1.0, -1.0]), 0.5
    yield np.array([[1.0, 1.0], [1, -1], [1, 0], [0, 2]]), np.array([2.0, 0, 1, 2]), 3.0
    for n, k in ((6, 1), (7, 2), (9, 3), (12, 4), (20, 5)):
        F = rng.normal(0, 0.8, (n, k))
        y = 0.7 + F @ rng.normal(0, 1, k) + rng.normal(0, 0.5, n)
        yield F, y, float(rng.uniform(2, 6))


@exercise(
    "04",
    1,
    statement="Solve a row together with its bias. The model is $y \\approx b + F x$; "
    "minimise $\\lVert y - b - F x \\rVert^2 + w\\,(b^2 + \\lVert x \\rVert^2)$, where "
    "$w > 0$ is the whole weight of this row's penalty. Put a column of ones before "
    "`F`, solve, and return `(b, x)`: a number and an array of $k$ numbers.",
    hints=(
        "With a bias the unknowns are k + 1 numbers, and the prediction is "
        "1 · bias + F · row: a row of one longer matrix times all of them.",
        "`A = np.column_stack([np.ones(len(F)), F])`. Write down the normal equations "
        "of this A. How large is their identity?",
        "`np.linalg.solve(A.T @ A + w * np.eye(A.shape[1]), A.T @ y)`, then cut the "
        "solution in two: the first number, and the rest.",
    ),
    cases=_rows,
    mistakes={
        "You left the bias free. Here `w` counts for it too: the identity has k + 1 "
        "ones.": (
            "w * np.eye(A.shape[1])",
            "w * np.diag([0.0, *np.ones(F.shape[1])])",
        ),
        "You left out the penalty: `w` times the identity belongs into the system.": (
            " + w * np.eye(A.shape[1])",
            "",
        ),
        "You multiplied `w` by the number of ratings. It is the whole weight of the "
        "row already.": ("w * np.eye", "len(y) * w * np.eye"),
        "You charge w². If you put `w` times the identity below `A`, its numbers get "
        "squared: put the root of `w` there.": ("w * np.eye", "w**2 * np.eye"),
        "You charge 2w. The factor 2 stands on both sides of the equation, and goes.": (
            "w * np.eye",
            "2 * w * np.eye",
        ),
        "Your `A` has no column of ones: what you call the bias is the first factor.": (
            "np.column_stack([np.ones(len(F)), F])",
            "F",
        ),
        "You took the ones last and the bias first. The bias stands where the ones "
        "do.": ("[np.ones(len(F)), F]", "[F, np.ones(len(F))]"),
        "You took the mean of `y` for the bias, then solved for the rest. Solve for "
        "both at once: each depends on the other.": (
            "np.column_stack([np.ones(len(F)), F])",
            "F",
            "A.T @ y)",
            "A.T @ (y - y.mean()))",
            "x[0], x[1:]",
            "y.mean(), x",
        ),
        "You found the bias alone first, then the row for what it left. Solve for both "
        "at once: each depends on the other.": (
            "    return x[0], x[1:]",
            "    b = y.sum() / (len(y) + w)\n"
            "    M = F.T @ F + w * np.eye(F.shape[1])\n"
            "    return b, np.linalg.solve(M, F.T @ (y - b))",
        ),
        "You added `w` to every number of the system. It belongs on the diagonal: `w` "
        "times the identity.": ("w * np.eye(A.shape[1])", "w"),
        "You gave back the row first. The bias comes first: `(b, x)`.": (
            "x[0], x[1:]",
            "x[1:], x[0]",
        ),
        "You gave back all k + 1 numbers in one array. Cut it in two: `(b, x)`.": (
            "x[0], x[1:]",
            "x",
        ),
    },
)
def row_with_bias(F, y, w):
    """F: (n_u, k), V's rows of the rated films; y: (n_u,), stars less μ and b_i."""
    A = np.column_stack([np.ones(len(F)), F])  # (n_u, 1 + k)
    x = np.linalg.solve(A.T @ A + w * np.eye(A.shape[1]), A.T @ y)
    return x[0], x[1:]


def _tables(rng: np.random.Generator) -> Iterator[Arguments]:
    nan = np.nan
    yield np.array([[2.0, nan], [1.0, -1.0]]), np.array([[1.0], [0.5]]), 0.5, 1
    yield np.array([[2, nan, -1], [0, nan, 1.0]]), np.array([[1.0], [-0.5]]), 1.0, 2
    for m, n, k, n_epochs in (
        *((4, 3, 1, 2), (5, 5, 2, 1), (6, 5, 2, 3)),
        *((5, 7, 2, 4), (7, 6, 3, 2), (8, 7, 3, 5)),
    ):
        Y = rng.integers(1, 6, (m, n)) - 2.6
        holes = np.add.outer(np.arange(m), 2 * np.arange(n)) % 5 == 0
        Y = np.where(holes, nan, Y)
        yield Y, rng.normal(0, 1, (m, k)), float(rng.uniform(0.3, 2)), n_epochs


@exercise(
    "04",
    2,
    statement="The whole of ALS with **plain λ**, for a small matrix with NaN for "
    "unknown. Start from the given `U`. In each of the `n_epochs` epochs (at least "
    "one), solve all films from `U`, then all people from the new `V`: each row alone, "
    "over its known entries, by $(A^\\top A + \\lambda I)\\,x = A^\\top y$. A row "
    "without a known entry is 0. Return `(U, V)`.",
    hints=(
        "Write one inner function that solves all rows of a matrix, with the other "
        "side held. Call it with `Y.T` for the films.",
        "For one row: `seen = ~np.isnan(stars)`, then `A = other[seen]` and "
        "`y = stars[seen]`.",
        "The system is `A.T @ A + reg * np.eye(A.shape[1])`: no number of ratings in "
        "it. An epoch is `V = solve_all(Y.T, U)`, then `U = solve_all(Y, V)`.",
    ),
    cases=_tables,
    mistakes={
        "You charged λ once a rating: that is weighted λ. Plain λ charges every row "
        "the same.": ("reg * np.eye", "reg * len(y) * np.eye"),
        "You charged λ once a rating, and kept rows without any at 0: that is weighted "
        "λ. Plain λ charges every row the same.": (
            "reg * np.eye",
            "reg * max(len(y), 1) * np.eye",
        ),
        "You took 0 for unknown. Less a mean, a 0 is a known rating: ask for NaN.": (
            "seen = ~np.isnan(stars)",
            "seen = np.nan_to_num(stars) != 0",
        ),
        "You added λ to every number of the system. It belongs on the diagonal: λ "
        "times the identity.": ("reg * np.eye(A.shape[1])", "reg"),
        "You filled the holes with 0. An unknown rating is not a zero: leave it out of "
        "the row's equations.": (
            "seen = ~np.isnan(stars)",
            "stars = np.nan_to_num(stars); seen = stars == stars",
        ),
        "You left out λ. Without it, a row with few ratings has no unique solution.": (
            " + reg * np.eye(A.shape[1])",
            "",
        ),
        "You charge 2λ. The factor 2 stands on both sides of the equation, and goes.": (
            "reg * np.eye",
            "2 * reg * np.eye",
        ),
        "You solved the films with the rows of `Y`. Its columns are the films: hand in "
        "`Y.T`.": ("solve_all(Y.T, U)", "solve_all(Y, U)"),
        "You stopped after one epoch, or began each from the first `U` again. The next "
        "epoch goes on from the new one.": ("range(n_epochs)", "range(1)"),
        "You did one epoch too many.": ("range(n_epochs)", "range(n_epochs + 1)"),
        "You did one epoch too few.": ("range(n_epochs)", "range(1, n_epochs)"),
        "You solved the films once more after the last epoch. It ends with the "
        "people.": ("return U, V", "return U, solve_all(Y.T, U)"),
        "You took a mean away from `Y`. It comes without it.": (
            "    for _ in",
            "    Y = Y - np.nanmean(Y)\n    for _ in",
        ),
        "You gave back `(V, U)`. The people come first: `(U, V)`.": (
            "return U, V",
            "return V, U",
        ),
    },
)
def small_als(Y, U, reg, n_epochs):
    """Y: (m, n), stars less a mean, NaN where unknown; U: (m, k) to start from."""

    def solve_all(Y, other):
        own = np.zeros((len(Y), other.shape[1]))
        for row, stars in enumerate(Y):
            seen = ~np.isnan(stars)
            A, y = other[seen], stars[seen]  # (n_row, k), (n_row,)
            own[row] = np.linalg.solve(A.T @ A + reg * np.eye(A.shape[1]), A.T @ y)
        return own

    for _ in range(n_epochs):
        V = solve_all(Y.T, U)
        U = solve_all(Y, V)
    return U, V
