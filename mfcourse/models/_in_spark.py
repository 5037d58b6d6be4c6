"""Ratings and factors that stay in Spark: what `SparkALSModel` learns from a path.

The driver, which is this process, sees counts and the rows of answers, never the
ratings. All of it is Spark's own SQL, so that workers need no Python.
"""

from __future__ import annotations

import re
import secrets
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix

from mfcourse import cluster
from mfcourse.interactions import IdMap, Interactions, check_columns, check_ratings

TYPES = {"user": "int32", "item": "int32", "rating": "float32"}


class InSpark:
    """Ratings, ids and factors as Spark DataFrames.

    Parameters
    ----------
    model : SparkALSModel
        Its hyper-parameters are those to learn with.
    ratings : Spark DataFrame with columns ``user, item, rating``
    progress : bool
        Show a bar.

    Raises
    ------
    ValueError
        A value is missing, a pair comes twice, a count is 0 or below.
    """

    def __init__(self, model: Any, ratings: Any, progress: bool) -> None:
        self.spark, self.implicit = ratings.sparkSession, model.implicit
        self._checked(ratings)
        self.users, self.items = (_coded(ratings, c) for c in ("user", "item"))
        self.ratings = self._codes(ratings, "inner").cache()
        try:
            self.model = als(model, self.ratings, progress)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let Spark forget what it holds for us; what it needs again, it computes."""
        if cluster.active() is self.spark:  # else all of it went with the session
            for frame in (self.users, self.items, self.ratings):
                frame.unpersist()

    def _checked(self, ratings: Any) -> None:
        """Count, and raise where the ratings are not as they must be; in one pass."""
        row = ratings.selectExpr(
            "count(*) n", "avg(rating) mean", "min(rating) least", _missing(ratings),
            "count(distinct user, item) pairs", "count(distinct user) users",
            "count(distinct item) items",
        ).first()  # fmt: skip
        _check_whole(row)
        if row.pairs < row.n:
            raise ValueError(
                f"{row.n - row.pairs} row(s) repeat a pair (user, item). Keep one: "
                "frame.dropDuplicates(['user', 'item'])"
            )
        if self.implicit and row.least <= 0:
            raise ValueError(f"counts must be above 0; the least is {row.least:g}")
        self.mean = 0.0 if self.implicit else float(row.mean)
        self.sizes = row.n, row.users, row.items

    def _codes(self, frame: Any, how: str) -> Any:
        coded = frame.join(self.users, "user", how).join(self.items, "item", how)
        return coded.selectExpr(
            "user_code user", "item_code item", "float(rating) rating"
        )

    def errors(self, test: Any) -> tuple[int, int, float, float]:
        """Squared errors, with strangers predicted as μ.

        Parameters
        ----------
        test : DataFrame with columns ``user, item, rating``, Spark DataFrame, or path

        Returns
        -------
        n, n_cold : int
            Rows, and those whose user or item training did not have.
        warm, cold : float
            Sums of squared errors of the others, and of those.

        Raises
        ------
        ValueError
            A value is missing, or ids are of another type than in training.
        """
        if isinstance(test, pd.DataFrame):
            check_columns(test, "user", "item", "rating")
            check_ratings(test)
            test = self.spark.createDataFrame(test[["user", "item", "rating"]])
        else:
            test = read(self.spark, test)
            _check_whole(test.selectExpr("count(*) n", _missing(test)).first())
        for name, codes in (("user", self.users), ("item", self.items)):
            kinds = [dict(frame.dtypes)[name] for frame in (test, codes)]
            if kinds.count("string") == 1:
                raise ValueError(
                    f"{name} is {kinds[0]}, and was {kinds[1]} in training"
                )
        coded = self._codes(test, "left").fillna(-1, subset=["user", "item"])
        row = self.model.setColdStartStrategy("nan").transform(coded).selectExpr(
            "count(*) n", "count_if(isnan(prediction)) cold",
            "sum(if(isnan(prediction), 0D, pow(rating - double(prediction), 2))) warm",
            f"sum(if(isnan(prediction), pow(rating - {self.mean!r}D, 2), 0D)) colder",
        ).first()  # fmt: skip
        return row.n, row.cold, row.warm or 0.0, row.colder or 0.0

    def lists(self, n: int, exclude_seen: bool) -> Any:
        """The n best of each user, with raw ids.

        Spark knows of no seen items: ask for n more than were seen, and take those out.
        Users go by how many they have seen, 1–3, 4–15, 16–63 …, so that nobody is asked
        for more than four times what is needed.

        Parameters
        ----------
        n : int
        exclude_seen : bool

        Returns
        -------
        Spark DataFrame with columns ``user, item, score, rank``
        """
        best = self._best(n) if exclude_seen else self.model.recommendForAllUsers(n)
        best = best.selectExpr("user", "inline(recommendations)")
        if exclude_seen:
            best = best.join(self.ratings, ["user", "item"], "left_anti")
        best = best.selectExpr(
            "user user_code", "item item_code", "rating score",
            "row_number() over (partition by user order by rating desc, item) rank",
        ).where(f"rank <= {n}")  # fmt: skip
        best = best.join(self.users, "user_code").join(self.items, "item_code")
        return best.selectExpr("user", "item", "double(score) score", "rank")

    def _best(self, n: int) -> Any:
        seen = self.ratings.groupBy("user").count()
        seen = seen.selectExpr("user", "int(log2(count) / 2) size")
        parts = [
            self.model.recommendForUserSubset(
                seen.where(f"size = {row.size}"), n + 4 ** (row.size + 1) - 1
            )
            for row in seen.select("size").distinct().collect()
        ]
        return reduce(lambda these, those: these.union(those), parts)

    def collect(self) -> dict[str, Any]:
        """Bring it all here.

        Returns
        -------
        dict
            The state of a model that was fitted on a frame.

        Raises
        ------
        MemoryError
            It would not fit.
        """
        import psutil

        (n, n_users, n_items), k = self.sizes, self.model.rank
        need = 40 * n + 20 * k * (n_users + n_items)  # with copies on the way
        free = psutil.virtual_memory().available
        if need > free:
            raise MemoryError(
                f"{n:,} ratings and {n_users + n_items:,} rows of factors need about "
                f"{need / 1e9:.1f} GB here, {free / 1e9:.1f} are free. Leave them in "
                "Spark: recommend_all(path)"
            )
        users = IdMap(self.users.sort("user_code").toPandas()["user"])
        items = IdMap(self.items.sort("item_code").toPandas()["item"])
        told = self.ratings.toPandas()
        cells = told["rating"].astype(np.float64), (told["user"], told["item"])
        R = coo_matrix(cells, (n_users, n_items)).tocsr()
        R.sort_indices()
        return {
            "train_": Interactions.from_parts(users, items, R),
            "global_mean_": self.mean,
            "user_bias_": np.zeros(n_users),
            "item_bias_": np.zeros(n_items),
            "user_factors_": factors(self.model.userFactors, n_users),
            "item_factors_": factors(self.model.itemFactors, n_items),
            "history_": pd.DataFrame({"epoch": pd.Series(dtype=np.int64)}),
        }


def read(spark: Any, source: Any) -> Any:
    """Columns user, item, rating of Parquet or of a Spark DataFrame.

    Parameters
    ----------
    spark : SparkSession
    source : path or Spark DataFrame

    Returns
    -------
    Spark DataFrame

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file, or no such column; ratings are no numbers.
    """
    if isinstance(source, str | Path):
        if "://" not in str(source) and not Path(source).exists():
            raise FileNotFoundError(f"there is no {source}; expected Parquet")
        source = spark.read.parquet(place(source))
    for name in ("user", "item", "rating"):
        if name not in source.columns:
            raise ValueError(f"there is no column {name!r}; found {source.columns}")
    kind = dict(source.dtypes)["rating"]
    if not re.match("(tiny|small|big)?int$|float|double|decimal", kind):
        raise ValueError(f"ratings must be numbers; the column 'rating' is {kind}")
    # Spark takes what it has cached for any frame of the same plan, and a file that was
    # written anew has the plan of the old one.
    own = f"'{secrets.token_hex(8)}' is not null"
    return source.select("user", "item", "rating").where(own)


def place(path: str | Path) -> str:
    """Of a file, as Spark wants it: Java may have been started in another folder.

    Parameters
    ----------
    path : path or URL

    Returns
    -------
    str
    """
    return str(path) if "://" in str(path) else str(Path(path).absolute())


def _missing(ratings: Any) -> str:
    """The expression that counts rows with a gap."""
    gaps = ["user is null", "item is null", "rating is null", "isnan(rating)"]
    gaps += [
        f"isnan({name})"
        for name, kind in ratings.dtypes[:2]
        if kind in ("float", "double")
    ]
    return f"count_if({' or '.join(gaps)} or abs(rating) = double('infinity')) missing"


def _check_whole(row: Any) -> None:
    if row.n == 0:
        raise ValueError("there are no ratings: no row at all")
    if row.missing:
        raise ValueError(
            f"expected ratings without gaps; {row.missing} of {row.n} rows have a "
            "value that is missing or infinite"
        )


def _coded(ratings: Any, name: str) -> Any:
    """Raw ids and codes 0, 1, …, in the order of the ids: as Spark wants them."""
    ids = ratings.select(name).distinct().sort(name).zipWithIndex("code")
    return ids.selectExpr(name, f"int(code) {name}_code").cache()


def als(model: Any, ratings: Any, progress: bool) -> Any:
    """Run Spark's ALS.

    Parameters
    ----------
    model : SparkALSModel
        Has the hyper-parameters.
    ratings : Spark DataFrame with columns ``user, item, rating``
        Users and items as int32.
    progress : bool
        Show a bar.

    Returns
    -------
    pyspark.ml.recommendation.ALSModel
    """
    from pyspark.ml.recommendation import ALS

    als = ALS(
        rank=model.n_factors, regParam=float(model.reg), maxIter=model.n_epochs,
        implicitPrefs=model.implicit, alpha=float(model.alpha), seed=model.seed,
        userCol="user", itemCol="item", ratingCol="rating",
        numUserBlocks=model.n_blocks, numItemBlocks=model.n_blocks,
    )  # fmt: skip
    with cluster.bar(ratings.sparkSession, "Spark ALS", progress):
        return als.fit(ratings)


def factors(frame: Any, size: int) -> np.ndarray:
    """Rows ``id, features`` of Spark → an array.

    Parameters
    ----------
    frame : Spark DataFrame
    size : int
        Number of ids; one without a row gets factors 0.

    Returns
    -------
    array of shape (size, k)
    """
    told = frame.toPandas()
    rows = np.stack(told["features"].to_numpy())
    out = np.zeros((size, rows.shape[1]))
    out[told["id"].to_numpy()] = rows
    return out
