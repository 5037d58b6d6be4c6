"""Solved lessons in a real JupyterLab: all runs, all is right, no other host is asked.

nbval runs the lessons as they are; here the bank's solutions stand in their cells.
"""

from pathlib import Path

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe

from tests import browser
from tests.test_solutions import solve

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
PAGES = ["start_here.ipynb", *sorted(p.name for p in NOTEBOOKS.glob("[0-9][0-9]_*"))]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not browser.CHROMIUM,
        reason="no Chromium: install it, or name it in MFCOURSE_CHROMIUM",
    ),
]


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
def test_a_solved_notebook_runs_in_jupyterlab(name, tmp_path):
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    solved = {cell.id for cell in solve(notebook)}
    path = tmp_path / name
    nbformat.write(notebook, path)
    before = path.read_bytes()
    with browser.opened(path) as here:
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
    assert len(says) == len(solved) == (2 if name[0].isdigit() else 0)
    assert all(said.startswith("Right, in all ") for said in says)


def test_an_error_and_a_foreign_host_are_seen(tmp_path):
    image = "<img src='http://127.0.0.2:9/x.png'>"
    path = write(
        tmp_path / "bad.ipynb",
        nbformat.v4.new_markdown_cell(image),
        nbformat.v4.new_code_cell("1", execution_count=7),
        nbformat.v4.new_code_cell("1 / 0", execution_count=8),
    )
    with browser.opened(path) as here:
        (error,) = failed(here.run_all())
        assert error["ename"] == "ZeroDivisionError"
        assert here.outside == {"http://127.0.0.2:9/x.png"}


def test_pictures_show_a_notebook_from_top_to_bottom(tmp_path):
    text = "\n\n".join(f"Line {n}" for n in range(60))
    cells = nbformat.v4.new_markdown_cell(text), nbformat.v4.new_code_cell("1")
    path = write(tmp_path / "long.ipynb", *cells)
    count = browser.shots(path, tmp_path / "out", dark=True)
    written = sorted((tmp_path / "out").iterdir())
    assert len(written) == count > 1
    assert written[0].read_bytes() != written[-1].read_bytes()
