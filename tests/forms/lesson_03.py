"""Lesson 03: the same answers, written in other ways."""

import math

import numpy as np


def step_with_biases__in_plain_python(mu, b_u, b_i, U, V, u, i, r, lr, reg):
    factors = range(len(U[u]))
    product = sum(float(U[u, f]) * float(V[i, f]) for f in factors)
    e = r - mu - b_u[u] - b_i[i] - product
    for f in factors:
        a, b = float(U[u, f]), float(V[i, f])
        U[u, f] = a + lr * (e * b - reg * a)
        V[i, f] = b + lr * (e * a - reg * b)
    b_u[u] = (1 - lr * reg) * b_u[u] + lr * e
    b_i[i] = (1 - lr * reg) * b_i[i] + lr * e


def step_with_biases__bias_is_a_factor(mu, b_u, b_i, U, V, u, i, r, lr, reg):
    row, column = np.r_[b_u[u], 1, U[u]], np.r_[1, b_i[i], V[i]]
    e = r - mu - row @ column
    row, column = (
        row + lr * (e * column - reg * row),
        column + lr * (e * row - reg * column),
    )
    b_u[u], U[u] = row[0], row[2:]
    b_i[i], V[i] = column[1], column[2:]


def step(U, V, u, i, r, lr, reg):
    e = r - U[u] @ V[i]
    U[u], V[i] = (
        U[u] + lr * (e * V[i] - reg * U[u]),
        V[i] + lr * (e * U[u] - reg * V[i]),
    )


def one_epoch(triples, U, V, lr, reg, step=step):
    for u, i, r in triples:
        step(U, V, u, i, r, lr, reg)


def fit_until_worse__as_the_lesson(
    train, validation, U, V, lr, reg, patience=3, n_epochs=100
):
    U, V = np.array(U), np.array(V)
    u, i, r = map(np.array, zip(*validation, strict=True))
    history, kept = [], []
    while len(history) < n_epochs:
        one_epoch(train, U, V, lr, reg)
        history.append(np.mean((r - (U[u] * V[i]).sum(axis=1)) ** 2))
        kept.append((U.copy(), V.copy()))
        best = int(np.argmin(history))  # the first of the smallest
        if len(history) - (best + 1) >= patience:
            break
    return best + 1, *kept[best]


def fit_until_worse__in_plain_python(
    train, validation, U, V, lr, reg, patience=3, n_epochs=100
):
    U, V = np.asarray(U).tolist(), np.asarray(V).tolist()

    def error_of(u, i, r):
        return r - sum(a * b for a, b in zip(U[u], V[i], strict=True))

    answer, least, waited, epoch = None, math.inf, 0, 0
    while waited < patience and epoch < n_epochs:
        epoch += 1
        for u, i, r in train:
            e = error_of(u, i, r)
            pairs = list(zip(U[u], V[i], strict=True))
            U[u] = [a + lr * (e * b - reg * a) for a, b in pairs]
            V[i] = [b + lr * (e * a - reg * b) for a, b in pairs]
        squares = sum(error_of(*triple) ** 2 for triple in validation)
        if squares < least:
            answer = [epoch, [list(row) for row in U], [list(row) for row in V]]
            least, waited = squares, 0
        else:
            waited += 1
    return answer
