"""Lists without all scores: recall against speed, in one thread, on 100,000 items.

    .venv/bin/python benchmarks/retrieval.py                   three catalogues, k = 64
    .venv/bin/python benchmarks/retrieval.py --rounds 7 --only planted

    planted    100 clusters, dimensions that weaken, lengths that grow with the log of
               popularity (Zipf): what learned factors look like
    grown      factors of iALS on the embedded ratings, each item and user many times,
               turned by noise of half its length
    gaussian   no structure at all: the worst case, which no catalogue is

Exact search is the fastest that we know in one thread: float32 products of 250 users
with all items, the best of 64 scores each, and a sort of the few above the n-th of
those. The usual one, ``argpartition`` of all scores, stands beside it. Each search runs
``--rounds`` times, in turn; the median of the thread's processor time counts.
"""

import argparse
import time

import numpy as np
from threadpoolctl import threadpool_limits

import mfcourse as mf
from mfcourse import datasets, retrieval

N_ITEMS, N_USERS, K = 100_000, 10_000, 64
SETTINGS = (512, 12), (256, 8)  # the default; quicker, and misses more


def planted(rng):
    centre, weight = rng.normal(size=(100, K)), np.arange(1, K + 1) ** -0.5
    size = np.arange(1, 101) ** -0.7

    def draw(count):
        near = centre[rng.choice(100, count, p=size / size.sum())]
        return (near + 0.6 * rng.normal(size=near.shape)) * weight

    V, U = draw(N_ITEMS), draw(N_USERS)
    popularity = N_ITEMS / rng.permutation(np.arange(1, N_ITEMS + 1))
    V *= ((0.5 + np.log1p(popularity)) / np.linalg.norm(V, axis=1))[:, None]
    return V, U


def grown(rng):
    model = mf.ImplicitALSModel(n_factors=K, seed=0).fit(datasets.load())

    def grow(F, count):
        F = F[rng.integers(len(F), size=count)]
        noise = rng.normal(size=F.shape) * F.std(axis=0)
        length, loud = (np.linalg.norm(x, axis=1)[:, None] for x in (F, noise))
        G = F + 0.5 * noise * length / loud
        return G * length / np.linalg.norm(G, axis=1)[:, None]

    return grow(model.item_factors_, N_ITEMS), grow(model.user_factors_, N_USERS)


def gaussian(rng):
    return rng.normal(size=(N_ITEMS, K)), rng.normal(size=(N_USERS, K))


def usual(V, U, n=10, block=32):
    """Exact lists, by argpartition."""
    for a in range(0, len(U), block):
        S = U[a : a + block] @ V.T
        best = np.argpartition(S, -n)[:, -n:]
        order = np.argsort(-np.take_along_axis(S, best, axis=1))
        np.take_along_axis(best, order, axis=1)


def per_second(search, users, rounds):
    """Users a second, of a search that is called once or for one user at a time."""
    seconds = []
    for _ in range(rounds):
        start = time.thread_time()
        for part in users:
            search(part)
        seconds.append(time.thread_time() - start)
    return sum(map(len, users)) / np.median(seconds)


def aside(index, V, U, good, rounds):
    """Beside the usual exact search, and for one user at a time."""
    singly = [U[u : u + 1] for u in range(200)]
    first = good.iloc[min(1, len(good) - 1)]  # exact search is row 0
    width, fast = first["width"], first["queries_per_second"]
    width = len(V) if np.isnan(width) else int(width)
    with threadpool_limits(1):
        scan = per_second(lambda u: usual(V, u), [U[:512]], rounds)
        alone = per_second(lambda u: usual(V, u), singly, rounds)
        one = per_second(
            lambda u: index.search(u, width=width, threads=1), singly, rounds
        )
    print(
        f"argpartition: {scan:.0f} a second, one user at a time {alone:.0f}\n"
        f"width {width}: {fast / scan:.1f} times argpartition; "
        f"one user at a time {one:.0f}, {one / alone:.1f} times",
        flush=True,
    )


def main() -> None:
    catalogues = {f.__name__: f for f in (planted, grown, gaussian)}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=catalogues, nargs="+", default=[*catalogues])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    for name in args.only:
        V, U = (
            X.astype(np.float32) for X in catalogues[name](np.random.default_rng(0))
        )
        print(f"\n{name}: {len(V):,} items, {len(U):,} users, k = {K}")
        for head, links in SETTINGS:
            start = time.thread_time()
            index = retrieval.ItemIndex.build(V, head=head, links=links)
            took = time.thread_time() - start
            print(f"head = {head}, links = {links}: built in {took:.1f} s")
            frame = retrieval.measure(index, U, rounds=args.rounds)
            speed = frame["queries_per_second"]
            frame["times_exact"] = speed / speed[0]
            print(frame.round({"recall": 4, "queries_per_second": 0, "times_exact": 1}))
            aside(index, V, U, frame[frame["recall"] >= 0.95], args.rounds)


if __name__ == "__main__":
    main()
