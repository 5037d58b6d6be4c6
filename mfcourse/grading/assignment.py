"""An assignment for a class, and a look at what a notebook would hand in.

The secret draws the variants, so two classes have different assignments of one kind.
The student's folder has the notebook and its public checks; the key stays behind.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfcourse.exercises import assigned
from mfcourse.grading import intake, key
from mfcourse.grading.collector import Collector, Found
from mfcourse.grading.key import GradingError, Key, Task

KEY, SAMPLE = "key.json", "sample secret"  # of what stands in notebooks/assignments
CHECKS = "_checks.json"
_KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
_README = """\
{title}

This is edition {edition}.

1. Put this folder into my/ of the course, such as my/class/{name}. Start the course
   (python3 course.py lab) and open {name}.ipynb there, not the course's own sample in
   assignments/. {name}{checks} has to stay beside it.
2. Write each function in its cell. Run the cell: its check answers at once.
3. See what will be collected. In a terminal of JupyterLab:
   cd class/{name}; mfcourse precheck {name}.ipynb
4. Save, rename the file to YOURNAME__{name}.ipynb, and hand that one file in. YOURNAME
   is the one that your teacher's platform knows.

Only NumPy and SciPy are there when your functions are marked, and no variable that
your notebook computed: a function works with its arguments. What is marked is said in
the notebook. Printing, plots, and further cells do no harm.
"""


def find(name: str) -> Path:
    """The file of a key.

    Parameters
    ----------
    name : str
        Such as "PS1", or a path.

    Returns
    -------
    Path

    Raises
    ------
    GradingError
        There is none.
    """
    if name.endswith(".py"):
        return Path(name)
    for place in _places():
        if (path := place / f"{name.lower()}.py").is_file():
            return path
    raise GradingError(
        f"there is no key {name}. There are: {', '.join(names()) or 'none here'}. Run "
        "this in the course's folder, or give the path of a key's .py file"
    )


def names() -> list[str]:
    """The assignments that have a key here.

    Returns
    -------
    list of str
    """
    return sorted({p.stem.upper() for place in _places() for p in place.glob("ps*.py")})


def _places() -> list[Path]:
    return [Path.cwd() / "instructor", Path(__file__).parents[2] / "instructor"]


def load(where: str, secret: str | None = None) -> Key:
    """A key from what ``--key`` names.

    Parameters
    ----------
    where : str
        A folder that `make` wrote; "practice"; or a name or file as in `find`.
    secret : str, optional
        Needed where no folder has it.

    Returns
    -------
    Key

    Raises
    ------
    GradingError
        There is none, or no secret.
    """
    folder = Path(where)
    if (folder / KEY).is_file():
        try:
            told = json.loads((folder / KEY).read_text(encoding="utf-8"))
            return key.read(folder / told["file"], told["secret"])
        except (ValueError, KeyError, TypeError):
            raise GradingError(f"{folder / KEY} is damaged. Make it again") from None
    if list(folder.glob(f"*{CHECKS}")):
        raise GradingError(
            f"{where} is the students' folder. Give the one beside it, {folder}-key"
        )
    if not secret:
        raise GradingError(
            f"{where} is no folder that `mfcourse assignment new` wrote, so add "
            "--secret: the words that draw variants and hidden cases"
        )
    return (
        key.practice(secret) if where == "practice" else key.read(find(where), secret)
    )


def make(
    name: str, secret: str | None, out: Path, force: bool = False
) -> tuple[Path, Path]:
    """Write an assignment for a class.

    Parameters
    ----------
    name : str
        As in `find`.
    secret : str or None
        Of at least 8 letters; the same secret draws the same assignment. None is the
        one that is in ``out`` already, or else drawn at random.
    out : Path
        Folder for both folders.
    force : bool
        Replace what is there.

    Returns
    -------
    student, own : Path
        The folder to hand out, and the one to keep.

    Raises
    ------
    GradingError
        The secret is too short, or there are such folders already.
    """
    import nbformat

    path = find(name)
    student = out / path.stem.upper()
    own = student.with_name(f"{student.name}-key")
    if secret is None:
        there = (own / KEY).is_file()
        secret = load(str(own)).secret if there else secrets.token_urlsafe(24)
    if len(secret) < 8:
        raise GradingError("the secret is too short to be one: give 8 letters or more")
    made = key.read(path, secret)
    for folder in (student, own):
        if folder.exists() and any(folder.iterdir()) and not force:
            raise GradingError(f"{folder} is there. Choose another --out, or --force")
        folder.mkdir(parents=True, exist_ok=True)
    _put(student / f"{made.name}.ipynb", nbformat.writes(notebook(made)) + "\n")
    _put(student / f"{made.name}{CHECKS}", checks(made))
    words = {"title": made.title, "name": made.name, "edition": made.edition}
    _put(student / "README.txt", _README.format(checks=CHECKS, **words))
    os.chmod(own, 0o700)
    _put(own / path.name, path.read_text(encoding="utf-8"))
    _put(own / KEY, json.dumps({"file": path.name, "secret": secret}, indent=1) + "\n")
    return student, own


def checks(key: Key) -> str:
    """The file of public checks, as JSON.

    Parameters
    ----------
    key : Key

    Returns
    -------
    str
    """
    told = {
        "format": assigned.FORMAT,
        "assignment": key.name,
        "edition": key.edition,
        "written": list(key.written),
        "exercises": {name: assigned.store(task) for name, task in key.tasks.items()},
    }
    return json.dumps(told, ensure_ascii=False) + "\n"


def notebook(key: Key) -> Any:
    """The student's notebook, not run.

    Parameters
    ----------
    key : Key

    Returns
    -------
    nbformat.NotebookNode
    """
    from nbformat import v4

    def text(cell: str, source: str) -> Any:
        return v4.new_markdown_cell(source, id=cell)

    def code(cell: str, source: str) -> Any:
        return v4.new_code_cell(source, id=cell)

    name = key.name.lower()
    cells = [
        text("title", f"# {key.title}\n\n{key.intro.strip()}"),
        text("how", _how(key)),
        code(
            "setup",
            "import numpy as np\n\nfrom mfcourse import exercises\n\n"
            f'{name} = exercises.assignment("{key.name}{CHECKS}", "{key.edition}")',
        ),
    ]
    for number, task in enumerate(key.tasks.values(), 1):
        head = f"## {number}. `{task.name}` ({task.points} points)\n\n"
        cells.append(text(f"{task.name}-text", head + task.statement.strip() + "\n\n"
                          + _points(task)))  # fmt: skip
        check = f"{task.starter}\n\n\n{name}.{task.name}.check()"
        cells.append(code(f"{task.name}-code", check))
    for number, asked in enumerate(key.written.values(), len(key.tasks) + 1):
        head = f"## {number}. In words ({asked.points} points)\n\n"
        cells.append(text(f"{asked.name}-text", head + asked.question.strip()))
        cells.append(code(f"{asked.name}-code", f'{asked.name} = """\n...\n"""'))
    cells.append(text("hand-in", _hand_in(key)))
    return v4.new_notebook(cells=cells, metadata={"kernelspec": _KERNEL})


def _how(key: Key) -> str:
    rows = [f"| `{name}` | {task.points} |" for name, task in key.tasks.items()]
    rows += [f"| in words | {asked.points} |" for asked in key.written.values()]
    table = "\n".join(["| Task | Points |", "|---|---|", *rows])
    sample = (
        f"This is the course's own {key.name}, to practise with. A class gets another "
        "edition from its teacher: hand in that one.\n\n"
    )
    words = " An answer in words is read by a person, and has no check."
    return (
        f"{sample if key.secret == SAMPLE else ''}"
        f"{table}\n| **Total** | **{key.points}** |\n\n"
        f"Each task has a cell with a check.{words if key.written else ''} It runs "
        "the *public* cases and says what is wrong. Marks come from *hidden* cases of "
        "the same kinds, with other numbers. A group of cases counts if **all** of its "
        "cases are right.\n\n"
        "Read each statement with care: conventions differ between classes, and from "
        "the lessons. Your functions may use NumPy, SciPy, and functions of your own "
        "in this notebook. They work with their arguments alone: a variable that a "
        "cell computed is not there when they are marked."
    )


def _points(task: Task) -> str:
    rows = [f"| {name} | {points} |" for name, (points, _) in task.groups.items()]
    return "\n".join(["| Cases | Points |", "|---|---|", *rows])


def _hand_in(key: Key) -> str:
    return (
        "## Before you hand in\n\n"
        "1. *Run → Restart Kernel and Run All Cells*, and save.\n"
        f"2. In a terminal, `mfcourse precheck {key.name}.ipynb` shows what will be "
        "collected.\n"
        f"3. Rename the file to `YOURNAME__{key.name}.ipynb`, and hand it in."
    )


def _put(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


# ---- Before handing in ---------------------------------------------------------------


@dataclass(frozen=True)
class Looked:
    """One thing that would be collected.

    Parameters
    ----------
    name : str
    where : str
        The cell, or empty.
    state : {"ok", "note", "problem"}
    says : str
    source : str
        What would be taken.
    """

    name: str
    where: str
    state: str
    says: str
    source: str = ""


def precheck(path: Path, where: str | None = None) -> list[Looked]:
    """What the grader would collect from a notebook; nothing of it is run.

    Parameters
    ----------
    path : Path
        The notebook.
    where : str, optional
        A file of checks, or "practice"; by default the file of checks beside it.

    Returns
    -------
    list of Looked

    Raises
    ------
    GradingError
        There is no notebook, or no file of checks.
    """
    if not path.is_file():
        raise GradingError(f"{path} is not in {Path.cwd()}. Go to its folder with cd")
    names, written, edition = _wanted(path, where)
    taken, flags = intake.read(path)
    unreadable = "" if flags else taken[0].unreadable
    with Collector() as collector:
        content = path.read_bytes() if flags else taken[0].content()
        found = collector.read(content, names, written)
    if unreadable := unreadable or found.unreadable:
        return [Looked(path.name, "", "problem", f"cannot be read: {unreadable}")]
    looked = [_named(path, not flags)]
    if edition and found.edition not in ("", edition):
        says = f"it is edition {found.edition}, and the checks are of {edition}"
        looked.append(Looked("edition", "", "problem", says))
    looked += [_looked(name, found.functions[name]) for name in names]
    for name in written:
        words = len(found.written.get(name, "").split())
        says = f"{words} words" if words else f'no answer: expected {name} = """…"""'
        looked.append(Looked(name, "", "ok" if words else "problem", says))
    return looked


def _wanted(path: Path, where: str | None) -> tuple[list[str], list[str], str]:
    if where == "practice":
        return list(key.bank()), [], ""
    beside = sorted(path.parent.glob(f"*{CHECKS}"))
    fits = [p for p in beside if p.name.removesuffix(CHECKS) in path.stem]
    chosen = [Path(where)] if where else fits or beside
    if len(chosen) != 1:
        raise GradingError(
            f"{len(chosen)} files of checks (*{CHECKS}) are beside {path}, so which "
            "functions to look for? Add --key with such a file, or --key practice"
        )
    try:
        told = json.loads(chosen[0].read_text(encoding="utf-8"))
        return list(told["exercises"]), told["written"], told["edition"]
    except (ValueError, KeyError, TypeError):
        raise GradingError(f"{chosen[0]} is no file of checks") from None


def _named(path: Path, said: bool) -> Looked:
    if said:
        return Looked(path.name, "", "ok", f"from {path.name.partition('__')[0]}")
    return Looked(
        path.name, "", "note", f"hand it in as YOURNAME__{path.name}: no name is in it"
    )


def _looked(name: str, found: Found) -> Looked:
    if not found.source:
        says = {
            "not_found": f"no cell defines it: expected def {name}(…)",
            "syntax": "its cell is no valid Python",
        }[found.status]
        return Looked(name, "", "problem", says)
    cells = sorted({cell for cell, _ in found.places})
    where = f"code cell{'s' if len(cells) > 1 else ''} {', '.join(map(str, cells))}"
    says = "; ".join(_warnings(found))
    return Looked(name, where, "problem" if says else "ok", says, found.source)


def _warnings(found: Found) -> Iterator[str]:
    if found.missing:
        yield (
            f"it leans on {', '.join(found.missing)}, which only your notebook knows: "
            "make it an argument, or define it in the function"
        )
    if found.absent:
        yield f"it imports {', '.join(found.absent)}: only NumPy and SciPy are there"
    if found.status == "not_written":
        yield "it is not written yet"
