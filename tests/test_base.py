"""The protocol's own parts: ids, lists, saving, errors."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

import mfcourse as mf
from mfcourse import datasets
from mfcourse.interactions import IdMap
from mfcourse.models import _lists, _store
from mfcourse.models._check import check_number


def test_codes_follow_first_appearance_and_zero_is_a_rating():
    frame = pd.DataFrame(
        {"user": ["b", "a", "b"], "item": [9, 9, 1], "rating": [0.0, 2.0, 5.0]}
    )
    train = mf.Interactions(frame)
    assert list(train.users.ids) == ["b", "a"]
    assert list(train.items.ids) == [9, 1]
    assert (train.n_users, train.n_items, train.n_ratings) == (2, 2, 3)
    np.testing.assert_array_equal(train.csr.toarray(), [[0, 5], [2, 0]])
    np.testing.assert_array_equal(train.user_code, [0, 0, 1])
    np.testing.assert_array_equal(train.item_code, [0, 1, 0])
    np.testing.assert_array_equal(train.rating, [0, 5, 2])
    np.testing.assert_array_equal(train.csr_by_item.toarray(), [[0, 2], [5, 0]])
    assert "2 users × 2 items, 3 ratings" in repr(train)


def test_unknown_ids_have_code_minus_one():
    ids = IdMap(["a", "c"])
    np.testing.assert_array_equal(ids.codes(["c", "x", "a", "c"]), [1, -1, 0, 1])
    np.testing.assert_array_equal(IdMap([3, 5]).codes(["3", 5.0]), [-1, 1])


@given(
    scores=st.lists(st.sampled_from([-np.inf, 0.0, 1.0, 2.5, 7.0]), min_size=1),
    n=st.integers(1, 12),
)
def test_top_n_is_a_stable_sort_cut_off(scores, n):
    scores = np.array(scores)
    order = sorted(range(len(scores)), key=lambda c: (-scores[c], c))
    expected = [c for c in order if scores[c] > -np.inf][:n]
    best, values = _lists.top_n(scores, n)
    assert list(best) == expected
    np.testing.assert_array_equal(values, scores[expected])


@given(
    seed=st.integers(0, 10**6), n_items=st.integers(1, 70), n=st.integers(1, 90),
    kind=st.sampled_from([np.float64, np.float32]), seen=st.booleans(),
)  # fmt: skip
def test_lists_of_a_block_are_those_of_its_rows(seed, n_items, n, kind, seen):
    """Compiled or not: ties, rows with little left, and rows where all is seen."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, (5, n_items)).astype(kind)
    mask = csr_matrix(rng.random((5, n_items)) < [[0], [0.1], [0.5], [0.9], [1]])
    hidden = np.where(mask.toarray(), -np.inf, scores) if seen else scores
    rows = [_lists.top_n(row, n) for row in hidden]
    with pytest.MonkeyPatch.context() as patch:
        for least in (0, 10**9):  # compiled, NumPy
            patch.setattr(_lists, "MANY", least)
            best, values, lengths = _lists.top_n_rows(
                scores.copy(), n, mask if seen else None
            )
            assert values.dtype == kind
            assert list(lengths) == [len(b) for b, _ in rows]
            np.testing.assert_array_equal(best, np.concatenate([b for b, _ in rows]))
            np.testing.assert_array_equal(values, np.concatenate([v for _, v in rows]))


def test_memory_of_recommend_does_not_grow_with_users(ratings):
    """Scores are held for one block of users at a time."""
    many = datasets.planted(4_000, 2_000, 2, density=0.002)[0]
    model = mf.PopularityModel().fit(many)
    model.recommend([0], n=3)
    peaks = []
    for n_users in (2_000, 4_000):  # 32 and 64 MB of scores, blocks of 32 MB
        tracemalloc.start()
        assert len(model.recommend(range(n_users), n=3)) == 3 * n_users
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2_000 * 1_000  # 1 kB a user, for the lists themselves


class TwoFactors(mf.FactorModel):
    """Fixed factors for three users and three items, to check by hand."""

    def _fit(self, train, validation, progress):
        self.global_mean_ = 3.0
        self.user_bias_ = np.array([0.5, 0.0, -0.5])
        self.item_bias_ = np.array([0.0, 1.0, 0.0])
        self.user_factors_ = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        self.item_factors_ = np.array([[2.0, 0.0], [0.0, 2.0], [3.0, 0.0]])


@pytest.fixture
def by_hand():
    frame = pd.DataFrame(
        {"user": list("abc"), "item": list("xyz"), "rating": [1.0, 2.0, 3.0]}
    )
    return TwoFactors().fit(frame)


def test_a_factor_model_adds_mean_biases_and_product(by_hand):
    pairs = pd.DataFrame({"user": list("aabc?"), "item": list("xyxz?")})
    expected = [3 + 0.5 + 0 + 2, 3 + 0.5 + 1 + 0, 3 + 0 + 0 + 0, 3 - 0.5 + 0 + 3, 3]
    np.testing.assert_array_equal(by_hand.predict(pairs), expected)
    half_known = pd.DataFrame({"user": ["a", "?"], "item": ["?", "y"]})
    np.testing.assert_array_equal(by_hand.predict(half_known), [3.5, 4.0])
    assert list(by_hand.recommend("a")["item"]) == ["z", "y"]
    assert list(by_hand.recommend("a", n=1, exclude_seen=False)["item"]) == ["z"]


def test_similar_items_is_the_cosine_of_factors(by_hand):
    found = by_hand.similar_items("x")
    assert list(found["item"]) == ["z", "y"]
    np.testing.assert_allclose(found["score"], [1.0, 0.0])
    with pytest.raises(KeyError, match="'q' was not in training"):
        by_hand.similar_items("q")


def test_blocks_of_recommend_change_nothing(by_hand, ratings, monkeypatch):
    model = mf.UserKNNModel(n_neighbors=5).fit(ratings)
    users = ratings["user"].unique()
    whole, single = model.recommend(users), model._scores(np.arange(4))
    monkeypatch.setattr(_lists, "BLOCK", 45)
    pd.testing.assert_frame_equal(model.recommend(users), whole)
    np.testing.assert_array_equal(model._scores(np.arange(4)), single)
    pairs = pd.DataFrame({"user": users[:4], "item": ratings["item"].iloc[0]})
    through_scores = mf.Recommender._pairs(model, np.arange(4), np.zeros(4, int))
    np.testing.assert_allclose(model.predict(pairs), through_scores, atol=1e-12)


def test_what_a_model_cannot_do_names_those_that_can(by_hand, ratings):
    with pytest.raises(mf.NotSupported, match="TwoFactors has no fold_in"):
        by_hand.fold_in(pd.DataFrame({"item": ["x"], "rating": [1.0]}))
    with pytest.raises(mf.NotSupported, match="no explain; ALS and iALS can"):
        by_hand.explain("a", "x")
    with pytest.raises(mf.NotSupported, match="no explain; ALS and iALS can"):
        by_hand.explain_new(pd.DataFrame({"item": ["x"], "rating": [1.0]}), "x")
    with pytest.raises(mf.NotSupported, match="no similar_items"):
        mf.PopularityModel().fit(ratings).similar_items(ratings["item"].iloc[0])
    for call in (mf.Recommender()._fit, mf.Recommender()._scores):
        with pytest.raises((NotImplementedError, TypeError)):
            call(*([None] * (3 if call.__name__ == "_fit" else 1)))
    fitted = mf.Recommender._new_user
    with pytest.raises(mf.NotSupported, match="fold_in; every model that ranks"):
        fitted(by_hand, np.array([0]), np.array([1.0]))


def test_an_interrupted_fit_leaves_the_model_as_it_was(ratings):
    class Interrupted(mf.MeanModel):
        stop = False

        def _fit(self, train, validation, progress):
            super()._fit(train, validation, progress)
            if self.stop:
                raise KeyboardInterrupt

    model = Interrupted()
    model.stop = True
    with pytest.raises(KeyboardInterrupt):
        model.fit(ratings)
    with pytest.raises(mf.NotFittedError):
        model.predict(ratings)
    model.stop = False
    before = model.fit(ratings).predict(ratings)
    model.stop = True
    with pytest.raises(KeyboardInterrupt):
        model.fit(ratings.iloc[:10])
    np.testing.assert_array_equal(model.predict(ratings), before)


def test_a_changed_hyper_parameter_is_checked_at_fit(ratings):
    model = mf.BiasModel()
    model.damping_user = -1.0
    with pytest.raises(ValueError, match="damping_user must be a number of at least 0"):
        model.fit(ratings)
    with pytest.raises(ValueError, match=r"no column .item"):
        mf.MeanModel().fit(ratings, validation=ratings[["user", "rating"]])


@pytest.mark.parametrize("value", [-1, 0.5, True, "3", np.nan, None])
def test_whole_numbers_are_whole(value):
    with pytest.raises(ValueError, match="n must be a whole number of at least 0"):
        check_number("n", value, low=0, kind=int)
    with pytest.raises(ValueError, match=r"x must be a number above 0; got 0"):
        check_number("x", 0, low=0, open=True)


def test_load_refuses_what_is_not_ours(by_hand, ratings, tmp_path, monkeypatch):
    text = tmp_path / "text.npz"
    text.write_text("not a model")
    other = tmp_path / "other.npz"
    np.savez(other, a=np.arange(3))
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, header=np.array([{"format": _store.FORMAT}], dtype=object))
    for path in (text, other, pickled):
        with pytest.raises(ValueError, match="is not a model saved by this version"):
            mf.Recommender.load(path)
    mean = mf.MeanModel().fit(ratings).save(tmp_path / "mean.npz")
    with pytest.raises(ValueError, match="holds a MeanModel, expected a BiasModel"):
        mf.BiasModel.load(mean)
    with pytest.raises(ValueError, match="holds a TwoFactors"):
        mf.Recommender.load(by_hand.save(tmp_path / "hand"))
    monkeypatch.setattr(_store, "FORMAT", "mfcourse-model-2")
    with pytest.raises(ValueError, match="mfcourse-model-1"):
        mf.Recommender.load(mean)
    with pytest.raises(FileNotFoundError):
        mf.Recommender.load(tmp_path / "nowhere.npz")


def test_a_failed_save_keeps_the_older_file(ratings, tmp_path):
    path = mf.MeanModel().fit(ratings).save(tmp_path / "model.npz")
    before = path.read_bytes()
    mixed = mf.MeanModel().fit(ratings.astype({"user": object}).replace({100: "x"}))
    with pytest.raises(ValueError, match="mixed types"):
        mixed.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
