"""Values as plain data: numbers, arrays and lists of these, in JSON and back.

Nothing but shapes, types and bytes is read back, so a line from a stranger can be wrong
and cannot do anything. It leans on NumPy alone: a sandbox that has no mfcourse takes
this file along.
"""

import base64
import binascii
import json
import re
from typing import Any

import numpy as np

DEEPEST, LARGEST = 8, 4_000_000  # levels of lists; bytes of one array
_DTYPE = re.compile(r"[<>|=][biuf][0-9]{1,2}")


def encode(value: Any, depth: int = 0) -> Any:
    """A value as what JSON can hold.

    Parameters
    ----------
    value : number, bool, str, None, array of numbers, or a list or tuple of these
    depth : int
        Levels of lists around it.

    Returns
    -------
    object

    Raises
    ------
    TypeError
        It is something else, or nested too deeply.
    OverflowError
        An array is too large.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        plain = value.item()  # of a longdouble, a longdouble
        return plain if type(plain) in (bool, int, float) else float(plain)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        if value.nbytes > LARGEST:
            raise OverflowError(f"an array of {value.nbytes:,} bytes is too large")
        whole = np.ascontiguousarray(value.view(np.ndarray))
        text = base64.b64encode(whole.tobytes()).decode("ascii")
        return {"dtype": whole.dtype.str, "shape": list(value.shape), "bytes": text}
    if isinstance(value, list | tuple) and depth < DEEPEST:
        parts = [encode(part, depth + 1) for part in value]
        return {"tuple": parts} if isinstance(value, tuple) else parts
    raise TypeError(f"a {type(value).__name__} at level {depth} is no plain data")


def decode(data: Any, depth: int = 0, words: bool = False) -> Any:
    """A value from what `encode` gave.

    Parameters
    ----------
    data : object
        Out of JSON; it may come from a stranger.
    depth : int
        Levels of lists around it.
    words : bool
        Whether there may be texts. No answer is one, and NumPy makes all of a list as
        wide as its widest text: a stranger's megabyte becomes a gigabyte.

    Returns
    -------
    object
        Its arrays are copies that may be written to.

    Raises
    ------
    ValueError
        It is not what `encode` gives.
    """
    if data is None or type(data) in (bool, int, float):
        return data
    if words and type(data) is str:
        return data
    if isinstance(data, list) and depth < DEEPEST:
        return [decode(part, depth + 1, words) for part in data]
    if isinstance(data, dict) and isinstance(data.get("tuple"), list):
        return tuple(decode(data["tuple"], depth, words))
    if isinstance(data, dict) and data.keys() == {"dtype", "shape", "bytes"}:
        return _array(**data)
    raise ValueError("no plain data")


def _array(dtype: Any, shape: Any, bytes: Any) -> np.ndarray:
    if not isinstance(dtype, str) or not _DTYPE.fullmatch(dtype):
        raise ValueError("no dtype of numbers")
    dims = shape if isinstance(shape, list) and len(shape) <= DEEPEST else [-1]
    if any(type(n) is not int or not 0 <= n <= LARGEST for n in dims):
        raise ValueError("no shape")
    try:
        content = base64.b64decode(bytes, validate=True)
        return np.frombuffer(content, np.dtype(dtype)).reshape(dims).copy()
    except (TypeError, binascii.Error) as error:
        raise ValueError("no bytes of an array") from error


def dumps(value: Any) -> str:
    """A value as one line of JSON.

    Parameters
    ----------
    value : object
        As in `encode`.

    Returns
    -------
    str
    """
    return json.dumps(encode(value))


def loads(text: str | bytes, words: bool = False) -> Any:
    """A value from a line of JSON.

    Parameters
    ----------
    text : str or bytes
    words : bool
        As in `decode`.

    Returns
    -------
    object

    Raises
    ------
    ValueError
        It is no JSON, or not what `dumps` gives.
    """
    try:
        return decode(json.loads(text), 0, words)
    except (RecursionError, MemoryError) as error:
        raise ValueError("no plain data") from error
