"""Learning in epochs: what was learned on the way, when to stop, and when it broke."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd


def learn(
    model: Any,
    epoch: Callable[[int], tuple[float, float | None]],
    validation: pd.DataFrame | None,
    progress: bool,
) -> None:
    """Run a model's epochs and keep its ``history_``, a row an epoch.

    With a validation frame, learning stops once ``model.patience`` epochs in a row
    brought no smaller validation error, and what the best epoch had learned is put
    back; ``best_epoch_`` says which that was.

    Parameters
    ----------
    model : Recommender
        Has ``n_epochs`` and ``patience``; its learned arrays change in place or are
        set anew.
    epoch : callable
        Runs epoch number t, from 1; returns the objective and the sum of squared
        training errors after it, or None in its place where nobody learns ratings.
    validation : DataFrame with columns ``user, item, rating``, optional
    progress : bool
        Show a bar with the errors.

    Raises
    ------
    FloatingPointError
        The model diverged; names the epoch, as `check_progress` says.
    """
    from tqdm import tqdm  # tqdm.auto warns where ipywidgets is missing

    train, rows = model.train_, []
    if validation is not None:
        user_code = train.users.codes(validation["user"])
        item_code = train.items.codes(validation["item"])
        rating = validation["rating"].to_numpy(np.float64)
    best, best_error, best_state = 0, np.inf, {}
    name = type(model).__name__.removesuffix("Model")
    bar = tqdm(range(1, model.n_epochs + 1), desc=name, disable=not progress)
    for t in bar:
        start = time.perf_counter()
        objective, squares = epoch(t)
        seconds = time.perf_counter() - start
        row = {"epoch": t, "objective": objective}
        if squares is not None:
            squares = squares if np.isfinite(objective) else np.inf
            row["train_rmse"] = check_progress(model, t, squares, train)
        if validation is not None:
            error = rating - model._predict(user_code, item_code)
            row["validation_rmse"] = float(np.sqrt((error**2).mean()))
            if row["validation_rmse"] < best_error:
                best, best_error = t, row["validation_rmse"]
                best_state = _copy(model)
        rows.append({**row, "seconds": seconds})
        bar.set_postfix({k: f"{v:.4f}" for k, v in row.items() if k.endswith("rmse")})
        if best and t - best >= model.patience:
            break
    bar.close()
    vars(model).update(best_state)
    model.best_epoch_ = best or len(rows)
    model.history_ = pd.DataFrame(rows)


def random_rows(model: Any, rng: np.random.Generator, size: int) -> np.ndarray:
    """Where factors start: equal ones would stay equal, and zeros stay zero.

    Parameters
    ----------
    model : Recommender
        Has ``n_factors``, ``init_sd`` and ``dtype``.
    rng : Generator
    size : int

    Returns
    -------
    array of shape (size, n_factors)
        Normal, with mean 0 and standard deviation ``init_sd``.
    """
    start = rng.standard_normal((size, model.n_factors), model.dtype)
    start *= model.init_sd
    return start


def _copy(model: Any) -> dict[str, np.ndarray]:
    """The arrays that a model has learned so far, copied."""
    state = model._state()
    return {k: v.copy() for k, v in state.items() if isinstance(v, np.ndarray)}


def check_progress(model: Any, t: int, squares: float, train: Any) -> float:
    """Training error; raises if the model diverged.

    It did if the error is a hundred times the largest rating, and at least 100.

    Parameters
    ----------
    model : Recommender
    t : int
        Number of the epoch.
    squares : float
        Sum of squared training errors after it.
    train : Interactions
        The ratings of the epoch.

    Returns
    -------
    float
        RMSE.

    Raises
    ------
    FloatingPointError
        It did; names the epoch and the cure.
    """
    rmse = float(np.sqrt(squares / train.n_ratings))
    if not rmse < 100 and not rmse < 100 * np.abs(train.rating).max():
        lr = getattr(model, "lr", None)
        cure = f"Lower lr, now {lr:g}" if lr else "Raise reg"
        raise FloatingPointError(
            f"{type(model).__name__} diverged in epoch {t}: each step overshoots and "
            f"the training error is {rmse:.3g}. {cure}"
        )
    return rmse
