"""The question bank: what the format says, what breaks it, and what we ask."""

import re

import pytest

from mfcourse.learn import bank
from mfcourse.learn.bank import Choice, Question

LESSONS = sorted(path.stem for path in bank.QUESTIONS.glob("[0-9][0-9].txt"))
CHECK = """\
# A comment

? Two and two
  are
- 3
    That is one too few.
+ 4
    Count on
    your fingers.

? Is λ − 1 > 0?
+ −1 or more
    Why not.
- #0
    No.
"""
CARD = """\
? Why start from small
    random numbers?
id: start
topic: SGD
= At zero, every gradient is zero.
    Equal values stay equal.
level: 2
source: S. Funk, 2006: "Try This"
demo:
    for start in (0, 1):

        print(start)  # twice

# The next card would stand here.
prints:
    0
    1
"""


def test_questions_with_choices():
    assert bank.parse(CHECK) == (
        Question(
            "Two and two are",
            (
                Choice("3", "That is one too few.", right=False),
                Choice("4", "Count on your fingers.", right=True),
            ),
        ),
        Question(
            "Is λ − 1 > 0?",
            (Choice("−1 or more", "Why not.", True), Choice("#0", "No.", False)),
        ),
    )


def test_cards_with_an_answer_and_what_is_known_of_them():
    about = {"id": "start", "topic": "SGD", "level": "2", "prints": "0\n1"}
    about["source"] = 'S. Funk, 2006: "Try This"'
    about["demo"] = "for start in (0, 1):\n\n    print(start)  # twice"
    answer = "At zero, every gradient is zero. Equal values stay equal."
    card = Question("Why start from small random numbers?", (), answer, about)
    assert bank.parse(CARD) == (card,)
    assert bank.parse("") == bank.parse("# nothing yet\n") == ()


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("- 1\n", 1, "'- 1' stands before a question; begin with '? …'"),
        ("\n  why\n", 2, "'why' stands before a question"),
        ("? a\n", 1, "0 choices, 0 answers; give it either"),
        ("? a\n= b\n= c\n", 1, "0 choices, 2 answers"),
        ("? a\n= b\n- c\n  d\n+ e\n  f\n", 1, "2 choices, 1 answers"),
        ("? a\n- 1\n  no\n- 2\n  no\n", 1, "0 right choices; mark exactly one"),
        ("? a\n+ 1\n  so\n+ 2\n  so\n", 1, "2 right choices; mark exactly one"),
        ("? a\n+ 1\n  so\n", 1, "a single choice; add a wrong one"),
        ("? a\n- 1\n+ 2\n  so\n", 2, "why is '1' right or wrong? say so in an ind"),
        ("? a\n+ 1\n  so\n- 2\n", 4, "why is '2' right or wrong?"),
        ("? a\n- 1\n  no\n+ 1\n  so\n", 4, "'1' is there already; reword one"),
        ("? a\nwhy: b\n", 2, "'why: b' begins with none of '? ', '- ', "),
        ("? a\n-1\n", 2, "'-1' begins with none of"),
        ("? a\n?\n", 2, "'?' begins with none of"),
        ("? a\ndemo: 1\n= b\n", 2, "'demo: 1' begins with none of"),
        ("? a\n= b\n", 1, "0 lines 'id: '; a card has one"),
        (CARD.replace("topic: SGD\n", ""), 1, "0 lines 'topic: '; a card has one"),
        (CARD + "level: 3\n", 1, "2 lines 'level: '; a card has one"),
        (CARD.replace("level: 2", "level: 4"), 7, "level '4'; it is 1, 2, 3"),
        (CARD.partition("prints:")[0], 1, "demo and prints go together"),
    ],
)
def test_what_breaks_the_format_is_told_with_its_line_and_cure(text, line, words):
    whole = f"^09.txt, line {line}: {re.escape(words)}"
    with pytest.raises(ValueError, match=whole):
        bank.parse(text, "09.txt")


def test_two_cards_with_one_id_are_told(tmp_path, monkeypatch):
    (tmp_path / "deck.txt").write_text(CARD + CARD, encoding="utf-8")
    monkeypatch.setattr(bank, "QUESTIONS", tmp_path)
    bank.deck.cache_clear()
    with pytest.raises(ValueError, match="two cards with the id 'start'; rename one"):
        bank.deck()


def test_a_lesson_without_questions_names_those_that_have_some():
    with pytest.raises(ValueError, match=r"no questions '1'; there are 00, 01, "):
        bank.lesson("1")


@pytest.mark.parametrize("number", LESSONS)
def test_each_lesson_asks_three_questions_worth_asking(number):
    questions = bank.lesson(number)
    assert len(questions) == 3
    for question in questions:
        assert len(question.choices) == 3
        (right,) = (choice.text for choice in question.choices if choice.right)
        wrong = [len(choice.text) for choice in question.choices if not choice.right]
        assert min(wrong) - 12 <= len(right) <= max(wrong) + 12, "length tells"
        whys = [choice.why for choice in question.choices]
        assert len(set(whys)) == 3
        for choice in question.choices:
            assert re.fullmatch(r"[^.]([^.]|\.\d|\.\.)*\.", choice.why), "one sentence"
            told = re.search(rf"(?<!\w){re.escape(right)}(?!\w)", choice.why)
            assert choice.right or not told, "a wrong choice tells the right one"


def test_what_the_course_promises_to_ask():
    asked = {n: " ".join(q.text for q in bank.lesson(n)) for n in ("02", "06")}
    assert "What does the product U[u]·V[i] mean?" in asked["02"]
    assert "Why is 0 for a missing rating wrong" in asked["02"]
    assert "Billions of plays, no stars. Which solver?" in asked["06"]
