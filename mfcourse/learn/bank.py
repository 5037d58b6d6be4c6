"""The question bank: plain text in ``questions/``, read into questions.

    ? Two people share one film. Their centred cosine is
    - unknown
        There is a number; it only says little.
    + +1, −1 or 0
        A number divided by its own size keeps only its sign.

``?`` begins a question, ``-`` a wrong choice, ``+`` the right one. An indented line
goes on with the one above it, or says why a choice is right or wrong. A line that
begins with ``#`` is a comment. A card of the deck has an answer instead of choices:

    ? Does a 0 for a missing rating do harm?
    id: zeros
    topic: foundations
    level: 1
    = Yes. It says that the film was seen and found worthless.
    source: lesson 02, Break it
    demo:
        print(sum([4, 5, 0]) / 3)
    prints:
        3.0

``demo`` and ``prints`` are optional: a short program, kept as it is indented, and what
it prints. A test runs each.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

QUESTIONS = Path(__file__).parent / "questions"
NEEDED = ("id", "topic", "level", "source")  # of a card
BLOCKS = ("demo", "prints")  # kept line by line
KEYS = (*NEEDED, *BLOCKS)
LEVELS = {"1": "first questions", "2": "a follow-up", "3": "a hard one"}
MARKED = re.compile(
    rf"([?+=-]) +(?=\S)|({'|'.join(NEEDED)}): *(?=\S)|({'|'.join(BLOCKS)}): *$"
)


@dataclass(frozen=True)
class Choice:
    """One answer to choose, and why it is right or wrong.

    Parameters
    ----------
    text, why : str
    right : bool
    """

    text: str
    why: str
    right: bool


@dataclass(frozen=True)
class Question:
    """A question with choices, or a card with an answer.

    Parameters
    ----------
    text : str
    choices : tuple of Choice
        As they stand in the file; empty for a card.
    answer : str
        Of a card; else empty.
    about : mapping
        Of a card: id, topic, level, source; demo and prints where it has them.
    """

    text: str
    choices: tuple[Choice, ...] = ()
    answer: str = ""
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Entry:
    """A marked line, and what is indented below it."""

    line: int
    mark: str
    text: str
    below: str = ""
    block: str = ""  # what is below, line by line


def lesson(number: str) -> tuple[Question, ...]:
    """The questions of one lesson.

    Parameters
    ----------
    number : str
        Such as "01": the name of the file in ``questions/``.

    Returns
    -------
    tuple of Question

    Raises
    ------
    ValueError
        No such file, or one that breaks the format.
    """
    there = sorted(path.stem for path in QUESTIONS.glob("[0-9][0-9].txt"))
    if number not in there:
        raise ValueError(f"no questions {number!r}; there are {', '.join(there)}")
    text = (QUESTIONS / f"{number}.txt").read_text(encoding="utf-8")
    return parse(text, f"{number}.txt")


@cache
def deck() -> tuple[Question, ...]:
    """The cards of lesson 09, topic by topic, the lower levels first.

    Returns
    -------
    tuple of Question
        Topics in the order of the file.

    Raises
    ------
    ValueError
        The file breaks the format, or two cards have one id.
    """
    cards = parse((QUESTIONS / "deck.txt").read_text(encoding="utf-8"), "deck.txt")
    ids = [card.about["id"] for card in cards]
    if twice := sorted({name for name in ids if ids.count(name) > 1}):
        raise ValueError(f"deck.txt: two cards with the id {twice[0]!r}; rename one")
    topics = list(dict.fromkeys(card.about["topic"] for card in cards))
    return tuple(
        sorted(cards, key=lambda c: (topics.index(c.about["topic"]), c.about["level"]))
    )


def parse(text: str, name: str = "text") -> tuple[Question, ...]:
    """Read questions from text in the format above.

    Parameters
    ----------
    text : str
    name : str
        Named in errors: the file.

    Returns
    -------
    tuple of Question

    Raises
    ------
    ValueError
        The text breaks the format; with the line, and what to do.
    """
    questions: list[list[_Entry]] = []
    for line, words in enumerate(text.splitlines(), 1):
        found, said = MARKED.match(words), words.strip()
        if not said or words.startswith("#"):
            if questions:
                questions[-1][-1].block += "\n"
            continue
        if found and found[1] == "?":
            questions.append([])
        if not questions:
            _fail(name, line, f"{said!r} stands before a question; begin with '? …'")
        elif found:
            mark = found[1] or found[2] or found[3]
            questions[-1].append(_Entry(line, mark, words[found.end() :].strip()))
        elif words[0].isspace():
            entry = questions[-1][-1]
            entry.below = f"{entry.below} {said}".strip()
            entry.block += f"{words}\n"
        else:
            marks = ", ".join(f"'{key}: '" for key in KEYS)
            wanted = f"'? ', '- ', '+ ', '= ', {marks} or an indent"
            _fail(name, line, f"{said!r} begins with none of {wanted}; add one")
    return tuple(_question(entries, name) for entries in questions)


def _question(entries: list[_Entry], name: str) -> Question:
    asked = entries[0]
    for entry in entries:
        if entry.mark in BLOCKS:
            entry.text = textwrap.dedent(entry.block).strip("\n")
        elif entry.mark not in "+-":
            entry.text = f"{entry.text} {entry.below}".strip()
    choices = [entry for entry in entries if entry.mark in "+-"]
    answers = [entry.text for entry in entries if entry.mark == "="]
    if len(answers) != (not choices):
        cure = "give it either choices, '- …' and '+ …', or one answer, '= …'"
        _fail(
            name, asked.line, f"{len(choices)} choices, {len(answers)} answers; {cure}"
        )
    right = sum(entry.mark == "+" for entry in choices)
    if choices and right != 1:
        _fail(name, asked.line, f"{right} right choices; mark exactly one with '+'")
    if len(choices) == 1:
        _fail(name, asked.line, "a single choice; add a wrong one, '- …'")
    if answers:
        _check_card(entries, name)
    for before, entry in enumerate(choices):
        if not entry.below:
            cure = "say so in an indented line below"
            _fail(name, entry.line, f"why is {entry.text!r} right or wrong? {cure}")
        if entry.text in [other.text for other in choices[:before]]:
            _fail(name, entry.line, f"{entry.text!r} is there already; reword one")
    return Question(
        asked.text,
        tuple(Choice(entry.text, entry.below, entry.mark == "+") for entry in choices),
        "".join(answers),
        {entry.mark: entry.text for entry in entries if entry.mark in KEYS},
    )


def _check_card(entries: list[_Entry], name: str) -> None:
    marks, line = [entry.mark for entry in entries], entries[0].line
    for key in KEYS:
        times = marks.count(key)
        if times > 1 or (key in NEEDED and not times):
            _fail(name, line, f"{times} lines '{key}: '; a card has one")
    level = next(entry for entry in entries if entry.mark == "level")
    if level.text not in LEVELS:
        _fail(name, level.line, f"level {level.text!r}; it is {', '.join(LEVELS)}")
    if ("demo" in marks) != ("prints" in marks):
        _fail(name, line, "demo and prints go together; add the other one")


def _fail(name: str, line: int, what: str) -> None:
    raise ValueError(f"{name}, line {line}: {what}")
