"""Notebooks → what will be graded, in a process of its own that runs none of it.

Even reading is not left to the grader: a hostile text can crash a JSON reader or
Python's own parser. A host process that has IPython loaded forks a child for each
notebook, with little time and memory; what dies is a child.
"""

from __future__ import annotations

import ast
import base64
import io
import json
import keyword
import os
import re
import signal
import subprocess
import sys
import tokenize
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

LARGEST_SOURCE, LARGEST_ANSWER = 200_000, 20_000  # letters
SECONDS, MEMORY = 10, 1 << 30  # of a child
GRAM, PRINTS = 12, 5_000  # tokens that are compared together; the smallest hashes


@dataclass(frozen=True)
class Found:
    """A function that was looked for in a notebook.

    Parameters
    ----------
    status : {"ok", "not_found", "not_written", "syntax"}
    source : str
        A module that defines it.
    missing : tuple of str
        Names that only the running notebook knows.
    absent : tuple of str
        Packages that it imports and that are not there where it is marked.
    places : tuple of (int, int)
        Cell and line within it, from 1, of each line of ``source``.
    """

    status: str
    source: str = ""
    missing: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    places: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Notebook:
    """What was found in a notebook.

    Parameters
    ----------
    unreadable : str
        Why it is no notebook, or empty.
    functions : dict
        Name → Found.
    written : dict
        Name → the text that the notebook gives this variable.
    edition : str
        Of the assignment, as the notebook says, or empty.
    prints : frozenset of int
        Hashes of all runs of tokens, whatever the names: what copies share.
    """

    unreadable: str = ""
    functions: dict[str, Found] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    edition: str = ""
    prints: frozenset[int] = frozenset()


class Collector:
    """The host process; close it, or use ``with``."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._host = subprocess.Popen(
            [sys.executable, "-m", "mfcourse.grading.collector"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # IPython has opinions on magics
            start_new_session=True,  # Ctrl-C is for the grader, which closes this
        )

    def read(
        self, content: bytes, functions: Iterable[str], written: Iterable[str] = ()
    ) -> Notebook:
        """Find functions and written answers in a notebook.

        Parameters
        ----------
        content : bytes
            Of the file.
        functions, written : iterable of str
            Names.

        Returns
        -------
        Notebook
        """
        assert self._host.stdin
        assert self._host.stdout
        told = {
            "content": base64.b64encode(content).decode(),
            "functions": list(functions), "written": list(written),
        }  # fmt: skip
        try:
            self._host.stdin.write(json.dumps(told).encode() + b"\n")
            self._host.stdin.flush()
            answer = json.loads(self._host.stdout.readline())
        except (OSError, ValueError):  # the host itself is gone
            self.close()
            self._start()
            answer = json.loads(_answer("it crashes whoever reads it"))
        found = {
            name: Found(
                f["status"], f["source"], tuple(f["missing"]), tuple(f["absent"]),
                tuple((cell, line) for cell, line in f["places"]),
            )
            for name, f in answer["functions"].items()
        }  # fmt: skip
        return Notebook(
            answer["unreadable"], found, answer["written"], answer["edition"],
            frozenset(answer["prints"]),
        )  # fmt: skip

    def close(self) -> None:
        """End the host."""
        self._host.kill()
        self._host.communicate()

    def __enter__(self) -> Collector:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


# ---- In the host ---------------------------------------------------------------------


def _serve() -> None:
    import IPython.core.inputtransformer2  # noqa: F401 - once, for all children

    from mfcourse.exercises import collect  # noqa: F401

    for line in sys.stdin.buffer:
        read, write = os.pipe()
        if (child := os.fork()) == 0:
            os.close(read)
            os._exit(_child(line, write))
        os.close(write)
        with open(read, "rb") as pipe:
            answer = pipe.read()
        _, status = os.waitpid(child, 0)
        if status:
            answer = _answer("it crashes whoever reads it")
        sys.stdout.buffer.write(answer + b"\n")
        sys.stdout.buffer.flush()


def _child(line: bytes, write: int) -> int:
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(2 * SECONDS)
    try:
        asked = json.loads(line)
        try:
            cells = _cells(base64.b64decode(asked["content"]))
        except (ValueError, RecursionError, MemoryError) as error:
            is_told = isinstance(error, _NoNotebookError)
            answer = _answer(str(error) if is_told else "it is no JSON")
        else:
            answer = _found(cells, asked["functions"], asked["written"])
        with open(write, "wb") as pipe:
            pipe.write(answer)
    except BaseException:
        return 1
    return 0


def _answer(unreadable: str = "", **parts: Any) -> bytes:
    told = {"unreadable": unreadable, "edition": "", **parts}
    for name, empty in (("functions", {}), ("written", {}), ("prints", [])):
        told.setdefault(name, empty)
    return json.dumps(told).encode()


class _NoNotebookError(ValueError):
    pass


def _cells(content: bytes) -> list[str]:
    """Sources of the code cells."""
    told = json.loads(content)
    if not isinstance(told, dict) or not isinstance(told.get("cells"), list):
        raise _NoNotebookError("it has no cells: no notebook of format 4")
    sources = []
    for cell in told["cells"]:
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            source = cell.get("source", "")
            if isinstance(source, list) and all(isinstance(s, str) for s in source):
                source = "".join(source)
            text = source if isinstance(source, str) else ""
            sources.append(text.replace("\r\n", "\n").replace("\r", "\n"))
    return sources


def _found(cells: list[str], functions: list[str], written: list[str]) -> bytes:
    found = {name: _function(cells, name) for name in functions}
    grams = sorted({g for f in found.values() for g in _grams(f["source"])})[:PRINTS]
    answers = _texts(cells, written) if written else {}
    editions = re.findall(r'assignment\("\w+\.json", "(\w{8})"\)', "\n".join(cells))
    edition = editions[-1] if editions else ""
    return _answer(functions=found, written=answers, prints=grams, edition=edition)


def _function(cells: list[str], name: str) -> dict[str, Any]:
    from mfcourse.exercises.collect import collect

    empty: dict[str, Any] = {"source": "", "missing": [], "absent": [], "places": []}
    try:
        found = collect(cells, name)
        absent = found.absent
    except LookupError:
        return {"status": "not_found", **empty}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {"status": "syntax", **empty}
    if len(found.source) > LARGEST_SOURCE:
        return {"status": "syntax", **empty}
    status = "not_written" if _is_starter(name, found.source) else "ok"
    return {
        "status": status, "source": found.source, "missing": list(found.missing),
        "absent": absent,
        "places": [(cell + 1, line + 1) for cell, line in found.places],
    }  # fmt: skip


def _is_starter(name: str, source: str) -> bool:
    """Whether a definition has a docstring and ``...`` only."""
    body = ast.parse(source).body
    steps = [getattr(n, "body", []) for n in body if getattr(n, "name", "") == name]
    return bool(steps) and all(
        isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant) for s in steps[-1]
    )


def _texts(cells: list[str], names: list[str]) -> dict[str, str]:
    """The last text that each name is given, at the top of a cell."""
    from mfcourse.exercises.collect import texts

    found = {}
    for name, text in texts(cells).items():
        if name in names and text.strip(" .\n"):
            found[name] = text[:LARGEST_ANSWER].encode("utf-8", "replace").decode()
    return found


def _grams(source: str) -> Iterator[int]:
    words = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.NAME:
                words.append(token.string if keyword.iskeyword(token.string) else "v")
            elif token.type == tokenize.OP:
                words.append(token.string)
            elif token.type == tokenize.NUMBER:
                words.append("n")
    except (tokenize.TokenError, SyntaxError, ValueError):
        return
    for n in range(len(words) - GRAM + 1):
        yield zlib.crc32(" ".join(words[n : n + GRAM]).encode())


if __name__ == "__main__":
    _serve()
