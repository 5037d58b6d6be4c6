"""Notebooks as tests: refresh stores what nbval compares, and no change slips by."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


def _load():
    spec = importlib.util.spec_from_file_location("refresh", NOTEBOOKS / "refresh.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


refresh = _load()

ORDINARY = """
import sys, warnings, os
from IPython.display import clear_output, display
from mfcourse import plots
1 + 1
---
_ + 40, Out[1]
---
"hidden";
---
print("gone")
clear_output()
print("kept")
---
print("gone at the next output")
clear_output(wait=True)
print("kept")
---
handle = display("first", display_id=True)
handle.update("second")
---
warnings.warn(f"process {os.getpid()}")
print("out"); print("err", file=sys.stderr); print("out again")
---
print(os.environ["MFCOURSE_RECORD"], os.path.basename(os.getcwd()))
---
plots.lines(__import__("pandas").DataFrame({"error": [3.0, 2.0, 1.5]}))
---
#tags raises-exception
1 / 0
---
#tags nbval-skip
raise SystemExit("never run")
"""


def write(path: Path, text: str) -> Path:
    cells = [nbformat.v4.new_markdown_cell("# A title", metadata={"slideshow": 1})]
    for source in text.strip().split("\n---\n"):
        tags = " ".join(re.findall(r"^#tags (.*)\n", source)).split()
        cell = nbformat.v4.new_code_cell(re.sub(r"^#tags .*\n", "", source))
        cell.metadata = nbformat.from_dict({"tags": tags, "collapsed": True})
        cells.append(cell)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def nbval(folder: Path) -> dict[str, str]:
    """Cell → outcome, for the notebooks of a folder with our conftest beside them."""
    (folder / "conftest.py").write_text((NOTEBOOKS / "conftest.py").read_text())
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env"]
    command += ["-rA", "--color=no", "-p", "no:cacheprovider", "."]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    found = re.findall(
        r"^(PASSED|FAILED|SKIPPED|ERROR) .*?(Cell \d+)", run.stdout, re.M
    )
    assert found, run.stdout + run.stderr
    return {cell: outcome for outcome, cell in found}


def outputs(path: Path) -> list[list[dict]]:
    return [c["outputs"] for c in json.loads(path.read_text())["cells"][1:]]


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory) -> Path:
    path = write(tmp_path_factory.mktemp("ordinary") / "lesson.ipynb", ORDINARY)
    assert refresh.refresh(path)
    return path


def test_a_second_refresh_changes_nothing(ordinary):
    before = ordinary.read_bytes()
    assert not refresh.refresh(ordinary)
    assert ordinary.read_bytes() == before
    assert sorted(p.name for p in ordinary.parent.glob(".*")) == []


def test_only_what_is_needed_is_stored(ordinary):
    notebook = json.loads(ordinary.read_text())
    assert notebook["metadata"] == {"kernelspec": refresh.KERNEL}
    assert {tuple(cell["metadata"]) for cell in notebook["cells"]} == {(), ("tags",)}
    stored = outputs(ordinary)
    text = ["".join(o.get("text", "")) for cell in stored for o in cell]
    assert [t for t in text if t] == [
        "kept\n",
        "kept\n",
        "out\nout again\n",
        f"0 {ordinary.parent.name}\n",
    ]
    assert "second" in stored[5][0]["data"]["text/plain"][0]
    assert stored[2] == []
    picture = stored[8][0]
    assert "image/png" in picture["data"]
    assert picture["metadata"]["image/png"]["alt"].startswith("Plot: ")
    assert stored[9][0]["ename"] == "ZeroDivisionError"
    counts = [c["execution_count"] for c in notebook["cells"][1:-1]]
    assert counts == list(range(1, 11))


def test_ids_stay_and_missing_ones_do_not_change_by_run(ordinary):
    notebook = nbformat.read(ordinary, as_version=4)
    ids = [cell.id for cell in notebook.cells]
    notebook.cells[3].id = notebook.cells[2].id
    assert [c.id for c in refresh.tidy(notebook).cells] == [
        *ids[:3],
        "cell-03",
        *ids[4:],
    ]


def test_nbval_passes_on_what_was_refreshed(ordinary):
    outcome = nbval(ordinary.parent)
    assert outcome.pop("Cell 10", "SKIPPED") == "SKIPPED"
    assert set(outcome.values()) == {"PASSED"}
    assert len(outcome) == 10


CHANGED = {
    0: ("1 + 1", "1 + 2"),
    3: ('print("kept")', 'print("other")'),
    5: ('"second"', '"third"'),
    6: ("out again", "out once more"),
    8: ("1.5]", "1.6]"),
    9: ("1 / 0", "int('x')"),
}


def test_nbval_fails_where_a_result_changed(ordinary, tmp_path):
    notebook = nbformat.read(ordinary, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, (old, new) in CHANGED.items():
        assert old in code[number].source
        code[number].source = code[number].source.replace(old, new)
    folder = tmp_path / ordinary.parent.name  # cell 7 prints it
    folder.mkdir()
    nbformat.write(notebook, folder / "changed.ipynb")
    outcome = nbval(folder)
    failed = {int(c.split()[1]) for c, result in outcome.items() if result == "FAILED"}
    # Cell 1 reads the result of cell 0, so it changes as well.
    assert failed == {*CHANGED, 1}


WIDGETS = """
import ipywidgets
box = ipywidgets.Output()
with box:
    print("inside")
print("outside")
---
print("after")
"""


def test_what_an_output_widget_captures_is_not_compared(tmp_path, monkeypatch):
    # Where a widget captures, nbclient may see a reply only when its time is up: its
    # issue 312, open. That is 300 s, so here it is less.
    made = refresh.NotebookClient
    monkeypatch.setattr(
        refresh, "NotebookClient", lambda nb, **more: made(nb, **more | {"timeout": 30})
    )
    path = write(tmp_path / "widgets.ipynb", WIDGETS)
    refresh.refresh(path)
    assert [o[0]["text"] for o in outputs(path)] == [["outside\n"], ["after\n"]]
    assert set(nbval(tmp_path).values()) == {"PASSED"}


RECORDED = """
1
---
#tags nbval-skip raises-exception spark
1 + 1
---
#tags nbval-skip
raise SystemExit("never run")
---
Out[1]
"""


def test_spark_cells_are_recorded_when_asked_and_kept_otherwise(tmp_path):
    path = write(tmp_path / "lesson.ipynb", RECORDED)
    refresh.refresh(path)
    assert outputs(path)[1] == []
    assert refresh.refresh(path, spark=True)
    recorded = path.read_bytes()
    assert outputs(path)[1][0]["data"]["text/plain"] == ["2"]
    cells = json.loads(recorded)["cells"][1:]
    counts = [1, None, None, 2]
    assert [cell["execution_count"] for cell in cells] == counts
    assert outputs(path)[3][0]["execution_count"] == 2
    assert cells[1]["metadata"]["tags"] == ["nbval-skip", "raises-exception", "spark"]
    assert not refresh.refresh(path)
    assert path.read_bytes() == recorded
    assert refresh.main(["--spark", str(path)]) == 0
    assert path.read_bytes() == recorded


def test_a_spark_cell_that_fails_is_not_recorded(tmp_path, capsys):
    path = write(tmp_path / "lesson.ipynb", RECORDED.replace("1 + 1", "1 / 0"))
    refresh.refresh(path)
    before = path.read_bytes()
    assert refresh.main(["--spark", str(path)]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().out
    assert path.read_bytes() == before


FOREIGN = """
import matplotlib.pyplot as plt
plt.plot([1, 2]);
"""


@pytest.mark.parametrize(
    ("source", "says"),
    [("1 / 0", "ZeroDivisionError"), (FOREIGN, "a figure without words")],
)
def test_a_notebook_that_fails_is_left_as_it_was(tmp_path, capsys, source, says):
    path = write(tmp_path / "bad.ipynb", source)
    good = write(tmp_path / "good.ipynb", "1")
    before = path.read_bytes()
    assert refresh.main([str(path), str(good)]) == 1
    assert path.read_bytes() == before
    printed = capsys.readouterr().out
    assert "bad.ipynb: FAILED, left as it was" in printed
    assert says in printed
    assert "good.ipynb: refreshed" in printed
    assert {p.name for p in tmp_path.iterdir()} == {"bad.ipynb", "good.ipynb"}


def test_a_figure_that_lost_its_picture_is_refused():
    figure = nbformat.v4.new_output("display_data", {"text/plain": "Plot: x."})
    cell = nbformat.v4.new_code_cell("plot()", outputs=[figure])
    with pytest.raises(ValueError, match="cell 0: a figure lost its picture"):
        refresh.check_pictures(nbformat.v4.new_notebook(cells=[cell]))


def test_ctrl_c_leaves_the_notebook_whole(tmp_path, capsys, monkeypatch):
    path = write(tmp_path / "lesson.ipynb", "1")
    before = path.read_bytes()

    def interrupted(self, text, encoding):
        self.write_bytes(text.encode()[:10])
        raise KeyboardInterrupt

    monkeypatch.setattr(refresh, "execute", lambda p, _: nbformat.read(p, as_version=4))
    monkeypatch.setattr(Path, "write_text", interrupted)
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "other.ipynb")
    assert refresh.main([str(tmp_path / "other.ipynb"), str(path)]) == 0
    monkeypatch.setattr(refresh, "execute", lambda *_: nbformat.v4.new_notebook())
    assert refresh.main([str(path)]) == 130
    assert path.read_bytes() == before
    assert "stopped, left as it was" in capsys.readouterr().out
    assert {p.suffix for p in tmp_path.iterdir()} == {".ipynb"}


def test_check_looks_at_all_but_the_outputs(tmp_path, capsys):
    path = write(tmp_path / "lesson.ipynb", "1")
    assert refresh.main(["--check", str(path)]) == 1
    assert "not tidy" in capsys.readouterr().out
    notebook = refresh.tidy(nbformat.read(path, as_version=4))
    error = nbformat.v4.new_output("stream", name="stderr", text="a warning")
    notebook.cells[1].outputs = [error]
    path.write_text(refresh._text(notebook))
    assert refresh.main(["--check", str(path)]) == 0


def test_the_notebooks_of_the_course_are_tidy(capsys):
    assert refresh.main(["--check"]) == 0, capsys.readouterr().out


def test_a_missing_notebook_is_named(capsys):
    with pytest.raises(SystemExit, match="2"):
        refresh.main(["nowhere.ipynb"])
    assert "no such notebook: nowhere.ipynb" in capsys.readouterr().err


def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit, match="0"):
        refresh.main(["--help"])
    assert "python notebooks/refresh.py --check" in capsys.readouterr().out
