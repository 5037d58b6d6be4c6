"""How an epoch of SGD grows: with the ratings, and with the users and items.

    .venv/bin/python benchmarks/sgd_scaling.py              about five minutes, 4 GB
    .venv/bin/python benchmarks/sgd_scaling.py --largest 2  up to 2 million ratings
    .venv/bin/python benchmarks/sgd_scaling.py --memory     peak memory of a fit instead

First, 138,000 users and 27,000 items are held fixed (the shape of ml-20m), and
ratings grow. Then 2 million ratings are held fixed, and users and items grow
together: only the size of the factors changes, and with it the memory they lie in.
"""

import argparse
import threading
import time

import numpy as np
import psutil

import mfcourse as mf
from mfcourse import datasets

M, N, K = 138_000, 27_000, 64


def data(n_ratings, m=M, n=N):
    frame, _ = datasets.planted(m, n, 8, density=n_ratings / (m * n), noise=0.5)
    return mf.Interactions(frame)


def epoch_seconds(interactions):
    """The median epoch after the first, with its walk for the objective."""
    n_epochs = 4 if interactions.n_ratings > 1e6 else 12
    model = mf.SGDModel(n_factors=K, n_epochs=n_epochs, lr=0.005, reg=0.02)
    return model.fit(interactions).history_["seconds"].iloc[1:].median()


def median_of_rounds(sets, rounds=3):
    """Seconds of each set: rounds over all of them, so that a busy minute hits all."""
    epoch_seconds(mf.Interactions(datasets.load()))  # compile
    return np.median([[epoch_seconds(X) for X in sets] for _ in range(rounds)], axis=0)


def growth(largest):
    millions = [s for s in (0.2, 0.5, 1, 2, 5, 10, 20) if s <= largest]
    seconds = median_of_rounds([data(round(s * 1e6)) for s in millions])
    for size, took in zip(millions, seconds, strict=True):
        print(f"{size:5.1f} M ratings  {took:7.3f} s an epoch  "
              f"{1e3 * took / size:6.1f} ns a rating", flush=True)  # fmt: skip
    slope = np.polyfit(np.log(millions), np.log(seconds), 1)[0]
    print(f"slope of log time on log ratings: {slope:.3f}\n")
    shapes = [(round(M * s), round(N * s)) for s in (1 / 16, 1 / 4, 1, 4)]
    seconds = median_of_rounds([data(2_000_000, m, n) for m, n in shapes])
    for (m, n), took in zip(shapes, seconds, strict=True):
        print(f"{m:7,} users × {n:7,} items  factors {(m + n) * K * 8 / 1e6:6.1f} MB  "
              f"{took / 2e6 * 1e9:6.1f} ns a rating", flush=True)  # fmt: skip


def memory(millions):
    interactions = data(round(millions * 1e6))
    csr = interactions.csr
    held = csr.data.nbytes + csr.indices.nbytes + csr.indptr.nbytes
    factors = (interactions.n_users + interactions.n_items) * (K + 1) * 8
    mf.SGDModel(n_factors=K, n_epochs=1).fit(mf.Interactions(datasets.load()))
    me, peak, done = psutil.Process(), [0], threading.Event()
    before = me.memory_info().rss

    def watch():
        while not done.wait(0.002):
            peak[0] = max(peak[0], me.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    mf.SGDModel(n_factors=K, n_epochs=2).fit(interactions)
    done.set()
    watcher.join()
    more, bound = peak[0] - before, 0.5 * held + 2 * factors
    print(
        f"{millions:g} M ratings: Interactions {held / 1e6:.0f} MB, factors and biases "
        f"{factors / 1e6:.0f} MB; peak during fit +{more / 1e6:.0f} MB; "
        f"0.5 × Interactions + 2 × factors = {bound / 1e6:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--largest", type=float, default=20, help="million ratings")
    parser.add_argument("--memory", action="store_true")
    args = parser.parse_args()
    started = time.perf_counter()
    memory(args.largest) if args.memory else growth(args.largest)
    print(f"{time.perf_counter() - started:.0f} s in all")


if __name__ == "__main__":
    main()
