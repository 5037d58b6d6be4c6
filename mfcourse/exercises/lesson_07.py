"""Lesson 07: what one film did for a score, and what coverage costs."""

from collections.abc import Iterator

import numpy as np

from mfcourse.exercises.exercise import Arguments, exercise


def _people(rng: np.random.Generator) -> Iterator[Arguments]:
    F = np.array([[1, 0], [0.5, 0.5], [1, 0], [0, 1], [0, 1]])  # the lesson's toy
    yield F, np.array([0, 1]), 0, 2, 2.0, 1.0
    yield F, np.array([0, 1]), 0, 3, 2.0, 1.0
    yield F, np.array([4]), 0, 1, 1.0, 0.5
    for n, k, told in ((6, 2, 3), (9, 3, 4), (15, 4, 6), (30, 5, 12), (40, 8, 5)):
        V = rng.normal(0.2, 0.8, (n, k))
        films = rng.permutation(n)
        films = np.append(films[films != told - 1][:told], told - 1)[::-1].copy()
        seen, i = films[:told], films[told]
        yield V, seen, int(rng.integers(told)), int(i), rng.uniform(1, 6), 2.0


@exercise(
    "07",
    1,
    statement="A contribution says what a film adds **while it is there**. Taking it "
    "back also changes M. Somebody liked the films `seen`; how far does the score of "
    "film `i` fall if the person takes `seen[j]` back? (A number below 0 where it "
    "rises.) The films in `V` stay as they are. Who has liked nothing scores 0.",
    hints=(
        "Two people: one with all the films, one without that film. Fold both in.",
        "`np.delete(seen, j)` is what the other one liked. With `A = V[films]`, the "
        "left side is `V.T @ V + alpha * A.T @ A + reg * np.eye(V.shape[1])`, the "
        "right side `(1 + alpha) * A.sum(axis=0)`.",
        "The lesson's `fold_in` may help: `V[i] @ fold_in(V, seen, alpha, reg)`, less "
        "`V[i] @ fold_in(V, np.delete(seen, j), alpha, reg)`.",
    ),
    cases=_people,
    mistakes={
        "That is the contribution of seen[j], which holds M. Take the film back, and "
        "solve again: M changes, too.": (
            "return score(seen) - score(np.delete(seen, j))",
            "A = V[seen]\n"
            "    M = V.T @ V + alpha * (A.T @ A) + reg * np.eye(len(V[0]))\n"
            "    return (1 + alpha) * V[i] @ np.linalg.solve(M, V[seen[j]])",
        ),
        "You took film number j back. The film is seen[j], which stands at place j.": (
            "np.delete(seen, j)",
            "seen[seen != j]",
        ),
        "You subtracted the wrong way round: a score that falls gives a positive "
        "number.": (
            "score(seen) - score(np.delete(seen, j))",
            "score(np.delete(seen, j)) - score(seen)",
        ),
        "That is the new score. Subtract it from the old one.": (
            "score(seen) - score",
            "score",
        ),
        "On the right side a liked film counts 1 + α times, not once.": (
            "(1 + alpha) * A.sum(axis=0)",
            "A.sum(axis=0)",
        ),
        "On the right side a liked film counts 1 + α times, not α times: the Gramian's "
        "own 1 is in M only.": ("(1 + alpha) * A.sum(axis=0)", "alpha * A.sum(axis=0)"),
        "In M a liked film adds α times, not once.": ("alpha * A.T @ A", "A.T @ A"),
        "In M the Gramian holds each liked film once already: add α AᵀA, not "
        "(1 + α) AᵀA.": ("alpha * A.T @ A", "(1 + alpha) * A.T @ A"),
        "Your M lacks the Gramian: all films count, with confidence 1.": (
            "V.T @ V + ",
            "",
        ),
        "You left out λ: add reg to the diagonal of M.": (
            " + reg * np.eye(V.shape[1])",
            "",
        ),
        "You took the film out of V as well. It is still there, one of all those that "
        "the person did not like.": (
            "def score(films):",
            "def score(films, gone=-1):",
            "V.T @ V",
            "V.T @ V - (gone >= 0) * np.outer(V[gone], V[gone])",
            "np.delete(seen, j))",
            "np.delete(seen, j), gone=seen[j])",
        ),
    },
)
def taken_back(V, seen, j, i, alpha, reg):
    """V: films × k; seen: films that were liked. The score of i, less that without."""

    def score(films):
        A = V[films]
        M = V.T @ V + alpha * A.T @ A + reg * np.eye(V.shape[1])
        return V[i] @ np.linalg.solve(M, (1 + alpha) * A.sum(axis=0))

    return score(seen) - score(np.delete(seen, j))


def _shops(rng: np.random.Generator) -> Iterator[Arguments]:
    out = -np.inf
    S = np.array([[2.5, 1, 2, 0, out], [4, out, 1, 0.5, 2.5]])
    held = np.array([[1, 0, 1, 0, 0], [0, 0, 0, 0, 1]], dtype=bool)
    likes = np.array([8, 4, 2, 1, 1])
    yield S, likes, held, 0.0, 2
    yield S, likes, held, 1.0, 2
    S = np.array([[0.5, 0.7, 0.7, out], [0.9, out, 0.2, 0.6]])  # a tie
    held = np.array([[0, 1, 0, 0], [0, 0, 0, 1]], dtype=bool)
    yield S, np.array([3, 1, 2, 5]), held, 0.0, 1
    for m, n, length in ((3, 6, 2), (5, 9, 3), (8, 20, 4), (10, 30, 10)):
        seen = rng.random((m, n)) < 0.3
        seen[0, length - 1 :] = True  # too few are left to fill a list
        S = np.where(seen, out, rng.normal(0.3, 0.3, (m, n)))
        held = ~seen & (rng.random((m, n)) < 0.3)
        likes = rng.integers(1, 60, n)
        for price in (0.03, 0.15):
            yield S, likes, held, price, length


@exercise(
    "07",
    2,
    statement="Trade hits for coverage. Subtract `price` × log₂(likes) from each score "
    "in `S` (people × films, −∞ where seen). Give everybody the `n` best films, or as "
    "many as are left: never one at −∞. Of equal scores the film further left comes "
    "first. Return three numbers: the mean number of hits in a list (`held` is True "
    "where a film is a hit), the coverage, and the mean likes of a film shown, each "
    "film counted as often as it is shown.",
    hints=(
        "NumPy lines a vector up with the columns: `S - price * np.log2(likes)`. Then "
        "loop over the rows, and count how often each film is shown.",
        '`best = np.argsort(-scores, kind="stable")[:n]`, then keep those with '
        "`scores[best] > -np.inf`. The stable sort leaves equal ones in their order.",
        "For each person `u`: `hits += held[u, best].sum()` and `shown[best] += 1`. At "
        "the end coverage is `(shown > 0).mean()`, mean likes `likes @ shown / "
        "shown.sum()`.",
    ),
    cases=_shops,
    mistakes={
        "You showed films at −∞: people have seen them. Their lists are shorter.": (
            "        best = best[scores[best] > -np.inf]\n",
            "",
        ),
        "You added the price. It shall make liked films dearer: subtract it.": (
            "S - price",
            "S + price",
        ),
        "You subtracted price × likes. The price is for each doubling: log₂(likes).": (
            "np.log2(likes)",
            "likes",
        ),
        "You took the natural logarithm. It is log₂.": ("np.log2", "np.log"),
        "You changed S itself: the next price would start from there. Write "
        "`new = S - ...`, not `S -= ...`.": (
            "new = S - price * np.log2(likes)",
            "S -= price * np.log2(likes)\n    new = S",
        ),
        "You took the lowest scores: argsort goes upwards, so sort −scores.": (
            "argsort(-scores",
            "argsort(scores",
        ),
        "Of films with equal scores you took the one further right. Sort −scores with "
        'kind="stable".': (
            "argsort(-scores",
            "argsort(scores",
            "[:n]",
            "[::-1][:n]",
        ),
        "You ranked by the old scores. The price must change the lists.": (
            "enumerate(new)",
            "enumerate(S)",
        ),
        "You gave the number of hits. Divide it by the number of people.": (
            "hits / len(S)",
            "hits",
        ),
        "You gave the number of films shown. Coverage is their share of all films.": (
            "(shown > 0).mean()",
            "(shown > 0).sum()",
        ),
        "You divided by n for everybody. Some lists are shorter: divide by the films "
        "shown.": ("likes @ shown / shown.sum()", "likes @ shown / (n * len(S))"),
        "You counted all held-out films. A hit is one that is in the list.": (
            "held[u, best]",
            "held[u]",
        ),
        "You divided the hits by the films shown: that is precision. Divide by the "
        "number of people.": ("hits / len(S)", "hits / shown.sum()"),
        "You divided by the films shown. Coverage is the share of *all* films.": (
            "(shown > 0).mean()",
            "(shown > 0).sum() / shown.sum()",
        ),
        "You counted each film shown once. Take its likes as often as it is shown.": (
            "likes @ shown / shown.sum()",
            "likes[shown > 0].mean()",
        ),
    },
)
def trade(S, likes, held, price, n=10):
    """S: people × films, -inf where seen; held: the same shape, True for hits."""
    new = S - price * np.log2(likes)
    hits, shown = 0, np.zeros(len(likes))
    for u, scores in enumerate(new):
        best = np.argsort(-scores, kind="stable")[:n]
        best = best[scores[best] > -np.inf]
        hits += held[u, best].sum()
        shown[best] += 1
    return hits / len(S), (shown > 0).mean(), likes @ shown / shown.sum()
