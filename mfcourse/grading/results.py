"""What grading found, a line a task and student, written the moment it is known."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from mfcourse.grading.key import GradingError

FILE, FORMAT = "results.jsonl", "mfcourse results 1"
OPEN = ("flagged", "grader_error")  # for a person: neither scored nor 0
STATUSES = (
    "ok", "wrong", "not_found", "not_written", "syntax", "time_limit", "memory_limit",
    "crashed", "output_limit", "unreadable", *OPEN,
)  # fmt: skip


@dataclass(frozen=True)
class Group:
    """The cases of one group.

    Parameters
    ----------
    name : str
    status : str
        One of `STATUSES`: "ok", or that of the first case that went wrong.
    points, of : int
        All of ``of``, or 0.
    right, cases : int
    reason : str
        A short sentence without a word of the student's, or a hidden number.
    """

    name: str
    status: str
    points: int
    of: int
    right: int
    cases: int
    reason: str = ""


@dataclass(frozen=True)
class Result:
    """One task of one student.

    Parameters
    ----------
    student, file, sha256 : str
        Who, the name of the notebook's file, and its hash.
    task : str
    status : str
        One of `STATUSES`.
    points : int or None
        None where a person has to look.
    of : int
    reason : str
        As in `Group`.
    groups : tuple of Group
        Empty where nothing ran.
    seconds : float
        In the sandbox.
    """

    student: str
    file: str
    sha256: str
    task: str
    status: str
    points: int | None
    of: int
    reason: str = ""
    groups: tuple[Group, ...] = ()
    seconds: float = 0.0


@dataclass
class Ledger:
    """The file of results: appended to, line by line; the last line of a task counts.

    Parameters
    ----------
    path : Path
    header : dict
        What all lines stand on: the key's name and digest, and the sandbox.
    """

    path: Path
    header: dict[str, Any]
    _file: TextIO | None = field(default=None, init=False)

    def open(self, resume: bool, again: Collection[str] = ()) -> list[Result]:
        """Open it for appending; only one process can.

        Parameters
        ----------
        resume : bool
            Go on with what is there.
        again : collection of str
            Tasks to forget; the others are taken over, also from another key.

        Returns
        -------
        list of Result
            What is there and still counts.

        Raises
        ------
        GradingError
            There are results already, of another key, or another process has it open.
        """
        there = self.path.exists() and self.path.stat().st_size > 0
        if there and not (resume or again):
            raise GradingError(
                f"{self.path} has results already. Add --resume to go on, or choose "
                "another --out"
            )
        self._file = self.path.open("a+", encoding="utf-8")
        _lock(self._file, self.path)
        whole = _drop_torn_line(self.path)
        header, found = _read(whole, self.path)
        if header and header.get("assignment") != self.header["assignment"]:
            raise GradingError(
                f"{self.path} is of {header.get('assignment')}, not of "
                f"{self.header['assignment']}. Choose another --out"
            )
        if header and header.get("sandbox") != self.header["sandbox"]:
            raise GradingError(
                f"{self.path} was graded with another sandbox ({header['sandbox']}, "
                f"not {self.header['sandbox']}). Choose another --out"
            )
        if header and header.get("key") != self.header["key"] and not again:
            raise GradingError(
                f"{self.path} was graded with another key or secret. Add --regrade "
                "TASK for each task that you mended, or choose another --out"
            )
        if again or header != self.header:
            self._write({"format": FORMAT, **self.header, "again": sorted(again)})
        return [result for result in found if result.task not in again]

    def append(self, result: Result) -> None:
        """Keep a result; it is on the disk when this returns.

        Parameters
        ----------
        result : Result
        """
        self._write(asdict(result))

    def close(self) -> None:
        """Close it; another process may open it then."""
        if self._file:
            self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        assert self._file is not None
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def _lock(file: TextIO, path: Path) -> None:
    with suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise GradingError(
                f"another process is grading into {path.parent}. Wait for it, or "
                "choose another --out"
            ) from None


def _drop_torn_line(path: Path) -> bytes:
    """The file without a last line that a kill cut off."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        os.truncate(path, len(whole))
    return whole


def _read(content: bytes, path: Path) -> tuple[dict[str, Any], list[Result]]:
    header: dict[str, Any] = {}
    found: dict[tuple[str, str], Result] = {}
    for number, told in _lines(content, path):
        try:
            if told.get("format") == FORMAT:
                again = set(told.pop("again"))
                found = {pair: r for pair, r in found.items() if pair[1] not in again}
                header = {k: v for k, v in told.items() if k != "format"}
                continue
            told["groups"] = tuple(Group(**group) for group in told["groups"])
            result = Result(**told)
            parts: list[Result | Group] = [result, *result.groups]
            if not all(map(_holds, parts)):
                raise TypeError
        except (KeyError, TypeError):
            raise _no_result(path, number) from None
        found[result.student, result.task] = result
    return header, list(found.values())


def _holds(result: Result | Group) -> bool:
    """Whether a line has what we would have written."""
    points, of = result.points, result.of
    if isinstance(result, Result):
        texts = result.student, result.file, result.sha256, result.task, result.reason
        seconds = result.seconds
        if not all(isinstance(text, str) for text in texts):
            return False
        if not isinstance(seconds, int | float) or not 0 <= seconds < 1e6:
            return False
    if result.status not in STATUSES:
        return False
    return points is None or (type(points) is type(of) is int and 0 <= points <= of)


def _lines(content: bytes, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(content.splitlines(), 1):
        try:
            told = json.loads(line)
        except ValueError:
            raise _no_result(path, number) from None
        if not isinstance(told, dict):
            raise _no_result(path, number)
        yield number, told


def _no_result(path: Path, number: int) -> GradingError:
    return GradingError(
        f"{path}, line {number}, is no result of this version. Mend or remove the "
        "line, or choose another --out"
    )
