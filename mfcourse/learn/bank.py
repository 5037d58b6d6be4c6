"""The question bank: plain text in ``questions/``, read into questions.

    ? Two people share one film. Their centred cosine is
    - unknown
        There is a number; it only says little.
    + +1, −1 or 0
        A number divided by its own size keeps only its sign.

``?`` begins a question, ``-`` a wrong choice, ``+`` the right one. An indented line
goes on with the one above it, or says why a choice is right or wrong. A card has an
answer, ``= …``, instead of choices. ``key: value`` (topic, level, source, demo) tells
more. A line that begins with ``#`` is a comment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

QUESTIONS = Path(__file__).parent / "questions"
KEYS = ("topic", "level", "source", "demo")
MARKED = re.compile(rf"([?+=-]) +(?=\S)|({'|'.join(KEYS)}): *(?=\S)")


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
        What else the file says of it: topic, level, source, demo.
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
    there = sorted(path.stem for path in QUESTIONS.glob("*.txt"))
    if number not in there:
        raise ValueError(f"no questions {number!r}; there are {', '.join(there)}")
    text = (QUESTIONS / f"{number}.txt").read_text(encoding="utf-8")
    return parse(text, f"{number}.txt")


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
            continue
        if found and found[1] == "?":
            questions.append([])
        if not questions:
            _fail(name, line, f"{said!r} stands before a question; begin with '? …'")
        elif found:
            mark = found[1] or found[2]
            questions[-1].append(_Entry(line, mark, words[found.end() :].strip()))
        elif words[0].isspace():
            entry = questions[-1][-1]
            entry.below = f"{entry.below} {said}".strip()
        else:
            marks = ", ".join(f"'{key}: '" for key in KEYS)
            wanted = f"'? ', '- ', '+ ', '= ', {marks} or an indent"
            _fail(name, line, f"{said!r} begins with none of {wanted}; add one")
    return tuple(_question(entries, name) for entries in questions)


def _question(entries: list[_Entry], name: str) -> Question:
    asked = entries[0]
    for entry in entries:
        if entry.mark not in "+-":
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


def _fail(name: str, line: int, what: str) -> None:
    raise ValueError(f"{name}, line {line}: {what}")
