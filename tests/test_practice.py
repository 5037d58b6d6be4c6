"""The deck and its widget: SM-2, what is asked when, what is kept, what is true."""

import html
import io
import json
import re
from contextlib import redirect_stdout
from datetime import date, timedelta
from fractions import Fraction
from math import ceil

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfcourse import learn
from mfcourse.learn import _practice, bank, practice, progress
from mfcourse.learn._practice import GRADES, Memory, review
from tests.conftest import ROOT
from tests.test_lessons import sections

DECK = bank.deck()
BY_ID = {card.about["id"]: card for card in DECK}
SHOWN = [card for card in DECK if "demo" in card.about]
DAY = date(2026, 1, 5)


class Clock:
    """A date that a test moves."""

    def __init__(self):
        self.day = DAY

    def __call__(self):
        return self.day


@pytest.fixture
def log(tmp_path, monkeypatch):
    """A log of its own, that is written."""
    monkeypatch.setenv("MFCOURSE_HOME", str(tmp_path))
    monkeypatch.setenv("MFCOURSE_RECORD", "1")


@pytest.fixture
def today():
    return Clock()


def ids(cards):
    return [card.about["id"] for card in cards]


def press(widget, **content):
    """What the front end sends."""
    widget._handle_custom_msg(content, [])


def answer(widget, grade):
    """Unfold and grade the card that is asked; its id."""
    name = widget.shown["id"]
    widget.unfold()
    widget.grade(grade)
    return name


# ---- The deck ------------------------------------------------------------------------


def test_the_deck_is_as_large_and_wide_as_promised():
    assert len(DECK) >= 40
    assert len(SHOWN) >= 12
    topics = {card.about["topic"] for card in DECK}
    assert len(topics) >= 9
    for topic in topics:
        assert len([c for c in DECK if c.about["topic"] == topic]) >= 4
    for level in bank.LEVELS:
        assert len([c for c in DECK if c.about["level"] == level]) >= 10


def test_what_the_course_promises_to_ask():
    asked = {
        "product": "What does the product U[u]·V[i] mean?",
        "zeros": "Why is 0 for a missing rating wrong?",
        "plays": "Billions of plays, no stars. Which solver?",
        "pca-limits": "Where does PCA fail?",
        "tsne-umap": "t-SNE, UMAP or PCA: when which?",
        "curse": "What is the curse of dimensionality?",
        "svm": "What does a support vector machine do?",
        "kernel": "What is the kernel trick?",
    }
    assert {name: BY_ID[name].text for name in asked} == asked


@pytest.mark.parametrize("card", DECK, ids=ids(DECK))
def test_an_answer_is_short_names_its_trap_and_its_source(card):
    assert card.text.endswith((".", "?"))
    assert 60 <= len(card.answer.split()) <= 120
    assert card.answer.count(" Trap: ") == 1
    source = card.about["source"]
    ours = re.fullmatch(r"lesson (\d\d), (.+)", source)
    if not ours:
        assert re.search(r'[A-Z]\. \w.*"[^"]{9,}".*\b(19|20)\d\d\b', source)
    for path in (ROOT / "notebooks").glob(f"{ours[1]}_*.ipynb") if ours else ():
        assert ours[2] in sections(nbformat.read(path, as_version=4))


@pytest.mark.parametrize("card", SHOWN, ids=ids(SHOWN))
def test_a_demonstration_is_short_and_prints_what_the_card_says(card):
    code = card.about["demo"]
    lines = code.splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 15
    assert max(map(len, lines)) <= 88
    said = io.StringIO()
    with redirect_stdout(said):
        learn.demonstrate(card.about["id"])
    assert said.getvalue() == f"{code}\n\n{card.about['prints']}\n"


def numbers(text):
    """What a reader may want to check: percentages, decimals, three digits or more."""
    text = re.sub(r"(?<=\d)[,_](?=\d{3})", "", text).replace(" %", "%")
    return re.findall(r"\d+(?:\.\d+)?%|\d+\.\d+|\d{3,}", text)


@pytest.mark.parametrize("card", DECK, ids=ids(DECK))
def test_each_number_of_an_answer_can_be_checked(card):
    shown = numbers(card.about.get("demo", "") + "\n" + card.about.get("prints", ""))
    asked = numbers(card.text)
    told = [n for n in numbers(card.answer) if n not in asked]
    assert all(any(n in other for other in shown) for n in told), told


def test_a_number_that_nothing_shows_is_seen():
    text = "1,000 dimensions, 90 %, λ = 0.5, 2 of 32"
    assert numbers(text) == ["1000", "90%", "0.5"]
    assert numbers("(2_000, 4)") == ["2000"]


def test_demonstrate_names_what_there_is():
    with pytest.raises(ValueError, match=r"no program 'split'; there are product, "):
        learn.demonstrate("split")


# ---- SM-2 ----------------------------------------------------------------------------


def plain_sm2(qualities):
    """Days until the next session after each, as Woźniak's steps say it; and the ease.

    Every session is held on its day. Exact fractions, so that rounding up is exact.
    """
    ease, n, interval, days = Fraction(5, 2), 0, 0, []
    for q in qualities:
        if q < 3:
            n, interval = 1, 1
        else:
            n += 1
            interval = 1 if n == 1 else 6 if n == 2 else ceil(interval * ease)
            lost = (5 - q) * (Fraction(8, 100) + (5 - q) * Fraction(2, 100))
            ease = max(Fraction(13, 10), ease + Fraction(1, 10) - lost)
        days.append(interval)
    return days, ease


@given(st.lists(st.sampled_from(list(GRADES)), min_size=1, max_size=9))
def test_the_schedule_is_that_of_the_plain_steps(grades):
    day, memory, days = DAY, None, []
    for grade in grades:
        memory = review(memory, grade, day)
        days.append((memory.due - day).days)
        day = memory.due
    expected, ease = plain_sm2([GRADES[grade] for grade in grades])
    assert memory.ease == pytest.approx(float(ease))
    assert days == expected


def test_the_schedule_by_hand():
    memory = review(None, "good", DAY)
    assert memory == Memory(DAY, DAY + timedelta(1), 2.5, 1, 1)
    memory = review(memory, "good", memory.due)
    assert (memory.days, memory.row) == (6, 2)
    memory = review(memory, "easy", memory.due)
    assert (memory.days, memory.ease) == (15, 2.6)
    memory = review(memory, "again", memory.due)
    assert (memory.days, memory.ease, memory.row) == (1, 2.6, 1)
    assert review(memory, "good", memory.due).days == 6
    for _ in range(12):
        memory = review(memory, "hard", memory.due)
    assert memory.ease == 1.3


@given(st.sampled_from(list(GRADES)), st.integers(0, 5))
def test_an_answer_before_the_day_moves_only_what_is_asked_today(grade, early):
    memory = Memory(DAY, DAY + timedelta(6), 2.2, 6, 2)
    day = DAY + timedelta(early)
    after = review(memory, grade, day)
    assert after == Memory(day, memory.due, 2.2, 6, 2, again=GRADES[grade] < 4)
    assert after.asks(day) == (GRADES[grade] < 4)
    assert not after.asks(day + timedelta(1)) or early == 5


# ---- What is asked -------------------------------------------------------------------


def test_new_cards_come_by_level_each_once(today):
    widget = practice(today=today)
    asked = [answer(widget, "good") for _ in DECK]
    assert sorted(asked) == sorted(BY_ID)
    levels = [BY_ID[name].about["level"] for name in asked]
    assert levels == sorted(levels)
    assert widget.shown["counts"] == [0, 0, len(DECK)]
    assert widget.shown["rest"] == f"Nothing is due. Next: {len(DECK)} cards tomorrow."
    with pytest.raises(ValueError, match=r"no card is asked\. Nothing is due"):
        widget.unfold()


def test_the_seed_and_the_day_decide_the_order(today):
    first = practice(seed=1, today=today)._queue
    assert practice(seed=1, today=today)._queue == first
    assert practice(seed=2, today=today)._queue != first
    today.day += timedelta(1)
    assert practice(seed=1, today=today)._queue != first


def test_what_was_not_known_comes_back_after_five_others(today):
    widget = practice(today=today)
    failed = answer(widget, "hard")
    assert widget.shown["counts"] == [1, len(DECK) - 1, 0]
    others = [answer(widget, "good") for _ in range(5)]
    assert failed not in others
    assert widget.shown["id"] == failed
    answer(widget, "again")
    others = [answer(widget, "easy") for _ in range(5)]
    assert widget.shown["id"] == failed
    answer(widget, "good")
    assert widget.shown["counts"] == [0, len(DECK) - 11, 11]


def test_one_card_left_is_asked_until_it_is_known(today):
    widget = practice("neighbours", 1, today=today)
    assert len(widget._names) == 1
    turn = widget.shown["turn"]
    answer(widget, "again")
    assert widget.shown["turn"] == turn + 1
    assert "answer" not in widget.shown
    answer(widget, "good")
    assert widget.shown["rest"] == "Nothing is due. Next: 1 card tomorrow."


def test_the_next_session_asks_what_is_due_first(log, today):
    widget = practice(today=today)
    known = answer(widget, "good")
    failed = answer(widget, "again")
    today.day += timedelta(1)
    widget = practice(today=today)
    assert widget.shown["counts"] == [2, len(DECK) - 2, 0]
    assert {answer(widget, "easy"), answer(widget, "easy")} == {known, failed}
    assert widget.shown["level"] == "1"
    today.day += timedelta(5)
    assert practice(today=today).shown["counts"][0] == 0
    today.day += timedelta(1)
    assert practice(today=today).shown["counts"][0] == 2
    today.day += timedelta(30)
    assert practice(today=today).shown["id"] in (known, failed)


def test_topic_and_level_choose(today):
    widget = practice("evaluation", today=today)
    assert {BY_ID[n].about["topic"] for n in widget._names} == {"evaluation"}
    widget.choose(level=3)
    assert {BY_ID[n].about["level"] for n in widget._names} == {"3"}
    press(widget, topic=1, level=2)
    assert widget.shown["chosen"] == ["foundations", 2]
    press(widget, topic=99, level=2)
    press(widget, topic=True, level=None)
    assert widget.shown["chosen"] == ["foundations", 2]
    with pytest.raises(ValueError, match="no topic 'x'; there are foundations, "):
        practice("x")
    with pytest.raises(ValueError, match="no level 4; there are 1, 2, 3"):
        practice(level=4)
    with pytest.raises(ValueError, match="no level '2'"):
        practice(level="2")
    with pytest.raises(ValueError, match="no topic None"):
        practice(None)


# ---- The widget ----------------------------------------------------------------------


def sent(widget):
    """All that the front end knows, without the scripts."""
    state = {k: v for k, v in widget.get_state().items() if k not in ("_esm", "_css")}
    return json.dumps(state, default=str, ensure_ascii=False)


def test_the_front_end_hears_the_answer_once_it_asks(today):
    widget = practice("dimensionality", 1, today=today)
    card = BY_ID[widget.shown["id"]]
    assert card.answer not in sent(widget)
    press(widget, unfold=True, id="product")
    press(widget, grade="good", id=card.about["id"])
    assert card.answer not in sent(widget)
    press(widget, unfold=True, id=card.about["id"])
    assert widget.shown["answer"] == card.answer
    assert widget.shown["source"] == card.about["source"]
    assert widget.shown["prints"] == card.about["prints"]
    assert widget.shown["grades"] == [
        ("again", "again today"),
        ("hard", "again today"),
        ("good", "tomorrow"),
        ("easy", "tomorrow"),
    ]
    press(widget, grade="perfect", id=card.about["id"])
    press(widget, grade=["good"], id=card.about["id"])
    assert widget.shown["answer"]
    press(widget, grade="good", id=card.about["id"])
    assert widget.shown["counts"] == [0, 0, 1]


def test_a_session_without_a_front_end(today):
    widget = practice("neighbours", today=today)
    with pytest.raises(ValueError, match="not seen yet; unfold"):
        widget.grade("good")
    told = repr(widget.unfold())
    card = BY_ID[widget.shown["id"]]
    assert told.startswith(f"{card.answer}\nSource: {card.about['source']}")
    with pytest.raises(ValueError, match="no grade 'best'; there are again, hard, "):
        widget.grade("best")
    assert widget.grade("good").strip() == widget.shown["question"]


def test_all_cards_can_be_read_where_widgets_do_not_run(today):
    data, _ = practice(today=today)._repr_mimebundle_()
    page, text = data["text/html"], data["text/plain"]
    assert page.count("<details>") == page.count("</details>") == len(DECK)
    plain = html.unescape(re.sub(r"<[^>]+>", "", page)).replace("\n", " ")
    for card in DECK:
        assert f"{card.text} [{card.about['id']}]" in text
        assert card.text in plain
        assert card.answer in plain
        assert html.escape(card.about.get("demo", "")) in page
    order = [text.index(f"[{card.about['id']}]") for card in DECK]
    assert order == sorted(order)
    assert 'learn.demonstrate("product")' in text
    assert "<b>" not in _practice._page([bank.Question("<b>", (), "", DECK[0].about)])


def test_grades_are_kept_by_day_and_read_again(log, today):
    widget = practice(today=today)
    name = answer(widget, "easy")
    (event,) = progress.events("practised")
    assert (event.subject, event.data) == (name, {"grade": "easy", "day": "2026-01-05"})
    assert practice(today=today)._memories == widget._memories


def test_events_that_make_no_sense_here_are_passed_over(log, today):
    for name, data in [
        ("gone", {"grade": "good", "day": "2026-01-01"}),
        ("zeros", {"grade": "fine", "day": "2026-01-01"}),
        ("zeros", {"grade": ["good"], "day": "2026-01-01"}),
        ("zeros", {"grade": "good", "day": "soon"}),
        ("zeros", {"grade": "good", "day": 7}),
        ("zeros", {"grade": "good", "day": "9999-12-31"}),
        ("zeros", {}),
    ]:
        progress.record("practised", name, **data)
    assert practice(today=today)._memories == {}


def test_nothing_is_kept_where_recording_is_off(log, today, monkeypatch):
    monkeypatch.setenv("MFCOURSE_RECORD", "0")
    widget = practice(today=today)
    answer(widget, "good")
    assert widget.shown["counts"][2] == 1
    monkeypatch.setenv("MFCOURSE_RECORD", "1")
    assert progress.events() == []


def test_over_midnight_the_next_day_is_asked(log, today):
    widget = practice("evaluation", level=1, today=today)
    while widget._queue:
        answer(widget, "easy")
    assert widget.shown["rest"].startswith("Nothing is due. Next: ")
    today.day += timedelta(days=1)
    assert "answer" not in widget.shown
    due = sum(memory.due <= today.day for memory in widget._memories.values())
    assert due > 0
    widget.unfold()
    assert widget.shown["answer"]
    assert widget.shown["counts"][0] == due
    today.day += timedelta(days=1)  # with a card unfolded: graded as of the day asked
    widget.grade("good")
    assert progress.events("practised")[-1].data["day"] == "2026-01-06"
    assert widget._day == today.day


def test_a_grade_that_is_not_written_has_not_been_given(log, today, monkeypatch):
    widget = practice(today=today)
    widget.unfold()
    before = dict(widget.shown)

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(progress, "record", stop)
        with pytest.raises(KeyboardInterrupt):
            widget.grade("good")
    assert widget.shown == before
    assert widget._queue[0] == before["id"]
    assert widget._memories == {}
    widget.grade("good")
    assert list(widget._memories) == [before["id"]]


def test_trouble_with_the_log_is_shown(today, monkeypatch):
    monkeypatch.setattr(progress, "record", lambda *_, **__: "The disk is full.")
    widget = practice(today=today)
    widget.unfold()
    assert "The disk is full." in widget.grade("good")
    assert widget.notice == "The disk is full."


# ---- Progress ------------------------------------------------------------------------


def practised(name, grade):
    at = "2026-01-05T12:00:00+00:00"
    data = {"grade": grade, "day": "2026-01-05"}
    return progress.Event(at, "practised", name, data, f"{name}{grade}")


def test_the_last_lesson_counts_cards_whose_last_answer_was_good():
    log = [practised("zeros", "good"), practised("kernel", "easy")]
    log += [practised("pca", "good"), practised("pca", "again")]
    log += [practised("svm", "hard"), practised("gone", "good")]
    here = progress.summarize(log)
    lesson = here.lessons[-1]
    assert (lesson.number, lesson.exercises, lesson.asked) == ("09", 2, len(DECK))
    assert here.xp == 3 * progress.XP_OTHER  # pca was known once
    assert not lesson.done
    assert here.lessons[0].asked == progress.EXERCISES


def test_the_last_lesson_is_done_with_all_cards_and_the_quick_check():
    log = [practised(name, "good") for name in BY_ID]
    for number in progress.LESSONS:
        for n in (1, 2, 3):
            about = ("answer", f"{number}.{n}", {"right": True}, f"{number}{n}")
            log.append(progress.Event("2026-01-05T12:00:00+00:00", *about))
        for n in (1, 2) if number != progress.DECK else ():
            data = {"lesson": number, "number": n}
            log.append(progress.Event(log[0].at, "passed", "x", data, f"{number}p{n}"))
    assert progress.summarize(log).lessons[-1].done
    assert "All lessons are done" in progress.summarize(log).next
    assert progress.summarize(log[1:]).next == (
        f"Lesson 09: practice, {len(DECK) - 1} of {len(DECK)} cards known"
    )
