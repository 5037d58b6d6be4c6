"""A class of 200 graded: time, memory, and ten kills with the same marks after all.

    python benchmarks/grading.py [--students 200] [--jobs 2]

Each of the PS1s has five tasks: right, a typical mistake, or not tried. Memory is
what all processes of the run have to themselves (PSS), sampled ten times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import nbformat
import psutil
from nbformat.v4 import new_code_cell, new_notebook

from mfcourse.grading import assignment

SECRET = "sample secret"


def hand_in(folder: Path, students: int) -> int:
    """Write the notebooks; the points that they should get."""
    key, chance, points = assignment.load("PS1", SECRET), random.Random(0), 0
    folder.mkdir()
    for n in range(students):
        cells = ["import numpy as np", f"stamp = {n}"]
        for task in key.tasks.values():
            kind = chance.choice(("right", "right", "right", "mistake", "starter"))
            source = {"right": task.source, "starter": task.starter}.get(kind)
            if source is None:
                source = task.source
                edits = iter(task.mistakes[chance.choice(list(task.mistakes))])
                for old, new in zip(edits, edits, strict=True):
                    source = source.replace(old, new)
            cells.append(source)
            points += task.points if kind == "right" else 0
        notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
        nbformat.write(notebook, folder / f"s{n:03d}__PS1.ipynb")
    return points


def start(folder: Path, out: Path, jobs: int, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mfcourse", "grade", str(folder), "--key", "PS1"]
    command += ["--secret", SECRET, "--out", str(out), "--jobs", str(jobs), *more]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True)


def watch(process: psutil.Process, most: list[int]) -> None:
    """The largest sum over the process and all below it, in bytes."""
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        total = 0
        for one in [process, *process.children(recursive=True)]:
            try:
                total += one.memory_full_info().pss
            except psutil.Error:
                continue
        most[0] = max(most[0], total)
        time.sleep(0.1)


def marks(out: Path) -> tuple[list[str], bytes]:
    told = [json.loads(line) for line in (out / "results.jsonl").open()]
    lines = [one for one in told if "format" not in one]
    for one in lines:
        del one["seconds"]
    return sorted(map(json.dumps, lines)), (out / "grades.csv").read_bytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--students", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        least = hand_in(home / "in", given.students)
        since, most = time.monotonic(), [0]
        process = start(home / "in", home / "calm", given.jobs)
        below = threading.Thread(target=watch, args=(psutil.Process(process.pid), most))
        below.start()
        assert process.wait() == 0
        seconds = time.monotonic() - since
        below.join()
        calm = marks(home / "calm")
        points = sum(json.loads(line)["points"] for line in calm[0])
        print(f"{given.students} submissions × 5 tasks: {seconds:.0f} s with "
              f"{given.jobs} jobs, {most[0] / 1e6:.0f} MB in all")  # fmt: skip
        print(f"{points} points; {least} of tasks that are right as a whole")
        chance, kills, out = random.Random(1), 0, home / "stormy"
        while kills < 10:
            process = start(home / "in", out, given.jobs, "--resume")
            try:
                process.wait(chance.uniform(0.5, seconds / 8))
                break
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                kills += 1
        assert start(home / "in", out, given.jobs, "--resume").wait() == 0
        same = "the same marks" if marks(out) == calm else "OTHER MARKS"
        print(f"killed {kills} times, and gone on: {same}")


if __name__ == "__main__":
    main()
