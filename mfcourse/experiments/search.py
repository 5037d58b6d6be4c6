"""What is to run: trials, and among those of a search the better ones for longer.

A trial is one model with one setting, on one fold, from one seed; what it is, and
nothing else, decides its result. Trial t of a search is point t of a scrambled Sobol
sequence, so it depends on (seed, t) alone. Of the trials of a rung, one in ``keep``
goes on to the next, with ``keep`` times the epochs; the last rung has them all. The
best trial of the last rung is fitted again on the whole training part, with its best
number of epochs, and only that meets the test ratings.

`Plan` reads all this off the rows that are done. So a search that was killed goes on
where it was, and workers share it out, without changing a digit.

References: K. Jamieson and A. Talwalkar, "Non-stochastic Best Arm Identification and
Hyperparameter Optimization", AISTATS 2016 (successive halving). I. M. Sobol', "On the
Distribution of Points in a Cube …", USSR Computational Mathematics 7(4), 1967.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import numpy as np

from mfcourse.evaluate import ERRORS
from mfcourse.experiments.declare import Entry, Experiment, hyper_parameters

Rows = Mapping[str, Mapping[str, Any]]  # key → row of the ledger


@dataclass(frozen=True)
class Trial:
    """One model with one setting, on one fold, from one seed.

    Parameters
    ----------
    data : str
        Hash of the prepared ratings.
    split : dict
    fold, seed : int
    label, model : str
    settings : dict
    metrics : tuple of str
    clip : bool or tuple of float
    relevant_at : float
    users : bool
        Keep what each user adds to the first metric.
    grid : dict
        Those of the settings that a list declares.
    stage : str
        ``test``, or ``search``: fitted and scored inside the training part.
    validation : dict, optional
        How a search cuts the training part: ``seed``, and where the split has no share
        of its own, ``validation``.
    number, rung : int, optional
        Of a search; of its test, the number of the trial that won.
    """

    data: str
    split: dict[str, Any]
    fold: int
    seed: int
    label: str
    model: str
    settings: dict[str, Any]
    metrics: tuple[str, ...]
    clip: bool | tuple[float, float]
    relevant_at: float
    users: bool = True
    grid: dict[str, Any] = field(default_factory=dict)
    stage: str = "test"
    validation: dict[str, Any] | None = None
    number: int | None = None
    rung: int | None = None

    @cached_property
    def key(self) -> str:
        """A hash of all that decides the result, and of the label that it bears."""
        names = ("grid", "number", "rung")
        told = {k: v for k, v in vars(self).items() if k not in names}
        text = json.dumps(told, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Plan:
    """What is left of an experiment, read off the rows that are done.

    Parameters
    ----------
    experiment : Experiment
    data : list of str
        Hash of the ratings of each data set.
    """

    def __init__(self, experiment: Experiment, data: list[str]) -> None:
        self._frames = list(_frames(experiment, data))
        self._left = [_left(*frame, {}) for frame in self._frames]

    def ready(self, done: Rows) -> Iterator[Trial]:
        """Trials that can run now: not done, and waiting for nothing.

        Parameters
        ----------
        done : mapping of key to row
            It only grows from call to call.

        Yields
        ------
        Trial
        """
        for place, (trials, _, _) in enumerate(self._left):
            if any(trial.key in done for trial in trials):
                self._left[place] = _left(*self._frames[place], done)
            yield from self._left[place][0]

    def tests(self, done: Rows) -> Iterator[tuple[Trial, Mapping[str, Any] | None]]:
        """What is to meet the test ratings, and what came of it.

        Parameters
        ----------
        done : mapping of key to row
            As for `ready`.

        Yields
        ------
        trial : Trial
            Without the settings that a search has yet to choose.
        row : mapping or None
            None where it is not done.
        """
        list(self.ready(done))
        for (_, frame), (_, _, test) in zip(self._frames, self._left, strict=True):
            yield frame, done.get(test.key) if test else None

    def count(self, done: Rows) -> int:
        """How many trials are left, those that wait for others among them.

        Parameters
        ----------
        done : mapping of key to row
            As for `ready`.

        Returns
        -------
        int
        """
        now = sum(1 for _ in self.ready(done))
        return now + sum(later for _, later, _ in self._left)


def _frames(experiment: Experiment, data: list[str]) -> Iterator[tuple[Entry, Trial]]:
    """Each model with each setting of its grid, on each fold, from each seed."""
    for d, told in zip(data, experiment.data, strict=True):
        for cut in experiment.splits:
            for fold in range(cut.get("folds", cut.get("n_folds", 1))):
                for entry in experiment.models:
                    frame = _frame(experiment, told, d, cut, fold, entry)
                    lists = [k for k, v in entry.settings.items() if type(v) is list]
                    draws = "seed" in hyper_parameters(entry.model)
                    seeds = experiment.seeds if draws else (0,)
                    for settings, seed in itertools.product(entry.grid(), seeds):
                        grid = {name: settings[name] for name in lists}
                        yield (
                            entry,
                            replace(frame, settings=settings, grid=grid, seed=seed),
                        )


def _frame(
    experiment: Experiment,
    told: Mapping[str, Any],
    data: str,
    split: dict[str, Any],
    fold: int,
    entry: Entry,
) -> Trial:
    """What all trials of a model on a fold have in common."""
    return Trial(
        data=data,
        split={k: v for k, v in split.items() if k != "folds"},
        fold=fold,
        seed=0,
        label=entry.label,
        model=entry.model,
        settings={},
        metrics=experiment.metrics,
        clip=experiment.clip,
        relevant_at=float(told.get("relevant_at", 1 if told.get("binary") else 4)),
        users=experiment.intervals,
    )


def _left(
    entry: Entry, frame: Trial, done: Rows
) -> tuple[list[Trial], int, Trial | None]:
    """Trials of a frame that can run now; how many come after; the test, if known."""
    if entry.search is None:
        return [frame] * (frame.key not in done), 0, frame
    sizes = _sizes(entry)
    numbers = list(range(sizes[0]))
    for rung, size in enumerate(sizes):
        trials = [_trial(entry, frame, number, rung) for number in numbers[:size]]
        missing = {trial.key: trial for trial in trials if trial.key not in done}
        if missing:
            return list(missing.values()), sum(sizes[rung + 1 :]) + 1, None
        trials.sort(key=lambda trial: (_loss(done[trial.key]), trial.number))
        numbers = [trial.number for trial in trials if trial.number is not None]
    best = trials[0]
    settings = dict(best.settings)
    if epochs := done[best.key].get("best_epoch"):
        settings["n_epochs"] = epochs
    test = replace(frame, settings=settings, number=best.number)
    return [test] * (test.key not in done), 0, test


def _sizes(entry: Entry) -> list[int]:
    """Trials of each rung."""
    assert entry.search is not None
    n = entry.search["trials"] if entry.searched else 1
    rungs = entry.search["rungs"] if "n_epochs" in hyper_parameters(entry.model) else 1
    return [math.ceil(n / entry.search["keep"] ** rung) for rung in range(rungs)]


def _trial(entry: Entry, frame: Trial, number: int, rung: int) -> Trial:
    search = entry.search or {}
    settings = dict(frame.settings)
    point = _points(len(entry.searched), search["seed"], number.bit_length())[number]
    for (name, told), x in zip(entry.searched.items(), point, strict=True):
        settings[name] = draw(told, float(x))
    after = len(_sizes(entry)) - 1 - rung
    if after:
        whole = settings.get("n_epochs") or _default_epochs(entry.model)
        settings["n_epochs"] = max(1, round(whole / search["keep"] ** after))
    validation = {"seed": search["seed"]}
    if frame.split["protocol"] in ("kfold", "random"):
        validation["validation"] = search["validation"]
    return replace(
        frame, settings=settings, stage="search", number=number, rung=rung,
        validation=validation,
    )  # fmt: skip


@cache
def _points(dimensions: int, seed: int, bits: int) -> np.ndarray:
    """The first 2^bits points of the sequence; more bits only add to them."""
    if not dimensions:
        return np.empty((1, 0))
    from scipy.stats.qmc import Sobol

    return Sobol(dimensions, scramble=True, rng=seed).random_base2(bits)


def draw(told: Mapping[str, Any], x: float) -> Any:
    """The value at x of what a declaration searches for.

    Parameters
    ----------
    told : mapping
        ``among``; or ``from`` and ``to``, and perhaps ``log``.
    x : float
        In [0, 1).

    Returns
    -------
    value
        Floats have three significant digits, so that they can be typed again.
    """
    if "among" in told:
        return told["among"][int(x * len(told["among"]))]
    low, high = told["from"], told["to"]
    whole = type(low) is type(high) is int
    end = high + 1 if whole else high
    value = low * (end / low) ** x if told.get("log") else low + x * (end - low)
    if whole:
        return min(int(value), high)
    return min(max(low, float(f"{value:.3g}")), high)


def _default_epochs(model: str) -> int:
    import mfcourse

    return getattr(mfcourse, model)().n_epochs


def _loss(row: Mapping[str, Any]) -> float:
    if "failed" in row:  # such as a learning rate at which it diverged
        return math.inf
    metric, value = next(iter(row["metrics"].items()))
    return value if metric in ERRORS else -value
