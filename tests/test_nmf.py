"""Non-negative factors: by hand, by scikit-learn, by Surprise, by their plain twin."""

from dataclasses import replace

import numba
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import non_negative_factorization

import mfcourse as mf
from mfcourse import datasets, metrics, split
from tests.conftest import random_ratings

each_engine = pytest.mark.parametrize("engine", ["fast", "plain"])
each_order = pytest.mark.parametrize("order", ["alternate", "joint"])


def frame(R):
    """All cells of an array but those that are NaN, as ratings."""
    user, item = np.nonzero(~np.isnan(R))
    return pd.DataFrame({"user": user, "item": item, "rating": R[user, item]})


def rows(*triples):
    return pd.DataFrame(triples, columns=["user", "item", "rating"])


@pytest.fixture
def start_at(monkeypatch):
    """Let every model start from these factors."""

    def start(U, V):
        monkeypatch.setattr(mf.NMFModel, "_start", lambda *_: (U.copy(), V.copy()))

    return start


def assert_close(a, b, atol=1e-10):
    np.testing.assert_allclose(a, b, rtol=0, atol=atol)


# ---- By hand -------------------------------------------------------------------------

# R = [[4, 2], [2, ·]] from U = (1, 1), V = (1, 2) with k = 1, so r̂ = [[1, 2], [1, ·]].
HAND = rows(("a", "x", 4), ("a", "y", 2), ("b", "x", 2))
# User a: (4·1 + 2·2) / (1·1 + 2·2) = 8/5, and b: 2/1 = 2. With λ = ½, a: 8 / (5 + ½·2),
# b: 2 / (1 + ½·1).
USERS = {0.0: [8 / 5, 2], 0.5: [8 / 6, 4 / 3]}
# Items from the old r̂: x has (4 + 2) / (1 + 1 + λ 2·1), y 2·1 / (2·1 + λ 1·2).
ITEMS_JOINT = {0.0: [3, 2], 0.5: [6 / 3, 2 * 2 / 3]}
# Items from the new U = (a, b), with r̂ = a, 2a and b: x has (4a + 2b) / (a² + b² + 2λ),
# and y 2 · 2a / (2a² + 2λ).
ITEMS_ALTERNATE = {
    0.0: [(32 / 5 + 4) / (64 / 25 + 4), 2 * (16 / 5) / (2 * 64 / 25)],
    0.5: [8 / (2 * 16 / 9 + 1), 2 * (8 / 3) / (2 * 16 / 9 + 1)],
}


@each_engine
@pytest.mark.parametrize("reg", [0.0, 0.5])
def test_an_epoch_by_hand(engine, reg, start_at):
    start_at(np.array([[1.0], [1.0]]), np.array([[1.0], [2.0]]))
    for order, items in [("joint", ITEMS_JOINT), ("alternate", ITEMS_ALTERNATE)]:
        model = mf.NMFModel(
            n_factors=1, reg=reg, n_epochs=1, order=order, engine=engine
        ).fit(HAND)
        u, v = model.user_factors_[:, 0], model.item_factors_[:, 0]
        assert_close(u, USERS[reg])
        assert_close(v, items[reg])
        squares = (4 - u[0] * v[0]) ** 2 + (2 - u[0] * v[1]) ** 2
        squares += (2 - u[1] * v[0]) ** 2
        sizes = 2 * u[0] ** 2 + u[1] ** 2 + 2 * v[0] ** 2 + v[1] ** 2
        assert_close(model.history_["objective"], squares + reg * sizes)
        assert_close(model.history_["train_rmse"], np.sqrt(squares / 3))
        pairs = rows(("a", "x", 0), ("b", "y", 0), ("b", "?", 0), ("?", "x", 0))
        assert_close(model.predict(pairs), [u[0] * v[0], u[1] * v[1], 8 / 3, 8 / 3])


# ---- By others -----------------------------------------------------------------------


@each_engine
@pytest.mark.parametrize("reg", [0.0, 0.3])
def test_alternate_on_a_full_matrix_is_scikit_learns_nmf(engine, reg, start_at):
    rng = np.random.default_rng(0)
    R, U, V = rng.random((12, 9)) * 5, rng.random((12, 4)), rng.random((9, 4))
    start_at(U, V)
    for n_epochs in (1, 40):
        W, H, _ = non_negative_factorization(
            R, U.copy(), V.T.copy(), n_components=4, init="custom", solver="mu",
            beta_loss="frobenius", alpha_W=reg, max_iter=n_epochs, tol=0,
        )  # fmt: skip
        model = mf.NMFModel(n_factors=4, reg=reg, n_epochs=n_epochs, engine=engine)
        model.fit(frame(R))
        assert_close(model.user_factors_, W, 1e-8)
        assert_close(model.item_factors_, H.T, 1e-8)


@each_engine
def test_joint_is_surprises_nmf(engine, ratings, start_at):
    surprise = pytest.importorskip("surprise", reason="of the extra bench")
    reader = surprise.Reader(rating_scale=(0.5, 5))
    data = surprise.Dataset.load_from_df(ratings[["user", "item", "rating"]], reader)
    theirs = surprise.NMF(random_state=3)
    theirs.fit(data.build_full_trainset())
    model = mf.NMFModel(reg=0.06, n_epochs=50, order="joint", engine=engine)
    rng = np.random.RandomState(3)  # as Surprise draws
    start_at(rng.uniform(0, 1, (30, 15)), rng.uniform(0, 1, (20, 15)))
    model.fit(ratings)
    assert_close(model.user_factors_, theirs.pu, 1e-8)
    assert_close(model.item_factors_, theirs.qi, 1e-8)


def test_published_accuracy_on_ml_100k(shared_datasets):
    # Surprise's table: 0.963 with its default settings, 5 folds.
    ratings = datasets.load("ml-100k", path=shared_datasets / "ml-100k")
    model = mf.NMFModel(reg=0.06, n_epochs=50, order="joint")
    errors = [
        metrics.rmse(test["rating"], model.fit(train).predict(test, clip=(1, 5)))
        for train, test in split.kfold(ratings, 5)
    ]
    assert abs(np.mean(errors) - 0.963) < 0.006


# ---- The fast engine is the plain one ------------------------------------------------


def assert_engines_agree(model, ratings):
    fast = replace(model, engine="fast").fit(ratings)
    plain = replace(model, engine="plain").fit(ratings)
    for name in ("user_factors_", "item_factors_"):
        assert np.isfinite(getattr(fast, name)).all()
        assert (getattr(fast, name) >= 0).all()
        assert_close(getattr(fast, name), getattr(plain, name))
    columns = ["objective", "train_rmse"]
    assert_close(fast.history_[columns], plain.history_[columns], 1e-8)
    return fast


@each_order
@pytest.mark.parametrize("reg", [0.0, 0.1])
def test_fast_is_plain_on_random_data(order, reg, ratings):
    for k in (1, 2, 7, 15, 33):
        model = mf.NMFModel(n_factors=k, reg=reg, n_epochs=5, order=order, seed=k)
        assert_engines_agree(model, ratings)


DEGENERATE = {
    "one user": rows(("a", "x", 1), ("a", "y", 5), ("a", "z", 4)),
    "one item": rows(("a", "x", 1), ("b", "x", 5), ("c", "x", 4)),
    "one rating": rows(("a", "x", 4)),
    "a user who rates all 0": rows(
        ("a", "x", 0), ("a", "y", 0), ("b", "x", 3), ("b", "y", 2), ("c", "y", 4)
    ),
    "an item that all rate 0": rows(
        ("a", "x", 0), ("b", "x", 0), ("a", "y", 3), ("b", "y", 2)
    ),
    "an item with one rating, 0": rows(("a", "x", 3), ("b", "x", 1), ("b", "y", 0)),
    "nothing but 0": rows(("a", "x", 0), ("b", "x", 0), ("b", "y", 0)),
    "tiny": rows(("a", "x", 1e-200), ("b", "x", 1e-100), ("b", "y", 3e-160)),
}


@each_order
@pytest.mark.parametrize("reg", [0.0, 0.1])
@pytest.mark.parametrize("name", DEGENERATE)
def test_fast_is_plain_on_degenerate_data_and_0_stays_0(name, order, reg):
    ratings = DEGENERATE[name]
    model = mf.NMFModel(n_factors=3, reg=reg, n_epochs=60, order=order)
    fast = assert_engines_agree(model, ratings)
    everybody = pd.MultiIndex.from_product(
        [ratings["user"].unique(), ratings["item"].unique()], names=["user", "item"]
    )
    assert np.isfinite(fast.predict(everybody.to_frame(index=False))).all()
    for key, factors in [("user", fast.user_factors_), ("item", fast.item_factors_)]:
        zero = ratings.groupby(key, sort=False)["rating"].max().to_numpy() == 0
        assert not factors[zero].any()


@each_engine
@each_order
def test_a_factor_without_anybody_becomes_0_not_nan(engine, order, start_at):
    U, V = np.ones((2, 3)), np.ones((2, 3))
    U[:, 1] = 0  # nobody has factor 1: its items have 0 / 0
    V[0, 2] = 0  # x has no factor 2, which is all that b rated
    start_at(U, V)
    model = mf.NMFModel(
        n_factors=3, reg=0.0, n_epochs=9, order=order, engine=engine
    ).fit(HAND)
    assert not model.user_factors_[:, 1].any()
    assert not model.item_factors_[:, 1].any()
    assert model.user_factors_[1, 2] == model.item_factors_[0, 2] == 0
    assert np.isfinite(model.predict(HAND)).all()
    assert (model.predict(HAND) > 0).all()


# ---- The objective -------------------------------------------------------------------


@st.composite
def small_frames(draw):
    """Few users, items and values: 0, constants, missing cells."""
    m, n = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    cells = [(u, i) for u in range(m) for i in range(n)]
    chosen = draw(st.lists(st.sampled_from(cells), min_size=1, unique=True))
    values = draw(st.sampled_from([[3.0], [0.0], [0.0, 5.0], [1, 2, 5], [0.1, 400.0]]))
    return rows(*[(u, i, draw(st.sampled_from(values))) for u, i in chosen])


@settings(max_examples=40)
@given(
    ratings=small_frames(),
    n_factors=st.integers(1, 4),
    reg=st.sampled_from([0.0, 0.05, 1.0]),
    seed=st.integers(0, 99),
)
def test_alternate_never_raises_the_objective(ratings, n_factors, reg, seed):
    model = mf.NMFModel(n_factors=n_factors, reg=reg, n_epochs=10, seed=seed)
    objective = assert_engines_agree(model, ratings).history_["objective"].to_numpy()
    assert (np.diff(objective) <= 1e-10 * max(1.0, objective[0])).all()


def test_joint_may_raise_it(ratings):
    model = mf.NMFModel(order="joint", reg=0.0, n_epochs=20).fit(ratings)
    assert (np.diff(model.history_["objective"]) > 0).any()


@pytest.mark.parametrize("reg", [0.0, 0.2])
def test_the_objective_is_the_sum_that_the_head_of_the_module_shows(reg, ratings):
    model = mf.NMFModel(reg=reg, n_epochs=3).fit(ratings)
    error = ratings["rating"] - model.predict(ratings)
    U = model.user_factors_[model.train_.users.codes(ratings["user"])]
    V = model.item_factors_[model.train_.items.codes(ratings["item"])]
    expected = (error**2).sum() + reg * ((U**2).sum() + (V**2).sum())
    assert model.history_["objective"].iloc[-1] == pytest.approx(expected, rel=1e-12)


@each_order
def test_where_learning_ends_no_small_step_lowers_the_objective(order):
    ratings = random_ratings(8, 6, 30)
    model = mf.NMFModel(
        n_factors=2, reg=0.3, n_epochs=2000, order=order, engine="plain"
    ).fit(ratings)
    R, U, V = model.train_.csr.toarray(), model.user_factors_, model.item_factors_
    seen = R > 0
    for own, other, left, mask in [
        (U, V, R - U @ V.T, seen),
        (V, U, (R - U @ V.T).T, seen.T),
    ]:
        slope = -(left * mask) @ other + 0.3 * mask.sum(axis=1)[:, None] * own
        assert_close(slope[own > 1e-6], 0, 1e-6)
        assert (slope[own <= 1e-6] > -1e-6).all()


def test_a_planted_matrix_of_parts_is_recovered_where_nothing_was_observed():
    rng = np.random.default_rng(0)
    R = rng.random((40, 2)) @ rng.random((2, 30))
    hidden = rng.random(R.shape) < 0.3
    model = mf.NMFModel(n_factors=2, reg=0.0, n_epochs=2000)
    model.fit(frame(np.where(hidden, np.nan, R)))
    u, i = np.nonzero(hidden)
    found = model.predict(pd.DataFrame({"user": u, "item": i}))
    assert np.linalg.norm(found - R[hidden]) / np.linalg.norm(R[hidden]) < 1e-2


@each_engine
def test_constant_ratings_are_learned(engine):
    ratings = random_ratings(8, 7, 40).assign(rating=3.0)
    model = mf.NMFModel(n_factors=1, reg=0.0, n_epochs=200, engine=engine)
    model.fit(ratings)
    assert_close(model.predict(ratings), 3.0, 1e-6)
    assert model.global_mean_ == 3


def test_the_default_is_better_than_the_mean_on_ratings_it_has_not_seen():
    train, test = split.random(datasets.load(), test=0.2)
    errors = {}
    for name, model in {
        "mean": mf.MeanModel(),
        "default": mf.NMFModel(),
        "reg 0": mf.NMFModel(reg=0.0),
    }.items():
        errors[name] = metrics.rmse(test["rating"], model.fit(train).predict(test))
    assert errors["default"] < 0.9 * errors["mean"]
    assert errors["default"] < 0.9 * errors["reg 0"]


# ---- Same input, same bits -----------------------------------------------------------


def assert_same_bits(a, b):
    for name in ("user_factors_", "item_factors_"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


@each_order
def test_one_thread_and_all_threads_give_the_same_bits(order, ratings):
    threads = numba.get_num_threads()
    fitted = []
    try:
        for n in (1, numba.config.NUMBA_NUM_THREADS):
            numba.set_num_threads(n)
            fitted.append(mf.NMFModel(n_epochs=9, order=order).fit(ratings))
    finally:
        numba.set_num_threads(threads)
    assert_same_bits(*fitted)
    np.testing.assert_array_equal(*[m.history_["objective"] for m in fitted])


def test_renamed_ids_change_nothing_and_the_seed_does(ratings):
    renamed = ratings.assign(
        user="u" + (999 - ratings["user"]).astype(str), item=-ratings["item"]
    )
    model = mf.NMFModel(n_epochs=5).fit(ratings)
    assert_same_bits(model, replace(model).fit(renamed))
    other = replace(model, seed=1).fit(ratings)
    assert not np.array_equal(other.user_factors_, model.user_factors_)


def test_the_start_lies_in_its_range(ratings):
    model = mf.NMFModel()
    U, V = model._start(mf.Interactions(ratings))
    assert U.shape == (30, 15)
    assert V.shape == (20, 15)
    for part in (U, V):
        assert part.min() >= 0
        assert part.max() < 1
        assert np.unique(part).size == part.size


# ---- A newcomer ----------------------------------------------------------------------


@each_order
@pytest.mark.parametrize("reg", [0.0, 0.1])
def test_folding_in_is_where_the_updates_of_a_row_lead(order, reg, ratings):
    model = mf.NMFModel(n_factors=4, reg=reg, n_epochs=30, order=order).fit(ratings)
    for _, own in list(ratings.groupby("user"))[:6]:
        bias, row = model.fold_in_user(own)
        assert bias == 0
        assert (row >= 0).all()
        V = model.item_factors_[model.train_.items.codes(own["item"])]
        r, penalty = own["rating"].to_numpy(), reg * len(own)

        def cost(x, V=V, r=r, penalty=penalty):
            return ((r - V @ x) ** 2).sum() + penalty * (x**2).sum()

        x = np.ones(4)
        for _ in range(3000):
            x = x * (V.T @ r) / (V.T @ (V @ x) + penalty * x)
        assert cost(row) <= cost(x) + 1e-9
        assert cost(row) == pytest.approx(cost(x), abs=1e-3)
        folded = model.fold_in(own, exclude_seen=False)
        items = model.train_.items.codes(folded["item"])
        assert_close(folded["score"], model.item_factors_[items] @ row)


def test_a_known_user_folds_in_to_their_row_once_learning_has_ended():
    ratings = random_ratings(8, 6, 30)
    model = mf.NMFModel(n_factors=2, reg=0.3, n_epochs=2000, engine="plain")
    model.fit(ratings)
    for user, own in ratings.groupby("user"):
        code = model.train_.users.codes([user])[0]
        assert_close(model.fold_in_user(own)[1], model.user_factors_[code], 1e-6)


def test_a_newcomer_without_ratings_or_with_a_negative_one(ratings):
    for reg in (0.0, 0.1):
        model = mf.NMFModel(n_epochs=3, reg=reg).fit(ratings)
        assert not model.fold_in_user(ratings.iloc[:0])[1].any()
        with pytest.raises(ValueError, match="below 0"):
            model.fold_in(ratings.iloc[:2].assign(rating=[1.0, -1.0], user=0))


# ---- Epochs and wrong input ----------------------------------------------------------


def test_a_validation_frame_stops_learning_and_the_best_epoch_is_kept(ratings):
    train, validation = ratings.iloc[:240], ratings.iloc[240:]
    strangers = pd.DataFrame({"user": [-1, 100], "item": [3, -1], "rating": [3.0, 2.0]})
    validation = pd.concat([validation, strangers])
    model = mf.NMFModel(reg=0.0, n_epochs=500, patience=4)
    model.fit(train, validation=validation)
    errors = model.history_["validation_rmse"]
    assert model.best_epoch_ == errors.idxmin() + 1
    assert len(errors) == model.best_epoch_ + 4 < 500
    assert_same_bits(model, replace(model, n_epochs=model.best_epoch_).fit(train))
    error = validation["rating"] - model.predict(validation)
    assert_close(np.sqrt((error**2).mean()), errors.min())


def test_the_progress_bar_shows_epochs_only_when_asked(ratings, capsys):
    mf.NMFModel(n_epochs=3).fit(ratings)
    assert capsys.readouterr().err == ""
    mf.NMFModel(n_epochs=3).fit(ratings, progress=True)
    shown = capsys.readouterr().err
    assert "NMF" in shown
    assert "3/3" in shown


def test_negative_ratings_are_refused_and_told_how_to_be_shifted(ratings):
    shifted = ratings.assign(rating=ratings["rating"] - 2)
    below = (shifted["rating"] < 0).sum()
    message = rf"{below} rating\(s\) are below 0, the least -1\.5, .*Shift"
    with pytest.raises(ValueError, match=message):
        mf.NMFModel().fit(shifted)
    shifted["rating"] -= shifted["rating"].min()  # the cure that the message names
    mf.NMFModel(n_epochs=1).fit(shifted)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_factors": 0}, "n_factors must be a whole number of at least 1; got 0"),
        ({"reg": -0.1}, "reg must be a number of at least 0; got -0.1"),
        ({"n_epochs": 0}, "n_epochs must be a whole number of at least 1"),
        ({"order": "both"}, r"order must be one of \['alternate', 'joint'\]"),
        ({"patience": 0}, "patience must be"),
        ({"seed": -1}, "seed must be"),
        ({"engine": "gpu"}, "engine must be one of"),
    ],
)
def test_hyper_parameters_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        mf.NMFModel(**wrong)
