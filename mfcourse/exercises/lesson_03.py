"""Lesson 03: a step with biases, and when to stop."""

from collections.abc import Iterator

import numpy as np

from mfcourse.exercises.exercise import Arguments, exercise


def _visits(rng: np.random.Generator) -> Iterator[Arguments]:
    row, column = np.array([[1, 0.5]]), np.array([[1.5, 1]])
    yield 1.0, np.array([0.5]), np.array([-0.25]), row, column, 0, 0, 5, 0.1, 0.1
    yield 3.5, np.zeros(2), np.zeros(3), np.ones((2, 1)), np.ones((3, 1)), 1, 2, 1, 1, 0
    for m, n, k in ((2, 3, 1), (3, 2, 2), (5, 4, 3), (6, 5, 8), (4, 7, 2)):
        b_u, b_i = rng.normal(0, 0.5, m), rng.normal(0, 0.5, n)
        U, V = rng.normal(0, 0.7, (m, k)), rng.normal(0, 0.7, (n, k))
        u, i, r = rng.integers([0, 0, 1], [m, n, 6]).tolist()
        mu, lr, reg = rng.uniform([3, 0.01, 0.02], [4, 0.2, 0.5]).tolist()
        yield mu, b_u, b_i, U, V, u, i, r, lr, reg


@exercise(
    "03",
    1,
    statement="Write the step with biases, for one rating `r`: "
    r"$\hat r = \mu + b_u + b_i + U_u \cdot V_i$. Biases move by the same rule as "
    "factors, and all right-hand sides have the values from before the visit. Change "
    "`b_u`, `b_i`, `U` and `V` in place; μ stays. Return nothing.",
    hints=(
        "First the error `e`, with all old values. Then four updates that use it.",
        "A bias is a factor whose partner is always 1: `b_u[u] += lr * (e - reg * "
        "b_u[u])`.",
        "`e = r - (mu + b_u[u] + b_i[i] + U[u] @ V[i])`. The biases follow hint 2; the "
        "rest is the lesson's `step`, with its `old = U[u].copy()`.",
    ),
    cases=_visits,
    in_place=("b_u", "b_i", "U", "V"),
    mistakes={
        "Your update of V uses the new U: copy the old row first.": (
            "old = U[u].copy()",
            "old = U[u]",
        ),
        "Nothing has changed: write into the arrays that you are given, as in "
        "`b_u[u] += …`.": (
            "e = r",
            "b_u, b_i, U, V = b_u.copy(), b_i.copy(), U.copy(), V.copy()\n    e = r",
        ),
        "Your factors use an error taken after the biases had moved. Take it once, "
        "with all old values.": (
            "old = U",
            "e = r - (mu + b_u[u] + b_i[i] + U[u] @ V[i])\n    old = U",
        ),
        "Your error has the wrong sign, so every step leads away. It is r minus the "
        "prediction.": (
            "e = r - (mu + b_u[u] + b_i[i] + U[u] @ V[i])",
            "e = mu + b_u[u] + b_i[i] + U[u] @ V[i] - r",
        ),
        "Your prediction leaves out the global mean μ.": ("(mu + ", "("),
        "Your error is that of the lesson's step. The prediction has four parts now: "
        "μ, both biases and the product.": (
            "(mu + b_u[u] + b_i[i] + U[u] @ V[i])",
            "U[u] @ V[i]",
        ),
        "The biases have not moved. They are learned by the same rule as factors.": (
            "    b_u[u] += lr * (e - reg * b_u[u])\n"
            "    b_i[i] += lr * (e - reg * b_i[i])\n",
            "",
        ),
        "You moved everybody's bias, each by its own penalty. Only user u and item i "
        "have been heard.": (
            "b_u[u] += lr * (e - reg * b_u[u])",
            "b_u += lr * (e - reg * b_u)",
            "b_i[i] += lr * (e - reg * b_i[i])",
            "b_i += lr * (e - reg * b_i)",
        ),
        "Your prediction leaves out the biases.": (" + b_u[u] + b_i[i]", ""),
        "You moved everybody's bias. Only user u and item i have been heard: `b_u[u]`, "
        "`b_i[i]`.": ("b_u[u] += ", "b_u += ", "b_i[i] += ", "b_i += "),
        "Your biases pay no penalty: λ pulls them towards 0, too.": (
            "(e - reg * b_u[u])",
            "e",
            "(e - reg * b_i[i])",
            "e",
        ),
        "Your factors pay no penalty: take λ times the old row away.": (
            " - reg * U[u]",
            "",
            " - reg * V[i]",
            "",
        ),
        "Your λ pushes the factors away from 0. The penalty is subtracted.": (
            "e * V[i] - reg",
            "e * V[i] + reg",
            "e * old - reg",
            "e * old + reg",
        ),
        "You stepped twice as far: the 2 of the gradient is in γ already.": (
            "    b_u[u] += ",
            "    lr = 2 * lr\n    b_u[u] += ",
        ),
    },
)
def step_with_biases(mu, b_u, b_i, U, V, u, i, r, lr, reg):
    """One rating r of user u for item i; changes b_u, b_i, U and V in place."""
    e = r - (mu + b_u[u] + b_i[i] + U[u] @ V[i])
    b_u[u] += lr * (e - reg * b_u[u])
    b_i[i] += lr * (e - reg * b_i[i])
    old = U[u].copy()
    U[u] += lr * (e * V[i] - reg * U[u])
    V[i] += lr * (e * old - reg * V[i])


Triples = list[tuple[int, int, float]]


def _ratings(rng: np.random.Generator, m: int, n: int) -> tuple[Triples, Triples]:
    """Noisy ratings of rank 1, a third of them held back; no row is without one."""
    R = rng.uniform(0.7, 1.8, (m, 1)) @ rng.uniform(0.7, 1.8, (n, 1)).T
    R = (R + rng.normal(0, 0.6, (m, n))).round(1)
    pairs = [(u, i, float(R[u, i])) for u in range(m) for i in range(n)]
    held = rng.random(m * n) < 0.35
    train = [pair for pair, out in zip(pairs, held, strict=True) if not out]
    validation = [pair for pair, out in zip(pairs, held, strict=True) if out]
    return train, validation or train[-1:]


def _runs(rng: np.random.Generator) -> Iterator[Arguments]:
    train, validation = [(0, 0, 4.0), (0, 1, 2.0), (1, 1, 1.0)], [(1, 0, 2.0)]
    zero, plus, minus = (
        np.zeros((2, 1)),
        np.array([[0.5], [1]]),
        np.array([[1], [-1.0]]),
    )
    # Zeros never leave: no epoch is better than the first.
    yield train, validation, zero, zero, 0.1, 0.1, 3, 8
    # Every other epoch is worse, but not two in a row.
    yield train, validation, plus, plus[::-1], 0.3, 0.1, 2, 10
    yield train, validation, plus, plus[::-1], 0.3, 0.1, 1, 10
    # Epochs 2 and 3 are worse than the first, all others better.
    yield train, validation, minus, -np.ones((2, 1)), 0.1, 0.1, 2, 10
    yield train, validation, minus, -np.ones((2, 1)), 0.1, 0.1, 3, 10
    for m, n, k, patience in ((3, 3, 1, 1), (4, 3, 2, 2), (5, 4, 2, 3), (6, 5, 3, 2)):
        U, V = rng.normal(0, 0.5, (m, k)), rng.normal(0, 0.5, (n, k))
        lr, reg = rng.uniform([0.1, 0.01], [0.2, 0.1]).tolist()
        yield *_ratings(rng, m, n), U, V, lr, reg, patience, 25


@exercise(
    "03",
    2,
    statement="Early stopping. `train` and `validation` are lists of triples (u, i, "
    "r). An epoch is the lesson's step, without biases, for each triple of `train` in "
    "order; then comes the RMSE on `validation`. An epoch is better if its error is "
    "smaller than that of any epoch before (so the first always is). Stop once "
    "`patience` epochs in a row were not better, or after `n_epochs`. Return `best, U, "
    "V`: the best epoch, counted from 1, and the factors as they were after it. The "
    "`U` and `V` that you are given stay as they are.",
    hints=(
        "Work on copies of U and V. Remember three things: the best epoch, its error, "
        "its factors. Begin with an error of `np.inf`.",
        "An epoch is `one_epoch(train, U, V, lr, reg)`. The errors on validation are "
        "`[r - U[u] @ V[i] for u, i, r in validation]`.",
        "If the error is smaller: `best, least, kept = epoch, error, (U.copy(), "
        "V.copy())`, for the loop goes on changing U and V. Else, if `epoch - best` "
        "has reached `patience`: `break`.",
    ),
    cases=_runs,
    mistakes={
        "You changed the U and V that you were given. Begin with copies.": (
            "U, V = U.copy(), V.copy()\n",
            "pass\n",
        ),
        "The epoch is right, but U and V are those of the last one: the loop went on "
        "changing what you kept. Keep copies.": ("(U.copy(), V.copy())\n", "(U, V)\n"),
        "You returned the last epoch and its factors. Keep those of the best.": (
            "return best, *kept",
            "return epoch, U, V",
        ),
        "You counted epochs from 0. The first is epoch 1.": (
            "range(1, n_epochs + 1)",
            "range(n_epochs)",
        ),
        "You waited one epoch too many: stop when `patience` were not better.": (
            "epoch - best == patience",
            "epoch - best > patience",
        ),
        "You stopped one epoch too soon: let `patience` of them pass.": (
            "epoch - best == patience",
            "epoch - best >= patience - 1",
        ),
        "You counted all epochs that were not better. Those in a row count: begin anew "
        "after a better one.": (
            "best, least = 0, np.inf",
            "bad, least = 0, np.inf",
            "elif epoch - best == patience:\n            break",
            "else:\n            bad += 1\n"
            "        if bad == patience:\n            break",
        ),
        "You compared each epoch with the one before it. Compare with the best so "
        "far.": ("break\n", "break\n        least = error\n"),
        "You took a later epoch with the same error for a better one. It must be "
        "smaller.": ("if error < least", "if error <= least"),
        "You stopped at the first epoch that was not better. Wait until `patience` in "
        "a row were not.": ("elif epoch - best == patience:", "else:"),
        "You compared the first epoch with the error before any step. The first epoch "
        "is always better than none.": (
            "best, least = 0, np.inf",
            "best, kept = 0, (U.copy(), V.copy())\n"
            "    errors = [r - U[u] @ V[i] for u, i, r in validation]\n"
            "    least = np.sqrt(np.mean(np.square(errors)))",
        ),
        "You watched the error on train, which nearly always falls. Ask validation.": (
            "for u, i, r in validation]",
            "for u, i, r in train]",
        ),
        "Your update of V uses the new U: copy the old row first.": (
            "old = U[u].copy()",
            "old = U[u]",
        ),
    },
)
def fit_until_worse(train, validation, U, V, lr, reg, patience=3, n_epochs=100):
    """The best epoch on validation, and U and V as they were after it."""
    U, V = U.copy(), V.copy()
    best, least = 0, np.inf
    for epoch in range(1, n_epochs + 1):
        for u, i, r in train:
            e = r - U[u] @ V[i]
            old = U[u].copy()
            U[u] += lr * (e * V[i] - reg * U[u])
            V[i] += lr * (e * old - reg * V[i])
        errors = [r - U[u] @ V[i] for u, i, r in validation]
        error = np.sqrt(np.mean(np.square(errors)))
        if error < least:
            best, least, kept = epoch, error, (U.copy(), V.copy())
        elif epoch - best == patience:
            break
    return best, *kept
