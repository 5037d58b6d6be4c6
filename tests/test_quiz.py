"""The quick check: marks in Python, tells nothing before it is asked, and keeps."""

import json
import random

import pytest

from mfcourse.learn import bank, progress, quiz

LESSONS = sorted(path.stem for path in bank.QUESTIONS.glob("[0-9][0-9].txt"))


@pytest.fixture
def log(tmp_path, monkeypatch):
    """A log of its own, that is written."""
    monkeypatch.setenv("MFCOURSE_HOME", str(tmp_path))
    monkeypatch.setenv("MFCOURSE_RECORD", "1")
    return tmp_path


def places(lesson: str, seed: int = 0) -> list[int]:
    """Where each right choice stands."""
    right = [{c.text for c in q.choices if c.right} for q in bank.lesson(lesson)]
    shown = quiz(lesson, seed).questions
    pairs = zip(shown, right, strict=True)
    return [choices.index(*texts) for (_, choices), texts in pairs]


def press(widget, question: int, choice: int) -> None:
    """What the front end sends on a click; both count from 0."""
    widget._handle_custom_msg({"question": question, "choice": choice}, [])


def sent(widget) -> str:
    """All that the front end knows, without the scripts."""
    state = {k: v for k, v in widget.get_state().items() if k not in ("_esm", "_css")}
    return json.dumps(state, default=str, ensure_ascii=False)


@pytest.mark.parametrize("lesson", LESSONS)
def test_text_and_widget_show_the_same_shuffled_choices(lesson):
    widget = quiz(lesson)
    told = repr(widget)
    for number, (question, (text, choices)) in enumerate(
        zip(bank.lesson(lesson), widget.questions, strict=True), 1
    ):
        assert text == question.text
        assert f"\n{number}. {text}\n" in told
        assert sorted(choices) == sorted(choice.text for choice in question.choices)
        for letter, choice in zip("abc", choices, strict=True):
            assert f"   {letter}. {choice}\n" in told
        again = [choice.text for choice in question.choices]
        random.Random(f"{lesson}.{number}.0").shuffle(again)
        assert choices == again
    assert told.endswith(f'q = learn.quiz("{lesson}"), then q.answer(1, "b")')


def test_the_seed_decides_the_order_and_no_lesson_has_one_letter_throughout():
    assert quiz("01", 3).questions == quiz("01", 3).questions
    assert len({json.dumps(quiz("01", seed).questions) for seed in range(9)}) > 3
    assert all(len(set(places(lesson))) > 1 for lesson in LESSONS)


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_front_end_hears_only_what_it_asked_for(lesson):
    widget = quiz(lesson)
    whys = [choice.why for q in bank.lesson(lesson) for choice in q.choices]
    assert not any(why in sent(widget) for why in whys)
    assert "right" not in sent(widget).split('"questions"')[0]
    wrong = (places(lesson)[0] + 1) % 3
    press(widget, 0, wrong)
    assert sum(why in sent(widget) for why in whys) == 1


def test_a_wrong_answer_may_be_tried_again():
    widget, at = quiz("01"), places("01")[0]
    wrong = (at + 1) % 3
    press(widget, 0, wrong)
    assert widget.marks[0]["right"] is False
    assert widget.marks[0]["said"] == f"✗ {'abc'[wrong]}, not so."
    press(widget, 0, at)
    assert widget.marks[0]["right"] is True
    assert widget.marks[0]["tried"] == sorted([wrong, at])
    assert widget.marks[1:] == [{}, {}]


def test_answer_works_without_a_front_end():
    widget, at = quiz("02"), places("02")[1]
    said = widget.answer(2, "abc"[at])
    why = next(c.why for c in bank.lesson("02")[1].choices if c.right)
    assert said == repr(said) == f"✓ {'abc'[at]}, right. {why}"
    assert widget.marks[1]["right"]


@pytest.mark.parametrize(
    ("number", "letter", "words"),
    [
        (0, "a", "no question 0; there are 1, 2, 3"),
        (4, "a", "no question 4"),
        ("1", "a", "no question '1'"),
        (1, "d", "no choice 'd'; there are a, b, c"),
        (1, "ab", "no choice 'ab'"),
        (1, "", "no choice ''"),
        (1, 2, "no choice '2'"),
    ],
)
def test_a_number_or_letter_that_is_not_there(number, letter, words):
    with pytest.raises(ValueError, match=words):
        quiz("01").answer(number, letter)


def test_answers_are_kept_and_shown_again(log):
    widget, at = quiz("01"), places("01")
    assert progress.events() == []
    press(widget, 1, (at[1] + 1) % 3)
    press(widget, 1, at[1])
    widget.answer(3, "abc"[(at[2] + 1) % 3])
    told = [(e.subject, e.data["right"]) for e in progress.events("answer")]
    assert told == [("01.2", False), ("01.2", True), ("01.3", False)]
    choice = progress.events("answer")[1].data["choice"]
    assert choice == widget.questions[1][1][at[1]]
    again = quiz("01")
    assert again.marks == widget.marks
    assert quiz("02").marks == [{}, {}, {}]
    assert len(progress.events()) == 3
    assert quiz("01", seed=4).marks[1]["right"]


def test_a_choice_that_was_reworded_is_forgotten(log):
    progress.record("answer", "01.1", choice="no such text", right=True)
    progress.record("answer", "01.9", choice="unknown", right=True)
    assert quiz("01").marks == [{}, {}, {}]


def test_nothing_is_kept_or_shown_where_recording_is_off(log, monkeypatch):
    press(quiz("01"), 0, places("01")[0])
    monkeypatch.setenv("MFCOURSE_RECORD", "0")
    widget = quiz("01")
    assert widget.marks == [{}, {}, {}]
    press(widget, 1, 0)
    monkeypatch.setenv("MFCOURSE_RECORD", "1")
    assert len(progress.events()) == 1


def test_trouble_with_the_log_is_shown_and_the_answer_is_still_marked(monkeypatch):
    monkeypatch.setattr(progress, "record", lambda *_, **__: "The disk is full.")
    widget = quiz("01")
    assert "The disk is full." in widget.answer(1, "a")
    assert widget.notice == "The disk is full."
    assert widget.marks[0]
