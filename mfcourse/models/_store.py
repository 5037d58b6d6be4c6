"""A fitted model in one ``.npz`` file: arrays and a JSON header, never pickle."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, issparse

from mfcourse.interactions import IdMap, Interactions

FORMAT = "mfcourse-model-1"


def save(model: Any, state: dict[str, Any], path: Path) -> Path:
    """Write a model; an older file is replaced only once the new one is whole.

    Parameters
    ----------
    model : Recommender
        A dataclass: its fields are the hyper-parameters.
    state : dict
        What it learned.
    path : Path
        ``.npz`` is added where it is missing.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ValueError
        Ids are of mixed types.
    """
    path = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
    arrays, plain = _flatten(state)
    header = {"format": FORMAT, "class": type(model).__name__, "plain": plain}
    arrays["header"] = np.array(json.dumps({**header, "params": asdict(model)}))
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


def load(path: Path) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Read what ``save`` wrote.

    Parameters
    ----------
    path : Path

    Returns
    -------
    name : str
        Of the model's class.
    params, state : dict
        Hyper-parameters, and what was learned.

    Raises
    ------
    ValueError
        The file is not ours, or from another version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            arrays = {name: file[name] for name in file.files if name != "header"}
        if header["format"] != FORMAT:
            raise KeyError(header["format"])
        state = _unflatten(arrays, header["plain"])
        return header["class"], header["params"], state
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(
            f"{path} is not a model saved by this version of mfcourse "
            f"({FORMAT}): {error}. Fit and save it again"
        ) from error


def _flatten(state: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Split a state into arrays and JSON values, one dotted name each."""
    arrays: dict[str, np.ndarray] = {}
    plain: dict[str, Any] = {}
    for name, value in state.items():
        if isinstance(value, Interactions):
            parts = {"users": value.users.ids, "items": value.items.ids}
            inner, _ = _flatten({**parts, "csr": value.csr})
            plain[name] = "Interactions"
        elif issparse(value):
            inner = {k: getattr(value, k) for k in ("data", "indices", "indptr")}
            inner["shape"] = np.array(value.shape)
            plain[name] = "csr"
        elif isinstance(value, pd.DataFrame):
            inner = {str(c): value[c].to_numpy() for c in value.columns}
            plain[name] = ["frame", *map(str, value.columns)]
        elif isinstance(value, np.ndarray):
            if value.dtype == object:  # ids that are strings
                if not all(isinstance(v, str) for v in value):
                    raise ValueError(f"{name}: ids of mixed types cannot be saved")
                value = value.astype(np.str_)
            arrays[name] = value
            continue
        else:
            plain[name] = ["value", value]
            continue
        arrays.update({f"{name}.{k}": v for k, v in inner.items()})
    return arrays, plain


def _unflatten(arrays: dict[str, np.ndarray], plain: dict[str, Any]) -> dict[str, Any]:
    """Put together what ``_flatten`` took apart."""
    state: dict[str, Any] = {
        name: value for name, value in arrays.items() if "." not in name
    }
    for name, kind in plain.items():
        if kind in ("csr", "Interactions"):
            at = f"{name}.csr" if kind == "Interactions" else name
            data, indices, indptr = (
                arrays[f"{at}.{k}"] for k in ("data", "indices", "indptr")
            )
            matrix = csr_matrix((data, indices, indptr), tuple(arrays[f"{at}.shape"]))
            if kind == "Interactions":
                users, items = (
                    IdMap(_ids(arrays[f"{name}.{k}"])) for k in ("users", "items")
                )
                state[name] = Interactions.from_parts(users, items, matrix)
            else:
                state[name] = matrix
        elif kind[0] == "frame":
            state[name] = pd.DataFrame({c: arrays[f"{name}.{c}"] for c in kind[1:]})
        else:
            state[name] = kind[1]
    return state


def _ids(ids: np.ndarray) -> np.ndarray:
    return ids.astype(object) if ids.dtype.kind == "U" else ids
