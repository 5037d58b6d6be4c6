"""Raw ids become codes here, and nowhere else.

A rating is a row ``user, item, rating``. Models work on a matrix R with users in the
rows and items in the columns, so every raw id needs a row or column number, its *code*:

    user_code = users.codes(raw user id)      0 … n_users − 1, or −1 for an unknown id
    item_code = items.codes(raw item id)      0 … n_items − 1, or −1

Codes are given in order of first appearance, so renaming ids changes no number.
R is kept as CSR: only the observed pairs are stored, a rating of 0 among them, and a
missing pair is missing, not 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix, csr_matrix, issparse


class IdMap:
    """Raw ids and their codes, in order of first appearance.

    Parameters
    ----------
    ids : array of shape (n,)
        The distinct raw ids; the code of ``ids[c]`` is ``c``.
    """

    def __init__(self, ids: Any) -> None:
        self.ids = np.asarray(ids)
        self._index = pd.Index(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def codes(self, raw: Iterable[Any]) -> np.ndarray:
        """Code of each raw id.

        Parameters
        ----------
        raw : iterable of ids, length n

        Returns
        -------
        int64 array of shape (n,)
            −1 where the id is unknown.
        """
        return self._index.get_indexer(pd.Index(raw)).astype(np.int64)

    def code(self, raw: Any, kind: str, so: str) -> int:
        """Code of one id that must be known.

        Parameters
        ----------
        raw : id
        kind, so : str
            What it is, and what follows if it is unknown, for the message.

        Returns
        -------
        int

        Raises
        ------
        KeyError
            It was not in training.
        """
        code = int(self.codes([raw])[0])
        if code < 0:
            raise KeyError(f"{kind} {raw!r} was not in training, so {so}")
        return code

    def extended(self, other: IdMap) -> IdMap:
        """These ids, then those of another map that are not among them.

        Parameters
        ----------
        other : IdMap

        Returns
        -------
        IdMap
        """
        return IdMap(np.append(self.ids, other.ids[self.codes(other.ids) < 0]))


class Interactions:
    """The observed ratings as a sparse matrix, users × items.

    Parameters
    ----------
    ratings : DataFrame with columns ``user, item, rating``
        One row an observed pair; further columns are ignored.

    Attributes
    ----------
    users, items : IdMap
        Raw ids ↔ codes.
    csr : csr_matrix of shape (n_users, n_items)
        Ratings as float64; the column indices of a row are sorted.

    Raises
    ------
    TypeError
        ``ratings`` is not a DataFrame, or its ratings are not numbers.
    ValueError
        A column is missing, the frame is empty, a value is missing or infinite, or a
        (user, item) pair occurs twice.
    """

    def __init__(self, ratings: pd.DataFrame) -> None:
        check_columns(ratings, "user", "item", "rating")
        check_ratings(ratings)
        user_code, user_ids = pd.factorize(ratings["user"])
        item_code, item_ids = pd.factorize(ratings["item"])
        self.users, self.items = IdMap(user_ids), IdMap(item_ids)
        rating = ratings["rating"].to_numpy(np.float64)
        shape = (len(user_ids), len(item_ids))
        self.csr = coo_matrix((rating, (user_code, item_code)), shape=shape).tocsr()
        if self.csr.nnz < len(rating):  # scipy sums duplicates without a word
            raise_duplicate(ratings)

    @classmethod
    def from_parts(cls, users: IdMap, items: IdMap, csr: csr_matrix) -> Interactions:
        """Put together what was taken apart for saving.

        Parameters
        ----------
        users, items : IdMap
            Raw ids of the rows and columns.
        csr : csr_matrix of shape (len(users), len(items))
            Ratings, column indices sorted within each row.

        Returns
        -------
        Interactions
        """
        self = cls.__new__(cls)
        self.users, self.items, self.csr = users, items, csr
        return self

    @classmethod
    def from_sparse(cls, matrix: Any) -> Interactions:
        """Take a matrix of ratings or counts; row and column numbers become raw ids.

        Parameters
        ----------
        matrix : scipy sparse matrix or array of shape (n_users, n_items)
            Users in rows; any format. A row without entries is a user without ratings.

        Returns
        -------
        Interactions

        Raises
        ------
        TypeError, ValueError
            It is not sparse, has no entries, a cell twice, or NaN or infinity.
        """
        if not issparse(matrix) or matrix.ndim != 2:
            raise TypeError(
                f"expected a sparse matrix, users × items; got {type(matrix).__name__}"
            )
        csr = csr_matrix(matrix, dtype=np.float64, copy=True)
        csr.sum_duplicates()
        if csr.nnz < matrix.nnz:
            raise ValueError(f"{matrix.nnz - csr.nnz} cell(s) of the matrix come twice")
        if csr.nnz == 0 or not np.isfinite(csr.data).all():
            raise ValueError("expected at least one entry, and all of them finite")
        users, items = (IdMap(np.arange(size)) for size in csr.shape)
        return cls.from_parts(users, items, csr)

    def updated(self, ratings: pd.DataFrame) -> tuple[Interactions, Interactions]:
        """Add further ratings: known ids keep their codes, new ones come after.

        Parameters
        ----------
        ratings : DataFrame with columns ``user, item, rating``
            A pair that is known already gets its new rating.

        Returns
        -------
        every, new : Interactions
            All ratings, and the further ones alone, with the same codes.
        """
        more = Interactions(ratings)
        users, items = self.users.extended(more.users), self.items.extended(more.items)
        shape = len(users), len(items)
        row = users.codes(more.users.ids)[more.user_code]
        column = items.codes(more.items.ids)[more.item_code]
        new = coo_matrix((more.rating, (row, column)), shape).tocsr()
        again = np.isin(
            self.user_code * shape[1] + self.item_code, row * shape[1] + column
        )
        row = np.append(self.user_code[~again], row)
        column = np.append(self.item_code[~again], column)
        rating = np.append(self.rating[~again], more.rating)
        every = coo_matrix((rating, (row, column)), shape).tocsr()
        new_alone = self.from_parts(users, items, new)
        return self.from_parts(users, items, every), new_alone

    @property
    def n_users(self) -> int:
        """Number of users, m."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """Number of items, n."""
        return len(self.items)

    @property
    def n_ratings(self) -> int:
        """Number of observed pairs, |Ω|."""
        return int(self.csr.nnz)

    @cached_property
    def csr_by_item(self) -> csr_matrix:
        """Rᵀ as CSR, shape (n_items, n_users): an item's raters in one slice."""
        return self.csr.T.tocsr()

    @cached_property
    def user_code(self) -> np.ndarray:
        """User code of each rating in CSR order, shape (n_ratings,)."""
        counts = np.diff(self.csr.indptr)
        return np.repeat(np.arange(self.n_users), counts)

    @property
    def item_code(self) -> np.ndarray:
        """Item code of each rating in CSR order, shape (n_ratings,)."""
        return self.csr.indices

    @property
    def rating(self) -> np.ndarray:
        """Each rating in CSR order, shape (n_ratings,)."""
        return self.csr.data

    def __repr__(self) -> str:
        return (
            f"Interactions({self.n_users:,} users × {self.n_items:,} items, "
            f"{self.n_ratings:,} ratings)"
        )


def check_columns(frame: pd.DataFrame, *columns: str) -> None:
    """Raise unless ``frame`` is a DataFrame with these columns.

    Parameters
    ----------
    frame : DataFrame
        What the caller passed.
    *columns : str
        Names that must be there.

    Raises
    ------
    TypeError
        ``frame`` is not a DataFrame.
    ValueError
        A column is missing.
    """
    if not isinstance(frame, pd.DataFrame):
        cure = "Build one: pd.DataFrame({'user': …})"
        if issparse(frame):
            cure = "Users in rows? Then Interactions.from_sparse(matrix)"
        raise TypeError(
            f"expected a DataFrame with columns {list(columns)}; got "
            f"{type(frame).__name__}. {cure}"
        )
    for name in columns:
        if name not in frame.columns:
            found = [str(c) for c in frame.columns]
            raise ValueError(
                f"the frame has no column {name!r}; found {found}. Rename one: "
                f"frame.rename(columns={{'your name': {name!r}}})"
            )


def check_ratings(ratings: pd.DataFrame) -> None:
    """Raise unless users, items and ratings are all there and finite.

    Parameters
    ----------
    ratings : DataFrame with columns ``user, item, rating``

    Raises
    ------
    TypeError
        The ratings are not numbers.
    ValueError
        The frame is empty, or a value is missing or infinite.
    """
    if ratings.empty:
        raise ValueError("the frame has no rows; expected at least one rating")
    if not pd.api.types.is_numeric_dtype(ratings["rating"]):
        raise TypeError(
            f"ratings must be numbers; got dtype {ratings['rating'].dtype}. Convert: "
            "frame['rating'] = pd.to_numeric(frame['rating'])"
        )
    for name in ("user", "item", "rating"):
        missing = ratings[name].isna().to_numpy()
        if name == "rating" and not missing.any():
            missing = ~np.isfinite(ratings["rating"].to_numpy(np.float64))
        if missing.any():
            raise ValueError(
                f"column {name!r} is missing or infinite in {missing.sum()} row(s), "
                f"first at row {int(missing.argmax())}. Drop them: "
                "frame.replace([np.inf, -np.inf], np.nan).dropna()"
            )


def raise_duplicate(ratings: pd.DataFrame) -> None:
    """Raise the error that names the first (user, item) pair that occurs twice.

    Parameters
    ----------
    ratings : DataFrame with columns ``user, item``
        Has a pair that occurs twice.

    Raises
    ------
    ValueError
        Always.
    """
    again = ratings.duplicated(["user", "item"]).to_numpy()
    row = int(again.argmax())
    user, item = (ratings[c].iloc[[row]].tolist()[0] for c in ("user", "item"))
    raise ValueError(
        f"user {user!r} rated item {item!r} more than once (again at row {row}; "
        f"{int(again.sum())} such row(s)). Keep one a pair: "
        "frame.drop_duplicates(['user', 'item'], keep='last')"
    )
