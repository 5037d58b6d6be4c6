"""Run notebooks again, in place, and store only what a reader or a test needs."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, NbvalKernelspecManager
from tqdm import tqdm

HERE = Path(__file__).resolve().parent
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
WIDGET = "application/vnd.jupyter.widget-view+json"
FAILURES = (CellExecutionError, CellTimeoutError, DeadKernelError, ValueError)
EXAMPLES = """\
examples:
  python notebooks/refresh.py                          all notebooks of this folder
  python notebooks/refresh.py notebooks/00_*.ipynb     some of them
  python notebooks/refresh.py --check                  run nothing; exit with 1 where a
                                                       notebook is not tidy
  python notebooks/refresh.py --spark notebooks/08_*   record the Spark cells anew, too:
                                                       needs Java 17 and pyspark

A second run changes nothing. A notebook that fails, or that Ctrl-C stops, stays as it
was. A cell tagged raises-exception may fail; one tagged nbval-skip is not run and keeps
its outputs. --spark also runs those of them that are tagged spark, and lets none fail.
"""


def tidy(notebook: Any) -> Any:
    """Drop all but the sources, cell ids, tags, counts and outputs, in place."""
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    ids: set[str] = set()
    for number, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if cell.get("id", "") in ids | {""}:
            cell.id = f"cell-{number:02d}"
        ids.add(cell.id)
        if cell.cell_type == "code":
            cell.outputs = list(_tidy_outputs(cell.outputs))
    return notebook


def _tidy_outputs(outputs: list[Any]) -> Iterator[Any]:
    text: Any = None  # printed text so far: chunks depend on time, so they are joined
    for output in outputs:
        if output.get("name") == "stderr":
            continue
        if output.output_type == "stream":
            if text is None:
                text = output
            else:
                text.text += output.text
            continue
        if text is not None:
            yield text
            text = None
        if "data" in output:
            output.data.pop(WIDGET, None)
            kept = {k: v for k, v in output.metadata.items() if k == "image/png"}
            output.metadata = nbformat.from_dict(kept)
            if not output.data:
                continue
        yield output
    if text is not None:
        yield text


def check_pictures(notebook: Any) -> None:
    """Refuse a figure without its picture or its words (see `mfcourse.plots`)."""
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if data.get("text/plain", "").startswith("<Figure size"):
                raise ValueError(
                    f"cell {number}: a figure without words. Import mfcourse.plots "
                    "before drawing"
                )
            if data.get("text/plain", "").startswith(("Plot: ", "Figure: ")):
                alt = output.metadata.get("image/png", {}).get("alt")
                if "image/png" not in data or alt != data["text/plain"]:
                    raise ValueError(f"cell {number}: a figure lost its picture")


def execute(path: Path, spark: bool = False) -> Any:
    """Run a notebook in its folder, on this Python; return it tidy.

    Raises
    ------
    CellExecutionError, CellTimeoutError, DeadKernelError
        A cell failed, took over five minutes, or killed the kernel.
    ValueError
        A figure came without picture or words.
    """
    notebook = nbformat.read(path, as_version=4)
    recorded = {}  # Spark cells: skipped otherwise, and may fail where there is no Java
    for cell in notebook.cells:
        if spark and "spark" in cell.metadata.get("tags", ()):
            recorded[cell.id], cell.metadata["tags"] = cell.metadata["tags"], []
    n_code = sum(cell.cell_type == "code" for cell in notebook.cells)
    with tqdm(total=n_code, desc=path.name, leave=False, disable=None) as bar:
        client = NotebookClient(
            notebook,
            km=AsyncKernelManager(
                kernel_name=CURRENT_ENV_KERNEL_NAME,
                kernel_spec_manager=NbvalKernelspecManager(),
            ),
            timeout=900 if spark else 300,
            record_timing=False,
            skip_cells_with_tag="nbval-skip",
            resources={"metadata": {"path": str(path.parent)}},
            on_cell_complete=lambda cell, **_: bar.update(cell.cell_type == "code"),
        )
        env = {**os.environ, "MFCOURSE_RECORD": "0"}
        client.execute(env=env, stderr=subprocess.DEVNULL)
    _as_if_skipped(notebook, recorded)
    tidy(notebook)
    check_pictures(notebook)
    return notebook


def _as_if_skipped(notebook: Any, recorded: dict[str, Any]) -> None:
    """Give cells that ran for once their tags again, and no place in the counting."""
    ran = 0
    for cell in notebook.cells:
        if cell.get("execution_count") is None:
            continue
        if cell.id in recorded:
            cell.metadata["tags"], cell.execution_count = recorded[cell.id], None
            ran += 1
        else:
            cell.execution_count -= ran
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = cell.execution_count


def untidy(path: Path) -> bool:
    """Whether a refresh would change something other than outputs and counts."""
    notebook = nbformat.read(path, as_version=4)
    outputs = [cell.get("outputs") for cell in notebook.cells]
    tidy(notebook)
    for cell, stored in zip(notebook.cells, outputs, strict=True):
        if stored is not None:
            cell.outputs = stored
    return path.read_text(encoding="utf-8") != _text(notebook)


def refresh(path: Path, spark: bool = False) -> bool:
    """Run one notebook; replace its file, whole or not at all, where it changed."""
    text = _text(execute(path, spark))
    if text == path.read_text(encoding="utf-8"):
        return False
    with _beside(path) as new:
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    return True


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        yield new
    finally:
        new.unlink(missing_ok=True)


def _text(notebook: Any) -> str:
    return nbformat.writes(notebook) + "\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="refresh.py",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("notebooks", nargs="*", type=Path, metavar="NOTEBOOK")
    parser.add_argument("--check", action="store_true", help="run nothing, change none")
    parser.add_argument("--spark", action="store_true", help="record Spark cells anew")
    given = parser.parse_args(arguments)
    paths = given.notebooks or sorted(
        path
        for path in HERE.rglob("*.ipynb")
        if not any(part.startswith(".") for part in path.relative_to(HERE).parts)
    )
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        parser.error(f"no such notebook: {', '.join(missing)}")
    failed = 0
    for path in paths:
        start = time.perf_counter()
        try:
            if given.check:
                bad = untidy(path)
                failed += bad
                says = "not tidy: run refresh.py on it" if bad else "tidy"
            else:
                says = "refreshed" if refresh(path, given.spark) else "unchanged"
                says += f", {time.perf_counter() - start:.1f} s"
        except FAILURES as error:
            failed += 1
            says = f"FAILED, left as it was\n{error}"
        except KeyboardInterrupt:
            print(f"{path.name}: stopped, left as it was")
            return 130
        print(f"{path.name}: {says}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
