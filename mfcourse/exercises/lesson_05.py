"""Lesson 05: a newcomer's bias, and a list of what is surely good."""

from collections.abc import Iterator

import numpy as np

from mfcourse.exercises.exercise import Arguments, exercise


def _newcomers(rng: np.random.Generator) -> Iterator[Arguments]:
    yield np.array([5.0]), np.array([0.5]), 3.5, 1
    yield np.array([2.0, 3, 3.5]), np.array([0.4, 0.7, 0.9]), 3.6, 4
    yield np.array([]), np.array([]), 3.5, 5
    for n, damping in ((2, 0), (3, 2.5), (5, 4), (8, 10), (12, 0.5)):
        stars = rng.integers(1, 11, n) / 2
        yield stars, rng.normal(0.1, 0.5, n), float(rng.uniform(3, 3.9)), damping


@exercise(
    "05",
    1,
    statement="A newcomer has rated some films. Find their bias: the damped mean, sum "
    "/ (count + `damping`), of what is left of their stars once μ and the films' "
    "biases are taken away. Without a rating (the damping is then positive) it is 0.",
    hints=(
        "What is left of each rating, once μ and the film's bias are taken away?",
        "`rest = stars - mu - b_i`; now a sum and a count.",
        "Divide `rest.sum()` by the count plus the damping.",
    ),
    cases=_newcomers,
    mistakes={
        "You left the films' biases in. Whoever picks good films would look generous: "
        "take `b_i` away as well.": ("stars - mu - b_i", "stars - mu"),
        "You left μ in. A bias is measured from the mean of all ratings.": (
            "stars - mu - b_i",
            "stars - b_i",
        ),
        "You added the films' biases. What the films explain is taken away: `- b_i`.": (
            "stars - mu - b_i",
            "stars - mu + b_i",
        ),
        "Your sign is turned: what is left is the stars less what was expected.": (
            "stars - mu - b_i",
            "mu + b_i - stars",
        ),
        "You took the plain mean. Damping adds ratings to the count, not to the sum.": (
            " + damping)",
            ")",
        ),
        "You took the plain mean, and 0 without a rating. Damping adds ratings to the "
        "count, not to the sum.": ("(len(rest) + damping)", "max(len(rest), 1)"),
        "You damped the stars themselves, which draws them to 0 stars. Take μ and the "
        "biases away first: what is left may be drawn to 0.": (
            "    return rest.sum() / (len(rest) + damping)",
            "    n, some = max(len(rest), 1), len(rest) > 0\n"
            "    return some * (stars.sum() / (n + damping) - mu - b_i.sum() / n)",
        ),
        "You divided by the damping alone. The person's own ratings count as well.": (
            "(len(rest) + damping)",
            "damping",
        ),
        "You charged the damping once a rating. Add it to the count once.": (
            "+ damping",
            "* (1 + damping)",
        ),
        "You gave the sum. Divide it by the count plus the damping.": (
            " / (len(rest) + damping)",
            "",
        ),
        "You added 1 + `damping` ratings. `damping` is their number already.": (
            "+ damping",
            "+ 1 + damping",
        ),
        "You gave their level, μ with the bias. Asked for is the bias alone.": (
            "return rest",
            "return mu + rest",
        ),
    },
)
def newcomer_bias(stars, b_i, mu, damping):
    """stars, b_i: arrays, one entry a rated film; mu, damping: numbers."""
    rest = stars - mu - b_i
    return rest.sum() / (len(rest) + damping)


def _ratings(rng: np.random.Generator) -> Iterator[Arguments]:
    # Films differ in how many rated them; people in how strict they are, and in taste.
    yield (
        np.array([0, 0, 0, 1, 1, 2, 2, 3]),
        np.array([0, 1, 2, 0, 1, 0, 2, 0]),
        np.array([4.5, 5, 2, 4, 4.5, 3, 1, 4]),
        *(1, 1.0),
    )
    for m, n, spread in ((9, 5, 0.4), (14, 7, 1.0), (20, 8, 0.3), (25, 9, 1.4)):
        for top in (2, n):
            known = rng.random((m, n)) < np.linspace(0.2, 0.9, n)
            known[0] = known[:, -1] = True  # each code occurs
            order = rng.permutation(n)
            user, item = np.nonzero(known[:, order])
            taste = rng.normal(0, spread, len(user))
            good, strict = rng.normal(0, 0.5, n), np.linspace(1, -1, m)
            stars = np.clip(3.4 + good[item] + strict[user] + taste, 0.5, 5)
            yield user, item, stars.round(2), top, float(rng.uniform(0.5, 5))


@exercise(
    "05",
    2,
    statement="Rank films by what we can be *sure* of. Fit μ, $b_u$ and $b_i$ as "
    "`alternate` does: from zeros, 20 passes, in each the films first; one β for both "
    "sides. If single ratings spread by σ, a film's bias is uncertain by about "
    "$s_i = \\sigma / \\sqrt{n_i + \\beta}$; σ is the RMSE of $\\mu + b_u + b_i$ on "
    "these ratings. Return the codes of the `n` films with the largest lower bound "
    "$b_i - 1.64\\,s_i$ (one in twenty lies below it), best first. Every code from 0 "
    "to the largest occurs; no two bounds tie.",
    hints=(
        "The passes are the two lines in the loop of `alternate`; the arrays come as "
        "arguments here. Three steps remain: σ, the bound, the sorting.",
        "`e = rating - mu - b_u[user] - b_i[item]`, and σ² is the mean of e². "
        "`n_i = np.bincount(item)`.",
        "`bound = b_i - 1.64 * sigma / np.sqrt(n_i + beta)`, and `np.argsort(-bound)` "
        "has the best film first.",
    ),
    cases=_ratings,
    mistakes={
        "You sorted by the bias itself. Take 1.64 times its uncertainty away first.": (
            "b_i - 1.64 * sigma / np.sqrt(n_i + beta)",
            "b_i",
        ),
        "You took the upper bound: it puts first what hardly anybody has rated.": (
            "b_i - 1.64",
            "b_i + 1.64",
        ),
        "Your list has the worst film first. `argsort` goes up: sort by `-bound`.": (
            "argsort(-bound)",
            "argsort(bound)",
        ),
        "Your films' biases are one-sided: take the people's biases away first.": (
            "np.bincount(item, rating - mu - b_u[user])",
            "np.bincount(item, rating - mu)",
        ),
        "Your films are right, but the best stands last. Sort by `-bound`, and take "
        "the first.": ("np.argsort(-bound)[:n]", "np.argsort(bound)[-n:]"),
        "Your σ is the mean of the squared errors. Take its root.": (
            "np.sqrt(np.mean(e**2))",
            "np.mean(e**2)",
        ),
        "You forgot the root: a mean of n ratings is uncertain by σ / √n.": (
            "np.sqrt(n_i + beta)",
            "(n_i + beta)",
        ),
        "You did not damp the biases: divide their sums by the count plus β.": (
            "b_u[user]) / (n_i + beta)",
            "b_u[user]) / n_i",
            "b_i[item]) / (n_u + beta)",
            "b_i[item]) / n_u",
        ),
        "Your σ is too large. Take the RMSE of μ + b_u + b_i, with both biases; the "
        "spread of the stars is more.": (
            "e = rating - mu - b_u[user] - b_i[item]",
            "e = rating - mu",
        ),
        "Your uncertainty has no β: imagined ratings count as well, `n_i + beta`.": (
            "np.sqrt(n_i + beta)",
            "np.sqrt(n_i)",
        ),
        "You gave back all films. The list has `n`.": ("[:n]", ""),
        "You gave back bounds. Asked for are the codes of the films.": (
            "np.argsort(-bound)",
            "-np.sort(-bound)",
        ),
    },
)
def surely_good(user, item, rating, n, beta):
    """user, item: arrays of codes, rating: stars. Codes of n films, the best first."""
    mu, n_u, n_i = rating.mean(), np.bincount(user), np.bincount(item)
    b_u = np.zeros(len(n_u))
    for _ in range(20):
        b_i = np.bincount(item, rating - mu - b_u[user]) / (n_i + beta)
        b_u = np.bincount(user, rating - mu - b_i[item]) / (n_u + beta)
    e = rating - mu - b_u[user] - b_i[item]
    sigma = np.sqrt(np.mean(e**2))
    bound = b_i - 1.64 * sigma / np.sqrt(n_i + beta)
    return np.argsort(-bound)[:n]
