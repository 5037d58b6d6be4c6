"""Lessons with the bank's solutions put in run clean, and every check says Right.

Where there is a browser, test_browser.py runs them, once for both.
"""

import nbformat
import pytest
from nbclient import NotebookClient

from mfcourse import exercises
from tests import browser
from tests.conftest import ROOT

LESSONS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def solve(notebook):
    """Put the solution of each exercise in the place of its starter; those cells."""
    by_cell = {ex.cell: ex for ex in exercises.bank().values()}
    solved = [cell for cell in notebook.cells if cell.source in by_cell]
    for cell in solved:
        ex = by_cell[cell.source]
        cell.source = cell.source.replace(ex.starter, ex.source)
    return solved


@pytest.mark.skipif(bool(browser.CHROMIUM), reason="test_browser.py runs them")
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_solved_lesson_runs_clean_and_passes_its_checks(path):
    notebook = nbformat.read(path, as_version=4)
    solved = solve(notebook)
    assert len(solved) == 2
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=120, resources=where).execute()
    for cell in solved:
        (output,) = (o for o in cell.outputs if "data" in o)
        assert output["data"]["text/plain"].startswith("Right, in all ")
