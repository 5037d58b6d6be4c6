"""Trials are run, here or in workers, and each row goes into the ledger at once.

A worker is a process that is given the prepared ratings, and then trials; it tells what
came of them. BLAS runs on one thread in all of them, so that one job and many give the
same bits; compiled loops share the cores among the jobs.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import pandas as pd

from mfcourse import datasets, evaluate, split
from mfcourse.evaluate import ERRORS
from mfcourse.experiments.declare import Experiment, dataset_name, hyper_parameters
from mfcourse.experiments.ledger import Ledger, pack
from mfcourse.experiments.search import Plan, Trial

PACKAGES = ("mfcourse", "numpy", "scipy", "pandas", "numba")
CODE = ("models/*.py", "interactions.py", "metrics.py", "evaluate.py", "split.py")


class ExperimentError(Exception):
    """An experiment cannot go on; the message says why, and what to do."""


def run(
    experiment: Experiment,
    ledger: str | Path | None = None,
    *,
    jobs: int = 1,
    progress: bool = False,
) -> Ledger:
    """Run what is not yet in the ledger.

    Parameters
    ----------
    experiment : Experiment
    ledger : path, optional
        Made if it is not there; without one, results are kept in memory alone.
    jobs : int
        Trials at a time; each but the only one in a process of its own.
    progress : bool
        Show a bar with the time left.

    Returns
    -------
    Ledger

    Raises
    ------
    ExperimentError
        The ratings are not fit for the experiment, or a worker was killed.
    """
    from tqdm import tqdm

    if jobs < 1:
        raise ExperimentError(f"jobs is {jobs}; expected 1 or more")
    if ledger is not None and Path(ledger).suffix == ".gz":
        raise ExperimentError(f"{ledger} is packed, so only read; unpack it to go on")
    book = Ledger(None if ledger is None else Path(ledger))
    frames, data = {}, []
    for declared in experiment.data:
        try:
            frame = prepare(declared)
        except ExperimentError as error:
            if len(experiment.data) == 1:
                raise
            raise ExperimentError(f"{error}. Run one alone: --dataset NAME") from error
        data.append(digest(frame))
        frames[data[-1]] = (dataset_name(declared), frame)
    waiting: dict[Future[dict[str, Any]], Trial] = {}
    plan = Plan(experiment, data)
    jobs = min(jobs, os.cpu_count() or 1)
    bar = tqdm(
        total=plan.count(book.rows), desc=experiment.name, unit=" trial",
        disable=not progress, dynamic_ncols=True, smoothing=0.1,
    )  # fmt: skip
    if progress:
        for name, frame in frames.values():
            tqdm.write(f"{name}: {len(frame):,} ratings, as prepared", file=sys.stderr)
    with bar, _workers(jobs, frames) as submit:
        while True:
            running = {trial.key for trial in waiting.values()}
            for trial in plan.ready(book.rows):
                if len(waiting) > (jobs if jobs > 1 else 0):  # one waits for its turn
                    break
                if trial.key not in running:
                    waiting[submit(trial)] = trial
                    running.add(trial.key)
            if not waiting:
                return book
            before = len(book.rows)
            finished = wait(waiting, return_when=FIRST_COMPLETED).done
            broken = [future for future in finished if future.exception()]
            for future in finished:
                bar.set_postfix_str(waiting.pop(future).label, refresh=False)
                if future not in broken:
                    book.append({"experiment": experiment.name, **future.result()})
            if broken:
                broken[0].result()  # raises
            bar.update(len(finished))
            if len(book.rows) > before + len(finished):  # another run adds to it too
                bar.total = bar.n + plan.count(book.rows)


# ---- Ratings -------------------------------------------------------------------------


def prepare(declared: dict[str, Any]) -> pd.DataFrame:
    """The ratings of a data set, as an experiment wants them.

    Parameters
    ----------
    declared : dict
        ``name`` or ``path``; ``at_least`` keeps ratings from there on, ``binary`` makes
        each 1; ``min_user_ratings`` and ``min_item_ratings`` leave out, again and again
        until nothing changes, who has fewer.

    Returns
    -------
    DataFrame

    Raises
    ------
    ExperimentError
        The data cannot be had, or nothing is left of them.
    """
    try:
        if "name" in declared:
            frame = datasets.load(declared["name"], path=declared.get("path"))
        else:
            frame, declared = _read_own(declared)
    except datasets.DatasetError as error:
        hint = ". Here: --columns ROLE=COLUMN, or columns in the declaration"
        told = f"{error}{hint if 'Say which column' in str(error) else ''}"
        raise ExperimentError(told) from error
    if "at_least" in declared:
        frame = frame[frame["rating"] >= declared["at_least"]]
    least = {side: declared.get(f"min_{side}_ratings", 0) for side in ("user", "item")}
    before = -1
    while before != len(frame):
        before = len(frame)
        for side, n in least.items():
            frame = frame[frame.groupby(side)[side].transform("size") >= n]
    if frame.empty:
        raise ExperimentError(
            f"nothing is left of {dataset_name(declared)} after preparation. Lower "
            f"at_least or the min_…_ratings: {declared}"
        )
    if declared.get("binary"):
        frame = frame.assign(rating=1.0)
    return frame.reset_index(drop=True)


def _read_own(declared: dict[str, Any]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A person's own file; where only choices count, it may lack ratings."""
    columns = dict(declared.get("columns", {}))
    try:
        return datasets.read(declared["path"], **columns), declared
    except datasets.DatasetError:
        if not declared.get("binary") or "rating" in columns:
            raise
    told = {name: value for name, value in declared.items() if name != "at_least"}
    return datasets.read(declared["path"], **columns, rating=None), told


def digest(frame: pd.DataFrame) -> str:
    """A hash of prepared ratings.

    Parameters
    ----------
    frame : DataFrame

    Returns
    -------
    str
    """
    rows = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    return hashlib.sha256(rows.tobytes()).hexdigest()[:16]


# ---- One trial -----------------------------------------------------------------------


def perform(trial: Trial, name: str, frame: pd.DataFrame) -> dict[str, Any]:
    """Run a trial.

    Parameters
    ----------
    trial : Trial
    name : str
        Of the data set.
    frame : DataFrame
        The prepared ratings.

    Returns
    -------
    dict
        A row of the ledger; ``failed`` in place of figures where the model diverged.

    Raises
    ------
    ExperimentError
        The split does not fit the ratings, or the trial cannot be run; names it.
    """
    import mfcourse

    row = {
        "key": trial.key, "dataset": name, "data": trial.data, "split": trial.split,
        "label": trial.label, "model": trial.model, "grid": trial.grid,
        "settings": trial.settings, "fold": trial.fold, "seed": trial.seed,
        "stage": trial.stage, "number": trial.number, "rung": trial.rung,
    }  # fmt: skip
    try:
        with _Peak() as peak:
            row |= _fit_and_score(trial, frame)
    except (ValueError, TypeError, MemoryError, mfcourse.NotSupported) as error:
        told = f"{trial.label} {trial.settings}, {trial.split}, fold {trial.fold}"
        raise ExperimentError(f"{name}: {told}: {error}") from error
    row["peak_mb"] = peak.megabytes
    row["date"] = datetime.now(UTC).isoformat(timespec="seconds")
    return row | {"versions": versions(), "machine": machine()}


def _fit_and_score(trial: Trial, frame: pd.DataFrame) -> dict[str, Any]:
    import mfcourse

    train, known, test = _cut(frame, trial)
    has, settings = hyper_parameters(trial.model), dict(trial.settings)
    if "seed" in has:
        settings["seed"] = trial.seed
    early = trial.stage == "search" and trial.metrics[0] in ERRORS and "patience" in has
    start = time.perf_counter()
    model = getattr(mfcourse, trial.model)(**settings)
    try:
        model.fit(train, validation=test) if early else model.fit(train)
    except (FloatingPointError, ValueError) as error:  # it diverged, or does not fit
        return {"failed": str(error), "seconds": _since(start)}
    told: dict[str, Any] = {"seconds": _since(start)}
    start = time.perf_counter()
    clip = trial.clip
    if clip is True:  # the scale, as the training ratings show it
        clip = (train["rating"].min(), train["rating"].max())
    table = evaluate.per_user(
        model, test, *trial.metrics,
        clip=clip or None, relevant_at=trial.relevant_at, fold_in=known,
    )  # fmt: skip
    told["metrics"] = {name: evaluate.value(table, name) for name in trial.metrics}
    told |= {"train": len(train), "test": len(test), "scoring_seconds": _since(start)}
    if early:
        told["best_epoch"] = int(model.best_epoch_)
    if trial.stage == "test" and trial.users:
        told["users"] = pack(table, trial.metrics[0], frame)
    return told


def _since(start: float) -> float:
    return round(time.perf_counter() - start, 3)


def _cut(
    frame: pd.DataFrame, trial: Trial
) -> tuple[pd.DataFrame, pd.DataFrame | None, pd.DataFrame]:
    """Train, known, test; ``known`` of newcomers alone. A search cuts train again."""
    told = {k: v for k, v in trial.split.items() if k != "protocol"}
    train, known, test = _apply(trial.split["protocol"], frame, told, trial.fold)
    if trial.validation is not None:
        told["seed"] = trial.validation["seed"]
        share = trial.validation.get("validation")
        if share is None:  # as the split has it
            train, known, test = _apply(trial.split["protocol"], train, told, 0)
        else:
            inner = {"test": share, "by_user": told.get("by_user", False)}
            inner["seed"] = told["seed"]
            train, known, test = _apply("random", train, inner, 0)
    if test.empty:
        raise ValueError("nothing is held back; raise test, n, users or validation")
    return train, known, test


def _apply(
    protocol: str, frame: pd.DataFrame, told: dict[str, Any], fold: int
) -> tuple[pd.DataFrame, pd.DataFrame | None, pd.DataFrame]:
    if protocol == "kfold":
        folds = split.kfold(frame, told["n_folds"], seed=told["seed"])
        train, test = next(part for f, part in enumerate(folds) if f == fold)
        return train, None, test
    if protocol in ("leave_last", "temporal"):
        told = {k: v for k, v in told.items() if k != "seed"}
    parts = getattr(split, protocol)(frame, **told)
    return (parts[0], None, parts[1]) if len(parts) == 2 else parts


# ---- What a row stands on ------------------------------------------------------------


@cache
def versions() -> dict[str, str]:
    """Python, the packages that results come of, and a hash of our own code for them.

    Returns
    -------
    dict
    """
    ours = Path(str(resources.files("mfcourse")))
    files = sorted(path for pattern in CODE for path in ours.glob(pattern))
    code = hashlib.sha256(b"".join(path.read_bytes() for path in files))
    found = {name: metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **found, "code": code.hexdigest()[:8]}


def foreign(rows: Iterable[Mapping[str, Any]]) -> int:
    """How many rows other versions, or other code, have made.

    Parameters
    ----------
    rows : iterable of rows

    Returns
    -------
    int
    """
    return sum(row["versions"] != versions() for row in rows)


@cache
def machine() -> str:
    """What kind of machine this is.

    Returns
    -------
    str
    """
    import psutil

    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{os.cpu_count()} cores {platform.machine()}, {memory:.0f} GB, "
        f"{platform.system()}"
    )


class _Peak:
    """The largest memory of this process while it stands, looked at every 20 ms."""

    def __enter__(self) -> _Peak:
        import psutil

        self._process, self.megabytes = psutil.Process(), 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        over = False
        while not over:
            over = self._over.wait(0.02)
            now = round(self._process.memory_info().rss / 2**20)
            self.megabytes = max(self.megabytes, now)


# ---- Workers -------------------------------------------------------------------------

Frames = dict[str, tuple[str, pd.DataFrame]]  # hash → name and prepared ratings
Submit = Callable[[Trial], Future[dict[str, Any]]]


@contextmanager
def _workers(jobs: int, frames: Frames) -> Iterator[Submit]:
    """A function that takes a trial and promises its row."""
    import scipy.linalg  # noqa: F401 (brings a BLAS of its own, to be limited too)
    from threadpoolctl import threadpool_limits

    if jobs == 1:

        def here(trial: Trial) -> Future[dict[str, Any]]:
            future: Future[dict[str, Any]] = Future()
            future.set_result(perform(trial, *frames[trial.data]))
            return future

        with threadpool_limits(1, "blas"):
            yield here
        return
    # A main module that was made, not imported, may have none, and spawning wants one.
    vars(sys.modules["__main__"]).setdefault("__spec__", None)
    others = set(multiprocessing.active_children())
    threads = max(1, (os.cpu_count() or 1) // jobs)
    pool = ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn"), _begin, (frames, threads)
    )

    def submit(trial: Trial) -> Future[dict[str, Any]]:
        if not hasattr(signal, "pthread_sigmask"):
            return pool.submit(_work, trial)
        # A worker may start here, and inherits that it hears no Ctrl-C.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return pool.submit(_work, trial)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    try:
        yield submit
    except BaseException as error:  # Ctrl-C too, when a trial may have long to go
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        if isinstance(error, BrokenProcessPool):
            raise ExperimentError(
                "a worker was killed, perhaps since memory ran out, or it could not "
                "start: a script needs if __name__ == '__main__':. What is done is in "
                "the ledger; go on with fewer jobs, or one"
            ) from None
        raise
    finally:
        pool.shutdown()


_frames: Frames = {}


def _begin(frames: Frames, threads: int) -> None:
    """In a new worker: take the ratings; the parent alone hears Ctrl-C, and ends us."""
    import numba
    import scipy.linalg  # noqa: F401 (brings a BLAS of its own, to be limited too)
    from threadpoolctl import threadpool_limits

    _frames.update(frames)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    numba.set_num_threads(min(threads, numba.get_num_threads()))
    threadpool_limits(1, "blas")


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(trial: Trial) -> dict[str, Any]:
    return perform(trial, *_frames[trial.data])
