"""ALS of ours against Spark's on the cores of this machine, at settings that match.

    python3 course.py add spark
    .venv/bin/python benchmarks/spark_als.py path/to/ml-100k [--rounds 3]

Both learn fold u1, without biases: 20 factors, 10 epochs, λ = 0.1 times the ratings of
a row.
Starting Spark does not count, nor does its first fit, in which Java warms up; that is
shown beside. Spark runs with its own defaults, 10 blocks a side.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import pandas as pd

import mfcourse as mf
from mfcourse import cluster

SETTINGS = {"n_factors": 20, "reg": 0.1, "n_epochs": 10}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="of ml-100k")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    names = ["user", "item", "rating", "timestamp"]
    train, test = (
        pd.read_csv(args.folder / f"u1.{part}", sep="\t", names=names)
        for part in ("base", "test")
    )
    models = {
        "Spark": mf.SparkALSModel(n_blocks=10, **SETTINGS),
        "ours": mf.ALSModel(center="none", **SETTINGS),
    }
    seconds: dict[str, list[float]] = {name: [] for name in models}
    with cluster.session("local[*]", memory="2g"):
        for _ in range(args.rounds + 1):
            for name, model in models.items():
                start = time.perf_counter()
                model.fit(train)
                seconds[name].append(time.perf_counter() - start)
    for name, model in models.items():
        first, *others = seconds[name]
        error = np.sqrt(((model.predict(test) - test["rating"]) ** 2).mean())
        print(f"{name:6} {statistics.median(others):7.3f} s, median of {args.rounds} "
              f"(first {first:.1f} s), RMSE {error:.4f}")  # fmt: skip
    spark, ours = (statistics.median(s[1:]) for s in seconds.values())
    print(f"Spark takes {spark / ours:.0f} times as long")


if __name__ == "__main__":
    main()
