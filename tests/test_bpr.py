"""BPR: its gradient, its draws, fast = plain, planted preferences, newcomers."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from implicit.bpr import BayesianPersonalizedRanking

import mfcourse as mf
from mfcourse import datasets, evaluate, split
from mfcourse.models import _lists, bpr
from mfcourse.models.bpr import BPRModel
from tests.conftest import ROOT, random_ratings

each_engine = pytest.mark.parametrize("engine", ["fast", "plain"])
each_run = pytest.mark.parametrize(
    "run", [bpr.epoch, bpr.epoch_plain], ids=["fast", "plain"]
)
each_way = pytest.mark.parametrize("negatives", ["uniform", "popularity"])
LEARNED = ("item_bias_", "user_factors_", "item_factors_")


def assert_same_model(a, b, atol=0.0):
    for name in LEARNED:
        np.testing.assert_allclose(
            getattr(a, name), getattr(b, name), rtol=0, atol=atol
        )
    columns = ["epoch", "objective", "auc"]
    pd.testing.assert_frame_equal(a.history_[columns], b.history_[columns], atol=atol)


def has_all(n_items=4):
    """A user who has every item, and one who has the first."""
    rows = [("all", i, 1.0) for i in range(n_items)] + [("one", 0, 2.0)]
    return pd.DataFrame(rows, columns=["user", "item", "rating"])


def planted(m=150, n=80, per_user=20, skew=0.0, seed=0):
    """Each user has the items that a planted taste (and fame) ranks highest, nearly."""
    rng = np.random.default_rng(seed)
    taste = rng.normal(size=(m, 3)) @ rng.normal(size=(3, n))
    score = taste + skew * rng.normal(size=n) + 0.3 * rng.gumbel(size=(m, n))
    items = np.argsort(-score, axis=1)[:, :per_user]
    user = np.repeat(np.arange(m), per_user)
    return pd.DataFrame({"user": user, "item": items.ravel(), "rating": 1.0})


# ---- One step ------------------------------------------------------------------------


@each_run
@pytest.mark.parametrize("reg", [0.0, 0.3])
@pytest.mark.parametrize("size", [1.0, 30.0])  # 30: x is ±2,000, and e^2,000 no number
@pytest.mark.parametrize("i", [0, 1])
def test_a_step_is_the_negative_gradient_times_lr(run, reg, size, i):
    rng = np.random.default_rng(4)
    b, U, V = (size * rng.normal(size=shape) for shape in [(2,), (1, 3), (2, 3)])
    at = np.concatenate([b, U[0], V[0], V[1]])

    def x(at):
        return (at[0] - at[1] + at[2:5] @ (at[5:8] - at[8:])) * (1, -1)[i]

    def objective(at):
        return np.logaddexp(0, -x(at)) + reg / 2 * at @ at

    h = 1e-5 * np.eye(len(at))
    gradient = np.array([(objective(at + d) - objective(at - d)) / 2e-5 for d in h])
    told = run(np.array([0, 1]), np.array([i]), np.array([1 - i]), b, U, V, 0.01, reg)
    step = np.concatenate([b, U[0], V[0], V[1]]) - at
    np.testing.assert_allclose(step, -0.01 * gradient, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(told, [objective(at), x(at) > 0], rtol=1e-12, atol=1e-12)


@each_engine
def test_two_steps_by_hand(engine):
    """Ana has x and Ben y, so each is compared with the other's item."""
    two = pd.DataFrame({"user": ["Ana", "Ben"], "item": ["x", "y"], "rating": 1.0})
    model = BPRModel(n_factors=1, n_epochs=1, lr=0.1, reg=0.5, seed=1, engine=engine)
    rng = np.random.default_rng(1)
    U, V = (0.1 * rng.standard_normal((2, 1))[:, 0] for _ in range(2))
    b, total = np.zeros(2), 0.0
    for u, i, j in [(0, 0, 1), (1, 1, 0)]:
        z = 1 / (1 + np.exp(b[i] - b[j] + U[u] * (V[i] - V[j])))
        sizes = b[i] ** 2 + b[j] ** 2 + U[u] ** 2 + V[i] ** 2 + V[j] ** 2
        total += -np.log(1 - z) + 0.25 * sizes
        new = (U[u] + 0.1 * (z * (V[i] - V[j]) - 0.5 * U[u]),
               V[i] + 0.1 * (z * U[u] - 0.5 * V[i]),
               V[j] + 0.1 * (-z * U[u] - 0.5 * V[j]))  # fmt: skip
        U[u], V[i], V[j] = new
        b[i], b[j] = b[i] + 0.1 * (z - 0.5 * b[i]), b[j] + 0.1 * (-z - 0.5 * b[j])
    model.fit(two)
    for name, wanted in zip(LEARNED, (b, U, V), strict=True):
        np.testing.assert_allclose(getattr(model, name).ravel(), wanted, atol=1e-14)
    assert model.history_["objective"].iloc[0] == pytest.approx(total / 2, rel=1e-12)
    assert model.predict(two)[0] == pytest.approx(b[0] + U[0] * V[0])
    assert model.global_mean_ == 0
    assert not model.user_bias_.any()


# ---- Draws ---------------------------------------------------------------------------


@each_way
@given(seed=st.integers(0, 10**6), n=st.integers(1, 40))
def test_no_pair_is_compared_with_what_its_user_has(negatives, seed, n):
    train = mf.Interactions(random_ratings(8, 5, n, seed))
    others = BPRModel(negatives=negatives)._draw(train, np.random.default_rng(seed))
    there = others >= 0
    assert others.max() < train.n_items
    assert not train.csr[train.user_code, others][:, there].any()
    full = np.diff(train.csr.indptr)[train.user_code] == train.n_items
    assert not there[full].any()


def test_draws_are_uniform_or_follow_popularity():
    counts = np.array([200, 100, 100, 400, 200])
    rows = [(f"{i}-{c}", i, 1.0) for i in range(5) for c in range(counts[i])]
    train = mf.Interactions(pd.DataFrame(rows, columns=["user", "item", "rating"]))
    for negatives, weight in {"uniform": np.ones(5), "popularity": counts}.items():
        model = BPRModel(negatives=negatives)
        draws = [model._draw(train, np.random.default_rng(s)) for s in range(20)]
        others = np.concatenate(draws)
        assert (others >= 0).mean() > 0.999
        for i in range(5):  # who has i, and no other, is compared with the other four
            drawn = others[np.tile(train.item_code == i, 20) & (others >= 0)]
            share = np.bincount(drawn, minlength=5) / len(drawn)
            left = np.where(np.arange(5) == i, 0, weight)
            np.testing.assert_allclose(share, left / left.sum(), atol=0.035)


def test_each_epoch_draws_anew(ratings):
    model = BPRModel(n_factors=2, n_epochs=2).fit(ratings)
    by_hand = replace(model, n_epochs=1).fit(ratings)
    train = by_hand.train_
    first, second = (
        by_hand._draw(train, np.random.default_rng([0, t])) for t in (1, 2)
    )
    assert (first != second).mean() > 0.5
    R, rows = train.csr, [getattr(by_hand, name) for name in LEARNED]
    bpr.epoch(R.indptr, R.indices, second, *rows, model.lr, model.reg)
    for name in LEARNED:
        np.testing.assert_array_equal(getattr(by_hand, name), getattr(model, name))


@each_engine
def test_who_has_everything_is_skipped_and_who_is_alone_learns_nothing(engine):
    model = BPRModel(n_factors=2, n_epochs=5, engine=engine).fit(has_all())
    start = 0.1 * np.random.default_rng(0).standard_normal((2, 2))
    np.testing.assert_array_equal(model.user_factors_[0], start[0])
    assert (model.user_factors_[1] != start[1]).all()
    assert model.history_["objective"].notna().all()
    alone = has_all().query("user == 'all'")
    model.fit(alone)
    assert model.history_[["objective", "auc"]].isna().all(axis=None)
    assert np.isfinite(model.predict(alone)).all()
    assert model.recommend("all").empty


def test_one_user_ranks_what_they_have_first():
    frame = pd.DataFrame({"user": ["a"] * 3 + ["b"] * 3, "item": range(6)})
    one = mf.Interactions(frame.assign(rating=1.0))
    R = one.csr.copy()
    R.data[3:] = 0  # b only lends the items that a does not have
    R.eliminate_zeros()
    one = mf.Interactions.from_parts(one.users, one.items, R)
    model = BPRModel(n_factors=2, n_epochs=50).fit(one)
    lists = model.recommend("a", n=6, exclude_seen=False)
    assert set(lists["item"][:3]) == {0, 1, 2}


# ---- Fast = plain, same bits ---------------------------------------------------------


@given(
    seed=st.integers(0, 10**6), k=st.integers(1, 6), n=st.integers(1, 40),
    negatives=st.sampled_from(["uniform", "popularity"]),
)  # fmt: skip
def test_fast_equals_plain(seed, k, n, negatives):
    frame = random_ratings(n_users=8, n_items=5, n_ratings=n, seed=seed)
    model = BPRModel(
        n_factors=k, n_epochs=4, lr=0.2, reg=0.1, negatives=negatives, seed=seed
    )
    plain = replace(model, engine="plain").fit(frame)
    assert_same_model(model.fit(frame), plain, 1e-10)


@each_way
def test_fast_equals_plain_where_much_is_learned(negatives):
    frame = planted(40, 30, 8)
    model = BPRModel(n_factors=5, n_epochs=20, lr=0.1, negatives=negatives)
    plain = replace(model, engine="plain").fit(frame)
    assert_same_model(model.fit(frame), plain, 1e-10)
    assert model.history_["auc"].iloc[-1] > 0.6


def test_float32_is_close_and_stays_float32():
    frame = planted(60, 40, 8)
    wide = BPRModel(n_factors=4, n_epochs=80).fit(frame)
    narrow = replace(wide, dtype="float32").fit(frame)
    plain = replace(narrow, engine="plain").fit(frame)
    for name in LEARNED:
        assert getattr(narrow, name).dtype == getattr(plain, name).dtype == np.float32
    assert_same_model(narrow, plain, 1e-4)
    # The random start differs by dtype, so only the fit is alike.
    a, b = (m.history_["objective"].iloc[-1] for m in (wide, narrow))
    assert a == pytest.approx(b, rel=0.05)


FIT = """
import hashlib
import numba
from mfcourse import datasets
from mfcourse.models.bpr import BPRModel
model = BPRModel(n_factors=8, n_epochs=3).fit(datasets.load().iloc[:20_000])
parts = model.item_bias_, model.user_factors_, model.item_factors_
told = model.history_[["objective", "auc"]].to_numpy().tobytes()
bits = b"".join(part.tobytes() for part in parts) + told
print(numba.config.NUMBA_NUM_THREADS, hashlib.sha256(bits).hexdigest())
"""


def test_one_thread_and_two_give_the_same_bits():
    told = []
    for threads in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", FIT], capture_output=True, text=True, cwd=ROOT,
            env={**os.environ, "NUMBA_NUM_THREADS": threads},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        told.append(done.stdout.split())
    assert [threads for threads, _ in told] == ["1", "2"]
    assert told[0][1] == told[1][1]


def test_another_seed_is_another_model_and_counts_do_not_count(ratings):
    model = BPRModel(n_factors=2, n_epochs=2).fit(ratings)
    assert (replace(model, seed=1).fit(ratings).item_bias_ != model.item_bias_).any()
    once = replace(model).fit(ratings.assign(rating=1.0))
    assert_same_model(once, model)


# ---- What it learns ------------------------------------------------------------------


@each_way
def test_history_tells_the_mean_of_the_triples_terms(negatives):
    frame = pd.concat([planted(30, 20, 6), has_all(20)])
    model = BPRModel(
        n_factors=3, n_epochs=1, lr=1e-300, reg=0.3, init_sd=1.0, negatives=negatives
    ).fit(frame)  # a step of no size: all terms are those of the start
    train = model.train_
    j = model._draw(train, np.random.default_rng([0, 1]))
    u, i, j = (codes[j >= 0] for codes in (train.user_code, train.item_code, j))
    assert len(j) < len(frame)
    U, V = model.user_factors_, model.item_factors_
    x = np.einsum("pk,pk->p", U[u], V[i] - V[j])
    sizes = (U[u] ** 2).sum(1) + (V[i] ** 2).sum(1) + (V[j] ** 2).sum(1)
    wanted = (np.log1p(np.exp(-x)) + 0.15 * sizes).mean()
    (row,) = model.history_.to_dict("records")
    assert list(row) == ["epoch", "objective", "auc", "seconds"]
    assert row["objective"] == pytest.approx(wanted, rel=1e-12)
    assert row["auc"] == (x > 0).mean()


@each_engine
def test_the_objective_falls(engine):
    model = BPRModel(n_factors=4, n_epochs=15, engine=engine).fit(planted())
    history = model.history_
    assert history["objective"].iloc[0] == pytest.approx(np.log(2), abs=0.1)
    assert history["objective"].iloc[-1] < 0.7 * history["objective"].iloc[0]
    assert history["auc"].iloc[-1] > 0.8 > history["auc"].iloc[0]
    assert model.best_epoch_ == 15


def auc(model, train, held):
    """Share of pairs (held-out item, item neither held nor in train) ranked right."""
    users, items = model.train_.users, model.train_.items
    u, i = users.codes(held["user"]), items.codes(held["item"])
    scores = model._scores(np.arange(len(users)))
    absent = np.ones(scores.shape, bool)
    absent[u, i] = False
    absent[users.codes(train["user"]), items.codes(train["item"])] = False
    right = scores[u, i, None] > scores[u]
    return (right & absent[u]).sum() / absent[u].sum()


@each_way
def test_planted_preferences_are_recovered(negatives):
    train, held = split.random(planted(skew=0.5), by_user=True, test=0.2, seed=0)
    model = BPRModel(n_factors=8, n_epochs=40, negatives=negatives).fit(train)
    popular = auc(mf.PopularityModel().fit(train), train, held)
    assert popular < 0.7
    assert auc(model, train, held) > 0.9


def test_popularity_drawn_items_make_lists_less_popular():
    frame = planted(m=300, n=100, per_user=10, skew=1.0)
    count = frame.groupby("item").size().sort_values(ascending=False)
    share = {}
    for negatives in ("uniform", "popularity"):
        model = BPRModel(n_factors=4, n_epochs=20, negatives=negatives).fit(frame)
        lists = model.recommend(frame["user"].unique(), n=10)
        share[negatives] = lists["item"].isin(count.index[:20]).mean()
    assert share["popularity"] < 0.8 * share["uniform"]


def test_it_ranks_real_data_at_least_as_well_as_the_library_implicit():
    """Both with settings chosen on these validation ratings; implicit's is its best."""
    peer = BayesianPersonalizedRanking(
        factors=100, learning_rate=0.01, regularization=0.003, iterations=60,
        num_threads=1, random_state=0,
    )  # fmt: skip
    frame = datasets.load().query("rating >= 4").assign(rating=1.0)
    train, validation, _ = split.random(
        frame, by_user=True, test=0.2, validation=0.1, seed=0
    )

    def ndcg(model):
        table = evaluate.ranking(model, validation, relevant_at=0, n_boot=1)
        return table.loc["ndcg@10", "value"]

    ours = BPRModel().fit(train)
    theirs = replace(ours, n_epochs=1, n_factors=101).fit(train)
    peer.fit(ours.train_.csr.astype(np.float32), show_progress=False)
    theirs.item_bias_[:] = 0.0  # theirs is the last column of the factors
    theirs.user_factors_, theirs.item_factors_ = peer.user_factors, peer.item_factors
    popular = ndcg(mf.PopularityModel().fit(train))
    assert 1.2 * popular < ndcg(theirs) < 1.05 * ndcg(ours)


# ---- Newcomers -----------------------------------------------------------------------


@each_way
def test_a_newcomers_row_is_the_minimum_over_all_they_do_not_have(negatives):
    frame = planted(60, 30, 8, skew=1.0)
    model = BPRModel(n_factors=3, n_epochs=20, reg=0.05, negatives=negatives)
    model.fit(frame)
    new = frame[frame["user"] == 7][["item", "rating"]]
    bias, row = model.fold_in_user(new)
    assert bias == 0
    own = model.train_.items.codes(new["item"])
    rest = np.setdiff1d(np.arange(model.train_.n_items), own)
    weight = np.ones(model.train_.n_items)
    if negatives == "popularity":
        weight = np.bincount(model.train_.item_code)
    b, V = model.item_bias_, model.item_factors_

    def objective(row):
        s = b + V @ row
        loss = np.log1p(np.exp(s[rest] - s[own, None])) @ weight[rest]
        return loss.sum() / weight[rest].sum() + len(own) * 0.05 / 2 * row @ row

    h = 1e-5 * np.eye(3)
    slope = [(objective(row + d) - objective(row - d)) / 2e-5 for d in h]
    np.testing.assert_allclose(slope, 0, atol=1e-8)
    far = [(objective(row + 1 + d) - objective(row + 1 - d)) / 2e-5 for d in h]
    assert np.abs(far).min() > 1e-2


def test_newtons_step_is_halved_where_it_overshoots():
    """Scores far apart: the curve is flat, and a whole step jumps over the minimum."""
    frame = pd.concat([planted(60, 30, 8), has_all(30)])
    model = BPRModel(n_factors=3, n_epochs=1, reg=0.01).fit(frame)
    model.item_bias_ *= 300
    model.item_factors_ *= 30
    worst = np.argsort(model.item_bias_)[:4]
    weight = np.ones(30) / 26
    weight[worst] = 0.0
    before, slope, curve = model._newcomer_at(np.zeros(3), worst, weight)
    whole = model._newcomer_at(-np.linalg.solve(curve, slope), worst, weight)
    assert whole[0] > before  # so this is a case of it
    _, row = model._solve_user(worst, np.ones(4))
    value, slope, _ = model._newcomer_at(row, worst, weight)
    assert value < before
    np.testing.assert_allclose(slope, 0, atol=1e-8)


def test_a_training_user_folded_in_gets_nearly_their_list():
    frame = planted()
    model = BPRModel(n_factors=8, n_epochs=60).fit(frame)
    for user in range(5):
        own = frame[frame["user"] == user][["item", "rating"]]
        row, trained = model.fold_in_user(own)[1], model.user_factors_[user]
        cosine = row @ trained / np.linalg.norm(row) / np.linalg.norm(trained)
        assert cosine > 0.95
        top = set(model.fold_in(own)["item"][:10])
        assert len(top & set(model.recommend(user, n=10)["item"])) >= 8


def test_a_newcomer_in_blocks_is_the_same(monkeypatch):
    frame = planted(60, 30, 8)
    model = BPRModel(n_factors=3, n_epochs=5).fit(frame)
    new = frame[frame["user"] == 7]
    whole = model.fold_in_user(new)[1]
    monkeypatch.setattr(_lists, "BLOCK", 65)  # two items at once
    np.testing.assert_allclose(model.fold_in_user(new)[1], whole, rtol=0, atol=1e-12)


def test_a_newcomer_without_comparisons_gets_the_popular_list():
    model = BPRModel(n_factors=3, n_epochs=5).fit(has_all())
    new = has_all().query("user == 'all'")
    for rows in (new, new.iloc[:0]):
        assert not model.fold_in_user(rows)[1].any()
    flat = BPRModel(n_factors=3, n_epochs=5, reg=0.0, init_sd=0.0).fit(has_all())
    assert not flat.fold_in_user(new.iloc[:2])[1].any()  # V = 0, and no λ: no curve
    with pytest.raises(ValueError, match=r"counts must be above 0; got -2"):
        model.fold_in(new.assign(rating=[1, 1, -2, 0]))


# ---- Bad input -----------------------------------------------------------------------


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_a_count_of_nothing_is_refused(ratings, bad):
    frame = ratings.assign(rating=ratings["rating"].where(ratings.index != 5, bad))
    with pytest.raises(ValueError, match="counts must be above 0; user"):
        BPRModel().fit(frame)


def test_a_validation_frame_is_refused(ratings):
    with pytest.raises(ValueError, match=r"evaluate\.ranking"):
        BPRModel().fit(ratings, validation=ratings)


@each_engine
@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_divergence_names_the_epoch_and_keeps_what_was_learned(engine, ratings):
    model = BPRModel(n_factors=4, n_epochs=3, engine=engine).fit(ratings)
    before = model.predict(ratings)
    model.lr, model.reg, model.n_epochs = 5.0, 0.5, 30
    with pytest.raises(FloatingPointError, match=r"epoch \d+: .* Lower lr, now 5"):
        model.fit(ratings)
    np.testing.assert_array_equal(model.predict(ratings), before)


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_factors", 0), ("reg", -1e-9), ("lr", 0), ("n_epochs", 0), ("init_sd", -1),
     ("negatives", "popular"), ("seed", -1), ("dtype", "int8"), ("engine", "")],
)  # fmt: skip
def test_a_senseless_hyper_parameter_is_named(name, value):
    with pytest.raises(ValueError, match=f"{name} must be .*got"):
        BPRModel(**{name: value})
