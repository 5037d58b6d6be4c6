"""Every lesson keeps the frame of the course.

A rule is a function from a notebook, its file name and the names of its neighbours to
the list of what breaks it. Below, each is tried on a made-up lesson that breaks it.
"""

import copy
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
LESSONS = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
FILES = {p.relative_to(NOTEBOOKS).as_posix() for p in NOTEBOOKS.rglob("*.ipynb")}
N_LESSONS = 10

# A heading may go on after a colon: "## By hand: six people, five films".
SECTIONS = [
    "A question",
    "By hand",
    "The maths",
    "Predict, then run",
    "Build it",
    "At scale",
    "Break it",
    "Playground",
    "Your turn",
    "Quick check",
    "Recap",
]
DECK = "09"  # this lesson has a deck of cards in place of exercises
# What a section calls, and how often at least; NN is the lesson's number.
ALIVE = {
    "Predict, then run": {r'learn\.predict\(\s*"NN-': 1, r'learn\.reveal\("NN-': 1},
    "Playground": {r"learn\.(playground|studio)\(": 1},
    "Your turn": {r"(?m)^ex\.check\(\)": 2},
    "Quick check": {r'learn\.quiz\("NN"\)': 1},
}
ALIVE_DECK = {"The deck": {r"learn\.practice\(": 1, r"learn\.demonstrate\(": 1}}

WORDS_OF_A_FIGURE = ("Plot: ", "Figure: ", "<Figure ")
TIME = re.compile(
    r"(?<![\w.])\d+(\.\d+)?\s?(ns|µs|us|ms|s|sec|secs|seconds?|minutes?)\b"
)
RAW = re.compile(r"\d\.\d{9,}|\d\.\d+e-1\d\b")


class Section(NamedTuple):
    text: str
    cells: list


def sections(nb) -> dict[str, Section]:
    """Level-2 heading, without what follows a colon → its text and code cells."""
    found: dict[str, Section] = {}
    title = ""
    for cell in nb.cells:
        if cell.cell_type == "code":
            if title:
                found[title].cells.append(cell)
            continue
        for level, line in _lines(cell.source):
            if level == 2:
                title = line.removeprefix("## ").split(":")[0].strip()
                found[title] = Section("", [])
            elif title:
                text = found[title].text + line + "\n"
                found[title] = found[title]._replace(text=text)
    return found


def _lines(source):
    """(heading level or 0, line); a "#" within a code fence is no heading."""
    fenced = False
    for line in source.splitlines():
        fenced ^= line.startswith("```")
        level = 0 if fenced else len(re.match(r"#*", line)[0])
        yield (level if line[level : level + 1] == " " else 0), line


def _markdown(nb):
    return [cell.source for cell in nb.cells if cell.cell_type == "markdown"]


def _code(nb):
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def _outputs(cells):
    return [(cell, output) for cell in cells for output in cell.outputs]


def _figures(cells):
    return [o for _, o in _outputs(cells) if "image/png" in o.get("data", {})]


def _printed(output):
    return output.get("text", "") + output.get("data", {}).get("text/plain", "")


# ---- The rules -----------------------------------------------------------------------


def sections_of(name):
    other = {"Your turn": "The deck"} if name.startswith(DECK) else {}
    return [other.get(title, title) for title in SECTIONS]


def sections_in_order(nb, name, files):
    found, frame = list(sections(nb)), sections_of(name)
    return [] if found == frame else [f"sections are {found}, not {frame}"]


def first_cell_opens_the_lesson(nb, name, files):
    number = int(name[:2])
    first = nb.cells[0].source
    wrong = []
    if not re.match(rf"# {name[:2]} · \S.*\n\n[*_]\S.*[*_]\n\n", first):
        wrong.append(f"no '# {name[:2]} · Title' with a promise of one line below")
    learn = first.partition("**What you'll learn**")[2].partition("**Before")[0]
    if len(re.findall(r"(?m)^- ", learn)) != 3:
        wrong.append("not three points under **What you'll learn**")
    for what, pattern in {
        "**Before you start": r"\*\*Before you start",
        "'N minutes'": r"\b\d+ minutes\b",
        f"'Lesson {number + 1} of {N_LESSONS}'": rf"Lesson {number + 1} of {N_LESSONS}",
        "'Previous:'": r"Previous: \[" if number else "",
    }.items():
        if not re.search(pattern, first):
            wrong.append(f"the first cell does not say {what}")
    return wrong


def neighbours_are_linked(nb, name, files):
    number = int(name[:2])
    first, last = nb.cells[0].source, nb.cells[-1].source
    previous = [f for f in files if f.startswith(f"{number - 1:02d}_")]
    following = [f for f in files if f.startswith(f"{number + 1:02d}_")]
    wrong = []
    if f"]({(previous or ['start_here.ipynb'])[0]})" not in first:
        wrong.append("the first cell does not link the previous lesson")
    if number + 1 < N_LESSONS:
        target = rf"\[.*\]\({following[0]}\)" if following else f"{number + 1:02d}"
        if not re.search(rf"\*\*Next:\*\*.*{target}", last):
            wrong.append("the last cell does not lead to the next lesson")
        if not re.search(rf"Next: .*{target}", first):
            wrong.append("the first cell does not name the next lesson")
    return wrong


def links_lead_somewhere(nb, name, files):
    links = re.findall(r"\]\(([^)#\s]+\.ipynb)", "\n".join(_markdown(nb)))
    return [f"no such notebook: {link}" for link in links if link not in files]


def headings_descend_in_steps(nb, name, files):
    levels = [n for text in _markdown(nb) for n, _ in _lines(text) if n]
    wrong = [] if levels.count(1) == 1 else [f"{levels.count(1)} titles, not one"]
    jumps = [b for a, b in zip([0, *levels], levels, strict=False) if b > a + 1]
    return wrong + [f"a heading of level {b} skips a level" for b in jumps]


def maths_has_a_formula(nb, name, files):
    text = sections(nb).get("The maths", Section("", [])).text
    return [] if text.count("$$") >= 2 else ["no displayed formula under The maths"]


def work_is_shown(nb, name, files):
    found = sections(nb)
    wrong = []
    for title in ("By hand", "Build it", "At scale", "Break it"):
        if title in found and not _outputs(found[title].cells):
            wrong.append(f"{title} shows no result")
    if "At scale" in found and not _figures(found["At scale"].cells):
        wrong.append("At scale has no figure")
    if "Break it" in found:
        said = found["Break it"].text.lower()
        wrong += [
            f"Break it names no {w}" for w in ("symptom", "cause") if w not in said
        ]
    return wrong


def sections_are_alive(nb, name, files):
    found = sections(nb)
    wrong = []
    for title, calls in (ALIVE | ALIVE_DECK).items():
        if title not in sections_of(name):
            continue
        text, cells = found.get(title, Section("", []))
        if not re.search(r"\w.*[.?!:*]", text):
            wrong.append(f"{title} has no sentence")
        for pattern, times in calls.items():
            alive = [
                c for c in cells if re.search(pattern.replace("NN", name[:2]), c.source)
            ]
            if len(alive) < times:
                wrong.append(f"{title} calls {pattern} {len(alive)} times, not {times}")
            if not all(any(map(_printed, cell.outputs)) for cell in alive):
                wrong.append(f"{title} has no words where widgets do not run")
    return wrong


def exercises_are_two(nb, name, files):
    if name.startswith(DECK):
        return []
    text = sections(nb).get("Your turn", Section("", [])).text
    parts = re.findall(r"\*\*Exercise (\d)", text)
    return [] if parts == ["1", "2"] else [f"exercises {parts}, not 1 and 2"]


def recap_is_whole(nb, name, files):
    text = sections(nb).get("Recap", Section("", [])).text
    terms, _, rest = text.partition("### In an interview")
    interview, _, reading = rest.partition("### Further reading")
    wrong = []
    if not re.search(r"\| *Term *\| *Meaning *\|\n", terms):
        wrong.append("no table of terms and meanings")
    if not 2 <= interview.count("<details><summary>") <= 4:
        wrong.append("not 2 to 4 folded questions under ### In an interview")
    if not re.search(r"(?m)^- .*\b(19|20)\d\d\b", reading):
        wrong.append("no source with its year under ### Further reading")
    return wrong


def size_is_right(nb, name, files):
    text = "\n".join(_markdown(nb))
    text = re.sub(r"(?s)<pre>.*?</pre>|```.*?```|\$.*?\$|\]\(.*?\)|<[^>]*>", " ", text)
    words = sum(bool(re.search(r"\w", word)) for word in text.split())
    wrong = []
    if not 25 <= len(nb.cells) <= 45:
        wrong.append(f"{len(nb.cells)} cells, not 25 to 45")
    if words > 2000:
        wrong.append(f"{words:,} words, more than 2,000")
    return wrong


def cells_are_short(nb, name, files):
    sizes = [len([x for x in c.source.splitlines() if x.strip()]) for c in _code(nb)]
    return [
        f"code cell {number} has {size} lines, more than 15"
        for number, size in enumerate(sizes, 1)
        if size > 15
    ]


def code_is_formatted(nb, name, files):
    wrong = []
    here = f"notebooks/{name}"
    for command in (["format", "--check"], ["check", "--quiet"]):
        run = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--stdin-filename", here, "-"],
            input=nbformat.writes(nb),
            cwd=ROOT,  # where ruff looks for its settings
            capture_output=True,
            text=True,
        )
        if run.returncode:
            wrong.append(f"ruff {command[0]}: {run.stdout or run.stderr}")
    return wrong


def cells_ran_in_order(nb, name, files):
    ran = [c for c in _code(nb) if "nbval-skip" not in c.metadata.get("tags", ())]
    counts = [cell.execution_count for cell in ran]
    if counts == list(range(1, len(ran) + 1)):
        return []
    return [f"cells ran as {counts}, not 1 to {len(ran)}: refresh the notebook"]


def errors_are_meant(nb, name, files):
    """A cell that is skipped here may still fail where what it needs is missing."""
    wrong = []
    for cell in _code(nb):
        tags = cell.metadata.get("tags", ())
        meant = "raises-exception" in tags
        failed = any(output.output_type == "error" for output in cell.outputs)
        if failed and not meant:
            wrong.append(f"an error that no tag announces: {cell.source[:60]!r}")
        if meant and not failed and "nbval-skip" not in tags:
            wrong.append(f"tagged raises-exception, and fine: {cell.source[:60]!r}")
    return wrong


def no_stderr_is_stored(nb, name, files):
    noisy = [cell for cell, o in _outputs(_code(nb)) if o.get("name") == "stderr"]
    return [f"stderr is stored: {cell.source[:60]!r}" for cell in noisy]


def figures_have_picture_and_words(nb, name, files):
    wrong = []
    for cell, output in _outputs(_code(nb)):
        data = output.get("data", {})
        words = data.get("text/plain", "")
        alt = output.get("metadata", {}).get("image/png", {}).get("alt")
        if "image/png" in data and not (alt and alt == words):
            wrong.append(f"a figure without words: {cell.source[:60]!r}")
        if words.startswith(WORDS_OF_A_FIGURE) and "image/png" not in data:
            wrong.append(f"a figure without its picture: {cell.source[:60]!r}")
    return wrong


def numbers_are_stable(nb, name, files):
    wrong = []
    for cell, output in _outputs(_code(nb)):
        for what, pattern in (("a time", TIME), ("rounding noise", RAW)):
            if hit := pattern.search(_printed(output)):
                wrong.append(f"prints {what}, {hit[0]!r}: {cell.source[:60]!r}")
    magic = [c for c in _code(nb) if re.search(r"(?m)^\s*%%?time", c.source)]
    return wrong + [f"times a cell: {cell.source[:60]!r}" for cell in magic]


def start_page_lists_the_lessons(nb, name, files):
    text = "\n".join(_markdown(nb))
    linked = set(re.findall(r"\]\((\d\d_[^)#]+\.ipynb)\)", text))
    lessons = {file for file in files if re.match(r"\d\d_", file)}
    wrong = [f"links {f}, which does not exist" for f in sorted(linked - lessons)]
    return wrong + [f"does not link {f}" for f in sorted(lessons - linked)]


OF_ANY_NOTEBOOK = [
    links_lead_somewhere,
    headings_descend_in_steps,
    cells_are_short,
    code_is_formatted,
    cells_ran_in_order,
    errors_are_meant,
    no_stderr_is_stored,
    figures_have_picture_and_words,
    numbers_are_stable,
]
OF_A_LESSON = [
    sections_in_order,
    first_cell_opens_the_lesson,
    neighbours_are_linked,
    maths_has_a_formula,
    work_is_shown,
    sections_are_alive,
    exercises_are_two,
    recap_is_whole,
    size_is_right,
    *OF_ANY_NOTEBOOK,
]


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
@pytest.mark.parametrize("rule", OF_A_LESSON, ids=lambda r: r.__name__)
def test_lesson_keeps_the_frame(path, rule):
    wrong = rule(nbformat.read(path, as_version=4), path.name, FILES)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "rule", [start_page_lists_the_lessons, *OF_ANY_NOTEBOOK], ids=lambda r: r.__name__
)
def test_start_page_keeps_the_rules(rule):
    path = NOTEBOOKS / "start_here.ipynb"
    wrong = rule(nbformat.read(path, as_version=4), path.name, FILES)
    assert not wrong, "\n".join(wrong)


# ---- Every rule can fail -------------------------------------------------------------

OURS = {"00_first.ipynb", "01_second.ipynb", "start_here.ipynb"}
OPENING = """\
# 01 · A title

*One promise.*

**What you'll learn**

- one;
- two;
- three.

**Before you start:** [00](00_first.ipynb)

60 minutes · Lesson 2 of 10 · Previous: [00](00_first.ipynb) · Next: lesson 02, *Third*
"""
RECAP = """\
## Recap

| Term | Meaning |
|---|---|
| rank | k |

### In an interview

<details><summary>Why?</summary>So.</details>
<details><summary>How?</summary>So.</details>

### Further reading

- A. Author. "A title." 2009.

**Next:** lesson 02, *Third*."""


CALLS = {
    "Predict, then run": [
        'learn.predict("01-x", "?", "ab")',
        'learn.reveal("01-x", 1)',
    ],
    "Playground": ["learn.playground(f, x=(1, 2))"],
    "Your turn": ["ex.check()", "ex.check()  # again"],
    "Quick check": ['learn.quiz("01")'],
}


def markdown(text):
    return nbformat.v4.new_markdown_cell(text)


def code(source="1", *outputs):
    return nbformat.v4.new_code_cell(source, outputs=list(outputs))


def printed(text, name="stdout"):
    return nbformat.v4.new_output("stream", name=name, text=text)


def figure(words="Plot: x."):
    data = {"image/png": "AAAA", "text/plain": words}
    alt = {"image/png": {"alt": words}}
    return nbformat.v4.new_output("display_data", data, metadata=alt)


def good():
    """A made-up lesson 01 that breaks no rule; each section opens with markdown."""
    texts = {title: f"## {title}: more\n\nA sentence." for title in SECTIONS[:-1]}
    texts["The maths"] += "\n\n$$x = y$$"
    texts["Break it"] += " **Symptom:** a. **Cause:** b."
    texts["Your turn"] += "\n\n**Exercise 1.** Do.\n\n**Exercise 2.** Do."
    cells = [markdown(OPENING)]
    for title in SECTIONS[:-1]:
        cells += [markdown(texts[title]), code("f(1)", printed("0.5"), figure())]
        if title in CALLS:
            cells += [code(call, printed("Words.")) for call in CALLS[title]]
    cells += [markdown("More.") for _ in range(4)] + [markdown(RECAP)]
    nb = nbformat.v4.new_notebook(cells=cells)
    nb.metadata = nbformat.from_dict(
        {"kernelspec": {"language": "python", "name": "x"}}
    )
    for number, cell in enumerate(_code(nb), 1):
        cell.execution_count = number
    nb.cells = [copy.deepcopy(cell) for cell in nb.cells]
    for number, cell in enumerate(nb.cells):
        cell.id = f"c{number}"
    nb.cells[2].source = "def f(x):\n    return x\n\n\nlearn = ex = f\nf(1)"
    return nb


@pytest.mark.parametrize("rule", OF_A_LESSON, ids=lambda r: r.__name__)
def test_a_good_lesson_passes(rule):
    assert rule(good(), "01_second.ipynb", OURS) == []


def edit(title, old, new):
    """Replace text in the markdown of a section ("" is the opening)."""

    def change(nb):
        start = f"## {title}" if title else "# 01"
        (cell,) = (c for c in nb.cells if c.source.startswith(start))
        assert old in cell.source
        cell.source = cell.source.replace(old, new)

    return change


def output(*outputs, tags=()):
    """Give the fourth cell, of the section By hand, these outputs and tags."""

    def change(nb):
        nb.cells[4].outputs = list(outputs)
        nb.cells[4].metadata = nbformat.from_dict({"tags": list(tags)})

    return change


def source(text):
    return lambda nb: nb.cells[4].update(source=text)


def count(number):
    return lambda nb: nb.cells[4].update(execution_count=number)


def silent(title):
    """Take the outputs of a section away."""
    return lambda nb: [c.update(outputs=[]) for c in sections(nb)[title].cells]


def dead(title, old, new):
    """Replace text in every code cell of a section."""
    return lambda nb: [
        c.update(source=c.source.replace(old, new)) for c in sections(nb)[title].cells
    ]


def also(*cells):
    return lambda nb: nb.cells.extend(cells)


ERROR = nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])
PICTURE = nbformat.v4.new_output("display_data", {"image/png": "A", "text/plain": "F"})
WORDS = nbformat.v4.new_output("display_data", {"text/plain": "Plot: x."})
BREAKS = [
    (sections_in_order, edit("By hand", "## By hand", "## With hands"), "sections are"),
    (sections_in_order, edit("Break it", "## Break", "### Break"), "sections are"),
    (sections_in_order, also(markdown("## More")), "sections are"),
    (first_cell_opens_the_lesson, edit("", "# 01 ·", "# 02 ·"), "no '# 01 · Title'"),
    (first_cell_opens_the_lesson, edit("", "*One promise.*", "x\ny"), "promise"),
    (first_cell_opens_the_lesson, edit("", "- two;\n", ""), "not three points"),
    (first_cell_opens_the_lesson, edit("", "**Before", "Before"), "Before you start"),
    (first_cell_opens_the_lesson, edit("", "60 minutes", "long"), "minutes"),
    (first_cell_opens_the_lesson, edit("", "Lesson 2", "Lesson 1"), "Lesson 2 of 10"),
    (first_cell_opens_the_lesson, edit("", "Previous: ", ""), "Previous"),
    (neighbours_are_linked, edit("", "00_first", "00_other"), "previous lesson"),
    (neighbours_are_linked, edit("", "lesson 02", "the end"), "does not name the next"),
    (neighbours_are_linked, edit("Recap", "lesson 02", "end"), "does not lead to the"),
    (links_lead_somewhere, edit("", "(00_first", "(00_gone"), "no such notebook"),
    (headings_descend_in_steps, also(markdown("# Again")), "2 titles, not one"),
    (headings_descend_in_steps, edit("", "# 01 ·", "## 01 ·"), "0 titles, not one"),
    (headings_descend_in_steps, edit("By hand", "A", "#### A"), "level 4 skips"),
    (maths_has_a_formula, edit("The maths", "$$", "$"), "no displayed formula"),
    (work_is_shown, silent("By hand"), "By hand shows no result"),
    (work_is_shown, silent("At scale"), "At scale has no figure"),
    (work_is_shown, edit("Break it", "Symptom", "Look"), "names no symptom"),
    (work_is_shown, edit("Break it", "Cause", "Why"), "names no cause"),
    (sections_are_alive, edit("Playground", "A sentence.", ""), "no sentence"),
    (sections_are_alive, silent("Playground"), "no words where widgets do not run"),
    (sections_are_alive, dead("Quick check", "01", "02"), "learn"),
    (exercises_are_two, edit("Your turn", "Exercise 2", "2"), "exercises ['1'], not"),
    (recap_is_whole, edit("Recap", "Term", "Word"), "no table of terms"),
    (recap_is_whole, edit("Recap", "<details>", ""), "not 2 to 4 folded questions"),
    (recap_is_whole, edit("Recap", "2009", "soon"), "no source with its year"),
    (size_is_right, lambda nb: nb.cells.__delitem__(slice(9)), "23 cells, not 25"),
    (size_is_right, also(*map(markdown, "x" * 30)), "cells, not 25 to 45"),
    (size_is_right, also(markdown("word " * 2000)), "words, more than 2,000"),
    (cells_are_short, source("x = 1\n" * 16), "code cell 2 has 16 lines"),
    (code_is_formatted, source("x=1"), "ruff format"),
    (code_is_formatted, source("import os"), "ruff check"),
    (cells_ran_in_order, count(None), "cells ran as"),
    (cells_ran_in_order, count(7), "cells ran as"),
    (errors_are_meant, output(ERROR), "no tag announces"),
    (errors_are_meant, output(tags=["raises-exception"]), "tagged raises-exception"),
    (no_stderr_is_stored, output(printed("!", "stderr")), "stderr is stored"),
    (figures_have_picture_and_words, output(PICTURE), "a figure without words"),
    (figures_have_picture_and_words, output(WORDS), "without its picture"),
    (numbers_are_stable, output(printed("took 3.2 s")), "prints a time, '3.2 s'"),
    (numbers_are_stable, output(printed("0.8437219051")), "prints rounding noise"),
    (numbers_are_stable, output(printed("3.55e-15")), "prints rounding noise"),
    (numbers_are_stable, source("%time f(1)"), "times a cell"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "change", "says"), BREAKS, ids=lambda x: getattr(x, "__name__", None)
)
def test_a_broken_lesson_is_seen(rule, change, says):
    nb = good()
    change(nb)
    assert any(says in wrong for wrong in rule(nb, "01_second.ipynb", OURS))


def test_every_rule_is_seen_to_fail():
    assert {rule for rule, _, _ in BREAKS} == set(OF_A_LESSON)


def test_the_last_lesson_has_a_deck_in_place_of_exercises():
    nb, name = good(), "09_last.ipynb"
    edit("Your turn", "## Your turn", "## The deck")(nb)
    assert sections_in_order(nb, name, OURS) == exercises_are_two(nb, name, OURS) == []
    missing = [w for w in sections_are_alive(nb, name, OURS) if "The deck" in w]
    assert len(missing) == 2
    assert all(words.startswith("The deck calls ") for words in missing)
    assert sections_in_order(nb, "01_second.ipynb", OURS)
    assert sections_in_order(good(), name, OURS)


@pytest.mark.parametrize("title", ALIVE)
def test_every_call_is_missed(title):
    nb = good()
    dead(title, "(", "")(nb)
    wrong = sections_are_alive(nb, "01_second.ipynb", OURS)
    assert len(wrong) == len(ALIVE[title])
    assert all(words.startswith(f"{title} calls ") for words in wrong)


def test_a_lesson_that_exists_must_be_linked_as_the_next():
    files = {*OURS, "02_third.ipynb"}
    assert len(neighbours_are_linked(good(), "01_second.ipynb", files)) == 2


def test_the_start_page_links_just_the_lessons_that_exist():
    page = nbformat.v4.new_notebook(cells=[markdown("[0](00_first.ipynb)")])
    assert start_page_lists_the_lessons(page, "", {"00_first.ipynb", "x.ipynb"}) == []
    assert start_page_lists_the_lessons(page, "", {"01_second.ipynb"}) == [
        "links 00_first.ipynb, which does not exist",
        "does not link 01_second.ipynb",
    ]


def test_a_hash_in_a_code_fence_is_no_heading():
    assert [level for level, _ in _lines("# A\n```\n# b\n```\n## C\n#no")] == [
        *(1, 0, 0, 0, 2, 0)
    ]
