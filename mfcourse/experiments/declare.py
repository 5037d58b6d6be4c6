"""An experiment is declared, not scripted: one TOML file that a person reads and edits.

It names data, preparation, splits, metrics, seeds and models. What a hyper-parameter is
set to says what happens with it:

- a value, ``reg = 0.05``: it has this value;
- a list, ``reg = [0.01, 0.1]``: a grid, a row of results for each;
- a table, ``reg = { from = 0.01, to = 1.0, log = true }`` or ``{ among = [32, 64] }``:
  it is searched for, on validation ratings taken from the training part.

A model with ``search = {}`` and nothing to search for has only its epochs chosen.
"""

from __future__ import annotations

import dataclasses
import itertools
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from mfcourse.evaluate import ERRORS, RANKED
from mfcourse.experiments import rules
from mfcourse.experiments.rules import DeclarationError

PROTOCOLS: dict[str, dict[str, Any]] = {  # with the defaults of split.py
    "kfold": {"n_folds": 5, "seed": 0},
    "random": {"test": 0.2, "by_user": False, "seed": 0},
    "leave_last": {"n": 1},
    "temporal": {"test": 0.2},
    "newcomers": {"users": 0.2, "test": 0.2, "seed": 0},
}
SEARCH = {"trials": 1, "rungs": 1, "keep": 3, "validation": 0.1, "seed": 0}

_PREPARED = ("at_least", "binary", "min_user_ratings", "min_item_ratings",
             "relevant_at")  # fmt: skip
_RANKERS = ("PopularityModel", "BPRModel", "EASEModel", "ImplicitALSModel")


@dataclass(frozen=True)
class Entry:
    """A model of an experiment.

    Parameters
    ----------
    label : str
    model : str
        Name of its class in mfcourse.
    settings : dict
        Hyper-parameters: values, lists, tables.
    search : dict, optional
        ``trials, rungs, keep, validation, seed``; absent where nothing is chosen.
    published : dict
        Data set → metric → a figure from elsewhere, to stand beside.
    """

    label: str
    model: str
    settings: dict[str, Any]
    search: dict[str, Any] | None = None
    published: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def searched(self) -> dict[str, dict[str, Any]]:
        """Hyper-parameters to search for, each with its table."""
        return {k: v for k, v in self.settings.items() if isinstance(v, dict)}

    def grid(self) -> Iterator[dict[str, Any]]:
        """Every setting of the lists; what is searched for is left out.

        Yields
        ------
        dict
        """
        fixed = {k: v for k, v in self.settings.items() if not isinstance(v, dict)}
        lists = [v if isinstance(v, list) else [v] for v in fixed.values()]
        for values in itertools.product(*lists):
            yield dict(zip(fixed, values, strict=True))


@dataclass(frozen=True)
class Experiment:
    """A declaration that holds: data sets × splits × models × folds × seeds.

    Parameters
    ----------
    name, title : str
    data : tuple of dict
        Each a ``name``, or a ``path`` with ``columns``; and how it is prepared.
    splits : tuple of dict
        Each a ``protocol`` and what it takes.
    metrics : tuple of str
        Models are chosen and compared by the first.
    models : tuple of Entry
    reference : str
        Label of the model that the others are compared with.
    seeds : tuple of int
        Of the models that draw at random.
    clip : bool or tuple of float
        Cut predictions to (low, high), or to the scale of the ratings.
    intervals : bool
        Keep what each user adds to the first metric: 3 kB a row for 1,000 users.
    quick : dict
        What ``--quick`` is content with: ``folds, trials, models, settings``.
    notes : str
        How the protocol differs from that of the published figures.
    """

    name: str
    title: str
    data: tuple[dict[str, Any], ...]
    splits: tuple[dict[str, Any], ...]
    metrics: tuple[str, ...]
    models: tuple[Entry, ...]
    reference: str
    seeds: tuple[int, ...] = (0,)
    clip: bool | tuple[float, float] = False
    intervals: bool = True
    quick: dict[str, Any] = field(default_factory=dict)
    notes: str = ""

    def on(self, dataset: str, columns: Mapping[str, str] | None = None) -> Experiment:
        """The experiment on another data set, prepared as declared for it or the first.

        Parameters
        ----------
        dataset : str
            A name of ``datasets.names()``, or a file or folder.
        columns : mapping, optional
            Of your own file: ``user``, ``item``, ``rating``, ``timestamp``, ``sep``.

        Returns
        -------
        Experiment

        Raises
        ------
        DeclarationError
            There is neither such a name nor such a file, or a column has no such role.
        """
        from mfcourse import datasets

        rules.check(columns or {}, rules.COLUMNS, "--columns")
        path = Path(dataset)
        name = path.name.removesuffix(".zip").removeprefix("hetrec2011-")
        if dataset in (*datasets.names(), *map(dataset_name, self.data)):
            if columns:
                raise DeclarationError("--columns are those of a file of yours")
            return self.of(dataset)
        if not path.exists():
            known = [*datasets.names(), "or a file of yours"]
            rules.find(dataset, known, "--dataset")
        if name in datasets.SOURCES:  # a download, put somewhere
            data = {**self.of(name).data[0], "path": dataset}
        elif path.is_dir():
            raise DeclarationError(
                f"--dataset: {dataset} is a folder; give a CSV or Parquet file in it"
            )
        else:
            own = {"path": dataset, "columns": dict(columns or {})}
            data = {**own, **self._preparation()}
        return replace(self, data=(data,))

    def of(self, dataset: str) -> Experiment:
        """The experiment on one of its data sets, or on another prepared as the first.

        Parameters
        ----------
        dataset : str
            Its name; whether there is such a one is not asked.

        Returns
        -------
        Experiment
        """
        same = [data for data in self.data if dataset_name(data) == dataset]
        other = {"name": dataset, **self._preparation()}
        return replace(self, data=tuple(same or [other]))

    def _preparation(self) -> dict[str, Any]:
        """How the first data set is prepared, for others that are not declared."""
        return {k: v for k, v in self.data[0].items() if k in _PREPARED}

    def with_settings(
        self, settings: Mapping[str, list[Any]], place: str = "--set"
    ) -> Experiment:
        """The experiment with other hyper-parameters, in each model that has them.

        Parameters
        ----------
        settings : mapping
            Name → values; several are a grid.
        place : str
            For the error.

        Returns
        -------
        Experiment

        Raises
        ------
        DeclarationError
            No model has such a hyper-parameter, or a value makes no sense.
        """
        fields = set().union(*(hyper_parameters(one.model) for one in self.models))
        for name in settings:
            rules.find(name, fields - {"seed"}, place)
        models = []
        for entry in self.models:
            has = hyper_parameters(entry.model)
            own = {k: v for k, v in settings.items() if k in has}
            models.append(replace(entry, settings={**entry.settings, **own}))
            _check_values(models[-1], f"{place}, {entry.label}")
        return replace(self, models=tuple(models))

    def quickly(self) -> Experiment:
        """A part of it on the first data set; by default one fold and no search.

        Returns
        -------
        Experiment

        Raises
        ------
        DeclarationError
            No model is left.
        """
        trials = self.quick.get("trials", 0)
        chosen = self.quick.get("models", [entry.label for entry in self.models])
        models = tuple(
            replace(e, search=e.search and {**e.search, "trials": trials})
            for e in self.models
            if e.label in chosen and (trials or e.search is None)
        )
        if not models:
            raise DeclarationError("--quick leaves none of these models; leave it out")
        splits = [
            {**s, "folds": min(self.quick.get("folds", 1), s["n_folds"])}
            if "n_folds" in s
            else s
            for s in self.splits
        ]
        small = replace(
            self, models=models, splits=tuple(splits), data=self.data[:1],
            reference=_reference(self.reference, models),
        )  # fmt: skip
        settings = self.quick.get("settings", {})
        return small.with_settings(
            {k: _list(v) for k, v in settings.items()}, "quick.settings"
        )

    def only(self, labels: Collection[str]) -> Experiment:
        """The experiment with some of its models.

        Parameters
        ----------
        labels : collection of str
            Patterns such as ``tuned*``; and ``default``, those without a search.

        Returns
        -------
        Experiment

        Raises
        ------
        DeclarationError
            A pattern fits no model.
        """
        from fnmatch import fnmatchcase

        def fits(entry: Entry, pattern: str) -> bool:
            plain = pattern == "default" and entry.search is None
            return plain or fnmatchcase(entry.label, pattern)

        for pattern in labels:
            if not any(fits(entry, pattern) for entry in self.models):
                rules.find(pattern, [e.label for e in self.models], "--models")
        models = tuple(e for e in self.models if any(fits(e, p) for p in labels))
        return replace(
            self, models=models, reference=_reference(self.reference, models)
        )


def dataset_name(data: Mapping[str, Any]) -> str:
    """What a data set is called.

    Parameters
    ----------
    data : mapping
        Of a declaration.

    Returns
    -------
    str
    """
    return data.get("name") or Path(data["path"]).name


def names() -> list[str]:
    """Experiments that come with the course.

    Returns
    -------
    list of str
    """
    return sorted(path.stem for path in folder().glob("*.toml"))


def folder() -> Path:
    """Where the declarations of the course lie.

    Returns
    -------
    Path
    """
    return Path(str(resources.files("mfcourse.experiments"))) / "declared"


def read(where: str | Path) -> Experiment:
    """Read a declaration.

    Parameters
    ----------
    where : str or Path
        One of `names`, or a ``.toml`` file.

    Returns
    -------
    Experiment

    Raises
    ------
    DeclarationError
        There is none, or it does not hold; the message names the line or the key.
    """
    path = source(where)
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DeclarationError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # TOML's own words name the line
        raise DeclarationError(f"{path.name}: {error}") from None
    return _experiment(path, told)


def source(where: str | Path) -> Path:
    """The file of a declaration.

    Parameters
    ----------
    where : str or Path
        As for `read`.

    Returns
    -------
    Path

    Raises
    ------
    DeclarationError
        There is none of this name.
    """
    if Path(where).suffix == ".toml":
        return Path(where)
    rules.find(str(where), names(), "experiments, or a .toml file")
    return folder() / f"{where}.toml"


# ---- Checks: each error names the key, what came, and what there is ------------------


def _experiment(path: Path, told: dict[str, Any]) -> Experiment:
    place = path.name
    needed = ("title", "metrics", "data", "split", "models")
    rules.check(told, rules.TOP, place, needed)
    data = tuple(
        _data(one, path.parent, f"{place}, data") for one in _list(told["data"])
    )
    metrics = tuple(told["metrics"])
    for metric in metrics:
        if not rules.is_metric(metric):
            known = [*ERRORS, *(f"{name}@10" for name in RANKED)]
            rules.find(metric, known, f"{place}, metrics")
    if len({metric in ERRORS for metric in metrics}) != 1:
        raise DeclarationError(
            f"{place}, metrics: expected errors (rmse, mae) or metrics of lists "
            f"(ndcg@10, …), one or more of one kind; got {list(metrics)}"
        )
    splits = tuple(_split(one, f"{place}, split") for one in _list(told["split"]))
    if metrics[0] in ERRORS and any(s["protocol"] == "newcomers" for s in splits):
        raise DeclarationError(
            f"{place}, split: newcomers are given lists; take ndcg@10 or the like"
        )
    named = {(dataset_name(one), str(s)) for one in data for s in splits}
    if len(named) < len(data) * len(splits):
        raise DeclarationError(f"{place}: expected each split and each data set once")
    rules.check(told.get("search", {}), rules.SEARCH, f"{place}, search")
    search = {**SEARCH, **told.get("search", {})}
    models = tuple(
        _entry(label, model, search, metrics, f"{place}, models.{label}")
        for label, model in told["models"].items()
    )
    labels = [entry.label for entry in models]
    reference = told.get("reference", labels[0])
    rules.find(reference, labels, f"{place}, reference")
    quick = told.get("quick", {})
    rules.check(quick, rules.QUICK, f"{place}, quick")
    for label in quick.get("models", ()):
        rules.find(label, labels, f"{place}, quick.models")
    clip = told.get("clip", False)
    return Experiment(
        path.stem, told["title"], data, splits, metrics, models, reference,
        tuple(told.get("seeds", [0])),
        (float(clip[0]), float(clip[1])) if isinstance(clip, list) else clip,
        told.get("intervals", True), quick, told.get("notes", "").strip(),
    )  # fmt: skip


def _data(told: Any, beside: Path, place: str) -> dict[str, Any]:
    rules.check(told, rules.DATA, place)
    columns = told.get("columns", {})
    rules.check(columns, rules.COLUMNS, f"{place}.columns")
    if ("name" in told) == ("path" in told) or ("name" in told and columns):
        raise DeclarationError(
            f"{place}: expected either a name, or a path and perhaps its columns"
        )
    if len(set(columns.values())) < len(columns):
        raise DeclarationError(f"{place}.columns: expected a column for each role")
    if "path" in told:  # beside the declaration, wherever it is run
        return {**told, "path": str(beside / told["path"])}
    return dict(told)


def _split(told: Any, place: str) -> dict[str, Any]:
    told = {"protocol": told} if isinstance(told, str) else told
    rules.check_value(told, rules.TABLE, place)
    protocol = told.get("protocol")
    rules.check_value(protocol, rules.TEXT, f"{place}.protocol")
    rules.find(protocol, PROTOCOLS, f"{place}.protocol")
    defaults = {"protocol": protocol, **PROTOCOLS[protocol]}
    rules.check(told, {name: rules.SPLIT[name] for name in defaults}, place)
    return {**defaults, **told}


def _entry(
    label: str, told: Any, search: dict[str, Any], metrics: tuple[str, ...], place: str
) -> Entry:
    own = {"class": rules.TEXT, "search": rules.TABLE, "published": rules.FIGURES}
    rules.check_value(told, rules.TABLE, place)
    settings = {k: v for k, v in told.items() if k not in own}
    rules.check({k: told[k] for k in told if k in own}, own, place, ("class",))
    model = told["class"]
    fields = hyper_parameters(model, f"{place}.class") - {"seed"}
    if model in _RANKERS and metrics[0] in ERRORS:
        raise DeclarationError(
            f"{place}: {model} ranks and predicts no ratings; measure it by ndcg@10 or "
            "the like"
        )
    kinds: dict[type, rules.Rule] = {dict: rules.RANGE, list: rules.GRID}
    for name, value in settings.items():
        rules.find(name, [*fields, *own], place)
        if type(value) in kinds:
            rules.check_value(value, kinds[type(value)], f"{place}.{name}")
    chosen = None
    if "search" in told or any(isinstance(v, dict) for v in settings.values()):
        rules.check(told.get("search", {}), rules.SEARCH, f"{place}.search")
        chosen = {**search, **told.get("search", {})}
    entry = Entry(label, model, settings, chosen, told.get("published", {}))
    _check_values(entry, place)
    return entry


def _check_values(entry: Entry, place: str) -> None:
    """Every value, and the ends of every range, must please the model."""
    import mfcourse

    ends = {k: v.get("among", [v.get("from"), v.get("to")])
            for k, v in entry.searched.items()}  # fmt: skip
    for settings in replace(entry, settings={**entry.settings, **ends}).grid():
        try:
            getattr(mfcourse, entry.model)(**settings)
        except (ValueError, TypeError) as error:
            raise DeclarationError(f"{place}: {error}") from None


@cache
def hyper_parameters(model: str, place: str = "class") -> set[str]:
    """Names of a model's hyper-parameters.

    Parameters
    ----------
    model : str
        Name of its class in mfcourse.
    place : str
        For the error.

    Returns
    -------
    set of str

    Raises
    ------
    DeclarationError
        There is no such model.
    """
    import mfcourse

    classes = [name for name in mfcourse.__all__ if name.endswith("Model")]
    rules.find(model, set(classes) - {"FactorModel"}, place)
    return {part.name for part in dataclasses.fields(getattr(mfcourse, model))}


def _reference(label: str, models: tuple[Entry, ...]) -> str:
    labels = [entry.label for entry in models]
    return label if label in labels else labels[0]


def _list(told: Any) -> list[Any]:
    return told if isinstance(told, list) else [told]
