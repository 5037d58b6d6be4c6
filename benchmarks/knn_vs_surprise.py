"""Neighbours and biases, ours and Surprise's: same folds, same settings, one run.

    .venv/bin/python benchmarks/knn_vs_surprise.py            ml-100k, cached or fetched
    .venv/bin/python benchmarks/knn_vs_surprise.py FOLDER     an unpacked ml-100k

Time is from frame to numbers: index, fit, predict. Folds are Surprise's own
(``KFold(n_splits=5, random_state=0)``); predictions are clipped to 1 … 5, as there.
"""

import sys

import numpy as np
import surprise
from _surprise import data_of, folds_of, predictions, seconds

import mfcourse as mf
from mfcourse import datasets, metrics

PAIRS = {  # name: (ours, Surprise's, published RMSE)
    "bias only": (mf.BiasModel(), surprise.BaselineOnly, 0.944),
    "user kNN": (
        mf.UserKNNModel(center="none", similarity="msd"),
        surprise.KNNBasic,
        0.980,
    ),
    "user kNN, means": (
        mf.UserKNNModel(center="mean", similarity="msd", compare="ratings"),
        surprise.KNNWithMeans,
        0.951,
    ),
    "user kNN, baseline": (
        mf.UserKNNModel(center="baseline", similarity="msd", compare="ratings"),
        surprise.KNNBaseline,
        0.931,
    ),
}


def ours(model, train, test):
    return model.fit(train).predict(test, clip=(1, 5))


def theirs(kind, train, test):
    algo = kind()
    if hasattr(algo, "verbose"):
        algo.verbose = False
    if hasattr(algo, "sim_options"):
        algo.sim_options = {"verbose": False, **algo.sim_options}
    algo.fit(data_of(train).build_full_trainset())
    return predictions(algo, test)


def main() -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else None
    frame = datasets.load("ml-100k", path=path)
    folds = list(folds_of(frame))
    for name, (model, kind, published) in PAIRS.items():
        ours(model, *folds[0])  # compile
        rows = []
        for train, test in folds:
            a, t_ours = seconds(ours, model, train, test)
            b, t_theirs = seconds(theirs, kind, train, test)
            scores = [metrics.rmse(test["rating"], p) for p in (a, b)]
            rows.append((*scores, t_ours, t_theirs, t_theirs / t_ours))
        rmse_ours, rmse_theirs = np.mean(rows, axis=0)[:2]
        t_ours, t_theirs, ratio = np.median(rows, axis=0)[2:]
        print(
            f"{name:20} RMSE {rmse_ours:.4f} (Surprise {rmse_theirs:.4f}, published "
            f"{published:.3f})   a fold {t_ours:.3f} s against {t_theirs:.2f} s: "
            f"{ratio:.0f} times (least {np.min(rows, axis=0)[4]:.0f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
