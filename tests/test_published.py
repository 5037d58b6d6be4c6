"""Our figures on ml-100k beside the published ones; skipped where it is missing.

Surprise's README: 5-fold, shuffled, default settings. Tuned settings are those that
benchmarks/ladder.py finds inside the training folds.
"""

import numpy as np
import pandas as pd
import pytest

import mfcourse as mf
from mfcourse import datasets, metrics, split


@pytest.fixture(scope="module")
def folder(shared_datasets):
    return shared_datasets / "ml-100k"


def score(model, train, test):
    predicted = model.fit(train).predict(test, clip=(1, 5))
    return metrics.rmse(test["rating"], predicted)


TUNED = mf.SVDppModel(
    n_factors=100, reg=0.07, lr=0.005, init_sd=0.01, n_epochs=80, dtype="float32"
)
PUBLISHED = {  # name: (model, published RMSE, how near)
    "sgd": (mf.SGDModel(n_factors=100, n_epochs=20, lr=0.005, reg=0.02), 0.934, 0.003),
    "svd++": (mf.SVDppModel(n_factors=20, n_epochs=20), 0.919, 0.003),
    "nmf": (mf.NMFModel(n_epochs=50, reg=0.06, order="joint"), 0.963, 0.006),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_figures_at_surprises_settings(name, folder):
    model, published, near = PUBLISHED[name]
    frame = datasets.load("ml-100k", path=folder)
    scores = [score(model, *fold) for fold in split.kfold(frame, 5, seed=0)]
    assert np.mean(scores) == pytest.approx(published, abs=near)


def test_the_best_single_model_beats_the_ladder(folder):
    frame = datasets.load("ml-100k", path=folder)
    scores = [score(TUNED, *fold) for fold in split.kfold(frame, 5, seed=0)]
    assert np.mean(scores) < 0.910


def test_fold_u3_stands_beside_bayesian_factorization_machines(folder):
    columns = ["user", "item", "rating", "timestamp"]
    train, test = (
        pd.read_csv(folder / f"u3.{part}", sep="\t", names=columns)
        for part in ("base", "test")
    )
    assert score(TUNED, train, test) < 0.9032 + 0.002
