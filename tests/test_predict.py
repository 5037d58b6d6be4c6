"""Predictions: kept until the answer is known, then set beside it."""

import json

import pytest

from mfcourse.learn import _predict, predict, progress, reveal

RATES = [0.001, 0.01, 0.1]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    monkeypatch.setattr(_predict, "_asked", {})


@pytest.fixture
def log(tmp_path, monkeypatch):
    """A log of its own, that is written."""
    monkeypatch.setenv("MFCOURSE_HOME", str(tmp_path))
    monkeypatch.setenv("MFCOURSE_RECORD", "1")


def press(widget, **content) -> None:
    widget._handle_custom_msg(content, [])


def test_the_question_reads_well_as_text():
    assert repr(predict("r", "Which γ?", RATES)) == (
        "Predict: Which γ?\n  · 0.001\n  · 0.01\n  · 0.1"
    )
    share = predict("s", "Which share?", unit="%")
    assert repr(share) == "Predict: Which share?\n  · a number, in %"


def test_without_a_prediction_the_answer_is_told():
    predict("r", "Which γ?", RATES)
    shown = reveal("r", 0.01, "Larger ones overshoot.")
    words = "No prediction was made. The answer: 0.01. Larger ones overshoot."
    assert repr(shown) == words
    assert not _predict._asked["r"].revealed  # so that one may still try


def test_right_and_not_so():
    widget = predict("r", "Which γ?", RATES)
    press(widget, at=0)
    press(widget, at=2)
    assert widget.chosen == "0.1"
    assert repr(reveal("r", 0.1)) == "✓ You predicted 0.1; it is 0.1: right."
    assert repr(reveal("r", 0.01)) == "✗ You predicted 0.1; it is 0.01: not so."


def test_after_the_answer_the_prediction_stands():
    widget = predict("r", "Which?", ["A", "B"])
    press(widget, at=0)
    reveal("r", "B")
    assert widget.revealed
    press(widget, at=1)
    assert widget.chosen == "A"
    with pytest.raises(ValueError, match="the answer is known"):
        widget.choose("B")
    again = predict("r", "Which?", ["A", "B"])  # the cell was run once more
    assert (again.chosen, again.revealed) == ("A", False)
    again.choose("B")
    assert "You predicted B; it is B: right." in repr(reveal("r", "B"))


@pytest.mark.parametrize(
    ("told", "within", "words"),
    [
        (50, "10%", "✓ You predicted 50 %; it is 50 %: right."),
        (46, "10%", "✓ You predicted 46 %; it is 50 %: 4 away, near."),
        (44, "10%", "✗ You predicted 44 %; it is 50 %: 6 away, not near."),
        (44, 6, "✓ You predicted 44 %; it is 50 %: 6 away, near."),
        (43.5, 6, "✗ You predicted 43.5 %; it is 50 %: 6.5 away, not near."),
    ],
)
def test_a_number_is_told_how_near_it_is(told, within, words):
    press(predict("s", "Which share?", unit="%"), value=told)
    assert repr(reveal("s", 50, within=within)) == words


def test_a_negative_answer_has_a_reach_too():
    predict("s", "How much?").choose(-9.5)
    assert "near" in repr(reveal("s", -10.0))
    assert "not near" not in repr(reveal("s", -10.0))


def test_nothing_is_believed_to_be_html():
    press(predict("r", "<b>?", ["<i>", "B"]), at=0)
    shown = reveal("r", "B", "<u>")._repr_html_()
    assert "&lt;i&gt;" in shown
    assert "&lt;u&gt;" in shown


@pytest.mark.parametrize("value", ["C", None, 1])
def test_a_choice_that_is_not_there(value):
    widget = predict("r", "Which?", ["A", "B"])
    with pytest.raises(ValueError, match=r"no answer here; choose one of \['A', 'B'\]"):
        widget.choose(value)


@pytest.mark.parametrize("value", ["3", None, float("nan"), float("inf"), True])
def test_what_is_no_number(value):
    widget = predict("s", "How much?")
    with pytest.raises(ValueError, match="no answer here; choose a number"):
        widget.choose(value)
    press(widget, value=value)
    assert widget.chosen == ""


def test_mistakes_of_who_asks():
    with pytest.raises(ValueError, match="two or more different choices"):
        predict("r", "Which?", ["A"])
    with pytest.raises(ValueError, match="two or more different choices"):
        predict("r", "Which?", ["A", "A"])
    with pytest.raises(ValueError, match="nothing was asked as 'x'; there is none so"):
        reveal("x", 1)
    predict("r", "Which?", ["A", "B"])
    with pytest.raises(ValueError, match="asked as 'x'; there is 'r'"):
        reveal("x", 1)
    with pytest.raises(ValueError, match=r"answer 'C' to 'r' must be one of \['A'"):
        reveal("r", "C")
    predict("s", "How much?")
    with pytest.raises(ValueError, match="answer 'C' to 's' must be a number"):
        reveal("s", "C")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3, "3"),
        (12_345, "12,345"),
        (12_345.6, "12,346"),
        (0.123456, "0.1235"),
        (1e-5, "1e-05"),
        (True, "True"),
        ("a", "a"),
    ],
)
def test_values_as_a_reader_likes_them(value, words):
    assert _predict.say(value) == words


def test_the_first_prediction_is_kept_and_shown_in_another_session(log, monkeypatch):
    widget = predict("r", "Which γ?", RATES)
    widget.choose(0.001)  # in a cell: not written down
    reveal("r", 0.1)
    assert progress.events() == []
    press(predict("r", "Which γ?", RATES), at=1)
    press(predict("r", "Which γ?", RATES), at=2)
    press(predict("s", "How much?"), value=4.5)
    told = [(e.kind, e.subject, e.data) for e in progress.events()]
    assert told == [
        ("predicted", "r", {"choice": "0.01"}),
        ("predicted", "s", {"choice": 4.5}),
    ]
    monkeypatch.setattr(_predict, "_asked", {})
    assert predict("r", "Which γ?", RATES).value == 0.01
    assert predict("s", "How much?").value == 4.5
    assert predict("r", "Which γ?", [1, 2]).value is None
    monkeypatch.setattr(_predict, "_asked", {})
    monkeypatch.setenv("MFCOURSE_RECORD", "0")
    assert predict("r", "Which γ?", RATES).value is None


def test_trouble_with_the_log_is_shown(monkeypatch):
    monkeypatch.setattr(progress, "record", lambda *_, **__: "The disk is full.")
    widget = predict("r", "Which γ?", RATES)
    press(widget, at=1)
    assert (widget.notice, widget.chosen) == ("The disk is full.", "0.01")


def test_the_answer_stays_in_python():
    widget = predict("r", "Which?", ["A", "B"])
    press(widget, at=0)
    before = widget.get_state()
    reveal("r", "B", "Because.")
    changed = {k for k, v in widget.get_state().items() if v != before[k]}
    assert changed == {"revealed"}
    assert json.dumps(widget.choices)
