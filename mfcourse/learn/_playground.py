"""A playground: sliders for the arguments of a function that draws.

The function stands in the notebook, for all to read; its defaults are where the sliders
start. The picture is drawn anew when a slider stops, and comes with its words.
"""

from __future__ import annotations

import inspect
import io
import math
from collections.abc import Callable
from typing import Any, Self

import matplotlib.pyplot as plt
import traitlets
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.ticker import FixedLocator

from mfcourse import plots
from mfcourse.learn import progress
from mfcourse.learn._predict import say
from mfcourse.learn._widget import Widget, place, script


class Playground(Widget):
    """A picture, and a slider for each argument of the function that draws it.

    Parameters
    ----------
    draw : callable
    lesson : str
    labels : dict
    sliders : dict
    """

    _esm = script("playground.js")
    controls: Any = traitlets.List().tag(sync=True)  # each [label, kind, texts, start]
    at: Any = traitlets.List().tag(sync=True)  # which value of each slider
    picture = traitlets.Bytes().tag(sync=True)
    words = traitlets.Unicode().tag(sync=True)
    drawn = traitlets.Int().tag(sync=True)  # requests done, well or not
    trouble = traitlets.Unicode().tag(sync=True)
    notice = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        draw: Callable[..., Any],
        lesson: str,
        labels: dict[str, str],
        sliders: dict[str, Any],
    ) -> None:
        self._draw, self._lesson = draw, lesson
        self._layouts: dict[Any, Any] = {}
        self._values = {name: _values(name, given) for name, given in sliders.items()}
        starts = _starts(draw, self._values)
        super().__init__(
            controls=[
                [labels.get(name, name), _kind(values), [say(v) for v in values], start]
                for (name, values), start in zip(
                    self._values.items(), starts, strict=True
                )
            ],
        )
        self._redraw(starts)
        self.on_msg(self._heard)

    def set(self, **values: Any) -> Self:
        """Move sliders where widgets do not run.

        Parameters
        ----------
        **values
            New values, by the names of the arguments.

        Returns
        -------
        Playground
            Itself, so that the new picture shows.

        Raises
        ------
        ValueError
            No such slider, or none of its values.
        """
        if unknown := sorted(set(values) - set(self._values)):
            raise ValueError(f"no slider {unknown}; there are {list(self._values)}")
        at = dict(zip(self._values, self.at, strict=True))
        at |= {n: _index(n, self._values[n], value) for n, value in values.items()}
        self._redraw(list(at.values()))
        return self

    def _redraw(self, at: list[int]) -> None:
        pairs = zip(self._values.items(), at, strict=True)
        values = {name: values[i] for (name, values), i in pairs}
        picture, words = _drawn(self._draw, values, self._layouts)
        with self.hold_sync():
            self.at, self.picture, self.words, self.trouble = at, picture, words, ""

    def _heard(self, _: Any, content: dict[str, Any], __: Any) -> None:
        sizes = map(len, self._values.values())
        at = [place(i, n) for i, n in zip(content.get("at", ()), sizes, strict=False)]
        known = [i for i in at if i is not None]
        if len(known) == len(self._values):
            try:
                self._redraw(known)
            except Exception as error:
                self.trouble = f"{type(error).__name__}: {error}"
        self.drawn += 1
        if self.drawn == 1 or self.notice:
            self.notice = progress.record("played", self._lesson, once=True)

    def _picture(self) -> bytes:
        return plots._small(self.picture)

    def __repr__(self) -> str:
        rows = zip(self.controls, self.at, strict=True)
        set_to = ", ".join(f"{label} = {texts[i]}" for (label, _, texts, _), i in rows)
        return f"Playground: {set_to}\n{self.words}"


def playground(
    draw: Callable[..., Any],
    /,
    *,
    lesson: str,
    labels: dict[str, str] | None = None,
    **sliders: Any,
) -> Playground:
    """Put sliders above the picture that a function draws.

    Parameters
    ----------
    draw : callable
        Takes the sliders' values by name; returns a Figure or Axes. Its defaults are
        where the sliders start.
    lesson : str
        Such as "03".
    labels : dict, optional
        What to write for an argument: ``{"reg": "λ"}``.
    **sliders
        For each argument ``(low, high)`` or ``(low, high, step)``, a list of values,
        or True for a box to tick.

    Returns
    -------
    Playground
        A widget; ``.set(k=3)`` draws where widgets do not run.

    Raises
    ------
    ValueError
        There is no slider, or one has no values, or does not fit the function.
    """
    if not sliders:
        raise ValueError("no slider; add one, such as k=(1, 8)")
    return Playground(draw, lesson, labels or {}, sliders)


def _values(name: str, given: Any) -> list[Any]:
    """What a slider can be set to."""
    if isinstance(given, bool):
        return [False, True]
    if isinstance(given, tuple) and len(given) in (2, 3):
        low, high, *rest = given
        whole = all(isinstance(number, int) for number in given)
        step = rest[0] if rest else 1 if whole else (high - low) / 20
        n = math.floor((high - low) / step + 1e-9) + 1 if step > 0 else 0
        given = [
            low + i * step if whole else round(low + i * step, 10) for i in range(n)
        ]
    if not isinstance(given, list) or not 2 <= len(given) <= 1_000:
        wanted = "(low, high), (low, high, step), a list of 2 to 1,000 values, or True"
        raise ValueError(f"slider {name}: expected {wanted}; got {given!r}")
    return given


def _kind(values: list[Any]) -> str:
    if values == [False, True] and isinstance(values[0], bool):
        return "box"
    return "list" if any(isinstance(value, str) for value in values) else "range"


def _starts(draw: Callable[..., Any], sliders: dict[str, list[Any]]) -> list[int]:
    """Where the function's defaults lie among the values; else the middle."""
    known = inspect.signature(draw).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in known.values())
    if unknown := [n for n in sliders if n not in known and not takes_all]:
        raise ValueError(f"the function takes no {unknown}; it takes {list(known)}")
    starts = []
    for name, values in sliders.items():
        default = known[name].default if name in known else inspect.Parameter.empty
        none = default is inspect.Parameter.empty
        starts.append((len(values) - 1) // 2 if none else _index(name, values, default))
    return starts


def _index(name: str, values: list[Any], value: Any) -> int:
    for at, other in enumerate(values):
        if value == other or _close(value, other):
            return at
    there = ", ".join(
        map(say, values if len(values) < 10 else [*values[:3], "…", values[-1]])
    )
    raise ValueError(f"{name} = {value!r} is none of the slider's values: {there}")


def _close(a: Any, b: Any) -> bool:
    return isinstance(a, float) and isinstance(b, float) and math.isclose(a, b)


def _drawn(
    draw: Callable[..., Any], values: dict[str, Any], layouts: dict[Any, Any]
) -> tuple[bytes, str]:
    """A picture and its words; no figure stays open, or the cell would show it too."""
    before = set(plt.get_fignums())
    try:
        made = draw(**values)
        figure = getattr(made, "figure", None)
        if figure is None:
            raise TypeError(f"draw must return a Figure or Axes; got {made!r}")
        if figure.get_layout_engine() is None:
            _lay_out(figure, layouts)
        file = io.BytesIO()
        how: Any = {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 1}}
        FigureCanvasAgg(figure).print_png(file, **how)  # savefig would draw it twice
        return file.getvalue(), plots.describe(figure)
    finally:
        for number in set(plt.get_fignums()) - before:
            plt.close(number)


def _lay_out(figure: Any, layouts: dict[Any, Any]) -> None:
    """Make room for the labels; where they are those of before, as before.

    Measuring texts takes a third of the time of a picture.
    """
    axes = [ax.yaxis for ax in figure.axes]
    fixed = all(isinstance(axis.get_major_locator(), FixedLocator) for axis in axes)
    key = fixed and str(
        [a.major.formatter.format_ticks(a.major.locator()) for a in axes]
    )
    if key in layouts:
        figure.subplots_adjust(**layouts[key])
        return
    figure.tight_layout()  # all pictures of one size; half the time of a crop
    if fixed:
        sides = "left", "right", "bottom", "top", "wspace", "hspace"
        layouts[key] = {side: getattr(figure.subplotpars, side) for side in sides}
