"""A fitted model and held-out ratings give metrics, each with an interval.

An interval answers: how much could this figure change if other people had been asked?
So whole users are drawn with replacement, with all their ratings (errors of one person
hang together), 1,000 times; the middle 95 % of the figures is the interval. The fitted
model is held fixed: what another training sample would change is not in it.

Two models are compared on the same draws, so that what is hard for both cancels. Where
more than two are compared, p-values are adjusted (Holm). Over folds, training sets
overlap, and the t-test is corrected for that (Nadeau and Bengio).

Relevant means a rating of at least ``relevant_at``. All items are ranked, never a
sample of them. Users with nothing relevant to find are left out, and counted. A test
item that training does not know is relevant all the same, though no list can hold it.

Lists are for users of the training frame (held back: random ratings, or the last of
each user), or for strangers whose ratings are folded in (strong generalization: whole
users are held back). See ``split``.

References: C. Nadeau and Y. Bengio, "Inference for the Generalization Error", Machine
Learning 52, 2003. S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure",
Scandinavian Journal of Statistics 6(2), 1979. W. Krichene and S. Rendle, "On Sampled
Metrics for Item Recommendation", KDD 2020 (why all items are ranked).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from mfcourse import metrics, split
from mfcourse.interactions import check_columns, check_ratings, raise_duplicate

CONFIDENCE = 0.95
ERRORS = ("rmse", "mae")
RANKED = {  # for one user; short, so that a printed table holds together
    "precision": "hits / {n}",
    "recall": "hits / {findable}",
    "ndcg": "DCG / best DCG; hit: 1/log₂(rank + 1)",
    "map": "Σ precision@hit / min({n}, relevant)",
    "mrr": "1 / rank of first hit, 0 without",
}


def ratings(
    model: Any,
    test: pd.DataFrame,
    *,
    clip: tuple[float, float] | None = None,
    n_boot: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """RMSE and MAE on held-out ratings.

    Parameters
    ----------
    model : Recommender
        Fitted.
    test : DataFrame with columns ``user, item, rating``
        Unknown users and items count too; the model predicts without what it lacks.
    clip : (low, high), optional
        Cut predictions to the range of the ratings.
    n_boot : int
        Draws of users.
    seed : int

    Returns
    -------
    DataFrame with index ``rmse, mae`` and columns ``value, low, high, ratings, users``
    """
    table = _errors(model, test, clip)
    parts = [_parts(table, name) for name in ERRORS]
    out = _intervals(ERRORS, parts, _draws(parts, n_boot, seed))
    return out.assign(ratings=len(test), users=len(table))


def ranking(
    model: Any,
    test: pd.DataFrame,
    *,
    n: int = 10,
    relevant_at: float = 4.0,
    denominator: str = "all",
    exclude_seen: bool = True,
    fold_in: pd.DataFrame | None = None,
    n_boot: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Quality of each user's list of n items.

    Parameters
    ----------
    model : Recommender
        Fitted.
    test : DataFrame with columns ``user, item, rating``
    n : int
        Length of a list.
    relevant_at : float
        Least rating that counts as relevant.
    denominator : {"all", "min"}
        Of recall, as in ``metrics.recall``.
    exclude_seen : bool
        Leave out of a list what its user rated in training, or in ``fold_in``.
    fold_in : DataFrame with columns ``user, item, rating``, optional
        Strong generalization: what is known of users who were not in training, from
        ``split.newcomers``. Each list comes from ``model.fold_in`` of the user's rows;
        rows of items that training does not know are left out.
    n_boot : int
        Draws of users.
    seed : int

    Returns
    -------
    DataFrame with a row per metric
        ``value, low, high``, and how many ``users`` it stands on; ``left_out`` users
        have nothing relevant in the test frame, ``unknown`` ones are not in training
        or, with ``fold_in``, rated nothing there that training knows. In words: the
        ``protocol``, and the ``definition`` for one user; ``value`` is its mean.

    Raises
    ------
    ValueError
        No user has both a relevant item and known ratings, or a user of ``fold_in`` was
        in training.
    NotSupported
        The model cannot fold in.
    """
    table, counts = _lists(
        model, test, [n], relevant_at, fold_in, denominator, exclude_seen
    )
    names = [f"{name}@{n}" for name in RANKED]
    parts = [_parts(table, name) for name in names]
    out = _intervals(names, parts, _draws(parts, n_boot, seed))
    ranked = "all unseen" if exclude_seen else "all items"
    findable = "all relevant" if denominator == "all" else f"min({n}, relevant)"
    return out.assign(
        **counts,
        protocol=f"{ranked}; relevant ≥ {relevant_at:g}"
        + ("" if fold_in is None else "; folded in"),
        definition=[w.format(n=n, findable=findable) for w in RANKED.values()],
    )


def compare(
    models: Mapping[str, Any],
    test: pd.DataFrame,
    *,
    metric: str = "rmse",
    reference: str | None = None,
    clip: tuple[float, float] | None = None,
    relevant_at: float = 4.0,
    fold_in: pd.DataFrame | None = None,
    n_boot: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Fitted models on the same held-out ratings, each against one of them.

    Parameters
    ----------
    models : mapping of name to fitted Recommender
    test : DataFrame with columns ``user, item, rating``
    metric : str
        ``rmse``, ``mae``, or one of ``precision``, ``recall``, ``ndcg``, ``map`` and
        ``mrr`` with a length: ``ndcg@10``.
    reference : str, optional
        Name of the model that the others are compared with; the first one.
    clip, relevant_at, fold_in
        As for `ratings` and `ranking`; ``fold_in`` for metrics of lists only.
    n_boot : int
        Draws of users, the same for all models.
    seed : int

    Returns
    -------
    DataFrame with a row per model
        ``value, low, high``; ``difference`` from the reference with its interval
        ``diff_low, diff_high``; ``p`` adjusted by Holm; ``verdict``: better, worse or
        not distinguishable.

    Raises
    ------
    ValueError
        An unknown metric or reference, fewer than two models, or models that know
        different users.
    """
    reference = _reference(models, reference)
    tables = {
        name: per_user(
            model, test, metric, clip=clip, relevant_at=relevant_at, fold_in=fold_in
        )
        for name, model in models.items()
    }
    return compare_users(tables, metric, reference=reference, n_boot=n_boot, seed=seed)


def compare_users(
    tables: Mapping[str, pd.DataFrame],
    metric: str,
    *,
    reference: str | None = None,
    n_boot: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Models compared from what `per_user` said of each.

    Parameters
    ----------
    tables : mapping of name to DataFrame
        From `per_user`; those of several folds may be added up, user by user.
    metric, reference, n_boot, seed
        As for `compare`.

    Returns
    -------
    DataFrame
        As from `compare`.

    Raises
    ------
    ValueError
        Fewer than two models, an unknown reference, or tables of different users.
    """
    reference, first = _reference(tables, reference), next(iter(tables))
    for name, table in tables.items():
        if not table.index.equals(tables[first].index):
            raise ValueError(
                f"{name!r} and {first!r} know different users of the test frame. Fit "
                "all models on the same training ratings"
            )
    n_boot = max(n_boot, 100 * len(tables))  # or Holm could find no difference
    parts = [_parts(table, metric) for table in tables.values()]
    draws = _draws(parts, n_boot, seed)
    out = _intervals(tables, parts, draws)
    base = list(tables).index(reference)
    difference = draws - draws[:, [base]]
    out["difference"] = out["value"] - out["value"].iloc[base]
    out["diff_low"], out["diff_high"] = _middle(difference)
    # Counted by what is strictly on the other side: without an interval (NaN) p is 1.
    below, above = 1 - (difference > 0).mean(axis=0), 1 - (difference < 0).mean(axis=0)
    p = np.clip(2 * np.minimum(below, above), 1 / n_boot, 1)
    return _judge(out, p, base, metric)


def cross_validate(
    models: Mapping[str, Any],
    frame: pd.DataFrame,
    *,
    n_folds: int = 5,
    metric: str = "rmse",
    reference: str | None = None,
    clip: tuple[float, float] | None = None,
    relevant_at: float = 4.0,
    seed: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """Models fitted and scored on each fold, each against one of them.

    Parameters
    ----------
    models : mapping of name to Recommender
        Unfitted ones do; each fold fits a copy.
    frame : DataFrame with columns ``user, item, rating``
    n_folds : int
    metric, reference, clip, relevant_at
        As for `compare`.
    seed : int
        Of the folds.
    progress : bool
        Show a bar.

    Returns
    -------
    DataFrame with a row per model
        ``value``, the mean over folds, and ``sd``; ``difference`` with the interval of
        the corrected t-test ``diff_low, diff_high``; ``p`` by Holm; ``verdict``.
    """
    from tqdm import tqdm

    _reference(models, reference)  # before hours of work
    folds = split.kfold(frame, n_folds, seed=seed)
    scores = pd.DataFrame(index=range(n_folds), columns=list(models), dtype=float)
    bar = tqdm(folds, total=n_folds, disable=not progress, desc="folds")
    for f, (train, test) in enumerate(bar):
        for name, model in models.items():
            fitted = dataclasses.replace(model).fit(train)
            table = per_user(fitted, test, metric, clip=clip, relevant_at=relevant_at)
            scores.loc[f, name] = value(table, metric)
    return compare_folds(scores, metric, reference=reference)


def compare_folds(
    scores: pd.DataFrame, metric: str, *, reference: str | None = None
) -> pd.DataFrame:
    """Models compared over folds, with the corrected t-test.

    Parameters
    ----------
    scores : DataFrame with a row per fold, a column per model
    metric, reference
        As for `compare`.

    Returns
    -------
    DataFrame
        As from `cross_validate`.

    Raises
    ------
    ValueError
        Fewer than two models, or an unknown reference.
    """
    from scipy.stats import t

    names = [str(name) for name in scores]
    base = names.index(_reference(names, reference))
    n_folds, values = len(scores), scores.to_numpy()
    out = pd.DataFrame({"value": values.mean(axis=0)}, index=names)
    out["sd"] = values.std(axis=0, ddof=1)
    difference = values - values[:, [base]]
    out["difference"] = difference.mean(axis=0)
    share = 1 / n_folds + 1 / (n_folds - 1)  # the second: n_test / n_train
    error = np.sqrt(share * difference.var(axis=0, ddof=1))
    reach = t.ppf((1 + CONFIDENCE) / 2, n_folds - 1) * error
    out["diff_low"] = out["difference"] - reach
    out["diff_high"] = out["difference"] + reach
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * t.sf(np.abs(out["difference"].to_numpy()) / error, n_folds - 1)
    return _judge(out, np.nan_to_num(p, nan=1.0), base, metric)


# ---- A value per user ----------------------------------------------------------------


def _check(test: pd.DataFrame) -> None:
    check_columns(test, "user", "item", "rating")
    check_ratings(test)
    if test.duplicated(["user", "item"]).any():
        raise_duplicate(test)


def _errors(
    model: Any, test: pd.DataFrame, clip: tuple[float, float] | None
) -> pd.DataFrame:
    """Sums of squared and absolute errors of each user, and their number."""
    _check(test)
    error = test["rating"].to_numpy() - model.predict(test, clip=clip)
    sums = pd.DataFrame({"rmse": error**2, "mae": np.abs(error), "n": 1})
    return sums.groupby(test["user"].to_numpy(), sort=False).sum()


def _lists(
    model: Any,
    test: pd.DataFrame,
    lengths: list[int],
    relevant_at: float,
    fold_in: pd.DataFrame | None,
    denominator: str = "all",
    exclude_seen: bool = True,
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Every ranking metric of each user at each length, and how many users there are.

    The lists are made once, of the largest length.
    """
    _check(test)
    n = max(lengths)
    model.recommend([], n=n)  # NotFittedError here, before ``train_`` is asked for
    if n < 1:
        raise ValueError(f"n is the length of a list, at least 1; got {n}")
    known_users = model.train_.users.ids
    if fold_in is not None:
        fold_in = _of_strangers(fold_in, model)
        known_users = fold_in["user"]
    relevant = test.loc[test["rating"] >= relevant_at, ["user", "item"]]
    known = relevant["user"].isin(known_users)
    n_relevant = relevant[known].groupby("user", sort=False).size()
    users = n_relevant.index
    counts = {
        "users": len(users),
        "left_out": test["user"].nunique() - relevant["user"].nunique(),
        "unknown": relevant.loc[~known, "user"].nunique(),
    }
    if not len(users):
        raise ValueError(
            f"no user of the test frame has a rating of at least {relevant_at} and is "
            f"known from training or fold_in ({counts}). Lower relevant_at, or split "
            "otherwise"
        )
    if fold_in is None:
        lists = model.recommend(list(users), n=n, exclude_seen=exclude_seen)
    else:
        heads = []
        told = fold_in[fold_in["user"].isin(users)]
        for user, rows in told.groupby("user", sort=False):
            ranked = model.fold_in(rows, exclude_seen=exclude_seen)
            # A copy: head(n) is a view, which keeps the whole list in memory.
            heads.append(ranked[ranked["rank"] <= n].assign(user=user))
        lists = pd.concat(heads)
    found = lists.merge(relevant, on=["user", "item"])
    hits = np.zeros((len(users), n), dtype=bool)
    hits[users.get_indexer(found["user"]), found["rank"] - 1] = True
    size = n_relevant.to_numpy()
    values = {"n": np.ones(len(users))}
    for n in lengths:
        top = hits[:, :n]
        values |= {
            f"precision@{n}": metrics.precision(top),
            f"recall@{n}": metrics.recall(top, size, denominator),
            f"ndcg@{n}": metrics.ndcg(top, size),
            f"map@{n}": metrics.average_precision(top, size),
            f"mrr@{n}": metrics.reciprocal_rank(top),
        }
    return pd.DataFrame(values, index=users), counts


def _of_strangers(fold_in: pd.DataFrame, model: Any) -> pd.DataFrame:
    """Rows of items that training knows; none may be of a user whom it knows."""
    _check(fold_in)
    trained = fold_in["user"].isin(model.train_.users.ids)
    if trained.any():
        raise ValueError(
            f"user(s) {fold_in['user'][trained].unique()[:5].tolist()} of fold_in were "
            "in training; strong generalization wants strangers: split.newcomers"
        )
    return fold_in[fold_in["item"].isin(model.train_.items.ids)]


def per_user(
    model: Any,
    test: pd.DataFrame,
    *names: str,
    clip: tuple[float, float] | None = None,
    relevant_at: float = 4.0,
    fold_in: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """What metrics are made of, user by user.

    Parameters
    ----------
    model : Recommender
        Fitted.
    test : DataFrame with columns ``user, item, rating``
    *names : str
        Metrics as for `compare`, all of ratings or all of lists.
    clip, relevant_at, fold_in
        As for `ratings` and `ranking`.

    Returns
    -------
    DataFrame with a row per user, and a column per metric, and ``n``
        A metric is the sum of its column over the sum of ``n``; for RMSE, its root.

    Raises
    ------
    ValueError
        An unknown metric, or both kinds.
    """
    errors = ERRORS if fold_in is None else ()  # strangers are given lists, no ratings
    if names and set(names) <= set(errors):
        return _errors(model, test, clip)
    lengths = []
    for one in names:
        name, _, n = one.partition("@")
        if name not in RANKED or not n.isdigit():
            known = [*errors, *(f"{m}@10" for m in RANKED)]
            raise ValueError(f"metric must be like one of {known}; got {one!r}")
        lengths.append(int(n))
    return _lists(model, test, lengths, relevant_at, fold_in)[0]


def value(table: pd.DataFrame, metric: str) -> float:
    """A metric, from `per_user`.

    Parameters
    ----------
    table : DataFrame
    metric : str

    Returns
    -------
    float
    """
    return _value(*_parts(table, metric))


Part = tuple[np.ndarray, np.ndarray, bool]


def _parts(table: pd.DataFrame, name: str) -> Part:
    """A metric is Σ of one column over Σ of another, for RMSE under a root."""
    return table[name].to_numpy(), table["n"].to_numpy(), name == "rmse"


def _value(top: np.ndarray, bottom: np.ndarray, root: bool) -> float:
    mean = top.sum() / bottom.sum()
    return float(np.sqrt(mean) if root else mean)


# ---- Draws of users ------------------------------------------------------------------


def _draws(parts: list[Part], n_boot: int, seed: int) -> np.ndarray:
    """Each metric on each draw of users, shape (n_boot, len(parts)).

    NaN where there is one user, who says nothing of others.
    """
    if n_boot < 1:
        raise ValueError(f"n_boot is the number of draws, at least 1; got {n_boot}")
    top = np.stack([t for t, _, _ in parts], axis=1)  # (n_users, len(parts))
    bottom = np.stack([b for _, b, _ in parts], axis=1)
    root = np.array([r for _, _, r in parts])
    rng, m = np.random.default_rng(seed), len(top)
    out = np.full((n_boot, len(parts)), np.nan)
    for b in range(n_boot if m > 1 else 0):
        times = np.bincount(rng.integers(0, m, m), minlength=m).astype(np.float64)
        out[b] = (times @ top) / (times @ bottom)
    return np.where(root, np.sqrt(out), out)


def _intervals(names: Any, parts: list[Part], draws: np.ndarray) -> pd.DataFrame:
    low, high = _middle(draws)
    value = [_value(*part) for part in parts]
    return pd.DataFrame({"value": value, "low": low, "high": high}, index=list(names))


def _middle(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    return low, high


# ---- Verdicts ------------------------------------------------------------------------


def _reference(models: Iterable[str], reference: str | None) -> str:
    names = list(models)
    if len(names) < 2 or (reference is not None and reference not in names):
        raise ValueError(
            f"expected two or more models and a reference among them; got {names} and "
            f"reference={reference!r}"
        )
    return names[0] if reference is None else reference


def _judge(out: pd.DataFrame, p: np.ndarray, base: int, metric: str) -> pd.DataFrame:
    """Adjust p-values (Holm) and put each difference in words."""
    others = np.delete(np.arange(len(p)), base)
    order = others[np.argsort(p[others], kind="stable")]
    adjusted = np.full(len(p), np.nan)
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    lower_is_better = metric in ERRORS
    better = (out["difference"].to_numpy() < 0) == lower_is_better
    verdict = np.where(better, "better", "worse").astype(object)
    verdict[~(adjusted < 1 - CONFIDENCE)] = "not distinguishable"
    verdict[base] = "reference"
    return out.assign(p=adjusted, verdict=verdict)
