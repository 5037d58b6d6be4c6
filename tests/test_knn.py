"""Neighbourhood models: by hand, by the book, by their plain twin, by others."""

import subprocess
import sys
import warnings
from dataclasses import replace
from functools import cache
from itertools import permutations, product
from math import sqrt

import numba
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr
from sklearn.metrics.pairwise import cosine_similarity

import mfcourse as mf
from mfcourse import datasets, metrics, split
from mfcourse.interactions import IdMap
from mfcourse.models import _compiled
from tests.conftest import random_ratings

KINDS = {"user": mf.UserKNNModel, "item": mf.ItemKNNModel}
each_kind = pytest.mark.parametrize("Model", KINDS.values(), ids=KINDS.keys())
same_cases = settings(deadline=None, derandomize=True, max_examples=50)


def rows(*triples):
    return pd.DataFrame(triples, columns=["user", "item", "rating"])


def grid(ratings):
    """All pairs of a user and an item."""
    ids = [ratings["user"].unique(), ratings["item"].unique()]
    return pd.MultiIndex.from_product(ids, names=["user", "item"]).to_frame(index=False)


def assert_close(a, b, atol=1e-10):
    np.testing.assert_allclose(a, b, rtol=0, atol=atol)


# ---- By hand, on the toy -------------------------------------------------------------
#
#          Star Rust  Moon Heist  Iron Tide  Paper Hearts  Quiet Garden
# Ana              5           4          .             2             3
# Ben              4           1          4             1             1
# Chloe            4           3          2             4             4
# Dan              5           .          4             1             .
# Eve              1           .          2             5             .
# Finn             .           2          .             5             4

ANA_BEN = {  # over Star Rust, Moon Heist, Paper Hearts, Quiet Garden
    "cosine": 29 / sqrt(54 * 19),  # 20 + 4 + 2 + 3;  25 + 16 + 4 + 9;  16 + 1 + 1 + 1
    "pearson": 4.5 / sqrt(5 * 6.75),  # of 1.5 .5 −1.5 −.5 and 2.25 −.75 −.75 −.75
    "msd": 1 / (1 + 15 / 4),  # (1² + 3² + 1² + 2²) / 4
}


@pytest.mark.parametrize("engine", ["fast", "plain"])
@pytest.mark.parametrize("similarity", ANA_BEN)
def test_similarity_of_two_people_by_hand(similarity, engine):
    def ana_ben(**options):
        model = mf.UserKNNModel(similarity=similarity, compare="ratings", **options)
        model.fit(datasets.toy())
        return model.similar_users("Ana").set_index("user")["score"]["Ben"]

    expected = ANA_BEN[similarity]
    assert_close(ana_ben(engine=engine), expected)
    assert_close(ana_ben(engine=engine, center="none"), expected)
    assert_close(ana_ben(engine=engine, shrinkage=6.0), expected * 4 / 10)
    assert_close(ana_ben(engine=engine, min_support=4), expected)
    assert ana_ben(engine=engine, min_support=5) == 0


@pytest.mark.parametrize("engine", ["fast", "plain"])
def test_similarity_of_two_films_by_hand(engine):
    def of(**options):
        model = mf.ItemKNNModel(engine=engine, **options).fit(datasets.toy())
        return model.similar_items("Star Rust").set_index("item")["score"]

    # Paper Hearts, over Ana, Ben, Chloe, Dan, Eve: 5 4 4 5 1 and 2 1 4 1 5
    assert_close(of(center="none")["Paper Hearts"], 40 / sqrt(83 * 47))
    x, y = np.array([5, 4, 4, 5, 1]) - 19 / 5, np.array([2, 1, 4, 1, 5]) - 18 / 6
    assert_close(of()["Paper Hearts"], x @ y / sqrt((x @ x) * (y @ y)))
    binary = of(normalize=False, binary=True)
    assert_close(binary["Paper Hearts"], 5 / sqrt(5 * 6))
    assert_close(binary["Quiet Garden"], 3 / sqrt(5 * 4))


@pytest.mark.parametrize("engine", ["fast", "plain"])
def test_a_prediction_by_hand(engine):
    model = mf.UserKNNModel(
        n_neighbors=2, similarity="msd", compare="ratings", engine=engine
    ).fit(datasets.toy())
    # Who rated Iron Tide: Ben 4/19, Chloe 1/(1 + 7/4), Dan 1/(1 + 1/2), Eve 2/27.
    # The nearest two are Dan, who gave it 4 on a mean of 10/3, and Chloe, 2 on 17/5.
    dan, chloe = 2 / 3, 4 / 11
    found = model.neighbors("Ana", "Iron Tide")
    assert found["user"].tolist() == ["Dan", "Chloe"]
    assert_close(found["similarity"], [dan, chloe])
    assert found["rating"].tolist() == [4, 2]
    expected = 3.5 + (dan * (4 - 10 / 3) + chloe * (2 - 17 / 5)) / (dan + chloe)
    asked = pd.DataFrame({"user": ["Ana"], "item": ["Iron Tide"]})
    assert_close(model.predict(asked), expected)
    plain_sum = replace(model, normalize=False).fit(datasets.toy())
    expected = 3.5 + dan * (4 - 10 / 3) + chloe * (2 - 17 / 5)
    assert_close(plain_sum.predict(asked), expected)


@pytest.mark.parametrize("engine", ["fast", "plain"])
def test_ties_at_the_last_place_go_to_the_lower_code(engine):
    alike = [(u, i, 3) for u in "dabcx" for i in ("p", "q")]
    target = [("d", "t", 1), ("a", "t", 2), ("b", "t", 4), ("c", "t", 5)]
    ratings = rows(*alike, *target)
    for k, expected in [(1, 1), (2, 1.5), (3, 7 / 3), (4, 3), (9, 3)]:
        model = mf.UserKNNModel(n_neighbors=k, center="none", engine=engine)
        model.fit(ratings)
        assert_close(model.predict(rows(("x", "t", 0))), expected)
        assert model.neighbors("x", "t")["user"].tolist() == list("dabc")[:k]


# ---- By the book ---------------------------------------------------------------------


def by_the_book(model, ratings, user, item):
    """The formula of the module's head in dictionaries, for one pair."""
    table = {(u, i): r for u, i, r in ratings[["user", "item", "rating"]].to_numpy()}
    by_user = isinstance(model, mf.UserKNNModel)
    mu = sum(table.values()) / len(table)
    bias = mf.BiasModel().fit(ratings)
    b_u = dict(zip(bias.train_.users.ids, bias.user_bias_, strict=True))
    b_i = dict(zip(bias.train_.items.ids, bias.item_bias_, strict=True))

    def center(u, i):
        if model.binary or (model.center == "none" and not model.normalize):
            return 0.0
        if model.center == "none":
            return mu
        if model.center == "baseline":
            return mu + b_u[u] + b_i[i]
        own = [r for pair, r in table.items() if pair[not by_user] == (i, u)[by_user]]
        return sum(own) / len(own)

    def pair(row, column):
        return (row, column) if by_user else (column, row)

    raw = model.compare == "ratings" or model.center == "none"
    value = {p: r if raw else r - center(*p) for p, r in table.items()}
    if model.binary:
        value = dict.fromkeys(table, 1.0)

    @cache
    def columns(row):
        return {p[by_user] for p in table if p[not by_user] == row}

    @cache
    def similarity(a, b):
        shared = sorted(columns(a) & columns(b), key=str)
        n = len(shared)
        if n < model.min_support:
            return 0.0
        x = np.array([value[pair(a, c)] for c in shared])
        y = np.array([value[pair(b, c)] for c in shared])
        if model.similarity == "msd":
            s = 1 / (1 + np.mean((x - y) ** 2))
        elif model.binary:
            s = n / sqrt(len(columns(a)) * len(columns(b)))
        else:
            if model.similarity == "pearson":
                x, y = x - x.mean(), y - y.mean()
            norm = np.linalg.norm(x) * np.linalg.norm(y)
            s = x @ y / norm if norm > 1e-9 else 0.0
        return s * n / (n + model.shrinkage)

    row, column = (user, item) if by_user else (item, user)
    near = [
        (-similarity(row, p[not by_user]), rank, p)
        for rank, p in enumerate(table)
        if p[by_user] == column and p[not by_user] != row
    ]
    best = [(-s, p) for s, _, p in sorted(near)[: model.n_neighbors] if s < -1e-9]
    total = sum(s * ((1.0 if model.binary else table[p]) - center(*p)) for s, p in best)
    weight = sum(s for s, _ in best) if model.normalize else 1.0
    return center(user, item) + (total / weight if best else 0.0)


SETTINGS = [
    {"similarity": s, "center": c, "compare": v, "normalize": z}
    for s, c, v, z in product(
        ["cosine", "pearson", "msd"],
        ["none", "mean", "baseline"],
        ["residuals", "ratings"],
        [True, False],
    )
] + [{"binary": True, "normalize": False, "center": c} for c in ("none", "mean")]
each_setting = pytest.mark.parametrize(
    "setting", SETTINGS, ids=["-".join(map(str, s.values())) for s in SETTINGS]
)


@each_kind
@each_setting
def test_predictions_are_those_of_the_book(Model, setting):
    # Real-valued ratings: no two similarities are equal but for reasons of rounding.
    ratings = random_ratings(9, 8, 40, seed=3)
    ratings["rating"] += np.random.default_rng(3).normal(size=40)
    model = Model(n_neighbors=3, shrinkage=1.5, min_support=3, **setting).fit(ratings)
    pairs = grid(ratings).sample(6, random_state=1)
    expected = [by_the_book(model, ratings, *pair) for pair in pairs.to_numpy()]
    assert_close(model.predict(pairs), expected)


@each_kind
def test_a_binary_ranking_is_a_product_with_scikit_learns_cosines(Model, ratings):
    model = Model(n_neighbors=999, normalize=False, binary=True).fit(ratings)
    B = (model.train_.csr.toarray() > 0).astype(float)
    S = cosine_similarity(B if Model is mf.UserKNNModel else B.T)
    np.fill_diagonal(S, 0)
    expected = S @ B if Model is mf.UserKNNModel else B @ S
    assert_close(model._scores(np.arange(model.train_.n_users)), expected)


@pytest.mark.parametrize("engine", ["fast", "plain"])
def test_pearson_is_scipys_on_what_both_rated(ratings, engine):
    model = mf.ItemKNNModel(
        similarity="pearson", compare="ratings", min_support=3, engine=engine
    ).fit(ratings)
    table = ratings.pivot_table(index="user", columns="item", values="rating")
    R = {item: column.to_numpy() for item, column in table.items()}
    checked = 0
    for item in list(R)[:6]:
        for other, score in model.similar_items(item, n=99).to_numpy():
            both = ~np.isnan(R[item]) & ~np.isnan(R[other])
            x, y = R[item][both], R[other][both]
            if len(x) >= 3 and x.std() > 0 and y.std() > 0:
                assert_close(score, pearsonr(x, y).statistic)
                checked += 1
            else:
                assert score == 0
    assert checked > 90


def test_a_checkerboard_is_completed():
    # Even people rate even films, odd ones odd films; each lacks the one of their name.
    cells = [(u, i, 1) for u in range(10) for i in range(10) if (u + i) % 2 == 0]
    board = rows(*[cell for cell in cells if cell[0] != cell[1]])
    for Model, engine in product(KINDS.values(), ["fast", "plain"]):
        model = Model(normalize=False, binary=True, engine=engine).fit(board)
        best = model.recommend(range(10), n=1)
        assert best["item"].tolist() == list(range(10))
        full = model.recommend(range(10), n=10, exclude_seen=False)
        alike = (full["user"] + full["item"]) % 2 == 0
        assert (full["score"] > 0).equals(alike)


# ---- The fast engine is the plain one ------------------------------------------------


def assert_engines_agree(model, ratings):
    fast = replace(model, engine="fast").fit(ratings)
    plain = replace(model, engine="plain").fit(ratings)
    pairs = grid(ratings).iloc[::7]
    assert_close(fast.predict(pairs), plain.predict(pairs))
    users = np.arange(fast.train_.n_users)
    assert_close(fast._scores(users), plain._scores(users))
    for row in range(fast._n_rows()):
        assert_close(fast._row(row), plain._row(row))
    new = ratings[ratings["user"] == ratings["user"].iloc[0]]
    scores = [m.fold_in(new).set_index("item")["score"] for m in (fast, plain)]
    assert_close(scores[0].sort_index(), scores[1].sort_index())


@each_kind
@each_setting
def test_fast_is_plain_on_random_data(Model, setting):
    rng = np.random.default_rng(SETTINGS.index(setting))
    ratings = random_ratings(14, 11, 80, seed=5)
    more = {
        "shrinkage": float(rng.choice([0, 2.5, 40])),
        "min_support": int(rng.integers(1, 5)),
        "n_neighbors": int(rng.choice([1, 2, 3, 5, 40])),
    }
    assert_engines_agree(Model(**setting, **more), ratings)


@st.composite
def small_frames(draw):
    """Few users, items and values: ties, constants, zeros, negatives, no overlap."""
    m, n = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    cells = [(u, i) for u in range(m) for i in range(n)]
    chosen = draw(st.lists(st.sampled_from(cells), min_size=1, unique=True))
    values = draw(
        st.sampled_from(
            [[3.0], [0.0], [-2.0, 0.0, 1.0], [1, 2, 3, 4, 5], [0.1, 0.3, 4.1]]
        )
    )
    return rows(*[(u, i, draw(st.sampled_from(values))) for u, i in chosen])


@same_cases
@given(
    ratings=small_frames(),
    Model=st.sampled_from(list(KINDS.values())),
    setting=st.sampled_from(SETTINGS),
    n_neighbors=st.sampled_from([1, 2, 3, 40]),
    shrinkage=st.sampled_from([0.0, 3.0]),
    min_support=st.integers(1, 3),
)
def test_fast_is_plain_on_what_is_small_or_degenerate(ratings, Model, setting, **more):
    assert_engines_agree(Model(**setting, **more), ratings)


DEGENERATE = {
    "one user": rows(("a", "x", 1), ("a", "y", 5), ("a", "z", 4)),
    "one item": rows(("a", "x", 1), ("b", "x", 5), ("c", "x", 4)),
    "one rating": rows(("a", "x", 4)),
    "no shared columns": rows(("a", "x", 1), ("b", "y", 5), ("c", "z", 3)),
}


@each_kind
@pytest.mark.parametrize("engine", ["fast", "plain"])
@pytest.mark.parametrize("name", DEGENERATE)
def test_without_neighbours_the_center_is_predicted(Model, engine, name):
    ratings = DEGENERATE[name]
    if (name, Model) in [("one user", mf.ItemKNNModel), ("one item", mf.UserKNNModel)]:
        return  # these have neighbours
    for center, similarity in product(["none", "mean"], ["cosine", "pearson", "msd"]):
        model = Model(center=center, similarity=similarity, engine=engine).fit(ratings)
        key = ["user", "item"][Model is mf.ItemKNNModel]
        mean = ratings.groupby(key)["rating"].mean()
        pairs = grid(ratings)
        expected = np.full(len(pairs), ratings["rating"].mean())
        if center == "mean":
            expected = pairs[key].map(mean)
        assert_close(model.predict(pairs), expected)
        for user, item in pairs.to_numpy():
            assert model.neighbors(user, item).empty


@pytest.mark.parametrize("engine", ["fast", "plain"])
@pytest.mark.parametrize("level", [1.1, 0.0, -0.3])
def test_who_rates_all_alike_is_like_nobody(ratings, engine, level):
    # 1.1 − mean(1.1, 1.1, …) is 2e-16 here: rounding, not a direction of taste.
    # Seven items, not all: over all of theirs the residuals of others sum to 0.
    items = ratings["item"].unique()[:7]
    dull = pd.DataFrame({"user": -1, "item": items, "rating": level})
    both = pd.concat([ratings, dull])
    for similarity in ("cosine", "pearson"):
        model = mf.UserKNNModel(similarity=similarity, engine=engine).fit(both)
        assert (model.similar_users(-1, n=99)["score"] == 0).all()
        assert_close(model.predict(dull), level)
        others = mf.UserKNNModel(similarity=similarity, engine=engine).fit(ratings)
        assert_close(others.fold_in(dull, exclude_seen=False)["score"], level)


@pytest.mark.parametrize("engine", ["fast", "plain"])
def test_a_similarity_that_is_0_but_for_rounding_makes_no_neighbour(engine):
    # Over p, q and r: 1.1 − 1.4 + 0.3 is 0, but ±5.6e-17 in floats, by order.
    for order in permutations([(1.0, 1.1), (-1.0, 1.4), (1.0, 0.3)]):
        a = [("a", item, x) for item, (x, _) in zip("pqr", order, strict=True)]
        b = [("b", item, y) for item, (_, y) in zip("pqr", order, strict=True)]
        model = mf.UserKNNModel(center="none", engine=engine)
        model.fit(rows(*a, *b, ("b", "t", 5)))
        assert model.similar_users("a")["score"].tolist() == [0]
        assert model.neighbors("a", "t").empty


# ---- What a prediction rests on ------------------------------------------------------


@each_kind
@pytest.mark.parametrize("center", ["none", "mean", "baseline"])
@pytest.mark.parametrize("similarity", ["cosine", "pearson", "msd"])
def test_a_prediction_is_made_of_its_neighbors(Model, center, similarity, ratings):
    model = Model(n_neighbors=4, center=center, similarity=similarity).fit(ratings)
    middle = {
        "none": mf.MeanModel(),
        "mean": mf.MeanModel(of="user" if Model is mf.UserKNNModel else "item"),
        "baseline": mf.BiasModel(),
    }[center].fit(ratings)
    pairs = grid(ratings).sample(20, random_state=0)
    expected = middle.predict(pairs)
    key = "user" if Model is mf.UserKNNModel else "item"
    lengths = []
    for p, (user, item) in enumerate(pairs.to_numpy()):
        found = model.neighbors(user, item)
        s, rating = found["similarity"], found["rating"]
        near = pd.DataFrame({"user": user, "item": item}, index=found.index)
        near[key] = found[key]
        assert {user, item}.isdisjoint(found[key])
        assert (s > 0).all()
        assert (np.diff(s) <= 0).all()
        assert near.merge(ratings)["rating"].tolist() == rating.tolist()
        if len(found):
            expected[p] += (s * (rating - middle.predict(near))).sum() / s.sum()
        lengths.append(len(found))
    assert max(lengths) == 4
    assert_close(model.predict(pairs), expected)


@each_kind
def test_the_most_similar_come_first_and_nobody_is_like_themselves(Model, ratings):
    model = Model(similarity="msd").fit(ratings)
    similar = model.similar_users if Model is mf.UserKNNModel else model.similar_items
    key = "user" if Model is mf.UserKNNModel else "item"
    ids = ratings[key].unique()
    table = {}
    for row in ids:
        found = similar(row, n=99)
        assert set(found[key]) == set(ids) - {row}
        assert (np.diff(found["score"]) <= 0).all()
        assert similar(row, n=3).equals(found.head(3))
        table.update({(row, other): s for other, s in found.to_numpy()})
    assert all(table[a, b] == table[b, a] for a, b in table)


def test_unknown_ids_and_unfitted_models_say_so(ratings):
    model = mf.UserKNNModel()
    for call in (lambda: model.similar_users(100), lambda: model.neighbors(100, 3)):
        with pytest.raises(mf.NotFittedError, match=r"Call model\.fit"):
            call()
    model.fit(ratings)
    item = ratings["item"].iloc[0]
    with pytest.raises(KeyError, match="user -1 was not in training, so nobody"):
        model.similar_users(-1)
    with pytest.raises(KeyError, match="user -1 was not in training, so it has no"):
        model.neighbors(-1, item)
    with pytest.raises(KeyError, match="item -2 was not in training, so it has no"):
        model.neighbors(ratings["user"].iloc[0], -2)
    with pytest.raises(mf.NotSupported, match="no similar_items; factor models and"):
        model.similar_items(item)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("n_neighbors", 0, "n_neighbors must be a whole number of at least 1"),
        ("similarity", "jaccard", "similarity must be one of"),
        ("center", "median", "center must be one of"),
        ("compare", "all", "compare must be one of"),
        ("shrinkage", -1.0, "shrinkage must be a number of at least 0"),
        ("min_support", 1.5, "min_support must be a whole number"),
        ("engine", "gpu", "engine must be one of"),
        ("binary", True, "binary=True ranks by a sum of cosines; pass normalize=False"),
    ],
)
@each_kind
def test_hyper_parameters_are_checked(Model, name, value, message):
    with pytest.raises(ValueError, match=message):
        Model(**{name: value})


# ---- Newcomers -----------------------------------------------------------------------


def newcomer(ratings):
    """Ratings of everybody else, and of one user on items that others know."""
    user = ratings["user"].value_counts().index[0]
    others = ratings[ratings["user"] != user]
    own = ratings[(ratings["user"] == user) & ratings["item"].isin(others["item"])]
    return others, own, user


@pytest.mark.parametrize("compare", ["residuals", "ratings"])
@pytest.mark.parametrize("similarity", ["cosine", "pearson", "msd"])
def test_a_newcomer_is_served_as_if_they_had_been_in_training(
    similarity, compare, ratings
):
    # Exact where nobody's center depends on others: the rows' own means.
    others, own, user = newcomer(ratings)
    model = mf.UserKNNModel(similarity=similarity, compare=compare, n_neighbors=4)
    full = replace(model).fit(pd.concat([others, own]))
    found = replace(model).fit(others).fold_in(own, exclude_seen=False)
    assert_close(found["score"], full.predict(found.assign(user=user)))
    assert found["rank"].tolist() == list(range(1, len(found) + 1))
    unseen = replace(model).fit(others).fold_in(own)
    assert set(unseen["item"]) == set(others["item"]) - set(own["item"])


@pytest.mark.parametrize("center", ["none", "mean", "baseline"])
def test_a_newcomer_to_items_is_scored_by_the_similarities_of_others(center, ratings):
    others, own, _ = newcomer(ratings)
    model = mf.ItemKNNModel(center=center, n_neighbors=3).fit(others)
    mu = model.global_mean_
    b_i = dict(zip(model.train_.items.ids, model.item_bias_, strict=True))
    rated = own.set_index("item")["rating"]
    left = {i: r - mu - b_i[i] for i, r in rated.items()}
    bias = sum(left.values()) / (15 + len(left)) if center == "baseline" else 0.0
    scores = model.fold_in(own, exclude_seen=False)[["item", "score"]]
    for item, score in scores.to_numpy():
        near = model.similar_items(item, n=99).set_index("item")["score"]
        near = near[near.index.isin(rated.index) & (near > 0)].head(3)
        expected = mu + bias + b_i[item]
        if len(near):
            add = sum(s * (left[i] - bias) for i, s in near.items())
            expected += add / near.sum()
        assert_close(score, expected)


@each_kind
@pytest.mark.parametrize("center", ["none", "mean", "baseline"])
def test_a_newcomer_without_ratings_gets_what_a_stranger_is_predicted(
    Model, center, ratings
):
    model = Model(center=center).fit(ratings)
    found = model.fold_in(ratings.iloc[:0])
    assert len(found) == ratings["item"].nunique()
    assert_close(found["score"], model.predict(found.assign(user="nobody")), 1e-12)


# ---- Same input, same bits -----------------------------------------------------------


@each_kind
def test_one_thread_and_all_threads_give_the_same_bits(Model, ratings):
    model = Model(similarity="pearson", n_neighbors=3).fit(ratings)
    threads = numba.get_num_threads()
    answers = []
    try:
        for n in (1, numba.config.NUMBA_NUM_THREADS):
            numba.set_num_threads(n)
            answers.append(model.predict(grid(ratings)))
    finally:
        numba.set_num_threads(threads)
    np.testing.assert_array_equal(*answers)


@each_kind
def test_a_refit_on_the_same_interactions_uses_nothing_stale(Model, ratings):
    train = mf.Interactions(ratings)
    model = Model(n_neighbors=5)
    for changes in (
        {"center": "none"},
        {"similarity": "msd", "compare": "ratings", "center": "baseline"},
        {"similarity": "cosine", "normalize": False, "binary": True},
    ):
        model.fit(train).predict(ratings)
        for name, value in changes.items():
            setattr(model, name, value)
        again = model.fit(train).predict(ratings)
        np.testing.assert_array_equal(again, replace(model).fit(train).predict(ratings))


@each_kind
def test_wide_and_narrow_indices_give_the_same_bits(Model, ratings):
    train = mf.Interactions(ratings)
    answers = []
    for dtype in (np.int32, np.int64):
        csr = train.csr.copy()
        csr.indices, csr.indptr = csr.indices.astype(dtype), csr.indptr.astype(dtype)
        users, items = IdMap(train.users.ids), IdMap(train.items.ids)
        same = mf.Interactions.from_parts(users, items, csr)
        model = Model(similarity="msd").fit(same)
        folded = model.fold_in(ratings.iloc[:3][["item", "rating"]])
        answers.append([model.predict(ratings), folded["score"]])
    np.testing.assert_array_equal(answers[0][0], answers[1][0])
    np.testing.assert_array_equal(answers[0][1], answers[1][1])


@each_kind
def test_a_loaded_model_explains_and_folds_in_the_same(Model, ratings, tmp_path):
    model = Model(center="baseline", shrinkage=2.0).fit(ratings)
    loaded = mf.Recommender.load(model.save(tmp_path / "knn"))
    user, item = ratings[["user", "item"]].iloc[0]
    pd.testing.assert_frame_equal(
        model.neighbors(user, item), loaded.neighbors(user, item)
    )
    new = ratings[ratings["user"] == user]
    pd.testing.assert_frame_equal(model.fold_in(new), loaded.fold_in(new))


# ---- Where it runs -------------------------------------------------------------------


def run(code):
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def test_without_numba_the_plain_engine_runs_and_says_so_once():
    done = run("""
import sys
sys.modules["numba"] = None  # import numba now raises ImportError
import mfcourse as mf
toy = mf.datasets.toy()
for model in (mf.UserKNNModel(), mf.ItemKNNModel(similarity="msd")):
    model.fit(toy)
    print(*model.predict(toy).tolist())
    model.recommend("Ana"), model.fold_in(toy[toy["user"] == "Ben"])
    model.neighbors("Ana", "Iron Tide")
""")
    assert done.stderr.count("numba is not installed") == 1
    toy = datasets.toy()
    models = mf.UserKNNModel(), mf.ItemKNNModel(similarity="msd")
    for line, model in zip(done.stdout.splitlines(), models, strict=True):
        assert_close([float(v) for v in line.split()], model.fit(toy).predict(toy))


def test_what_numba_would_compile_is_left_as_it_is_without_it(monkeypatch):
    def double(x):
        return 2 * x

    assert _compiled.use_fast("fast")
    monkeypatch.setattr(_compiled, "njit", None)
    monkeypatch.setattr(_compiled, "_told", False)
    assert _compiled.kernel(double) is double
    assert _compiled.kernel(parallel=True)(double) is double
    assert not _compiled.use_fast("plain")  # asked for: nothing to tell
    with pytest.warns(UserWarning, match="numba is not installed"):
        assert not _compiled.use_fast("fast")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not _compiled.use_fast("fast")


def test_memory_does_not_grow_with_the_square_of_the_users():
    pytest.importorskip("resource", reason="no peak memory to read on this system")
    done = run("""
import resource, sys
import numpy as np, pandas as pd
import mfcourse as mf
rng = np.random.default_rng(0)
m, n = 20_000, 2_000
pair = rng.choice(m * n, 100_000, replace=False)
ratings = pd.DataFrame({"user": pair // n, "item": pair % n, "rating": 1.0 + pair % 5})
model = mf.UserKNNModel(similarity="msd")
model.fit(ratings.head(99)).predict(ratings.head(9))  # compiled: its memory is spent
model.fit(ratings)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model.predict(ratings.drop_duplicates("user").head(5_000))
model.recommend(ratings["user"].unique()[:500])
model.similar_users(ratings["user"].iloc[0])
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(grown * (1 if sys.platform == "darwin" else 1024))
""")
    assert int(done.stdout) < 20_000**2 * 8 / 16  # a sixteenth of all similarities


PUBLISHED = {  # Surprise's table for ml-100k, 5 folds, its default settings
    "bias only": (mf.BiasModel(), 0.944),
    "plain": (mf.UserKNNModel(center="none", similarity="msd"), 0.980),
    "means": (
        mf.UserKNNModel(center="mean", similarity="msd", compare="ratings"),
        0.951,
    ),
    "baseline": (
        mf.UserKNNModel(center="baseline", similarity="msd", compare="ratings"),
        0.931,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_accuracy_on_ml_100k(name, shared_datasets):
    model, published = PUBLISHED[name]
    frame = datasets.load("ml-100k", path=shared_datasets / "ml-100k")
    scores = [
        metrics.rmse(
            test["rating"], replace(model).fit(train).predict(test, clip=(1, 5))
        )
        for train, test in split.kfold(frame, 5)
    ]
    assert abs(np.mean(scores) - published) < 0.003
