"""Lesson 00: the same answers, written in other ways."""

import math

import numpy as np


def masked_mae__looped(R, prediction):
    total, n = 0.0, 0
    for stars, guesses in zip(R.tolist(), prediction.tolist(), strict=True):
        for r, p in zip(stars, guesses, strict=True):
            if not math.isnan(r):
                total += abs(r - p)
                n += 1
    return total / n


def masked_mae__nan_of_the_difference(R, prediction):
    return np.nanmean(abs(R - prediction))


def masked_mae__weighed_by_the_mask(R, prediction):
    M = np.isfinite(R)
    error = np.where(M, R - prediction, 0)
    return np.average(np.absolute(error), weights=M)


def precision_and_recall__a_user_at_a_time(score, seen, liked, n):
    precision, recall = [], []
    for u in range(len(score)):
        if not any(liked[u]):
            continue
        fresh = [i for i in range(len(score[u])) if not seen[u, i]]
        best = sorted(fresh, key=lambda i: score[u, i], reverse=True)[:n]
        hits = sum(bool(liked[u, i]) for i in best)
        precision.append(hits / n)
        recall.append(hits / sum(liked[u].tolist()))
    return [sum(precision) / len(precision), sum(recall) / len(recall)]


def precision_and_recall__by_ranks(score, seen, liked, n):
    score, liked = np.array(score), liked[:]
    score[seen] = score.min() - 1
    rank = (-score).argsort(axis=1).argsort(axis=1)
    found = (liked & (rank < n)).sum(1)[liked.any(1)]
    return found.mean() / n, np.mean(found / liked.sum(1)[liked.any(1)])


def precision_and_recall__by_the_nth_score(score, seen, liked, n):
    fresh = np.ma.array(score, mask=seen).filled(-np.inf)
    least = np.partition(fresh, -n, axis=1)[:, [-n]]
    hits = np.einsum("ui,ui->u", fresh >= least, liked, dtype=int)
    some = np.flatnonzero(liked.sum(axis=1))
    shares = [hits[some] / n, hits[some] / np.count_nonzero(liked[some], axis=1)]
    return np.mean(shares, axis=1)
