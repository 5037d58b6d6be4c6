"""Frames or arrays → Axes: one style, safe for every eye, and words for every figure.

Each function draws on ``ax``, or on a figure of its own, and returns the Axes. In
JupyterLab the figure then shows itself once, at the end of the cell, with its words
(`describe`) as alternative text and folded below it: JupyterLab shows no ``alt`` of its
own. Notebook tests compare those words, since pixels differ between machines.

Colours are Okabe and Ito's; shape, dash, hatch or a written value always says the same
as the colour. The background is white on purpose, in the dark theme too.
"""

from __future__ import annotations

import html
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import cycle
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator
from numpy.typing import ArrayLike
from PIL import Image

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS, DASHES = "os^DvPX", ("-", "--", "-.", ":")
HATCH = "////"
QUIET = "said by other words"  # gid of texts that `describe` need not repeat
PLACELESS = "on a map"  # gid of dots whose places differ between machines
STYLE: Any = {
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": "#444444",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "font.size": 10,
    "text.color": "black",
    "axes.labelcolor": "black",
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


@contextmanager
def _styled() -> Iterator[None]:
    """Our style for one drawing; the reader's rcParams stay as they are.

    Not ``mpl.rc_context``: the first figure of a kernel loads the inline backend, which
    switches ``interactive`` on, and ``rc_context`` would switch it off again for good.
    """
    before = {name: mpl.rcParams[name] for name in STYLE}
    mpl.rcParams.update(STYLE)
    try:
        yield
    finally:
        mpl.rcParams.update(before)


@_styled()
def utility_matrix(
    matrix: pd.DataFrame | ArrayLike,
    *,
    holes: bool = True,
    fmt: str = "{:g}",
    title: str = "Utility matrix",
    ax: Axes | None = None,
) -> Axes:
    """Show a small users × items matrix with its values, and what is missing.

    Parameters
    ----------
    matrix : DataFrame or array, users × items, at most 600 cells
        NaN is a missing rating. A DataFrame's names label the axes.
    holes : bool
        Hatch the missing cells and write "?"; otherwise they stay blank.
    fmt : str
        How a value is written.
    title : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        No value, more than 600 cells, or a long frame that was not pivoted.
    """
    return _cells(matrix, None, None, None, holes, fmt, title, ax)


@_styled()
def heatmap(
    matrix: pd.DataFrame | ArrayLike,
    row_labels: Sequence[Any] | None = None,
    column_labels: Sequence[Any] | None = None,
    *,
    center: float | None = 0,
    fmt: str = "{:.2f}",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Show a small matrix of similarities or factors, with its values.

    Parameters
    ----------
    matrix : DataFrame or array, at most 600 cells
        NaN is hatched.
    row_labels, column_labels : sequence, optional
        Names of rows and columns; a DataFrame brings its own.
    center : float or None
        The value in white, with purple above and orange below; None for blue shades.
    fmt : str
        How a value is written.
    title : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        No value, more than 600 cells, or a long frame that was not pivoted.
    """
    return _cells(matrix, row_labels, column_labels, center, True, fmt, title, ax)


@_styled()
def sparsity(ratings: Any, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Show where a large matrix holds ratings: busy users up, popular items left.

    A dot is one cell, or a block of cells where there are more than 160 × 240.

    Parameters
    ----------
    ratings : sparse matrix, users × items, or DataFrame with columns ``user, item``
    title : str, optional
        Left out, it says the shape and the share of cells that hold a rating.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        There is no rating.
    """
    if isinstance(ratings, pd.DataFrame):
        pair = [pd.factorize(ratings[name])[0] for name in ("user", "item")]
        shape = tuple(int(p.max(initial=-1)) + 1 for p in pair)
    else:
        coo = ratings.tocoo()
        pair, shape = [coo.row, coo.col], coo.shape
    n = len(pair[0])
    if n == 0:
        raise ValueError("no rating to show: the matrix or frame is empty")
    rank = []
    for code, size in zip(pair, shape, strict=True):
        order = np.argsort(-np.bincount(code, minlength=size), kind="stable")
        rank.append(np.argsort(order)[code])
    bins = (min(shape[0], 160), min(shape[1], 240))
    extent = ((0, shape[0]), (0, shape[1]))
    dots, rows, columns = np.histogram2d(rank[0], rank[1], bins=bins, range=extent)
    # Whole cells fall into each block; the blocks differ by one row or column at most.
    cells = np.outer(np.diff(np.ceil(rows)), np.diff(np.ceil(columns)))
    if title is None:
        share = n / (shape[0] * shape[1])
        title = f"{shape[0]:,} users × {shape[1]:,} items, {share:.2%} rated"
    ax = _axes(ax, title, "items, most rated first", "users, most active first")
    image = ax.imshow(
        np.minimum(dots / cells, 1),
        cmap="Greys",
        norm=mpl.colors.PowerNorm(0.4, vmin=0, vmax=1),
        extent=(0, shape[1], shape[0], 0),
        aspect="auto",
        interpolation="nearest",
    )
    _plain_ticks(ax.xaxis, ax.yaxis)
    ax.figure.colorbar(image, ax=ax, label="share of cells rated")
    return ax


@_styled()
def long_tail(
    counts: ArrayLike,
    *,
    top: Sequence[float] = (0.01, 0.1),
    of: str = "items",
    title: str = "The long tail",
    ylabel: str = "ratings",
    ax: Axes | None = None,
) -> Axes:
    """Show counts sorted by rank, both axes logarithmic, and what the top ones hold.

    Parameters
    ----------
    counts : Series or array
        Ratings per item, or per user. Zeros count as items, but a logarithm has no
        place for them.
    top : sequence of float
        Shares of the items, in (0, 1], for which the share of ratings is written.
    of : str
        What is counted, in the plural.
    title, ylabel : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        There is no count above zero.
    """
    sizes = np.sort(_finite(counts, "count"))[::-1]
    if sizes[0] <= 0:
        raise ValueError(f"all {len(sizes)} counts are zero: there is no tail to show")
    ax = _axes(ax, title, f"rank of the {of} (1 = most {ylabel})", ylabel)
    shown = sizes[sizes > 0]
    ax.loglog(np.arange(1, len(shown) + 1), shown, color=COLORS[0], lw=2, label=of)
    _plain_ticks(ax.xaxis, ax.yaxis)
    for share, dash, height in zip(top, cycle(DASHES[1:]), cycle((0.2, 0.08, 0.32))):
        n = max(1, round(share * len(sizes)))
        ax.axvline(n, color=COLORS[1], ls=dash, lw=1, label=f"top {share:.0%}")
        left = n > len(sizes) ** 0.4
        ax.annotate(
            f"top {share:.0%} ({n:,}) hold {sizes[:n].sum() / sizes.sum():.0%}",
            (n, height),
            xycoords=("data", "axes fraction"),
            xytext=(-4 if left else 4, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            fontsize=9,
            bbox={"fc": "white", "ec": "none", "pad": 1},
        )
    return ax


@_styled()
def histogram(
    values: ArrayLike,
    bins: int | Sequence[float] | np.ndarray = 20,
    *,
    reference: float | None = None,
    log: bool = False,
    title: str = "",
    xlabel: str = "",
    ylabel: str = "count",
    ax: Axes | None = None,
) -> Axes:
    """Show how often values occur.

    Parameters
    ----------
    values : Series or array
        NaN is left out.
    bins : int or sequence of float
        Number of bins, or their edges; ``np.arange(0.25, 5.5, 0.5)`` puts each half
        star in the middle of its bar.
    reference : float, optional
        A value to mark with a dashed line.
    log : bool
        A logarithmic count.
    title, xlabel, ylabel : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        No value is finite.
    """
    kept = _finite(values, "value")
    ax = _axes(ax, title, xlabel, ylabel)
    edge = {"edgecolor": "white", "linewidth": 0.8}
    ax.hist(kept, bins=bins, color=COLORS[0], log=log, **edge)  # type: ignore[arg-type]
    if not log:
        _plain_ticks(ax.yaxis)
    _reference(ax, reference)
    return ax


@_styled()
def bars(
    series: pd.Series,
    *,
    fmt: str = "{:,g}",
    title: str = "",
    xlabel: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Show one horizontal bar a row, in the order given, with its value.

    Parameters
    ----------
    series : Series
        The index names the bars. NaN has no bar and is written "?".
    fmt : str
        How a value is written.
    title, xlabel : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        No value is finite.
    """
    value = series.to_numpy(dtype=float)
    _finite(value, "value")
    ax = _axes(ax, title, xlabel, "", height=0.7 + 0.34 * len(value))
    drawn = ax.barh(range(len(value)), value, color=COLORS[0])
    _rows(ax, series.index)
    texts = ax.bar_label(drawn, [fmt.format(v) for v in value], padding=3, fontsize=9)
    for row, text in enumerate(texts):
        text.set_gid(QUIET)
        if np.isnan(value[row]):
            _beside(ax, "?", (0, row), (5, 0), va="center")
    ax.margins(x=0.12)
    ax.axvline(0, color="#444444", lw=0.8, gid=QUIET)
    return ax


@_styled()
def intervals(
    table: pd.DataFrame,
    value: str = "value",
    low: str = "low",
    high: str = "high",
    *,
    reference: float | None = None,
    title: str = "",
    xlabel: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Compare rows by a dot and the interval around it, in the order given.

    Parameters
    ----------
    table : DataFrame
        One row a model; the index names it.
    value, low, high : str
        Columns: the estimate and the ends of its interval. NaN ends: only the dot.
    reference : float, optional
        A value to mark with a dashed line, such as 0 for differences.
    title : str
    xlabel : str, optional
        Left out, the name of the value column.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        A column is missing, no value is finite, or a value lies outside its interval.
    """
    missing = [c for c in (value, low, high) if c not in table.columns]
    if missing:
        found = [str(c) for c in table.columns]
        raise ValueError(
            f"the table has no column {missing[0]!r}; found {found}. "
            "Name it: intervals(table, value=..., low=..., high=...)"
        )
    middle = table[value].to_numpy(dtype=float)
    _finite(middle, "value")
    ends = np.stack([middle - table[low], table[high] - middle]).astype(float)
    if (ends < 0).any():
        row = int(np.argmax((ends < 0).any(axis=0)))
        raise ValueError(
            f"row {table.index[row]!r}: the value {middle[row]:g} lies outside its "
            f"interval; are {low!r} and {high!r} the ends, not distances?"
        )
    name = value if xlabel is None else xlabel
    ax = _axes(ax, title, name, "", height=0.9 + 0.34 * len(table))
    ax.errorbar(
        middle,
        np.arange(len(table)),
        xerr=np.nan_to_num(ends),
        fmt="o",
        color=COLORS[0],
        capsize=4,
        lw=2,
    )
    _reference(ax, reference)
    _rows(ax, table.index)
    ax.grid(axis="x", color="#dddddd", lw=0.8)
    return ax


@_styled()
def lines(
    frame: pd.DataFrame,
    x: str | None = None,
    *,
    log_x: bool = False,
    reference: float | None = None,
    title: str = "",
    xlabel: str | None = None,
    ylabel: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw one line a column, named at its end where there is room.

    Parameters
    ----------
    frame : DataFrame
        NaN leaves a gap.
    x : str, optional
        Column of the horizontal axis; left out, the index.
    log_x : bool
        A logarithmic horizontal axis.
    reference : float, optional
        A height to mark with a dashed line.
    title, ylabel : str
    xlabel : str, optional
        Left out, the name of ``x`` or of the index.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        No value is finite.
    """
    at = frame.index if x is None else frame[x]
    columns = frame if x is None else frame.drop(columns=x)
    _finite(columns, "value")
    name = str(at.name or "") if xlabel is None else xlabel
    ax = _axes(ax, title, name, ylabel)
    if log_x:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_minor_formatter("")
        _plain_ticks(ax.xaxis)
    elif pd.api.types.is_integer_dtype(at):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))  # epochs have no halves
    looks = zip(cycle(COLORS), cycle(MARKERS), cycle(DASHES), columns.items())
    ends = []
    for color, marker, dash, (label, y) in looks:
        known = np.flatnonzero(np.isfinite(y.to_numpy(dtype=float)))
        style: dict[str, Any] = {
            "color": color,
            "marker": marker,
            "linestyle": dash,
            "markersize": 5,
        }
        every = max(1, len(frame) // 12)
        ax.plot(at, y, label=str(label), markevery=every, **style)
        if len(known):
            ends.append((float(y.iloc[known[-1]]), at[known[-1]], str(label), color))
    _reference(ax, reference, horizontal=True)
    bottom, top = ax.get_ylim()
    heights = np.sort([end[0] for end in ends])
    if len(ends) > 1 and np.diff(heights).min() < 0.06 * (top - bottom):
        ax.legend()
    else:
        for y_end, x_end, label, color in ends:
            _beside(ax, label, (x_end, y_end), (7, 0), color=color, va="center")
    ax.grid(axis="y", color="#dddddd", lw=0.8)
    return ax


@_styled()
def scatter(
    x: ArrayLike,
    y: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    title: str = "",
    xlabel: str = "",
    ylabel: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw one dot a pair.

    Parameters
    ----------
    x, y : Series or array, of one length
        A pair with NaN is left out.
    names : sequence of str, optional
        Written beside the dots.
    title, xlabel, ylabel : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        The lengths differ, or no pair is finite.
    """
    across, up = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if across.shape != up.shape or (names is not None and len(names) != len(up)):
        count = "" if names is None else f" and {len(names)} names"
        raise ValueError(
            f"x, y and names go in pairs; got {across.size} x, {up.size} y{count}"
        )
    _finite(across + up, "pair")
    ax = _axes(ax, title, xlabel, ylabel)
    solid = 0.8 if len(up) < 200 else 0.35
    ax.scatter(across, up, s=24, color=COLORS[0], alpha=solid, linewidths=0)
    for a, b, name in zip(across, up, names or (), strict=False):
        _beside(ax, name, (a, b), (5, 3))
    return ax


@_styled()
def timeline(
    splits: Mapping[str, tuple[pd.DataFrame, ...]],
    *,
    n_users: int = 12,
    title: str = "What each split holds back",
) -> Figure:
    """Show, user by user over time, which ratings each split holds back.

    Parameters
    ----------
    splits : mapping
        Name → (train, test) or (train, validation, test), frames with columns
        ``user, timestamp``, all of the same ratings.
    n_users : int
        Users shown, spread evenly from the first to come to the last.
    title : str

    Returns
    -------
    Figure
        One Axes a split, side by side.

    Raises
    ------
    ValueError
        There is no split, no rating, or no timestamp.
    """
    if not splits:
        raise ValueError('no split to show; pass {"random": split.random(ratings)}')
    for name, frames in splits.items():
        if any("timestamp" not in frame.columns for frame in frames):
            raise ValueError(f"split {name!r} has no column 'timestamp' to show")
    first = pd.concat(next(iter(splits.values()))).groupby("user")["timestamp"].min()
    if first.empty:
        raise ValueError("no rating to show: the frames are empty")
    users = first.sort_values(kind="stable").index
    some = np.unique(np.linspace(0, len(users) - 1, n_users).round().astype(int))
    row = pd.Series(range(len(some)), index=users[some])
    height = 1.4 + 0.2 * len(row)
    fig, axes = plt.subplots(
        1, len(splits), figsize=(8.2, height), sharey=True, squeeze=False
    )
    parts = ("train", "validation", "test")
    colors = dict(zip(parts, ("#777777", COLORS[4], COLORS[1]), strict=True))
    marks = dict(zip(parts, "|DX", strict=True))
    down = dict(zip(parts, (-0.18, 0.18, 0.18), strict=True))
    for ax, (name, frames) in zip(axes[0], splits.items(), strict=True):
        ax.set(title=name, xlabel="time")
        present = parts if len(frames) == 3 else parts[::2]
        for part, frame in zip(present, frames, strict=True):
            kept = frame[frame["user"].isin(row.index)]
            when = pd.to_datetime(kept["timestamp"], unit="s")
            look = {"marker": marks[part], "color": colors[part], "s": 30}
            at = row[kept["user"]] + down[part]
            ax.scatter(when, at, label=part, **look)
        ax.xaxis.set_major_locator(dates.AutoDateLocator(minticks=2, maxticks=5))
        ax.xaxis.set_major_formatter(
            dates.ConciseDateFormatter(ax.xaxis.get_major_locator())
        )
    _rows(axes[0, 0], row.index)
    axes[0, 0].set_ylabel("user")
    axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    fig.suptitle(title, x=0.02, ha="left", fontweight="bold")
    fig.tight_layout()
    return fig


@_styled()
def maps(
    points: Mapping[str, ArrayLike],
    groups: Sequence[Any],
    *,
    names: Mapping[int, str] | None = None,
    title: str = "",
) -> Figure:
    """Show maps of the same things side by side: what PCA, t-SNE or UMAP made of them.

    The words of the figure hold no coordinates: those mean nothing by themselves, and
    t-SNE's and UMAP's differ between machines. Let the names of the maps say what is
    kept: ``{"PCA: 0.2 of the ten nearest kept": xy}``.

    Parameters
    ----------
    points : mapping
        Name of the map → array of shape (n, 2).
    groups : sequence of length n
        What each dot is; a colour and a marker for each, in the order of appearance.
    names : mapping, optional
        Row → what is written beside its dot.
    title : str

    Returns
    -------
    Figure
        One Axes a map.

    Raises
    ------
    ValueError
        There is no map, or one is not a finite (n, 2).
    """
    if not points:
        raise ValueError('no map to show; pass {"PCA": points}, n rows of two')
    label = np.asarray(groups)
    places = {name: np.asarray(xy, dtype=float) for name, xy in points.items()}
    for name, xy in places.items():
        if xy.shape != (len(label), 2) or not np.isfinite(xy).all() or not xy.size:
            raise ValueError(
                f"map {name!r} must hold two finite numbers for each of the "
                f"{len(label)} groups given; its shape is {xy.shape}"
            )
    fig, axes = plt.subplots(1, len(points), figsize=(8.2, 4.4), squeeze=False)
    for ax, (name, xy) in zip(axes[0], places.items(), strict=True):
        ax.set_title(name, fontsize=10)
        ax.set(xticks=[], yticks=[])
        looks = zip(cycle(COLORS), cycle(MARKERS), pd.unique(label))
        for color, marker, group in looks:
            x, y = xy[label == group].T
            look = {"color": color, "marker": marker, "s": 16, "linewidths": 0}
            ax.scatter(x, y, alpha=0.6, label=group, gid=PLACELESS, **look)
        for row, text in (names or {}).items():
            box = {"fc": "white", "ec": "none", "pad": 0.5, "alpha": 0.7}
            _beside(ax, text, tuple(xy[row]), (3, 2), gid="", fontsize=8, bbox=box)
            ax.plot(*xy[row], "o", mfc="none", mec="black", ms=7, gid=QUIET)
    handles = axes[0, 0].get_legend_handles_labels()
    fig.legend(*handles, loc="lower center", ncols=len(handles[0]))
    fig.suptitle(title, x=0.02, ha="left", fontweight="bold")
    fig.tight_layout(rect=(0, 0.07, 1, 1))
    return fig


def describe(fig: Figure) -> str:
    """Say in words what a figure shows, number by number.

    Parameters
    ----------
    fig : Figure

    Returns
    -------
    str
        Per Axes its title and labels; per line, bars, image, dots and intervals the
        count, first, last, smallest, largest and mean value to 3 digits, and each value
        where they are few.
    """
    title = fig.get_suptitle()
    said = [f"Figure: {title}."] if title else []
    for ax in fig.axes:
        if ax.get_label() == "<colorbar>":
            continue
        head = f"Plot: {ax.get_title('left') or ax.get_title() or 'no title'}."
        for axis, label in (("x", ax.get_xlabel()), ("y", ax.get_ylabel())):
            scale = ax.get_xscale() if axis == "x" else ax.get_yscale()
            head += f" {axis}: {label or 'no label'}"
            head += f" ({scale} scale)." if scale != "linear" else "."
        said.append(head)
        said += [f"  {line}" for line in _describe(ax)]
    return "\n".join(said) or "An empty figure."


def _describe(ax: Axes) -> list[str]:
    said, done = [], set()
    down, along = _names(ax.yaxis), _names(ax.xaxis)
    for box in ax.containers:
        done |= {id(part) for part in box.get_children()}
        if isinstance(box, BarContainer):
            names = down if box.orientation == "horizontal" else along
            edges = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in box]
            if not names and box.orientation == "vertical":
                names = [f"{_number(a)} to {_number(b)}:" for a, b in edges]
            said.append(f"Bars: {_numbers(_filled(box.datavalues), names)}")
        elif isinstance(box, ErrorbarContainer) and box[0] is not None:
            flat = box.has_xerr
            middle = _filled(box[0].get_xdata() if flat else box[0].get_ydata())
            ends = [s[:, 0 if flat else 1] for s in box[2][0].get_segments()]
            spans = [f" ({_number(e.min())} to {_number(e.max())})" for e in ends]
            names = down if flat else along
            said.append(f"Intervals: {_numbers(middle, names, spans)}")
    for line in ax.lines:
        if id(line) not in done and line.get_gid() != QUIET:
            x, y = map(_filled, line.get_data())
            said.append(f"Line{_label(line)}: {_path(x, y)}")
    for image in ax.images:
        values = _filled(image.get_array())
        said.append(f"Image {' × '.join(map(str, values.shape))}: {_numbers(values)}")
        if values.ndim == 2 and values.size <= 64 and len(down) == len(values):
            said += [f"  columns: {', '.join(along)}"] if along else []
            for name, cells in zip(down, values, strict=True):
                said.append(f"  {name}: {', '.join(map(_number, cells))}")
    for group in ax.collections:
        if id(group) in done:
            continue
        x, y = _filled(group.get_offsets()).T
        if group.get_gid() == PLACELESS:
            said.append(f"Dots{_label(group)}: n={len(x)}")
            continue
        kind = "Dots" if isinstance(group, PathCollection) else type(group).__name__
        if isinstance(ax.xaxis.get_major_locator(), dates.AutoDateLocator) and len(x):
            across = f"from {dates.num2date(x.min()):%Y-%m-%d} "
            across += f"to {dates.num2date(x.max()):%Y-%m-%d}"
        else:
            across = f"x {_numbers(x)}"
        up = f"y {_numbers(y)}"
        if down and len(y):  # rows: how many dots stand in each
            n_dots = np.bincount(y.round().astype(int), minlength=len(down))
            up = f"{len(y)} in rows " + _each(down, n_dots)
        said.append(f"{kind}{_label(group)}: {across}; {up}")
    notes = [t.get_text() for t in ax.texts if t.get_gid() != QUIET and t.get_text()]
    return said + [f"Note: {note}" for note in notes[:12]]


def _label(artist: Any) -> str:
    name = str(artist.get_label())
    return "" if name.startswith("_") else f" {name}"


def _path(x: np.ndarray, y: np.ndarray) -> str:
    if len(x) == 2 and x[0] == x[1]:
        return f"upright at x {_number(x[0])}"
    if len(x) == 2 and y[0] == y[1]:
        return f"level at y {_number(y[0])}"
    across = f"x {_number(x[0])} to {_number(x[-1])}; " if len(x) else ""
    return f"{across}y {_numbers(y)}"


def _names(axis: Any) -> list[str]:
    """The labels that were set by hand; others depend on matplotlib's version."""
    if not isinstance(axis.get_major_locator(), FixedLocator):
        return []
    places = axis.get_majorticklocs()
    return [t for t in axis.get_major_formatter().format_ticks(places) if t]


def _filled(values: Any) -> np.ndarray:
    """Floats, a masked one as NaN."""
    return np.ma.filled(np.ma.asarray(values, dtype=float), np.nan)


def _number(value: float) -> str:
    if not np.isfinite(value):
        return "?"
    text = f"{value + 0.0:.3g}"  # + 0.0: no minus before a zero
    return f"{float(text):,.0f}" if 1000 <= abs(value) < 1e9 else text


def _numbers(
    values: np.ndarray, names: Sequence[str] = (), spans: Sequence[str] = ()
) -> str:
    """First, last, min, max, mean; and each value by name where at most 20 have one."""
    array = values.ravel()
    known = array[np.isfinite(array)]
    said = f"n={len(known)}"
    if len(known) < len(array):
        said += f" missing={len(array) - len(known)}"
    if len(known):
        marks = {"first": known[0], "last": known[-1], "min": known.min()}
        marks |= {"max": known.max(), "mean": known.mean()}
        said += "".join(f" {name}={_number(mark)}" for name, mark in marks.items())
    if 0 < len(names) == len(array) <= 20:
        said += f". {_each(names, array, spans)}"
    return said


def _each(names: Sequence[str], values: np.ndarray, spans: Sequence[str] = ()) -> str:
    tails = spans or [""] * len(names)
    parts = zip(names, values, tails, strict=True)
    return "; ".join(f"{name} {_number(v)}{tail}" for name, v, tail in parts)


def _axes(
    ax: Axes | None, title: str, xlabel: str, ylabel: str, height: float = 3.6
) -> Axes:
    if ax is None:
        ax = plt.subplots(figsize=(7.0, min(height, 9)))[1]
    ax.set_title(title)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.tick_params(labelsize=9, colors="#222222")  # ticks are made after `styled` ends
    return ax


def _rows(ax: Axes, names: Any) -> None:
    """Name the rows, the first on top."""
    ax.set_yticks(range(len(names)), [str(name) for name in names])
    ax.set_ylim(len(names) - 0.4, -0.6)


def _beside(
    ax: Axes, text: str, at: tuple[Any, Any], by: tuple[int, int], **look: Any
) -> None:
    """Write a name some points beside a place in the plot."""
    look = {"fontsize": 9, "gid": QUIET, **look}
    ax.annotate(text, at, xytext=by, textcoords="offset points", **look)


def _plain_ticks(*axes: Any) -> None:
    """10,000 rather than 10⁴."""
    for axis in axes:
        axis.set_major_formatter("{x:,g}")


def _reference(ax: Axes, at: float | None, horizontal: bool = False) -> None:
    if at is not None:
        draw = ax.axhline if horizontal else ax.axvline
        draw(at, color="black", ls="--", lw=1, label=f"reference {at:.3g}")


def _finite(values: Any, what: str) -> np.ndarray:
    """The finite values, or an error: an empty plot would look like a result."""
    array = np.asarray(values, dtype=float).ravel()
    kept = array[np.isfinite(array)]
    if not len(kept):
        raise ValueError(
            f"no {what} to show: got {len(array)}, none of them finite. "
            "Look at the data before the plot"
        )
    return kept


def _cells(
    matrix: pd.DataFrame | ArrayLike,
    row_labels: Sequence[Any] | None,
    column_labels: Sequence[Any] | None,
    center: float | None,
    holes: bool,
    fmt: str,
    title: str,
    ax: Axes | None,
) -> Axes:
    if isinstance(matrix, pd.DataFrame) and {"user", "item"} <= set(matrix.columns):
        raise ValueError(
            "expected users × items, got one row a rating. Pivot first: "
            'ratings.pivot(index="user", columns="item", values="rating")'
        )
    frame = (
        matrix
        if isinstance(matrix, pd.DataFrame)
        else pd.DataFrame(np.asarray(matrix, dtype=float))
    )
    values = np.ma.masked_invalid(frame.to_numpy(dtype=float))
    if not values.count():
        raise ValueError(f"no value to show: all {values.size} cells are missing")
    if values.size > 600:
        raise ValueError(
            f"{values.shape[0]} × {values.shape[1]} cells are too many to read; show "
            "some rows and columns, or use plots.sparsity"
        )
    names = [frame.index if row_labels is None else row_labels]
    names += [frame.columns if column_labels is None else column_labels]
    n_rows, n_columns = values.shape
    axis_names = [frame.index.name or "", frame.columns.name or ""]
    fresh = ax is None
    ax = _axes(ax, title, str(axis_names[1]), str(axis_names[0]))
    if fresh:
        size = (min(9, 1.6 + 0.75 * n_columns), min(9, 1.2 + 0.42 * n_rows))
        ax.figure.set_size_inches(*size)  # type: ignore[union-attr]
    if center is None:
        low, high = float(values.min()), float(values.max())
        low, high = low - 0.25 * (high - low), high + 0.25 * (high - low)
    else:
        reach = float(np.abs(values - center).max()) or 1.0
        low, high = center - 1.2 * reach, center + 1.2 * reach
    shades = mpl.colormaps["Blues" if center is None else "PuOr"]
    image = ax.imshow(values, cmap=shades, vmin=low, vmax=high, aspect="auto")
    ax.set_yticks(range(n_rows), [str(name) for name in names[0]])
    columns = [str(name) for name in names[1]]
    ax.set_xticks(range(n_columns), columns)
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("top")
    if max(map(len, columns)) > 9:
        plt.setp(ax.get_xticklabels(), rotation=25, ha="left", rotation_mode="anchor")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    rgba = image.to_rgba(values)
    for (row, column), missing in np.ndenumerate(np.ma.getmaskarray(values)):
        dark = not missing and rgba[row, column, :3] @ (0.299, 0.587, 0.114) < 0.5
        text = "?" * holes if missing else fmt.format(values[row, column])
        if not text:
            continue
        ink = "white" if dark else "black"
        place: dict[str, Any] = {
            "ha": "center",
            "va": "center",
            "fontsize": 9,
            "gid": QUIET,
        }
        box = {"fc": "white", "ec": "none", "pad": 1} if missing and holes else None
        ax.text(column, row, text, color=ink, bbox=box, **place)
        if missing and holes:
            corner = (column - 0.5, row - 0.5)
            gray: dict[str, Any] = {
                "fc": "white",
                "ec": "#aaaaaa",
                "lw": 0,
                "hatch": HATCH,
            }
            ax.add_patch(Rectangle(corner, 1, 1, **gray))
    return ax


def _show(fig: Figure) -> None:
    """Send the picture with its words, once, then the words folded, for JupyterLab."""
    from IPython.core.pylabtools import print_figure
    from IPython.display import display

    words = describe(fig)
    if not fig.axes:
        display({"text/plain": words}, raw=True)
        return
    # Without the software's name the same picture is the same bytes at each run.
    png = _small(print_figure(fig, metadata={"Software": None}))
    alt = {"image/png": {"alt": words}}
    display(
        {"image/png": b64encode(png).decode(), "text/plain": words},
        raw=True,
        metadata=alt,
    )
    folded = f"<pre>{html.escape(words)}</pre>"
    folded = f"<details><summary>Figure in words</summary>{folded}</details>"
    display({"text/html": folded}, raw=True)
    if mpl.get_backend().endswith("inline"):
        plt.close(fig)  # or the end of the cell would show it a second time


def _small(png: bytes) -> bytes:
    """256 colours, each within 10 of 255 of the true one: a third of the bytes."""
    file = BytesIO()
    picture = Image.open(BytesIO(png)).convert("RGB")
    how = Image.Quantize.MAXCOVERAGE
    picture = picture.quantize(256, how, dither=Image.Dither.NONE)
    picture.save(file, "png", optimize=True)
    return file.getvalue()


def _register() -> None:
    """In IPython: a Figure shows itself with words; Axes leave that to their Figure."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        by_type = shell.display_formatter.ipython_display_formatter
        by_type.for_type(Figure, _show)
        by_type.for_type(Axes, lambda ax: None)


_register()
