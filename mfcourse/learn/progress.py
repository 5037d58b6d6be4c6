"""What a learner did, kept on their own machine: a log of events that only grows.

The log is an SQLite file. An event is one line of JSON in it with a checksum, under a
key that is there once, and is confirmed when its transaction is on the disk. A line is
short, so it lies in one piece, and a damaged file needs no SQLite to be read: its bytes
are searched for lines, a new log is made of them, and the damaged file is kept.
Writers hold ``progress.lock``, so that none writes to a file that is being replaced.
XP, level, streak and what to do next are computed from the events, never stored.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import sqlite3
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from mfcourse.learn import bank

LESSONS = {
    "00": "The utility matrix and how to keep score",
    "01": "Neighborhood baseline",
    "02": "Low-rank intuition",
    "03": "Stochastic gradient descent: one rating at a time",
    "04": "Alternating least squares",
    "05": "Biases: most of what we can predict is not taste",
    "06": "Implicit feedback",
    "07": "Reading the factors, meeting new users",
    "08": "At production scale",
    "09": "Interview practice",
}
DECK = "09"  # the lesson that has cards in place of exercises
EXERCISES, QUESTIONS = 2, 3  # of a lesson
XP_FIRST, XP_LATER, XP_EXERCISE, XP_HELPED, XP_OTHER, XP_LEVEL = 10, 5, 20, 5, 2, 100

FORMAT = "mfcourse progress"
VERSION = 1  # of the log and of an export
WORD = "This is the learner's own word. Nobody has verified it."
_ID = 0x6D66_6331  # "mfc1" in the header of an SQLite file that is ours
_WAIT_S = 30.0
_LONGEST = 3_000  # bytes of a line; SQLite splits rows that are longer than 4,000
_LINE = re.compile(rb'(?=(\{"key": "[ -~]+\n))')
_SCHEMA = f"""
    CREATE TABLE event (id INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, line TEXT);
    PRAGMA application_id = {_ID};
    PRAGMA user_version = {VERSION}
"""
_wrong = ""  # with the log, when it was last used
_damaged = ""  # what was repaired since this Python started


class ProgressError(Exception):
    """The log or an export cannot be used; the message says why, and what to do."""


class _DamagedError(sqlite3.Error):
    """The file is not a log of ours, or no longer."""

    def __str__(self) -> str:
        return "the log is damaged"


@dataclass(frozen=True)
class Event:
    """One thing that a learner did.

    Parameters
    ----------
    at : str
        Local time with its offset from UTC, in ISO format.
    kind : str
        Such as "answer", "passed", "practised", "predicted", "played", "rated".
    subject : str
        What it was done to, such as question "01.2".
    data : dict
        JSON values.
    key : str
        No two events of a log have the same.
    """

    at: str
    kind: str
    subject: str
    data: dict[str, Any]
    key: str


@dataclass(frozen=True)
class Lesson:
    """How far one lesson is.

    Parameters
    ----------
    number, title : str
        Such as "01" and "Neighborhood baseline".
    exercises, asked : int
        Exercises passed, of how many; in lesson 09 cards whose last answer was good.
    questions : int
        Questions whose last answer is right, of 3.
    predicted, played : bool
        A prediction was made; a playground was moved.
    done : bool
        All exercises, or cards, and all three questions.
    """

    number: str
    title: str
    exercises: int
    asked: int
    questions: int
    predicted: bool
    played: bool
    done: bool


@dataclass(frozen=True)
class Summary:
    """How far a learner is.

    Parameters
    ----------
    xp : int
        Points: a question right at the first try 10, later 5; an exercise 20, or 5
        once its solution was shown; a prediction 2; a lesson's playground 2; a card
        that was known once 2.
    level : int
        1, and one more for every 100 XP.
    streak : int
        Days in a row with an event, up to today or yesterday.
    lessons : list of Lesson
        All of them, in order.
    next : str
        What to do next.
    """

    xp: int
    level: int
    streak: int
    lessons: list[Lesson]
    next: str


def recording() -> bool:
    """Whether events are stored: not under ``MFCOURSE_RECORD=0``.

    Returns
    -------
    bool
    """
    return os.environ.get("MFCOURSE_RECORD") != "0"


def folder() -> Path:
    """Where the log lies: ``MFCOURSE_HOME``, or the user's data folder.

    Returns
    -------
    Path
    """
    if home := os.environ.get("MFCOURSE_HOME"):
        return _absolute(home)
    import platformdirs

    return Path(platformdirs.user_data_dir("mfcourse", appauthor=False))


@cache
def _absolute(home: str) -> Path:
    """A folder named once stays there, wherever the lesson goes."""
    return Path(os.path.expanduser(home)).absolute()


def record(kind: str, subject: str, *, once: bool = False, **data: Any) -> str:
    """Store an event; trouble with the file is told, never raised.

    Parameters
    ----------
    kind, subject : str
        What was done, and to what.
    once : bool
        Only the first event of this kind and subject counts.
    **data
        JSON values, at most 3,000 bytes of them.

    Returns
    -------
    str
        "" where all is well, recording is off, or the event was there already; else a
        notice to show: what is wrong, and what to do.

    Raises
    ------
    TypeError, ValueError
        The data is no JSON, or too long: a mistake in the code that calls.
    """
    key = f"{kind}:{subject}" if once else uuid.uuid4().hex
    event = Event(_now().isoformat(timespec="microseconds"), kind, subject, data, key)
    if _parsed(_line(event).encode()) != event:
        raise ValueError(f"{event} is not short JSON: use text, numbers, lists, dicts")
    if not recording():
        return ""
    before = _damaged
    with _noted():
        _append([event])
    return notice() if _wrong or _damaged != before else ""


def events(kind: str | None = None) -> list[Event]:
    """What is in the log; trouble with the file is told by ``notice``, never raised.

    Parameters
    ----------
    kind : str, optional
        Only events of this kind.

    Returns
    -------
    list of Event
        Oldest first; none where there is no log.
    """
    found: list[Event] = []
    with _noted():
        found = _load()
    return [event for event in found if kind in (None, event.kind)]


def notice() -> str:
    """What a learner should know of the log.

    Returns
    -------
    str
        What was wrong when it was last read or written, and what was repaired since
        this Python started; "" where all is well.
    """
    return " ".join(filter(None, [_wrong, _damaged]))


def summary(today: date | None = None) -> Summary:
    """XP, level, streak, what is done and what is next, from the log.

    Parameters
    ----------
    today : date, optional
        The learner's local date by default.

    Returns
    -------
    Summary
    """
    return summarize(events(), today)


def summarize(log: list[Event], today: date | None = None) -> Summary:
    """XP, level, streak, what is done and what is next.

    Parameters
    ----------
    log : list of Event
        Oldest first.
    today : date, optional
        The learner's local date by default.

    Returns
    -------
    Summary
    """
    helped: dict[str, bool] = {}  # "01.2" → was the solution seen before?
    answers: dict[str, list[bool]] = {}  # "01.2" → right, in order
    others: set[tuple[str, str]] = set()
    known: dict[str, list[bool]] = {card.about["id"]: [] for card in bank.deck()}
    for event in log:
        data = event.data
        if event.kind == "passed":
            exercise = f"{data.get('lesson')}.{data.get('number')}"
            helped.setdefault(exercise, data.get("helped") is True)
        elif event.kind == "answer":
            answers.setdefault(event.subject, []).append(data.get("right") is True)
        elif event.kind == "practised":
            known.get(event.subject, []).append(data.get("grade") in ("good", "easy"))
        else:
            others.add((event.kind, event.subject))
    cards = sum(tries[-1:] == [True] for tries in known.values())
    xp, lessons, todo = XP_OTHER * sum(map(any, known.values())), [], ""
    for number, title in LESSONS.items():
        exercises = [f"{number}.{n}" for n in range(1, EXERCISES + 1)]
        questions = [f"{number}.{n}" for n in range(1, QUESTIONS + 1)]
        passed = [name for name in exercises if name in helped]
        tries = [answers.get(name, [False]) for name in questions]
        right = sum(t[-1] for t in tries)
        predicted = sum(k == "predicted" and s[:2] == number for k, s in others)
        played = ("played", number) in others
        xp += sum(XP_HELPED if helped[name] else XP_EXERCISE for name in passed)
        xp += sum(XP_FIRST if t[0] else XP_LATER for t in tries if any(t))
        xp += XP_OTHER * (predicted + played)
        asked, n = EXERCISES, len(passed)
        missing = [f"exercise {e[3:]}" for e in exercises if e not in passed]
        if number == DECK:
            asked, n = len(known), cards
            missing = [f"practice, {n} of {asked} cards known"] * (n < asked)
        if right < QUESTIONS:
            missing.append(f"quick check, {right} of {QUESTIONS} right so far")
        if missing and not todo:
            todo = f"Lesson {number}: {missing[0]}"
        states = n, asked, right, predicted > 0, played, not missing
        lessons.append(Lesson(number, title, *states))
    todo = todo or "All lessons are done. Try your own ratings: datasets.read"
    return Summary(xp, 1 + xp // XP_LEVEL, _streak(log, today), lessons, todo)


def _streak(log: list[Event], today: date | None) -> int:
    days = {datetime.fromisoformat(event.at).date() for event in log}
    day = today or _now().date()
    if day not in days:
        day -= timedelta(days=1)
    length = 0
    while day - timedelta(days=length) in days:
        length += 1
    return length


def export(path: str | Path) -> int:
    """Write all events and their summary to one JSON file, for an instructor.

    Parameters
    ----------
    path : str or Path
        A file that is there is replaced, once the new one is whole.

    Returns
    -------
    int
        How many events.

    Raises
    ------
    ProgressError
        The log cannot be read, or the path is no file to write to.
    OSError
        The file cannot be written.
    """
    with _plainly():
        found = _load()
    target = Path(path).resolve()
    if not target.name or (target.exists() and not target.is_file()):
        raise ProgressError(f"{path} is no file. Name one, such as progress.json")
    if target in (_file().resolve(), (folder() / "progress.lock").resolve()):
        raise ProgressError(f"{path} is the log itself. Name another file")
    _export(found, target)
    return len(found)


def import_(path: str | Path) -> int:
    """Add the events of an export; those that are here already are not added again.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    int
        How many were new.

    Raises
    ------
    ProgressError
        The file is not an export of ours, is from a newer version or damaged, or the
        log cannot be written. Nothing was added.
    OSError
        The file cannot be read.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise ProgressError(f"{path} is not JSON: {error}. Export it again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ProgressError(f"{path} is not an export of `mfcourse progress export`")
    version, rows = content.get("version"), content.get("events")
    if not isinstance(version, int) or version > VERSION:
        raise ProgressError(
            f"{path} has version {version}, this mfcourse reads {VERSION}. "
            "Update mfcourse"
        )
    if not isinstance(rows, list):
        raise ProgressError(f"{path} has no list of events. Export it again")
    found = [_event(row) for row in rows]
    if None in found:
        number = found.index(None)
        raise ProgressError(
            f"{path}: event {number + 1} of {len(rows)} is broken: "
            f"{str(rows[number])[:80]}. Nothing was imported; export it again"
        )
    with _plainly():
        return _append(event for event in found if event)


def reset() -> Path:
    """Begin anew. What there was is exported first, to a file beside the log.

    Returns
    -------
    Path
        The export, which ``import_`` reads.

    Raises
    ------
    ProgressError
        The log cannot be read, or the export not be written. Nothing was removed.
    """
    with _plainly():
        _load()  # a damaged log is repaired first
        with _lock():
            backup = folder() / f"progress-before-reset-{_stamp()}.json"
            _export(_rows(_file()) if _file().exists() else [], backup)
            _file().unlink(missing_ok=True)
    return backup


# ---- The file ------------------------------------------------------------------------


def _file() -> Path:
    return folder() / "progress.sqlite"


def _now() -> datetime:
    return datetime.now().astimezone()


def _stamp() -> str:
    return f"{_now():%Y-%m-%d-%H%M%S-%f}"


@contextmanager
def _plainly() -> Iterator[None]:
    """Say in plain words what the file system or SQLite say in theirs."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL or getattr(error, "errno", 0) == errno.ENOSPC:
            said = f"the disk is full ({folder()}). Free some space"
        elif code == sqlite3.SQLITE_BUSY:
            said = f"{_file()} is busy. Close other notebooks and programs that use it"
        else:
            home = os.environ.get("MFCOURSE_HOME") or folder()
            said = (
                f"{home}: {error}. Check the rights of this folder, or name another "
                "one in MFCOURSE_HOME"
            )
        raise ProgressError(said) from error


@contextmanager
def _noted() -> Iterator[None]:
    """Keep what is wrong for ``notice``; the lesson goes on."""
    global _wrong
    try:
        with _plainly():
            yield
        _wrong = ""
    except ProgressError as error:
        _wrong = f"Your progress is not being saved: {error}."


@contextmanager
def _lock() -> Iterator[None]:
    """One writer at a time, in all processes; a killed one holds nothing."""
    folder().mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + _WAIT_S
    with closing(_connect(folder() / "progress.lock", "rwc")) as lock:
        lock.execute("PRAGMA busy_timeout = 20")  # SQLite looks less often as it waits
        while not lock.in_transaction:
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > until:
                    raise
        yield


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    log = sqlite3.connect(
        f"{path.as_uri()}?mode={mode}", timeout=_WAIT_S, isolation_level=None, uri=True
    )
    log.text_factory = bytes  # damaged text must not raise
    return log


def _is_empty(log: sqlite3.Connection) -> bool:
    """Whether a log is still to be made; what is no whole log of ours is an error."""

    def ask(pragma: str) -> Any:
        return log.execute(f"PRAGMA {pragma}").fetchone()[0]

    owner, version = ask("application_id"), ask("user_version")
    if owner == _ID and version > VERSION:
        raise ProgressError(
            f"{_file()} was written by a newer mfcourse, and is left as it is. "
            "Update mfcourse"
        )
    if ask("quick_check(1)") != b"ok":
        raise _DamagedError
    tables = log.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if owner != _ID and (owner or tables):
        raise _DamagedError
    return not tables


@contextmanager
def _damage() -> Iterator[None]:
    """Tell damage from all other trouble, which passes and needs no repair."""
    codes = sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR
    try:
        yield
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in codes:
            raise _DamagedError from error
        raise


def _rows(path: Path) -> list[Event]:
    """Events of a whole log, oldest first."""
    with _damage(), closing(_connect(path, "rw")) as log:
        if _is_empty(log):
            return []
        lines = [line for (line,) in log.execute("SELECT line FROM event ORDER BY id")]
    found = [event for line in lines if (event := _parsed(line))]
    if len(found) < len(lines):
        raise _DamagedError
    return _sorted(found)


def _write(path: Path, new: Iterable[Event]) -> int:
    """Store events that are not there yet, in one transaction; how many."""
    with _damage(), closing(_connect(path, "rwc")) as log:
        log.execute("PRAGMA synchronous = FULL")  # no WAL: it breaks on network disks
        log.execute("BEGIN IMMEDIATE")
        if _is_empty(log):
            for statement in _SCHEMA.split(";"):
                log.execute(statement)
        before = log.total_changes
        log.executemany(
            "INSERT OR IGNORE INTO event (key, line) VALUES (?, ?)",
            ((event.key, _line(event)) for event in new),
        )
        log.execute("COMMIT")
        return log.total_changes - before


def _load() -> list[Event]:
    """All events, oldest first; a damaged log is repaired, if it can be."""
    global _damaged
    if not _file().exists():
        return []
    try:
        return _rows(_file())
    except _DamagedError:
        try:
            with _lock():
                return _repair()
        except (OSError, sqlite3.Error) as error:  # such as a read-only folder
            found = _search(_file())
            _damaged = (
                f"Your progress file is damaged; {len(found)} events could be read. No "
                f"new one can be made ({error}): check the rights of {folder()}."
            )
            return found


def _append(new: Iterable[Event]) -> int:
    new = list(new)
    with _lock():
        try:
            return _write(_file(), new)
        except _DamagedError:
            _repair()
            return _write(_file(), new)


def _repair() -> list[Event]:
    """Make a new log of what can be read, keep the damaged file; its events.

    At each moment there is a file of the log's name; the lock is held.
    """
    global _damaged
    with suppress(_DamagedError):
        return _rows(_file())  # another process was faster
    found = _search(_file())
    kept = folder() / f"progress-damaged-{_stamp()}.sqlite"
    new = folder() / "progress-new.sqlite"
    new.unlink(missing_ok=True)
    _write(new, found)
    shutil.copyfile(_file(), kept)
    os.replace(new, _file())
    _damaged = (
        f"Your progress file was damaged. {len(found)} events could be read and are "
        f"in a new one; the damaged file is kept: {kept}."
    )
    return found


def _search(path: Path) -> list[Event]:
    """Events in a damaged file: every line of ours, wherever it lies."""
    lines = _LINE.findall(path.read_bytes())
    return _sorted(event for line in lines if (event := _parsed(line)))


def _sorted(found: Iterable[Event]) -> list[Event]:
    once = {event.key: event for event in found}  # pages may hold old copies
    return sorted(once.values(), key=lambda event: datetime.fromisoformat(event.at))


def _line(event: Event) -> str:
    """An event as one line of ASCII, which begins with its key; its checksum."""
    text = json.dumps({"key": event.key, **asdict(event)})
    return f"{text} {zlib.crc32(text.encode()):08x}\n"


def _parsed(line: Any) -> Event | None:
    """The event of a line, or None where its bytes are not what they were."""
    try:
        text, _, crc = line.rstrip(b"\n").rpartition(b" ")
        whole = zlib.crc32(text) == int(crc, 16)
        return _event(json.loads(text)) if whole else None
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def _event(row: Any) -> Event | None:
    """An event from its JSON, or None where that is none."""
    try:
        event = Event(**row)
        for text in (event.at, event.kind, event.subject, event.key):
            text.encode()  # half a surrogate pair is no text for SQLite
        aware = datetime.fromisoformat(event.at).tzinfo
        short = len(json.dumps(row, allow_nan=False)) < _LONGEST
        _line(event)  # deep data fails here
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    whole = event.key and aware and short and isinstance(event.data, dict)
    return event if whole else None


def _export(found: list[Event], path: Path) -> None:
    content = {
        "format": FORMAT,
        "version": VERSION,
        "note": WORD,
        "exported": _now().isoformat(timespec="seconds"),
        "summary": asdict(summarize(found)),
        "events": [asdict(event) for event in found],
    }
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
