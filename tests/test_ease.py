"""EASE: ridge regressions, primal = dual, fast = plain, memory that is said first."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

import mfcourse as mf
from mfcourse.models import _store, ease
from mfcourse.models.ease import EASEModel
from tests.conftest import peak, random_ratings

each_engine = pytest.mark.parametrize("engine", ["fast", "plain"])
TALL, WIDE = random_ratings(30, 20, 200), random_ratings(20, 30, 200)
each_shape = pytest.mark.parametrize("ratings", [TALL, WIDE], ids=["tall", "wide"])


def rows(*pairs):
    return pd.DataFrame(pairs, columns=["user", "item"]).assign(rating=1.0)


def frame(X):
    """The events of an array of 0 and 1; every user and item should have one."""
    user, item = np.nonzero(X)
    return pd.DataFrame({"user": user, "item": item, "rating": 1.0})


def events(model):
    """X as an array."""
    return (model.train_.csr.toarray() > 0).astype(float)


def weights(model):
    """B: row i is what a newcomer with item i alone is scored."""
    n = model.train_.n_items
    return np.array([model._new_user(np.array([i]), np.ones(1)) for i in range(n)])


def scores(model):
    return model._scores(np.arange(model.train_.n_users))


def ridges(X, reg):
    """B by scikit-learn: a ridge regression of each item on all others."""
    B = np.zeros((X.shape[1],) * 2)
    for j in range(len(B)) if len(B) > 1 else ():
        others = np.arange(len(B)) != j
        ridge = Ridge(alpha=reg, fit_intercept=False, solver="cholesky")
        B[others, j] = ridge.fit(X[:, others], X[:, j]).coef_
    return B


def objective(X, B, reg):
    return ((X - X @ B) ** 2).sum() + reg * (B**2).sum()


def assert_close(a, b, atol=1e-10):
    np.testing.assert_allclose(a, b, rtol=0, atol=atol)


# ---- By hand -------------------------------------------------------------------------


@each_engine
def test_two_items_by_hand(engine):
    """XᵀX + I = [[3, 1], [1, 2]], so P = [[2, −1], [−1, 3]] / 5."""
    events = rows(("a", "x"), ("a", "y"), ("b", "x"))
    model = EASEModel(reg=1, engine=engine).fit(events)
    assert_close(model.weights_, [[0, 1 / 3], [1 / 2, 0]])
    pairs = rows(("a", "x"), ("a", "y"), ("b", "x"), ("b", "y"), ("b", "?"), ("?", "x"))
    assert_close(model.predict(pairs), [1 / 2, 1 / 3, 0, 1 / 3, 0, 0])
    both = model.fold_in(rows(("c", "y"), ("c", "x")), exclude_seen=False)
    assert list(both["item"]) == ["x", "y"]
    assert_close(both["score"], [1 / 2, 1 / 3])


@each_engine
def test_one_user_with_two_items_by_hand(engine):
    """K = 2 + 1; P = [[2, −1], [−1, 2]] / 3, so B is ½ off the diagonal."""
    model = EASEModel(reg=1, engine=engine).fit(rows(("a", "x"), ("a", "y")))
    assert hasattr(model, "inverse_") == (engine == "fast")
    if engine == "fast":
        assert_close(model.inverse_, 1 / 3)
        assert_close(model.diagonal_, 2 / 3)
    assert_close(weights(model), [[0, 1 / 2], [1 / 2, 0]])
    assert_close(scores(model), [[1 / 2, 1 / 2]])


@each_engine
@pytest.mark.parametrize(("m", "n"), [(7, 3), (3, 7), (1, 1), (4, 1), (1, 4)])
def test_where_all_users_are_alike_all_weights_are(m, n, engine):
    """By symmetry B = b off the diagonal: m = (m (n − 1) + λ) b."""
    model = EASEModel(reg=2, engine=engine).fit(frame(np.ones((m, n))))
    b = m / (m * (n - 1) + 2)
    assert_close(weights(model), b * (1 - np.eye(n)))
    assert_close(scores(model), np.full((m, n), b * (n - 1)))
    assert model.recommend(0).empty


# ---- The objective -------------------------------------------------------------------


@each_engine
@each_shape
def test_each_item_is_a_ridge_regression_on_the_others(ratings, engine):
    model = EASEModel(reg=3.0, engine=engine).fit(ratings)
    X = events(model)
    B = ridges(X, 3.0)
    assert_close(weights(model), B)
    assert_close(scores(model), X @ B)


@each_engine
@each_shape
def test_the_gradient_is_0_but_for_what_holds_the_diagonal(ratings, engine):
    model = EASEModel(reg=3.0, engine=engine).fit(ratings)
    X, B = events(model), weights(model)
    P = np.linalg.inv(X.T @ X + 3 * np.eye(len(B)))
    gradient = np.empty_like(B)
    for at in np.ndindex(B.shape):  # a parabola: central differences are exact
        step = np.zeros_like(B)
        step[at] = 0.5
        gradient[at] = objective(X, B + step, 3) - objective(X, B - step, 3)
    assert_close(gradient, np.diag(2 * (3 - 1 / np.diag(P))), 1e-9)
    assert (np.diag(gradient) < 0).all()  # an item would like to tell itself


@each_engine
@each_shape
def test_no_small_step_off_the_diagonal_goes_down(ratings, engine):
    model = EASEModel(reg=3.0, engine=engine).fit(ratings)
    X, B = events(model), weights(model)
    rng, least = np.random.default_rng(0), objective(X, B, 3.0)
    for _ in range(50):
        step = 1e-3 * rng.normal(size=B.shape)
        np.fill_diagonal(step, 0)
        assert min(objective(X, B + step, 3), objective(X, B - step, 3)) > least


@each_engine
@each_shape
def test_no_item_tells_itself(ratings, engine):
    model = EASEModel(reg=0.5, engine=engine).fit(ratings)
    assert_close(np.diag(weights(model)), 0, 1e-13)
    if hasattr(model, "weights_"):
        assert not np.diag(model.weights_).any()


# ---- Primal, dual, plain -------------------------------------------------------------


@each_shape
def test_fast_equals_plain(ratings):
    model = EASEModel(reg=2.0).fit(ratings)
    plain = replace(model, engine="plain").fit(ratings)
    assert_close(scores(model), scores(plain))
    assert_close(weights(model), weights(plain))
    new = ratings.iloc[:5].drop_duplicates("item")[["item", "rating"]]
    a, b = model.fold_in(new), plain.fold_in(new)
    assert_close(a.sort_values("item")["score"], b.sort_values("item")["score"])


@each_shape
def test_primal_equals_dual(ratings, monkeypatch):
    model = EASEModel(reg=2.0).fit(ratings)
    wide = model.train_.n_users < model.train_.n_items
    assert model._dual == wide == hasattr(model, "inverse_")
    monkeypatch.setattr(EASEModel, "_dual", not wide)
    other = replace(model).fit(ratings)
    assert hasattr(other, "inverse_") != wide
    assert_close(scores(model), scores(other))
    assert_close(weights(model), weights(other))


def test_as_many_users_as_items_are_solved_primally():
    assert hasattr(EASEModel().fit(random_ratings(9, 9, 60)), "weights_")


@settings(max_examples=50)
@given(
    m=st.integers(1, 9), n=st.integers(1, 9), share=st.floats(0.1, 1),
    reg=st.floats(0.01, 1e3), seed=st.integers(0, 10**6),
)  # fmt: skip
def test_whatever_the_events_all_forms_are_the_formula(m, n, share, reg, seed):
    X = np.random.default_rng(seed).random((m, n)) < share
    X[0, 0] = True  # not nothing at all
    model = EASEModel(reg=reg).fit(frame(X))
    X = events(model)
    B = ridges(X, reg)
    for fitted in (model, replace(model, engine="plain").fit(model.train_)):
        assert_close(weights(fitted), B)
        assert_close(scores(fitted), X @ B)


def test_users_and_items_without_events_are_scored_0():
    for shape in ((5, 3), (3, 5)):
        X = np.zeros(shape)
        X[:2, :2] = 1
        some = mf.Interactions(frame(np.ones(shape)))
        R = some.csr.multiply(X).tocsr()
        R.eliminate_zeros()
        train = mf.Interactions.from_parts(some.users, some.items, R)
        for engine in ("fast", "plain"):
            score = scores(EASEModel(reg=1, engine=engine).fit(train))
            assert_close(score[:2, :2], 2 / 3)
            assert_close(score[2:], 0)
            assert_close(score[:, 2:], 0)


@each_shape
def test_an_event_counts_once_whatever_its_count(ratings):
    once = EASEModel(reg=1.0).fit(ratings.assign(rating=1.0))
    often = EASEModel(reg=1.0).fit(ratings.assign(rating=ratings["rating"] * 1e6))
    np.testing.assert_array_equal(scores(once), scores(often))


@each_engine
@each_shape
def test_float32_is_near(ratings, engine):
    model = EASEModel(reg=2.0, engine=engine).fit(ratings)
    short = replace(model, dtype="float32").fit(ratings)
    learned = [v for v in short._state().values() if getattr(v, "ndim", 0) == 2]
    assert [v.dtype for v in learned if isinstance(v, np.ndarray)] == [np.float32]
    for score in (scores(short), weights(short)):
        assert score.dtype == np.float32
        assert score.flags.c_contiguous
    assert_close(scores(short), scores(model), 1e-5)
    assert_close(weights(short), weights(model), 1e-5)


def test_the_same_bits_on_any_number_of_threads():
    for shape in ((250, 200), (200, 250)):
        ratings = random_ratings(*shape, 4_000)
        for engine in ("fast", "plain"):
            found = []
            for threads in (1, 2):
                with threadpool_limits(threads):
                    model = EASEModel(engine=engine).fit(ratings)
                    found.append((scores(model), weights(model)))
            np.testing.assert_array_equal(*(s for s, _ in found))
            np.testing.assert_array_equal(*(w for _, w in found))


# ---- Answers -------------------------------------------------------------------------


@each_engine
@each_shape
def test_folding_in_a_training_users_items_gives_the_training_scores(ratings, engine):
    model = EASEModel(reg=2.0, engine=engine).fit(ratings)
    for user, own in ratings.groupby("user"):
        folded = model.fold_in(own.iloc[::-1], exclude_seen=False)
        assert_close(folded["score"], model.predict(folded.assign(user=user)))


@each_shape
def test_a_newcomer_without_events_is_scored_0_and_counts_must_be_counts(ratings):
    model = EASEModel(reg=2.0).fit(ratings)
    assert not model.fold_in(ratings.iloc[:0])["score"].any()
    with pytest.raises(ValueError, match="counts must be above 0; got -1"):
        model.fold_in(pd.DataFrame({"item": [3, 10], "rating": [1, -1]}))


@each_shape
def test_similar_items_are_those_to_which_an_event_adds_most(ratings):
    model = EASEModel(reg=2.0).fit(ratings)
    ids = model.train_.items.ids
    row = weights(model)[4]
    similar = model.similar_items(ids[4], n=5)
    best = np.argsort(-np.delete(row, 4))[:5]
    assert list(similar["item"]) == list(np.delete(ids, 4)[best])
    assert_close(similar["score"], np.delete(row, 4)[best])


def pairs_of_items(m, n, seed=0):
    """Items 2p and 2p + 1 go together, 0 with 1 and so on; all else is chance."""
    rng = np.random.default_rng(seed)
    pair = rng.random((m, n // 2)) < 0.2
    X = np.repeat(pair, 2, axis=1) & (rng.random((m, n)) < 0.9)
    return X | (rng.random((m, n)) < 0.05)


@each_engine
@pytest.mark.parametrize(("m", "n"), [(400, 40), (100, 120)])
def test_items_that_go_together_are_found(m, n, engine):
    X = pairs_of_items(m, n)
    model = EASEModel(reg=5.0, engine=engine).fit(frame(X))
    for item in range(n):
        assert model.similar_items(item, n=1)["item"].tolist() == [item ^ 1]
    known = [u for u in range(m) if (X[u] != X[u, np.arange(n) ^ 1]).any()]
    first = model.recommend(known, n=1)
    assert X[first["user"], first["item"] ^ 1].mean() > 0.7
    popular = mf.PopularityModel().fit(frame(X)).recommend(known, n=1)
    assert X[popular["user"], popular["item"] ^ 1].mean() < 0.3


@each_engine
@each_shape
def test_a_saved_model_answers_the_same(ratings, engine, tmp_path):
    model = EASEModel(reg=2.0, engine=engine).fit(ratings)
    name, params, state = _store.load(model.save(tmp_path / "model"))
    assert name == "EASEModel"
    loaded = EASEModel(**params)
    vars(loaded).update(state)
    np.testing.assert_array_equal(scores(loaded), scores(model))
    np.testing.assert_array_equal(weights(loaded), weights(model))


# ---- Memory --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("m", "n"), [(1600, 1500), (1500, 6000)])
def test_what_a_fit_takes_is_what_it_says(m, n, dtype, capsys):
    """Nothing of items × items is held by the dual: 6,000² numbers were 288 MB."""
    ids = np.arange(30_000)
    events = pd.DataFrame({"user": ids % m, "item": ids * n // 30_000, "rating": 1})
    train, model = mf.Interactions(events), EASEModel(dtype=dtype)
    taken = peak(lambda: model.fit(train, progress=True))
    need = 1500**2 * np.dtype(dtype).itemsize
    assert need < taken < 1.3 * need + (32e6 if model._dual else 0)  # blocks of scores
    assert f"EASE, {need / 1e6:.1f} MB" in capsys.readouterr().err


def test_no_bar_unless_asked(capsys):
    EASEModel().fit(TALL)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("ratings", "model", "need", "words"),
    [
        (TALL, EASEModel(), 20**2 * 8, ["20 items", "with more events", "float32"]),
        (TALL, EASEModel(dtype="float32"), 20**2 * 4, ["20 items"]),
        (WIDE, EASEModel(), 20**2 * 8, ["20 users", "only users with", "float32"]),
        (WIDE, EASEModel(engine="plain"), (4 * 30**2 + 20 * 30) * 8,
         ["30 items", 'engine="fast"', 'dtype="float32"']),
        (TALL, EASEModel(engine="plain", dtype="float32"),
         (20**2 + 30 * 20) * 4 + 3 * 20**2 * 8, ["20 items", 'engine="fast"']),
    ],
)  # fmt: skip
def test_too_little_memory_is_said_before_any_is_taken(
    ratings, model, need, words, monkeypatch
):
    free = replace_free(monkeypatch, need)
    model = replace(model).fit(ratings)
    before = scores(model)
    for function in ("inverse", "weights", "weights_plain"):
        monkeypatch.setattr(ease, function, lambda *_: pytest.fail("memory was taken"))
    free(need - 1)
    with pytest.raises(MemoryError) as error:
        model.fit(ratings)
    told = str(error.value)
    assert re.search(rf"need {need / 1e6:,.1f} MB .* {(need - 1) / 1e6:,.1f} MB", told)
    assert all(word in told for word in [*words, "ImplicitALSModel"])
    assert ("float32" in told) == (model.dtype == "float64")
    assert ("engine" in told) == (model.engine == "plain")
    np.testing.assert_array_equal(scores(model), before)


def replace_free(monkeypatch, n_bytes):
    """Let so many bytes be free; gives a function that changes it."""
    memory = type("Memory", (), {"available": n_bytes})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    return lambda n: setattr(memory, "available", n)


# ---- Wrong input ---------------------------------------------------------------------


def test_no_penalty_is_refused_with_a_cure():
    with pytest.raises(ValueError, match=r"reg must be .* above 0; got 0: .* Start"):
        EASEModel(reg=0)


@each_engine
@pytest.mark.parametrize(("dtype", "reg"), [("float64", 1e-14), ("float32", 1e-5)])
def test_a_penalty_that_is_lost_in_rounding_is_refused(dtype, reg, engine):
    model = EASEModel(reg=reg, dtype=dtype, engine=engine)
    for ratings in (TALL, WIDE):
        with pytest.raises(ValueError, match=r"lost in rounding beside 200 .* Raise"):
            model.fit(ratings)
    fine = replace(model, reg=1e3 * reg).fit(TALL)
    assert np.isfinite(scores(fine)).all()


def test_a_matrix_without_inverse_is_an_error():
    X = mf.Interactions(frame(np.ones((3, 3)))).csr
    with pytest.raises(np.linalg.LinAlgError, match="Raise reg"):
        ease.inverse(X, 0.0)


@each_engine
def test_what_is_no_count_is_refused(engine):
    model = EASEModel(engine=engine)
    bad = TALL.assign(rating=TALL["rating"].where(TALL.index != 7, 0.0))
    with pytest.raises(ValueError, match="counts must be above 0; user"):
        model.fit(bad)
    with pytest.raises(ValueError, match="validation"):
        model.fit(TALL, validation=TALL)


@pytest.mark.parametrize(
    ("name", "value"),
    [("reg", -1), ("reg", np.nan), ("reg", "much"), ("dtype", "float16"),
     ("engine", "dual")],
)  # fmt: skip
def test_a_senseless_hyper_parameter_is_named(name, value):
    with pytest.raises(ValueError, match=f"{name} must be .*got"):
        EASEModel(**{name: value})
