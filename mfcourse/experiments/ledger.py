"""A ledger: one line of JSON a trial, written the moment that it is done.

Several runs may write to one ledger at a time; a line is written whole, under a lock. A
line that a kill cut off is passed over, and its trial is run again.
"""

from __future__ import annotations

import base64
import errno
import gzip
import io
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd


class LedgerError(Exception):
    """A file that is something else."""


class Ledger:
    """Rows by their key; the first row of a trial counts.

    Parameters
    ----------
    path : Path, optional
        A file that need not be there; without one, rows are kept in memory alone. One
        that ends in ``.gz`` is read, and not written to.

    Raises
    ------
    LedgerError
        The file has lines, and none is a row.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.rows: dict[str, dict[str, Any]] = {}
        self._end = 0  # of the last whole line that was read
        if path is not None and path.exists():
            opener: Any = gzip.open if path.suffix == ".gz" else open
            with opener(path, "rb") as file:
                self._read(file)
        self.opened_with = len(self.rows)

    def append(self, row: dict[str, Any]) -> None:
        """Write a row, unless its trial is there; it is on the disk when this returns.

        Parameters
        ----------
        row : dict
            JSON values; ``key`` among them.

        Raises
        ------
        OSError
            The file cannot be written, or there is no room.
        """
        if self.path is None:
            self.rows.setdefault(row["key"], row)
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+", buffering=0) as file, _locked(file):
            self._read(file)
            if row["key"] in self.rows:
                return
            line = json.dumps(row, allow_nan=False).encode() + b"\n"
            end = file.seek(0, os.SEEK_END)
            line = b"\n" * (end > self._end) + line  # a torn line ends here
            if file.write(line) < len(line):
                raise OSError(errno.ENOSPC, "no room left for", str(self.path))
            os.fsync(file.fileno())
            self._read(file)

    def _read(self, file: IO[bytes]) -> None:
        file.seek(self._end)
        whole, newline, _ = file.read().rpartition(b"\n")
        self._end += len(whole) + len(newline)
        for line in whole.splitlines():
            with suppress(ValueError, RecursionError):
                row = json.loads(line)
                if isinstance(row, dict) and isinstance(row.get("key"), str):
                    self.rows.setdefault(row["key"], row)
        if whole.strip() and not self.rows:
            raise LedgerError(
                f"{self.path} is no ledger: none of its lines is a result. Name another"
            )


@contextmanager
def _locked(file: IO[bytes]) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # Windows: an appended line is written whole
        yield
        return
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


# ---- A value per user, in a row ------------------------------------------------------


def pack(table: pd.DataFrame, metric: str, frame: pd.DataFrame) -> str:
    """What a metric is made of, user by user, to three digits, as text for a row.

    Parameters
    ----------
    table : DataFrame
        From ``evaluate.per_user``.
    metric : str
        A column of it.
    frame : DataFrame
        All prepared ratings; their users in sorted order are those of the text, so that
        no id is told, and what two rows say of a user can be brought together.

    Returns
    -------
    str
    """
    users = np.sort(frame["user"].unique())
    found = table[[metric, "n"]].reindex(users, fill_value=0)
    value = found[metric].to_numpy(np.float32).view(np.uint32)
    value = (value + np.uint32(0x800)) & np.uint32(0xFFFFF000)  # 11 bits: packs well
    file = io.BytesIO()
    np.save(file, value.view(np.float32))
    np.save(file, found["n"].to_numpy(np.uint32))
    return base64.b64encode(zlib.compress(file.getvalue(), 9)).decode()


def unpack(text: str, metric: str) -> pd.DataFrame:
    """What `pack` was given, without the ids; ``n`` is 0 for users not in the test.

    Parameters
    ----------
    text : str
    metric : str

    Returns
    -------
    DataFrame with columns ``metric, n``
    """
    file = io.BytesIO(zlib.decompress(base64.b64decode(text)))
    value, n = (np.load(file, allow_pickle=False) for _ in range(2))
    return pd.DataFrame({metric: value.astype(np.float64), "n": n.astype(np.float64)})
