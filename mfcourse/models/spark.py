"""The bridge to Spark: alternating least squares where data outgrow one machine.

Objective, over the observed ratings Ω, as Spark has it and as `ALSModel` with
``center="none"`` and weighted λ

    Σ_{(u,i) ∈ Ω} (r_ui − U_u · V_i)² + λ Σ_u n_u ‖U_u‖² + λ Σ_i n_i ‖V_i‖²

with n_u ratings of user u and n_i of item i. implicit=True: c_ui = 1 + α r_ui over all
cells, as `ImplicitALSModel` with ``reg_scaling="count"``. So λ carries over:

    here                  Spark                               ours, same objective
    n_factors             rank                                n_factors
    reg                   regParam                            reg
    n_epochs              maxIter                             n_epochs
    implicit, alpha       implicitPrefs, alpha                ImplicitALSModel, alpha
    a λ that is not weighted: none in Spark; λ / mean(n_u) comes nearest

How it is spread. Spark cuts users and items into blocks. In a half-step each block of
items sends every factor row once to each block of users that needs it, and the users of
a block are solved there: rows are independent, which is what lets them part. A worker
that is lost takes its blocks along; Spark makes them again from what they were made of.

Cold start. To Spark an id without factors has no prediction: NaN, so that an RMSE over
all rows is NaN too (coldStartStrategy="nan"). "drop" leaves such rows out, and the RMSE
is then one of other, easier rows. Here a stranger gets μ, as in every model of ours;
`cold_start` shows all three, with the number of rows behind each.

References: Y. Zhou, D. Wilkinson, R. Schreiber and R. Pan, "Large-Scale Parallel
Collaborative Filtering for the Netflix Prize", AAIM 2008. X. Meng et al., "MLlib:
Machine Learning in Apache Spark", Journal of Machine Learning Research 17, 2016.
"""

from __future__ import annotations

import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from mfcourse import cluster
from mfcourse.interactions import Interactions, check_columns, check_ratings
from mfcourse.models import _loss
from mfcourse.models._check import check_counts, check_newcomer_counts, check_number
from mfcourse.models._in_spark import TYPES, InSpark, als, factors, place, read
from mfcourse.models._solve import implicit_system, ridge_row
from mfcourse.models.base import FactorModel, NotFittedError, NotSupported


@dataclass(kw_only=True)
class SparkALSModel(FactorModel):
    """Factors by Spark's ALS, on this machine or on a cluster.

    Fitted on a frame, the factors come back and the model is like any other. Fitted on
    a path, nothing but counts comes here: see `recommend_all`, `cold_start`, `collect`.

    Parameters
    ----------
    n_factors : int
        k: numbers per user and per item.
    reg : float
        λ, times the number of ratings of a row.
    n_epochs : int
        Passes; each solves the items, then the users.
    implicit : bool
        Ratings are counts of events.
    alpha : float
        α: how much an event adds to the confidence, where implicit.
    n_blocks : int
        Blocks that users, and items, are cut into: about twice the cores there are. The
        start depends on it: the same factors come of the same number.
    seed : int
    master : str
        Where to run. "": in the session that is open, else ``MFCOURSE_SPARK_MASTER``,
        else on all cores of this machine. A session that is open elsewhere is closed.
    memory : str
        Of the driver and of each executor, if a session has to be opened.
    """

    n_factors: int = 20
    reg: float = 0.1
    n_epochs: int = 10
    implicit: bool = False
    alpha: float = 1.0
    n_blocks: int = 4
    seed: int = 0
    master: str = ""
    memory: str = "1g"
    center: ClassVar[str] = "none"  # the factors hold the mean themselves
    engine: ClassVar[str] = "fast"

    def fit(
        self,
        train: Any,
        *,
        validation: pd.DataFrame | None = None,
        progress: bool = False,
    ) -> Self:
        """Learn from ratings; a second fit starts afresh.

        Parameters
        ----------
        train : DataFrame, Interactions, path, or Spark DataFrame
            Columns ``user, item, rating``. A path of Parquet, or a Spark DataFrame,
            stays in Spark; for that a session must be open, and stay so:
            ``mfcourse.cluster.session()``.
        validation : DataFrame, optional
            Not used: Spark does not show its epochs.
        progress : bool
            Show what Spark has done so far.

        Returns
        -------
        self

        Raises
        ------
        SparkError
            Spark could not, in one sentence.
        ValueError
            Columns, values or pairs are not as they must be.
        TypeError, FileNotFoundError
            It is none of these, or there is nothing at the path.
        """
        if isinstance(train, pd.DataFrame | Interactions):
            return super().fit(train, validation=validation, progress=progress)
        if not isinstance(train, str | Path) and not hasattr(train, "sparkSession"):
            raise TypeError(
                "expected a DataFrame, Interactions, the path of a Parquet file or a "
                f"Spark DataFrame; got {type(train).__name__}"
            )
        self._check()
        if cluster.active() is None:
            raise cluster.SparkError(
                "what is fitted on a path stays in Spark, so a session must be open: "
                "spark = mfcourse.cluster.session()"
            )
        with cluster.using("", self.memory) as spark:
            learned = InSpark(self, read(spark, train), progress)
        if (before := getattr(self, "in_spark_", None)) is not None:
            before.release()
        self._forget()
        self.in_spark_ = learned
        return self

    def _fit(
        self, train: Interactions, validation: pd.DataFrame | None, progress: bool
    ) -> None:
        if self.implicit:
            check_counts(train, None)
        else:
            self.global_mean_ = float(train.rating.mean())
        codes = {"user": train.user_code, "item": train.item_code}
        frame = pd.DataFrame({**codes, "rating": train.rating}).astype(TYPES)
        with cluster.using(self.master, self.memory) as spark:
            start = time.perf_counter()
            model = als(self, spark.createDataFrame(frame), progress)
            seconds = time.perf_counter() - start
            self.user_factors_ = factors(model.userFactors, train.n_users)
            self.item_factors_ = factors(model.itemFactors, train.n_items)
        row = {"epoch": self.n_epochs, "seconds": seconds}
        if not self.implicit:
            squares, sizes = _loss.sums(self, train.csr)
            row["objective"] = squares + self.reg * sizes
            row["train_rmse"] = float(np.sqrt(squares / train.n_ratings))
        self.history_ = pd.DataFrame([row])

    def _solve_user(
        self, item_codes: np.ndarray, rating: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """A newcomer's row, by the row solve that Spark has."""
        F, weight = self.item_factors_[item_codes], self.reg * len(rating)
        if not self.implicit:
            return ridge_row(F, rating, weight, with_bias=False)
        check_newcomer_counts(rating)
        V, extra = self.item_factors_, self.alpha * rating[:, None]
        M, terms = implicit_system(V.T @ V, F, extra, weight)
        return 0.0, np.linalg.solve(M, terms.sum(axis=0))

    def cold_start(self, test: Any) -> pd.DataFrame:
        """RMSE under each answer to ids that training did not have.

        Parameters
        ----------
        test : DataFrame with columns ``user, item, rating``; or a path, after a path

        Returns
        -------
        DataFrame with columns ``cold_start, n_scored, n_dropped, rmse``
            Rows ``nan`` and ``drop``, which Spark has, and ``mean``: a stranger gets μ.

        Raises
        ------
        NotSupported
            An implicit model predicts preferences, not ratings.
        ValueError
            Columns or values are not as they must be.
        """
        if self.implicit:
            raise NotSupported(
                "an implicit model predicts no ratings: evaluate.ranking(model, test)"
            )
        if (learned := self._there()) is not None:
            with cluster.using("", self.memory):
                n, n_cold, warm, cold = learned.errors(test)
        else:
            self._require_fit()
            check_columns(test, "user", "item", "rating")
            check_ratings(test)
            squares = (test["rating"].to_numpy(np.float64) - self.predict(test)) ** 2
            users, items = self.train_.users, self.train_.items
            known = (users.codes(test["user"]) >= 0) & (items.codes(test["item"]) >= 0)
            n, n_cold = len(test), int((~known).sum())
            warm, cold = squares[known].sum(), squares[~known].sum()
        rows = [
            ("nan", n, 0, np.nan if n_cold else _root(warm, n)),
            ("drop", n - n_cold, n_cold, _root(warm, n - n_cold)),
            ("mean", n, 0, _root(warm + cold, n)),
        ]
        columns = ["cold_start", "n_scored", "n_dropped", "rmse"]
        return pd.DataFrame(rows, columns=columns)

    def recommend_all(
        self, path: str | Path, n: int = 10, exclude_seen: bool = True
    ) -> str | Path:
        """Write the n best items of every user as Parquet, without collecting them.

        Parameters
        ----------
        path : path or URL
            A folder that is not there yet; Spark writes a file for each part.
        n : int
        exclude_seen : bool
            Leave out what the user rated in training.

        Returns
        -------
        path or URL
            Of Parquet with columns ``user, item, score, rank``; of equal scores any
            comes first.

        Raises
        ------
        FileExistsError
            There is something at the path.
        NotSupported
            The factors are here: recommend does it.
        """
        if (learned := self._there()) is None:
            self._require_fit()
            raise NotSupported(
                "the factors are not in Spark but here: "
                "model.recommend(users).to_parquet(path)"
            )
        check_number("n", n, low=1, kind=int)
        if "://" in str(path):
            with cluster.using("", self.memory):
                learned.lists(n, exclude_seen).write.parquet(place(path))
            return path
        path = Path(path)
        if path.exists():
            raise FileExistsError(f"{path} is there already; take another path")
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            with cluster.using("", self.memory):
                learned.lists(n, exclude_seen).write.parquet(place(part))
            part.rename(path)
        finally:  # Ctrl-C too: nothing is left half-written
            shutil.rmtree(part, ignore_errors=True)
        return path

    def collect(self) -> Self:
        """Bring ids, ratings and factors here, after a fit on a path.

        Returns
        -------
        self
            Now a model like any other.

        Raises
        ------
        MemoryError
            They would not fit; nothing has changed.
        """
        if (learned := self._there()) is None:
            self._require_fit()
            return self
        with cluster.using("", self.memory):
            state = learned.collect()
            learned.release()
        self._forget()
        vars(self).update(state)
        return self

    def _there(self) -> InSpark | None:
        """What was learned from a path, as long as its session is open."""
        learned: InSpark | None = getattr(self, "in_spark_", None)
        if learned is not None and cluster.active() is not learned.spark:
            raise NotFittedError(
                "the factors went with the Spark session that was closed: fit again"
            )
        return learned

    def _require_fit(self) -> None:
        if self._there() is not None:
            raise NotSupported(
                "this model was fitted on a path and is still in Spark: recommend_all "
                "and cold_start work there, collect() brings it here"
            )
        super()._require_fit()


def _root(squares: float, n: int) -> float:
    return float(np.sqrt(squares / n)) if n else np.nan
