"""A folder or a zip of notebooks → whose each is, and what is in it, byte by byte.

The student is the file's name before the first ``__``: ``anna__PS1.ipynb`` is anna's.
Folders within are read too, as some learning platforms make one a student.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mfcourse.grading.key import GradingError

LARGEST, MOST = 10 << 20, 5_000  # bytes of a notebook; notebooks
# Names that platforms give to downloads: "smithjane_LATE_123_4567_" before a file's own
# (Canvas), "Jane Smith_1234_assignsubmission_file" of a folder (Moodle).
_CANVAS = re.compile(r"^[^_]+(_LATE)?_\d{3,}_\d{3,}_")
_MOODLE = re.compile(r"(.+?)_\d+_assignsubmission_.*")
_NAME = re.compile(r"\w[\w .,'’@+-]{0,79}")


@dataclass(frozen=True)
class Submission:
    """A notebook that was handed in.

    Parameters
    ----------
    student : str
    file : str
        Its name, for people to read.
    sha256 : str
        Of its content.
    unreadable : str
        Why it cannot be read, or empty.
    """

    student: str
    file: str
    sha256: str = ""
    unreadable: str = ""
    _read: Callable[[], bytes] = field(default=bytes, repr=False, compare=False)

    def content(self) -> bytes:
        """What is in it, read again: a class of notebooks would fill the memory.

        Returns
        -------
        bytes

        Raises
        ------
        GradingError
            It is not what it was.
        """
        content = self._read()
        if self.sha256 and hashlib.sha256(content).hexdigest() != self.sha256:
            raise GradingError("it changed while it was graded")
        return content


def read(path: Path) -> tuple[list[Submission], dict[str, str]]:
    """Take in what was handed in.

    Parameters
    ----------
    path : Path
        A folder, a zip, or one notebook.

    Returns
    -------
    submissions : list of Submission
        One a student, by name.
    flags : dict
        Student or file → why it is not scored, and a person has to look.

    Raises
    ------
    GradingError
        There is nothing to take in, or the zip is no honest one.
    """
    if not path.exists():
        raise GradingError(
            f"{path} is not there. Expected: a folder, a zip, a notebook"
        )
    is_zip = path.is_file() and path.suffix != ".ipynb"
    found = list(_from_zip(path) if is_zip else _from_folder(path))
    if not found:
        raise GradingError(f"no notebook (*.ipynb) is in {path}")
    if len(found) > MOST:
        raise GradingError(f"{len(found)} notebooks are in {path}, of {MOST} at most")
    flags: dict[str, str] = {}
    of_student: dict[str, list[Submission]] = defaultdict(list)
    for one in found:
        if not one.student:
            flags[one.file] = (
                "the file's name does not say whose it is: expected STUDENT__….ipynb"
            )
        else:
            key = unicodedata.normalize("NFKC", one.student).casefold()
            of_student[" ".join(key.split())].append(one)
    alone = []
    for several in of_student.values():
        if len(several) == 1:
            alone += several
            continue
        files = ", ".join(sorted(one.file for one in several))
        for one in several:
            flags[one.student] = f"several files for one student: {files}"
    return sorted(alone, key=lambda one: one.student), flags


def _whose(file: str) -> str:
    """The student, or empty where the name does not say."""
    *folders, name = re.split(r"[/\\]", file)
    if folders and (named := _MOODLE.fullmatch(folders[-1])):
        name = f"{named[1]}__{name}"
    student, mark, _ = _CANVAS.sub("", name).partition("__")
    student = unicodedata.normalize("NFC", student).strip()
    return student if mark and _NAME.fullmatch(student) else ""


def _shown(file: str) -> str:
    text = file.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _from_folder(path: Path) -> Iterator[Submission]:
    if path.is_file() or path.is_symlink():
        yield _of_file(str(path), path.name)
        return
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(f for f in folders if f[0] not in "._" and f != "__MACOSX")
        named = [f for f in folders if f.lower().endswith(".ipynb")]
        for file in sorted([*named, *files]):
            if _is_named(file):
                place = os.path.join(folder, file)
                yield _of_file(place, os.path.relpath(place, path))


def _is_named(file: str) -> bool:
    """A notebook, or something else that somebody has put their name to."""
    is_notebook = file.lower().endswith(".ipynb")
    return file[:1] != "." and (is_notebook or "__" in file)


def _of_file(place: str, file: str) -> Submission:
    return _taken(file, lambda: _plain_file(place))


def _plain_file(place: str) -> bytes:
    try:
        number = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        is_link = os.path.islink(place)
        raise GradingError(
            "it is a link" if is_link else f"it cannot be opened: {error.strerror}"
        ) from None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise GradingError("it is no plain file")
    with open(number, "rb") as opened:
        return opened.read(LARGEST + 1)


def _taken(file: str, read: Callable[[], bytes]) -> Submission:
    student, file = _whose(file), _shown(file)
    if not file.lower().endswith(".ipynb"):
        return Submission(student, file, "", "it is no notebook (.ipynb)")
    try:
        content = read()
    except (GradingError, OSError) as error:
        return Submission(student, file, "", str(error))
    if len(content) > LARGEST:
        said = f"it is larger than {LARGEST >> 20} MB: clear its outputs"
        return Submission(student, file, "", said)
    return Submission(student, file, hashlib.sha256(content).hexdigest(), "", read)


def _from_zip(path: Path) -> Iterator[Submission]:
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                parts = re.split(r"[/\\]", member.filename)
                if ".." in parts or not parts[0] or ":" in parts[0]:
                    raise GradingError(
                        f"{path} has a member that would leave its folder: "
                        f"{_shown(member.filename)!r}. Nothing was read from it"
                    )
            for member in archive.infolist():
                parts = re.split(r"[/\\]", member.filename)
                hidden = {part for part in parts if part[:1] == "."} - {"."}
                if not hidden and "__MACOSX" not in parts and _is_named(parts[-1]):
                    yield _taken(member.filename, partial(_member, path, member))
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        raise GradingError(f"{path} is no zip that can be read: {error}") from None


def _member(path: Path, member: zipfile.ZipInfo) -> bytes:
    if stat.S_ISLNK(member.external_attr >> 16):
        raise GradingError("it is a link")
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as opened:
            return opened.read(LARGEST + 1)
    except Exception as error:  # one damaged member is one student's
        raise GradingError(
            f"it is damaged in the zip: {type(error).__name__}"
        ) from None
