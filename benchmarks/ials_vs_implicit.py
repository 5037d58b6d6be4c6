"""iALS, ours and implicit's: to the same value of the same objective, in one run.

    .venv/bin/python benchmarks/ials_vs_implicit.py                 k = 64 and 128
    .venv/bin/python benchmarks/ials_vs_implicit.py --factors 64 --rounds 3

Planted interactions: 60,000 users × 20,000 items, popularity like that of films, and a
pair is there only if the planted taste is above average. implicit runs its 15
iterations with its defaults (float32, 3 steps of conjugate gradients, all cores), with
BLAS at one thread, as it asks. The objective that it reaches is computed exactly; ours
runs as many epochs as it takes to be at least as low. Time is from a CSR matrix to
fitted factors; rounds alternate, after a warm-up. Then both recommend: top 10 of all
items that a user has not seen, for all users.
"""

import argparse
import time

import numpy as np
from implicit.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

import mfcourse as mf
from mfcourse import datasets

ALPHA, REG = 1.0, 0.1


def interactions(m=60_000, n=20_000, pairs=3_000_000):
    frame, _ = datasets.planted(
        m, n, 16, density=pairs / (m * n), popularity_skew=1.0, seed=0
    )
    liked = frame[frame["rating"] > 0]
    counts = 1.0 + np.random.default_rng(0).poisson(1.5, len(liked))
    return mf.Interactions(liked.assign(rating=counts)).csr


def ours(R, k, n_epochs):
    model = mf.ImplicitALSModel(
        n_factors=k, reg=REG, alpha=ALPHA, n_epochs=n_epochs, dtype="float32",
        solver="cg", init_sd=0.01,
    )  # fmt: skip
    return model.fit(mf.Interactions.from_sparse(R))


def theirs(confidence, k, iterations=15):
    model = AlternatingLeastSquares(
        factors=k, regularization=REG, alpha=1.0, iterations=iterations, random_state=0
    )
    with threadpool_limits(1, user_api="blas"):
        model.fit(confidence, show_progress=False)
    return model


def objective_of(model, R, k):
    """Of implicit's factors, by our exact sum in double precision."""
    judge = mf.ImplicitALSModel(n_factors=k, reg=REG, alpha=ALPHA)
    judge.user_factors_ = model.user_factors.astype(np.float64)
    judge.item_factors_ = model.item_factors.astype(np.float64)
    return judge._objective(mf.Interactions.from_sparse(R))


def seconds(call, *args):
    start = time.perf_counter()
    out = call(*args)
    return out, time.perf_counter() - start


def fit(R, k, rounds):
    confidence = R.copy()
    confidence.data = 1 + ALPHA * confidence.data
    confidence = confidence.astype(np.float32)
    goal = objective_of(theirs(confidence, k), R, k)
    reached = ours(R, k, 20).history_["objective"].to_numpy() <= goal
    if not reached.any():
        print(f"k = {k}: ours did not reach {goal:.0f} in 20 epochs")
        return
    n_epochs = int(reached.argmax()) + 1
    rows = []
    for _ in range(rounds):
        a, t_ours = seconds(ours, R, k, n_epochs)
        b, t_theirs = seconds(theirs, confidence, k)
        rows.append((t_ours, t_theirs, t_ours / t_theirs))
    t_ours, t_theirs, ratio = np.median(rows, axis=0)
    worst = np.max(rows, axis=0)[2]
    print(
        f"k = {k}: objective {a.history_['objective'].iloc[-1]:.0f} against "
        f"{objective_of(b, R, k):.0f}; {n_epochs} epochs in {t_ours:.2f} s against 15 "
        f"in {t_theirs:.2f} s: {ratio:.2f} of its time (worst round {worst:.2f}); an "
        f"epoch {t_ours / n_epochs:.3f} s against {t_theirs / 15:.3f} s",
        flush=True,
    )
    users, rows = np.arange(R.shape[0]), []
    for _ in range(rounds):
        lists, t_ours = seconds(a.recommend, users)
        _, t_theirs = seconds(b.recommend, users, confidence, 10)
        rows.append((t_ours, t_theirs, t_ours / t_theirs))
    t_ours, t_theirs, ratio = np.median(rows, axis=0)
    worst = np.max(rows, axis=0)[2]
    print(
        f"k = {k}: {len(lists):,} recommendations in {t_ours:.2f} s against "
        f"{t_theirs:.2f} s: {ratio:.2f} of its time (worst round {worst:.2f})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--factors", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    R = interactions()
    print(f"{R.shape[0]:,} users × {R.shape[1]:,} items, {R.nnz:,} interactions")
    ours(R[:500], 8, 1)  # compile
    for k in args.factors:
        fit(R, k, args.rounds)


if __name__ == "__main__":
    main()
