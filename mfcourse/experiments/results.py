"""Rows of a ledger → a tidy frame, and tables with intervals.

Beside a model's metric, the mean over folds as others publish it, stands an interval
that draws whole users over all their errors outside of training, the fitted models held
fixed; differences from the reference on the same draws, p-values by Holm. `folds`
compares over folds instead, with the corrected t-test. See ``evaluate``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from mfcourse import evaluate
from mfcourse.experiments.declare import PROTOCOLS, Experiment
from mfcourse.experiments.ledger import Ledger, unpack
from mfcourse.experiments.search import Plan, Trial

Row = Mapping[str, Any]
_COST = ("seconds", "scoring_seconds", "peak_mb")
READING = (
    "Metrics are means over folds; low and high, 95 % over users, and differences\n"
    "from the reference are of all folds together, the fitted models held fixed.\n"
    "p and verdict are Holm's, diff_low and diff_high of each pair alone. seconds: of\n"
    "a fit, the median."
)


def recorded(name: str) -> Path:
    """The ledger of a full run that comes with the course.

    Parameters
    ----------
    name : str
        Of a declared experiment.

    Returns
    -------
    Path
    """
    place = Path(str(resources.files("mfcourse.experiments")))
    return place / "recorded" / f"{name}.jsonl.gz"


def rows(ledger: Ledger | str | Path) -> list[dict[str, Any]]:
    """What a ledger holds.

    Parameters
    ----------
    ledger : Ledger or path

    Returns
    -------
    list of dict

    Raises
    ------
    FileNotFoundError
        There is no such file.
    """
    if not isinstance(ledger, Ledger):
        if not Path(ledger).exists():
            raise FileNotFoundError(f"there is no ledger {ledger}")
        ledger = Ledger(Path(ledger))
    return list(ledger.rows.values())


def frame(found: Iterable[Row]) -> pd.DataFrame:
    """A tidy frame: a row a trial, a column a thing that is told of it.

    Parameters
    ----------
    found : iterable of rows

    Returns
    -------
    DataFrame
        ``experiment, dataset, split, label, name, stage, fold``, hyper-parameters,
        ``seed``, metrics, ``seconds, peak_mb, date``. ``name`` is the label with what
        its grid says, ``split`` in words.
    """
    flat = [
        {
            **{k: row.get(k) for k in ("experiment", "dataset")},
            "split": in_words(row["split"]),
            "label": row["label"],
            "name": name_of(row),
            **{k: row.get(k) for k in ("stage", "number", "rung", "fold")},
            **row["settings"],
            "seed": row["seed"],
            **row.get("metrics", {}),
            **{k: row.get(k) for k in ("best_epoch", "failed", *_COST)},
            "date": row["date"],
        }
        for row in found
    ]
    return pd.DataFrame(flat).dropna(axis="columns", how="all")


def provenance(found: Iterable[Row]) -> str:
    """When, where and with what rows were made, in words.

    Parameters
    ----------
    found : iterable of rows

    Returns
    -------
    str
    """
    found = list(found)
    if not found:
        return "Nothing yet"
    days = sorted({row["date"][:10] for row in found})
    said = [f"{len(found)} trials, {' to '.join(dict.fromkeys((days[0], days[-1])))}"]
    said += sorted({row["machine"] for row in found})
    versions: dict[str, set[str]] = {}
    for row in found:
        for name, version in row["versions"].items():
            versions.setdefault(name, set()).add(version)
    kinds = (f"{name} {' and '.join(sorted(of))}" for name, of in versions.items())
    return "; ".join([*said, ", ".join(kinds)])


def in_words(split: Row) -> str:
    """A split in words, with what is not as by default.

    Parameters
    ----------
    split : dict

    Returns
    -------
    str
    """
    told = {k: v for k, v in split.items() if PROTOCOLS[split["protocol"]].get(k) != v}
    words = [split["protocol"].replace("_", " ")]
    if split["protocol"] == "kfold":
        words = [f"{split['n_folds']}-fold"]
    if split.get("by_user"):
        words[0] += " by user"
    hidden = ("protocol", "n_folds", "by_user", "folds")
    return ", ".join(words + [f"{k}={v}" for k, v in told.items() if k not in hidden])


def name_of(row: Row) -> str:
    """The label of a row, with the values that its grid gave it.

    Parameters
    ----------
    row : dict

    Returns
    -------
    str
    """
    return ", ".join([row["label"], *(f"{k}={v}" for k, v in row["grid"].items())])


def tables(
    experiment: Experiment,
    found: Iterable[Row],
    *,
    reference: str | None = None,
    n_boot: int = 2000,
) -> dict[tuple[str, str], pd.DataFrame]:
    """Models beside each other, for each data set and split of a ledger.

    Parameters
    ----------
    experiment : Experiment
        Its models, settings, seeds and metrics are shown, and nothing else that the
        rows may hold.
    found : iterable of rows
        Where the ratings of a data set have changed, those of the last ones count.
    reference : str, optional
        Whom the others are compared with, by its name in the table; the declared one.
    n_boot : int
        Draws of users.

    Returns
    -------
    dict
        (data set, split in words) → frame with a row per model: each metric, the mean
        over folds and seeds; ``published``, of the first, and ``published mae`` or the
        like, where the data set has such figures; ``low, high`` of the first metric,
        ``difference`` from the reference with ``diff_low, diff_high``, ``p`` and
        ``verdict``, as from ``evaluate.compare``; ``folds``, how many are done;
        ``seconds`` of a fit, the median; ``failed``, the reason. A model without all
        its folds and seeds has no interval.
    """
    return {
        place: _table(experiment, place[0], group, reference, n_boot)
        for place, group in _groups(experiment, found).items()
    }


def chosen(experiment: Experiment, found: Iterable[Row]) -> pd.DataFrame:
    """What each search chose, over folds and seeds, and where it could choose.

    Parameters
    ----------
    experiment : Experiment
    found : iterable of rows

    Returns
    -------
    DataFrame with a row per data set, split, model and hyper-parameter
        ``chosen``, each value once; ``range``, or the number of epochs there were.
    """
    searched = {one.label: one for one in experiment.models if one.search}
    out = []
    for place, group in _groups(experiment, found).items():
        for name, cells in group.items():
            label = cells[0][0].label
            wanted = dict(searched[label].searched) if label in searched else {}
            rows = [row["settings"] for _, row in cells if row]
            if label in searched and "n_epochs" in rows[0]:
                most = searched[label].settings.get("n_epochs", "the model's own")
                wanted.setdefault("n_epochs", {"to": most})
            for what, told in wanted.items():
                values = sorted({row[what] for row in rows})
                among = told.get("among")
                limits = among or [told[end] for end in ("from", "to") if end in told]
                out.append([*place, name, what, values, limits])
    columns = ["dataset", "split", "model", "hyper-parameter", "chosen", "range"]
    frame = pd.DataFrame(out, columns=columns).set_index(columns[:4])
    return frame.map(lambda values: ", ".join(map(str, values)))


def folds(experiment: Experiment, found: Iterable[Row]) -> pd.DataFrame:
    """Models compared over folds, by the corrected t-test of Nadeau and Bengio.

    Parameters
    ----------
    experiment : Experiment
    found : iterable of rows
        Of one data set and one k-fold split.

    Returns
    -------
    DataFrame
        As from ``evaluate.cross_validate``, of the models that have all folds.

    Raises
    ------
    ValueError
        Rows of several data sets or splits, or of a part of the folds.
    """
    groups = _groups(experiment, found)
    if len(groups) != 1:
        raise ValueError(f"expected one data set and split, got {list(groups)}")
    (group,) = groups.values()
    metric, scores = experiment.metrics[0], {}
    for name, cells in group.items():
        if _is_whole(cells):
            by_fold = {(t.fold, t.seed): row["metrics"][metric] for t, row in cells}
            scores[name] = pd.Series(by_fold).groupby(level=0).mean()
    n_folds = next(iter(group.values()))[0][0].split.get("n_folds", 1)
    table = pd.DataFrame(scores)
    if n_folds < 2 or len(table) < n_folds:
        raise ValueError(f"expected all of two or more folds, got {len(table)}")
    reference = _reference(group, experiment.reference)
    return evaluate.compare_folds(table, metric, reference=reference)


Cells = list[tuple[Trial, Row]]  # a trial of the plan, and its row: empty if not done


def _groups(
    experiment: Experiment, found: Iterable[Row]
) -> dict[tuple[str, str], dict[str, Cells]]:
    """By data set and split, then by name: each planned test, where one is done."""
    done = {row["key"]: row for row in found}
    last = {row["dataset"]: row["data"] for row in done.values()}
    out: dict[tuple[str, str], dict[str, Cells]] = {}
    for dataset, data in last.items():
        for trial, row in Plan(experiment.of(dataset), [data]).tests(done):
            place = (dataset, in_words(trial.split))
            name = name_of(vars(trial))
            out.setdefault(place, {}).setdefault(name, []).append((trial, row or {}))
    begun = {
        place: {n: cells for n, cells in group.items() if any(r for _, r in cells)}
        for place, group in out.items()
    }
    return {place: group for place, group in begun.items() if group}


def _is_whole(cells: Cells) -> bool:
    return all("metrics" in row for _, row in cells)


def _reference(group: dict[str, Cells], label: str) -> str | None:
    """The first whole row of this label, else of any."""
    names = [name for name, cells in group.items() if _is_whole(cells)]
    named = [name for name in names if group[name][0][0].label == label]
    return next(iter([*named, *names]), None)


def _table(
    experiment: Experiment,
    dataset: str,
    group: dict[str, Cells],
    reference: str | None,
    n_boot: int,
) -> pd.DataFrame:
    metric, *others = experiment.metrics
    published = {one.label: one.published.get(dataset, {}) for one in experiment.models}
    lines, users = {}, {}
    n_folds = next(iter(group.values()))[0][0].split.get("n_folds", 1)
    for name, cells in group.items():
        rows = [row for _, row in cells if "metrics" in row]
        beside = published[cells[0][0].label]
        lines[name] = {
            **pd.DataFrame([row["metrics"] for row in rows]).mean(),
            "published": beside.get(metric),
            **{f"published {other}": beside.get(other) for other in others},
            "folds": f"{len({row['fold'] for row in rows})} of {n_folds}",
            "seconds": pd.Series([row["seconds"] for row in rows]).median(),
            "failed": next((r["failed"] for _, r in cells if "failed" in r), None),
        }
        if _is_whole(cells) and all("users" in row for row in rows):
            parts = [unpack(row["users"], metric) for row in rows]
            users[name] = functools.reduce(pd.DataFrame.add, parts)
    table = pd.DataFrame.from_dict(lines, orient="index")
    if len(users) > 1:
        everybody = {name: one[one["n"] > 0] for name, one in users.items()}
        base = reference or _reference(
            {name: group[name] for name in users}, experiment.reference
        )
        compared = evaluate.compare_users(
            everybody, metric, reference=base, n_boot=n_boot
        )
        table = table.join(compared.drop(columns="value"))
    first = [metric, "published"]
    first += [column for other in others for column in (other, f"published {other}")]
    first += ["low", "high", "difference", "diff_low", "diff_high", "p", "verdict"]
    table = table[sorted(table, key=lambda c: first.index(c) if c in first else 99)]
    return table.dropna(axis="columns", how="all")
