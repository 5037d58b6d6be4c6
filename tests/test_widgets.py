"""A learner at the widgets, in a real JupyterLab: mouse, keyboard, reload, progress."""

import re

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from mfcourse import exercises
from mfcourse.learn import bank, progress
from tests import browser
from tests.test_browser import failed, pytestmark, write  # noqa: F401

MSD = exercises.msd_similarity
CELLS = [
    """
import mfcourse as mf
from mfcourse import datasets, exercises, learn, plots

ratings = datasets.load()
likes = ratings[ratings["rating"] >= 4].assign(rating=1.0)
likes = likes[likes.groupby("item")["item"].transform("size") >= 20]
model = mf.ImplicitALSModel(n_factors=16, n_epochs=3).fit(likes)
""",
    'learn.predict("01-films", "How many films?", ["few", "many"])',
    'learn.reveal("01-films", "few" if model.train_.n_items < 1000 else "many")',
    """
def draw(k=2, reg=0.1):
    fitted = mf.ALSModel(n_factors=k, reg=reg, engine="plain").fit(datasets.toy())
    return plots.heatmap(fitted.user_factors_.round(2), title=f"k = {k}")


learn.playground(draw, lesson="01", labels={"reg": "λ"}, k=(1, 4), reg=[0.1, 1, 10])
""",
    'learn.quiz("01")',
    "learn.studio(model, datasets.load_items())",
    MSD.cell.replace(MSD.starter, MSD.source).replace(
        "ex = ", "import numpy as np\nex = "
    ),
    'learn.practice("neighbours")',
    "learn.dashboard()",
]


@pytest.fixture(scope="module")
def page_of_widgets(tmp_path_factory):
    path = tmp_path_factory.mktemp("widgets") / "widgets.ipynb"
    return write(path, *(nbformat.v4.new_code_cell(cell.strip()) for cell in CELLS))


expect.set_options(timeout=20_000)  # a busy machine is no failure


def group(page, name):
    return page.get_by_role("group", name=name)


def right_and_wrong(number):
    """Texts of the right choice of a question of lesson 01, and of a wrong one."""
    choices = bank.lesson("01")[number - 1].choices
    right = next(c.text for c in choices if c.right)
    return right, next(c.text for c in choices if not c.right)


def of(events, kind):
    return [event for event in events if event.kind == kind]


def test_a_learner_acts_and_finds_it_again(page_of_widgets, monkeypatch):
    monkeypatch.setenv("MFCOURSE_RECORD", "1")
    with browser.serve(record=True) as both, both.opened(page_of_widgets) as here:
        monkeypatch.setenv("MFCOURSE_HOME", str(here.progress))
        assert not failed(here.run_all())
        page = here.page

        page.get_by_role("button", name="few").click()
        expect(page.get_by_text("You predict: few")).to_be_visible()

        quick = group(page, "Quick check")
        right, wrong = right_and_wrong(1)
        quick.get_by_role("button", name=wrong).click()
        expect(quick.get_by_text("not so", exact=False).first).to_be_visible()
        expect(quick.get_by_text("0/3 right")).to_be_visible()
        quick.get_by_role("button", name=right).click()
        expect(quick.get_by_text("1/3 right")).to_be_visible()
        answer_with_keys(page, quick, number=2)
        expect(quick.get_by_text("2/3 right")).to_be_visible()

        ground = group(page, "Playground")
        before = ground.locator("img").get_attribute("alt")
        ground.get_by_role("slider").first.focus()
        page.keyboard.press("ArrowRight")
        expect(ground.locator("img")).to_have_attribute("alt", re.compile("k = 3"))
        assert ground.locator("img").get_attribute("alt") != before

        rate(page, "Toy Story", "5")
        rate(page, "Casablanca", "4")

        practise(page)

        for dark in (False, True):
            here.paint(dark)
            found = Axe().run(page, context=".mf")
            assert found.violations_count == 0, found.generate_report()
            assert found.response["passes"]

        assert not of(events := progress.events(), "nothing")
        assert [e.data["right"] for e in of(events, "answer")] == [False, True, True]
        assert [e.subject for e in of(events, "passed")] == ["msd_similarity"]
        assert [e.subject for e in of(events, "played")] == ["01"]
        assert [e.data["choice"] for e in of(events, "predicted")] == ["few"]
        assert [e.data["stars"] for e in of(events, "rated")] == [5, 4]
        assert [e.data["grade"] for e in of(events, "practised")] == ["good", "again"]

        here.open(page_of_widgets.name)
        here.run_all()
        expect(group(page, "Quick check").get_by_text("2/3 right")).to_be_visible()
        expect(page.get_by_text("You predict: few")).to_be_visible()
        expect(page.get_by_label("Stars for Casablanca")).to_have_value("4")
        words = "1 due · 2 new · 1 learned"
        expect(group(page, "Practice").get_by_text(words).first).to_be_visible()
        row = page.get_by_role("row", name=re.compile("09 .*1 of .* cards"))
        expect(row).to_be_visible()
        row = page.get_by_role("row", name=re.compile("01 .*1 of 2.*2 of 3"))
        expect(row).to_be_visible()
        assert progress.events() == events
        assert not here.outside


def answer_with_keys(page, quick, number):
    """Find a choice with Tab and the arrows, and press it with Enter."""
    right, _ = right_and_wrong(number)
    quick.get_by_role("button").first.focus()
    for _ in range(20):
        if right in page.evaluate("() => document.activeElement.textContent"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")


def practise(page):
    """Unfold and grade two cards with keys alone, and leave a third one open."""
    cards = group(page, "Practice")
    answer = cards.get_by_role("region", name="Answer")
    cards.get_by_role("button", name="Show the answer").focus()
    for key, counts in (("3", "0 due · 3 new"), ("1", "1 due · 2 new"), (None, "")):
        page.keyboard.press("Space")
        expect(answer).to_be_focused()
        expect(answer.get_by_text("Trap:")).to_be_visible()
        if key:
            page.keyboard.press(key)
            expect(cards.get_by_text(counts).first).to_be_visible()
            expect(cards.locator(".mf-question")).to_be_focused()
    cards.get_by_label("Your answer").focus()
    page.keyboard.type("1 2 3 4")  # is text, and grades nothing
    expect(cards.get_by_label("Your answer")).to_have_value("1 2 3 4")


def rate(page, title, stars):
    """Find a film and give it stars, with keys alone."""
    studio = page.get_by_role("region", name="Studio")
    studio.get_by_role("searchbox").focus()
    page.keyboard.type(title)
    expect(studio.get_by_role("button", name=title).first).to_be_visible()
    page.keyboard.press("Enter")
    slider = studio.get_by_label(f"Stars for {title}")
    slider.focus()
    page.keyboard.press(stars)
    expect(
        studio.get_by_text(re.compile(f"{title}.*: {stars} stars")).first
    ).to_be_visible()
