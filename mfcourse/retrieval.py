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
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

FORMAT = "mfcourse-index-1"
LARGEST = 1e15  # beyond it, float32 products overflow
BLOCK = 25_000_000  # scores held at once, 100 MB
ROWS = 1024  # users at once, at most
CHUNK = 5_000  # items between two steps of the progress bar

Lists = tuple[np.ndarray, np.ndarray]


def exact(item_factors: Any, user_factors: Any, n: int = 10) -> Lists:
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
        Best first; ties by code.
    scores : float32 array of the same shape

    Raises
    ------
    ValueError
        Shapes do not fit, a value is not finite, or n is below 1.
    """
    V = _items(item_factors)
    U = _matrix("user_factors", user_factors, V.shape[1])
    _at_least("n", n, 1)
    n, codes = min(n, len(V)), np.arange(len(V))
    return _blocks(U, n, lambda u: _ranked(u, V, codes, _scan(u, V, codes, n), n))


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
        self._longest_left = _lengths(factors[head:]).max(initial=0)

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
        V = _items(item_factors)
        if item_bias is not None:
            b = _matrix("item_bias", np.reshape(item_bias, (-1, 1)))
            if len(b) != len(V):
                raise ValueError(f"expected {len(V)} values of item_bias, got {len(b)}")
            V = np.hstack([V, b])
        length = _lengths(V)
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
    ) -> Lists:
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
        n, hidden = min(n, len(self)), None
        if seen is not None:
            hidden = csr_matrix(seen)
            if hidden.shape != (len(U), len(self)):
                raise ValueError(
                    f"seen has shape {hidden.shape}, expected {(len(U), len(self))}: a "
                    "row for each row of user_factors, a column for each item"
                )
            rows = self._row[hidden.indices]
            hidden = csr_matrix((np.ones(len(rows)), rows, hidden.indptr), hidden.shape)

        def lists(U: np.ndarray, hidden: csr_matrix | None = None) -> Lists:
            at = self._candidates(U, n, width, hidden, threads)
            return _ranked(U, self.factors, self.codes, at, n)

        return _blocks(U, n, lists, hidden)

    def _candidates(
        self,
        U: np.ndarray,
        n: int,
        width: int,
        hidden: csr_matrix | None,
        threads: int,
    ) -> np.ndarray:
        """Rows among which the lists are, −1 for none, shape (m, n or 2n)."""
        if width >= len(self) or self.graph is None:
            return _scan(U, self.factors, self.codes, n, hidden)
        near = _scan(
            U, self.factors[: self.head], self.codes, n,
            None if hidden is None else hidden[:, : self.head],
        )  # fmt: skip
        nth = np.einsum("mk,mk->m", U, self.factors[near[:, -1]])
        possible = _lengths(U) * self._longest_left * 1.00001  # the rest; rounding
        ask = np.flatnonzero((near[:, -1] < 0) | (nth <= possible))
        far = np.full_like(near, -1)
        far[ask] = self._walk(
            U[ask], n, width, None if hidden is None else hidden[ask], threads
        )
        return np.hstack([near, far])

    def _walk(
        self,
        U: np.ndarray,
        n: int,
        width: int,
        hidden: csr_matrix | None,
        threads: int,
    ) -> np.ndarray:
        """The n best unseen rows that the graph finds; of all, if it finds too few."""
        found, left, k = np.full((len(U), n), -1), np.arange(len(U)), n
        while len(left) and k <= (len(self) - self.head) // 2:
            try:
                at, _ = self.graph.query(
                    U[left], k, num_threads=threads, query_ef=max(width, k)
                )
            except _voyager().RecallError:  # a part of the graph that nothing links to
                break
            at = at.astype(np.int64) + self.head
            free = np.ones(at.shape, bool)
            if hidden is not None:
                user, row = hidden[left].nonzero()
                here = np.arange(len(left))[:, None] * len(self) + at
                free = ~np.isin(here, user * len(self) + row)
            first = np.argsort(~free, axis=1, kind="stable")[:, :n]
            enough = free.sum(axis=1) >= n
            found[left[enough]] = np.take_along_axis(at, first, axis=1)[enough]
            left, k = left[~enough], 4 * k
        hidden = None if hidden is None else hidden[left]
        found[left] = _scan(U[left], self.factors, self.codes, n, hidden, self.head)
        return found

    def save(self, path: str | Path) -> Path:
        """Write the index to one file: a line of JSON, then arrays; no pickle.

        Parameters
        ----------
        path : path

        Returns
        -------
        Path
            The file written; an older one is replaced only once the new is whole.
        """
        path = Path(path)
        shape, plain = self.factors.shape, {"head": self.head, "bias": self.bias}
        header = json.dumps({"shape": shape, "dtype": "float32", **plain}) + "\n"
        parts = [
            header.encode(),
            self.factors.astype("<f4").tobytes(),
            self.codes.astype("<i8").tobytes(),
            b"" if self.graph is None else self.graph.as_bytes(),
        ]
        new = path.with_name(path.name + ".part")
        try:
            with new.open("wb") as file:
                file.write(f"{FORMAT} {_digest(parts)}\n".encode())
                file.writelines(parts)
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
        first, _, rest = Path(path).read_bytes().partition(b"\n")
        name, _, digest = first.decode("ascii", "replace").partition(" ")
        if name != FORMAT:
            raise ValueError(
                f"{path} is not an index saved by this version of mfcourse: expected "
                f"{FORMAT!r} at its start, found {name[:40]!r}. Build and save it again"
            )
        if digest != _digest([rest]):
            raise ValueError(
                f"{path} is not as it was saved: expected SHA-256 {digest[:12]}…, got "
                f"{_digest([rest])[:12]}…. Copy it again, or build and save it again"
            )
        header, _, rest = rest.partition(b"\n")
        of = json.loads(header)
        (n, k), head = of["shape"], of["head"]
        V = np.frombuffer(rest, "<f4", n * k).reshape(n, k).astype(np.float32)
        codes = np.frombuffer(rest, "<i8", n, 4 * n * k).astype(np.int64)
        file = io.BytesIO(rest[4 * n * k + 8 * n :])
        return cls(
            V,
            codes,
            head,
            of["bias"],
            _voyager().Index.load(file) if head < n else None,
        )


def measure(
    index: ItemIndex,
    user_factors: Any,
    n: int = 10,
    *,
    widths: Sequence[int] = (10, 16, 32, 64, 128, 256),
    rounds: int = 3,
    batch: int = ROWS,
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
    batch : int
        Users in a call; 1 is a server that answers one at a time.

    Returns
    -------
    DataFrame with columns ``width, recall, queries_per_second, times_exact``
        Exact search first, with NaN for its width. Time is the processor time of the
        thread, so that what else the machine does counts less.

    Raises
    ------
    ValueError
        As ``ItemIndex.search``.
    """
    U = np.asarray(user_factors)
    found: dict[int, np.ndarray] = {}
    seconds: dict[int, list[float]] = {}
    with threadpool_limits(1):
        for width in [len(index), *widths] * rounds:
            start = time.thread_time()
            lists = [
                index.search(U[a : a + batch], n, width=width, threads=1)[0]
                for a in range(0, len(U), batch)
            ]
            seconds.setdefault(width, []).append(time.thread_time() - start)
            found[width] = np.concatenate(lists)
    every = found[len(index)][:, None, :]
    rows = pd.DataFrame(
        {
            "width": width,
            "recall": (found[width][:, :, None] == every).any(axis=1).mean(),
            "queries_per_second": len(U) / max(np.median(seconds[width]), 1e-9),
        }
        for width in found
    )
    speed = rows["queries_per_second"]
    rows["width"] = rows["width"].astype(float).where(rows.index > 0)
    return rows.assign(times_exact=speed / speed[0])


def _scan(
    U: np.ndarray,
    V: np.ndarray,
    codes: np.ndarray,
    n: int,
    hidden: csr_matrix | None = None,
    start: int = 0,
) -> np.ndarray:
    """Rows of V, from ``start``, of the n best for each user; −1 for none; (m, n)."""
    out, step = np.full((len(U), n), -1), max(1, BLOCK // max(1, len(V) - start))
    for a in range(0, len(U), step):
        S = U[a : a + step] @ V[start:].T  # (at most step, len(V) − start)
        if hidden is not None:
            S[hidden[a : a + step, start:].nonzero()] = -np.inf
        out[a : a + step] = _best(S, codes[start:], n, start)
    return out


def _best(S: np.ndarray, codes: np.ndarray, n: int, start: int) -> np.ndarray:
    """Columns (+ start) of the n largest of each row, best first, ties by code.

    Of many columns, groups of up to 64 are first reduced to their maximum: the n-th
    largest maximum is a score that n columns reach, and few others do.
    """
    m, w = S.shape
    out, deep = np.full((m, n), -1), max(1, min(64, w // (8 * n)))
    top = S[:, : w // deep * deep].reshape(m, deep, w // deep).max(axis=1)
    bound = np.full(m, -np.inf) if top.shape[1] < n else np.partition(top, -n)[:, -n]
    at = np.flatnonzero(bound[:, None].astype(S.dtype) <= S)
    (row, col), score = np.divmod(at, w), S.ravel()[at]
    order = np.lexsort((codes[col], -score, row))
    row, col, score = row[order], col[order], score[order]
    place = np.arange(len(row)) - np.searchsorted(row, np.arange(m))[row]
    kept = (place < n) & (score > -np.inf)
    out[row[kept], place[kept]] = col[kept] + start
    return out


def _ranked(
    U: np.ndarray, V: np.ndarray, codes: np.ndarray, at: np.ndarray, n: int
) -> Lists:
    """Score rows of V, whoever found them; the n best codes, ties by code."""
    score = np.einsum("mk,mnk->mn", U, V[at])
    score[at < 0] = -np.inf
    code = np.where(at < 0, -1, codes[at])
    order = np.lexsort((code, -score))[:, :n]
    return np.take_along_axis(code, order, 1), np.take_along_axis(score, order, 1)


def _blocks(
    U: np.ndarray, n: int, lists: Callable[..., Lists], *more: csr_matrix | None
) -> Lists:
    """Lists of some users at a time; ``more`` has a row a user too, or is None."""
    codes, scores = np.empty((len(U), n), np.int64), np.empty((len(U), n), np.float32)
    for a in range(0, len(U), ROWS):
        to = slice(a, a + ROWS)
        codes[to], scores[to] = lists(U[to], *(x[to] for x in more if x is not None))
    return codes, scores


def _lengths(X: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("mk,mk->m", X, X))


def _digest(parts: list[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _matrix(name: str, values: Any, k: int | None = None) -> np.ndarray:
    X = np.asarray(values)
    if (
        X.ndim != 2
        or X.dtype.kind not in "fiu"
        or not X.shape[1]
        or k not in (None, X.shape[1])
    ):
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


def _items(values: Any) -> np.ndarray:
    V = _matrix("item_factors", values)
    _at_least("the number of items", len(V), 1)
    return V


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
