"""Intervals and verdicts: by hand, on planted errors, and never more than they know."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mfcourse as mf
from mfcourse import evaluate, split


@dataclass(kw_only=True, eq=False)
class Given(mf.Recommender):
    """Scores are given, one for each user (row) and item (column)."""

    table: pd.DataFrame

    def _fit(self, train, validation, progress):
        self.global_mean_ = 1.0

    def _scores(self, user_codes):
        users = self.train_.users.ids[user_codes]
        return self.table.loc[users, self.train_.items.ids].to_numpy(float, copy=True)


def rows(*triples):
    return pd.DataFrame(triples, columns=["user", "item", "rating"])


def with_errors(errors):
    """A model off by ``errors`` (users × items) on a test frame of all pairs.

    Ratings are 0, so that each prediction is the error; training is one further item.
    """
    m, n = errors.shape
    table = pd.DataFrame(errors).assign(seen=0.0)
    train = pd.DataFrame({"user": range(m), "item": "seen", "rating": 0.0})
    items = pd.DataFrame({"user": 0, "item": range(n), "rating": 0.0})
    test = pd.MultiIndex.from_product([range(m), range(n)], names=["user", "item"])
    test = test.to_frame(index=False).assign(rating=0.0)
    train = pd.concat([train, items]).astype({"item": object})
    return Given(table=table).fit(train), test.astype({"item": object})


# ---- Ratings -------------------------------------------------------------------------


def test_errors_by_hand():
    table = pd.DataFrame({"x": [3, 1], "y": [4, 2], "z": [5, 5]}, index=["a", "b"])
    train = rows(*[(user, item, 3) for user in "ab" for item in "xyz"])
    model = Given(table=table).fit(train)
    test = rows(("a", "x", 4), ("a", "y", 4), ("b", "z", 2), ("?", "x", 3))
    # errors 1, 0, −3, and 2 for the stranger, who is predicted the mean, 1
    out = evaluate.ratings(model, test)
    assert list(out.index) == ["rmse", "mae"]
    assert list(out.columns) == ["value", "low", "high", "ratings", "users"]
    np.testing.assert_allclose(out["value"], [np.sqrt(14 / 4), 6 / 4], rtol=1e-15)
    assert out["ratings"].tolist() == [4, 4]
    assert out["users"].tolist() == [3, 3]
    assert (out["low"] <= out["value"]).all()
    assert (out["value"] <= out["high"]).all()
    clipped = evaluate.ratings(model, test, clip=(2, 4))  # errors 1, 0, −2, 1
    np.testing.assert_allclose(clipped["value"], [np.sqrt(6 / 4), 4 / 4], rtol=1e-15)


def test_values_are_those_of_metrics(ratings):
    train, test = split.random(ratings)
    model = mf.BiasModel().fit(train)
    prediction = model.predict(test)
    out = evaluate.ratings(model, test)["value"]
    assert out["rmse"] == pytest.approx(
        mf.metrics.rmse(test["rating"], prediction), rel=1e-13
    )
    assert out["mae"] == pytest.approx(
        mf.metrics.mae(test["rating"], prediction), rel=1e-13
    )


def test_order_and_names_change_no_value_and_a_seed_is_a_frame(ratings):
    train, test = split.random(ratings)
    model = mf.UserKNNModel(n_neighbors=5).fit(train)

    def names(frame):
        return frame.assign(
            user="u" + (1000 - frame["user"]).astype(str),
            item="i" + (1000 - frame["item"]).astype(str),
        )

    renamed = mf.UserKNNModel(n_neighbors=5).fit(names(train))
    shuffled = test.sample(frac=1, random_state=3)
    for measure in (evaluate.ratings, evaluate.ranking):
        out = measure(model, test, seed=4)
        pd.testing.assert_frame_equal(out, measure(model, test, seed=4))
        pd.testing.assert_frame_equal(out, measure(renamed, names(test), seed=4))
        again = measure(model, shuffled, seed=4)
        np.testing.assert_allclose(out["value"], again["value"], rtol=1e-12)
        assert not out["low"].equals(measure(model, test, seed=5)["low"])


def test_one_user_has_a_value_but_no_interval():
    model, test = with_errors(np.array([[1.0, -1.0, 2.0]]))
    out = evaluate.ratings(model, test)
    assert out.loc["mae", "value"] == pytest.approx(4 / 3)
    assert out[["low", "high"]].isna().all(axis=None)
    worse, _ = with_errors(np.array([[3.0, -3.0, 4.0]]))
    out = evaluate.compare({"a": model, "b": worse}, test)
    assert out.loc["b", "difference"] > 0
    assert out[["low", "high", "diff_low", "diff_high"]].isna().all(axis=None)
    assert out.loc["b", ["p", "verdict"]].tolist() == [1, "not distinguishable"]


@pytest.mark.soak
def test_95_percent_intervals_cover_the_truth_in_about_95_percent(soak_share):
    # Whole users are drawn, so errors may hang together within a user, and do here.
    truth = np.sqrt(0.5**2 + 1.0**2)
    n = int(1500 * soak_share)
    covered = 0
    for seed in range(n):
        rng = np.random.default_rng(seed)
        errors = rng.normal(0, 0.5, (100, 1)) + rng.normal(0, 1, (100, 5))
        out = evaluate.ratings(*with_errors(errors), n_boot=300, seed=seed)
        covered += out.loc["rmse", "low"] <= truth <= out.loc["rmse", "high"]
    assert 0.90 <= covered / n <= 0.98


def test_errors_that_hang_together_within_users_widen_the_interval():
    rng = np.random.default_rng(0)
    errors = np.repeat(rng.normal(size=(60, 1)), 10, axis=1)
    together = evaluate.ratings(*with_errors(errors))
    mixed = rng.permutation(errors.ravel()).reshape(errors.shape)
    apart = evaluate.ratings(*with_errors(mixed))
    np.testing.assert_allclose(together["value"], apart["value"], rtol=1e-12)
    width = together["high"] - together["low"]
    assert (width > 2 * (apart["high"] - apart["low"])).all()  # √10 in expectation


def test_more_users_narrow_the_interval():
    errors = np.random.default_rng(0).normal(size=(800, 3))
    many, few = (evaluate.ratings(*with_errors(e)) for e in (errors, errors[:50]))
    ratio = (few["high"] - few["low"]) / (many["high"] - many["low"])
    assert ratio.between(2.5, 6.5).all()  # √16 = 4 in expectation


# ---- Lists ---------------------------------------------------------------------------


@pytest.fixture
def lists():
    """Lists to check by hand: a sees z; b v; the stranger and c nothing that counts."""
    order = {"v": 5, "w": 4, "x": 3, "y": 2, "z": 1}  # the same scores for all
    table = pd.DataFrame([order] * 3, index=["a", "b", "c"])
    seen = [("a", "v", 3), ("b", "w", 3), ("b", "z", 3), ("c", "x", 3), ("c", "y", 1)]
    test = rows(
        ("a", "w", 5), ("a", "z", 4), ("a", "new", 4),  # list of a: w x y z
        ("b", "x", 3.5), ("b", "y", 4),                 # list of b: v x y
        ("c", "z", 2),                                  # c: nothing relevant
        ("?", "v", 5), ("!", "v", 1),                   # strangers
    )  # fmt: skip
    return Given(table=table).fit(rows(*seen)), test


def test_lists_by_hand(lists):
    out = evaluate.ranking(*lists, n=3)
    # hits of a: 1 0 0 of 3 relevant, one of which no list can hold; of b: 0 0 1 of 1
    expected = {
        "precision@3": (1 / 3 + 1 / 3) / 2,
        "recall@3": (1 / 3 + 1) / 2,
        "ndcg@3": (1 / (1 + 1 / np.log2(3) + 1 / 2) + 1 / 2) / 2,
        "map@3": (1 / 3 + 1 / 3) / 2,
        "mrr@3": (1 + 1 / 3) / 2,
    }
    assert list(out.index) == list(expected)
    np.testing.assert_allclose(out["value"], list(expected.values()), rtol=1e-14)
    assert (out[["users", "left_out", "unknown"]] == [2, 2, 1]).all(axis=None)


def test_the_denominator_of_recall_is_chosen(lists):
    full = evaluate.ranking(*lists, n=1)["value"]
    least = evaluate.ranking(*lists, n=1, denominator="min")["value"]
    assert full["recall@1"] == pytest.approx((1 / 3 + 0) / 2)
    assert least["recall@1"] == (1 + 0) / 2
    assert full.drop("recall@1").equals(least.drop("recall@1"))
    with pytest.raises(ValueError, match='"all" or "min"'):
        evaluate.ranking(*lists, denominator="some")


def test_seen_items_take_places_unless_excluded(lists):
    out = evaluate.ranking(*lists, n=3, exclude_seen=False)
    # all lists: v w x. hits of a: 0 1 0, of b: none
    assert out.loc["mrr@3", "value"] == (1 / 2 + 0) / 2


def test_what_is_relevant_is_chosen(lists):
    model, test = lists
    out = evaluate.ranking(model, test, n=3, relevant_at=3.5)
    assert out.loc["recall@3", "value"] == (1 / 3 + 2 / 2) / 2
    out = evaluate.ranking(model, test, n=3, relevant_at=5)
    assert (out[["users", "left_out", "unknown"]] == [1, 3, 1]).all(axis=None)
    assert out[["low", "high"]].isna().all(axis=None)  # one user is left
    with pytest.raises(ValueError, match=r"rating of at least 6.*Lower relevant_at"):
        evaluate.ranking(model, test, relevant_at=6)
    strangers = test[test["user"].isin(["?", "!"])]
    with pytest.raises(ValueError, match="'unknown': 1"):
        evaluate.ranking(model, strangers)


def test_a_longer_list_than_there_are_items_is_padded_with_misses(lists):
    out = evaluate.ranking(*lists, n=50)["value"]
    assert out["precision@50"] == pytest.approx((2 / 50 + 1 / 50) / 2)
    assert out["recall@50"] == pytest.approx((2 / 3 + 1) / 2)


def test_the_last_rating_of_each_user_is_one_thing_to_find(ratings):
    train, test = split.leave_last(ratings)
    model = mf.ItemKNNModel(n_neighbors=5).fit(train)
    out = evaluate.ranking(model, test, n=5, relevant_at=0)
    value = out["value"]
    assert (out["users"] == test["user"].nunique()).all()
    assert value["recall@5"] == pytest.approx(5 * value["precision@5"])
    assert value["map@5"] == pytest.approx(value["mrr@5"])
    top = model.recommend(list(test["user"]), n=5)
    hit = top.merge(test, on=["user", "item"])
    assert value["mrr@5"] == pytest.approx((1 / hit["rank"]).sum() / len(test))
    assert value["recall@5"] == pytest.approx(len(hit) / len(test))


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("n", [2, 10])
def test_a_table_says_what_its_numbers_are(lists, n, exclude_seen):
    out = evaluate.ranking(*lists, n=n, relevant_at=3.5, exclude_seen=exclude_seen)
    assert list(out.columns[-2:]) == ["protocol", "definition"]
    ranked = "all unseen" if exclude_seen else "all items"
    assert set(out["protocol"]) == {f"{ranked}; relevant ≥ 3.5"}
    assert out["definition"].tolist() == [
        f"hits / {n}",
        "hits / all relevant",
        "DCG / best DCG; hit: 1/log₂(rank + 1)",
        f"Σ precision@hit / min({n}, relevant)",
        "1 / rank of first hit, 0 without",
    ]
    assert out["definition"].str.len().max() <= 50  # a table cuts what is longer
    least = evaluate.ranking(*lists, n=n, denominator="min")["definition"]
    assert least[f"recall@{n}"] == f"hits / min({n}, relevant)"
    others = least.drop(f"recall@{n}")
    assert others.equals(out["definition"].drop(f"recall@{n}"))


# ---- Strangers, folded in ------------------------------------------------------------


@pytest.fixture
def strangers():
    """Told: e of v, f of w, h of x, g of nothing that training knows, i of nothing."""
    train = rows(
        *[("a", item, 3) for item in "vwxyz"], *[("b", item, 3) for item in "vwx"],
        ("c", "v", 3), ("c", "w", 3), ("d", "v", 3),
    )  # fmt: skip
    told = rows(
        ("e", "v", 5), ("e", "new", 1), ("f", "w", 3), ("g", "new", 4), ("h", "x", 2)
    )
    test = rows(
        ("e", "x", 5), ("e", "other", 4),   # list of e: w x y
        ("f", "v", 4), ("f", "y", 2),       # list of f: v x y
        ("h", "v", 1),                      # nothing relevant
        ("g", "v", 5), ("i", "v", 5), ("a", "v", 5), ("i", "w", 1),  # nothing told
    )  # fmt: skip
    return train, told, test


def test_strangers_by_hand(strangers):
    train, told, test = strangers
    model = mf.PopularityModel().fit(train)  # v w x y z, for everybody
    out = evaluate.ranking(model, test, n=3, fold_in=told)
    # hits of e: 0 1 0 of 2 relevant, one of which no list can hold; of f: 1 0 0 of 1
    second = 1 / np.log2(3)
    expected = [
        (1 / 3 + 1 / 3) / 2,
        (1 / 2 + 1) / 2,
        (second / (1 + second) + 1) / 2,
        (1 / 4 + 1) / 2,
        (1 / 2 + 1) / 2,
    ]
    np.testing.assert_allclose(out["value"], expected, rtol=1e-14)
    assert (out[["users", "left_out", "unknown"]] == [2, 1, 3]).all(axis=None)
    assert set(out["protocol"]) == {"all unseen; relevant ≥ 4; folded in"}
    out = evaluate.ranking(model, test, n=3, fold_in=told, exclude_seen=False)
    # all lists: v w x
    assert out.loc["mrr@3", "value"] == (1 / 3 + 1) / 2
    assert set(out["protocol"]) == {"all items; relevant ≥ 4; folded in"}


def test_what_a_stranger_rated_moves_the_list_of_a_factor_model():
    train = rows(*[("a", item, 3) for item in "wxyz"])
    model = mf.ALSModel(n_factors=1, center="mean", n_epochs=1).fit(train)
    model.item_factors_ = np.array([[-2.0], [1.0], [-1.0], [2.0]])
    told = rows(("e", "x", 5), ("f", "x", 5), ("f", "y", 4), ("g", "x", 1))
    test = rows(("e", "z", 5), ("e", "w", 4), ("f", "w", 4), ("g", "w", 5))
    # U of e ∝ 2 · 1 > 0: z y w; of f ∝ 2 · 1 + 1 · −1 > 0: z w; of g ∝ −2 · 1: w y z
    out = evaluate.ranking(model, test, n=3, fold_in=told)
    assert out.loc["mrr@3", "value"] == (1 + 1 / 2 + 1) / 3
    assert out.loc["map@3", "value"] == pytest.approx((5 / 6 + 1 / 2 + 1) / 3)
    turned = told.assign(rating=6 - told["rating"])  # e: w y z; f: w z; g: z y w
    out = evaluate.ranking(model, test, n=3, fold_in=turned)
    assert out.loc["mrr@3", "value"] == (1 + 1 + 1 / 3) / 3


NUMBERS = ["value", "low", "high", "users", "left_out", "unknown"]


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize(
    "model",
    [
        mf.PopularityModel(),
        mf.BiasModel(),
        mf.ItemKNNModel(n_neighbors=5),
        mf.ALSModel(n_factors=3),
        mf.ALSModel(n_factors=2, center="none", reg=0.1, weighted=False),
    ],
    ids=["popularity", "bias", "item knn", "als", "als, factors alone"],
)
def test_a_twin_of_a_training_user_gets_the_same_list(model, exclude_seen, ratings):
    # These fold in as they train. A twin: another name, and the same ratings.
    def twin(frame):
        return frame.assign(user="twin of " + frame["user"].astype(str))

    train, test = split.random(ratings, test=0.3)
    train = train[train["user"] > 102]  # some are unknown
    one = replace(model).fit(train)
    how = {"n": 4, "exclude_seen": exclude_seen}
    out = evaluate.ranking(one, test, **how)
    told = twin(train).sample(frac=1, random_state=0)  # in no order
    folded = evaluate.ranking(one, twin(test), fold_in=told, **how)
    assert (out["unknown"] > 0).all()
    pd.testing.assert_frame_equal(out[NUMBERS], folded[NUMBERS])
    if exclude_seen:
        models = {"a": one, "b": mf.MeanModel(of="item").fit(train)}
        ndcg = {"metric": "ndcg@4"}
        out = evaluate.compare(models, test, **ndcg)
        folded = evaluate.compare(models, twin(test), fold_in=told, **ndcg)
        pd.testing.assert_frame_equal(out, folded)


def test_newcomers_are_split_told_and_tested(ratings):
    train, known, test = split.newcomers(ratings, users=0.5, test=0.5)
    model = mf.ItemKNNModel(n_neighbors=5).fit(train)
    out = evaluate.ranking(model, test, n=5, relevant_at=0, fold_in=known)
    assert (out[["users", "left_out", "unknown"]] == [15, 0, 0]).all(axis=None)
    recall = []
    for user, rest in test.groupby("user"):
        best = model.fold_in(known[known["user"] == user])["item"].head(5)
        recall.append(rest["item"].isin(best).mean())
    assert 0 < out.loc["recall@5", "value"] == pytest.approx(np.mean(recall))


def test_who_was_told_of_everything_has_an_empty_list(strangers):
    train, _, test = strangers
    model = mf.PopularityModel().fit(train)
    told = rows(*[("e", item, 3) for item in "vwxyz"])
    out = evaluate.ranking(model, test, fold_in=told)
    assert (out["value"] == 0).all()
    assert (out["users"] == 1).all()
    told = pd.concat([told, rows(("f", "w", 3))])
    out = evaluate.ranking(model, test, fold_in=told)
    assert out.loc["mrr@10", "value"] == (0 + 1) / 2


def test_who_cannot_be_folded_in_is_said(strangers, ratings):
    train, told, test = strangers
    model = mf.PopularityModel().fit(train)
    both = {"a": model, "b": model}
    for call in (
        lambda told: evaluate.ranking(model, test, fold_in=told),
        lambda told: evaluate.compare(both, test, metric="mrr@3", fold_in=told),
    ):
        known = pd.concat([told, rows(("a", "new", 5), ("d", "w", 5))])
        with pytest.raises(ValueError, match=r"\['a', 'd'\] of fold_in.*newcomers"):
            call(known)
        with pytest.raises(ValueError, match=r"known from training or fold_in \(.*: 5"):
            call(told[told["item"] == "new"])
        with pytest.raises(ValueError, match="more than once"):
            call(pd.concat([told, told]))
        with pytest.raises(ValueError, match="no column 'rating'"):
            call(told.drop(columns="rating"))
        with pytest.raises(TypeError, match="expected a DataFrame"):
            call(told.to_numpy())
    with pytest.raises(
        ValueError, match="n is the length of a list, at least 1; got 0"
    ):
        evaluate.ranking(model, test, n=0, fold_in=told)
    with pytest.raises(ValueError, match=r"like one of \['precision@10'.*got 'rmse'"):
        evaluate.compare(both, test, fold_in=told)
    table = pd.DataFrame(0.0, index=list("abcd"), columns=list("vwxyz"))
    with pytest.raises(mf.NotSupported, match="no fold_in"):
        evaluate.ranking(Given(table=table).fit(train), test, fold_in=told)
    with pytest.raises(mf.NotFittedError):
        evaluate.ranking(mf.PopularityModel(), test, fold_in=told)


# ---- Comparisons ---------------------------------------------------------------------


def pair(spread, shift=0.0, seed=0, m=80):
    """Two models whose errors share most of what is hard, and a test frame."""
    rng = np.random.default_rng(seed)
    errors = rng.normal(size=(m, 6))
    a, test = with_errors(errors)
    other = np.abs(errors) + shift + spread * rng.normal(size=errors.shape)
    return {"a": a, "b": with_errors(other)[0]}, test


def test_the_same_model_twice_is_not_distinguishable_at_any_metric(ratings):
    train, test = split.random(ratings)
    one = mf.BiasModel().fit(train)
    for metric in ("rmse", "mae", "ndcg@5", "recall@3"):
        out = evaluate.compare({"a": one, "b": one}, test, metric=metric)
        zeros = out[["difference", "diff_low", "diff_high"]]
        assert (zeros == 0).all(axis=None)
        assert out["verdict"].tolist() == ["reference", "not distinguishable"]
        assert np.isnan(out.loc["a", "p"])
        assert out.loc["b", "p"] == 1


def test_an_interval_of_a_difference_is_narrower_than_two_apart():
    models, test = pair(spread=0.1)
    out = evaluate.compare(models, test)
    apart = np.hypot(*(out["high"] - out["low"]))
    paired = (out["diff_high"] - out["diff_low"])["b"]
    assert 0 < paired < apart / 3


def test_a_clearly_worse_model_is_called_worse_and_from_there_better():
    models, test = pair(spread=0.1, shift=0.3)
    out = evaluate.compare(models, test, metric="mae")
    assert out.loc["b", "verdict"] == "worse"
    assert out.loc["b", "diff_low"] > 0.2
    assert out.loc["b", "p"] == 1 / 1000  # as small as 1,000 draws can say
    turned = evaluate.compare(models, test, metric="mae", reference="b")
    assert turned["verdict"].tolist() == ["better", "reference"]
    assert turned.loc["a", "difference"] == -out.loc["b", "difference"]
    assert turned.loc["a", "diff_low"] == pytest.approx(-out.loc["b", "diff_high"])
    for name, model in models.items():
        alone = evaluate.ratings(model, test).loc["mae", ["value", "low", "high"]]
        assert alone.tolist() == out.loc[name, ["value", "low", "high"]].tolist()


def test_higher_is_better_for_lists():
    train = rows(*[(u, "x", 1) for u in range(40)], (40, "y", 1), (40, "z", 1))
    test = rows(*[(u, "z", 5) for u in range(40)])
    table = pd.DataFrame({"x": 0.0, "y": 1.0, "z": 2.0}, index=range(41))
    good = Given(table=table).fit(train)
    bad = Given(table=table.assign(y=3.0)).fit(train)
    out = evaluate.compare({"good": good, "bad": bad}, test, metric="mrr@2")
    assert out["value"].tolist() == [1, 0.5]
    assert out["verdict"].tolist() == ["reference", "worse"]


def test_p_values_are_adjusted_as_holm_says():
    p = np.array([np.nan, 0.01, 0.04, 0.03, 0.9])
    out = pd.DataFrame({"difference": [0.0, 1.0, 1.0, -1.0, 1.0]})
    judged = evaluate._judge(out, p, 0, "rmse")
    # sorted .01 .03 .04 .9, times 4 3 2 1: .04 .09 .08 .9, never falling
    np.testing.assert_allclose(judged["p"], [np.nan, 0.04, 0.09, 0.09, 0.9])
    words = ["reference", "worse", *["not distinguishable"] * 3]
    assert judged["verdict"].tolist() == words
    alone = evaluate._judge(out.iloc[:2], p[[0, 2]], 0, "ndcg@10")
    assert alone["p"].tolist()[1] == 0.04
    assert alone["verdict"].tolist() == ["reference", "better"]
    judged = evaluate._judge(out, np.array([np.nan, 0.5, 0.6, 0.7, 0.8]), 0, "rmse")
    assert (judged["p"].iloc[1:] == 1).all()


@pytest.mark.soak
def test_seven_models_no_better_than_the_reference_are_seldom_called_so(soak_share):
    n = int(200 * soak_share)
    called = np.zeros(n, dtype=bool)
    for seed in range(n):
        rng = np.random.default_rng(seed)
        base = rng.normal(size=(60, 5))
        noisy = [base + 0.3 * rng.normal(size=base.shape) for _ in range(8)]
        models = {f"m{j}": with_errors(errors)[0] for j, errors in enumerate(noisy)}
        _, test = with_errors(base)
        out = evaluate.compare(models, test, seed=seed)
        called[seed] = out["verdict"].isin(["better", "worse"]).any()
    assert called.mean() <= 0.15  # 0.05, were 60 users many; without Holm about 0.25


def test_what_cannot_be_compared_is_refused(ratings):
    train, test = split.random(ratings)
    a = mf.MeanModel().fit(train)
    with pytest.raises(ValueError, match=r"two or more models.*\['a'\]"):
        evaluate.compare({"a": a}, test)
    with pytest.raises(ValueError, match="reference='c'"):
        evaluate.compare({"a": a, "b": a}, test, reference="c")
    for metric in ("accuracy", "rmse@10", "ndcg", "ndcg@ten", "precision@-1"):
        with pytest.raises(ValueError, match=r"metric must be like one of.*ndcg@10"):
            evaluate.compare({"a": a, "b": a}, test, metric=metric)
    with pytest.raises(ValueError, match="n is the length of a list"):
        evaluate.compare({"a": a, "b": a}, test, metric="ndcg@0")
    half = mf.MeanModel().fit(train[train["user"] < 115])
    with pytest.raises(ValueError, match="'b' and 'a' know different users"):
        evaluate.compare({"a": a, "b": half}, test, metric="ndcg@10")
    with pytest.raises(ValueError, match="n_boot is the number of draws"):
        evaluate.ratings(a, test, n_boot=0)


# ---- Folds ---------------------------------------------------------------------------


def test_folds_by_hand_with_the_corrected_t(ratings):
    models = {"mean": mf.MeanModel(of="item"), "bias": mf.BiasModel()}
    out = evaluate.cross_validate(models, ratings, n_folds=4, metric="mae", seed=2)
    scores = np.array(
        [
            [
                np.abs(test["rating"] - replace(m).fit(train).predict(test)).mean()
                for m in models.values()
            ]
            for train, test in split.kfold(ratings, 4, seed=2)
        ]
    )
    np.testing.assert_allclose(out["value"], scores.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(out["sd"], scores.std(axis=0, ddof=1), rtol=1e-9)
    d = scores[:, 1] - scores[:, 0]
    # Nadeau and Bengio: (1/J + n_test/n_train) σ̂² instead of σ̂²/J
    error = np.sqrt((1 / 4 + 75 / 225) * d.var(ddof=1))
    reach = 3.182446305284264 * error  # t at 0.975 with 3 degrees of freedom
    row = out.loc["bias"]
    np.testing.assert_allclose(row["difference"], d.mean(), rtol=1e-9)
    np.testing.assert_allclose(row["diff_low"], d.mean() - reach, rtol=1e-9)
    np.testing.assert_allclose(row["diff_high"], d.mean() + reach, rtol=1e-9)
    p = 2 * stats.t.cdf(-abs(d.mean() / error), 3)
    np.testing.assert_allclose(row["p"], p, rtol=1e-9)
    assert row["verdict"] == ("better" if p < 0.05 else "not distinguishable")
    uncorrected = stats.ttest_1samp(d, 0).pvalue
    assert p > uncorrected


def test_cross_validation_leaves_the_models_alone(ratings):
    fitted = mf.BiasModel().fit(ratings)
    before = fitted.predict(ratings)
    models = {"fitted": fitted, "unfitted": mf.MeanModel()}
    out = evaluate.cross_validate(models, ratings, metric="recall@5", n_folds=3)
    np.testing.assert_array_equal(fitted.predict(ratings), before)
    assert fitted.train_.n_ratings == len(ratings)
    with pytest.raises(mf.NotFittedError):
        models["unfitted"].predict(ratings)
    again = evaluate.cross_validate(models, ratings, metric="recall@5", n_folds=3)
    pd.testing.assert_frame_equal(out, again)


def test_equal_models_are_equal_in_every_fold(ratings, capsys):
    models = {"a": mf.MeanModel(), "b": mf.MeanModel()}
    out = evaluate.cross_validate(models, ratings, progress=True)
    assert out.loc["b", ["difference", "p"]].tolist() == [0, 1]
    assert out.loc["b", "verdict"] == "not distinguishable"
    assert "folds" in capsys.readouterr().err
    with pytest.raises(ValueError, match="n_folds must lie between"):
        evaluate.cross_validate(models, ratings, n_folds=1)
    with pytest.raises(ValueError, match="metric must be like"):
        evaluate.cross_validate(models, ratings, metric="auc")


# ---- Errors --------------------------------------------------------------------------

CALLS = {
    "ratings": evaluate.ratings,
    "ranking": evaluate.ranking,
    "compare": lambda model, test: evaluate.compare({"a": model, "b": model}, test),
    "compare lists": lambda model, test: evaluate.compare(
        {"a": model, "b": model}, test, metric="ndcg@10"
    ),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


@each_call
def test_an_unfitted_model_says_so(call, ratings):
    with pytest.raises(mf.NotFittedError, match=r"Call model\.fit"):
        call(mf.BiasModel(), ratings)


@each_call
@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (lambda f: f.drop(columns="rating"), ValueError, "no column 'rating'"),
        (lambda f: f.drop(columns="user"), ValueError, "no column 'user'"),
        (lambda f: f.iloc[:0], ValueError, "no rows"),
        (lambda f: f.to_numpy(), TypeError, "expected a DataFrame"),
        (lambda f: f.assign(rating=np.nan), ValueError, "missing or infinite in 300"),
        (lambda f: f.assign(user=None), ValueError, "'user' is missing"),
        (lambda f: pd.concat([f, f.iloc[:2]]), ValueError, "more than once"),
    ],
)
def test_a_bad_test_frame_is_refused(call, spoil, kind, message, ratings):
    # A missing rating would drop out of a sum of errors, a double one count twice.
    model = mf.BiasModel().fit(ratings)
    with pytest.raises(kind, match=message):
        call(model, spoil(ratings))


def test_a_model_without_lists_says_which_can(ratings):
    class OnlyRatings(mf.MeanModel):
        def recommend(self, users, n=10, exclude_seen=True):
            raise mf.NotSupported("OnlyRatings has no recommend; MeanModel can")

    model = OnlyRatings().fit(ratings)
    assert evaluate.ratings(model, ratings).loc["mae", "value"] > 0
    with pytest.raises(mf.NotSupported, match="has no recommend"):
        evaluate.ranking(model, ratings)


def test_of_sixty_models_a_clear_difference_is_told_in_spite_of_holm():
    """With 1,000 draws p could not fall below 60 / 1,000."""
    n = pd.DataFrame({"n": np.ones(50)})
    tables = {f"m{i}": n.assign(mae=np.arange(50) / 50 + i) for i in range(60)}
    found = evaluate.compare_users(tables, "mae", n_boot=200)
    assert (found["verdict"].iloc[1:] == "worse").all()
