"""Our figure on fold u3 of ml-100k beside the published one; skipped without the data.

The ladder on shuffled folds, and who ranks best, are experiments: test_experiments.py.
"""

import pandas as pd

import mfcourse as mf
from mfcourse import metrics


def test_fold_u3_stands_beside_bayesian_factorization_machines(shared_datasets):
    columns = ["user", "item", "rating", "timestamp"]
    train, test = (
        pd.read_csv(shared_datasets / "ml-100k" / f"u3.{part}", sep="\t", names=columns)
        for part in ("base", "test")
    )
    model = mf.SVDppModel(  # as benchmarks/fold_u3.py tunes it inside u3.base
        n_factors=100, reg=0.07, lr=0.005, init_sd=0.01, n_epochs=80, dtype="float32"
    )
    predicted = model.fit(train).predict(test, clip=(1, 5))
    assert metrics.rmse(test["rating"], predicted) < 0.9032 + 0.002
