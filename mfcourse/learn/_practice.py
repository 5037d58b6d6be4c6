"""The deck of lesson 09: a card at a time, asked again when it may be forgotten.

The schedule is SM-2. A card that was answered in n sessions in a row rests

    1 day, 6 days, then each time ease times as long as before (rounded up);

each answer of quality q moves its ease, 2.5 at first and never below 1.3, by
0.1 − (5 − q)(0.08 + 0.02 (5 − q)). Below q = 3 the card begins again, its ease
unchanged. What scored below 4 comes back on the same day, which moves nothing else.

Only grades are kept, in the log of progress; a card's memory is computed from them.
Source: P. A. Woźniak, "Optimization of learning", master's thesis, University of
Technology in Poznań, 1990.
"""

from __future__ import annotations

import html
import math
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import traitlets

from mfcourse.learn import bank, progress
from mfcourse.learn._widget import Widget, Words, place, script

GRADES = {"again": 2, "hard": 3, "good": 4, "easy": 5}  # → quality q
GAP = 5  # cards between one that was not known and its return
HOW = """\
To practise here: p = learn.practice(), then p.unfold() and p.grade("good");
the grades are again, hard, good, easy. One card: learn.demonstrate("{}")"""


@dataclass(frozen=True)
class Memory:
    """What is known of one card and one learner.

    Parameters
    ----------
    last, due : date
        Answered last; to be asked.
    ease : float
    days : int
        Between the two.
    row : int
        Sessions in a row in which it was known.
    again : bool
        The last answer was below 4.
    """

    last: date
    due: date
    ease: float = 2.5
    days: int = 0
    row: int = 0
    again: bool = False

    def asks(self, day: date) -> bool:
        """Whether the card is to be asked.

        Parameters
        ----------
        day : date

        Returns
        -------
        bool
        """
        return self.due <= day or (self.again and self.last == day)


def review(memory: Memory | None, grade: str, day: date) -> Memory:
    """One answer, by SM-2.

    Parameters
    ----------
    memory : Memory or None
        None for a new card.
    grade : {"again", "hard", "good", "easy"}
    day : date

    Returns
    -------
    Memory
    """
    quality = GRADES[grade]
    now = replace(memory or Memory(day, day), last=day, again=quality < 4)
    if day < now.due:  # asked early, or again in one session
        return now
    if quality < 3:
        return replace(now, due=day + timedelta(1), days=1, row=1)
    days = {0: 1, 1: 6}.get(now.row) or math.ceil(round(now.days * now.ease, 6))
    step = 0.1 - (5 - quality) * (0.08 + 0.02 * (5 - quality))
    ease = max(1.3, now.ease + step)
    due = day + timedelta(days)
    return replace(now, due=due, ease=ease, days=days, row=now.row + 1)


class Practice(Widget):
    """One card after the other: what is due, then what is new.

    Parameters
    ----------
    topic : str
    level : int
    seed : int
    today : callable
    """

    _esm = script("practice.js")
    shown: Any = traitlets.Dict().tag(sync=True)  # a card, its answer once unfolded
    notice = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, topic: str, level: int, seed: int, today: Callable[[], date]
    ) -> None:
        super().__init__()
        self._seed, self._today = seed, today
        self._cards = {card.about["id"]: card for card in bank.deck()}
        self._topics = list(dict.fromkeys(c.about["topic"] for c in bank.deck()))
        self._memories: dict[str, Memory] = {}
        if progress.recording():
            for event in progress.events("practised"):
                self._remember(event.subject, event.data)
            self.notice = progress.notice()
        self.on_msg(self._heard)
        self.choose(topic, level)

    def choose(self, topic: str = "", level: int = 0) -> None:
        """Practise one topic or one level, and begin with what is due.

        Parameters
        ----------
        topic : str
            "" for all.
        level : int
            0 for all.

        Raises
        ------
        ValueError
            No such topic or level.
        """
        if topic != "" and topic not in self._topics:
            raise ValueError(f"no topic {topic!r}; there are {', '.join(self._topics)}")
        if level not in (0, *map(int, bank.LEVELS)):
            raise ValueError(f"no level {level!r}; there are {', '.join(bank.LEVELS)}")
        self._topic, self._level = topic, level
        self._names = [
            name
            for name, card in self._cards.items()
            if topic in ("", card.about["topic"])
            and level in (0, int(card.about["level"]))
        ]
        day = self._day = self._today()
        names = list(self._names)
        random.Random(f"{self._seed}.{day}").shuffle(names)
        known = [n for n in names if n in self._memories and self._asks(n, day)]
        new = [n for n in names if n not in self._memories]
        self._queue = sorted(known, key=lambda n: self._memories[n].due)
        self._queue += sorted(new, key=lambda n: self._cards[n].about["level"])
        self._show()

    def unfold(self) -> str:
        """Show the answer of the card that is asked.

        Returns
        -------
        str
            The answer, its source, and a program that shows it, where there is one.

        Raises
        ------
        ValueError
            No card is asked.
        """
        name = self._asked()
        self._show(open_=True)
        return Words(_told(self._cards[name]))

    def grade(self, grade: str) -> str:
        """Say how well the card was known; the next one is asked.

        Parameters
        ----------
        grade : {"again", "hard", "good", "easy"}

        Returns
        -------
        str
            The next question.

        Raises
        ------
        ValueError
            No card is asked, its answer was not seen, or there is no such grade.
        """
        name = self._asked()
        if grade not in GRADES:
            raise ValueError(f"no grade {grade!r}; there are {', '.join(GRADES)}")
        if not self.shown.get("answer"):
            raise ValueError("the answer was not seen yet; unfold() comes first")
        day = self._day
        said = progress.record("practised", name, grade=grade, day=day.isoformat())
        self._memories[name] = review(self._memories.get(name), grade, day)
        self._queue.remove(name)
        if self._memories[name].again:
            self._queue.insert(GAP, name)
        with self.hold_sync():
            self.notice = said
            self._show()
            self._renew()
        return Words(f"{self.shown.get('question') or self.shown['rest']}\n{said}")

    def _renew(self) -> None:
        """Over midnight other cards became due."""
        if self._today() != self._day:
            self.choose(self._topic, self._level)

    def _asked(self) -> str:
        if not self._queue:
            self._renew()
        if not self._queue:
            raise ValueError(f"no card is asked. {self.shown['rest']}")
        return self._queue[0]

    def _asks(self, name: str, day: date) -> bool:
        return self._memories[name].asks(day)

    def _remember(self, name: str, data: dict[str, Any]) -> None:
        # Some are from another deck or version.
        with suppress(KeyError, TypeError, ValueError, OverflowError):
            day = date.fromisoformat(data["day"])
            before = self._memories.get(self._cards[name].about["id"])
            self._memories[name] = review(before, data["grade"], day)

    def _show(self, open_: bool = False) -> None:
        day = self._day
        met = [n for n in self._names if n in self._memories]
        due = sum(self._asks(n, day) for n in met)
        now: dict[str, Any] = {
            "counts": [due, len(self._names) - len(met), len(met) - due],
            "topics": self._topics,
            "levels": [f"{level}: {what}" for level, what in bank.LEVELS.items()],
            "chosen": [self._topic, self._level],
            "turn": self.shown.get("turn", 0) + (not open_),  # one card may come twice
        }
        if not self._queue:
            now["rest"] = self._rest(met, day)
        else:
            name = self._queue[0]
            card, memory = self._cards[name], self._memories.get(name)
            now |= {"id": name, "question": card.text}
            now |= {key: card.about[key] for key in ("topic", "level")}
            if open_:
                when = [_when(review(memory, grade, day), day) for grade in GRADES]
                now["grades"] = list(zip(GRADES, when, strict=True))
                now["answer"] = card.answer
                kept = ("source", *bank.BLOCKS)
                now |= {key: card.about.get(key, "") for key in kept}
        self.shown = now

    def _rest(self, met: list[str], day: date) -> str:
        """What to say when nothing is asked."""
        dues = [self._memories[name].due for name in met]
        if not dues:
            return "No card here. Choose another topic or level."
        first = min(dues)
        n = dues.count(first)
        cards = "1 card" if n == 1 else f"{n} cards"
        return f"Nothing is due. Next: {cards} {_in((first - day).days)}."

    def _heard(self, _: Any, content: dict[str, Any], __: Any) -> None:
        topic = place(content.get("topic"), len(self._topics) + 1)
        level = place(content.get("level"), len(bank.LEVELS) + 1)
        if topic is not None and level is not None:
            self.choose(["", *self._topics][topic], level)
        elif not self._queue:
            self._renew()
        elif content.get("id") != self._queue[0]:
            return  # a second press, on its way while the next card came
        elif content.get("unfold") is True:
            self.unfold()
        elif content.get("grade") in GRADES and self.shown.get("answer"):
            self.grade(content["grade"])

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict] | None:
        found = super()._repr_mimebundle_(**kwargs)
        if found is not None:
            found[0]["text/html"] = _page([self._cards[name] for name in self._names])
        return found

    def __repr__(self) -> str:
        cards = [self._cards[name] for name in self._names]
        said, topic = [f"Practice: {len(cards)} cards"], ""
        for card in cards:
            if card.about["topic"] != topic:
                topic = card.about["topic"]
                said += ["", topic]
            said.append(f"  {card.about['level']}  {card.text} [{card.about['id']}]")
        shows = (card.about["id"] for card in cards if "demo" in card.about)
        return "\n".join([*said, "", HOW.format(next(shows, "zeros"))])


def practice(
    topic: str = "",
    level: int = 0,
    *,
    seed: int = 0,
    today: Callable[[], date] = date.today,
) -> Practice:
    """Practise the deck: what is due first, then new cards, the lower levels first.

    Parameters
    ----------
    topic : str
        "" for all.
    level : int
        1, 2 or 3; 0 for all.
    seed : int
        Of the order among equals.
    today : callable
        Gives the date.

    Returns
    -------
    Practice
        A widget; ``.unfold()`` and ``.grade("good")`` where widgets do not run.

    Raises
    ------
    ValueError
        No such topic or level.
    """
    return Practice(topic, level, seed, today)


def demonstrate(card: str) -> None:
    """Print the program of a card, and run it.

    Parameters
    ----------
    card : str
        Its id.

    Raises
    ------
    ValueError
        No such card, or one without a program.
    """
    cards = (card.about for card in bank.deck())
    programs = {about["id"]: about["demo"] for about in cards if "demo" in about}
    if card not in programs:
        raise ValueError(f"no program {card!r}; there are {', '.join(programs)}")
    print(programs[card], end="\n\n", flush=True)
    exec(compile(programs[card], f"<{card}>", "exec"), {"__name__": card})


def _told(card: bank.Question) -> str:
    said = [card.answer, f"Source: {card.about['source']}"]
    if "demo" in card.about:
        said += ["", card.about["demo"], "", "It prints:", card.about["prints"]]
    return "\n".join(said)


def _when(memory: Memory, day: date) -> str:
    return "again today" if memory.again else _in((memory.due - day).days)


def _in(days: int) -> str:
    return {0: "today", 1: "tomorrow"}.get(days, f"in {days} days")


def _page(cards: list[bank.Question]) -> str:
    """All cards to read, where widgets do not run; answers are folded."""
    said, topic = [], ""
    for card in cards:
        about = {key: html.escape(value) for key, value in card.about.items()}
        if about["topic"] != topic:
            topic = about["topic"]
            said.append(f"<p><strong>{topic}</strong></p>")
        text, answer = html.escape(card.text), html.escape(card.answer)
        said.append(f"<details><summary>{text} (level {about['level']})</summary>")
        answer = answer.replace(" Trap: ", "</p>\n<p><strong>Trap:</strong> ")
        said.append(f"<p>{answer}</p>\n<p><em>Source: {about['source']}</em></p>")
        if "demo" in about:
            said.append(f"<pre>{about['demo']}</pre><p>It prints:</p>")
            said.append(f"<pre>{about['prints']}</pre>")
        said.append("</details>")
    return "\n".join(said)
