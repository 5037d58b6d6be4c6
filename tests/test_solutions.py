"""Lessons with the bank's solutions put in: every check says Right.

Whole solved lessons run in test_browser.py, or here where there is no browser.
"""

import ast

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


def exercises_of(name):
    """How many a notebook has: two a lesson, but for the one of questions."""
    return 2 if name[0].isdigit() and not name.startswith("09") else 0


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_solution_is_right_with_what_its_lesson_imports(path):
    notebook = nbformat.read(path, as_version=4)
    solved = solve(notebook)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    tree = ast.parse(first.source)
    tree.body = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    lesson = {"__name__": "__main__"}
    exec(compile(tree, path.name, "exec"), lesson)
    said = []
    for cell in solved:
        *body, last = ast.parse(cell.source).body
        exec(compile(ast.Module(body, []), path.name, "exec"), lesson)
        says = eval(compile(ast.Expression(last.value), path.name, "eval"), lesson)
        said.append(repr(says))
    assert len(said) == exercises_of(path.name)
    assert all(one.startswith("Right, in all ") for one in said), said


@pytest.mark.rare
@pytest.mark.skipif(bool(browser.CHROMIUM), reason="test_browser.py runs them")
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_solved_lesson_runs_clean_and_passes_its_checks(path):
    notebook = nbformat.read(path, as_version=4)
    solved = solve(notebook)
    assert len(solved) == exercises_of(path.name)
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=120, resources=where).execute()
    for cell in solved:
        (output,) = (o for o in cell.outputs if "data" in o)
        assert output["data"]["text/plain"].startswith("Right, in all ")
