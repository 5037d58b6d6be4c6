"""How an attempt is answered: a box in a notebook, lines in a terminal."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

NOT_TRIED = "Not tried yet: put your code where the ... is."
_BOX = (
    "border-left:4px solid {colour};padding:.2em .8em;margin:.2em 0;"
    "max-width:46rem;text-align:left"
)
_LONGEST, _MANY = 2_000, 60  # letters and parts of a value that is shown
_GREEN, _RED, _GREY = "#2e7d32", "#c62828", "#757575"


@dataclass(frozen=True)
class Verdict:
    """The answer to an attempt; a notebook shows it as a box.

    Parameters
    ----------
    passed : bool
    headline : str
    says : tuple of str
        Sentences: the reason, the typical mistake, a notice.
    shown : str
        The failing input with expected and got.
    """

    passed: bool
    headline: str
    says: tuple[str, ...] = ()
    shown: str = ""

    def __repr__(self) -> str:
        said = [textwrap.fill(sentence, 88) for sentence in self.says]
        return "\n".join(filter(None, [self.headline, *said, self.shown]))

    def _repr_html_(self) -> str:
        colour = _GREEN if self.passed else _RED if self.says else _GREY
        sign = "✓ " if self.passed else "✗ " if self.says else ""
        parts = [f"<strong>{sign}{escape(self.headline)}</strong>"]
        parts += [f"<div>{_code(sentence)}</div>" for sentence in self.says]
        if self.shown:
            parts.append(f"<pre style='margin:.4em 0'>{escape(self.shown)}</pre>")
        return f"<div style='{_BOX.format(colour=colour)}'>{''.join(parts)}</div>"


class Text:
    """Markdown that a notebook typesets and a terminal prints.

    Parameters
    ----------
    markdown : str
    """

    def __init__(self, markdown: str) -> None:
        self.markdown = markdown

    def __repr__(self) -> str:
        return self.markdown

    def _repr_markdown_(self) -> str:
        return self.markdown


def write(value: Any, indent: int) -> str:
    """A value as a learner would type it, or nearly so; what is long is cut.

    Parameters
    ----------
    value : object
    indent : int
        Of all lines but the first.

    Returns
    -------
    str
    """
    try:
        text = _plain(value)
    except Exception:  # its own __repr__ failed
        text = f"<{type(value).__name__}>"
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
    return text.replace("\n", "\n" + " " * indent)


def _plain(value: Any) -> str:
    if isinstance(value, tuple | list):
        arrays = any(isinstance(part, np.ndarray) and part.ndim for part in value)
        shown = [write(part, 1) for part in value[:_MANY]]
        shown += ["…"] if len(value) > _MANY else []
        text = (",\n " if arrays else ", ").join(shown)
        return f"[{text}]" if isinstance(value, list) else f"({text})"
    if isinstance(value, float | np.number):
        return f"{value:.6g}"
    with np.printoptions(precision=4, suppress=True, threshold=80, edgeitems=3):
        return str(value)


def _code(text: str) -> str:
    """Escaped, with `...` as code."""
    parts = escape(text).split("`")
    return "".join(
        f"<code>{part}</code>" if n % 2 else part for n, part in enumerate(parts)
    )
