"""SGD, SVD++ and NMF, ours and Surprise's: same folds, same settings, one run.

    .venv/bin/python benchmarks/factors_vs_surprise.py         ml-100k, cached/fetched
    .venv/bin/python benchmarks/factors_vs_surprise.py FOLDER  an unpacked ml-100k

Time is from frame to fitted model, with the history that a fit keeps by default (the
exact objective after each epoch). Both visit ratings user by user, in the same order
each epoch: Surprise in the order of the frame within a user, ours by item code. Folds
are Surprise's own (``KFold(n_splits=5, random_state=0)``); predictions are clipped to
1 … 5, as there. Surprise's SVD++ takes half a minute a fold:
``--folds 1`` for a first look.
"""

import argparse

import numpy as np
import surprise
from _surprise import data_of, folds_of, predictions, seconds

import mfcourse as mf
from mfcourse import datasets, metrics

SGD = {"n_factors": 100, "n_epochs": 20, "lr": 0.005, "reg": 0.02}
NMF = {"n_factors": 15, "n_epochs": 50, "reg": 0.06, "order": "joint"}
PAIRS = {  # name: (ours, Surprise's, published RMSE)
    "SGD, float64": (mf.SGDModel(**SGD), surprise.SVD, 0.934),
    "SGD, float32": (mf.SGDModel(**SGD, dtype="float32"), surprise.SVD, 0.934),
    "NMF": (mf.NMFModel(**NMF), surprise.NMF, 0.963),
    "SVD++": (mf.SVDppModel(n_factors=20, n_epochs=20), surprise.SVDpp, 0.919),
}


def ours(model, train):
    return model.fit(train)


def theirs(kind, train):
    return kind(random_state=0).fit(data_of(train).build_full_trainset())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", nargs="?", help="folder of an unpacked ml-100k")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only", help="one of: " + ", ".join(PAIRS))
    args = parser.parse_args()
    frame = datasets.load("ml-100k", path=args.path)
    folds = list(folds_of(frame))[: args.folds]
    for name, (model, kind, published) in PAIRS.items():
        if args.only not in (None, name):
            continue
        ours(model, folds[0][0])  # compile
        rows = []
        for train, test in folds:
            a, t_ours = seconds(ours, model, train)
            b, t_theirs = seconds(theirs, kind, train)
            told = a.predict(test, clip=(1, 5)), predictions(b, test)
            scores = [metrics.rmse(test["rating"], p) for p in told]
            rows.append((*scores, t_ours, t_theirs, t_theirs / t_ours))
        rmse_ours, rmse_theirs = np.mean(rows, axis=0)[:2]
        t_ours, t_theirs, ratio = np.median(rows, axis=0)[2:]
        print(
            f"{name:13} RMSE {rmse_ours:.4f} (Surprise {rmse_theirs:.4f}, published "
            f"{published:.3f})   a fit {t_ours:.3f} s against {t_theirs:.2f} s: "
            f"{ratio:.1f} times (least {np.min(rows, axis=0)[4]:.1f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
