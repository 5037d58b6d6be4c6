"""Lesson 07: the same answers, written in other ways."""

import math

import numpy as np


def system(V, seen, alpha, reg):
    A = V[seen]
    M = V.T @ V + alpha * A.T @ A + reg * np.eye(V.shape[1])
    return M, (1 + alpha) * A


def fold_in(V, seen, alpha=5.0, reg=30.0):
    M, terms = system(V, seen, alpha, reg)
    return np.linalg.solve(M, terms.sum(axis=0))


def taken_back__as_the_lesson(V, seen, j, i, alpha, reg):
    rest = np.delete(seen, j)
    return V[i] @ fold_in(V, seen, alpha, reg) - V[i] @ fold_in(V, rest, alpha, reg)


def taken_back__with_confidences_of_all_films(V, seen, j, i, alpha, reg):
    scores = []
    for films in (list(seen), [film for at, film in enumerate(seen) if at != j]):
        p = np.isin(np.arange(len(V)), films)
        c = 1 + alpha * p
        left = np.einsum("i,ia,ib->ab", c, V, V)
        left[np.diag_indices(len(left))] += reg
        scores.append(V[i] @ np.linalg.inv(left) @ V.T @ (c * p))
    return float(scores[0] - scores[1])


def taken_back__by_an_update_of_rank_one(V, seen, j, i, alpha, reg):
    M, terms = system(V, seen, alpha, reg)
    v, x = V[seen[j]], np.linalg.solve(M, V[i])
    y = np.linalg.solve(M, v)
    # Sherman and Morrison: what M⁻¹V_i is once M has lost α v vᵀ
    without = x + alpha * (v @ x) / (1 - alpha * (v @ y)) * y
    total = terms.sum(axis=0)
    return x @ total - without @ (total - terms[j])


def trade__all_people_at_once(S, likes, held, price, n=10):
    new = S - price * np.log2(likes)[None, :]
    lists = np.argsort(-new, axis=1, kind="stable")[:, :n]
    real = np.isfinite(np.take_along_axis(new, lists, axis=1))
    hits = (np.take_along_axis(held, lists, axis=1) & real).sum(axis=1)
    films = lists[real]
    return hits.mean(), np.unique(films).size / S.shape[1], likes[films].mean()


def trade__in_plain_python(S, likes, held, price, n=10):
    hits, slots = [], []
    for row, wanted in zip(S.tolist(), held.tolist(), strict=True):
        new = [s - price * math.log2(x) for s, x in zip(row, likes, strict=True)]
        films = [i for i in range(len(new)) if new[i] != -math.inf]
        best = sorted(films, key=lambda i: -new[i])[:n]  # sorted is stable
        hits.append(sum(wanted[i] for i in best))
        slots += best
    shown = sum(int(likes[i]) for i in slots)
    return [sum(hits) / len(hits), len(set(slots)) / len(likes), shown / len(slots)]
