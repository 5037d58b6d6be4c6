"""What all widgets share: files in ``static/``, and words where widgets do not run."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import anywidget

STATIC = Path(__file__).parent / "static"


def script(name: str) -> str:
    """The script of a widget, behind what all share.

    Parameters
    ----------
    name : str
        Of a file in ``static/``.

    Returns
    -------
    str
    """
    files = (STATIC / "common.js", STATIC / name)
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def place(value: Any, n: int) -> int | None:
    """A place in a list of ``n``, as a front end sent it; None where it is none.

    Parameters
    ----------
    value : object
    n : int

    Returns
    -------
    int or None
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value < n else None


class Words(str):
    """Text that a notebook shows as it is, without quotes."""

    def __repr__(self) -> str:
        return str(self)


class Widget(anywidget.AnyWidget):
    """An anywidget that reads well without its front end.

    A subclass names its script in ``_esm`` and says its words in ``__repr__``: they are
    what GitHub shows, what nbval compares, and what a learner reads where no widget
    runs. ``_picture`` may add a still picture.
    """

    _css = STATIC / "learn.css"

    def _picture(self) -> bytes | None:
        """A PNG for where widgets do not run."""
        return None

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict] | None:
        found = super()._repr_mimebundle_(**kwargs)  # cuts the words at 110 characters
        if found is None:
            return None
        data, metadata = found if isinstance(found, tuple) else (found, {})
        data = {**data, "text/plain": repr(self)}
        if picture := self._picture():
            data["image/png"] = base64.b64encode(picture).decode()
            metadata = {**metadata, "image/png": {"alt": repr(self)}}
        return data, metadata
