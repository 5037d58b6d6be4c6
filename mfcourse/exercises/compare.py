"""Expected against got: the same kind, then the same shape, then the same numbers.

What means the same counts as the same: a list for an array, an integer for an equal
float, NumPy's numbers for Python's. NaN is right only where NaN is expected.
"""

from __future__ import annotations

from typing import Any

import numpy as np

RTOL, ATOL = 1e-6, 1e-9


def difference(
    expected: Any,
    got: Any,
    *,
    names: tuple[str, ...] = (),
    rtol: float = RTOL,
    atol: float = ATOL,
) -> str:
    """What tells two answers apart, in words.

    Parameters
    ----------
    expected : number, array, or a tuple or list of these
        A tuple, or a list that is no array, is compared part by part.
    got : anything
    names : tuple of str
        Of the parts; else they are numbered.
    rtol, atol : float
        Numbers may differ by ``atol + rtol × |expected|``, integers by ``atol``.

    Returns
    -------
    str
        Empty where they are the same.
    """
    if got is None:
        return "your function gave back None (is there a return?)"
    if isinstance(expected, tuple) or _is_ragged(expected):
        if not isinstance(got, tuple | list) and not _is_row(got):
            return f"expected {len(expected)} parts, got {_kind(got)}"
        if len(got) != len(expected):
            return f"expected {len(expected)} parts, got {len(got)}"
        names = names or tuple(f"part {n}" for n in range(1, len(expected) + 1))
        for name, part, own in zip(names, expected, got, strict=True):
            if reason := difference(part, own, rtol=rtol, atol=atol):
                return f"{name}: {reason}"
        return ""
    wanted, own = np.asarray(expected), _numbers(got)
    if own is None:
        return f"expected {_kind(expected)}, got {_kind(got)}"
    if wanted.shape != own.shape:
        if 0 in (wanted.ndim, own.ndim):
            return f"expected {_kind(expected)}, got {_kind(got)}"
        return f"expected shape {wanted.shape}, got {own.shape}"
    if wanted.dtype.kind in "biu":  # a code or a count is right or wrong
        rtol = 0.0
    same = np.isclose(own, wanted, rtol=rtol, atol=atol, equal_nan=True)
    if same.all():
        return ""
    hole = " (a hole came through)" if np.isnan(own[~same]).any() else ""
    if wanted.ndim == 0:
        return f"expected {_number(wanted)}, got {_number(own)}{hole}"
    first = tuple(int(n) for n in np.argwhere(~same)[0])
    place = ", ".join(map(str, first))
    return (
        f"{(~same).sum()} of {same.size} numbers differ; the first at [{place}]: "
        f"expected {_number(wanted[first])}, got {_number(own[first])}{hole}"
    )


def _is_row(got: Any) -> bool:
    return isinstance(got, np.ndarray) and got.ndim > 0


def _is_ragged(expected: Any) -> bool:
    """A list whose parts do not make one array of numbers."""
    return isinstance(expected, list) and _numbers(expected) is None


def _numbers(x: Any) -> np.ndarray | None:
    """An array of numbers, or None where it is none."""
    if isinstance(x, str | bytes | dict | set) or hasattr(x, "tocsr"):
        return None
    if np.ma.is_masked(x):  # what is masked has no value
        return None
    try:
        array = np.asarray(x)
    except Exception:  # parts of different lengths
        return None
    return array if array.dtype.kind in "biuf" else None


def _number(x: np.ndarray) -> str:
    return str(bool(x)) if x.dtype.kind == "b" else f"{x:.6g}"


def _kind(x: Any) -> str:
    array = _numbers(x)
    if array is None:
        name = type(x).__name__
        return f"{'an' if name[:1] in tuple('aeiou') else 'a'} {name}"
    if array.ndim == 0:
        return "a number" if array.dtype.kind != "b" else "True or False"
    return f"an array of shape {array.shape}"
