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
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mfcourse.grading.key import GradingError

LARGEST, MOST = 10 << 20, 5_000  # bytes of a notebook; notebooks
_NAME = re.compile(r"\w[\w .@+-]{0,79}")


@dataclass(frozen=True)
class Submission:
    """A notebook that was handed in.

    Parameters
    ----------
    student : str
    file : str
        Its name, for people to read.
    content : bytes
        Empty where it could not be read.
    unreadable : str
        Why, or empty.
    """

    student: str
    file: str
    content: bytes = field(repr=False)
    unreadable: str = ""

    @property
    def sha256(self) -> str:
        """Hash of the content."""
        return hashlib.sha256(self.content).hexdigest()


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
    student, mark, _ = os.path.basename(file).partition("__")
    student = unicodedata.normalize("NFC", student).strip()
    return student if mark and _NAME.fullmatch(student) else ""


def _shown(file: str) -> str:
    return file.encode("utf-8", "backslashreplace").decode()


def _from_folder(path: Path) -> Iterator[Submission]:
    if path.is_file() or path.is_symlink():
        yield _taken(str(path), path.name)
        return
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(f for f in folders if f[0] not in "._" and f != "__MACOSX")
        named = [f for f in folders if f.endswith(".ipynb")]
        for file in sorted([*named, *files]):
            if file.endswith(".ipynb") and not file.startswith("._"):
                place = os.path.join(folder, file)
                yield _taken(place, os.path.relpath(place, path))


def _taken(place: str, file: str) -> Submission:
    student, file = _whose(file), _shown(file)
    try:
        number = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        link = os.path.islink(place)
        said = "it is a link" if link else f"it cannot be opened: {error.strerror}"
        return Submission(student, file, b"", said)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        return Submission(student, file, b"", "it is no plain file")
    with open(number, "rb") as opened:
        content = opened.read(LARGEST + 1)
    return _sized(student, file, content)


def _sized(student: str, file: str, content: bytes) -> Submission:
    if len(content) > LARGEST:
        said = f"it is larger than {LARGEST >> 20} MB: clear its outputs"
        return Submission(student, file, b"", said)
    return Submission(student, file, content)


def _from_zip(path: Path) -> Iterator[Submission]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            for member in members:
                parts = re.split(r"[/\\]", member.filename)
                if ".." in parts or not parts[0] or ":" in parts[0]:
                    raise GradingError(
                        f"{path} has a member that would leave its folder: "
                        f"{_shown(member.filename)!r}. Nothing was read from it"
                    )
            for member in members:
                name = re.split(r"[/\\]", member.filename)
                hidden = any(part[:1] == "." or part == "__MACOSX" for part in name)
                if name[-1].endswith(".ipynb") and not hidden:
                    yield _unzipped(archive, member)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        raise GradingError(f"{path} is no zip that can be read: {error}") from None


def _unzipped(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Submission:
    student, file = _whose(member.filename), _shown(member.filename)
    if stat.S_ISLNK(member.external_attr >> 16):
        return Submission(student, file, b"", "it is a link")
    try:
        with archive.open(member) as opened:
            content = opened.read(LARGEST + 1)
    except Exception as error:  # one damaged member is one student's
        said = f"it is damaged in the zip: {type(error).__name__}"
        return Submission(student, file, b"", said)
    return _sized(student, file, content)
