"""Lesson 06: the objective of all cells from the seen ones, and lists for strangers."""

from collections.abc import Iterator

import numpy as np

from mfcourse.exercises.exercise import Arguments, exercise


def _seen_cells(rng: np.random.Generator) -> Iterator[Arguments]:
    some, none = np.array([0, 0]), np.array([], dtype=int)
    yield some, np.array([0, 1]), np.array([3, 1]), np.eye(2), np.eye(2), 2.0, 1.0
    yield none, none, none, np.ones((2, 1)), np.full((2, 1), 0.5), 1.0, 0.5
    for m, n, k in ((3, 3, 1), (4, 5, 2), (6, 4, 3), (9, 7, 2), (12, 20, 4)):
        user, item = np.nonzero(rng.random((m, n)) < 0.4)
        order = rng.permutation(len(user))  # the cells come as they happened
        count = rng.integers(1, 6, len(user))
        U, V = rng.normal(0, 0.7, (m, k)), rng.normal(0, 0.7, (n, k))
        alpha, reg = rng.uniform(0.5, 4), rng.uniform(0.1, 3)
        yield user[order], item[order], count, U, V, alpha, reg


@exercise(
    "06",
    1,
    statement="Compute the objective of iALS, over *all* cells, without visiting the "
    "empty ones. The seen cells stand in three arrays, each cell once: person "
    "`user[s]` played film `item[s]` `count[s]` times. (The check cannot see how you "
    "did it. But for a million people and a million films, `U @ V.T` takes eight "
    "terabytes.)",
    hints=(
        "Pretend that all cells are empty: each gives $1 \\cdot (0 - U_u \\cdot "
        "V_i)^2$. The sum of these is that of all numbers in `(U.T @ U) * (V.T @ V)`: "
        "try it on small matrices.",
        "Then correct the seen cells. With $s = U_u \\cdot V_i$, the pretence counted "
        "$s^2$; it should be $c\\,(1 - s)^2$, where $c = 1 + \\alpha r$.",
        "All s of seen cells at once: `s = (U[user] * V[item]).sum(axis=1)`. Add the "
        "sum of `(1 + alpha * count) * (1 - s) ** 2 - s**2`, and the penalty.",
    ),
    cases=_seen_cells,
    mistakes={
        "You summed over the seen cells only. The empty ones count, too, each with "
        "confidence 1.": ("empty + ", "", " - s**2", ""),
        "A seen cell is also in your sum of all cells, as if it were empty: take its "
        "s² off again.": (" - s**2", ""),
        "The confidence is 1 + α r. You left out the 1.": (
            "(1 + alpha * count)",
            "alpha * count",
        ),
        "You asked for a score equal to the count. The preference is 1, however often "
        "it was played; the count only goes into the confidence.": (
            "(1 - s)",
            "(count - s)",
        ),
        "You squared the confidence as well: it stands before the square.": (
            "(1 + alpha * count) * (1 - s) ** 2",
            "((1 + alpha * count) * (1 - s)) ** 2",
        ),
        "You multiplied the two Gramians as matrices, with @. Multiply them number by "
        "number, with *, then sum.": ("(U.T @ U) * (V.T @ V)", "(U.T @ U) @ (V.T @ V)"),
        "You left out λ: the penalty is reg times the sum of squares.": (
            "reg * ((U**2)",
            "((U**2)",
        ),
        "Your sum has no penalty: add λ times the squares of U and V.": (
            " + reg * ((U**2).sum() + (V**2).sum())",
            "",
        ),
        "You took c s² off. The sum of all cells counted a seen one with confidence 1: "
        "take s² off.": (
            "- s**2",
            "- (1 + alpha * count) * s**2",
        ),
        "You penalised a row once for each of its events. Here λ counts each row of U "
        "and V once.": (
            "((U**2).sum() + (V**2).sum())",
            "((U[user] ** 2).sum() + (V[item] ** 2).sum())",
        ),
        "Your penalty has people only. The rows of V are penalised, too.": (
            "((U**2).sum() + (V**2).sum())",
            "(U**2).sum()",
        ),
        "Your matrix is items × users. U has a row a person and V a row a film: "
        "`U[user]`, `V[item]`.": ("U[user] * V[item]", "U[item] * V[user]"),
    },
)
def quick_objective(user, item, count, U, V, alpha, reg):
    """user, item, count: arrays, an entry a seen cell; U: (m, k); V: (n, k)."""
    empty = ((U.T @ U) * (V.T @ V)).sum()  # all cells, as if nothing had happened
    s = (U[user] * V[item]).sum(axis=1)
    seen = (1 + alpha * count) * (1 - s) ** 2 - s**2
    return empty + seen.sum() + reg * ((U**2).sum() + (V**2).sum())


def _strangers(rng: np.random.Generator) -> Iterator[Arguments]:
    V = np.array([[1, 0], [0.9, 0.1], [0.5, 0.6], [0.1, 1], [0, 0.7]])
    yield V, [np.array([0])], [np.array([1, 3])], 2.0, 1.0, 2
    yield V, [np.array([3, -1])], [np.array([2, -1, 0])], 1.0, 0.5, 1
    for n, k, m, length in (
        (8, 2, 2, 2),
        (14, 4, 6, 4),
        (25, 6, 9, 10),
        (60, 9, 20, 8),
    ):
        for reg in (0.3, 20.0):
            V = rng.normal(0.3, 0.8, (n, k))
            films = [rng.permutation(n)[: rng.integers(4, n)] for _ in range(m)]
            cut = [int(rng.integers(1, len(row) - 1)) for row in films]
            known = [row[:at] for row, at in zip(films, cut, strict=True)]
            hidden = [row[at:] for row, at in zip(films, cut, strict=True)]
            for u in range(1, m, 2):  # films that training lacks
                known[u], hidden[u] = np.append(known[u], -1), np.append(hidden[u], -1)
            yield V, known, hidden, rng.uniform(0.4, 1.5), reg, length


@exercise(
    "06",
    2,
    statement="*Strong generalization*: whole people were held out of training. Told "
    "the films that they chose (`known`), find those that they chose, too (`hidden`). "
    "For each person, solve a row from the Gramian of `V`, each known film having "
    "confidence $1 + \\alpha$; rank the films that are not known; and take recall@n, "
    "the share of the hidden films that are among the first `n`. Return the mean over "
    "people. A film that training lacks has code −1: drop it from `known`; in `hidden` "
    "it is a miss. Everybody has a known film that training has, and a hidden one.",
    hints=(
        "What all people share, once: `left = V.T @ V + reg * np.eye(V.shape[1])`. "
        "Then loop over `zip(known, hidden)`.",
        "With `A = V[seen]`, a person's left side is `left + alpha * A.T @ A`, the "
        "right side `(1 + alpha) * A.sum(axis=0)`. (Here the factor 1 + α only scales "
        "the row; no rank changes.) Which codes may be in `seen`?",
        "Set the scores of the known films to `-np.inf`, sort from the best down with "
        "`np.argsort(-scores)[:n]`, and ask `np.isin` which hidden codes are there.",
    ),
    cases=_strangers,
    mistakes={
        "You scored the training items: set the scores of known films to -inf before "
        "you rank.": ("        scores[seen] = -np.inf\n", ""),
        "A film of code −1 has no row, but V[-1] is the row of the last film: drop −1 "
        "from the known films first.": ("told[told >= 0]", "told"),
        "You set scores[-1] to -inf for a known film of code −1: that strikes the last "
        "film out. Drop −1 there, too.": ("scores[seen]", "scores[told]"),
        "You left the hidden films of code −1 out. They are misses: divide by all "
        "hidden films.": (
            "np.isin(wanted, best).mean()",
            "np.isin(wanted[wanted >= 0], best).mean()",
        ),
        "You divided by n: that is precision. Recall divides by the number of hidden "
        "films.": (".mean())", ".sum() / n)"),
        "You divided by n where more are hidden, as some papers do. Here recall "
        "divides by all hidden films.": (".mean())", ".sum() / min(n, len(wanted)))"),
        "You asked whether there is a hit. Recall is the share of the hidden films.": (
            ".mean())",
            ".any())",
        ),
        "You cut the known films out of the scores, so places are no longer codes. "
        "Leave them in, at -inf.": (
            "        scores[seen] = -np.inf\n",
            "        scores = np.delete(scores, seen)\n",
        ),
        "You pooled the hidden films of all people. Take the recall of each person, "
        "then the mean over people.": (
            "recalls.append(np.isin(wanted, best).mean())",
            "recalls += list(np.isin(wanted, best))",
        ),
        "You left out λ: add reg to the diagonal of the left side.": (
            " + reg * np.eye(V.shape[1])",
            "",
        ),
        "Your left side knows only the person's own films. All films belong in it, "
        "with confidence 1: the Gramian.": ("V.T @ V + ", ""),
        "You solved with the Gramian alone. Add α AᵀA for the person's own films.": (
            "left + alpha * A.T @ A",
            "left",
        ),
        "The Gramian holds the known films once already: what they add is α AᵀA, not "
        "(1 + α) AᵀA.": ("alpha * A.T @ A", "(1 + alpha) * A.T @ A"),
        "Your left side keeps the films of the people before. Start each person anew: "
        "`left + ...`, not `left += ...`.": (
            "row = np.linalg.solve(left + alpha * A.T @ A, ",
            "left += alpha * A.T @ A\n        row = np.linalg.solve(left, ",
        ),
        "Your lists have ten films, whatever n is.": ("[:n]", "[:10]"),
        "You took the lowest scores: argsort goes upwards, so sort −scores.": (
            "argsort(-scores",
            "argsort(scores",
        ),
    },
)
def strangers_recall(V, known, hidden, alpha, reg, n=10):
    """V: films × k; known, hidden: lists of arrays of film codes, one a person."""
    left = V.T @ V + reg * np.eye(V.shape[1])  # the same for everybody
    recalls = []
    for told, wanted in zip(known, hidden, strict=True):
        seen = told[told >= 0]
        A = V[seen]
        row = np.linalg.solve(left + alpha * A.T @ A, (1 + alpha) * A.sum(axis=0))
        scores = V @ row
        scores[seen] = -np.inf
        best = np.argsort(-scores, kind="stable")[:n]
        recalls.append(np.isin(wanted, best).mean())
    return np.mean(recalls)
