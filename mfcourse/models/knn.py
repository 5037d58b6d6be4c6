"""Neighbourhood models: ask the most similar people, or look at similar items.

A *row* is a user (UserKNNModel) or an item (ItemKNNModel). The similarity of rows a
and b looks at the columns Ω_ab in which both have a rating, with x = values of a and
y = values of b there:

    cosine    Σ x y / √(Σ x² Σ y²)
    pearson   the same of x − mean(x) and y − mean(y), means over Ω_ab
    msd       1 / (1 + mean((x − y)²))

It is 0 where |Ω_ab| < min_support, and is pulled to 0 where evidence is thin:
s ← s |Ω_ab| / (|Ω_ab| + β). To predict row a in column c, let S be the n_neighbors most
similar rows with a rating in c and s > 0 (ties go to the lower code; never a itself):

    r̂_ac = center_ac + Σ_{b ∈ S} s_ab (r_bc − center_bc) / Σ_{b ∈ S} s_ab

and center_ac alone where S is empty. The center is μ ("none"), the row's mean ("mean"),
or μ + b_u + b_i ("baseline"). To rank rather than predict: ``normalize=False`` leaves
the division out, and ``binary=True`` makes each rating a 1 and each missing one a 0, so
that the cosine is |Ω_ab| / √(|Ω_a| |Ω_b|).

No similarity matrix is stored. A row of it is computed when a prediction needs it, from
the ratings that share a column with row a; all rows together take Σ_c |Ω_c|² steps.

Symbols: Ω_a columns that row a has ratings in; Ω_c rows with a rating in column c; β
shrinkage; μ, b_u, b_i as in ``baselines``.

References: J. L. Herlocker, J. A. Konstan, A. Borchers and J. Riedl, "An Algorithmic
Framework for Performing Collaborative Filtering", SIGIR 1999 (users). B. Sarwar,
G. Karypis, J. Konstan and J. Riedl, "Item-Based Collaborative Filtering Recommendation
Algorithms", WWW 2001 (items). Y. Koren, "Factor in the Neighbors: Scalable and Accurate
Collaborative Filtering", ACM TKDD 4(1), 2010, section 2.2 (baseline, shrinkage).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from mfcourse.interactions import Interactions
from mfcourse.models import _neighbors
from mfcourse.models._check import check_choice, check_number
from mfcourse.models._compiled import use_fast
from mfcourse.models._neighbors import Csr, Kind
from mfcourse.models.base import Recommender, top_n
from mfcourse.models.baselines import damped_biases, damped_mean

SIMILARITIES = ["cosine", "pearson", "msd"]
DAMPING_USER, DAMPING_ITEM, N_EPOCHS = 15.0, 10.0, 10  # of center="baseline"


@dataclass(kw_only=True)
class _KNNModel(Recommender):
    n_neighbors: int = 40
    similarity: str = "cosine"
    center: str = "mean"
    compare: str = "residuals"
    shrinkage: float = 0.0
    min_support: int = 1
    normalize: bool = True
    binary: bool = False
    engine: str = "fast"

    def _check(self) -> None:
        check_number("n_neighbors", self.n_neighbors, low=1, kind=int)
        check_choice("similarity", self.similarity, SIMILARITIES)
        check_choice("center", self.center, ["none", "mean", "baseline"])
        check_choice("compare", self.compare, ["residuals", "ratings"])
        check_number("shrinkage", self.shrinkage, low=0)
        check_number("min_support", self.min_support, low=1, kind=int)
        check_choice("engine", self.engine, ["fast", "plain"])
        if self.binary and (self.normalize or self.similarity != "cosine"):
            raise ValueError(
                "binary=True ranks by a sum of cosines; pass normalize=False and "
                'similarity="cosine" with it'
            )

    @property
    def _by_user(self) -> bool:
        return isinstance(self, UserKNNModel)

    def _fit(
        self, train: Interactions, validation: pd.DataFrame | None, progress: bool
    ) -> None:
        vars(self).pop("_cache", None)
        if self.binary or (self.center == "none" and not self.normalize):
            return  # scores are plain sums: everything is measured from 0
        if self.center == "baseline":
            self.global_mean_, self.user_bias_, self.item_bias_, _ = damped_biases(
                train, DAMPING_USER, DAMPING_ITEM, N_EPOCHS
            )
            return
        self.global_mean_ = float(train.rating.mean())
        rest = train.rating - self.global_mean_
        if self.center == "mean" and self._by_user:
            self.user_bias_ = damped_mean(train.user_code, rest, train.n_users, 0)
        elif self.center == "mean":
            self.item_bias_ = damped_mean(train.item_code, rest, train.n_items, 0)

    def _center(self, user_codes: np.ndarray, item_codes: np.ndarray) -> np.ndarray:
        return (
            self.global_mean_
            + self.user_bias_[user_codes]
            + self.item_bias_[item_codes]
        )

    def _rest(self, rating: np.ndarray, center: np.ndarray) -> np.ndarray:
        """What is left over the center; mere rounding is 0, lest it pass for taste."""
        if self.binary:
            return np.ones(len(rating))
        rest = rating - center
        rest[np.abs(rest) < 1e-12 * np.abs(self.train_.rating).max()] = 0.0
        return rest

    def _values(self, rating: np.ndarray, rest: np.ndarray) -> np.ndarray:
        """What similarities compare: the ratings, or what is left over the center."""
        raw = self.compare == "ratings" or self.center == "none"
        return rating if raw and not self.binary else rest

    def _tables(self) -> tuple[Csr, Csr, Csr]:
        """Values by row and by column, rests by column; made from ``train_`` once."""
        train = self.train_
        if "_cache" not in vars(self) or self._cache[0] is not train:
            center = self._center(train.user_code, train.item_code)
            rest = self._rest(train.rating, center)
            value, csr = self._values(train.rating, rest), train.csr
            at = csr_matrix((np.arange(csr.nnz), csr.indices, csr.indptr), csr.shape)
            t = at.T.tocsr()  # its data: where each rating stands in user order
            users = tuple((at.indptr, at.indices, d) for d in (value, rest))
            items = tuple((t.indptr, t.indices, d[t.data]) for d in (value, rest))
            rows, columns = (users, items) if self._by_user else (items, users)
            self._cache: tuple[Any, Any] = (train, (rows[0], *columns))
        return self._cache[1]

    def _sums(
        self, A: Csr, C: Csr, L: Csr, target: np.ndarray, group: np.ndarray,
        column: np.ndarray, own: bool,
    ) -> np.ndarray:  # fmt: skip
        """What neighbours add to the center of each (row of A, column of L).

        ``column[group[g] : group[g + 1]]`` belongs to row ``target[g]``.
        """
        fast = use_fast(self.engine)
        predict = _neighbors.predict if fast else _neighbors.predict_plain
        total, weight = predict(
            A, C, L, target, group, column, self._kind(), self.n_neighbors, own
        )
        if self.normalize:
            np.divide(total, weight, out=total, where=weight > 0)
        return total

    def _kind(self) -> Kind:
        """Number of the similarity, its two settings, and the ratings of each row."""
        size = np.bincount(self._tables()[1][1], minlength=self._n_rows())
        number = 3 if self.binary else SIMILARITIES.index(self.similarity)
        return number, self.min_support, float(self.shrinkage), size

    def _n_rows(self) -> int:
        return self.train_.n_users if self._by_user else self.train_.n_items

    def _pairs(self, user_codes: np.ndarray, item_codes: np.ndarray) -> np.ndarray:
        both = (user_codes, item_codes)
        row, column = both if self._by_user else both[::-1]
        order = np.argsort(row, kind="stable")
        target, first = np.unique(row[order], return_index=True)
        group = np.append(first, len(row))
        out = self._center(user_codes, item_codes)
        out[order] += self._sums(
            *self._tables(), target, group, column[order], own=True
        )
        return out

    def _scores(self, user_codes: np.ndarray) -> np.ndarray:
        items = np.arange(self.train_.n_items)
        row, column = user_codes, items
        if not self._by_user:
            row, column = column, row
        group = np.arange(len(row) + 1) * len(column)
        each = np.tile(column, len(row))
        total = self._sums(*self._tables(), row, group, each, own=True)
        total = total.reshape(len(row), -1)
        center = self._center(user_codes[:, None], items)
        return center + (total if self._by_user else total.T)

    def _new_user(self, item_codes: np.ndarray, rating: np.ndarray) -> np.ndarray:
        _, C, L = self._tables()
        n = self.train_.n_items
        center = self.global_mean_ + self.item_bias_[item_codes]
        damping = DAMPING_USER if self.center == "baseline" else 0.0
        bias = 0.0
        learned = self.center == "baseline" or (self.center == "mean" and self._by_user)
        if learned and not self.binary and len(rating):
            bias = (rating - center).sum() / (damping + len(rating))
        rest = self._rest(rating, center + bias)
        at = np.argsort(item_codes)
        if self._by_user:
            data = self._values(rating, rest)[at]
            ends = np.array([0, len(at)], C[0].dtype)
            one = ends, item_codes[at].astype(C[1].dtype), data
            zero, items = np.zeros(1, np.int64), np.arange(n)
            group = np.array([0, n])
            total = self._sums(one, C, L, zero, group, items, own=False)
        else:
            total = self._by_rated(item_codes[at], rest[at])
        return self.global_mean_ + bias + self.item_bias_ + total

    def _by_rated(self, item_codes: np.ndarray, rest: np.ndarray) -> np.ndarray:
        """What a newcomer's items add to each item: only their similarities count."""
        s = np.zeros((len(item_codes), self.train_.n_items))
        for p, i in enumerate(item_codes):
            s[p] = self._row(i)
        best = np.argsort(-s, axis=0, kind="stable")[: self.n_neighbors]
        s = np.take_along_axis(s, best, axis=0).clip(0)
        total, weight = (s * rest[best]).sum(axis=0), s.sum(axis=0)
        if self.normalize:
            np.divide(total, weight, out=total, where=weight > 0)
        return total

    def _row(self, code: int) -> np.ndarray:
        """Similarity of one row to all, 0 to itself, shape (n_rows,)."""
        A, C, _ = self._tables()
        fast = use_fast(self.engine)
        similarity = _neighbors.similarity if fast else _neighbors.similarity_plain
        s = similarity(A, C, code, self._kind())
        s[code] = 0.0
        return s

    def neighbors(self, user: Any, item: Any) -> pd.DataFrame:
        """Who, or what, a prediction rests on.

        Parameters
        ----------
        user, item : raw ids

        Returns
        -------
        DataFrame with columns ``user`` or ``item``, ``similarity, rating``
            The neighbours S, most similar first, and their training ratings: of this
            item (UserKNNModel), or by this user (ItemKNNModel).

        Raises
        ------
        KeyError
            The user or the item was not in training.
        """
        self._require_fit()
        train = self.train_
        u = train.users.code(user, "user", "it has no neighbours")
        i = train.items.code(item, "item", "it has no neighbours")
        row, column = (u, i) if self._by_user else (i, u)
        matrix = train.csr_by_item if self._by_user else train.csr
        rated = matrix[column]
        s = np.full(self._n_rows(), -np.inf)
        s[rated.indices] = self._row(row)[rated.indices]
        s[s <= 0] = -np.inf
        best, score = top_n(s, self.n_neighbors)
        ids = (train.users if self._by_user else train.items).ids[best]
        rating = rated.toarray()[0, best]
        name = "user" if self._by_user else "item"
        return pd.DataFrame({name: ids, "similarity": score, "rating": rating})


@dataclass(kw_only=True)
class UserKNNModel(_KNNModel):
    """Predict from the most similar users who rated the item.

    Parameters
    ----------
    n_neighbors : int
        At most this many neighbours.
    similarity : {"cosine", "pearson", "msd"}
    center : {"none", "mean", "baseline"}
        What is taken from ratings before they are averaged, and put back.
    compare : {"residuals", "ratings"}
        What similarities look at: what is left over the center, or the ratings as given
        (always these with ``center="none"``).
    shrinkage : float
        β: pulls similarities that rest on few shared columns to 0.
    min_support : int
        Fewer shared columns than this: similarity 0.
    normalize : bool
        Divide by the sum of similarities; a ranking score does without.
    binary : bool
        Each rating is a 1, a missing one a 0; needs ``normalize=False`` and cosine.
    engine : {"fast", "plain"}
        The compiled loops, or their twin in NumPy for small data.
    """

    def similar_users(self, user: Any, n: int = 10) -> pd.DataFrame:
        """The n users most like this one.

        Parameters
        ----------
        user : raw id
        n : int

        Returns
        -------
        DataFrame with columns ``user, score``
            Best first, without the user themself.

        Raises
        ------
        KeyError
            The user was not in training.
        """
        self._require_fit()
        code = self.train_.users.code(user, "user", "nobody is like them")
        score = self._row(code)
        score[code] = -np.inf
        best, score = top_n(score, n)
        return pd.DataFrame({"user": self.train_.users.ids[best], "score": score})


@dataclass(kw_only=True)
class ItemKNNModel(_KNNModel):
    """Predict from the most similar items that the user rated.

    Parameters
    ----------
    n_neighbors : int
        At most this many neighbours.
    similarity : {"cosine", "pearson", "msd"}
    center : {"none", "mean", "baseline"}
        What is taken from ratings before they are averaged, and put back.
    compare : {"residuals", "ratings"}
        What similarities look at: what is left over the center, or the ratings as given
        (always these with ``center="none"``).
    shrinkage : float
        β: pulls similarities that rest on few shared columns to 0.
    min_support : int
        Fewer shared columns than this: similarity 0.
    normalize : bool
        Divide by the sum of similarities; a ranking score does without.
    binary : bool
        Each rating is a 1, a missing one a 0; needs ``normalize=False`` and cosine.
    engine : {"fast", "plain"}
        The compiled loops, or their twin in NumPy for small data.
    """

    def _similar_items(self, item_code: int) -> np.ndarray:
        return self._row(item_code)
