"""Figures: their words hold the numbers, empty input is refused, one picture a cell."""

import base64
import json
import subprocess
import sys
from types import SimpleNamespace

import matplotlib as mpl
import nbformat
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from matplotlib.figure import Figure

mpl.use("agg")
import matplotlib.pyplot as plt

from mfcourse import plots

HOLED = pd.DataFrame(
    [[5, np.nan, 1], [4, 2, np.nan]],
    index=pd.Index(["Ana", "Ben"], name="user"),
    columns=pd.Index(["Rust", "Heist", "Hearts"], name="item"),
)
TABLE = pd.DataFrame(
    {"value": [1.05, 0.92], "low": [1.0, 0.9], "high": [1.1, np.nan]},
    index=["mean", "kNN"],
)
PAIRS = pd.DataFrame({"user": [9, 9, 9, 7], "item": ["a", "b", "c", "b"]})


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    plt.close("all")


def said(drawn) -> str:
    return plots.describe(drawn if isinstance(drawn, Figure) else drawn.figure)


def test_utility_matrix_says_each_rating_and_each_hole():
    ax = plots.utility_matrix(HOLED)
    assert said(ax).splitlines() == [
        "Plot: Utility matrix. x: item. y: user.",
        "  Image 2 × 3: n=4 missing=2 first=5 last=2 min=1 max=5 mean=3",
        "    columns: Rust, Heist, Hearts",
        "    Ana: 5, ?, 1",
        "    Ben: 4, 2, ?",
    ]
    written = sorted(text.get_text() for text in ax.texts)
    assert written == ["1", "2", "4", "5", "?", "?"]
    assert [patch.get_hatch() for patch in ax.patches] == [plots.HATCH] * 2


def test_holes_may_stay_blank():
    ax = plots.utility_matrix(HOLED, holes=False)
    assert "?" not in [text.get_text() for text in ax.texts]
    assert not ax.patches


def test_a_value_is_written_in_ink_that_stands_out():
    ax = plots.heatmap([[1.0, 0.0]], center=0)
    assert [text.get_color() for text in ax.texts] == ["white", "black"]


def test_heatmap_centers_its_shades_and_takes_names():
    ax = plots.heatmap([[0.5, -2.0]], ["Ana"], ["k=1", "k=2"], center=0)
    low, high = ax.images[0].get_clim()
    assert low == -high
    assert "    Ana: 0.5, -2" in said(ax)


@pytest.mark.parametrize("form", ["frame", "csr"])
def test_sparsity_sorts_by_activity_and_popularity(form):
    codes = [pd.factorize(PAIRS[c])[0] for c in ("user", "item")]
    csr = sp.csr_matrix((np.ones(4), (codes[0], codes[1])), shape=(2, 3))
    ax = plots.sparsity(PAIRS if form == "frame" else csr)
    filled = np.asarray(ax.images[0].get_array())
    assert (filled.sum(axis=1) == [3, 1]).all()
    assert (filled.sum(axis=0) == [2, 1, 1]).all()
    assert "2 users × 3 items, 66.67% rated" in said(ax)


def test_sparsity_of_a_large_matrix_shows_the_true_share_per_block():
    matrix = sp.random(1001, 2003, density=0.05, random_state=0, format="csr")
    filled = np.asarray(plots.sparsity(matrix).images[0].get_array())
    assert filled.shape == (160, 240)
    assert 0.049 < filled.mean() < 0.051
    assert (
        plots.sparsity(sp.csr_matrix(np.ones((500, 500)))).images[0].get_array().min()
        == 1
    )


def test_long_tail_says_what_the_top_holds():
    counts = pd.Series([1] * 9 + [91])
    words = said(plots.long_tail(counts, top=(0.1,), of="films"))
    assert "Note: top 10% (1) hold 91%" in words
    assert "Line films: x 1 to 10; y n=10 first=91 last=1 min=1 max=91 mean=10" in words
    assert "(log scale)" in words


def test_long_tail_counts_items_without_ratings():
    assert "top 50% (2) hold 100%" in said(plots.long_tail([3, 1, 0, 0], top=(0.5,)))


def test_histogram_says_each_bar():
    ax = plots.histogram([1, 1, 2, np.nan], [0.5, 1.5, 2.5], reference=1.5)
    assert "0.5 to 1.5: 2; 1.5 to 2.5: 1" in said(ax)
    assert "Line reference 1.5: upright at x 1.5" in said(ax)


def test_bars_and_intervals_say_each_row_in_order():
    words = said(plots.bars(pd.Series({"Drama": 12000, "Noir": np.nan, "War": -2})))
    assert "n=2 missing=1 first=12,000" in words
    assert "Drama 12,000; Noir ?; War -2" in words
    ax = plots.intervals(TABLE, reference=1)
    assert "mean 1.05 (1 to 1.1); kNN 0.92 (0.9 to 0.92)" in said(ax)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["mean", "kNN"]
    assert ax.yaxis_inverted()


def test_lines_are_named_at_their_ends_or_in_a_legend():
    frame = pd.DataFrame({"n": [1, 2], "far": [1.0, 9.0], "near": [1.0, 2.0]})
    ax = plots.lines(frame, "n", log_x=True, reference=3, ylabel="RMSE")
    assert {text.get_text() for text in ax.texts} == {"far", "near"}
    assert ax.get_legend() is None
    assert "Line far: x 1 to 2; y n=2 first=1 last=9" in said(ax)
    assert "Line reference 3: level at y 3" in said(ax)
    ax = plots.lines(frame.assign(far=2.01), "n")
    assert not ax.texts
    assert ax.get_legend() is not None


def test_lines_differ_without_colour():
    ax = plots.lines(pd.DataFrame(np.eye(4)))
    looks = {(line.get_marker(), line.get_linestyle()) for line in ax.lines}
    assert len(looks) == 4


def test_scatter_names_its_dots():
    ax = plots.scatter([1, 2, np.nan], [3, 5, 7], names=["a", "b", "c"])
    assert "Dots: x n=2 missing=1 first=1 last=2" in said(ax)
    assert [text.get_text() for text in ax.texts] == ["a", "b", "c"]


def test_maps_say_how_many_and_never_where():
    xy = np.arange(10.0).reshape(5, 2)
    groups = ["old", "new", "new", "old", "new"]
    kept = {"PCA: 0.2 kept": xy, "t-SNE: 0.5 kept": -xy}
    words = said(plots.maps(kept, groups, names={3: "Star Rust"}, title="Two maps"))
    assert words.splitlines() == [
        "Figure: Two maps.",
        *("Plot: PCA: 0.2 kept. x: no label. y: no label.",),
        *("  Dots old: n=2", "  Dots new: n=3", "  Note: Star Rust"),
        *("Plot: t-SNE: 0.5 kept. x: no label. y: no label.",),
        *("  Dots old: n=2", "  Dots new: n=3", "  Note: Star Rust"),
    ]
    elsewhere = {name: 7 * places**2 for name, places in kept.items()}
    again = plots.maps(elsewhere, groups, names={3: "Star Rust"}, title="Two maps")
    assert said(again) == words


def test_timeline_counts_what_each_split_holds_back():
    train = pd.DataFrame({"user": ["a", "a", "b"], "timestamp": [0, 86400, 86400 * 9]})
    test = train.iloc[[1]].assign(timestamp=86400 * 2)
    splits = {"random": (train, test), "temporal": (train, test[:0], test)}
    fig = plots.timeline(splits)
    words = said(fig)
    assert words.splitlines()[0] == "Figure: What each split holds back."
    assert "Dots train: from 1970-01-01 to 1970-01-10; 3 in rows a 2; b 1" in words
    assert "Dots test: from 1970-01-03 to 1970-01-03; 1 in rows a 1; b 0" in words
    assert len(plots.timeline(splits, n_users=1).axes[0].get_yticks()) == 1


def test_words_round_to_three_digits_and_know_no_minus_zero():
    words = said(plots.lines(pd.DataFrame({"e": [-0.0, 1 / 3]})))
    assert "first=0 last=0.333" in words


def test_a_foreign_figure_has_words_too():
    fig, ax = plt.subplots()
    assert said(fig) == "Plot: no title. x: no label. y: no label."
    ax.fill_between([0, 1], [1, 2])
    ax.errorbar([1, 2], [3, 4], yerr=0.5)
    ax.pcolormesh(np.eye(2))
    ax.bar(["a", "b"], [1, 2])
    ax.plot([], [])
    words = said(fig)
    for part in ("FillBetween", "Intervals: n=2 first=3", "QuadMesh", "Bars: n=2"):
        assert part in words
    assert plots.describe(Figure()) == "An empty figure."


NAN = [np.nan, np.nan]
REFUSED = {
    "utility_matrix": (lambda: plots.utility_matrix([NAN]), "all 2 cells are missing"),
    "too many cells": (lambda: plots.heatmap(np.ones((30, 30))), "plots.sparsity"),
    "long frame": (lambda: plots.utility_matrix(PAIRS), "Pivot first"),
    "sparsity": (lambda: plots.sparsity(PAIRS[:0]), "no rating to show"),
    "sparsity csr": (lambda: plots.sparsity(sp.csr_matrix((2, 2))), "no rating"),
    "long_tail": (lambda: plots.long_tail([0, 0]), "all 2 counts are zero"),
    "long_tail empty": (lambda: plots.long_tail([]), "no count to show: got 0"),
    "histogram": (lambda: plots.histogram(NAN), "got 2, none of them finite"),
    "bars": (lambda: plots.bars(pd.Series(NAN)), "no value to show"),
    "intervals": (lambda: plots.intervals(TABLE[:0]), "no value to show"),
    "intervals column": (
        lambda: plots.intervals(TABLE, low="lo"),
        r"no column 'lo'; found \['value', 'low', 'high'\]",
    ),
    "intervals order": (
        lambda: plots.intervals(TABLE.assign(low=2.0)),
        "row 'mean': the value 1.05 lies outside",
    ),
    "lines": (lambda: plots.lines(pd.DataFrame({"a": NAN})), "no value to show"),
    "scatter": (lambda: plots.scatter(NAN, [1, 2]), "no pair to show"),
    "scatter lengths": (lambda: plots.scatter([1], [1, 2]), "got 1 x, 2 y"),
    "scatter names": (lambda: plots.scatter([1], [2], names=[]), "and 0 names"),
    "maps": (lambda: plots.maps({}, []), "no map to show"),
    "maps shape": (
        lambda: plots.maps({"a": [[1, 2]]}, ["x", "y"]),
        "each of the 2 groups",
    ),
    "maps value": (
        lambda: plots.maps({"a": [[1, np.nan]]}, ["x"]),
        "two finite numbers",
    ),
    "timeline": (lambda: plots.timeline({}), "no split to show"),
    "timeline time": (lambda: plots.timeline({"r": (PAIRS, PAIRS)}), "'timestamp'"),
    "timeline empty": (
        lambda: plots.timeline({"r": (PAIRS.assign(timestamp=0)[:0],) * 2}),
        "the frames are empty",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_input_without_a_value_is_refused(case):
    call, match = REFUSED[case]
    with pytest.raises(ValueError, match=match):
        call()
    assert not plt.get_fignums(), "an empty figure was left behind"


SINGLE = {
    "utility_matrix": lambda ax: plots.utility_matrix([[3]], ax=ax),
    "heatmap": lambda ax: plots.heatmap([[0]], ax=ax),
    "heatmap blue": lambda ax: plots.heatmap([[0]], center=None, ax=ax),
    "sparsity": lambda ax: plots.sparsity(PAIRS[:1], ax=ax),
    "long_tail": lambda ax: plots.long_tail([1], ax=ax),
    "histogram": lambda ax: plots.histogram([1], ax=ax),
    "bars": lambda ax: plots.bars(pd.Series([1.0]), ax=ax),
    "intervals": lambda ax: plots.intervals(TABLE[:1], ax=ax),
    "lines": lambda ax: plots.lines(pd.DataFrame({"a": [1.0]}), ax=ax),
    "scatter": lambda ax: plots.scatter([1], [1], ax=ax),
}


@pytest.mark.parametrize("name", SINGLE)
def test_one_value_is_drawn_on_the_axes_given(name):
    before = dict(mpl.rcParams)
    fig, ax = plt.subplots()
    assert SINGLE[name](ax) is ax
    fig.canvas.draw()
    assert "n=1 first=" in said(ax) or name == "histogram"
    assert dict(mpl.rcParams) == before


def test_a_figure_is_sent_with_picture_words_and_folded_words(monkeypatch):
    sent = []
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: sent.append((a, k)))
    for fig in (plots.histogram([1, 2], title="a<b").figure, Figure()):
        plots._show(fig)
    ((picture,), how), ((folded,), _), ((empty,), _) = sent
    assert base64.b64decode(picture["image/png"]).startswith(b"\x89PNG")
    assert picture["text/plain"] == how["metadata"]["image/png"]["alt"]
    assert "a&lt;b" in folded["text/html"]
    assert empty == {"text/plain": "An empty figure."}


def test_the_same_picture_is_the_same_bytes(monkeypatch):
    sent = []
    monkeypatch.setattr("IPython.display.display", lambda data, **_: sent.append(data))
    for _ in range(2):
        plots._show(plots.bars(pd.Series([1.0, 2.0])).figure)
    assert sent[0] == sent[2]


def test_only_a_running_ipython_is_told_of_figures(monkeypatch):
    import IPython

    told = {}
    formatter = SimpleNamespace(for_type=told.__setitem__)
    display = SimpleNamespace(ipython_display_formatter=formatter)
    shell = SimpleNamespace(display_formatter=display)
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    plots._register()
    assert told[Figure] is plots._show
    assert told[plt.Axes](None) is None
    monkeypatch.setattr(IPython, "get_ipython", lambda: None)
    told.clear()
    plots._register()
    assert not told


IN_A_KERNEL = """
import numpy as np
from mfcourse import plots
plots.histogram([1, 2, 2], title="a<b")
---
ax = plots.scatter(np.arange(2000), np.random.default_rng(0).normal(size=2000))
ax.figure
---
import matplotlib.pyplot as plt
plt.figure();
"""


def test_in_a_notebook_a_figure_shows_once_with_its_words(tmp_path):
    cells = [nbformat.v4.new_code_cell(c) for c in IN_A_KERNEL.split("---\n")]
    path = tmp_path / "figures.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute"]
    subprocess.run([*command, "--inplace", str(path)], check=True, capture_output=True)
    first, second, empty = (c["outputs"] for c in json.loads(path.read_text())["cells"])
    for outputs in (first, second):
        assert [o["output_type"] for o in outputs] == ["display_data"] * 2
        picture, words = outputs
        text = "".join(picture["data"]["text/plain"])
        assert text.startswith("Plot: ")
        assert picture["metadata"]["image/png"]["alt"] == text
        assert len(picture["data"]["image/png"]) * 3 / 4 < 60_000
        assert "".join(words["data"]["text/html"]).startswith("<details>")
    assert "a&lt;b" in "".join(first[1]["data"]["text/html"])
    # The reader's own figures still show after ours.
    assert ["".join(o["data"]["text/plain"]) for o in empty] == ["An empty figure."]
