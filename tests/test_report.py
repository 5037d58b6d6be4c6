"""Sheets and pages of grading: nothing lost, nothing unescaped, nothing taken for 0."""

import csv
import html
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace
from urllib.parse import unquote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mfcourse.grading import report
from mfcourse.grading.key import GradingError, Key, Written
from mfcourse.grading.report import SHEET, Report, marks, write
from mfcourse.grading.results import STATUSES, Group, Result
from tests import browser

NAMES = ["Ana", "Bo", "Cy", "Di"]
TASKS = {n: SimpleNamespace(name=n, points=4) for n in ("rmse", "top_n")}
KEY = Key("PS1", "Ratings", "", TASKS, {"why": Written("why", 2, "Why?")}, "s", "d")
PLAIN = replace(KEY, written={})
NOTE = "Run in bubblewrap"
FORMULA = re.compile(r"[\s'\"]*[=+\-@]")
WORDS = st.text(st.characters(codec="utf-8"))
CELLS = st.text(st.sampled_from("=+-@\t\r\n;|,'\" a1"))


def result(student, task="rmse", status="ok", points=4, **more):
    groups = Group("all", status, points, 4, 3 if points else 1, 3)
    groups = () if points is None else (groups,)
    file = f"{student}__ps1.ipynb"
    return Result(student, file, "", task, status, points, 4, groups=groups, **more)


def made(points, key=PLAIN, **more):
    """A report on students with these points in both tasks."""
    results = [
        result(name, task, "ok" if n == 4 else "wrong", n)
        for name, both in points.items()
        for task, n in zip(key.tasks, both, strict=True)
    ]
    parts = {"flags": {}, "written": {}, "similar": [], "note": NOTE, "date": "today"}
    return Report(key, results, **parts | more)


def read(path, delimiter=","):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def pages(out):
    return {p.stem: p.read_text("utf-8") for p in out.rglob("*.html")}


class Seen(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


# ---- Grades --------------------------------------------------------------------------


def test_grades_have_a_row_a_student_and_the_columns_of_canvas(tmp_path):
    write(tmp_path, made({"bo": (4, 2), "Ana": (0, 4)}))
    raw = (tmp_path / "grades.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbfStudent,ID,SIS User ID,SIS Login ID,Section,")
    first, second = read(tmp_path / "grades.csv")
    assert first == {
        "Student": "Ana", "ID": "", "SIS User ID": "", "SIS Login ID": "Ana",
        "Section": "", "PS1 rmse (4)": "0", "PS1 top_n (4)": "4", "PS1 (8)": "4",
        "Flags": "", "Note": NOTE,
    }  # fmt: skip
    assert (second["Student"], second["PS1 (8)"]) == ("bo", "6")


@pytest.mark.parametrize("status", ["flagged", "grader_error", "crashed"])
def test_where_a_person_has_to_look_the_cell_is_empty_and_not_0(tmp_path, status):
    results = [result("Ana", "rmse", status, None), result("Ana", "top_n")]
    write(tmp_path, replace(made({}), results=results))
    (row,) = read(tmp_path / "grades.csv")
    assert (row["PS1 rmse (4)"], row["PS1 top_n (4)"], row["PS1 (8)"]) == ("", "4", "")
    assert row["Flags"].startswith("rmse: ")


def test_points_of_a_task_for_a_person_do_not_count(tmp_path):
    write(tmp_path, replace(made({}), results=[result("Ana", "rmse", "flagged", 4)]))
    (row,) = read(tmp_path / "grades.csv")
    assert row["PS1 rmse (4)"] == row["PS1 (8)"] == ""


def test_a_flagged_student_has_no_points_and_the_reason(tmp_path):
    flags = {"Bo": "Two files."}
    write(tmp_path, made({"Bo": (4, 4)}, KEY, flags=flags, written={"Bo": {}}))
    (row,) = read(tmp_path / "grades.csv")
    assert {row[c] for c in row if c.startswith("PS1")} == {""}
    assert row["Flags"] == "Two files."
    assert "Two files." in pages(tmp_path)["Bo"]
    assert "of 8 points" not in pages(tmp_path)["Bo"]
    assert read(tmp_path / "written.csv") == []


def test_a_task_that_has_no_result_and_an_answer_without_mark_are_open(tmp_path):
    told = made({"Ana": (4, 4)}, KEY)
    write(tmp_path, replace(told, results=told.results[:1]))
    (row,) = read(tmp_path / "grades.csv")
    cells = [row[c] for c in row if c.startswith("PS1")]
    assert cells == ["4", "", "", ""]
    assert row["Flags"] == "top_n: Not graded yet. why: Not marked yet."


# ---- Formulas ------------------------------------------------------------------------


@given(st.one_of(CELLS, WORDS))
def test_no_cell_is_a_formula_and_none_is_changed_for_good(text):
    guarded = report._guard(text)
    assert report._unguard(guarded) == text
    assert not FORMULA.match(guarded) or guarded.lstrip(" ").startswith("'")
    assert not guarded.startswith(("=", "+", "-", "@", "\t", "\r"))
    if not re.search(r"[=+\-@\t\r\n＝＋－＠]", text):
        assert guarded == text


@given(CELLS)
def test_none_is_a_formula_with_any_separator_either(text):
    row = report._csv([["Ana", "why", text, ""]])
    for cell in re.split(r"[;|\t\r\n]", row):
        assert not re.match(r"[\s\"]*[=+\-@]", cell)


# ---- Marks ---------------------------------------------------------------------------


def marked(out, told, found):
    """Write, fill in marks and comments as a person does, write again."""
    write(out, told)
    rows = read(out / "written.csv")
    for row in rows:
        mark, row["Comment"] = found.get((row["Student"], row["Question"]), ("", ""))
        row["Mark"], row["Comment"] = mark, report._guard(row["Comment"])
    sheet(out, rows)
    write(out, told)


def sheet(out, rows, delimiter=",", encoding="utf-8-sig"):
    with (out / "written.csv").open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, [*SHEET, "Note"], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


@given(
    found=st.dictionaries(
        st.tuples(st.sampled_from(NAMES), st.just("why")),
        st.tuples(st.integers(0, 200).map(lambda n: n / 100), st.one_of(CELLS, WORDS)),
    ),
    answer=st.one_of(CELLS, WORDS),
)
def test_marks_come_back_as_they_were_given(tmp_path_factory, found, answer):
    out = tmp_path_factory.mktemp("out")
    told = made(dict.fromkeys(NAMES, (4, 4)), KEY, written={"Ana": {"why": answer}})
    marked(out, told, found)
    assert marks(out / "written.csv", KEY) == found
    for row in read(out / "grades.csv"):
        mark, _ = found.get((row["Student"], "why"), (None, ""))
        total = "" if mark is None else f"{8 + mark:g}"
        assert row["PS1 (10)"] == total
        assert ("why: Not marked" in row["Flags"]) == (mark is None)
    write(out, told)
    assert marks(out / "written.csv", KEY) == found


def test_marks_of_who_is_not_in_this_run_are_kept_at_the_end(tmp_path):
    two = made({"Ana": (4, 4), "Bo": (4, 4)}, KEY, written={"Ana": {"why": "Just so"}})
    marked(tmp_path, two, {("Ana", "why"): (1.5, "fine"), ("Bo", "why"): (0, "")})
    before = marks(tmp_path / "written.csv", KEY)
    write(tmp_path, made({"Bo": (4, 4), "Cy": (4, 4)}, KEY))
    rows = read(tmp_path / "written.csv")
    assert [row["Student"] for row in rows] == ["Bo", "Cy", "Ana"]
    assert (rows[-1]["Answer"], rows[-1]["Comment"]) == ("Just so", "fine")
    assert marks(tmp_path / "written.csv", KEY) == before
    assert "Ana has marks" in pages(tmp_path)["class"]


def test_a_comment_without_a_mark_is_kept(tmp_path):
    told = made({"Ana": (4, 4)}, KEY)
    marked(tmp_path, told, {("Ana", "why"): ("", "look again")})
    write(tmp_path, told)
    assert read(tmp_path / "written.csv")[0]["Comment"] == "look again"
    assert marks(tmp_path / "written.csv", KEY) == {}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["1.5", "1,5", " 1.50 ", "'+1.5"])
def test_a_sheet_is_read_as_spreadsheets_write_it(tmp_path, encoding, delimiter, mark):
    told = made({"Ana": (4, 4)}, KEY)
    write(tmp_path, told)
    (row,) = read(tmp_path / "written.csv")
    sheet(tmp_path, [row | {"Mark": mark}], delimiter, encoding)
    for _ in range(2):
        assert marks(tmp_path / "written.csv", KEY) == {("Ana", "why"): (1.5, "")}
        write(tmp_path, told)
        (row,) = read(tmp_path / "written.csv", delimiter)  # as its owner opens it
        assert row["Mark"] == ("1,5" if delimiter == ";" else "1.5")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Mark": "2.5"}, "row 2 (Ana, why): expected a mark from 0 to 2, got '2.5'"),
        ({"Mark": "-1"}, "expected a mark from 0 to 2, got '-1'"),
        ({"Mark": "nan"}, "expected a mark from 0 to 2, got 'nan'"),
        ({"Mark": "03. May"}, "expected a mark from 0 to 2, got '03. May'"),
        ({"Question": "how", "Mark": "1"}, "expected a question of the key: why"),
    ],
)
def test_what_is_no_mark_is_named_with_its_row_and_nothing_is_written(
    tmp_path, change, words
):
    told = made({"Ana": (4, 4)}, KEY, written={"Ana": {"why": "a\nb"}})
    write(tmp_path, told)
    sheet(tmp_path, [row | change for row in read(tmp_path / "written.csv")])
    before = {p: p.read_bytes() for p in tmp_path.rglob("*.*")}
    with pytest.raises(GradingError, match=re.escape(words)):
        write(tmp_path, replace(told, note="other"))
    assert {p: p.read_bytes() for p in tmp_path.rglob("*.*")} == before


def test_a_sheet_that_is_none_is_refused(tmp_path):
    path = tmp_path / "written.csv"
    row = dict(zip(SHEET, ["Ana", "why", "2", "", "1", ""], strict=True))
    sheet(tmp_path, [row, row])
    with pytest.raises(GradingError, match=r"row 3 .* the second"):
        marks(path, KEY)
    path.write_text("Student,Question\nAna,why\n")
    with pytest.raises(GradingError, match="Mark"):
        marks(path, KEY)
    path.write_bytes("Student,é".encode("latin-1"))
    with pytest.raises(GradingError, match="UTF-8"):
        marks(path, KEY)


def test_a_long_answer_is_cut_and_says_so(tmp_path):
    write(tmp_path, made({"Ana": (4, 4)}, KEY, written={"Ana": {"why": "x" * 5_001}}))
    (row,) = read(tmp_path / "written.csv")
    assert row["Answer"] == "x" * 5_000 + " … (cut at 5,000 characters)"


def test_a_sheet_is_left_alone_where_the_key_asks_nothing_written(tmp_path):
    (tmp_path / "written.csv").write_text("mine")
    write(tmp_path, made({"Ana": (4, 4)}))
    assert (tmp_path / "written.csv").read_text() == "mine"


# ---- Files ---------------------------------------------------------------------------


def test_an_interruption_leaves_each_file_old_or_new(tmp_path, monkeypatch):
    told = made(dict.fromkeys(NAMES, (4, 4)), KEY, written={"Ana": {"why": "x"}})
    write(tmp_path, told)
    marked(tmp_path, told, {("Ana", "why"): (1, "good")})
    files = sorted(p for p in tmp_path.rglob("*.*") if p.is_file())
    replaced, old = os.replace, {p: p.read_bytes() for p in files}
    write(tmp_path / "new", replace(told, note="new"))
    for stop in range(len(files)):
        left = iter(range(stop))

        def stopped(one, other, left=left):
            if next(left, None) is None:
                raise KeyboardInterrupt
            replaced(one, other)

        monkeypatch.setattr(os, "replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path, replace(told, note="new"))
        monkeypatch.undo()
        changed = [p for p in files if p.read_bytes() != old[p]]
        assert len(changed) == stop
        assert all(b"new" in p.read_bytes() for p in changed)
        assert marks(tmp_path / "written.csv", KEY) == {("Ana", "why"): (1, "good")}
        for path in files:
            path.write_bytes(old[path])


def test_pages_of_who_is_gone_are_removed(tmp_path):
    write(tmp_path, made({"Ana": (4, 4), "Bo": (4, 4)}))
    write(tmp_path, made({"Bo": (4, 4)}))
    assert set(pages(tmp_path)) == {"class", "Bo"}


HOSTILE = st.one_of(
    st.text(max_size=80),
    st.sampled_from(
        ["..", "../x", "/etc/x", "a\0b", "CON", "ana", "Ana", "É", "E\u0301", "é"]
    ),
)


@given(st.sets(HOSTILE, max_size=6))
def test_each_student_has_a_page_of_their_own_inside_the_folder(names):
    found = report._pages(names)
    assert len({report._folded(page) for page in found.values()}) == len(names)
    for page in found.values():
        assert re.fullmatch(
            r"\w[\w .@+-]*(~[0-9a-f]{16})?\.html|~[0-9a-f]{16}\.html", page
        )
        assert len(os.fsencode(page)) + len(".new") <= 255


def test_a_name_that_looks_like_anothers_page_gets_its_own(tmp_path):
    names = {"Ana", "ana"}
    taken = {page.removesuffix(".html") for page in report._pages(names).values()}
    assert len(set(report._pages(names | taken).values())) == 4
    assert report._pages({"Ana M. Ōtani+1@x-y"}) == {
        "Ana M. Ōtani+1@x-y": "Ana M. Ōtani+1@x-y.html"
    }


# ---- Pages ---------------------------------------------------------------------------

EVIL = "<img src=x onerror=1>\"'&"


def full():
    """A report with all that can stand on a page, and text that wants to be HTML."""
    name, other = f"Ana {EVIL}", "Bo Ōtani"
    results = [
        replace(result(n, "rmse", s, 0), reason=EVIL, file=EVIL)
        for s in STATUSES
        for n in [f"{s} {EVIL}"]
    ]
    group = Group(EVIL, "crashed", 0, 4, 1, 3, EVIL)
    results += [replace(result(name), groups=(group,)), result(name, "top_n")]
    evil = dict.fromkeys(("note", "date"), EVIL)
    flags, written = {other: EVIL}, {name: {"why": "SECRET" + EVIL}}
    key = replace(KEY, name=f"PS1{EVIL}", title=EVIL)
    return Report(key, results, flags, written, [(name, EVIL, 0.9)], **evil)


def test_nothing_is_unescaped_and_nothing_is_asked_for_outside(tmp_path):
    told = full()
    write(tmp_path, told)
    marked(tmp_path, told, {(f"Ana {EVIL}", "why"): ("1", EVIL)})
    found = pages(tmp_path)
    assert len(found) == len(STATUSES) + 3
    for page in found.values():
        assert "<img" not in page
        assert EVIL in Seen(page).text
        for tag, attributes in Seen(page).tags:
            assert tag not in {"script", "img", "link", "iframe", "object", "base"}
            assert not any(name.startswith("on") for name in attributes)
            assert not {"src", "style", "srcset", "action"} & set(attributes)
            assert attributes.get("href", "students/").startswith("students/")
        assert not re.search(r"https?:|//|url\(|@import", page)
        assert "SECRET" not in page
        assert page.startswith('<!DOCTYPE html>\n<html lang="en">')


def test_what_is_filled_into_html_is_text_there_in_an_attribute_too():
    template = '<p title="{}">{}</p>'
    page = Seen(report._fill(template, EVIL, [EVIL, report._fill("<b>{}</b>", EVIL)]))
    assert page.tags == [("p", {"title": EVIL}), ("b", {})]
    assert page.text == 2 * EVIL


def test_half_a_character_stops_nothing(tmp_path):
    write(tmp_path, made({"a\ud800": (4, 4)}, KEY, written={"Ana": {"why": "\udfff"}}))
    assert read(tmp_path / "written.csv")[0]["Answer"] == "?"


@given(name=WORDS, words=WORDS)
def test_any_text_is_shown_as_it_is(name, words):
    assume(not set("\r\0") & set(name + words))
    told = made({name: (0, 4)}, flags={"Bo": words})
    students = report._students(told, {})
    links = [
        t for t, a in Seen(report._class_page(told, students, [])).tags if t == "a"
    ]
    assert len(links) == len(students) + 1
    for student in students:
        text = Seen(report._student_page(told, student)).text
        assert student.name in text
        assert student.flag in text


def test_links_lead_to_the_pages(tmp_path):
    write(tmp_path, made({"Ana M. Ōtani+1@x-y": (4, 4), "Bo/../x #?%41": (1, 1)}))
    tags = Seen(pages(tmp_path)["class"]).tags
    links = {a["href"] for tag, a in tags if tag == "a"}
    assert len(links) == 2
    for link in links:
        assert re.fullmatch(r"students/[\w.%~@+-]+", link, re.ASCII)
        assert (tmp_path / unquote(link)).is_file()


@pytest.mark.parametrize("note", ["Run in bubblewrap.", "UNSAFE: without a sandbox."])
def test_the_note_stands_on_every_page_and_in_every_sheet(tmp_path, note):
    told = made(dict.fromkeys(NAMES, (4, 4)), KEY, flags={"Di": "x"}, note=note)
    write(tmp_path, told)
    files = [p for p in tmp_path.rglob("*.*") if p.is_file()]
    assert len(files) == len(NAMES) + 3
    for path in files:
        assert note in path.read_text("utf-8")
        if path.suffix == ".html":
            assert ("⚠" in path.read_text("utf-8")) == ("UNSAFE" in note)


def test_a_status_is_said_in_words_with_a_sign():
    signs = {s: Seen(report._part("f", report._Part(4, s))).text for s in report.SAYS}
    assert set(STATUSES) < set(signs)
    for status, text in signs.items():
        assert report.SAYS[status] in text
        assert re.search("[✓✗?]", text)[0] == (
            "✓" if status in ("ok", "marked") else "?" if status in report.LOOK else "✗"
        )


def test_a_page_tells_each_group_with_its_cases_points_and_reason(tmp_path):
    groups = (
        Group("small", "ok", 1, 1, 3, 3),
        Group("large", "wrong", 0, 3, 2, 4, "Another shape."),
    )
    mixed = replace(result("Ana", "rmse", "wrong", 1), groups=groups)
    write(tmp_path, replace(made({}), results=[mixed, result("Ana", "top_n")]))
    page = Seen(pages(tmp_path)["Ana"])
    assert "✓ small3 of 31 of 1" in page.text
    assert "✗ largeNot all cases are right. Another shape.2 of 40 of 3" in page.text
    assert "5 of 8 points" in page.text
    scopes = [a["scope"] for tag, a in page.tags if tag == "th"]
    assert scopes == ["col"] * 3 + ["row"] * 2 + ["col"] * 3 + ["row"]
    assert sum(tag == "caption" for tag, _ in page.tags) == 2


# ---- The class -----------------------------------------------------------------------


def cells(page, first):
    """Of the row with this first cell."""
    row = re.search(rf'<tr><th scope="row">{re.escape(first)}.*?</tr>', page)[0]
    return [html.unescape(re.sub("<.*?>", "", c)).strip()
            for c in re.findall("<td>(.*?)</td>", row)]  # fmt: skip


def test_difficulty_is_that_of_a_count_by_hand(tmp_path):
    told = made({"Ana": (4, 4), "Bo": (4, 1), "Cy": (0, 0), "Di": (4, 4)})
    late = [replace(r, status="flagged", points=None) if r.student == "Di" else r
            for r in told.results]  # fmt: skip
    write(tmp_path, replace(told, results=late, flags={"Ed": "Two files."}))
    page = pages(tmp_path)["class"]
    # rmse: 4, 4, 0 of 4; top_n: 4, 1, 0 of 4; Di and Ed are not known.
    counts = "✓ 2 ok ✗ 1 wrong ? 1 flagged ? 1 not scored"
    assert cells(page, "rmse (4)") == ["67%", "67%", counts]
    assert cells(page, "top_n (4)")[:2] == ["42%", "33%"]
    figures = re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", page)
    assert dict(figures) == {  # totals 8, 5, 0
        "Students": "5", "With a total": "3", "Mean total": "4.3", "Median total": "5.0"
    }  # fmt: skip
    assert cells(page, '<a href="students/Bo.html">')[0] == "5 of 8 points"


@given(st.lists(st.integers(0, 80).map(lambda n: n / 4), max_size=30))
def test_each_total_is_in_one_bar_of_the_histogram(totals):
    drawn = report._histogram(totals, 20)
    words = re.findall(r"([\d.]+) to ([\d.]+): (\d+)", Seen(drawn).text)
    assert len(words) == 10
    assert sum(int(count) for *_, count in words) == len(totals)
    for low, high, count in words:
        last = high == "20"
        inside = [float(low) <= t < float(high) or (last and t == 20) for t in totals]
        assert int(count) == sum(inside)
    bars = [float(a["height"]) for tag, a in Seen(drawn).tags if tag == "rect"]
    assert len(bars) == sum(count != "0" for *_, count in words)
    assert all(0 < high <= 90 for high in bars)


def test_the_histogram_counts_who_is_scored(tmp_path):
    told = made(dict.fromkeys(NAMES, (4, 2)), flags={"Di": "Two files."})
    write(tmp_path, told)
    words = re.findall(r"[\d.]+ to [\d.]+: (\d+)", pages(tmp_path)["class"])
    assert sum(map(int, words)) == 3


def test_a_class_of_nobody_has_a_page(tmp_path):
    write(tmp_path, made({}, KEY))
    assert set(pages(tmp_path)) == {"class"}


def test_pairs_are_a_list_to_look_at(tmp_path):
    write(tmp_path, made({"Ana": (4, 4), "Bo": (4, 4)}, similar=[("Ana", "Bo", 0.97)]))
    page = pages(tmp_path)["class"]
    assert "not a verdict" in page
    assert cells(page, '<a href="students/Ana.html">Ana</a></th><td><a')[1] == "97%"
    assert "97%" not in pages(tmp_path)["Ana"]


@pytest.mark.browser
@pytest.mark.skipif(not browser.CHROMIUM, reason="no Chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_pages_are_accessible_fit_and_ask_for_nothing(tmp_path, scheme, width):
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    write(tmp_path, replace(full(), note="UNSAFE: run without a sandbox."))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser.CHROMIUM, args=browser.FLAGS
        )
        size = {"width": width, "height": browser.HIGH}
        page = chromium.new_page(viewport=size, color_scheme=scheme)
        asked, said = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        kinds = ("class*", "Ana*", "Bo*", "time_limit*")
        paths = [path for kind in kinds for path in tmp_path.rglob(f"{kind}.html")]
        assert len(paths) == 4
        for path in paths:
            page.goto(path.as_uri())
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, path
            # Axe is a script, and the page allows none: look at a copy that does.
            policy = re.compile(r"<meta http-equiv[^>]*>")
            page.set_content(policy.sub("", path.read_text("utf-8")))
            found = Axe().run(page)
            assert not found.violations_count, found.generate_report()
        chromium.close()
    assert asked == [path.as_uri() for path in paths]
    assert said == []
