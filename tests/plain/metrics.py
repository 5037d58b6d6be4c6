"""The ranking metrics as their definitions say them: one user, one loop, no NumPy.

``ranked`` is a list of items, best first, at most ``n`` of them; ``relevant`` is the
set of items there were to find.
"""

from math import log2


def precision(ranked, relevant, n):
    return sum(item in relevant for item in ranked) / n


def recall(ranked, relevant, n, denominator="all"):
    found = sum(item in relevant for item in ranked)
    return found / {"all": len(relevant), "min": min(n, len(relevant))}[denominator]


def average_precision(ranked, relevant, n):
    total = 0.0
    for rank in range(1, len(ranked) + 1):
        if ranked[rank - 1] in relevant:
            total += precision(ranked[:rank], relevant, rank)
    return total / min(n, len(relevant))


def reciprocal_rank(ranked, relevant, n):
    for rank, item in enumerate(ranked, start=1):
        if item in relevant:
            return 1 / rank
    return 0.0


def ndcg(ranked, relevant, n):
    def gain(items):
        return sum(
            1 / log2(rank + 1)
            for rank, item in enumerate(items, start=1)
            if item in relevant
        )

    return gain(ranked) / gain(list(relevant)[:n])
