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
import difflib
import itertools
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

PROTOCOLS: dict[str, dict[str, Any]] = {  # with the defaults of split.py
    "kfold": {"n_folds": 5, "seed": 0},
    "random": {"test": 0.2, "by_user": False, "seed": 0},
    "leave_last": {"n": 1},
    "temporal": {"test": 0.2},
    "newcomers": {"users": 0.2, "test": 0.2, "seed": 0},
}
ERRORS = ("rmse", "mae")
LISTS = ("precision", "recall", "ndcg", "map", "mrr")
SEARCH = {"trials": 1, "rungs": 1, "keep": 3, "validation": 0.1, "seed": 0}

_NUMBER = (int, float)
_TOP = {"title": str, "notes": str, "metrics": list, "seeds": list, "reference": str,
        "clip": (bool, list), "data": (dict, list), "split": (str, dict, list),
        "search": dict, "quick": dict, "intervals": bool, "models": dict}  # fmt: skip
_DATA = {"name": str, "path": str, "columns": dict, "at_least": _NUMBER, "binary": bool,
         "min_user_ratings": int, "min_item_ratings": int,
         "relevant_at": _NUMBER}  # fmt: skip
_COLUMNS = dict.fromkeys(("user", "item", "rating", "timestamp", "sep"), str)
_PREPARED = ("at_least", "binary", "min_user_ratings", "min_item_ratings",
             "relevant_at")  # fmt: skip
_RANKERS = ("PopularityModel", "BPRModel", "EASEModel", "ImplicitALSModel")
_QUICK = {"folds": int, "trials": int, "models": list, "settings": dict}


class DeclarationError(Exception):
    """Something in a declaration, with its place and what was expected."""


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

        _check_keys(columns or {}, _COLUMNS, "--columns")
        path = Path(dataset)
        name = path.name.removesuffix(".zip").removeprefix("hetrec2011-")
        if dataset in (*datasets.names(), *map(dataset_name, self.data)):
            if columns:
                raise DeclarationError("--columns are those of a file of yours")
            return self.of(dataset)
        if not path.exists():
            known = [*datasets.names(), "or a file of yours"]
            raise DeclarationError(f"--dataset: {_no_such(dataset, known)}")
        if name in datasets.SOURCES:  # a download, put somewhere
            data = {**self.of(name).data[0], "path": dataset}
        elif path.is_dir():
            raise DeclarationError(
                f"--dataset: {dataset} is a folder; give a CSV or Parquet file in it"
            )
        else:
            prepared = {k: v for k, v in self.data[0].items() if k in _PREPARED}
            data = {"path": dataset, "columns": dict(columns or {}), **prepared}
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
        prepared = {k: v for k, v in self.data[0].items() if k in _PREPARED}
        same = [data for data in self.data if dataset_name(data) == dataset]
        return replace(self, data=tuple(same or [{"name": dataset, **prepared}]))

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
            if name not in fields - {"seed"}:
                raise DeclarationError(f"{place}: {_no_such(name, fields - {'seed'})}")
        models = []
        for entry in self.models:
            has = hyper_parameters(entry.model)
            own = {k: v for k, v in settings.items() if k in has}
            models.append(replace(entry, settings={**entry.settings, **own}))
            _check_values(models[-1], f"{place}, {entry.label}")
        return replace(self, models=tuple(models))

    def quickly(self) -> Experiment:
        """A small part of it, as ``quick`` says; by default a fold and no search.

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
            self, models=models, splits=tuple(splits),
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
                known = [entry.label for entry in self.models]
                raise DeclarationError(f"--models: {_no_such(pattern, known)}")
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
    if str(where) not in names():
        raise DeclarationError(f"{_no_such(where, names())}; or give a .toml file")
    return folder() / f"{where}.toml"


# ---- Checks: each names the key, what came, and what there is ------------------------


def _experiment(path: Path, told: dict[str, Any]) -> Experiment:
    place = path.name
    _check_keys(
        told, _TOP, place, needed=("title", "metrics", "data", "split", "models")
    )
    data = _tables(told["data"], _DATA, f"{place}, data")
    for one in data:
        if ("name" in one) == ("path" in one):
            raise DeclarationError(f"{place}, data: give either a name or a path")
        _check_data(one, f"{place}, data")
        if "path" in one:  # beside the declaration, wherever it is run
            one["path"] = str(path.parent / one["path"])
    metrics = tuple(_metric(metric, place) for metric in told["metrics"])
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
    _check_keys(told.get("search", {}), _kinds(SEARCH), f"{place}, search")
    search = {**SEARCH, **told.get("search", {})}
    models = tuple(
        _entry(label, model, search, f"{place}, models.{label}")
        for label, model in told["models"].items()
    )
    named = {(dataset_name(one), str(split)) for one in data for split in splits}
    if not splits or len(named) < len(data) * len(splits):
        raise DeclarationError(
            f"{place}: expected one split or more, each split and each data set once"
        )
    labels = [entry.label for entry in models]
    if not labels:
        raise DeclarationError(f"{place}, models: expected at least one")
    for entry in models:
        if entry.model in _RANKERS and metrics[0] in ERRORS:
            raise DeclarationError(
                f"{place}, models.{entry.label}: {entry.model} ranks and predicts no "
                "ratings; measure it by ndcg@10 or the like"
            )
    reference = told.get("reference", labels[0])
    if reference not in labels:
        raise DeclarationError(f"{place}, reference: {_no_such(reference, labels)}")
    quick = told.get("quick", {})
    _check_keys(quick, _QUICK, f"{place}, quick")
    if quick.get("folds", 1) < 1 or quick.get("trials", 0) < 0:
        raise DeclarationError(f"{place}, quick: expected folds from 1, trials from 0")
    if quick.get("models") == []:
        raise DeclarationError(f"{place}, quick.models: the list is empty")
    for label in quick.get("models", ()):
        if label not in labels:
            raise DeclarationError(f"{place}, quick.models: {_no_such(label, labels)}")
    seeds = tuple(told.get("seeds", [0]))
    whole = all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds)
    if not seeds or not whole or len(set(seeds)) < len(seeds):
        raise DeclarationError(
            f"{place}, seeds: expected different whole numbers from 0 to 2³² − 1, got "
            f"{list(seeds)}"
        )
    clip = told.get("clip", False)
    if isinstance(clip, list):
        numbers = len(clip) == 2 and all(type(end) in _NUMBER for end in clip)
        if not numbers or not clip[0] < clip[1]:
            raise DeclarationError(f"{place}, clip: expected [low, high], got {clip}")
        clip = (float(clip[0]), float(clip[1]))
    return Experiment(
        path.stem, told["title"], data, splits, metrics, models, reference, seeds, clip,
        told.get("intervals", True), quick, told.get("notes", "").strip(),
    )  # fmt: skip


def _split(told: Any, place: str) -> dict[str, Any]:
    told = told if isinstance(told, dict) else {"protocol": told}
    protocol = told.get("protocol")
    if not isinstance(protocol, str) or protocol not in PROTOCOLS:
        raise DeclarationError(f"{place}.protocol: {_no_such(protocol, PROTOCOLS)}")
    defaults = PROTOCOLS[protocol]
    _check_keys(told, {"protocol": str, **_kinds(defaults)}, place)
    for name, least in {"n_folds": 2, "n": 1, "seed": 0}.items():
        if told.get(name, least) < least:
            raise DeclarationError(f"{place}.{name}: expected {least} or more")
    for name in ("test", "users"):
        if not 0 < told.get(name, 0.5) < 1:
            raise DeclarationError(f"{place}.{name}: expected a share in (0, 1)")
    return {"protocol": protocol, **defaults, **told}


def _metric(metric: Any, place: str) -> str:
    name, at, n = str(metric).partition("@")
    if (name in ERRORS and not at) or (name in LISTS and n.isdecimal() and int(n) > 0):
        return str(metric)
    known = [*ERRORS, *(f"{name}@10" for name in LISTS)]
    raise DeclarationError(f"{place}, metrics: {_no_such(metric, known)}")


def _entry(label: str, told: Any, search: dict[str, Any], place: str) -> Entry:
    if not isinstance(told, dict) or "class" not in told:
        raise DeclarationError(f"{place}: expected a table with a class")
    own = ("class", "search", "published")
    settings = {k: v for k, v in told.items() if k not in own}
    if not isinstance(told["class"], str):
        raise DeclarationError(f"{place}.class: expected text, got {told['class']!r}")
    fields = hyper_parameters(told["class"], f"{place}.class") - {"seed"}
    for name, value in settings.items():
        if name not in fields:
            raise DeclarationError(f"{place}: {_no_such(name, [*fields, *own])}")
        if isinstance(value, dict):
            _check_range(value, f"{place}.{name}")
        _check_list(value, f"{place}.{name}")
    _check_published(told.get("published", {}), f"{place}.published")
    chosen = None
    if "search" in told or any(isinstance(v, dict) for v in settings.values()):
        _check_keys(told.get("search", {}), _kinds(SEARCH), f"{place}.search")
        chosen = {**search, **told.get("search", {})}
        for name, least in {"trials": 1, "rungs": 1, "seed": 0}.items():
            if chosen[name] < least:
                raise DeclarationError(
                    f"{place}.search.{name}: expected {least} or more"
                )
        if chosen["keep"] < 2 or not 0 < chosen["validation"] < 1:
            raise DeclarationError(
                f"{place}.search: expected keep of 2 or more, validation in (0, 1)"
            )
    entry = Entry(label, told["class"], settings, chosen, told.get("published", {}))
    _check_values(entry, place)
    return entry


def _check_data(told: dict[str, Any], place: str) -> None:
    columns = told.get("columns", {})
    _check_keys(columns, _COLUMNS, f"{place}.columns")
    if columns and "path" not in told:
        raise DeclarationError(f"{place}.columns: they are those of a file, see path")
    if len(set(columns.values())) < len(columns):
        raise DeclarationError(f"{place}.columns: each must name another column")
    for name in ("min_user_ratings", "min_item_ratings"):
        if told.get(name, 0) < 0:
            raise DeclarationError(f"{place}.{name}: expected 0 or more")


def _check_list(value: Any, place: str) -> None:
    if isinstance(value, list):
        flat = [one for one in value if not isinstance(one, list | dict)]
        if not value or len(flat) < len(value) or len(set(map(repr, flat))) < len(flat):
            raise DeclarationError(
                f"{place}: expected different values in a list, got {value}"
            )


def _check_published(told: Any, place: str) -> None:
    for name, figures in (told if isinstance(told, dict) else {"": told}).items():
        right = isinstance(figures, dict) and all(
            type(value) in _NUMBER for value in figures.values()
        )
        if not right:
            raise DeclarationError(
                f"{place}: expected figures like {{ ml-100k = {{ rmse = 0.934 }} }}, "
                f"got {told}"
            )
        for metric in figures:
            _metric(metric, f"{place}.{name}")


def _check_range(told: dict[str, Any], place: str) -> None:
    among = told.get("among")
    if set(told) == {"among"} and isinstance(among, list) and among:
        return
    low, high, log = told.get("from"), told.get("to"), told.get("log", False)
    if (
        set(told) - {"log"} != {"from", "to"}
        or not (isinstance(low, _NUMBER) and isinstance(high, _NUMBER))
        or not low < high
        or type(log) is not bool
        or (log and low <= 0)
    ):
        raise DeclarationError(
            f"{place}: expected {{ from = 0.01, to = 1.0, log = true }} or "
            f"{{ among = [32, 64] }}; got {told}"
        )


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
    if model == "FactorModel" or model not in classes:
        raise DeclarationError(f"{place}: {_no_such(model, classes)}")
    return {part.name for part in dataclasses.fields(getattr(mfcourse, model))}


def _reference(label: str, models: tuple[Entry, ...]) -> str:
    labels = [entry.label for entry in models]
    return label if label in labels else labels[0]


def _list(told: Any) -> list[Any]:
    return told if isinstance(told, list) else [told]


def _tables(told: Any, kinds: dict[str, Any], place: str) -> tuple[dict[str, Any], ...]:
    tables = _list(told)
    for table in tables:
        _check_keys(table, kinds, place)
    if not tables:
        raise DeclarationError(f"{place}: expected at least one table")
    return tuple(map(dict, tables))


def _kinds(defaults: Mapping[str, Any]) -> dict[str, Any]:
    return {
        k: _NUMBER if isinstance(v, float) else type(v) for k, v in defaults.items()
    }


def _check_keys(
    told: Any, kinds: Mapping[str, Any], place: str, needed: Collection[str] = ()
) -> None:
    if not isinstance(told, dict):
        raise DeclarationError(f"{place}: expected a table, got {told!r}")
    for name, value in told.items():
        if name not in kinds:
            raise DeclarationError(f"{place}: {_no_such(name, kinds)}")
        wanted = kinds[name] if isinstance(kinds[name], tuple) else (kinds[name],)
        if type(value) not in wanted:
            words = " or ".join(_WORDS[kind] for kind in wanted)
            raise DeclarationError(f"{place}.{name}: expected {words}, got {value!r}")
    for name in needed:
        if name not in told:
            raise DeclarationError(f"{place}: {name} is missing")


_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false",
          list: "a list", dict: "a table"}  # fmt: skip


def _no_such(name: Any, known: Collection[str]) -> str:
    close = difflib.get_close_matches(str(name), list(known), 1)
    guess = f" Did you mean {close[0]}?" if close else ""
    return f"there is no {name}.{guess} There are: {', '.join(sorted(known))}"
