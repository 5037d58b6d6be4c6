"""Lesson 08: the same answers, written in other ways."""

import numpy as np


def rows_sent__as_a_set(user, item, home_of_user, home_of_item):
    asked = {(home_of_user[u], i) for u, i in zip(user, item, strict=True)}
    return len([1 for worker, i in asked if home_of_item[i] != worker])


def rows_sent__a_worker_at_a_time(user, item, home_of_user, home_of_item):
    total = 0
    for worker in range(home_of_user.max() + 1):
        films = np.unique(item[home_of_user[user] == worker])
        total += int(np.sum(home_of_item[films] != worker))
    return float(total)


def rows_sent__as_a_table(user, item, home_of_user, home_of_item):
    size = max(home_of_user.max(), home_of_item.max()) + 1
    needed = np.zeros((size, len(home_of_item)), dtype=bool)
    needed[home_of_user[user], item] = True
    needed[home_of_item, np.arange(len(home_of_item))] = False
    return needed.sum()


def search_cells__in_plain_python(V, centers, cell, x, probe, n=10):
    def score(row):
        return float(np.dot(row, x))

    opened = sorted(range(len(centers)), key=lambda c: -score(centers[c]))[:probe]
    films = [i for i in range(len(V)) if cell[i] in opened]
    return sorted(films, key=lambda i: -score(V[i]))[:n]


def search_cells__with_scores_of_minus_infinity(V, centers, cell, x, probe, n=10):
    opened = np.argsort(-(centers @ x), kind="stable")[:probe]
    hidden = ~(cell[:, None] == opened).any(axis=1)
    scores = np.where(hidden, -np.inf, V @ x)
    return np.lexsort((np.arange(len(V)), -scores))[: min(n, (~hidden).sum())]
