"""The protocol that every model keeps, written once.

    model = SomeModel(n_factors=20, seed=0)     a keyword-only dataclass; does no work
    model.fit(train)                            learns; what it learned ends in ``_``
    model.predict(pairs)                        r̂ for each row user, item
    model.recommend(users, n=10)                the best unseen items of each user

A model family writes ``_fit`` and, unless it is a factor model, ``_scores``. A factor
model learns μ, b_u, b_i, U (m × k) and V (n × k), and predicts

    r̂_ui = μ + b_u + b_i + U_u · V_i

An unknown user or item has bias 0 and factors 0: a prediction is never NaN, and all
models are scored on the same rows. Raw ids go in and come out; codes stay inside.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from mfcourse.interactions import Interactions, check_columns, check_ratings
from mfcourse.models import _lists, _store
from mfcourse.models._check import check_fields, newcomer
from mfcourse.models._lists import top_n


class NotFittedError(RuntimeError):
    """The model was asked for an answer before ``fit``."""


class NotSupported(NotImplementedError):  # noqa: N818 - the protocol's name
    """This kind of model cannot do what was asked; the message names those that can."""


@dataclass(kw_only=True)
class Recommender:
    """What all models share. Fields of a subclass are its hyper-parameters."""

    def __post_init__(self) -> None:
        self._check()

    def _check(self) -> None:
        """Raise ValueError where a hyper-parameter makes no sense."""
        check_fields(self)

    def _fit(
        self, train: Interactions, validation: pd.DataFrame | None, progress: bool
    ) -> None:
        raise NotImplementedError

    def _scores(self, user_codes: np.ndarray) -> np.ndarray:
        """Score of every item for these users, shape (len(user_codes), n_items)."""
        raise NotImplementedError

    def _pairs(self, user_codes: np.ndarray, item_codes: np.ndarray) -> np.ndarray:
        """Prediction for known pairs; a family with a shortcut has its own."""
        out = np.empty(len(user_codes))
        for codes in _lists.blocks(np.unique(user_codes), self.train_.n_items):
            rows = np.flatnonzero(np.isin(user_codes, codes))
            block = self._scores(codes)
            out[rows] = block[
                np.searchsorted(codes, user_codes[rows]), item_codes[rows]
            ]
        return out

    def _new_user(self, item_codes: np.ndarray, rating: np.ndarray) -> np.ndarray:
        """Score of every item for a user with these ratings, shape (n_items,)."""
        raise self._unsupported("fold_in", "every model that ranks")

    def fit(
        self,
        train: pd.DataFrame | Interactions,
        *,
        validation: pd.DataFrame | None = None,
        progress: bool = False,
    ) -> Self:
        """Learn from ratings; a second fit starts afresh.

        Parameters
        ----------
        train : DataFrame with columns ``user, item, rating``, or Interactions
            The ratings to learn from.
        validation : DataFrame with the same columns, optional
            Ratings to watch while learning, for models that learn in epochs.
        progress : bool
            Show a progress bar.

        Returns
        -------
        self
        """
        self._check()
        interactions = train if isinstance(train, Interactions) else Interactions(train)
        if validation is not None:
            check_columns(validation, "user", "item", "rating")
            check_ratings(validation)
        before = self._state()
        self._forget()
        self.train_ = interactions
        self.global_mean_ = 0.0
        self.user_bias_ = np.zeros(interactions.n_users)
        self.item_bias_ = np.zeros(interactions.n_items)
        self.history_ = pd.DataFrame({"epoch": pd.Series(dtype=np.int64)})
        try:
            self._fit(interactions, validation, progress)
        except BaseException:  # Ctrl-C too: never leave a half-fitted model
            self._forget()
            vars(self).update(before)
            raise
        return self

    def predict(
        self, pairs: pd.DataFrame, *, clip: tuple[float, float] | None = None
    ) -> np.ndarray:
        """Predicted rating of each row.

        Parameters
        ----------
        pairs : DataFrame with columns ``user, item``
            Raw ids. An unknown one contributes bias 0 and factors 0.
        clip : (low, high), optional
            Cut predictions to this range, in the unit of the ratings.

        Returns
        -------
        float array of shape (len(pairs),)
            Never NaN.
        """
        self._require_fit()
        check_columns(pairs, "user", "item")
        users, items = self.train_.users, self.train_.items
        out = self._predict(users.codes(pairs["user"]), items.codes(pairs["item"]))
        return out if clip is None else np.clip(out, *clip)

    def _predict(self, user_code: np.ndarray, item_code: np.ndarray) -> np.ndarray:
        """Prediction for codes; −1, an unknown id, is met here and nowhere else."""
        # Code −1 picks the 0 put at the end.
        bias_u = np.append(self.user_bias_, 0.0)[user_code]
        bias_i = np.append(self.item_bias_, 0.0)[item_code]
        out = self.global_mean_ + bias_u + bias_i
        known = (user_code >= 0) & (item_code >= 0)
        if known.any():
            out[known] = self._pairs(user_code[known], item_code[known])
        return out

    def recommend(
        self, users: Any, n: int = 10, exclude_seen: bool = True
    ) -> pd.DataFrame:
        """The n best items of each user.

        Parameters
        ----------
        users : raw id, or sequence of raw ids
        n : int
            Length of a list; shorter where a user has fewer items left.
        exclude_seen : bool
            Leave out the items the user rated in training.

        Returns
        -------
        DataFrame with columns ``user, item, score, rank``
            Best first, rank from 1; ties by item code.

        Raises
        ------
        KeyError
            A user was not in training.
        """
        self._require_fit()
        asked = [users] if np.ndim(users) == 0 else list(users)
        codes = self.train_.users.codes(asked)
        if (codes < 0).any():
            strangers = [u for u, c in zip(asked, codes, strict=True) if c < 0]
            raise KeyError(
                f"user(s) {strangers[:5]} were not in training. For a new user: "
                "model.fold_in(their ratings)"
            )
        lists = []
        for block in _lists.blocks(codes, self.train_.n_items):
            seen = self.train_.csr[block] if exclude_seen else None
            lists.append(_lists.top_n_rows(self._scores(block), n, seen))
        return _lists.frame(asked, self.train_.items.ids, lists)

    def similar_items(self, item: Any, n: int = 10) -> pd.DataFrame:
        """The n items most like this one.

        Parameters
        ----------
        item : raw id
        n : int

        Returns
        -------
        DataFrame with columns ``item, score``
            Best first, without the item itself.

        Raises
        ------
        KeyError
            The item was not in training.
        """
        self._require_fit()
        code = self.train_.items.code(item, "item", "nothing is like it")
        score = self._similar_items(code).astype(np.float64)
        score[code] = -np.inf
        best, score = top_n(score, n)
        return pd.DataFrame({"item": self.train_.items.ids[best], "score": score})

    def _similar_items(self, item_code: int) -> np.ndarray:
        raise self._unsupported("similar_items", "factor models and ItemKNNModel")

    def fold_in(
        self, ratings: pd.DataFrame, *, exclude_seen: bool = True
    ) -> pd.DataFrame:
        """Scores for a new user from their ratings, without refitting.

        Parameters
        ----------
        ratings : DataFrame with columns ``item, rating``
            The newcomer's ratings; may have no rows.
        exclude_seen : bool
            Leave out the items just rated.

        Returns
        -------
        DataFrame with columns ``item, score, rank``
            Every item, best first.

        Raises
        ------
        KeyError
            An item was not in training.
        NotSupported
            The model cannot.
        """
        self._require_fit()
        item_code, rating = newcomer(ratings, self.train_.items)
        score = self._new_user(item_code, rating)
        if exclude_seen:
            score[item_code] = -np.inf
        best, score = top_n(score, len(score))
        items = self.train_.items.ids[best]
        rank = np.arange(1, len(best) + 1)
        return pd.DataFrame({"item": items, "score": score, "rank": rank})

    def explain(self, user: Any, item: Any) -> pd.DataFrame:
        """What each of the user's items adds to a score.

        Parameters
        ----------
        user, item : raw ids

        Returns
        -------
        DataFrame with columns ``item, contribution``
            Largest first. With μ and b_i, where the model has them, their sum is the
            prediction; with ``solver="cg"`` nearly so, since the row was not solved to
            the end.

        Raises
        ------
        KeyError
            The user or the item was not in training.
        NotSupported
            The model cannot.
        """
        self._require_fit()
        u = self.train_.users.code(user, "user", "there is nothing to explain")
        told = self.train_.csr[u]
        return self._explained(told.indices, told.data, item)

    def explain_new(self, ratings: pd.DataFrame, item: Any) -> pd.DataFrame:
        """What each of a newcomer's items adds to a score of ``fold_in``.

        Parameters
        ----------
        ratings : DataFrame with columns ``item, rating``
            The newcomer's ratings; may have no rows.
        item : raw id

        Returns
        -------
        DataFrame with columns ``item, contribution``
            Largest first. With μ and b_i, where the model has them, their sum is the
            score.

        Raises
        ------
        KeyError
            An item was not in training.
        NotSupported
            The model cannot.
        """
        self._require_fit()
        return self._explained(*newcomer(ratings, self.train_.items), item)

    def _explained(
        self, codes: np.ndarray, rating: np.ndarray, item: Any
    ) -> pd.DataFrame:
        i = self.train_.items.code(item, "item", "there is nothing to explain")
        part = self._reasons(codes, rating, i)
        order = np.argsort(-part, kind="stable")
        ids = self.train_.items.ids[codes[order]]
        return pd.DataFrame({"item": ids, "contribution": part[order]})

    def _reasons(self, codes: np.ndarray, rating: np.ndarray, i: int) -> np.ndarray:
        """What each of a user's ratings adds to the score of item i."""
        raise self._unsupported("explain", "ALS and iALS")

    def save(self, path: str | Path) -> Path:
        """Write the fitted model to one ``.npz`` file, without pickle.

        Parameters
        ----------
        path : path
            ``.npz`` is added where it is missing.

        Returns
        -------
        Path
            The file written; an older one is replaced only once the new is whole.
        """
        self._require_fit()
        return _store.save(self, self._state(), Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model that ``save`` wrote.

        Parameters
        ----------
        path : path

        Returns
        -------
        Recommender
            Of the class that was saved; ``ALSModel.load`` takes an ALSModel only.

        Raises
        ------
        ValueError
            The file is not ours, from another version, or holds another class.
        """
        name, params, state = _store.load(Path(path))
        package = importlib.import_module("mfcourse")
        kind = getattr(package, name) if name in package.__all__ else None
        if not (isinstance(kind, type) and issubclass(kind, cls)):
            raise ValueError(
                f"{path} holds a {name}, expected a {cls.__name__}. "
                "Recommender.load(path) takes any model"
            )
        model = kind(**params)
        vars(model).update(state)
        return model

    def _state(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k.endswith("_")}

    def _forget(self) -> None:
        for name in self._state():
            delattr(self, name)

    def _require_fit(self) -> None:
        if not hasattr(self, "train_"):
            raise NotFittedError(
                f"this {type(self).__name__} has not learned yet. Call model.fit(train)"
            )

    def _unsupported(self, what: str, who: str) -> NotSupported:
        return NotSupported(f"{type(self).__name__} has no {what}; {who} can")


class FactorModel(Recommender):
    """A model whose scores are μ + b_u + b_i + U_u · V_i."""

    user_factors_: np.ndarray
    item_factors_: np.ndarray

    @property
    def _level(self) -> float:
        """μ, or 0 where factors hold the mean themselves: μ is then for strangers."""
        return 0.0 if getattr(self, "center", "") == "none" else self.global_mean_

    def _scores(self, user_codes: np.ndarray) -> np.ndarray:
        scores = self.user_factors_[user_codes] @ self.item_factors_.T
        for bias in (self._level + self.user_bias_[user_codes, None], self.item_bias_):
            if bias.any():  # a model without biases needs no walk over all scores
                scores += bias
        return scores

    def _pairs(self, user_codes: np.ndarray, item_codes: np.ndarray) -> np.ndarray:
        bias = self.user_bias_[user_codes] + self.item_bias_[item_codes]
        U, V = self.user_factors_[user_codes], self.item_factors_[item_codes]
        return self._level + bias + np.einsum("pk,pk->p", U, V)

    def fold_in_user(self, ratings: pd.DataFrame) -> tuple[float, np.ndarray]:
        """Bias and factors of a new user, by the row solve of training.

        Parameters
        ----------
        ratings : DataFrame with columns ``item, rating``

        Returns
        -------
        bias : float
            b_u of the newcomer.
        row : array of shape (k,)
            U_u of the newcomer.
        """
        self._require_fit()
        return self._solve_user(*newcomer(ratings, self.train_.items))

    def _solve_user(
        self, item_codes: np.ndarray, rating: np.ndarray
    ) -> tuple[float, np.ndarray]:
        raise self._unsupported("fold_in", "kNN, ALS, iALS, EASE and popularity")

    def _new_user(self, item_codes: np.ndarray, rating: np.ndarray) -> np.ndarray:
        bias, row = self._solve_user(item_codes, rating)
        return self._level + bias + self.item_bias_ + self.item_factors_ @ row

    def _similar_items(self, item_code: int) -> np.ndarray:
        V = self.item_factors_
        if V.shape[1] == 0:
            return super()._similar_items(item_code)
        length = np.maximum(np.linalg.norm(V, axis=1), 1e-150)
        return V @ V[item_code] / (length * length[item_code])
