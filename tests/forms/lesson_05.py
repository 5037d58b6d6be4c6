"""Lesson 05: the same answers, written in other ways."""

import numpy as np


def newcomer_bias__looped(stars, b_i, mu, damping):
    rest = [r - mu - b for r, b in zip(stars, b_i, strict=True)]
    return sum(rest) / (len(rest) + damping)


def newcomer_bias__with_imagined_ratings_of_a_weight(stars, b_i, mu, damping):
    rest = np.append(np.asarray(stars) - b_i, mu)
    weight = np.append(np.ones(len(stars)), damping)
    return float(np.average(rest, weights=weight) - mu)


def surely_good__a_table_with_holes(user, item, rating, n, beta):
    D = np.full((user.max() + 1, item.max() + 1), np.nan)
    D[user, item] = rating - np.mean(rating)
    b_u, n_i = np.zeros((len(D), 1)), np.isfinite(D).sum(axis=0)
    for _ in range(20):
        b_i = np.nansum(D - b_u, axis=0) / (beta + n_i)
        left = D - b_i
        n_u = np.isfinite(D).sum(axis=1, keepdims=True)
        b_u = np.nansum(left, axis=1, keepdims=True) / (beta + n_u)
    sigma = np.sqrt(np.nanmean(np.square(left - b_u)))
    bound = b_i - 1.64 * sigma * (n_i + beta) ** -0.5
    return bound.argsort()[::-1][:n]


def surely_good__in_plain_python(user, item, rating, n, beta):
    known = list(zip(user.tolist(), item.tolist(), rating.tolist(), strict=True))
    mu = sum(r for _, _, r in known) / len(known)
    people, films = {u: 0.0 for u, _, _ in known}, {i: 0.0 for _, i, _ in known}
    for _ in range(20):
        for i in films:
            left = [r - mu - people[u] for u, j, r in known if j == i]
            films[i] = sum(left) / (len(left) + beta)
        for u in people:
            left = [r - mu - films[i] for v, i, r in known if v == u]
            people[u] = sum(left) / (len(left) + beta)
    squares = [(r - mu - people[u] - films[i]) ** 2 for u, i, r in known]
    sigma = (sum(squares) / len(squares)) ** 0.5
    counts = {i: sum(j == i for _, j, _ in known) for i in films}
    bound = {i: films[i] - 1.64 * sigma / (counts[i] + beta) ** 0.5 for i in films}
    return sorted(films, key=bound.get, reverse=True)[:n]


def surely_good__all_equations_at_once(user, item, rating, n, beta):
    # Not 20 passes but their end: the order of the films is the same.
    X = np.hstack([np.eye(user.max() + 1)[user], np.eye(item.max() + 1)[item]])
    y = rating - rating.mean()
    b = np.linalg.solve(X.T @ X + beta * np.eye(X.shape[1]), X.T @ y)
    e = y - X @ b
    b_i, n_i = b[user.max() + 1 :], np.bincount(item)
    bound = b_i - 1.64 * np.sqrt(e @ e / len(e) / (n_i + beta))
    return np.argsort(-bound)[:n].tolist()
