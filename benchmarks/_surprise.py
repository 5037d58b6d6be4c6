"""What the scripts that measure Surprise share."""

import time

import numpy as np
import pandas as pd
import surprise
from surprise.model_selection import KFold


def data_of(frame):
    """A frame of ratings, as Surprise reads it."""
    reader = surprise.Reader(rating_scale=(1, 5))
    return surprise.Dataset.load_from_df(frame[["user", "item", "rating"]], reader)


def folds_of(frame):
    """Surprise's own folds, as (train, test) frames."""
    at = pd.Series(np.arange(len(frame)), [frame["user"], frame["item"]])
    for _, test in KFold(n_splits=5, random_state=0).split(data_of(frame)):
        rows = at.loc[[(u, i) for u, i, _ in test]].to_numpy()
        yield frame.drop(frame.index[rows]), frame.iloc[rows]


def predictions(algo, test):
    """What a fitted algorithm of Surprise says of each row."""
    rows = list(zip(test["user"], test["item"], test["rating"], strict=True))
    return np.array([p.est for p in algo.test(rows)])


def seconds(function, *args):
    """A result, and how long it took."""
    start = time.perf_counter()
    result = function(*args)
    return result, time.perf_counter() - start
