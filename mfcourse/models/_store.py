"""A fitted model's state as named arrays and back, for one ``.npz`` without pickle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, issparse

from mfcourse.interactions import IdMap, Interactions


def flatten(state: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Split a model's state into arrays and JSON values, one dotted name each.

    Parameters
    ----------
    state : dict
        Arrays, sparse matrices, frames, Interactions and plain values by name.

    Returns
    -------
    arrays : dict of ndarray
    plain : dict
        JSON values, and for each composite what kind it is.

    Raises
    ------
    ValueError
        Ids are of mixed types.
    """
    arrays: dict[str, np.ndarray] = {}
    plain: dict[str, Any] = {}
    for name, value in state.items():
        if isinstance(value, Interactions):
            parts = {"users": value.users.ids, "items": value.items.ids}
            inner, _ = flatten({**parts, "csr": value.csr})
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


def unflatten(arrays: dict[str, np.ndarray], plain: dict[str, Any]) -> dict[str, Any]:
    """Put together what ``flatten`` took apart.

    Parameters
    ----------
    arrays, plain : dict
        The two parts.

    Returns
    -------
    dict
        Names and values of the state.
    """
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
