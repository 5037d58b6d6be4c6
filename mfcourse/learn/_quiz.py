"""The quick check of a lesson: three questions that answer.

What is right, and why, stays in Python: the front end hears it for the choice that it
sent. Marks are synced traits, so that a page that is loaded again shows them.
"""

from __future__ import annotations

import random
from typing import Any

import traitlets

from mfcourse.learn import bank, progress
from mfcourse.learn._widget import Widget, Words, place, script

LETTERS = "abcdefgh"
HOW = 'To answer here: q = learn.quiz("{}"), then q.answer(1, "b")'


class Quiz(Widget):
    """The questions of a lesson, their choices shuffled, alike for everybody.

    Parameters
    ----------
    lesson : str
    seed : int
    """

    _esm = script("quiz.js")
    lesson = traitlets.Unicode().tag(sync=True)
    questions: Any = traitlets.List().tag(sync=True)  # each [text, [choice, …]]
    marks: Any = traitlets.List().tag(
        sync=True
    )  # each {} or {tried, choice, right, said, why}
    notice = traitlets.Unicode().tag(sync=True)

    def __init__(self, lesson: str, seed: int = 0) -> None:
        self._bank = bank.lesson(lesson)
        self._choices = [list(question.choices) for question in self._bank]
        for number, choices in enumerate(self._choices, 1):
            random.Random(f"{lesson}.{number}.{seed}").shuffle(choices)
        super().__init__(
            lesson=lesson,
            questions=[
                [question.text, [choice.text for choice in choices]]
                for question, choices in zip(self._bank, self._choices, strict=True)
            ],
            marks=[{} for _ in self._bank],
        )
        self.on_msg(self._heard)
        if progress.recording():
            for event in progress.events("answer"):
                self._restore(event.subject, event.data.get("choice"))
            self.notice = progress.notice()

    def answer(self, number: int, letter: str) -> str:
        """Answer a question, as a click does; it may be tried again.

        Parameters
        ----------
        number : int
            From 1.
        letter : str
            "a", "b", …

        Returns
        -------
        str
            Whether it is right, and why.

        Raises
        ------
        ValueError
            No such question or choice.
        """
        known = range(1, len(self._bank) + 1)
        if number not in known:
            raise ValueError(f"no question {number!r}; there are {_listed(known)}")
        letters = LETTERS[: len(self._choices[number - 1])]
        letter = str(letter).lower()
        if letter not in list(letters):
            raise ValueError(f"no choice {letter!r}; there are {_listed(letters)}")
        at = letters.index(letter)
        choice = self._choices[number - 1][at]
        self._mark(number, at)
        subject, right = f"{self.lesson}.{number}", choice.right
        self.notice = progress.record(
            "answer", subject, choice=choice.text, right=right
        )
        mark = self.marks[number - 1]
        return Words(f"{mark['said']} {mark['why']}\n{self.notice}".rstrip())

    def _mark(self, number: int, at: int) -> None:
        choice, mark = self._choices[number - 1][at], self.marks[number - 1]
        said = (
            f"✓ {LETTERS[at]}, right." if choice.right else f"✗ {LETTERS[at]}, not so."
        )
        mark = {
            "tried": sorted({*mark.get("tried", ()), at}),
            "choice": at,
            "right": choice.right,
            "said": said,
            "why": choice.why,
        }
        self.marks = [*self.marks[: number - 1], mark, *self.marks[number:]]

    def _restore(self, subject: str, text: Any) -> None:
        for number, choices in enumerate(self._choices, 1):
            texts = [choice.text for choice in choices]
            if subject == f"{self.lesson}.{number}" and text in texts:
                self._mark(number, texts.index(text))

    def _heard(self, _: Any, content: dict[str, Any], __: Any) -> None:
        question = place(content.get("question"), len(self._choices))
        if question is None:
            return
        choice = place(content.get("choice"), len(self._choices[question]))
        if choice is not None:
            self.answer(question + 1, LETTERS[choice])

    def __repr__(self) -> str:
        said = [f"Quick check, lesson {self.lesson}"]
        for number, (text, choices) in enumerate(self.questions, 1):
            said += ["", f"{number}. {text}"]
            said += [f"   {a}. {b}" for a, b in zip(LETTERS, choices, strict=False)]
        return "\n".join([*said, "", HOW.format(self.lesson)])


def quiz(lesson: str, seed: int = 0) -> Quiz:
    """Show the quick check of a lesson.

    Parameters
    ----------
    lesson : str
        Such as "01".
    seed : int
        Of the order of the choices, the same for everybody.

    Returns
    -------
    Quiz
        A widget; ``.answer(1, "b")`` answers where widgets do not run.
    """
    return Quiz(lesson, seed)


def _listed(known: Any) -> str:
    return ", ".join(map(str, known))
