"""Lists without all scores: the top N by inner product, by approximate neighbours.

For a user u, the list is the n items with the largest  U_u · V_i  (+ b_i, which is one
more factor of the item, against a 1 of the user). Exact search takes m · n_items · k
multiplications. Here most items are not looked at, and some are missed:

    recall@n = mean over users of |found ∩ exact| / n

**Longest first.** By Cauchy and Schwarz  U_u · V_i ≤ ‖U_u‖ ‖V_i‖,  and factors learned
from ratings are long where an item is popular. So the ``head``, the few longest items,
is scored whole. Where its n-th best is above ‖U_u‖ times the longest length that is
left, nothing else can be in the list, and it is exact.

**A graph for the rest.** Inner product is no distance: an item need not be nearest to
itself, so a walk towards what is nearer goes astray. One more dimension mends that
(Bachrach et al.): with M = max ‖V_i‖

    V'_i = (V_i, √(M² − ‖V_i‖²))    U'_u = (U_u, 0)
    ‖U'_u − V'_i‖² = ‖U_u‖² + M² − 2 U_u · V_i

so the nearest V' is the largest inner product. On V', HNSW links each item with some
near it, on layers from coarse to fine, and walks from link to link, keeping the
``width`` best that it met (Malkov and Yashunin). The library is Voyager, by Spotify. It
adds the dimension itself, with the largest norm *so far* for M; that is right for all
items only where the longest comes first.

What both find is scored again, in one way, so a score does not depend on who found it.

    U (m × k), V (n_items × k), b (n_items)    seen: m × n_items, what lists leave out

References: Y. Bachrach, Y. Finkelstein, R. Gilad-Bachrach, L. Katzir, N. Koenigstein,
N. Nice and U. Paquet, "Speeding Up the Xbox Recommender System Using a Euclidean
Transformation for Inner-Product Spaces", RecSys 2014. Y. A. Malkov and D. A. Yashunin,
"Efficient and Robust Approximate Nearest Neighbor Search Using Hierarchical Navigable
Small World Graphs", IEEE TPAMI 42(4), 2020. C. Teflioudi, R. Gemulla and O. Mykytiuk,
"LEMP: Fast Retrieval of Large Entries in a Matrix Product", SIGMOD 2015 (lengths).
"""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

FORMAT = "mfcourse-index-1"
LARGEST = 1e15  # beyond it, float32 products overflow
BLOCK = 25_000_000  # scores held at once, at most: 100 MB
USERS = 2048  # whose lists are made together, at most
CHUNK = 5_000  # items between two steps of the progress bar

Arrays = tuple[np.ndarray, np.ndarray]


def exact(item_factors: Any, user_factors: Any, n: int = 10) -> Arrays:
    """The n items with the largest inner products: all scores, a block at a time.

    Parameters
    ----------
    item_factors : array of shape (n_items, k)
        Taken as float32.
    user_factors : array of shape (m, k)
    n : int
        Length of a list.

    Returns
    -------
    codes : int64 array of shape (m, min(n, n_items))
        Best first; ties by code, but for rounding.
    scores : float32 array of the same shape

    Raises
    ------
    ValueError
        Shapes do not fit, a value is not finite, or n is below 1.
    """
    V = _matrix("item_factors", item_factors)
    return ItemIndex.build(V, head=len(V)).search(user_factors, n)


class ItemIndex:
    """Items, longest first: a head to scan and a graph for the rest; see ``build``.

    Parameters
    ----------
    factors : float32 array of shape (n_items, k), or (n_items, k + 1) with biases
        Longest first.
    codes : int64 array of shape (n_items,)
        Item code of each row.
    head : int
        Number of rows that are always scored.
    bias : bool
        Whether the last column is a bias.
    graph : voyager.Index or None
        Over the rows after the head.
    """

    def __init__(
        self, factors: np.ndarray, codes: np.ndarray, head: int, bias: bool, graph: Any
    ) -> None:
        self.factors, self.codes, self.head = factors, codes, head
        self.bias, self.graph = bias, graph
        self._row = np.argsort(codes)  # of each item code
        left = factors[head:]
        squares = np.einsum("nk,nk->n", left, left, dtype=np.float64)  # no underflow
        self._longest_left = np.sqrt(squares.max(initial=0))

    @classmethod
    def build(
        cls,
        item_factors: Any,
        item_bias: Any = None,
        *,
        head: int = 512,
        links: int = 12,
        effort: int = 64,
        progress: bool = False,
    ) -> Self:
        """Index the items; the same factors give the same index, bit for bit.

        Parameters
        ----------
        item_factors : array of shape (n_items, k)
            Kept as float32.
        item_bias : array of shape (n_items,), optional
        head : int
            Number of longest items that each search scores. With n_items or more there
            is no graph, and no need of Voyager.
        links : int
            Links of an item on a layer of the graph, M; twice as many on the lowest.
        effort : int
            Width of the search for them, efConstruction.
        progress : bool
            Show a bar.

        Returns
        -------
        ItemIndex

        Raises
        ------
        ValueError
            Shapes do not fit, a value is not finite, or a number is too small.
        ImportError
            Voyager is missing, and there are more items than the head holds.
        """
        _at_least("head", head, 0)
        _at_least("links", links, 2)
        _at_least("effort", effort, 1)
        V = _matrix("item_factors", item_factors)
        _at_least("the number of items", len(V), 1)
        if item_bias is not None:
            b = _matrix("item_bias", np.reshape(item_bias, (-1, 1)))
            if len(b) != len(V):
                raise ValueError(f"expected {len(V)} values of item_bias, got {len(b)}")
            V = np.hstack([V, b])
        length = np.linalg.norm(V, axis=1)
        codes = np.argsort(-length, kind="stable")
        V, head, graph = V[codes], min(head, len(V)), None
        if head < len(V):
            rest = V[head:] / (length[codes[head]] or 1)
            graph = _voyager().Index(
                _voyager().Space.InnerProduct, V.shape[1], M=links,
                ef_construction=effort, max_elements=len(rest),
            )  # fmt: skip
            for first in tqdm(range(0, len(rest), CHUNK), disable=not progress):
                part = rest[first : first + CHUNK]  # one thread: links depend on order
                graph.add_items(part, range(first, first + len(part)), num_threads=1)
        return cls(V, codes, head, item_bias is not None, graph)

    def __len__(self) -> int:
        return len(self.factors)

    def search(
        self,
        user_factors: Any,
        n: int = 10,
        *,
        width: int = 64,
        seen: Any = None,
        threads: int = -1,
    ) -> Arrays:
        """The n best items of each user, but for those that the walk missed.

        Parameters
        ----------
        user_factors : array of shape (m, k)
        n : int
            Length of a list.
        width : int
            Items that a walk keeps in view: more is slower and misses less. With
            n_items or more, every item is scored and nothing is missed.
        seen : sparse matrix of shape (m, n_items), optional
            What it holds is left out; the graph is asked for more until n are left.
        threads : int
            Of the walks; −1 takes all cores. The answer is the same.

        Returns
        -------
        codes : int64 array of shape (m, min(n, n_items))
            Best first; ties by code. −1 where a user has not so many unseen items.
        scores : float32 array of the same shape
            Inner products, with biases; −inf beside −1.

        Raises
        ------
        ValueError
            Shapes do not fit, a value is not finite, or a number is below 1.
        """
        U = _matrix("user_factors", user_factors, self.factors.shape[1] - self.bias)
        _at_least("n", n, 1)
        _at_least("width", width, 1)
        if self.bias:
            U = np.hstack([U, np.ones_like(U[:, :1])])
        of, seen_codes = np.zeros(len(U) + 1, np.int64), np.empty(0, np.int64)
        if seen is not None:
            seen = csr_matrix(seen)
            if seen.shape != (len(U), len(self)):
                raise ValueError(
                    f"seen has shape {seen.shape}, expected {(len(U), len(self))}: "
                    "a row for each of user_factors, a column for each item"
                )
            of, seen_codes = seen.indptr, seen.indices
        shape = len(U), min(n, len(self))
        codes, scores = np.empty(shape, np.int64), np.empty(shape, np.float32)
        # What is gathered below, a row of V for each candidate, shall not be larger.
        step = max(1, min(USERS, BLOCK // (2 * shape[1] * U.shape[1])))
        for a in range(0, len(U), step):
            u, part = U[a : a + step], of[a : a + step + 1]
            user = np.repeat(np.arange(len(u)), np.diff(part))
            hidden = user, self._row[seen_codes[part[0] : part[-1]]]
            at = self._candidates(u, shape[1], width, hidden, threads)
            score = np.einsum("mk,mnk->mn", u, self.factors[at])
            score[at < 0] = -np.inf
            code = np.where(at < 0, -1, self.codes[at])
            best = np.lexsort((code, -score))[:, : shape[1]]
            codes[a : a + step] = np.take_along_axis(code, best, axis=1)
            scores[a : a + step] = np.take_along_axis(score, best, axis=1)
        return codes, scores

    def _candidates(
        self, U: np.ndarray, n: int, width: int, hidden: Arrays, threads: int
    ) -> np.ndarray:
        """Rows among which the lists are, −1 for none, shape (m, n or 2n)."""
        if width >= len(self) or self.graph is None:
            return self._scan(U, len(self), n, hidden)
        near = self._scan(U, self.head, n, hidden)
        nth = np.einsum("mk,mk->m", U, self.factors[near[:, -1]])
        possible = np.linalg.norm(U, axis=1) * self._longest_left * 1.00001  # rounding
        left = np.flatnonzero(nth <= possible)  # −1, no n-th, is the last row: asked
        far, k, user_row = np.full_like(near, -1), n, hidden[0] * len(self) + hidden[1]
        while len(left) and k <= (len(self) - self.head) // 2:
            try:
                at, _ = self.graph.query(
                    U[left], k, num_threads=threads, query_ef=max(width, k)
                )
            except _voyager().RecallError:  # a part of the graph that nothing links to
                break
            at = at.astype(np.int64) + self.head
            free = ~np.isin(left[:, None] * len(self) + at, user_row)
            first = np.argsort(~free, axis=1, kind="stable")[:, :n]
            enough = free.sum(axis=1) >= n
            far[left[enough]] = np.take_along_axis(at, first, axis=1)[enough]
            left, k = left[~enough], 4 * k
        if len(left):
            own = np.isin(hidden[0], left)  # only theirs: others have their lists
            theirs = np.searchsorted(left, hidden[0][own]), hidden[1][own]
            near[left] = self._scan(U[left], len(self), n, theirs)
        return np.hstack([near, far])

    def _scan(self, U: np.ndarray, stop: int, n: int, hidden: Arrays) -> np.ndarray:
        """The n best of the first rows for each user; −1 for none; shape (m, n)."""
        out, step = np.empty((len(U), n), np.int64), max(1, BLOCK // max(1, stop))
        for a in range(0, len(U), step):
            S = U[a : a + step] @ self.factors[:stop].T
            user, row = (part[hidden[1] < stop] for part in hidden)
            here = slice(*np.searchsorted(user, [a, a + step]))
            S[user[here] - a, row[here]] = -np.inf
            out[a : a + step] = _best(S, self.codes, n)
        return out

    def save(self, path: str | Path) -> Path:
        """Write the index to one file: version and hash, then an ``.npz``; no pickle.

        Parameters
        ----------
        path : path

        Returns
        -------
        Path
            The file written; an older one is replaced only once the new is whole.
        """
        path, body = Path(path), io.BytesIO()
        graph = b"" if self.graph is None else self.graph.as_bytes()
        np.savez(
            body, factors=self.factors, codes=self.codes, head=self.head,
            bias=self.bias, graph=np.frombuffer(graph, np.uint8),
        )  # fmt: skip
        content = body.getvalue()
        new = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            new.write_bytes(f"{FORMAT} {_digest(content)}\n".encode() + content)
            os.replace(new, path)
        finally:
            new.unlink(missing_ok=True)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read an index that ``save`` wrote, and only as it was written.

        The hash shows damage, not intent: who can write the file can write the hash,
        and Voyager reads the graph in C++. Take indexes only from those you trust.

        Parameters
        ----------
        path : path

        Returns
        -------
        ItemIndex

        Raises
        ------
        ValueError
            The file is not ours, from another version, or was changed.
        """
        first, _, content = Path(path).read_bytes().partition(b"\n")
        name, _, digest = first.decode("ascii", "replace").partition(" ")
        if name != FORMAT:
            raise ValueError(
                f"{path} is not an index saved by this version of mfcourse: expected "
                f"{FORMAT!r} at its start, got {name[:40]!r}. Build and save it again"
            )
        if digest != _digest(content):
            raise ValueError(
                f"{path} is not as it was saved: expected SHA-256 {digest[:12]}…, got "
                f"{_digest(content)[:12]}…. Copy it again, or build and save it again"
            )
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            V, codes, graph = file["factors"], file["codes"], file["graph"].tobytes()
            head, bias = int(file["head"]), bool(file["bias"])
        there = _voyager().Index.load(io.BytesIO(graph)) if graph else None
        return cls(V, codes, head, bias, there)


def measure(
    index: ItemIndex,
    user_factors: Any,
    n: int = 10,
    *,
    widths: Sequence[int] = (10, 16, 32, 64, 128, 256),
    rounds: int = 3,
) -> pd.DataFrame:
    """Recall against speed, in one thread: exact search, and the index by width.

    Parameters
    ----------
    index : ItemIndex
    user_factors : array of shape (m, k)
    n : int
        Length of a list.
    widths : sequence of int
    rounds : int
        Each search runs so often, in turn; the median counts.

    Returns
    -------
    DataFrame with columns ``width, recall, queries_per_second``
        Exact search first, with NaN for its width. Time is the processor time of the
        thread, so that what else the machine does counts less.

    Raises
    ------
    ValueError
        As ``ItemIndex.search``.
    """
    found: dict[int, np.ndarray] = {}
    seconds: dict[int, list[float]] = {}
    with threadpool_limits(1):
        for width in [len(index), *widths] * rounds:
            start = time.thread_time()
            found[width] = index.search(user_factors, n, width=width, threads=1)[0]
            seconds.setdefault(width, []).append(time.thread_time() - start)
    every = found[len(index)][:, None, :]
    recall = [
        (lists[:, :, None] == every).any(axis=1).mean() for lists in found.values()
    ]
    speed = [len(every) / max(np.median(s), 1e-9) for s in seconds.values()]
    return pd.DataFrame(
        {
            "width": [np.nan, *list(found)[1:]],
            "recall": recall,
            "queries_per_second": speed,
        }
    )


def _best(S: np.ndarray, codes: np.ndarray, n: int) -> np.ndarray:
    """Columns of the n largest of each row, −1 for −inf; ties by code.

    Of many columns, groups of up to 64 are first reduced to their maximum: the n-th
    largest of those is a score that n columns reach, and few others do.
    """
    m, w = S.shape
    out, deep = np.full((m, n), -1), max(1, min(64, w // (8 * n)))
    top = S[:, : w // deep * deep].reshape(m, deep, -1).max(axis=1)
    bound = np.partition(top, -n)[:, [-n]] if top.shape[1] >= n else -np.inf
    reached = bound <= S
    crowded = reached.sum(axis=1) > 64 * n  # with ties, as where a user's row is 0
    for r in np.flatnonzero(crowded):
        tied = np.flatnonzero(S[r] == np.broadcast_to(bound, (m, 1))[r])
        reached[r, tied] = False
        reached[r, tied[np.argsort(codes[tied])[:n]]] = True
    at = np.flatnonzero(reached)
    (row, column), score = np.divmod(at, w), S.ravel()[at]
    order = np.lexsort((codes[column], -score, row))
    row, column, score = row[order], column[order], score[order]
    place = np.arange(len(row)) - np.searchsorted(row, np.arange(m))[row]
    kept = (place < n) & (score > -np.inf)
    out[row[kept], place[kept]] = column[kept]
    return out


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _matrix(name: str, values: Any, k: int | None = None) -> np.ndarray:
    X = np.asarray(values)
    fits = X.ndim == 2 and X.shape[1] == (k or max(1, X.shape[1]))
    if not fits or X.dtype.kind not in "fiu":
        raise ValueError(
            f"{name} must be numbers of shape (rows, {k or 'factors'}); got {X.dtype} "
            f"of shape {X.shape}"
        )
    if not np.abs(X, dtype=np.float64).max(initial=0) <= LARGEST:
        raise ValueError(
            f"{name} must be finite and at most {LARGEST:g} in size; look for NaN, or "
            "for a fit that diverged"
        )
    return np.ascontiguousarray(X, np.float32)


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{name} must be at least {least}; got {value}")


def _voyager() -> Any:
    try:
        import voyager
    except ImportError as error:
        raise ImportError(
            "a graph of items needs the package voyager: pip install voyager. Or build "
            "with head=len(item_factors), which scores every item"
        ) from error
    return voyager
