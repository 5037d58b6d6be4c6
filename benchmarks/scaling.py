"""What ALS costs on paper (docs/scaling.md), and what it then took here.

    .venv/bin/python benchmarks/scaling.py              Linux, 1 GB, some minutes
    .venv/bin/python benchmarks/scaling.py --rounds 1   a third of that

`on_paper` is the arithmetic of docs/scaling.md; tests/test_scaling.py holds its tables
to it. Run by hand, this file then predicts a fit on 10⁶ planted ratings and measures
it: the rate of operations comes from a tenth of the size, memory from counted bytes.
Time is CPU time, so that work beside it matters little; the least of all rounds counts.
"""

import argparse
import multiprocessing
import time
from dataclasses import dataclass, replace
from math import log
from pathlib import Path

import numpy as np

import mfcourse as mf
from mfcourse import datasets

CG_STEPS = 3
LINKS, VISITED = 16, 2048  # HNSW: links M; rows met in a search: 64 candidates × 2 M
WORKERS, CORES, NETWORK = 50, 16, 1.25e9  # the cluster; bytes a second and worker
SHARDS = 256  # cores of accelerators over which ALX would spread all this
RATE = {"2 cores": 10e9, "32 cores": 100e9, "GPU": 200e9, "Spark core": 1e9}  # flop/s
LISTS = {"2 cores": 30e9, "32 cores": 500e9, "GPU": 5e12}  # a dense product, top 10


@dataclass(frozen=True)
class Size:
    """|Ω|, m, n, blocks of users and of items, k."""

    ratings: float
    users: float
    items: float
    blocks: int = 10
    k: int = 64


SIZES = {
    "10⁶": Size(1e6, 6_000, 4_000),
    "10⁸": Size(1e8, 500_000, 20_000),
    "10¹⁰": Size(1e10, 50_000_000, 2_000_000, blocks=1000),
}
LAST_FM, ML_20M = Size(17.5e6, 359_000, 292_000), Size(10e6, 138_000, 21_000)


def rows_met(rows: float, ratings: float, blocks: int) -> float:
    """Rows that one block of the other side needs: those it shares a rating with.

    A row has ratings / rows ratings, each in a block at random; it is met in a block
    unless all of them lie elsewhere.
    """
    return rows * (1 - (1 - 1 / blocks) ** (ratings / rows))


def on_paper(s: Size) -> dict[str, float]:
    """Bytes, operations (a multiplication and an addition are two) and seconds."""
    R, m, n, B, k = s.ratings, s.users, s.items, s.blocks, s.k
    pointers, index = 4 * (m + n + 2), 4  # bytes
    if R >= 2**31:  # SciPy then takes 8 bytes for every index
        pointers, index = 2 * pointers, 8
    to_users, to_items = B * rows_met(n, R, B), B * rows_met(m, R, B)
    cholesky = 2 * R * k**2 + (m + n) * k**3 / 3
    cg = 2 * 4 * (CG_STEPS + 1) * R * k
    exact, near = 2 * m * n * k, 2 * m * VISITED * k
    shuffled = 4 * k * (to_users + to_items)
    cluster = WORKERS * CORES * RATE["Spark core"]
    return {
        "ratings": R,
        "users m": m,
        "items n": n,
        "ratings a user": R / m,
        "ratings an item": R / n,
        "blocks a side": B,
        "frame, four columns": 32 * R,
        "CSR both ways, SciPy, 8-byte values": 2 * (8 + index) * R + pointers,
        "CSR both ways, 4-byte values and indices": 16 * R + 8 * (m + n + 2),
        "factors, 4 bytes": 4 * k * (m + n),
        "a k × k system for every user at once": 4 * k**2 * m,
        "index of the items": n * (4 * k + 4 * LINKS * (2 + 1 / log(LINKS))),
        "epoch, Cholesky": cholesky,
        "epoch, conjugate gradients": cg,
        "Gramians of an epoch": 2 * (m + n) * k**2,
        "lists, exact": exact,
        "lists, approximate": near,
        "a row for every rating": 4 * k * R,
        "item rows to user blocks": 4 * k * to_users,
        "user rows to item blocks": 4 * k * to_items,
        "one item block and its rows": (8 * R + 4 * k * to_items) / B,
        "ALX-style, share of one core": (16 * R + 4 * k * (m + n)) / SHARDS,
        "ALSModel, 2 cores": cholesky / RATE["2 cores"],
        "ImplicitALSModel, 2 cores": cg / RATE["2 cores"],
        "`implicit`, 32 cores": cg / RATE["32 cores"],
        "`implicit`, one GPU": cg / RATE["GPU"],
        "Spark, arithmetic": cholesky / cluster,
        "Spark, network": shuffled / (WORKERS * NETWORK),
        "Spark, 8 cores of one machine": cholesky / (8 * RATE["Spark core"]),
        "lists, exact, 2 cores": exact / LISTS["2 cores"],
        "lists, exact, 32 cores": exact / LISTS["32 cores"],
        "lists, exact, GPU": exact / LISTS["GPU"],
        "lists, approximate, 32 cores": near / RATE["32 cores"],
    }


# ---- Measured ------------------------------------------------------------------------

MODELS = {
    "ALSModel, Cholesky, float64": (
        "epoch, Cholesky",
        mf.ALSModel(n_factors=64, center="none", reg=0.05, n_epochs=6),
    ),
    "ImplicitALSModel, Cholesky, float64": (
        "epoch, Cholesky",
        mf.ImplicitALSModel(n_factors=64, n_epochs=6),
    ),
    "ImplicitALSModel, conjugate gradients, float32": (
        "epoch, conjugate gradients",
        mf.ImplicitALSModel(n_factors=64, n_epochs=20, solver="cg", dtype="float32"),
    ),
}


def planted(s: Size):
    frame, _ = datasets.planted(
        int(s.users), int(s.items), 8, s.ratings / (s.users * s.items), noise=0.5
    )
    return frame.assign(rating=1.0 + frame["rating"].abs().round())


def bytes_held(s: Size, dtype: str) -> float:
    """CSR both ways, and two copies of the factors (with biases in ALS)."""
    factors = (s.users + s.items) * (s.k + 1) * np.dtype(dtype).itemsize
    return on_paper(s)["CSR both ways, SciPy, 8-byte values"] + 2 * factors


def peak() -> float:
    line = Path("/proc/self/status").read_text().split("VmHWM:")[1].split("kB")[0]
    return 1024 * float(line)


def fitted(name: str, s: Size, answer) -> None:
    """In a process of its own: seconds by both clocks an epoch, memory of `fit`."""
    frame, model = planted(s), MODELS[name][1]
    replace(model, n_epochs=1).fit(planted(Size(1e4, 600, 400)))  # compile
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is held
    before = peak()
    known = model.fit(frame).train_
    rose = peak() - before
    clock, cpu = time.perf_counter(), time.process_time()
    model.fit(known)
    clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
    # iALS solves the users once more at the end.
    epochs = model.n_epochs + isinstance(model, mf.ImplicitALSModel) / 2
    answer.send((clock / epochs, cpu / epochs, rose))


def measure(name: str, s: Size) -> tuple[float, float, float]:
    mine, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(
        target=fitted, args=(name, s, theirs)
    )
    child.start()
    theirs.close()
    try:
        return mine.recv()
    finally:
        child.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    large = SIZES["10⁶"]
    small = replace(
        large,
        ratings=large.ratings / 10,
        users=large.users / 10,
        items=large.items / 10,
    )
    started = time.perf_counter()
    for name, (work, model) in MODELS.items():
        runs = [(measure(name, small), measure(name, large)) for _ in range(rounds)]
        (_, cpu_small, _), (clock, cpu, rose) = np.min(runs, axis=0)
        rate = on_paper(small)[work] / cpu_small
        predicted = on_paper(large)[work] / rate
        held = bytes_held(large, getattr(model, "dtype", "float64"))
        print(
            f"{name}: {rate / 1e9:.2f} Gflop a CPU second at a tenth of the size; an "
            f"epoch {predicted:.3f} CPU seconds predicted, {cpu:.3f} measured "
            f"({cpu / predicted:.2f}), {clock:.2f} s by the clock; memory "
            f"{held / 1e6:.0f} MB predicted, {rose / 1e6:.0f} MB at the peak "
            f"({rose / held:.2f})",
            flush=True,
        )
    print(f"{time.perf_counter() - started:.0f} s in all")


if __name__ == "__main__":
    main()
