"""The accuracy ladder on ml-100k, beside the published one: the figures in lesson 05.

    .venv/bin/python benchmarks/ladder.py           ml-100k, cached or fetched
    .venv/bin/python benchmarks/ladder.py FOLDER    an unpacked ml-100k, with u3.base

Shuffled 5-fold cross-validation, predictions clipped to 1 … 5, mean RMSE over folds.
Rows with a published figure run at Surprise's default settings. Tuned rows choose
their settings and the number of epochs inside each training fold, by the RMSE on a
tenth of it, and are then fitted on the whole training fold: no test rating is looked at
before the end. Fold u3, predefined in the data set, is treated in the same way.
"""

import argparse
import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pandas as pd

import mfcourse as mf
from mfcourse import datasets, metrics, split

KNN = {"similarity": "msd", "compare": "ratings"}
DEFAULTS = {  # name: (model at Surprise's settings, published RMSE)
    "global mean": (mf.MeanModel(), np.nan),
    "biases only": (mf.BiasModel(), 0.944),
    "user kNN": (mf.UserKNNModel(center="none", similarity="msd"), 0.980),
    "user kNN, means": (mf.UserKNNModel(center="mean", **KNN), 0.951),
    "user kNN, baseline": (mf.UserKNNModel(center="baseline", **KNN), 0.931),
    "NMF": (mf.NMFModel(n_factors=15, n_epochs=50, reg=0.06, order="joint"), 0.963),
    "SGD": (mf.SGDModel(n_factors=100, n_epochs=20, lr=0.005, reg=0.02), 0.934),
    "SVD++": (mf.SVDppModel(n_factors=20, n_epochs=20, lr=0.007, reg=0.02), 0.919),
}
GRIDS = {
    "ALS, tuned": (
        mf.ALSModel(n_factors=64, n_epochs=30, init_sd=0.01, patience=3),
        {"reg": [0.08, 0.09, 0.1]},
    ),
    "SGD, tuned": (
        mf.SGDModel(n_factors=200, lr=0.005, n_epochs=150, dtype="float32"),
        {"reg": [0.07, 0.08, 0.09], "init_sd": [0.01, 0.02]},
    ),
    "SVD++, tuned": (
        mf.SVDppModel(n_factors=100, lr=0.005, n_epochs=150, dtype="float32"),
        {"reg": [0.07, 0.08, 0.09], "init_sd": [0.005, 0.01]},
    ),
}


def tuned(model, grid, train):
    """The model at the best settings on a tenth of the training ratings, refitted."""
    inner, validation = split.random(train, test=0.1, seed=1)
    best, error = model, np.inf
    for values in itertools.product(*grid.values()):
        candidate = dataclasses.replace(model, **dict(zip(grid, values, strict=True)))
        candidate.fit(inner, validation=validation)
        if (found := candidate.history_["validation_rmse"].min()) < error:
            best, error = candidate, found
    return dataclasses.replace(best, n_epochs=best.best_epoch_).fit(train)


def settings(model, grid):
    chosen = {name: getattr(model, name) for name in [*grid, "n_epochs"]}
    return ", ".join(f"{k} {v:g}" for k, v in chosen.items())


def score(model, test):
    return metrics.rmse(test["rating"], model.predict(test, clip=(1, 5)))


def fold_u3(folder):
    columns = ["user", "item", "rating", "timestamp"]
    for part in ("u3.base", "u3.test"):
        yield pd.read_csv(Path(folder) / part, sep="\t", names=columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", nargs="?", help="folder of an unpacked ml-100k")
    args = parser.parse_args()
    frame = datasets.load("ml-100k", path=args.path)
    folds = list(split.kfold(frame, 5, seed=0))
    for name, (model, published) in DEFAULTS.items():
        scores = [score(model.fit(train), test) for train, test in folds]
        print(f"{name:20} {np.mean(scores):.4f}  published {published:.3f}", flush=True)
    for name, (model, grid) in GRIDS.items():
        scores = []
        for train, test in folds:
            best = tuned(model, grid, train)
            scores.append(score(best, test))
            print(f"{'':20} {scores[-1]:.4f}  {settings(best, grid)}", flush=True)
        print(f"{name:20} {np.mean(scores):.4f}", end="", flush=True)
        if args.path:
            train, test = fold_u3(args.path)
            best = tuned(model, grid, train)
            print(f"  fold u3 {score(best, test):.4f} ({settings(best, grid)})", end="")
        print(flush=True)


if __name__ == "__main__":
    main()
