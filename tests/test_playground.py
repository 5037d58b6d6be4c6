"""Playgrounds: what the sliders may be, one picture a move, and nothing left open."""

import io

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mfcourse import plots
from mfcourse.learn import playground, progress

mpl.use("agg")
PNG = b"\x89PNG"


def curve(k=3, reg=0.1, kind="b", noise=False):
    x = np.arange(1, 6)
    frame = pd.DataFrame({"error": k * x + reg + noise}, index=x)
    return plots.lines(frame, title=f"Kind {kind}", ylabel="RMSE")


def play(draw=curve, **sliders):
    return playground(draw, lesson="01", **sliders)


def move(widget, *at) -> None:
    """What the front end sends when a slider stops."""
    widget._handle_custom_msg({"at": list(at)}, [])


@pytest.fixture
def log(tmp_path, monkeypatch):
    """A log of its own, that is written."""
    monkeypatch.setenv("MFCOURSE_HOME", str(tmp_path))
    monkeypatch.setenv("MFCOURSE_RECORD", "1")


def test_a_picture_and_its_words_are_there_at_once():
    widget = play(k=(1, 8))
    data, metadata = widget._repr_mimebundle_()
    ax = curve()
    words = f"Playground: k = 3\n{plots.describe(ax.figure)}"
    plt.close(ax.figure)
    assert data["text/plain"] == repr(widget) == words
    assert data["image/png"].startswith("iVBOR")
    assert metadata["image/png"]["alt"] == words
    assert widget.picture.startswith(PNG)


def test_sliders_start_at_the_defaults_of_the_function():
    widget = play(
        k=(1, 8), reg=[0, 0.1, 1], kind=["a", "b"], noise=True, labels={"reg": "λ"}
    )
    assert widget.controls == [
        ["k", "range", list("12345678"), 2],
        ["λ", "range", ["0", "0.1", "1"], 1],
        ["kind", "list", ["a", "b"], 1],
        ["noise", "box", ["False", "True"], 0],
    ]
    assert widget.at == [2, 1, 1, 0]
    assert repr(widget).startswith(
        "Playground: k = 3, λ = 0.1, kind = b, noise = False"
    )


@pytest.mark.parametrize(
    ("given", "texts", "start"),
    [
        ((1, 4), ["1", "2", "3", "4"], 1),
        ((0, 10, 5), ["0", "5", "10"], 1),
        ((0.0, 0.4, 0.1), ["0", "0.1", "0.2", "0.3", "0.4"], 2),
        ((0, 1, 0.5), ["0", "0.5", "1"], 1),
        ([1, 10, 100, 1000], ["1", "10", "100", "1,000"], 1),
    ],
)
def test_values_of_a_slider_and_the_middle_where_there_is_no_default(
    given, texts, start
):
    widget = play(lambda x: curve(k=x), x=given)
    assert widget.controls == [["x", "range", texts, start]]


def test_a_range_of_floats_has_twenty_steps():
    ((_, _, texts, _),) = play(reg=(0.0, 2.0)).controls
    assert (texts[:3], len(texts)) == (["0", "0.1", "0.2"], 21)


@pytest.mark.parametrize(
    ("sliders", "words"),
    [
        ({}, "no slider; add one"),
        ({"q": (1, 2)}, r"takes no \['q'\]; it takes \['k', 'reg', 'kind', 'noise'\]"),
        ({"k": 3}, r"slider k: expected \(low, high\)"),
        ({"k": [3]}, "slider k: expected"),
        ({"k": (3, 3)}, "slider k: expected"),
        ({"k": (1, 8, 0)}, "slider k: expected"),
        ({"k": (8, 1)}, "slider k: expected"),
        ({"k": (1, 9_999)}, "slider k: expected"),
        ({"k": (1,)}, "slider k: expected"),
        ({"k": (5, 8)}, "k = 3 is none of the slider's values: 5, 6, 7, 8"),
        ({"k": (5, 99)}, "k = 3 is none of the slider's values: 5, 6, 7, …, 99"),
    ],
)
def test_sliders_that_do_not_fit(sliders, words):
    with pytest.raises(ValueError, match=words):
        play(**sliders)


def test_a_move_draws_anew():
    widget = play(k=(1, 8), reg=[0, 0.1])
    before = widget.picture
    move(widget, 7, 0)
    assert widget.picture != before
    assert "k = 8, reg = 0\n" in repr(widget)
    assert "max=40" in widget.words
    move(widget, 2, 1)
    assert widget.picture == before


def test_set_draws_where_widgets_do_not_run():
    widget = play(k=(1, 8), reg=(0.0, 1.0, 0.1))
    assert widget.set(k=8) is widget
    assert "k = 8, reg = 0.1" in repr(widget)
    assert "reg = 0.3" in repr(widget.set(reg=0.1 + 0.2))
    with pytest.raises(
        ValueError, match=r"no slider \['q'\]; there are \['k', 'reg'\]"
    ):
        widget.set(q=1)
    with pytest.raises(ValueError, match="k = 9 is none of the slider's values"):
        widget.set(k=9)


def test_an_error_is_told_and_the_last_picture_stays():
    def draw(k=2):
        ax = curve(k)
        if k == 3:
            raise RuntimeError("three is <b>odd</b>")
        return ax

    widget = play(draw, k=(1, 3))
    before = widget.picture
    move(widget, 2)
    assert widget.trouble == "RuntimeError: three is <b>odd</b>"
    assert (widget.picture, widget.drawn) == (before, 1)
    assert plt.get_fignums() == []
    move(widget, 0)
    assert (widget.trouble, widget.drawn) == ("", 2)


def test_what_is_no_figure_is_an_error():
    with pytest.raises(TypeError, match="must return a Figure or Axes; got None"):
        play(lambda k=1: None, k=(1, 3))


@pytest.mark.parametrize(
    "draw",
    [
        lambda k=2: plt.subplots()[0],
        lambda k=2: plt.figure(layout="constrained").add_subplot(title=f"{k}"),
        lambda k=2: [curve(), curve(k)][1],
    ],
)
def test_figures_and_axes_are_drawn_and_closed_and_others_stay_open(draw):
    plt.close("all")
    mine = plt.figure()
    widget = play(draw, k=(1, 8))
    move(widget, 5)
    assert widget.picture.startswith(PNG)
    assert plt.get_fignums() == [mine.number]
    plt.close(mine)


def test_pictures_keep_their_size_whatever_the_labels():
    sizes = set()
    for k in (1, 100_000):
        widget = play(lambda k=1: curve(k), k=[1, 100_000]).set(k=k)
        sizes.add(widget.picture[16:24])  # width and height in the header of a PNG
    assert len(sizes) == 1


def test_long_names_are_not_cut_off():
    rows = pd.Series([1, 2], index=["The Long Name of a Film, Part One", "Two"])
    widget = play(lambda k=1: plots.bars(k * rows), k=(1, 8))
    pixels = np.asarray(Image.open(io.BytesIO(widget.picture)).convert("L"))
    edges = [pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]
    assert min(edge.min() for edge in edges) == 255


def test_the_first_move_is_recorded_and_running_the_cell_is_not(log):
    widget = play(k=(1, 8))
    widget.set(k=4)
    assert progress.events() == []
    move(widget, 5)
    move(widget, 6)
    move(play(k=(1, 8)), 6)
    assert [(e.kind, e.subject) for e in progress.events()] == [("played", "01")]


def test_trouble_with_the_log_is_shown(monkeypatch):
    monkeypatch.setattr(progress, "record", lambda *_, **__: "The disk is full.")
    widget = play(k=(1, 8))
    move(widget, 5)
    assert widget.notice == "The disk is full."
