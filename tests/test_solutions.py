"""The solutions folded into the lessons pass the checks that stand below them."""

import html
import re
import textwrap

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

LESSONS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SOLUTION = re.compile(r"Solution</summary><pre>(.*?)</pre>", re.DOTALL)
STARTER = re.compile(r"^    \.\.\.  # your code.*$", re.MULTILINE)


def solve(notebook):
    """Put each solution into the starter that follows it; return those cells."""
    solved, waiting = [], None
    for cell in notebook.cells:
        if found := SOLUTION.search(cell.source):
            waiting = textwrap.indent(html.unescape(found[1]), "    ")
        elif STARTER.search(cell.source):
            assert waiting, "a starter without a solution above it"
            cell.source = STARTER.sub(lambda _, text=waiting: text, cell.source)
            solved.append(cell)
            waiting = None
    return solved


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_folded_solutions_are_right(path):
    notebook = nbformat.read(path, as_version=4)
    solved = solve(notebook)
    assert len(solved) == 2
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=120, resources=where).execute()
    for cell in solved:
        assert [out["text"] for out in cell.outputs] == ["Right.\n"]
