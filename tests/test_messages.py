"""What a front end sends is checked: nonsense changes nothing, and raises nothing."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

import mfcourse as mf
from mfcourse import datasets, learn, plots
from mfcourse.learn import progress

NONSENSE = [None, -1, 99, "a", 0.0, True, [1], {}, 10**400]


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setenv("MFCOURSE_HOME", str(tmp_path))
    monkeypatch.setenv("MFCOURSE_RECORD", "1")


def drawn(k=2):
    return plots.lines(pd.DataFrame({"y": [k, 1]}), title="T", ylabel="y")


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("value", NONSENSE)
def test_nonsense_changes_nothing(value):
    quick, before = learn.quiz("01"), [{}, {}, {}]
    for content in ({}, {"question": value, "choice": 0}, {"question": 0}):
        quick._heard(quick, content, [])
    quick._heard(quick, {"question": 0, "choice": value}, [])
    assert quick.marks == before
    asked, before = learn.predict("01-x", "?", ["a", "b"]), ""
    for content in ({}, {"at": value}, {"value": value}):
        asked._heard(asked, content, [])
    assert asked.chosen == before
    assert progress.events() == []
    ground = learn.playground(drawn, lesson="01", k=(1, 4))
    for content in ({}, {"at": [value]}, {"at": []}):
        ground._heard(ground, content, [])
    assert ground.at == [1]
    assert plt.get_fignums() == []


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("value", [None, "a", True, [1], {}, 10**400, float("nan")])
def test_what_is_no_number_is_no_prediction(value):
    asked = learn.predict("01-y", "?")
    asked._heard(asked, {"value": value}, [])
    assert asked.chosen == ""


@pytest.mark.usefixtures("log")
def test_a_studio_does_only_what_it_knows():
    model = mf.PopularityModel().fit(datasets.toy())
    films = pd.DataFrame({"item": datasets.toy_items()["item"]})
    here = learn.studio(model, films.assign(title=films["item"]))
    film = films["item"].iloc[0]
    here.rate(film, 4)
    for do in (None, "bogus", ["rate"]):
        here._heard(here, {"do": do, "item": film}, [])
    assert [event.data["stars"] for event in progress.events("rated")] == [4]
    before = dict(here._stars)
    here._rank = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        here.rate(film, 2)
    assert here._stars == before
    assert len(progress.events("rated")) == 1


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("choice", [[1], {"a": 1}, 10**400, None, "c", True])
def test_a_strange_event_of_the_log_is_passed_over(choice):
    progress.record("predicted", "01-z", once=True, choice=choice)
    assert learn.predict("01-z", "?", ["a", "b"]).chosen == ""
    assert learn.predict("01-z", "?").chosen == ""
