"""Solved lessons in a real JupyterLab: all runs, all is right, no other host is asked.

nbval runs the lessons as they are; here the bank's solutions stand in their cells. By
default the start page and one lesson for each kind of widget, as what else is in them
comes from the same code; all with --soak. test_solutions.py checks every solution in
its lesson.
"""

from pathlib import Path

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe

from tests import browser
from tests.test_solutions import exercises_of, solve

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
OFTEN = {"start_here", "00", "07", "09"}  # dashboard, playground, studio, practice
PAGES = [
    pytest.param(name, marks=[] if {name[:2], name[:-6]} & OFTEN else pytest.mark.rare)
    for name in ["start_here.ipynb", *sorted(p.name for p in NOTEBOOKS.glob("0*"))]
]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not browser.CHROMIUM,
        reason="no Chromium: install it, or name it in MFCOURSE_CHROMIUM",
    ),
]


@pytest.fixture(scope="module")
def served():
    with browser.serve() as both:
        yield both


def write(path, *cells):
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, path)
    return path


def failed(cells):
    """Errors that no tag announces."""
    return [
        output
        for cell in cells
        for output in cell["outputs"]
        if output["output_type"] == "error" and "raises-exception" not in cell["tags"]
    ]


@pytest.mark.parametrize("name", PAGES)
def test_a_solved_notebook_runs_in_jupyterlab(name, served, tmp_path):
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    notebook.cells = [
        cell for cell in notebook.cells
        if "nbval-skip" not in cell.metadata.get("tags", ())
    ]  # fmt: skip
    solved = {cell.id for cell in solve(notebook)}
    path = tmp_path / name
    nbformat.write(notebook, path)
    before = path.read_bytes()
    with served.opened(path) as here:
        cells = here.run_all()
        shown = ".jp-RenderedImage img, .mf-picture img"  # those of playgrounds, too
        pictures = here.page.locator(shown).count()
        folded = here.page.locator("summary", has_text="Figure in words").count()
        assert not here.outside
        assert here.page.locator(".mf").count() >= 1
        found = Axe().run(here.page, context=".mf")
        assert not found.violations_count, found.generate_report()
    assert not failed(cells)
    assert [cell["count"] for cell in cells] == list(range(1, len(cells) + 1))
    drawn = sum("image/png" in o.get("data", {}) for c in cells for o in c["outputs"])
    assert pictures == folded == drawn
    assert path.read_bytes() == before
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    says = [
        output["data"]["text/plain"]
        for cell, ran in zip(code, cells, strict=True)
        for output in ran["outputs"]
        if cell.id in solved and "data" in output
    ]
    assert len(says) == len(solved) == exercises_of(name)
    assert all(said.startswith("Right, in all ") for said in says)


def test_an_error_and_a_foreign_host_are_seen(served, tmp_path):
    image = "<img src='http://127.0.0.2:9/x.png'>"
    path = write(
        tmp_path / "bad.ipynb",
        nbformat.v4.new_markdown_cell(image),
        nbformat.v4.new_code_cell("1", execution_count=7),
        nbformat.v4.new_code_cell("1 / 0", execution_count=8),
    )
    with served.opened(path) as here:
        (error,) = failed(here.run_all())
        assert error["ename"] == "ZeroDivisionError"
        assert here.outside == {"http://127.0.0.2:9/x.png"}


def test_pictures_show_a_notebook_from_top_to_bottom(served, tmp_path):
    text = "\n\n".join(f"Line {n}" for n in range(60))
    cells = nbformat.v4.new_markdown_cell(text), nbformat.v4.new_code_cell("1")
    path = write(tmp_path / "long.ipynb", *cells)
    with served.opened(path) as here:
        here.paint(dark=True)
        count = browser.shots(here, tmp_path / "out")
    written = sorted((tmp_path / "out").iterdir())
    assert len(written) == count > 1
    assert written[0].read_bytes() != written[-1].read_bytes()
