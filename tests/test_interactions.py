"""Raw ids to codes and back, and the sparse matrix: every kind of frame."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix, csr_matrix

from mfcourse.interactions import IdMap, Interactions

calm = settings(deadline=None, max_examples=40)  # a busy machine is no failure


def frame(user, item, rating) -> pd.DataFrame:
    return pd.DataFrame({"user": user, "item": item, "rating": rating})


@st.composite
def rated(draw) -> pd.DataFrame:
    """Distinct pairs with ids of two kinds, any finite ratings, zeros among them."""
    ids = draw(st.sampled_from([st.integers(-9, 9), st.text("abé", max_size=2)]))
    pairs = draw(st.lists(st.tuples(ids, ids), min_size=1, max_size=30, unique=True))
    values = st.one_of(st.just(0.0), st.floats(-1e9, 1e9))
    rating = draw(st.lists(values, min_size=len(pairs), max_size=len(pairs)))
    return frame([u for u, _ in pairs], [i for _, i in pairs], rating)


@calm
@given(rated())
def test_every_rating_is_there_once(ratings):
    train = Interactions(ratings)
    assert (train.n_ratings, train.csr.shape) == (
        len(ratings),
        (train.n_users, train.n_items),
    )
    # back to raw ids: the same rows, sorted by code
    back = frame(
        train.users.ids[train.user_code], train.items.ids[train.item_code], train.rating
    )
    got = {(u, i): r for u, i, r in back.itertuples(index=False)}
    assert got == {(u, i): r for u, i, r in ratings.itertuples(index=False)}
    for ids, column in ((train.users, "user"), (train.items, "item")):
        assert list(ids.ids) == list(dict.fromkeys(ratings[column]))
        np.testing.assert_array_equal(ids.codes(ids.ids), np.arange(len(ids)))
    starts = train.csr.indptr
    for u in range(train.n_users):
        assert np.all(np.diff(train.item_code[starts[u] : starts[u + 1]]) > 0)
    np.testing.assert_array_equal(train.csr_by_item.toarray(), train.csr.toarray().T)
    assert train.csr_by_item.nnz == train.n_ratings


@calm
@given(rated())
def test_codes_know_nothing_of_names(ratings):
    raw = {*ratings["user"], *ratings["item"]}
    new = {id_: f"id {n}" for n, id_ in enumerate(raw)}
    renamed = ratings.assign(
        user=ratings["user"].map(new), item=ratings["item"].map(new)
    )
    one, two = Interactions(ratings), Interactions(renamed)
    for part in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(one.csr, part), getattr(two.csr, part))


@pytest.mark.parametrize(
    "ids",
    [
        pd.Series([7, 3, 5], dtype="uint8"),
        pd.Series([2**64 - 1, 3, 5], dtype="uint64"),
        pd.Series([7, 3, 5], dtype="Int64"),
        pd.Series(["b", "a", "c"], dtype="str"),
        pd.Series(["b", "a", "c"], dtype="string"),
        pd.Series(["b", "a", "c"], dtype="object"),
        pd.Series(["b", "a", "c"], dtype="category"),
        pd.Series([7, "7", (1, 2)], dtype="object"),
        pd.Series(pd.to_datetime(["2024-01-02", "2024-01-01", "2024-01-03"])),
        pd.Series([1.5, -0.5, 2.5]),
    ],
    ids=lambda ids: str(ids.dtype),
)
def test_ids_of_any_dtype(ids):
    train = Interactions(frame(ids, ids[::-1].to_numpy(), [1, 2, 3]))
    np.testing.assert_array_equal(train.users.codes(ids), [0, 1, 2])
    np.testing.assert_array_equal(train.items.codes(ids), [2, 1, 0])
    np.testing.assert_array_equal(train.users.codes(list(ids)), [0, 1, 2])
    assert train.users.codes(ids).dtype == np.int64


@pytest.mark.parametrize(
    "rating",
    [
        pd.Series([1, 0], dtype="int8"),
        pd.Series([1, 0], dtype="Float64"),
        pd.Series([1, 0], dtype="float32"),
        pd.Series([True, False]),
    ],
    ids=lambda rating: str(rating.dtype),
)
def test_ratings_of_any_number_become_float64(rating):
    train = Interactions(frame([1, 2], [1, 2], rating))
    assert train.rating.dtype == np.float64
    np.testing.assert_array_equal(train.rating, [1.0, 0.0])


def test_unknown_ids_of_any_kind():
    ids = IdMap(["a", "b"])
    np.testing.assert_array_equal(ids.codes([]), [])
    np.testing.assert_array_equal(ids.codes(x for x in "bxa"), [1, -1, 0])
    np.testing.assert_array_equal(ids.codes([1, None, np.nan]), [-1, -1, -1])
    np.testing.assert_array_equal(IdMap([1, 2]).codes(["1", "x"]), [-1, -1])


def test_the_matrix_shares_no_memory_with_the_frame(ratings):
    ratings = ratings.sort_values(["user", "item"], ignore_index=True)
    before = ratings.copy()
    train = Interactions(ratings)
    for column in ("user", "item", "rating"):
        own = ratings[column].to_numpy()
        for part in (train.csr.data, train.csr.indices, train.users.ids):
            assert not np.shares_memory(own, part)
    train.csr.data[:] = -1
    pd.testing.assert_frame_equal(ratings, before)


def test_the_matrix_is_one_index_and_one_number_a_rating(ratings):
    csr = Interactions(ratings).csr
    assert csr.has_canonical_format
    assert (csr.indices.dtype, csr.data.dtype) == (np.int32, np.float64)


def test_from_parts_puts_together(ratings):
    train = Interactions(ratings)
    again = Interactions.from_parts(train.users, train.items, train.csr)
    assert (
        repr(again) == repr(train) == "Interactions(30 users × 20 items, 300 ratings)"
    )
    np.testing.assert_array_equal(again.user_code, train.user_code)


def test_one_rating():
    train = Interactions(frame(["only"], ["one"], [0.0]))
    assert (train.n_users, train.n_items, train.n_ratings) == (1, 1, 1)
    assert train.csr_by_item.nnz == 1


@pytest.mark.parametrize(
    ("user", "item", "rating", "error", "why"),
    [
        ([1, 2, 1], ["x", "x", "x"], [0, 1, 0], ValueError,
         r"user 1 rated item 'x' more than once \(again at row 2; 1 such"),
        ([1.0, None], [1, 2], [1, 2], ValueError, r"'user' is missing.*1 row.*row 1"),
        ([1, 2], ["a", None], [1, 2], ValueError, r"'item' is missing.*dropna"),
        ([1, 2], [1, 2], [np.nan, 2], ValueError, r"'rating' is missing.*row 0"),
        ([1, 2, 3], [1, 2, 3], [1, np.inf, -np.inf], ValueError,
         r"infinite in 2 row\(s\), first at row 1.*replace\(\[np\.inf"),
        ([1, 2], [1, 2], pd.array([1, None], dtype="Float64"), ValueError, "row 1"),
        ([1, 2], [1, 2], ["4", "5"], TypeError, r"must be numbers.*pd\.to_numeric"),
        ([], [], [], ValueError, "no rows; expected at least one rating"),
    ],
)  # fmt: skip
def test_refused_frames(user, item, rating, error, why):
    with pytest.raises(error, match=why):
        Interactions(frame(user, item, rating))


def test_refused_things():
    with pytest.raises(TypeError, match=r"DataFrame with columns .* got list"):
        Interactions([(1, 2, 3)])
    with pytest.raises(ValueError, match=r"no column 'item'; found .*'film'.*rename"):
        Interactions(frame([1], [1], [1]).rename(columns={"item": "film"}))


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil"])
def test_a_sparse_matrix_keeps_its_cells_and_its_empty_rows(form):
    cells = np.array([[0.0, 2, 1], [0, 0, 0], [3, 0, 0]])
    matrix = csr_matrix(cells).asformat(form)
    train = Interactions.from_sparse(matrix)
    np.testing.assert_array_equal(train.csr.toarray(), cells)
    assert list(train.users.ids) == list(train.items.ids) == [0, 1, 2]
    assert list(train.item_code) == [1, 2, 0]
    train.csr.data[:] = 9
    assert matrix.sum() == 6  # a copy


def test_a_stored_zero_is_a_rating():
    matrix = coo_matrix(([0.0, 1.0], ([0, 1], [1, 0])), (2, 2))
    assert Interactions.from_sparse(matrix).n_ratings == 2


@pytest.mark.parametrize(
    ("matrix", "error", "why"),
    [
        (np.eye(2), TypeError, "expected a sparse matrix, users × items; got ndarray"),
        (csr_matrix((2, 2)), ValueError, "at least one entry"),
        (csr_matrix([[np.nan]]), ValueError, "all of them finite"),
        (coo_matrix(([1, 2], ([0, 0], [1, 1]))), ValueError, r"1 cell\(s\).*twice"),
    ],
)
def test_refused_matrices(matrix, error, why):
    with pytest.raises(error, match=why):
        Interactions.from_sparse(matrix)
