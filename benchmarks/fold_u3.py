"""Fold u3 of ml-100k, which comes with the data: ours, tuned inside its training part.

    .venv/bin/python benchmarks/fold_u3.py FOLDER    an unpacked ml-100k, with u3.base

Published on this fold: Bayesian factorization machines (libFM, myFM) 0.9032. The
accuracy ladder on shuffled folds is an experiment: `mfcourse run accuracy_ladder`.
"""

import argparse
import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pandas as pd

import mfcourse as mf
from mfcourse import metrics, split

GRIDS = {
    "ALS": (
        mf.ALSModel(n_factors=64, n_epochs=30, init_sd=0.01, patience=3),
        {"reg": [0.08, 0.09, 0.1]},
    ),
    "SGD": (
        mf.SGDModel(n_factors=200, lr=0.005, n_epochs=150, dtype="float32"),
        {"reg": [0.07, 0.08, 0.09], "init_sd": [0.01, 0.02]},
    ),
    "SVD++": (
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", help="folder of an unpacked ml-100k")
    folder = Path(parser.parse_args().path)
    columns = ["user", "item", "rating", "timestamp"]
    train, test = (
        pd.read_csv(folder / f"u3.{part}", sep="\t", names=columns)
        for part in ("base", "test")
    )
    for name, (model, grid) in GRIDS.items():
        best = tuned(model, grid, train)
        error = metrics.rmse(test["rating"], best.predict(test, clip=(1, 5)))
        chosen = {one: getattr(best, one) for one in [*grid, "n_epochs"]}
        print(f"{name:6} {error:.4f}  {chosen}", flush=True)


if __name__ == "__main__":
    main()
