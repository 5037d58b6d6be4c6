"""The dashboard: how far a learner is, and the next step, from the log of progress."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import traitlets

from mfcourse.learn import progress
from mfcourse.learn._widget import Widget, script


class Dashboard(Widget):
    """Level, streak, next step and a row a lesson; empty where nothing is recorded."""

    _esm = script("dashboard.js")
    shown: Any = traitlets.Dict().tag(sync=True)
    notice = traitlets.Unicode().tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self.on_msg(lambda *_: self.refresh())
        self.refresh()

    def refresh(self) -> None:
        """Read the log again, as the button does."""
        here = progress.summary() if progress.recording() else progress.summarize([])
        shown = asdict(here)
        for lesson in shown["lessons"]:
            beside = Path.cwd().glob(f"{lesson['number']}_*.ipynb")
            lesson["file"] = min((path.name for path in beside), key=len, default="")
        todo = (row["file"] for row in shown["lessons"] if not row["done"])
        self.shown = {
            **shown,
            "next_file": next(todo, ""),
            "of": [progress.QUESTIONS, progress.XP_LEVEL, progress.DECK],
            "at": f"{datetime.now():%H:%M:%S}",
        }
        self.notice = progress.notice() if progress.recording() else ""

    def __repr__(self) -> str:
        return (
            "Your progress (run this cell to see it; in a terminal: mfcourse progress)"
        )


def dashboard() -> Dashboard:
    """Show your progress: what is done in each lesson, and what to do next.

    Returns
    -------
    Dashboard
        A widget with a button that reads the log again.
    """
    return Dashboard()
