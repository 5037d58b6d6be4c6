"""PS3, a sample key: from counts to a list, and how good the list is.

This key is public, and so are its solutions. A class draws variants and hidden cases
with a secret; for a real exam, change the tasks as well.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from mfcourse.grading.key import Written, task

Case = dict[str, Any]

TITLE = "PS3: implicit feedback, and using the factors"
INTRO = (
    "You turn plays into confidence, solve one person's row, meet a newcomer, make the "
    "list that is shown, and measure lists of many people. The tasks lean on lessons "
    "06 (implicit feedback) and 07 (reading the factors), and on NDCG from lesson 00. "
    "Conventions differ from the lessons on purpose, and from class to class: read "
    "each statement to its end. A film's code is its place, from 0 on."
)


# ---- 1. Confidence ---------------------------------------------------------------


def _plays(rng: np.random.Generator) -> Iterator[Case]:
    for shape in ((6,), (9,), (3, 5), (7, 4)):
        counts = rng.integers(0, 9, shape) + 0.0
        counts.flat[:3] = 0, 1, 7
        eps = rng.uniform(1.5, 4)
        yield {"counts": counts, "alpha": rng.uniform(0.3, 1.2), "eps": eps}


def _not_on_offer(rng: np.random.Generator) -> Iterator[Case]:
    for case in _plays(rng):
        case["counts"].flat[rng.integers(3, case["counts"].size)] = np.nan
        yield case


def _taken_back(rng: np.random.Generator) -> Iterator[Case]:
    for case in _not_on_offer(rng):
        case["counts"].flat[0] = -rng.integers(1, 4)
        yield case


@task(
    statement=r"""Ben played a film $r$ times. How sure are we of what he likes? Turn
counts into confidence,

$$[[form]]$$

with $\alpha > 0$ and a scale $\varepsilon > 0$. A count of 0 follows the formula,
too. A count below 0 (more plays were taken back than made) is to be read as 0. NaN
says that the film was not on offer: [[hole]]. Return an array of the shape of
`counts`, one row of films or a table. [[order]]""",
    groups={
        "plays": (1, _plays),
        "not on offer": (1, _not_on_offer),
        "taken back": (2, _taken_back),
    },
    variants={
        "form": {
            "linear": (r"c = 1 + \alpha\, \frac{r}{\varepsilon}",),
            "logarithm": (
                r"c = 1 + \alpha \ln\!\Big(1 + \frac{r}{\varepsilon}\Big)",
                "(r / eps)",
                "np.log1p(r / eps)",
            ),
            "root": (
                r"c = 1 + \alpha \sqrt{\frac{r}{\varepsilon}}",
                "(r / eps)",
                "np.sqrt(r / eps)",
            ),
        },
        "hole": {
            "none": ("it says nothing, and its confidence is 0",),
            "weak": ("its confidence is that of a count of 0", "0.0, c)", "1.0, c)"),
            "hole": ("its confidence is NaN as well", "0.0, c)", "np.nan, c)"),
        },
        "order": {
            "alpha": ("Mind the order: `alpha` stands before `eps`.",),
            "eps": (
                "Mind the order: `eps` stands before `alpha`.",
                "(counts, alpha, eps)",
                "(counts, eps, alpha)",
            ),
        },
    },
    mistakes={
        "You left out the 1: whoever never played a film says a weak no, of confidence "
        "1.": ("1 + alpha", "alpha"),
        "You multiplied by ε. Divide the count by it.": ("r / eps", "r * eps"),
        "You left out ε: divide the count by it first.": ("r / eps", "r"),
        "You took the linear form. Here confidence grows with the logarithm.": (
            "np.log1p(r / eps)",
            "(r / eps)",
        ),
        "You took the linear form. Here confidence grows with the square root.": (
            "np.sqrt(r / eps)",
            "(r / eps)",
        ),
        "You took another base. ln is the natural logarithm, np.log or np.log1p.": (
            "np.log1p(r / eps)",
            "np.log2(1 + r / eps)",
        ),
        "You counted a film once, however often it was played. Confidence grows with "
        "the count.": ("np.nan_to_num(counts)", "np.sign(np.nan_to_num(counts))"),
        "You took the size of a count below 0. Read it as 0.": (
            "np.maximum(np.nan_to_num(counts), 0)",
            "np.abs(np.nan_to_num(counts))",
        ),
        "You put counts below 0 into the formula. Read them as 0 first.": (
            "np.maximum(np.nan_to_num(counts), 0)",
            "np.nan_to_num(counts)",
        ),
        "A count of 0 has confidence 1 here, not 0: only the preference is 0.": (
            "    return np.where(np.isnan(counts), ",
            "    c = c * (r > 0)\n    return np.where(np.isnan(counts), ",
        ),
    },
)
def confidence(counts, alpha, eps):
    """counts: an array, NaN where not on offer; alpha, eps: numbers above 0."""
    r = np.maximum(np.nan_to_num(counts), 0)
    c = 1 + alpha * (r / eps)
    return np.where(np.isnan(counts), 0.0, c)


# ---- 2. One person's row -----------------------------------------------------------


def _solve(rng: np.random.Generator, k: int, n_seen: int, disliked: int = 0) -> Case:
    V = rng.normal(0, 0.8, (k + n_seen + 4, k))
    told = rng.uniform(1.3, 6, n_seen)
    told[:disliked] *= -1
    told, V_seen = rng.permutation(told), V[:n_seen].copy()
    gramian, reg = V.T @ V, rng.uniform(0.5, 2)
    return {"gramian": gramian, "V_seen": V_seen, "confidence": told, "reg": reg}


def _likes(rng: np.random.Generator) -> Iterator[Case]:
    for k, n_seen in ((2, 3), (3, 6), (4, 4), (5, 12)):
        yield _solve(rng, k, n_seen)


def _dislikes(rng: np.random.Generator) -> Iterator[Case]:
    for k, n_seen, disliked in ((2, 3, 1), (3, 5, 2), (4, 9, 4)):
        yield _solve(rng, k, n_seen, disliked)


def _few_films(rng: np.random.Generator) -> Iterator[Case]:
    for k, n_seen, disliked in ((2, 0, 0), (3, 1, 0), (1, 3, 0), (4, 2, 1)):
        yield _solve(rng, k, n_seen, disliked)


@task(
    statement=r"""Solve Ana's row $u$ of iALS, all films counted, from the seen ones:

$$(V^\top V + A^\top (C - I) A + \Lambda)\, u = A^\top C\, p$$

`gramian` is $V^\top V$ of all films; `V_seen` is $A$, V's rows of the seen ones; $C$
has their confidences $c$ on its diagonal. [[given]] Its **sign** is new: a minus
marks a film that Ana disliked, and is no part of the number. Preference $p$: 1 for a
liked film, 0 for a disliked one. [[penalty]] Who has seen nothing gets a row of zeros.
[[order]]""",
    groups={
        "all liked": (2, _likes),
        "some disliked": (2, _dislikes),
        "few films": (1, _few_films),
    },
    variants={
        "given": {
            "c": ("The size of a number in `confidence` is $c$ itself.",),
            "c - 1": (
                "The size of a number in `confidence` is $c - 1$, what the plays add.",
                "np.abs(confidence)",
                "1 + np.abs(confidence)",
            ),
        },
        "penalty": {
            "plain": (r"The penalty is plain: $\Lambda = \lambda I$, λ = `reg`.",),
            "per film": (
                "The penalty grows with her $n_u$ films: "
                r"$\Lambda = \lambda n_u I$, λ = `reg`.",
                "reg * np.eye",
                "reg * len(V_seen) * np.eye",
            ),
        },
        "order": {
            "gramian": ("Mind the order: `gramian` comes first.",),
            "V_seen": (
                "Mind the order: `V_seen` comes first, `gramian` second.",
                "(gramian, V_seen, ",
                "(V_seen, gramian, ",
            ),
        },
    },
    mistakes={
        "The Gramian holds each seen film once already. Add c − 1 times vvᵀ, not c "
        "times.": ("(c - 1)[:, None]", "c[:, None]"),
        "Your left side lacks the Gramian: films that were not seen count, too.": (
            "M = gramian + ",
            "M = ",
        ),
        "Your left side has no penalty.": ("M + reg *", "M + 0 * reg *"),
        "On the right side a liked film counts c times, not once.": ("(c * p)", "p"),
        "On the right side a liked film counts c times, not c − 1 times: the Gramian "
        "stands on the left only.": ("(c * p)", "((c - 1) * p)"),
        "You took disliked films for liked ones: their preference is 0.": (
            "confidence > 0",
            "confidence != 0",
        ),
        "You left the disliked films out. They belong on the left side, with their "
        "confidence.": ("(c - 1)[:, None]", "(p * (c - 1))[:, None]"),
        "You kept the minus sign of disliked films in c. It only marks them.": (
            "np.abs(confidence)",
            "confidence",
        ),
        "You added 1 to the confidence. It is c itself here.": (
            "c, p = np.abs",
            "c, p = 1 + np.abs",
        ),
        "You took the numbers for c. They are c − 1 here.": (
            "c, p = 1 + np.abs",
            "c, p = np.abs",
        ),
        "Your penalty grows with the number of seen films. Here λ is plain.": (
            "reg * np.eye",
            "reg * len(V_seen) * np.eye",
        ),
        "Your λ is plain. Here it counts once for each seen film.": (
            "reg * len(V_seen) * np.eye",
            "reg * np.eye",
        ),
    },
)
def ials_solve_user(gramian, V_seen, confidence, reg):
    """gramian: k × k; V_seen: films × k; confidence: a number a film; reg: a number."""
    c, p = np.abs(confidence), confidence > 0
    M = gramian + V_seen.T @ ((c - 1)[:, None] * V_seen)
    M = M + reg * np.eye(len(gramian))
    return np.linalg.solve(M, V_seen.T @ (c * p))


# ---- 3. A newcomer -------------------------------------------------------------------


def _told(
    rng: np.random.Generator, n: int, k: int, once: int, again: int, unknown: int = 0
) -> Case:
    """Films told once, films told two or three times, codes −1."""
    codes = rng.permutation(n)[: once + again]
    more = np.repeat(codes[:again], rng.integers(1, 3, again))
    items = rng.permutation([*codes, *more, *[-1] * unknown])
    V, alpha = rng.normal(0.2, 0.7, (n, k)), rng.uniform(1, 4)
    return {"V": V, "items": items, "alpha": alpha, "reg": rng.uniform(0.5, 2)}


def _once(rng: np.random.Generator) -> Iterator[Case]:
    for n, k, once in ((5, 2, 1), (8, 3, 3), (12, 4, 6)):
        yield _told(rng, n, k, once, 0)


def _again(rng: np.random.Generator) -> Iterator[Case]:
    for n, k, once, again in ((6, 2, 1, 1), (9, 3, 2, 3), (12, 4, 0, 4)):
        yield _told(rng, n, k, once, again)


def _unknown(rng: np.random.Generator) -> Iterator[Case]:
    yield _told(rng, 5, 2, 0, 0, 2)  # nothing that is known
    for n, k, once, again, unknown in ((7, 2, 2, 1, 1), (10, 3, 1, 2, 3)):
        yield _told(rng, n, k, once, again, unknown)


@task(
    statement=r"""A newcomer tells the codes of films that they chose, `items`. Hold
the films' factors `V`, and solve the newcomer's row as in lesson 06, *all* films
counted: preference 1 if told, else 0; confidence $1 + \alpha r$, with $r = 0$ if not
told; plain λ, `reg`. [[again]] Code −1 is a film that training lacks: drop it. The
score of film $i$ is $V_i \cdot u$. [[returns]] Who told nothing known has the row 0.
[[order]]""",
    groups={
        "told once": (1, _once),
        "told again": (2, _again),
        "unknown films": (1, _unknown),
    },
    variants={
        "returns": {
            "all": ("Return the scores of all films, in the order of `V`.",),
            "untold": (
                "Return the scores of the films that were *not* told, and no others, "
                "in the order of `V`.",
                "return scores",
                "return scores[r == 0]",
            ),
            "NaN": (
                "Return the scores of all films, in the order of `V`, with NaN for the "
                "films that were told.",
                "return scores",
                "return np.where(r > 0, np.nan, scores)",
            ),
        },
        "again": {
            "adds": ("A film told twice was chosen twice: $r = 2$, and so on.",),
            "once": (
                "A film told twice is still one film: $r = 1$.",
                "minlength=len(V))",
                "minlength=len(V)).clip(max=1)",
            ),
        },
        "order": {
            "V": ("Mind the order: `V` comes first.",),
            "items": (
                "Mind the order: `items` come first, `V` second.",
                "(V, items, ",
                "(items, V, ",
            ),
        },
    },
    mistakes={
        "V[-1] is the row of the last film. Drop code −1 before you look rows up.": (
            "items[items >= 0]",
            "items % len(V)",
        ),
        "A film told several times has r of 2 or more. You counted it once.": (
            "minlength=len(V))\n",
            "minlength=len(V)).clip(max=1)\n",
        ),
        "You counted a film again each time that it was told. Here r is 1.": (
            ".clip(max=1)",
            "",
        ),
        "The confidence is 1 + α r. You left out the 1.": ("1 + alpha", "alpha"),
        "The preference is 1, however often a film was told. You asked for a score "
        "equal to r.": (
            "minlength=len(V))\n",
            "minlength=len(V))\n",
            "alpha * r, r > 0",
            "alpha * r, r",
        ),
        "Your left side knows only the films that were told. All films belong in it, "
        "with confidence 1 at least.": ("c[:, None]", "(c * p)[:, None]"),
        "The Gramian holds the told films once already: what they add is α r, not "
        "1 + α r.": ("c[:, None]", "(c + p)[:, None]"),
        "On the right side a told film counts c times, not once.": ("(c * p)", "p"),
        "You left out λ: add reg to the diagonal.": ("reg * np", "0 * np"),
        "That is the newcomer's row. The scores of films are asked.": (
            "scores = V @ np.linalg",
            "return np.linalg",
        ),
        "Films that were told are NaN here, not −∞.": ("np.nan", "-np.inf"),
    },
)
def fold_in(V, items, alpha, reg):
    """V: films × k; items: an array of codes, −1 for unknown; alpha, reg: numbers."""
    r = np.bincount(items[items >= 0], minlength=len(V))
    c, p = 1 + alpha * r, r > 0
    M = V.T @ (c[:, None] * V) + reg * np.eye(V.shape[1])
    scores = V @ np.linalg.solve(M, V.T @ (c * p))
    return scores


# ---- 4. The list that is shown -------------------------------------------------------


def _list(rng: np.random.Generator, films: int, n: int, ties: bool) -> Case:
    """More than n films are left; with ties, the best and the n-th score are shared."""
    scores = np.sort(rng.uniform(-2, 4, films))[::-1]
    if ties:
        scores[1], scores[n] = scores[0], scores[n - 1]
    scores = rng.permutation(np.r_[scores, 5, 6, np.nan, np.nan])  # 5 and 6 were seen
    seen = rng.permutation(np.flatnonzero(scores > 4.5))
    return {"scores": scores, "seen": seen, "n": n}


def _no_ties(rng: np.random.Generator) -> Iterator[Case]:
    for films, n in ((4, 2), (6, 4), (9, 5)):
        yield _list(rng, films, n, ties=False)


def _ties(rng: np.random.Generator) -> Iterator[Case]:
    for films, n in ((4, 3), (6, 3), (10, 6)):
        yield _list(rng, films, n, ties=True)


def _few_left(rng: np.random.Generator) -> Iterator[Case]:
    for films, n, more in ((4, 2, 3), (5, 3, 4), (8, 4, 7)):
        yield _list(rng, films, n, ties=True) | {"n": films + more}
    yield _list(rng, 5, 2, ties=True) | {"n": 5}  # just enough


@task(
    statement="""Write the list that Ana is shown. `scores` has a number for each
film, NaN where the model knows none; `seen` holds the codes of films that she has
seen. Return the `n` best films that are neither seen nor NaN, best first, as a list
of pairs [[pair]]. Of equal scores the film with the [[tie]] code comes first, at
the cut as well. Where fewer than `n` are left, [[few]] (One film at least is always
left.) [[order]]""",
    groups={
        "no ties": (1, _no_ties),
        "ties": (1, _ties),
        "few left": (2, _few_left),
    },
    variants={
        "pair": {
            "code": ("`(code, score)`",),
            "score": (
                "`(score, code)`",
                "(i, float(scores[i]))",
                "(float(scores[i]), i)",
            ),
        },
        "tie": {
            "smaller": ("smaller",),
            "larger": ("larger", "(-scores[i], i)", "(-scores[i], -i)"),
        },
        "few": {
            "shorter": ("the list is shorter.",),
            "filled": (
                "fill the list up with pairs `(-1, -1)`: all lists are equally long.",
                "for i in left[:n]]",
                "for i in left[:n]] + [(-1, -1)] * (n - len(left))",
            ),
        },
        "order": {
            "scores": ("Mind the order: `scores` come first.",),
            "seen": (
                "Mind the order: `seen` comes first, `scores` second.",
                "(scores, seen, n)",
                "(seen, scores, n)",
            ),
        },
    },
    mistakes={
        "Your list holds films that Ana has seen.": ("i not in seen and ", ""),
        "You cut the seen films out of the scores, so places are no longer codes.": (
            "    left = [",
            "    scores, seen = np.delete(scores, seen), []\n    left = [",
        ),
        "Where few are left, your list goes on with seen films, at −∞.": (
            "    left = [",
            "    scores = scores.copy()\n    scores[seen] = -np.inf\n    left = [",
            "i not in seen and ",
            "",
        ),
        "Where few are left, your list goes on with films whose score is NaN.": (
            " and not np.isnan(scores[i])",
            "",
            "(-scores[i], ",
            "(np.nan_to_num(-scores[i], nan=np.inf), ",
        ),
        "You read NaN as 0. A film without a score is never shown.": (
            "    left = [",
            "    scores = np.nan_to_num(scores)\n    left = [",
        ),
        "The worst film comes first in your list.": ("(-scores[i]", "(scores[i]"),
        "Of equal scores you put the larger code first.": (
            "(-scores[i], i)",
            "(-scores[i], -i)",
        ),
        "Of equal scores you put the smaller code first.": (
            "(-scores[i], -i)",
            "(-scores[i], i)",
        ),
        "The code comes first in a pair, then the score.": (
            "(i, float(scores[i]))",
            "(float(scores[i]), i)",
        ),
        "The score comes first in a pair, then the code.": (
            "(float(scores[i]), i)",
            "(i, float(scores[i]))",
        ),
        "Your list may be shorter than n. Fill it up.": (
            " + [(-1, -1)] * (n - len(left))",
            "",
        ),
    },
)
def recommend_unseen(scores, seen, n):
    """scores: an array, NaN for unknown; seen: an array of codes; n: an integer."""
    left = [i for i in range(len(scores)) if i not in seen and not np.isnan(scores[i])]
    left.sort(key=lambda i: (-scores[i], i))
    return [(i, float(scores[i])) for i in left[:n]]


# ---- 5. How good lists are -----------------------------------------------------------


def _lists(
    rng: np.random.Generator, m: int, films: int, n: int, *,
    ties: bool, nothing: bool, few: bool = False,
) -> Case:  # fmt: skip
    """Ties: on top of all lists, never of the best film. Nothing: for the last one."""
    scores = rng.permuted(np.tile(np.arange(films) / 2, (m, 1)), axis=1)
    scores += rng.uniform(0, 0.3, (m, films))
    liked, seen = rng.integers(0, 4, (m, films)), rng.random((m, films)) < 0.3
    for u in range(m):
        if few:
            seen[u] = np.arange(films) >= rng.integers(3, n)  # how many are left
        seen[u, rng.permutation(films)] = [*[False] * 3, *seen[u, 3:]]
        a, b, c = rng.permutation(np.flatnonzero(~seen[u]))[:3]
        liked[u, [a, b, c]] = 3, 1, 0  # gains of all kinds
        if ties:
            scores[u, [b, c]] = films
        gone = np.flatnonzero(seen[u])
        liked[u, gone] = rng.integers(1, 4, len(gone))  # not to be found any more
        scores[u, gone] += rng.uniform(2, films, len(gone))
    if nothing:
        liked[-1, ~seen[-1]] = 0
    return {"scores": scores, "seen": seen, "liked": liked, "n": n}


def _distinct(rng: np.random.Generator) -> Iterator[Case]:
    for m, films, n in ((1, 6, 2), (3, 8, 3), (5, 12, 5)):
        yield _lists(rng, m, films, n, ties=False, nothing=False)


def _tied(rng: np.random.Generator) -> Iterator[Case]:
    for m, films, n in ((1, 6, 1), (2, 8, 3), (4, 10, 4)):
        yield _lists(rng, m, films, n, ties=True, nothing=False)


def _nothing(rng: np.random.Generator) -> Iterator[Case]:
    for m, films, n in ((2, 6, 1), (3, 9, 3), (6, 12, 4)):
        yield _lists(rng, m, films, n, ties=True, nothing=True)


def _short(rng: np.random.Generator) -> Iterator[Case]:
    for m, films, n in ((2, 5, 4), (3, 7, 6), (5, 9, 12), (12, 14, 9), (20, 16, 12)):
        yield _lists(rng, m, films, n, ties=True, nothing=True, few=True)


@task(
    statement=r"""Measure lists by NDCG@n with graded likes. Three tables, people ×
films: `scores`, `seen`, and `liked`, 0 to 3 (how much the person liked a film
later). Each person's list is the `n` best-scored films that are *not seen*, or as
many as are left; of equal scores the film with the [[tie]] code comes first. Place
$j = 1, 2, \dots$ adds $g / \log_2(j + 1)$, with the gain [[gain]] of a film of
liking $r$. Divide by the largest sum that `n` of the person's unseen films could
give. Return the mean over people. Who likes no unseen film [[nothing]]; there is
always somebody who does.""",
    groups={
        "distinct scores": (1, _distinct),
        "ties": (2, _tied),
        "nothing to find": (2, _nothing),
        "few left": (1, _short),
    },
    variants={
        "gain": {
            "power": ("$g = 2^r - 1$",),
            "linear": ("$g = r$", "2.0**r - 1", "1.0 * r"),
        },
        "tie": {
            "smaller": ("smaller",),
            "larger": ("larger", "lexsort((left,", "lexsort((-left,"),
        },
        "nothing": {
            "out": ("is left out of the mean",),
            "0": ("counts as 0", "else np.nan)", "else 0.0)"),
            "1": ("counts as 1, since no list could do better", "np.nan)", "1.0)"),
        },
    },
    mistakes={
        "Your lists hold films that were seen.": (
            "np.flatnonzero(~out)",
            "np.arange(len(s))",
        ),
        "A film that was seen stands in your best possible list.": (
            "np.sort(gain[left])",
            "np.sort(gain)",
        ),
        "Your best possible list holds all films. It is cut after n, as the other "
        "is.": ("[::-1][:n]", "[::-1]"),
        "Your lists are not cut after n.": ("-s[left]))][:n]", "-s[left]))]"),
        "You counted all places alike. Divide by log2 of the place + 1.": (
            "1 / np.log2(np.arange(2, len(s) + 2))",
            "np.ones(len(s))",
        ),
        "You divided by the place, not by log2 of the place + 1.": (
            "np.log2(np.arange(2, len(s) + 2))",
            "np.arange(1.0, len(s) + 1)",
        ),
        "You divided by log2(j), and place 1 by 1, as the first paper did. Here place "
        "j is divided by log2(j + 1).": (
            "np.arange(2, len(s) + 2)",
            "np.maximum(np.arange(1, len(s) + 1), 2)",
        ),
        "You did not divide by the best possible sum.": (
            "sums[0] / sums[1]",
            "sums[0]",
        ),
        "You asked only whether a film was liked. How much it was liked counts.": (
            "        left = np",
            "        gain = 1.0 * (gain > 0)\n        left = np",
        ),
        "Your gain is r. Here it is 2^r − 1.": ("2.0**r - 1", "1.0 * r"),
        "Your gain is 2^r − 1. Here it is r.": ("1.0 * r", "2.0**r - 1"),
        "You took the lowest scores first.": ("-s[left]", "s[left]"),
        "You counted somebody who has nothing to find as 0.": (
            "else np.nan)",
            "else 0.0)",
        ),
        "You left out people who have nothing to find. They count as 0.": (
            "else 0.0)",
            "else np.nan)",
        ),
        "You left out people who have nothing to find. They count as 1.": (
            "else 1.0)",
            "else np.nan)",
        ),
    },
)
def ndcg_at_n(scores, seen, liked, n):
    """scores, liked: people × films; seen: the same shape, True or False."""
    found = []
    for s, out, r in zip(scores, seen, liked, strict=True):
        gain, weight = 2.0**r - 1, 1 / np.log2(np.arange(2, len(s) + 2))
        left = np.flatnonzero(~out)
        listed = gain[left[np.lexsort((left, -s[left]))][:n]]
        best = np.sort(gain[left])[::-1][:n]
        sums = [row @ weight[: len(row)] for row in (listed, best)]
        found.append(sums[0] / sums[1] if sums[1] > 0 else np.nan)
    return np.nanmean(found)


# ---- 6. Marked by hand ---------------------------------------------------------------

# A point each: the held-out plays come from what was shown, so popularity is paid for
# its own past; an empty cell may mean "never shown", so a good film that nobody was
# offered counts as a miss; the interval holds 0, so these plays do not tell the two
# apart, and it knows nothing of that bias; a measurement that would tell (an
# experiment, random slots, plays that began elsewhere; coverage alone would not).
WRITTEN = (
    Written(
        name="why_not_so_fast",
        points=4,
        question="""For a year your front page has shown everybody the ten most popular
films. On last month's plays, held out, popularity has NDCG@10 0.121 and your iALS
0.117; the interval of iALS's paired difference is −0.009 to 0.001. A colleague
concludes: *people do not want personal lists; drop iALS.* Does this follow? Argue in
80 to 150 words. Say where the held-out plays come from, what an empty cell stands for,
what the interval tells and what it cannot, and which one measurement you would ask for
before you decide. A definition alone earns nothing: each sentence should bear on the
colleague's conclusion.""",
    ),
)
