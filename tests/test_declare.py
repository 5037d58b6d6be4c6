"""Declarations say where they are wrong; what they declare is planned as they say."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfcourse.experiments import DeclarationError, declare, names, read, search
from mfcourse.experiments.results import in_words

GOOD = """
title = "A test"
metrics = ["rmse", "mae"]
clip = [1, 5]
data = { name = "ml-latest-small-2016" }
split = { protocol = "kfold", n_folds = 3 }
search = { trials = 6, rungs = 2, keep = 2 }

[models.biases]
class = "BiasModel"
published.ml-100k = { rmse = 0.944 }

[models.SGD]
class = "SGDModel"
reg = [0.02, 0.1]
n_epochs = 8
lr = { from = 0.001, to = 0.1, log = true }
n_factors = { from = 2, to = 5 }
"""


def declared(tmp_path, text=GOOD):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return read(path)


# ---- Reading -------------------------------------------------------------------------


@pytest.mark.parametrize("name", names())
def test_the_experiments_of_the_course_hold(name):
    experiment = read(name)
    assert experiment.name == name
    assert experiment.title
    assert experiment.notes
    assert len(experiment.models) > 1
    assert experiment.quickly().models


def test_a_declaration_is_read_with_its_defaults(tmp_path):
    found = declared(tmp_path)
    assert found.name == "mine"
    assert found.metrics == ("rmse", "mae")
    assert found.clip == (1.0, 5.0)
    assert found.reference == "biases"
    assert found.seeds == (0,)
    assert found.splits == ({"protocol": "kfold", "n_folds": 3, "seed": 0},)
    biases, sgd = found.models
    assert biases.search is None
    assert biases.published == {"ml-100k": {"rmse": 0.944}}
    assert list(sgd.grid()) == [{"reg": reg, "n_epochs": 8} for reg in (0.02, 0.1)]
    assert sgd.search == {
        "trials": 6, "rungs": 2, "keep": 2, "validation": 0.1, "seed": 0
    }  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('title = "A test"\n', "", "title is missing"),
        ("title =", "titel =", "no titel. Did you mean title"),
        ("clip = [1, 5]", "clip = [1, 5", "line 5"),
        ("clip = [1, 5]", "clip = [1]", "clip: expected true, false or"),
        ("clip = [1, 5]", "clip = 5", "clip: expected true, false or"),
        ('"rmse", "mae"', '"rsme"', "metrics: there is no rsme. Did you mean rmse"),
        ('"rmse", "mae"', '"rmse", "ndcg@10"', "of one kind"),
        ('"rmse", "mae"', '"ndcg@x"', "no ndcg@x. Did you mean ndcg@10"),
        ('"rmse", "mae"', "", "one or more of one kind"),
        ("{ name =", "{ path = 'x', name =", "either a name, or a path"),
        ("{ name =", "{ at_last = 4, name =", "data: .*at_last. Did you mean at_least"),
        ("{ name =", "{ binary = 1, name =", "binary: expected true or false, got 1"),
        ('"kfold"', '"kfolds"', "split.protocol: .* Did you mean kfold"),
        ("n_folds = 3", "n_folds = 1", "n_folds: expected a whole number from 2"),
        (
            "n_folds = 3",
            "n_folds = 2.5",
            "n_folds: expected a whole number from 2, got 2.5",
        ),
        ("n_folds = 3", "users = 0.2", "split: there is no users"),
        ('"kfold", n_folds = 3', '"newcomers"', "newcomers are given lists"),
        ("trials = 6", "trails = 6", "search: .*trails. Did you mean trials"),
        ("trials = 6", "trials = 0", "search.trials: expected a whole number from 1"),
        ("keep = 2", "keep = 1", "search.keep: expected a whole number from 2"),
        ('"SGDModel"', '"SGBModel"', r"SGD.class: .*SGBModel. Did you mean SGDModel"),
        ('"SGDModel"', '"FactorModel"', "there is no FactorModel"),
        ("n_factors =", "rank =", "models.SGD: there is no rank"),
        ("n_epochs = 8", "seed = 8", "models.SGD: there is no seed"),
        ("n_epochs = 8", "n_epochs = 0", "models.SGD: .*n_epochs"),
        ("[0.02, 0.1]", "[0.02, -0.1]", "models.SGD: .*reg"),
        ("from = 2,", "from = 0,", "models.SGD: .*n_factors"),
        ("from = 0.001", "from = 0", "models.SGD.lr: expected { from = 0.01"),
        ("from = 0.001", "from = 0.5", "models.SGD.lr: expected { from = 0.01"),
        ("from = 0.001", "form = 0.001", "models.SGD.lr: expected { from = 0.01"),
        ("from = 2, to = 5", "among = []", "n_factors: expected { from = 0.01"),
        ("clip =", "reference = 'bias'\nclip =", "no bias. Did you mean biases"),
        ("clip =", "seeds = [0.5]\nclip =", "seeds: expected different whole"),
        ("clip =", "quick = {models = ['x']}\nclip =", "quick.models: there is no x"),
        ("clip =", "quick = {fold = 1}\nclip =", "quick: .*fold. Did you mean folds"),
        (
            "[models.biases]\nclass =",
            "[models.biases]\nKlass =",
            "Klass. Did you mean|class is missing",
        ),
        ('"BiasModel"', '["BiasModel"]', "biases.class: expected text"),
        ('"BiasModel"', '"EASEModel"', "EASEModel ranks and predicts no ratings"),
        ('"kfold"', '["kfold"]', "split.protocol"),
        ('"kfold"', "{a = 1}", "split.protocol"),
        (
            '"kfold", n_folds = 3',
            '"random", test = 1.5',
            "split.test: expected a number between 0 and 1",
        ),
        (
            '"kfold", n_folds = 3',
            '"leave_last", n = 0',
            "split.n: expected a whole number from 1",
        ),
        ("n_folds = 3", "seed = -1", "split.seed: expected a whole number from 0"),
        ("trials = 6", "seed = -1", "search.seed: expected a whole number from 0"),
        ("clip = [1, 5]", "clip = [5, 1]", "clip: expected true, false or"),
        ("clip = [1, 5]", "clip = [nan, nan]", "clip: expected true, false or"),
        ("[0.02, 0.1]", "[]", "SGD.reg: expected different values in a list, got"),
        ("[0.02, 0.1]", "[0.1, 0.1]", "SGD.reg: expected different values"),
        ("[0.02, 0.1]", "[[0.1]]", "SGD.reg: expected different values"),
        ("clip =", "seeds = [1, 1]\nclip =", "seeds: expected different"),
        ("clip =", "seeds = [99999999999]\nclip =", "seeds: expected different"),
        (
            "clip =",
            "quick = {folds = 0}\nclip =",
            "quick.folds: expected a whole number from 1",
        ),
        (
            "clip =",
            "quick = {models = []}\nclip =",
            "quick.models: expected different values",
        ),
        ("{ rmse = 0.944 }", "3", "published: expected figures like"),
        ("{ rmse = 0.944 }", '{ rmse = "0.9" }', "published: expected figures like"),
        ("{ rmse = 0.944 }", "{ rsme = 0.944 }", "published: expected figures like"),
        (
            "{ name =",
            "{ columns = { user = 'a' }, name =",
            "a path and perhaps its columns",
        ),
        (
            "{ name =",
            "{ min_user_ratings = -1, name =",
            "min_user_ratings: expected a whole number from 0",
        ),
        ("split = {", "split = []\nquick = {", "split: expected a split, or a list"),
    ],
)
def test_an_error_names_the_key_or_line(old, new, words, tmp_path):
    assert GOOD.count(old) >= 1
    with pytest.raises(DeclarationError, match=words):
        declared(tmp_path, GOOD.replace(old, new, 1))


def test_what_would_bear_one_name_is_not_taken(tmp_path):
    split = 'split = { protocol = "kfold", n_folds = 3 }'
    with pytest.raises(DeclarationError, match="each split and each data set once"):
        declared(tmp_path, GOOD.replace(split, "split = ['kfold', 'kfold']"))
    two = "split = [{protocol = 'kfold', seed = 1}, 'kfold', 'temporal']"
    found = declared(tmp_path, GOOD.replace(split, two))
    assert [in_words(one) for one in found.splits] == [
        "5-fold, seed=1", "5-fold", "temporal"
    ]  # fmt: skip


def test_an_editor_from_windows_does_no_harm(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert read(path) == declared(tmp_path)


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(DeclarationError, match="Did you mean accuracy_ladder"):
        read("acuracy_ladder")
    with pytest.raises(DeclarationError, match="cannot be read: No such file"):
        read(tmp_path / "none.toml")


# ---- Changing ------------------------------------------------------------------------


def test_settings_reach_the_models_that_have_them(tmp_path):
    found = declared(tmp_path).with_settings({"reg": [0.3], "n_factors": [2, 3]})
    assert found.models[0].settings == {}
    assert len(list(found.models[1].grid())) == 2
    assert set(found.models[1].searched) == {"lr"}
    with pytest.raises(DeclarationError, match=r"no rank. .* n_factors"):
        found.with_settings({"rank": [3]})
    with pytest.raises(DeclarationError, match=r"--set, SGD: .*n_factors"):
        found.with_settings({"n_factors": [-3]})


def test_another_data_set_is_prepared_as_declared_for_it_or_the_first(tmp_path):
    found = read("implicit_ranking")
    assert found.on("lastfm-2k").data == ({"name": "lastfm-2k", "binary": True},)
    assert found.on("ml-1m").data == (
        {"name": "ml-1m", "at_least": 4, "binary": True},
    )  # fmt: skip
    own = tmp_path / "own.csv"
    own.touch()
    (data,) = found.on(str(own), {"user": "who"}).data
    assert data == {
        "path": str(own), "columns": {"user": "who"}, "at_least": 4, "binary": True
    }  # fmt: skip
    with pytest.raises(DeclarationError, match="is a folder; give a CSV"):
        found.on(str(tmp_path))
    with pytest.raises(DeclarationError, match="--columns are those of a file"):
        found.on("lastfm-2k", {"user": "who"})
    (tmp_path / "ml-100k").mkdir()
    (data,) = found.on(str(tmp_path / "ml-100k")).data
    assert data["name"] == "ml-100k"
    with pytest.raises(DeclarationError, match=r"no ml-100\. Did you mean ml-100k"):
        found.on("ml-100")
    with pytest.raises(DeclarationError, match=r"--columns: .*usr\. Did you mean user"):
        found.on(str(own), {"usr": "who"})


def test_a_path_is_found_from_the_declaration(tmp_path):
    found = declared(
        tmp_path, GOOD.replace('name = "ml-latest-small-2016"', "path='x'")
    )
    assert Path(found.data[0]["path"]) == tmp_path / "x"


def test_quick_is_a_fold_and_no_search(tmp_path):
    found = declared(tmp_path).quickly()
    assert [entry.label for entry in found.models] == ["biases"]
    assert search.Plan(found, ["d"]).count({}) == 1
    with pytest.raises(DeclarationError, match="--quick leaves none"):
        declared(tmp_path).only(["SGD"]).quickly()
    many = GOOD.replace("clip =", "quick = { folds = 10, trials = 1 }\nclip =")
    assert search.Plan(declared(tmp_path, many).quickly(), ["d"]).count({}) == 21


def test_models_are_chosen_by_pattern(tmp_path):
    found = declared(tmp_path)
    assert [e.label for e in found.only(["S*"]).models] == ["SGD"]
    assert found.only(["S*"]).reference == "SGD"
    assert [e.label for e in found.only(["default"]).models] == ["biases"]
    assert found.only(["*"]) == found
    with pytest.raises(DeclarationError, match="no sgd"):
        found.only(["sgd"])


# ---- Drawing -------------------------------------------------------------------------


@given(st.integers(0, 200), st.integers(1, 5), st.integers(0, 3))
def test_a_point_depends_on_seed_and_number_alone(number, dimensions, seed):
    bits = number.bit_length()
    point = search._points(dimensions, seed, bits)[number]
    assert (point == search._points(dimensions, seed, bits + 2)[number]).all()
    assert (point != search._points(dimensions, seed + 1, bits)[number]).all()
    assert ((point >= 0) & (point < 1)).all()


@given(st.floats(0, 1, exclude_max=True))
def test_a_value_lies_where_the_declaration_says(x):
    assert search.draw({"among": [3, 5, 9]}, x) in (3, 5, 9)
    whole = search.draw({"from": 2, "to": 5}, x)
    assert whole in (2, 3, 4, 5)
    assert isinstance(whole, int)
    assert search.draw({"from": 3, "to": 300, "log": True}, x) in range(3, 301)
    number = search.draw({"from": 0.01, "to": 1.0, "log": True}, x)
    assert 0.01 <= number <= 1
    assert float(f"{number:.3g}") == number


def test_values_fill_their_range_evenly_or_by_ratio():
    x = (np.arange(1000) + 0.5) / 1000
    whole = [search.draw({"from": 2, "to": 5}, v) for v in x]
    assert np.bincount(whole).tolist() == [0, 0, 250, 250, 250, 250]
    logs = [search.draw({"from": 0.01, "to": 1.0, "log": True}, v) for v in x]
    assert np.median(logs) == pytest.approx(0.1, rel=0.01)


# ---- Planning ------------------------------------------------------------------------


def play(experiment, loss, data=("d",)):
    """All trials in the order of running; ``loss`` gives each its metric."""
    rows, order = {}, []
    plan = search.Plan(experiment, list(data))
    expected = plan.count(rows)
    while trials := list(plan.ready(rows)):
        trial = trials[0]
        order.append(trial)
        row = {"metrics": {experiment.metrics[0]: loss(trial)}}
        if trial.stage == "search":
            row["best_epoch"] = 7
        rows[trial.key] = row if loss(trial) is not None else {"failed": "diverged"}
        assert plan.count(rows) == expected - len(rows)
    assert search.Plan(experiment, list(data)).count(rows) == 0  # read off afresh
    return order


def test_the_better_half_goes_on_and_the_best_meets_the_test(tmp_path):
    experiment = declared(tmp_path).only(["SGD"])
    played = play(experiment, lambda trial: abs(trial.settings["lr"] - 0.01))
    one = [t for t in played if t.fold == 1 and t.grid == {"reg": 0.1}]
    first, second = (
        [t for t in one if t.stage == "search" and t.rung == rung] for rung in (0, 1)
    )
    (test,) = (t for t in one if t.stage == "test")
    assert [t.number for t in first] == list(range(6))
    assert {t.settings["n_epochs"] for t in first} == {4}
    assert {t.settings["n_epochs"] for t in second} == {8}
    by_loss = sorted(first, key=lambda t: abs(t.settings["lr"] - 0.01))
    assert {t.number for t in second} == {t.number for t in by_loss[:3]}
    assert test.number == by_loss[0].number
    assert test.settings == {**by_loss[0].settings, "n_epochs": 7}
    assert test.validation is None
    assert played.index(test) > max(map(played.index, second))


def test_a_metric_of_lists_is_better_when_larger_and_who_diverged_is_last(tmp_path):
    text = GOOD.replace('"rmse", "mae"', '"ndcg@10"').replace("rungs = 2", "rungs = 1")
    experiment = declared(tmp_path, text).only(["SGD"])
    played = play(experiment, lambda t: None if t.number in (0, 4) else t.number)
    assert {t.number for t in played if t.stage == "test"} == {5}


def test_each_model_has_its_own_trials_though_another_is_set_alike(tmp_path):
    text = GOOD.replace(
        "[models.biases]", "[models.again]\nclass='BiasModel'\n[models.b]"
    )
    experiment = declared(tmp_path, text)
    played = play(experiment, lambda trial: 1.0)
    folds, grid = 3, 2
    assert len(played) == folds * (2 + grid * (6 + 3 + 1))
    assert len({trial.key for trial in played}) == len(played)


def test_seeds_are_for_models_that_draw(tmp_path):
    text = GOOD.replace("clip", "seeds = [3, 4]\nclip", 1)
    tests = [t for t in play(declared(tmp_path, text), lambda t: 1.0) if t.rung is None]
    assert {t.seed for t in tests if t.label == "SGD"} == {3, 4}
    assert {t.seed for t in tests if t.label == "biases"} == {0}


def test_the_number_of_trials_does_not_change_a_trial(tmp_path):
    few, many = (
        play(
            declared(tmp_path, GOOD.replace("trials = 6", f"trials = {n}")).only(
                ["S*"]
            ),
            lambda t: 1.0,
        )
        for n in (6, 40)
    )
    first = {t.key for t in few if t.rung == 0}
    assert first < {t.key for t in many if t.rung == 0}


def test_a_longer_grid_or_search_leaves_what_was_done(tmp_path):
    def keys(text, stage):
        played = play(declared(tmp_path, text), lambda t: t.settings.get("lr", 1.0))
        return {trial.key for trial in played if trial.stage == stage}

    longer = GOOD.replace("[0.02, 0.1]", "[0.02, 0.1, 0.3]")
    assert keys(GOOD, "test") < keys(longer, "test")
    assert keys(GOOD, "search") < keys(longer, "search")
    more = GOOD.replace("trials = 6", "trials = 7")
    assert keys(GOOD, "search") < keys(more, "search")


@given(st.integers(1, 50), st.integers(1, 4), st.integers(2, 5))
def test_rungs_shrink_to_at_least_one(trials, rungs, keep):
    settings = {"lr": {"from": 0.1, "to": 0.2}}
    entry = declare.Entry(
        "x", "SGDModel", settings, {"trials": trials, "rungs": rungs, "keep": keep}
    )
    sizes = search._sizes(entry)
    assert sizes[0] == trials
    assert len(sizes) == rungs
    assert all(b == math.ceil(trials / keep**r) >= 1 for r, b in enumerate(sizes))
    knn = declare.Entry("x", "EASEModel", {"reg": settings["lr"]}, entry.search)
    assert search._sizes(knn) == [trials]  # without epochs, no rungs


def test_the_declaration_in_the_docs_holds(tmp_path):
    page = Path(__file__).parent.parent / "docs" / "reproduce.md"
    (block,) = re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    found = declared(tmp_path, block)
    assert [entry.label for entry in found.models] == ["grid", "searched"]
