"""PS3: the same answers, written in other ways, all for variants that no class gets."""

import math

import numpy as np


def confidence__looped(counts, alpha, eps):
    flat = []
    for r in np.ravel(counts):
        if math.isnan(r):
            flat.append(0)
        elif r <= 0:
            flat.append(1)
        else:
            flat.append(1 + alpha * r / eps)
    return np.array(flat).reshape(counts.shape)


def confidence__masked(counts, eps, alpha):
    out = np.ones(counts.shape)
    up = counts > 0
    out[up] += alpha * np.sqrt(counts[up]) / math.sqrt(eps)
    out[np.isnan(counts)] = np.nan
    return out


def confidence__of_clipped(counts, eps, alpha):
    return 1 + alpha * (np.clip(counts, 0, None) / eps) ** 0.5  # NaN stays NaN


def ials_solve_user__looped(gramian, V_seen, confidence, reg):
    k = gramian.shape[0]
    M, b = gramian.copy(), np.zeros(k)
    for v, c in zip(V_seen, confidence, strict=True):
        M += (abs(c) - 1) * np.outer(v, v)
        if c > 0:
            b += c * v
    for f in range(k):
        M[f, f] += reg
    return list(np.linalg.inv(M) @ b)


def ials_solve_user__least_squares(V_seen, gramian, confidence, reg):
    if not len(V_seen):
        return [0.0] * len(gramian)
    root = np.linalg.cholesky(gramian + reg * len(confidence) * np.eye(len(gramian)))
    extra = np.abs(confidence)
    wanted = np.where(confidence > 0, (1 + extra) / np.sqrt(extra), 0)
    A = np.vstack([root.T, np.sqrt(extra)[:, None] * V_seen])
    b = np.concatenate([np.zeros(len(gramian)), wanted])
    return np.linalg.lstsq(A, b, rcond=None)[0]


def fold_in__counted_by_hand(V, items, alpha, reg):
    n, k = V.shape
    count = [0] * n
    for i in items:
        if i != -1:
            count[i] += 1
    M, b = reg * np.eye(k), np.zeros(k)
    for v, r in zip(V, count, strict=True):
        M += (1 + alpha * r) * np.outer(v, v)
        b += (1 + alpha * r) * (r > 0) * v
    return [float(v @ np.linalg.solve(M, b)) for v in V]


def fold_in__by_the_gramian(items, V, alpha, reg):
    told = np.unique(items[items != -1])
    A = V[told]
    M = V.T @ V + alpha * A.T @ A + reg * np.identity(len(V[0]))
    row = np.linalg.inv(M) @ A.sum(axis=0) * (1 + alpha)
    scores = V @ row
    scores[told] = np.nan
    return scores


def fold_in__from_the_told(V, items, alpha, reg):
    told, r = np.unique(items[items >= 0], return_counts=True)
    A, extra = V[told], alpha * r
    M = V.T @ V + A.T @ np.diag(extra) @ A + np.diag([reg] * V.shape[1])
    return V @ np.linalg.solve(M, A.T @ (1 + extra))


def recommend_unseen__sorted_down(scores, seen, n):
    own = scores.copy()
    own[seen] = np.nan
    order = np.argsort(-own, kind="stable")[: min(n, np.sum(~np.isnan(own)))]
    return [(int(i), own[i]) for i in order]


def recommend_unseen__one_at_a_time(seen, scores, n):
    left = {i: s for i, s in enumerate(scores) if s == s}  # NaN is not itself
    for i in seen:
        left.pop(int(i), None)
    rows = np.full((n, 2), -1.0)
    for place in range(min(n, len(left))):
        best = max(left, key=lambda i: (left[i], i))
        rows[place] = left.pop(best), best
    return rows


def ndcg_at_n__looped(scores, seen, liked, n):
    total, people = 0.0, 0
    for u in range(len(scores)):
        films = [i for i in range(len(scores[u])) if not seen[u][i]]
        films.sort(key=lambda i: scores[u][i], reverse=True)
        gain = [2 ** int(liked[u][i]) - 1 for i in films]
        if any(gain):
            dcg = sum(g / math.log2(j + 2) for j, g in enumerate(gain[:n]))
            gain.sort(reverse=True)
            best = sum(g / math.log2(j + 2) for j, g in enumerate(gain[:n]))
            total, people = total + dcg / best, people + 1
    return total / people


def ndcg_at_n__all_people_at_once(scores, seen, liked, n):
    gain = np.where(seen, 0, liked).astype(float)
    flipped = np.where(seen, -np.inf, scores)[:, ::-1]  # the larger code comes first
    order = np.argsort(-flipped, axis=1, kind="stable")[:, :n]
    weight = 1 / np.log2(np.arange(2, 2 + order.shape[1]))
    dcg = np.take_along_axis(gain[:, ::-1], order, axis=1) @ weight
    best = -np.sort(-gain, axis=1)[:, :n] @ weight
    return np.mean(np.divide(dcg, best, out=np.ones(len(dcg)), where=best > 0))


CHOSEN = {
    "confidence__looped": {"form": "linear", "hole": "none", "order": "alpha"},
    "confidence__masked": {"form": "root", "hole": "hole", "order": "eps"},
    "confidence__of_clipped": {"form": "root", "hole": "hole", "order": "eps"},
    "ials_solve_user__looped": {"given": "c", "penalty": "plain", "order": "gramian"},
    "ials_solve_user__least_squares": {
        "given": "c - 1",
        "penalty": "per film",
        "order": "V_seen",
    },
    "fold_in__counted_by_hand": {"returns": "all", "again": "adds", "order": "V"},
    "fold_in__by_the_gramian": {"returns": "NaN", "again": "once", "order": "items"},
    "fold_in__from_the_told": {"returns": "all", "again": "adds", "order": "V"},
    "recommend_unseen__sorted_down": {
        "pair": "code",
        "tie": "smaller",
        "few": "shorter",
        "order": "scores",
    },
    "recommend_unseen__one_at_a_time": {
        "pair": "score",
        "tie": "larger",
        "few": "filled",
        "order": "seen",
    },
    "ndcg_at_n__looped": {"gain": "power", "tie": "smaller", "nothing": "out"},
    "ndcg_at_n__all_people_at_once": {
        "gain": "linear",
        "tie": "larger",
        "nothing": "1",
    },
}
