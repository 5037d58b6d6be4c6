"""What grading found, as people read it: two sheets, and pages of HTML.

Nothing here decides on points. Where a person has to look, a cell stays empty: an
empty cell is asked about, a 0 is believed. What goes into a page is escaped unless it
was made here, and what goes into a sheet cannot become a formula.
"""

from __future__ import annotations

import csv
import html
import io
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from statistics import mean, median
from urllib.parse import quote

from mfcourse.grading.key import GradingError, Key
from mfcourse.grading.results import OPEN, Group, Result

BINS, LONGEST = 10, 5_000
CANVAS = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
SHEET = ["Student", "Question", "Of", "Answer", "Mark", "Comment"]
SAYS = {
    "ok": "All cases are right.",
    "wrong": "Not all cases are right.",
    "not_found": "The notebook has no function of this name.",
    "not_written": "Not written yet.",
    "syntax": "The code is not valid Python.",
    "time_limit": "Not done within the time limit.",
    "memory_limit": "More memory was needed than is allowed.",
    "crashed": "The code stopped before it gave an answer.",
    "output_limit": "The answer is larger than is allowed.",
    "unreadable": "The notebook could not be read.",
    "flagged": "A person has to look at this.",
    "grader_error": "The grader failed here. A person has to look at this.",
    "marked": "Marked by a person.",
    "not_graded": "Not graded yet.",
    "not_marked": "Not marked yet.",
    "not_scored": "This submission was not scored. A person has to look at it.",
}
GOOD, LOOK = ("ok", "marked"), (*OPEN, "not_graded", "not_marked", "not_scored")
# A spreadsheet that expects another separator than ours sees cells within a cell of
# ours; so what follows one is guarded as well.
_FORMULA = r"[\s'\"]*[=+\-@＝＋－＠]"
_GUARD = rf"^{{0}}(?={_FORMULA}|[\s'\"]*[\t\r\n])|(?<=[;|\t\r\n]){{0}}(?={_FORMULA})"
_PLAIN = re.compile(r"(?!(con|prn|aux|nul|com\d|lpt\d)(\.|$))\w[\w .@+-]{0,59}", re.I)


@dataclass(frozen=True)
class Report:
    """What all files are written from.

    Parameters
    ----------
    key : Key
    results : list of Result
    flags : dict
        Student → a sentence; submissions that were not scored.
    written : dict
        Student → name of a question → the answer.
    similar : list of tuple
        Two students and how alike they are, from 0 to 1: pairs to look at.
    note : str
        How it was run. It stands on every page and in every row of a sheet.
    date : str
    strange : dict
        Student → a sentence; their marks stay.
    """

    key: Key
    results: list[Result]
    flags: dict[str, str]
    written: dict[str, dict[str, str]]
    similar: list[tuple[str, str, float]]
    note: str
    date: str
    strange: dict[str, str] = field(default_factory=dict)


def write(out: Path, report: Report) -> None:
    """Write the sheets and the pages; each file is old or new, never half.

    ``grades.csv`` has a row a student. Its first columns are those that Canvas expects
    on import, with the student as SIS Login ID; Moodle maps any column by its name.
    Flags and Note are for people: leave them out there.
    ``written.csv`` is for a person to fill in Mark and Comment: what stands there is
    read first, and written again. ``class.html`` is for who teaches,
    ``students/NAME.html`` for a student; a page that is nobody's is removed.

    Parameters
    ----------
    out : Path
    report : Report

    Raises
    ------
    GradingError
        ``written.csv`` cannot be read; it says where. Nothing was written then.
    """
    sheet, delimiter = _sheet(out / "written.csv", report.key)
    here = {result.student for result in report.results}
    for (name, question), mark in sheet.items():
        answer = report.written.get(name, {}).get(question, "")
        sheet[name, question] = mark.of(answer) if name in here else mark
    students = _students(report, sheet)
    if report.key.written:
        rows = _written(report, students, sheet, delimiter)
        _put(out / "written.csv", _csv(rows, delimiter))
    _put(out / "grades.csv", _csv(_grades(report, students)))
    pages = {s.page: _student_page(report, s) for s in students}
    for old in list((out / "students").glob("*.html")):
        if old.name not in pages:
            old.unlink()
    for name, page in pages.items():
        _put(out / "students" / name, page)
    gone = sorted({name for name, _ in sheet} - {s.name for s in students})
    _put(out / "class.html", _class_page(report, students, gone))


def marks(path: Path, key: Key) -> dict[tuple[str, str], tuple[float, str]]:
    """Read the marks that a person put into ``written.csv``.

    Parameters
    ----------
    path : Path
        With commas, semicolons or tabs, and 3.5 or 3,5. No file is no marks.
    key : Key

    Returns
    -------
    dict
        Student and question → mark and comment.

    Raises
    ------
    GradingError
        A row is not what it should be; it is named.
    """
    rows = _sheet(path, key)[0].items()
    return {w: (m.points, m.comment) for w, m in rows if m.points is not None}


# ---- What is known of a student ------------------------------------------------------


@dataclass(frozen=True)
class _Mark:
    """A row of the sheet of written answers, as it came back."""

    points: float | None = None
    comment: str = ""
    answer: str = ""

    def of(self, answer: str) -> _Mark:
        """The mark of an answer: none where it is not the one that was marked."""
        same = re.sub(r"\W", "", answer)[:500] == re.sub(r"\W", "", self.answer)[:500]
        if same or self.points is None:
            return self
        was = f"({_number(self.points)} before the answer changed)"
        return replace(self, points=None, comment=f"{was} {self.comment}".rstrip())


Sheet = dict[tuple[str, str], _Mark]  # student and question → their row


@dataclass(frozen=True)
class _Part:
    """A task or a written question; points None where a person has to look."""

    of: int
    status: str
    points: float | None = None
    reason: str = ""
    groups: tuple[Group, ...] = ()


@dataclass(frozen=True)
class _Student:
    name: str
    page: str
    files: list[str]
    flag: str
    parts: dict[str, _Part]

    @property
    def total(self) -> float | None:
        points = [p.points for p in self.parts.values() if p.points is not None]
        return sum(points) if len(points) == len(self.parts) else None

    def flags(self, but: str = "") -> list[str]:
        """Sentences to a person who has to look, but not those of one status."""
        parts = [(name, p) for name, p in self.parts.items() if p.points is None]
        says = [f"{name}: {_says(p)}" for name, p in parts if p.status != but]
        return [self.flag] if self.flag else says


def _students(report: Report, sheet: Sheet) -> list[_Student]:
    found = {(r.student, r.task): r for r in report.results}
    names = {*(name for name, _ in found), *report.flags, *report.written}
    pages = _pages(names)
    students = []
    for name in sorted(names, key=lambda name: (_folded(name), name)):
        parts = {task.name: _graded(found.get((name, task.name)), task.points)
                 for task in report.key.tasks.values()}  # fmt: skip
        for question in report.key.written.values():
            mark = sheet.get((name, question.name), _Mark())
            status = "not_marked" if mark.points is None else "marked"
            part = _Part(question.points, status, mark.points, mark.comment)
            parts[question.name] = part
        if flag := report.flags.get(name, ""):
            parts = {n: _Part(part.of, "not_scored") for n, part in parts.items()}
        files = sorted({r.file for (who, _), r in found.items() if who == name})
        students.append(_Student(name, pages[name], files, flag, parts))
    return students


def _graded(r: Result | None, of: int) -> _Part:
    if r is None or r.status in OPEN:
        return _Part(of, r.status if r else "not_graded", reason=r.reason if r else "")
    return _Part(of, r.status, r.points, r.reason, r.groups)


def _pages(names: set[str]) -> dict[str, str]:
    """A file name a student; no two are one, even where case does not count."""
    count = Counter(map(_folded, names))
    pages = {}
    for name in names:
        stem = re.sub(r"\W", "_", name)[:30]  # "~" is in no plain name
        stem += "~" + sha256(name.encode(errors="surrogatepass")).hexdigest()[:16]
        plain = _PLAIN.fullmatch(name) and count[_folded(name)] == 1
        pages[name] = f"{name if plain else stem}.html"
    return pages


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKD", name).casefold()


def _says(told: _Part | Group) -> str:
    return f"{SAYS.get(told.status, told.status)} {told.reason}".rstrip()


def _number(x: float | None) -> str:
    return "" if x is None else f"{x:.10g}"


# ---- Sheets --------------------------------------------------------------------------


def _guard(text: str) -> str:
    """An apostrophe before whatever could be a formula."""
    return re.sub(_GUARD.format(""), "'", text)


def _unguard(text: str) -> str:
    return re.sub(_GUARD.format("'"), "", text)


def _csv(rows: list[list[str]], delimiter: str = ",") -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([map(_guard, row) for row in rows])
    return text.getvalue()


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    encoding = "utf-8-sig" if path.suffix == ".csv" else "utf-8"  # Excel wants the BOM
    beside.write_text(text, encoding, errors="replace", newline="")
    os.replace(beside, path)


def _grades(report: Report, students: list[_Student]) -> list[list[str]]:
    key = report.key
    of = {part.name: part.points for part in key.tasks.values()}
    of |= {part.name: part.points for part in key.written.values()}
    items = [f"{key.name} {name} ({points})" for name, points in of.items()]
    rows = [[*CANVAS, *items, f"{key.name} ({key.points})", "Flags", "Note"]]
    for s in students:
        cells = [_number(part.points) for part in s.parts.values()]
        flags = " ".join([*s.flags(), report.strange.get(s.name, "")]).rstrip()
        cells += [_number(s.total), flags, report.note]
        rows.append([s.name, "", "", s.name, "", *cells])
    return rows


def _written(
    report: Report, students: list[_Student], sheet: Sheet, delimiter: str
) -> list[list[str]]:
    """Who is scored in this run, then what was marked of others."""
    given, scored = report.written, [s.name for s in students if not s.flag]
    answers = {(name, question): given.get(name, {}).get(question, "")
               for name in scored for question in report.key.written}  # fmt: skip
    rows = [[*SHEET, "Note"]]
    for where in dict.fromkeys([*answers, *sheet]):
        mark = sheet.get(where, _Mark())
        answer = answers.get(where, mark.answer).strip()
        if len(answer) > LONGEST:
            answer = f"{answer[:LONGEST]} … (cut at {LONGEST:,} characters)"
        points = _number(mark.points)
        points = points.replace(".", ",") if delimiter == ";" else points
        of = str(report.key.written[where[1]].points)
        rows.append([*where, of, answer, points, mark.comment, report.note])
    return rows


def _sheet(path: Path, key: Key) -> tuple[Sheet, str]:
    """What a person wrote, and what stands between the cells."""
    sheet: Sheet = {}
    if not path.exists() or not key.written:
        return sheet, ","
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise GradingError(f"{path} is not in UTF-8. Save it as CSV UTF-8") from None
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.DictReader(io.StringIO(text, ""), delimiter=delimiter)
    if missing := set(SHEET) - set(reader.fieldnames or ()):
        raise GradingError(
            f"{path}: expected the columns {', '.join(SHEET)}; {', '.join(missing)} is "
            "not there. Put the first row back"
        )
    for number, row in enumerate(reader, 2):
        cells = [_unguard(row[name] or "") for name in SHEET]
        student, question, _, answer, mark, comment = cells
        if not (mark.strip() or comment):
            continue
        where = student, question
        points, wrong = _points(mark, question, key)
        if wrong or where in sheet:
            wrong = wrong or "expected a row an answer, this is the second"
            raise GradingError(
                f"{path}, row {number} ({student}, {question}): {wrong}. Mend the row"
            )
        sheet[where] = _Mark(points, comment, answer)
    return sheet, delimiter


def _points(mark: str, question: str, key: Key) -> tuple[float | None, str]:
    """What a mark is worth, or what is wrong with it."""
    if question not in key.written:
        return None, f"expected a question of the key: {', '.join(key.written)}"
    of = key.written[question].points
    with suppress(ValueError):
        points = float(mark.replace(",", ".")) if mark.strip() else None
        if points is None or 0 <= points <= of:
            return points, ""
    return None, f"expected a mark from 0 to {of}, got {mark!r}"


# ---- Pages ---------------------------------------------------------------------------

PAGE = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'">
<title>{}</title><style>{}</style>
<main><header><p class="over">{}</p><h1>{}</h1>{}</header>{}</main></html>
"""
STYLE = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
SVG = """<svg viewBox="0 0 400 128" role="img" aria-labelledby="totals">
<title id="totals">{}</title>{}<line x1="20" x2="380" y1="110" y2="110"/></svg>"""
BAR = '<rect x="{}" y="{}" width="32" height="{}"/>'
TEXT = '<text x="{}" y="{}">{}</text>'


class _Html(str):
    """HTML made here; all other text is escaped where it is filled in."""


def _fill(template: str, *values: object) -> _Html:
    return _Html(template.format(*map(_escaped, values)))


def _each(template: str, values: Iterable[object]) -> list[_Html]:
    return [_fill(template, value) for value in values]


def _escaped(value: object) -> str:
    if isinstance(value, list):
        return "".join(map(_escaped, value))
    return value if isinstance(value, _Html) else html.escape(str(value))


def _page(report: Report, heading: str, lead: object, parts: list[_Html]) -> str:
    key, note = report.key, report.note
    foot = _fill('<p class="quiet">{} Written on {}.</p>', note, report.date)
    warn = _each('<p class="unsafe bad">⚠ {}</p>', [note] if "UNSAFE" in note else [])
    over = key.title if key.title.startswith(key.name) else f"{key.name}: {key.title}"
    title = f"{key.name} {heading}"
    return _fill(PAGE, title, _Html(STYLE), over, heading, [lead, warn], [parts, foot])


def _section(heading: str, inner: object, aside: str = "") -> _Html:
    head = "<section><div><h2>{}</h2><b>{}</b></div>{}</section>"
    return _fill(head, heading, aside, inner)


def _table(caption: str, heads: list[str], rows: Iterable[Sequence[object]]) -> _Html:
    lines = [_fill('<tr><th scope="row">{}</th>{}</tr>', row[0],
                   _each("<td>{}</td>", row[1:])) for row in rows]  # fmt: skip
    frame = "<table><caption>{}</caption><thead><tr>{}</tr></thead><tbody>{}</table>"
    return _fill(frame, caption, _each('<th scope="col">{}</th>', heads), lines)


def _sign(status: str, says: str) -> _Html:
    """Words after a sign, whose colour tells nothing that they do not."""
    kind, sign = ("good", "✓") if status in GOOD else ("bad", "✗")
    kind, sign = ("look", "?") if status in LOOK else (kind, sign)
    return _fill('<b class="{}" aria-hidden="true">{}</b> {}', kind, sign, says)


def _score(points: float | None, of: int) -> str:
    return "Not yet known" if points is None else f"{_number(points)} of {of} points"


def _student_page(report: Report, student: _Student) -> str:
    score = _score(student.total, report.key.points)
    lead = _each('<p class="quiet">File: {}</p>', student.files)
    lead += _each("<dl><div><dt>Total</dt><dd>{}</dd></div></dl>", [score])
    if student.flag:
        says = [_sign("not_scored", SAYS["not_scored"]), student.flag]
        parts = [_section("Not scored", _each("<p>{}</p>", says))]
    else:
        parts = [_part(name, part) for name, part in student.parts.items()]
    return _page(report, student.name, lead, parts)


def _part(name: str, part: _Part) -> _Html:
    inner = _each("<p>{}</p>", [_sign(part.status, SAYS.get(part.status, part.status))])
    inner += _each('<p class="said">{}</p>', [part.reason] if part.reason else [])
    if part.groups:
        says = "The points of a group are given if all of its cases are right."
        rows = [([_sign(g.status, g.name), _remark(g)],
                 f"{g.right} of {g.cases}", f"{g.points} of {g.of}")
                for g in part.groups]  # fmt: skip
        inner.append(_table(says, ["Group", "Right", "Points"], rows))
    return _section(name, inner, _score(part.points, part.of))


def _remark(g: Group) -> list[_Html]:
    return _each("<div>{}</div>", [_says(g)] if g.status != "ok" else [])


def _class_page(report: Report, students: list[_Student], gone: list[str]) -> str:
    of = report.key.points
    links = {s.name: _fill('<a href="students/{}">{}</a>', quote(s.page), s.name)
             for s in students}  # fmt: skip
    totals = [s.total for s in students if s.total is not None]
    middle = [f"{f(totals):.1f}" if totals else "–" for f in (mean, median)]
    names = "Students", "With a total", "Mean total", "Median total"
    figures = zip(names, (len(students), len(totals), *middle), strict=True)
    lead = [_fill("<div><dt>{}</dt><dd>{}</dd></div>", *figure) for figure in figures]
    pairs = [(links.get(a, a), links.get(b, b), f"{alike:.0%}")
             for a, b, alike in report.similar] or [("None", "", "")]  # fmt: skip
    rows = [(links[s.name], _score(s.total, of)) for s in students]
    looks = _fill(
        "<ul>{}</ul>", _each("<li>{}</li>", _looks(report, students, links, gone))
    )
    says = "Code may be alike for good reasons. Read both before you ask."
    parts = [
        _section("Totals", _histogram(totals, of), f"of {of} points"),
        _section("Tasks", _items(students)),
        _section("For a person to look at", looks),
        _section("Pairs that are much alike: a list to look at, not a verdict",
                 _table(says, ["Student", "And", "Alike"], pairs)),
        _section("Students", _table("Each has a page.", ["Student", "Total"], rows)),
    ]  # fmt: skip
    return _page(report, "The class", _fill("<dl>{}</dl>", lead), parts)


def _items(students: list[_Student]) -> _Html:
    rows = []
    for name, first in students[0].parts.items() if students else ():
        parts = [s.parts[name] for s in students]
        shares = [p.points / (p.of or 1) for p in parts if p.points is not None]
        full = [share >= 1 for share in shares]
        means = [f"{mean(x):.0%}" if x else "–" for x in (shares, full)]
        count = Counter(p.status for p in parts)
        signs = [_sign(status, f"{count[status]} {status.replace('_', ' ')}")
                 for status in SAYS if count[status]]  # fmt: skip
        counts = _fill("<div>{}</div>", _each("<span>{}</span> ", signs))
        rows.append((f"{name} ({first.of})", *means, counts))
    says = "Of those with a mark; 0 is one. The fewer full points, the harder the task."
    return _table(says, ["Task (points)", "Mean", "Full points", "Students"], rows)


def _histogram(totals: list[float], of: int) -> _Html:
    """Totals in equal steps; full points are in the last one."""
    places = Counter(min(int(BINS * total / (of or 1)), BINS - 1) for total in totals)
    edges = [_number(of * edge / BINS) for edge in range(BINS + 1)]
    drawn = [_fill(TEXT, 20 + 36 * n, 124, edge) for n, edge in enumerate(edges)]
    for place, count in sorted(places.items()):
        high = round(90 * count / max(places.values()))
        drawn.append(_fill(BAR, 22 + 36 * place, 110 - high, high))
        drawn.append(_fill(TEXT, 38 + 36 * place, 105 - high, count))
    words = [f"{edges[n]} to {edges[n + 1]}: {places[n]}" for n in range(BINS)]
    return _fill(SVG, f"Students by total. {'; '.join(words)}.", drawn)


def _looks(
    report: Report,
    students: list[_Student],
    links: dict[str, _Html],
    gone: list[str],
) -> Sequence[str]:
    """What is missing, by student; of answers to mark only how many."""
    flags = {s.name: " ".join(s.flags(but="not_marked")) for s in students}
    says = [_fill("{}: {}", links[name], flag) for name, flag in flags.items() if flag]
    strange = report.strange.items()
    says += [_fill("{}: {}", links[name], why) for name, why in strange]
    count = Counter(p.status for s in students for p in s.parts.values())["not_marked"]
    says += _each("Answers to mark in written.csv: {}.", [count] if count else [])
    says += _each("{} has marks in written.csv and is not in this run.", gone)
    return says or ["Nothing."]
