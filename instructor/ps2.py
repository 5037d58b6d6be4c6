"""Sample key of PS2: alternating least squares, and biases.

This sample is public: anybody can read it. Each class draws its variants, and each
student their hidden cases, with a secret; for a real exam, change the key itself.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from mfcourse.grading.key import task

TITLE = "PS2: alternating least squares, and biases"
INTRO = """Four functions, from one person's row to a predicted rating. A NaN is an
unknown rating, and codes count from 0. Conventions are your class's own: where one
differs from the lessons, or from the task before, the task holds. You lean on
lessons 04 (alternating least squares) and 05 (biases)."""

Cases = Iterator[dict[str, Any]]


# ---- One person ----------------------------------------------------------------------


def _person(rng: np.random.Generator, n: int, k: int, rated: int) -> dict[str, Any]:
    return {
        "V": rng.normal(0, 1, (n, k)),
        "items": rng.permutation(n)[:rated],
        "stars": rng.integers(3, 11, rated) / 2,
        "reg": float(rng.uniform(0.2, 1.5)),
    }


def _many(rng: np.random.Generator) -> Cases:
    yield {
        "V": np.array([[1.0], [9.0], [-1.0], [2.0]]),
        "items": np.array([3, 0, 2]),
        "stars": np.array([5.0, 4.5, 2.0]),
        "reg": 0.5,
    }
    for n, k, rated in ((6, 2, 6), (8, 2, 5), (10, 3, 8), (12, 4, 9)):
        yield _person(rng, n, k, rated)


def _few(rng: np.random.Generator) -> Cases:
    for n, k, rated in ((3, 1, 0), (4, 1, 2), (6, 2, 3), (7, 3, 0), (8, 3, 4)):
        yield _person(rng, n, k, rated)


@task(
    statement=r"""Ana has rated some films. Hold all films' factors $V$ still, and find
her row: the $x$ that makes
$$\sum_{i} (y_i - V_i \cdot x)^2 + w\,\lVert x \rVert^2$$
smallest. The sum runs over the films that she rated, and no others; `items` names
them, in no special order. [[level]] [[penalty]] With `reg` > 0 there is exactly one
such row. Should she have rated nothing, her row is $k$ zeros.""",
    groups={"many ratings": (2, _many), "few ratings, or none": (2, _few)},
    variants={
        "penalty": {
            "count": (r"The weight is $w = \lambda n$: λ is `reg`, $n$ her ratings.",),
            "plain": (
                r"The weight is $w = \lambda$, `reg` itself, however many she rated.",
                "weight = reg * len(items)",
                "weight = reg",
            ),
            "root": (
                r"In this class $w = \lambda \sqrt{n}$: λ is `reg`, $n$ the number of "
                "her ratings.",
                "weight = reg * len(items)",
                "weight = reg * len(items) ** 0.5",
            ),
        },
        "level": {
            "own mean": ("$y_i$ is her stars less **her own mean** of `stars`.",),
            "middle": (
                "$y_i$ is her stars less **3**, the middle of her scale.",
                "level = stars.mean()",
                "level = 3",
            ),
        },
    },
    mistakes={
        "You charged λ once. Here it is charged once a rating: w = λ n.": (
            "weight = reg * len(items)\n",
            "weight = reg\n",
        ),
        "You charged λ once a rating. Here a person pays λ once: w = λ.": (
            "weight = reg\n",
            "weight = reg * len(items)\n",
        ),
        "You charged λ once a rating. Here its weight grows with the root: w = λ √n.": (
            "weight = reg * len(items) ** 0.5",
            "weight = reg * len(items)",
        ),
        "Your n counts all films. Count those that the person rated.": (
            "reg * len(items)",
            "reg * len(V)",
        ),
        "You left out the penalty: w times the identity belongs into the system.": (
            " + weight * np.eye(A.shape[1])",
            "",
        ),
        "You charged 2w. The factor 2 stands on both sides of the equation: it goes.": (
            "weight * np.eye",
            "2 * weight * np.eye",
        ),
        "You added w to every number of the system. It belongs on the diagonal.": (
            "weight * np.eye(A.shape[1])",
            "weight",
        ),
        "You solved for the stars themselves. First take away what the task says.": (
            "stars - level",
            "stars",
        ),
        "You took the first rows of V. `items` says which films they are.": (
            "V[items]",
            "V[: len(items)]",
        ),
        "All films are in your AᵀA. Only those that the person rated belong there.": (
            "A.T @ A",
            "V.T @ V",
        ),
        "Without a rating you gave NaN. The row is then k zeros.": (
            "np.zeros(V.shape[1])",
            "np.full(V.shape[1], np.nan)",
        ),
    },
)
def als_solve_user(V, items, stars, reg):
    """V: (n, k), a row a film; items: codes of the films that a person rated; stars:
    what they gave, in the same order; reg: a number. Returns their row, (k,)."""
    if len(items) == 0:
        return np.zeros(V.shape[1])
    level = stars.mean()
    weight = reg * len(items)
    A, y = V[items], stars - level
    return np.linalg.solve(A.T @ A + weight * np.eye(A.shape[1]), A.T @ y)


# ---- Everybody -----------------------------------------------------------------------


def _table(
    rng: np.random.Generator, m: int, n: int, k: int, silent: int = 0
) -> dict[str, Any]:
    """People have rated k films, or n, or some number between; ``silent`` have none."""
    n_rated = rng.permutation(np.r_[k, n, rng.integers(k, n + 1, m - 2)])
    n_rated[rng.permutation(m)[:silent]] = 0
    known = rng.permuted(np.arange(n) < n_rated[:, None], axis=1)
    return {
        "R": np.where(known, rng.integers(3, 11, (m, n)) / 2, np.nan),
        "V": rng.normal(0, 1, (n, k)),
        "reg": float(rng.uniform(0.2, 1.5)),
    }


def _holes(rng: np.random.Generator) -> Cases:
    for m, n, k in ((2, 3, 1), (4, 5, 2), (5, 4, 2), (7, 7, 3), (12, 10, 4)):
        yield _table(rng, m, n, k)


def _silent(rng: np.random.Generator) -> Cases:
    for m, n, k, silent in ((3, 2, 1, 1), (5, 6, 2, 1), (6, 6, 3, 2), (9, 5, 2, 4)):
        yield _table(rng, m, n, k, silent)


@task(
    statement=r"""Half an epoch of ALS: hold the films' factors $V$, and solve *all*
people. First take μ, the mean of all known entries of `R`, away from the stars. Then
the row of person $u$ is the $x$ that makes
$$\sum_{i \in \Omega_u} (r_{ui} - \mu - V_i \cdot x)^2 + w_u \lVert x \rVert^2$$
smallest, where $\Omega_u$ are the $n_u$ films that $u$ rated. [[penalty]] [[empty]]
Return $U$. Mind the order of `R` and `V` in the starter.""",
    groups={"holes": (3, _holes), "people without ratings": (3, _silent)},
    variants={
        "penalty": {
            "count": (r"The weight is $w_u = \lambda n_u$, where λ is `reg`.",),
            "plain": (
                r"The weight is $w_u = \lambda$, `reg` itself, for everybody.",
                "weight = reg * len(y)",
                "weight = reg",
            ),
            "share": (
                r"The weight is $w_u = \lambda n_u / n$, where λ is `reg` and $n$ the "
                "number of all films: a share, not a count.",
                "weight = reg * len(y)",
                "weight = reg * len(y) / len(V)",
            ),
        },
        "empty": {
            "zeros": ("Who has rated nothing gets a row of zeros.",),
            "mean": (
                "Who has rated nothing gets the **mean row** of those who have.",
                "    return U",
                "    U[~rates] = U[rates].mean(axis=0)\n    return U",
            ),
        },
        "order": {
            "ratings first": ("",),
            "factors first": ("", "(R, V, reg)", "(V, R, reg)"),
        },
    },
    mistakes={
        "You charged λ once. Here it is charged once a rating: w = λ n_u.": (
            "weight = reg * len(y)\n",
            "weight = reg\n",
        ),
        "You charged λ once a rating. Here everybody pays λ once: w = λ.": (
            "weight = reg\n",
            "weight = reg * len(y)\n",
        ),
        "You charged λ once a rating. Here it goes with the share of films: "
        "w = λ n_u / n.": (" / len(V)", ""),
        "You left out the penalty: w times the identity belongs into the system.": (
            " + weight * np.eye(A.shape[1])",
            "",
        ),
        "You charged 2w. The factor 2 stands on both sides of the equation: it goes.": (
            "weight * np.eye",
            "2 * weight * np.eye",
        ),
        "You left μ in. Take the mean of all known entries away first.": (
            "R - R[known].mean()",
            "R",
        ),
        "You took each person's own mean away. μ is one number for the whole table.": (
            "Y[u][known[u]]",
            "Y[u][known[u]] - Y[u][known[u]].mean()",
        ),
        "You filled the holes with 0 stars. A hole is unknown: leave it out.": (
            "known = ~np.isnan(R)",
            "R = np.nan_to_num(R)\n    known = R == R",
        ),
        "You took μ away, then filled the holes with 0: as if all else had been rated "
        "as usual. A hole is unknown: leave it out.": (
            "Y[u][known[u]]",
            "np.nan_to_num(Y[u])",
            "V[known[u]]",
            "V",
        ),
        "You left out people without ratings. U has a row for everybody.": (
            "return U",
            "return U[rates]",
        ),
        "Who has rated nothing has zeros in your U. Here they get the mean row.": (
            "    U[~rates] = U[rates].mean(axis=0)\n",
            "",
        ),
        "Your mean row counts the zeros of those who have rated nothing.": (
            "U[rates].mean(axis=0)",
            "U.mean(axis=0)",
        ),
    },
)
def als_half_step(R, V, reg):
    """R: (m, n) stars, a row a person and NaN where unknown; V: (n, k), a row a film;
    reg: a number > 0. Returns all people's rows, (m, k)."""
    known = ~np.isnan(R)
    rates = known.any(axis=1)
    Y = R - R[known].mean()
    U = np.zeros((len(R), V.shape[1]))
    for u in np.flatnonzero(rates):
        A, y = V[known[u]], Y[u][known[u]]
        weight = reg * len(y)
        U[u] = np.linalg.solve(A.T @ A + weight * np.eye(A.shape[1]), A.T @ y)
    return U


# ---- Biases --------------------------------------------------------------------------


FILMS_FIRST = """b_i = np.bincount(item, rest, n) / w_i
    b_u = np.bincount(user, rest - b_i[item], m) / w_u"""
PEOPLE_FIRST = """b_u = np.bincount(user, rest, m) / w_u
    b_i = np.bincount(item, rest - b_u[user], n) / w_i"""


def _ratings(
    rng: np.random.Generator, m: int, n: int, silent_m: int = 0, silent_n: int = 0
) -> dict[str, Any]:
    """Codes without a rating are any, but the last one is always among them."""
    known = rng.random((m, n)) < np.linspace(0.1, 0.9, n)
    known[0] = known[:, -1] = True
    u, i = np.nonzero(known)
    # People differ, and the strict have rated more of the bad films.
    stars = 3.7 + np.linspace(0.9, -0.9, m)[u] + np.linspace(-1.2, 0.6, n)[i]
    stars = np.clip(stars + rng.normal(0, 0.5, len(u)), 0.5, 5).round(1)
    at = rng.permutation(len(u))
    codes_u = rng.permutation(m + max(silent_m - 1, 0))[:m]
    codes_i = rng.permutation(n + max(silent_n - 1, 0))[:n]
    return {
        "user": codes_u[u[at]],
        "item": codes_i[i[at]],
        "stars": stars[at],
        "m": m + silent_m,
        "n": n + silent_n,
        "damping": float(rng.uniform(1.5, 4)),
    }


def _all_rate(rng: np.random.Generator) -> Cases:
    yield {
        "user": np.array([0, 0, 1, 1]),
        "item": np.array([0, 1, 0, 2]),
        "stars": np.array([5.0, 2.0, 4.5, 4.0]),
        "m": 2,
        "n": 3,
        "damping": 2.5,
    }
    for m, n in ((4, 3), (5, 8), (9, 6), (20, 12)):
        yield _ratings(rng, m, n)


def _some_do_not(rng: np.random.Generator) -> Cases:
    for m, n, *silent in ((3, 3, 1, 0), (4, 5, 0, 2), (8, 6, 3, 1), (10, 7, 2, 4)):
        yield _ratings(rng, m, n, *silent)


@task(
    statement=r"""Fit $\hat r_{ui} = \mu + b_u + b_i$ in **one** pass. Person `user[p]`
gave film `item[p]` the number `stars[p]`. [[mu]] [[order]] A bias is the *sum* of what
is left of the stars of that film or person, divided [[damping]] Codes run from 0 to
m − 1 for people and n − 1 for films; without a rating the bias is 0. Return
`(mu, b_u, b_i)`.""",
    groups={
        "everybody has rated": (3, _all_rate),
        "codes without ratings": (2, _some_do_not),
    },
    variants={
        "mu": {
            "mean": ("μ is the mean of all ratings.",),
            "median": (
                "In this class μ is the **median** of all ratings.",
                "stars.mean()",
                "np.median(stars)",
            ),
        },
        "order": {
            "films first": (
                "Read the *films* first, from the stars less μ; then the people, from "
                "the stars less μ and the films' biases.",
            ),
            "people first": (
                "Read the *people* first, from the stars less μ; then the films, from "
                "the stars less μ and the people's biases.",
                FILMS_FIRST,
                PEOPLE_FIRST,
            ),
        },
        "damping": {
            "added": (
                r"by $c + \beta$, where $c$ counts those ratings and β is `damping`.",
            ),
            "filled up": (
                r"by $\max(c, \beta)$, where $c$ counts those ratings and β is "
                "`damping`: from β ratings on it is a plain mean.",
                "n_u + damping, n_i + damping",
                "np.maximum(n_u, damping), np.maximum(n_i, damping)",
            ),
        },
    },
    mistakes={
        "You took the mean for μ. Here it is the median.": (
            "np.median(stars)",
            "stars.mean()",
        ),
        "You read the people first. Here the films come first.": (
            FILMS_FIRST,
            PEOPLE_FIRST,
        ),
        "You read the films first. Here the people come first.": (
            PEOPLE_FIRST,
            FILMS_FIRST,
        ),
        "You read both sides apart. Take the films' biases away before you read the "
        "people.": ("rest - b_i[item]", "rest"),
        "You read both sides apart. Take the people's biases away before you read the "
        "films.": ("rest - b_u[user]", "rest"),
        "You left μ in. A bias is measured from it.": (
            "rest = stars - mu",
            "rest = stars",
        ),
        "Your signs are turned: what is left is the stars less what was expected.": (
            "stars - mu",
            "mu - stars",
        ),
        "You took plain means, and 0 where there is no rating. Few ratings are to be "
        "damped.": ("/ w_i", "/ np.maximum(n_i, 1)", "/ w_u", "/ np.maximum(n_u, 1)"),
        "You damped the films alone. A person's bias is damped as well.": (
            "/ w_u",
            "/ np.maximum(n_u, 1)",
        ),
        "You added β to the count. Here the count is filled up to β: the larger of "
        "both.": (
            "np.maximum(n_u, damping), np.maximum(n_i, damping)",
            "n_u + damping, n_i + damping",
        ),
        "You filled the count up to β. Here β is added to every count.": (
            "n_u + damping, n_i + damping",
            "np.maximum(n_u, damping), np.maximum(n_i, damping)",
        ),
        "Your arrays end at the last code that has a rating. They have m and n "
        "numbers.": (
            "return mu, b_u, b_i",
            "return mu, b_u[: user.max() + 1], b_i[: item.max() + 1]",
        ),
        "You gave back the films' biases before the people's.": (
            "return mu, b_u, b_i",
            "return mu, b_i, b_u",
        ),
    },
)
def damped_biases(user, item, stars, m, n, damping):
    """user, item, stars: arrays, an entry a rating; m, n: how many people and films
    there are; damping: a number > 0. Returns (mu, b_u, b_i): a number, (m,), (n,)."""
    mu = stars.mean()
    n_u, n_i = np.bincount(user, minlength=m), np.bincount(item, minlength=n)
    w_u, w_i = n_u + damping, n_i + damping
    rest = stars - mu
    b_i = np.bincount(item, rest, n) / w_i
    b_u = np.bincount(user, rest - b_i[item], m) / w_u
    return mu, b_u, b_i


# ---- Predictions ---------------------------------------------------------------------


def _model(rng: np.random.Generator, m: int, n: int, k: int, first: int) -> dict:
    """Pairs of codes from ``first`` to 2 and some more; two people go to extremes."""
    codes = np.arange(first, 3)
    pairs = np.array([(a, b) for a in codes for b in codes])
    more = rng.integers(first, min(m, n), (4, 2))  # either side may be the person
    b_u, V = rng.normal(0, 0.4, m), rng.normal(0, 0.6, (n, k))
    b_u[:2] = np.array([1, -1]) * rng.uniform(3.6, 4.2)
    V[1] = -0.8 * V[0]  # of these films, whoever likes the one dislikes the other
    return {
        "pairs": rng.permutation(np.concatenate([pairs, more])),
        "mu": float(rng.uniform(2.7, 3.3)),
        "b_u": b_u,
        "b_i": rng.uniform(-0.5, 0.5, n),
        "U": rng.normal(0, 0.6, (m, k)),
        "V": V,
    }


def _known(rng: np.random.Generator) -> Cases:
    for m, n, k in ((3, 4, 1), (5, 4, 2), (6, 9, 3), (12, 10, 4)):
        yield _model(rng, m, n, k, 0)


def _unknown(rng: np.random.Generator) -> Cases:
    for m, n, k in ((4, 3, 1), (4, 6, 2), (8, 7, 3), (10, 12, 2)):
        yield _model(rng, m, n, k, -1)


@task(
    statement=r"""Predict stars with $\mu$, biases and factors: the sum of a *baseline*
and of *taste*, $U_u \cdot V_i$. [[sign]] [[pairs]] The code −1 stands for a person or
a film that was not there in training: their bias is 0, and so is taste; all that is
known of the other side still counts. Stars run from 0.5 to 5. [[clip]] Return one
number a pair, in the order of the pairs.""",
    groups={
        "known people and films": (3, _known),
        "unknown ones among them": (2, _unknown),
    },
    variants={
        "clip": {
            "sum": ("Clip the *whole sum* to this range, at the end.",),
            "baseline": (
                "Clip the *baseline* to this range, then add taste; the sum is not "
                "clipped.",
                "np.clip(baseline + taste, low, high)",
                "np.clip(baseline, low, high) + taste",
            ),
            "both": (
                "Clip the *baseline* to this range, add taste, and clip *again*.",
                "np.clip(baseline + taste, low, high)",
                "np.clip(np.clip(baseline, low, high) + taste, low, high)",
            ),
        },
        "pairs": {
            "person first": ("A row of `pairs` holds a person's code, then a film's.",),
            "film first": (
                "Mind the order: a row of `pairs` holds a film's code, then a "
                "person's.",
                "codes of a person and a film",
                "codes of a film and a person",
                "user, item = pairs.T",
                "item, user = pairs.T",
            ),
        },
        "sign": {
            "generous": (r"The baseline is $\mu + b_u + b_i$.",),
            "strict": (
                r"In this class $b_u$ says how *strict* a person is: the baseline is "
                r"$\mu - b_u + b_i$.",
                "mu + known_u",
                "mu - known_u",
            ),
        },
    },
    mistakes={
        "You added b_u. Here it says how strict a person is: take it away.": (
            "mu - known_u",
            "mu + known_u",
        ),
        "You took b_u away. Here it says how generous a person is: add it.": (
            "mu + known_u",
            "mu - known_u",
        ),
        "You took the first code for a film's. Here it is the person's.": (
            "user, item = pairs.T",
            "item, user = pairs.T",
        ),
        "You took the first code for a person's. Here it is the film's.": (
            "item, user = pairs.T",
            "user, item = pairs.T",
        ),
        "For the code −1 Python takes the last row. Biases and taste are then 0.": (
            "user >= 0, item >= 0",
            "True, True",
        ),
        "For the code −1 your biases are 0, but taste is not: it took the last row.": (
            "known_u * known_i * ",
            "",
        ),
        "Where one of the two is unknown, you forgot what is known of the other.": (
            "user >= 0, item >= 0",
            "pairs.min(axis=1) >= 0, pairs.min(axis=1) >= 0",
        ),
        "You did not clip at all.": ("0.5, 5", "-np.inf, np.inf"),
        "You clipped at 1. The lowest rating is half a star.": ("0.5, 5", "1, 5"),
        "You clipped the whole sum alone. Here the baseline is clipped before taste is "
        "added, and nothing after.": (
            "return np.clip(baseline, low, high) + taste",
            "return np.clip(baseline + taste, low, high)",
        ),
        "You clipped once, at the end. Here the baseline is clipped before, too.": (
            "np.clip(np.clip(baseline, low, high) + taste, low, high)",
            "np.clip(baseline + taste, low, high)",
        ),
        "You clipped the baseline alone, so some of your stars leave the range.": (
            "np.clip(baseline + taste, low, high)",
            "np.clip(baseline, low, high) + taste",
        ),
        "You left out taste, the product of the two rows of factors.": (" + taste", ""),
        "You left out μ.": ("baseline = mu", "baseline = 0"),
    },
)
def predict_biased(pairs, mu, b_u, b_i, U, V):
    """pairs: (p, 2), codes of a person and a film in each row, or -1; mu: a number;
    b_u, U: (m,) and (m, k), people's; b_i, V: (n,) and (n, k), films'. Gives (p,)."""
    user, item = pairs.T
    low, high = 0.5, 5
    known_u, known_i = user >= 0, item >= 0
    baseline = mu + known_u * b_u[user] + known_i * b_i[item]
    taste = known_u * known_i * (U[user] * V[item]).sum(axis=1)
    return np.clip(baseline + taste, low, high)
