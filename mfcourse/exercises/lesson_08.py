"""Lesson 08: what a cluster sends in a half-step, and lists without all scores."""

from collections.abc import Iterator

import numpy as np

from mfcourse.exercises.exercise import Arguments, exercise


def _clusters(rng: np.random.Generator) -> Iterator[Arguments]:
    one = np.array([0])
    yield one, one, np.array([0]), np.array([1])
    yield (
        np.array([0, 0, 1, 2, 2]), np.array([0, 1, 0, 0, 1]),
        np.array([0, 0, 1]), np.array([0, 1]),
    )  # fmt: skip
    for m, n, workers in ((4, 3, 2), (6, 5, 3), (12, 9, 3), (30, 12, 4), (25, 40, 5)):
        user, item = np.nonzero(rng.random((m, n)) < 0.4)
        order = rng.permutation(len(user))
        home_of_user = rng.integers(0, workers, m)
        home_of_item = rng.integers(0, workers, n)
        yield user[order], item[order], home_of_user, home_of_item


@exercise(
    "08",
    1,
    statement="Count what the network carries. Person u lives on worker "
    "`home_of_user[u]`, film i on worker `home_of_item[i]`; play s is of person "
    "`user[s]` and film `item[s]`, each pair once. Before a half-step solves the "
    "people, each worker fetches the row of every film that its people played: "
    "once, however many of them played it, and not at all if the film lives there. "
    "Return the number of rows sent, to all workers together.",
    hints=(
        "What is sent goes to a *worker*, not to a person: `worker = "
        "home_of_user[user]` has the worker of each play.",
        "Many plays ask for the same row: count different pairs (worker, film). "
        "`np.unique(np.stack([worker, item]), axis=1)` has each once; so has a set of "
        "tuples.",
        "Of these pairs keep those whose film lives elsewhere: "
        "`home_of_item[film] != worker`. Their number is the answer.",
    ),
    cases=_clusters,
    mistakes={
        "You counted plays. A worker asks for a film's row once, however many of its "
        "people played it.": (
            "np.unique(np.stack([home_of_user[user], item]), axis=1)",
            "np.stack([home_of_user[user], item])",
        ),
        "You sent rows to workers where the film lives already.": (
            "(home_of_item[film] != worker).sum()",
            "len(film)",
        ),
        "You counted the rows that do *not* travel: those of films that live on the "
        "worker.": ("!= worker", "== worker"),
        "You sent each row once for all workers. Each worker that needs it gets its "
        "own copy.": (
            "(home_of_item[film] != worker).sum()",
            "len(set(film[home_of_item[film] != worker].tolist()))",
        ),
        "You sent the rows of people to the films. That is the other half-step: here "
        "people are solved, from the rows of films.": (
            "np.stack([home_of_user[user], item])",
            "np.stack([home_of_item[item], user])",
            "home_of_item[film]",
            "home_of_user[film]",
        ),
        "You sent every film to every worker. A worker asks only for films that its "
        "people played.": (
            "(home_of_item[film] != worker).sum()",
            "(len(set(home_of_user.tolist())) - 1) * len(home_of_item)",
        ),
    },
)
def rows_sent(user, item, home_of_user, home_of_item):
    """user, item: an entry a play; the homes: worker of each person, of each film."""
    worker, film = np.unique(np.stack([home_of_user[user], item]), axis=1)
    return (home_of_item[film] != worker).sum()


def _cells(rng: np.random.Generator) -> Iterator[Arguments]:
    V = np.array([[3.0, 0.5], [1, 0], [0.2, 1], [0, 2], [0.1, 1]])
    centers = np.array([[2, 0.25], [0.1, 4 / 3]])
    cell = np.array([0, 0, 1, 1, 1])
    yield V, centers, cell, np.array([1.0, 0.9]), 1, 2
    yield V, centers, cell, np.array([0.2, 1.0]), 2, 3
    yield V, centers, cell, np.array([-1.0, -0.5]), 1, 2
    for size, k, cells, probe, n in (
        (12, 2, 3, 1, 3), (20, 3, 4, 2, 5), (40, 4, 6, 3, 10), (30, 3, 8, 1, 10),
        (60, 5, 5, 5, 8),
    ):  # fmt: skip
        V = rng.normal(0.2, 1, (size, k)) * rng.uniform(0.2, 3, (size, 1))
        V[size // 2] = V[size // 3]  # two films that tie
        cell = rng.integers(0, cells, size)
        cell[size // 2] = cell[size // 3]
        cell[:cells] = rng.permutation(cells)  # none is empty
        centers = np.array([V[cell == c].mean(axis=0) for c in range(cells)])
        yield V, centers, cell, rng.normal(0, 1, k), probe, n


@exercise(
    "08",
    2,
    statement="A whole approximate search: an *inverted file*. Film i lies in cell "
    "`cell[i]`; row c of `centers` is the mean of the films of cell c. Take the "
    "`probe` cells whose centers have the largest inner products with the person's "
    "row `x`. Score only their films, by the inner product. Return the indices i of "
    "the `n` best films in an array, best first, all if there are fewer; of equal "
    "scores the smaller index comes first.",
    hints=(
        "Two searches of the same kind. First among cells: `np.argsort(-centers @ x, "
        'kind="stable")[:probe]`.',
        "`np.flatnonzero(np.isin(cell, open_cells))` has the numbers of the films to "
        "score, in order.",
        'Then among films: `order = np.argsort(-V[films] @ x, kind="stable")[:n]` are '
        "places in `films`: return `films[order]`.",
    ),
    cases=_cells,
    mistakes={
        "You returned places among the films that you scored. Turn them into film "
        "numbers: `films[order]`.": ("return films[order]", "return order"),
        "You scored all films: right, but that is the exact search. Score only those "
        "in the chosen cells.": (
            "np.flatnonzero(np.isin(cell, open_cells))",
            "np.arange(len(V))",
        ),
        "You took the cells with the smallest inner products: argsort goes upwards.": (
            "np.argsort(-centers @ x",
            "np.argsort(centers @ x",
        ),
        "You took the films with the smallest scores: argsort goes upwards.": (
            "np.argsort(-V[films] @ x",
            "np.argsort(V[films] @ x",
        ),
        "You chose cells by distance. The nearest center need not have the largest "
        "inner product.": (
            "-centers @ x",
            "((centers - x) ** 2).sum(axis=1)",
        ),
        "You ranked films by distance. Near is not the same as a large inner "
        "product.": (
            "-V[films] @ x",
            "((V[films] - x) ** 2).sum(axis=1)",
        ),
        "You ranked films by cosine. A film's length counts in the inner product.": (
            "-V[films] @ x",
            "-V[films] @ x / np.linalg.norm(V[films], axis=1)",
        ),
        "You chose cells by cosine. The length of a center counts, too.": (
            "-centers @ x",
            "-centers @ x / np.linalg.norm(centers, axis=1)",
        ),
        "You opened one cell only. Open `probe` of them.": ("[:probe]", "[:1]"),
        "Your lists have ten films, whatever n is.": ("[:n]", "[:10]"),
        "You ranked by the score of the cell. Its films have scores of their own.": (
            "-V[films] @ x",
            "-centers[cell[films]] @ x",
        ),
        "Of films with equal scores you took the larger number. Sort −scores with "
        'kind="stable".': (
            'order = np.argsort(-V[films] @ x, kind="stable")[:n]',
            'order = np.argsort(V[films] @ x, kind="stable")[::-1][:n]',
        ),
    },
)
def search_cells(V, centers, cell, x, probe, n=10):
    """V: films × k; centers: cells × k; cell: of each film; x: (k,)."""
    open_cells = np.argsort(-centers @ x, kind="stable")[:probe]
    films = np.flatnonzero(np.isin(cell, open_cells))
    order = np.argsort(-V[films] @ x, kind="stable")[:n]
    return films[order]
