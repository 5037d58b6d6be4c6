"""Who ranks best: popularity, ItemKNN, BPR, iALS, EASE, each tuned on validation.

    .venv/bin/python benchmarks/implicit_ranking.py                       embedded films
    .venv/bin/python benchmarks/implicit_ranking.py lastfm-2k [FOLDER]    artists played

80 / 20 per user; an eighth of the 80 is validation. Each family gets a grid and is
scored there by NDCG@10, fitted again on all of the 80 with its best setting, and
compared on the 20: all items ranked, seen ones left out, intervals over users, paired.
Films: a rating of at least 4 is an event, the stars are forgotten. Artists: an event
is an artist played at least once; iALS may use log(1 + plays) instead.
"""

import argparse
import dataclasses
import itertools

import numpy as np
import pandas as pd

import mfcourse as mf
from mfcourse import datasets, evaluate, split


def grid(model, **choices):
    for values in itertools.product(*choices.values()):
        yield dataclasses.replace(model, **dict(zip(choices, values, strict=True)))


FAMILIES = {
    "iALS": list(
        grid(
            mf.ImplicitALSModel(n_epochs=10),
            n_factors=[32, 64, 128], alpha=[1.0, 5.0, 20.0],
            reg=[3.0, 10.0, 30.0, 100.0],
        )
    ),
    "popularity": [mf.PopularityModel()],
    "ItemKNN": list(
        grid(
            mf.ItemKNNModel(binary=True, normalize=False),
            n_neighbors=[20, 50, 100, 200], shrinkage=[0.0, 10.0, 50.0],
        )
    ),
    "BPR": list(
        grid(
            mf.BPRModel(n_factors=64, dtype="float32"),
            lr=[0.02, 0.05], reg=[0.005, 0.02, 0.05], n_epochs=[75, 150, 300],
        )
    ),
    "EASE": list(grid(mf.EASEModel(), reg=[30.0, 100.0, 200.0, 400.0, 1000.0])),
}  # fmt: skip


def events(name, path):
    frame = datasets.load(name, path=path)
    if name == "lastfm-2k":
        return frame
    return frame[frame["rating"] >= 4].assign(rating=1.0)


def ndcg(model, train, test):
    table = evaluate.ranking(model.fit(train), test, relevant_at=0, n_boot=1)
    return table.loc["ndcg@10", "value"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", nargs="?", default=datasets.EMBEDDED)
    parser.add_argument("path", nargs="?", help="file or folder of the data set")
    args = parser.parse_args()
    frame = events(args.dataset, args.path)
    kinds = {"1": frame.assign(rating=1.0)}
    if (frame["rating"] != 1).any():
        kinds["log"] = frame.assign(rating=np.log1p(frame["rating"]))
    parts = {
        kind: split.random(f, by_user=True, test=0.2, validation=0.1, seed=0)
        for kind, f in kinds.items()
    }
    fitted = {}
    for family, models in FAMILIES.items():
        scores = {
            (kind, m): ndcg(models[m], *parts[kind][:2])
            for kind in (kinds if family == "iALS" else ["1"])
            for m in range(len(models))
        }
        kind, m = max(scores, key=scores.__getitem__)
        train, validation, test = parts[kind]
        fitted[family] = dataclasses.replace(models[m]).fit(
            pd.concat([train, validation])
        )
        print(
            f"{scores[kind, m]:.4f} on validation, r = {kind}: {models[m]}", flush=True
        )
    table = evaluate.compare(fitted, test, metric="ndcg@10", relevant_at=0)
    with pd.option_context("display.width", 120, "display.max_columns", 20):
        print(table.round(4))


if __name__ == "__main__":
    main()
