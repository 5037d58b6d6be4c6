"""The studio without its front end: what a model hears, and what a rating changes."""

import re
import unicodedata

import numpy as np
import pandas as pd
import pytest

import mfcourse as mf
from mfcourse.learn import progress, studio
from tests.conftest import random_ratings

TITLES = ["Amélie", "The Matrix", "Alien", "Aliens", "Æon <b>Flux</b>"]


@pytest.fixture(scope="module")
def ratings():
    return random_ratings(seed=1)


@pytest.fixture(scope="module")
def items(ratings):
    """A title for each item of training, and one film that training lacks."""
    ids = sorted(ratings["item"].unique())
    titles = [*TITLES, *(f"Film {i}" for i in ids[len(TITLES) :]), "Unseen"]
    years = pd.array([1990 + k for k in range(len(ids))] + [pd.NA], dtype="Int64")
    return pd.DataFrame({"item": [*ids, 999], "title": titles, "year": years})


@pytest.fixture(scope="module")
def likes(ratings):
    return ratings[ratings["rating"] >= 3].assign(rating=1.0)


@pytest.fixture(scope="module")
def ials(likes):
    return mf.ImplicitALSModel(n_factors=4, reg=1.0).fit(likes)


@pytest.fixture(scope="module")
def als(ratings):
    return mf.ALSModel(n_factors=3).fit(ratings)


@pytest.fixture
def log(monkeypatch, tmp_path):
    """A progress log of its own."""
    monkeypatch.setenv("MFCOURSE_HOME", str(tmp_path))
    monkeypatch.setenv("MFCOURSE_RECORD", "1")
    return lambda: [(e.subject, e.data["stars"]) for e in progress.events("rated")]


def told(stars):
    return pd.DataFrame({"item": list(stars), "rating": [*map(float, stars.values())]})


# ---- What the model hears ------------------------------------------------------------


def test_a_model_of_stars_hears_the_stars(als, items):
    stars = {3: 5.0, 10: 1.5, 17: 4.0}
    got = studio(als, items, stars, n=5).recommendations()
    wanted = als.fold_in(told(stars)).head(5)
    assert got["item"].tolist() == wanted["item"].tolist()
    np.testing.assert_allclose(got["score"], wanted["score"], rtol=0, atol=1e-12)
    assert got["rank"].tolist() == [1, 2, 3, 4, 5]


def test_a_model_of_likes_hears_what_was_liked_and_lists_nothing_that_was_rated(
    ials, items
):
    here = studio(ials, items, {3: 5.0, 10: 1.5, 17: 4.0}, n=50)
    wanted = ials.fold_in(told({3: 1, 17: 1})).set_index("item")["score"]
    got = here.recommendations().set_index("item")["score"]
    assert 10 in wanted.index
    np.testing.assert_allclose(got, wanted.drop(10), rtol=0, atol=1e-12)
    assert "hears which films you liked: 4 stars or more" in repr(here)
    notes = {row["id"]: row["note"] for row in here.state["rated"]}
    assert notes == {"3": "", "17": "", "10": notes["10"]}
    assert notes["10"].startswith("Below 4 stars is no like")
    lower = studio(ials, items, {3: 5.0, 10: 1.5}, likes_from=1.5)
    assert not any(row["note"] for row in lower.state["rated"])


@pytest.mark.parametrize(
    ("model", "stars", "hears"),
    [
        (mf.EASEModel(), True, "likes"),
        (mf.BPRModel(n_factors=2, n_epochs=2), True, "likes"),
        (mf.PopularityModel(), False, "likes"),
        (mf.ItemKNNModel(similarity="cosine", normalize=False), False, "likes"),
        (mf.SGDModel(n_factors=2, n_epochs=2), True, "stars"),
        (mf.UserKNNModel(), True, "stars"),
    ],
)
def test_what_a_model_hears_follows_from_its_kind_and_training(
    model, stars, hears, ratings, likes, items
):
    model.fit(ratings if stars else likes)
    assert studio(model, items)._hears == hears
    other = {"likes": "stars", "stars": "likes"}[hears]
    assert studio(model, items, hears=other)._hears == other


def test_a_film_that_training_lacks_is_said_and_left_out(als, items):
    here = studio(als, items, {3: 4.0})
    before = here.recommendations()
    said = here.rate(999, 5)
    assert "Unseen: 5 stars. The model does not know this film" in said
    assert "The list is the same" in said
    pd.testing.assert_frame_equal(here.recommendations(), before)
    assert here.state["rated"][0]["note"].startswith("The model does not know")


def test_with_nothing_told_the_list_is_for_a_stranger_or_empty(ials, als, items, likes):
    assert studio(ials, items).recommendations().empty
    assert "for a stranger all films score the same" in repr(studio(ials, items))
    heard_nothing = studio(ials, items, {3: 2.0})
    assert heard_nothing.recommendations().empty
    assert heard_nothing.state["empty"].startswith("The model has heard nothing yet")
    popular = studio(mf.PopularityModel().fit(likes), items)
    assert popular.state["empty"].startswith("You have rated nothing yet: this is its")
    best = likes["item"].value_counts().max()
    assert popular.recommendations()["score"].iloc[0] == best
    nobody = als.fold_in(told({})).head(8)["item"].tolist()
    assert studio(als, items).recommendations()["item"].tolist() == nobody


# ---- Why, neighbours, search ---------------------------------------------------------


@pytest.mark.parametrize("name", ["als", "ials"])
def test_reasons_name_the_two_that_add_most(name, items, request):
    model = request.getfixturevalue(name)
    here = studio(model, items, {3: 5.0, 10: 4.5, 17: 4.0, 24: 5.0}, n=50)
    titles = items.set_index("item")["title"]
    lengths = set()
    for row in here.recommendations().itertuples():
        parts = here.why(row.item)
        assert set(parts["item"]) == {3, 10, 17, 24}
        best = parts[parts["contribution"] > 0].head(2)
        wanted = [f"{titles[p.item]} {p.contribution:+.3f}" for p in best.itertuples()]
        assert row.why == " · ".join(wanted)
        lengths.add(len(best))
    if name == "als":  # what speaks against a film is no reason for it
        assert min(lengths) < 2


def test_what_a_model_cannot_do_is_left_out(likes, items):
    here = studio(mf.PopularityModel().fit(likes), items, {3: 5.0})
    assert "why" not in here.recommendations()
    assert not here.state["alike"]
    assert not any(row["why"] for row in here.state["list"])
    with pytest.raises(mf.NotSupported, match="ALS and iALS can"):
        here.why(10)


def test_neighbours_are_those_of_the_model(als, items):
    got = studio(als, items).neighbours(17, n=3)
    wanted = als.similar_items(17, n=3)
    assert got["item"].tolist() == wanted["item"].tolist()
    assert got["score"].tolist() == wanted["score"].tolist()


def test_search_minds_neither_case_nor_accents_nor_the_order_of_words(als, items):
    here = studio(als, items)
    for text in (
        "amelie",
        "AMÉLIE",
        unicodedata.normalize("NFD", "Amélie"),
        "1990 AME",
    ):
        assert here.search(text)["title"].tolist() == ["Amélie"]
    assert here.search("matrix the")["item"].tolist() == [10]
    assert here.search("no such film").empty
    assert len(here.search("", n=4)) == 4
    assert set(here.search("alien")["title"]) == {"Alien", "Aliens"}


def test_search_finds_the_best_known_first(als, items, ratings):
    found = studio(als, items).search("", n=100)["item"]
    known = ratings["item"].value_counts().reindex(found, fill_value=0)
    assert known.is_monotonic_decreasing
    assert found.iloc[-1] == 999


# ---- What a rating does --------------------------------------------------------------


def test_moves_new_and_left_films_add_up(als, items):
    here, seen = studio(als, items, {3: 4.0, 10: 2.0}), set()
    changes = [(17, 5.0), (24, 0.5), (17, 1.0), (3, 5.0), (None, 3.0), (None, 0.5)]
    for item, stars in changes:
        before = here.recommendations()["item"].tolist()
        item = item or before[0]  # one that the list then loses, and that is not "out"
        here.rate(item, stars)
        now = here.recommendations()["item"].tolist()
        moves = {row["id"]: row["move"] for row in here.state["list"]}
        for rank, film in enumerate(now):
            wanted = before.index(film) - rank if film in before else "new"
            assert moves[str(film)] == wanted
        left = [film for film in before if film not in now and film != item]
        assert len(here.state["left"]) == len(left)
        steps = [move for move in moves.values() if move != "new"]
        counts = {
            "new": len(moves) - len(steps),
            "up": len([move for move in steps if move > 0]),
            "down": len([move for move in steps if move < 0]),
            "out": len(left),
        }
        found = re.findall(r"(\d+) (new|up|down|out)", here.state["said"])
        told = {what: int(count) for count, what in found}
        assert told == {what: count for what, count in counts.items() if count}
        seen |= set(told)
    assert seen == {"new", "up", "down", "out"}


def test_the_sentence_says_what_was_done(als, ials, items):
    here = studio(als, items)
    assert here.rate(17, 1).startswith("Alien (1992): 1 star. In the list: ")
    assert here.rate(17, 4.5).startswith("Alien (1992): 4.5 stars in place of 1 star. ")
    assert here.take_back(17).startswith("Alien (1992): rating taken back. ")
    assert here.rate(17, 3) == here.state["said"]
    assert here.rate(17, 3) == "Alien (1992) has this rating already."
    liked = studio(ials, items, {17: 5.0})
    assert "A like, as before. The list is the same." in liked.rate(17, 4)
    assert "no like" in liked.rate(17, 3)
    assert liked.rate(17, 4).startswith("Alien (1992): 4 stars in place of 3 stars. In")


def test_taking_back_undoes_a_rating(als, items):
    here = studio(als, items, {3: 4.0})
    before = here.recommendations()
    here.rate(10, 5)
    assert not here.recommendations().equals(before)
    here.take_back(10)
    pd.testing.assert_frame_equal(here.recommendations(), before)


def test_wrong_calls_say_what_to_do(als, items):
    here = studio(als, items)
    for stars in (0, 5.5, 3.3, "4", None):
        with pytest.raises(ValueError, match=r"stars must be 0\.5, 1, 1\.5, …, 5"):
            here.rate(3, stars)
    with pytest.raises(KeyError, match=r"no film 12345 in items; \.search"):
        here.rate(12345, 4)
    with pytest.raises(KeyError, match="has no rating to take back"):
        here.take_back(3)
    with pytest.raises(ValueError, match=r"items has no column \['title'\]"):
        studio(als, items.drop(columns="title"))
    with pytest.raises(ValueError, match="hears must be 'likes' or 'stars'"):
        studio(als, items, hears="plays")
    with pytest.raises(mf.NotFittedError):
        studio(mf.ALSModel(), items)


def test_ids_may_be_text_and_titles_and_years_may_be_missing(ratings):
    words = ratings.assign(item="f" + ratings["item"].astype(str))
    model = mf.ALSModel(n_factors=2).fit(words)
    here = studio(model, pd.DataFrame({"item": ["f3"], "title": ["Three"]}), {"f3": 5})
    assert here.recommendations()["title"].str.startswith("f").all()
    assert here.recommendations()["year"].isna().all()
    here._heard(here, {"do": "rate", "item": "f10", "stars": 2.5}, None)
    assert here._stars == {"f3": 5.0, "f10": 2.5}


# ---- The front end's messages, the log, the words ------------------------------------


def test_messages_do_what_the_methods_do(als, items, monkeypatch):
    here = studio(als, items)
    sent = []
    monkeypatch.setattr(here, "send", sent.append)
    here._heard(here, {"do": "search", "text": "amelie"}, None)
    assert sent == [{"text": "amelie", "found": [{"id": "3", "name": "Amélie (1990)"}]}]
    here._heard(here, {"do": "near", "item": "17"}, None)
    assert sent[1]["of"] == "Alien (1992)"
    near = [row["id"] for row in sent[1]["near"]]
    assert near == here.neighbours(17)["item"].astype(str).tolist()
    here._heard(here, {"do": "rate", "item": "17", "stars": 4}, None)
    assert here.state["rated"] == [
        {"id": "17", "name": "Alien (1992)", "stars": 4.0, "note": ""}
    ]
    for _ in range(2):  # a second click on a row that is going
        here._heard(here, {"do": "take back", "item": "17"}, None)
    assert here.state["rated"] == []


def test_ratings_are_kept_and_come_back(als, items, log):
    here = studio(als, items, {3: 4.0})
    assert log() == []  # only what a person does is kept
    here.rate(10, 5)
    here.rate(10, 5)
    here.rate(10, 2.5)
    here.rate(17, 1)
    here.take_back(17)
    here.take_back(3)
    wanted = [("10", 5.0), ("10", 2.5), ("17", 1.0), ("17", None), ("3", None)]
    assert log() == wanted
    assert studio(als, items, {3: 4.0, 24: 1.0})._stars == {10: 2.5, 24: 1.0}
    progress.record("rated", "12345", stars=5.0)
    progress.record("rated", "24", stars="much")
    again = studio(als, items)
    assert again._stars == {10: 2.5}
    assert again.state["said"] == ""


def test_nothing_comes_back_where_nothing_is_recorded(als, items, log, monkeypatch):
    studio(als, items).rate(10, 5)
    monkeypatch.setenv("MFCOURSE_RECORD", "0")
    assert studio(als, items)._stars == {}


def test_a_notice_of_the_log_is_shown(als, items, monkeypatch):
    monkeypatch.setattr(progress, "record", lambda *_, **__: "The disk is full.")
    here = studio(als, items)
    assert here.rate(3, 4).endswith("\nThe disk is full.")
    assert here.state["notice"] == "The disk is full."


def test_the_words_hold_the_list_and_how_to_go_on(als, items):
    here = studio(als, items, {3: 5.0, 10: 0.5}, n=3)
    words = here._repr_mimebundle_()[0]["text/plain"]
    assert words == repr(here)
    assert "ALSModel hears your stars." in words
    assert "Rated: Amélie (1990) 5 stars; The Matrix (1991) 0.5 stars" in words
    for row in here.recommendations().itertuples():
        assert f"{row.rank:2}. {row.score:.3f}  {row.title} ({row.year})" in words
    assert ".rate(" in words
    assert words == repr(studio(als, items, {3: 5.0, 10: 0.5}, n=3))
