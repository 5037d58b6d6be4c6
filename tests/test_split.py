"""Splits: nothing lost, nothing twice, nothing from the future."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfcourse import split

calm = settings(deadline=None, max_examples=40)  # a busy machine is no failure
SHARES = st.sampled_from([0.0, 0.1, 0.2, 0.29, 0.3, 1 / 3, 0.49])


@st.composite
def frames(draw, min_rows: int = 1) -> pd.DataFrame:
    """A few users with many ratings or few, times that tie, an index of no order."""
    rows = st.tuples(st.sampled_from("abcdef"), st.integers(0, 9))
    drawn = draw(st.lists(rows, min_size=min_rows, max_size=40))
    frame = pd.DataFrame(drawn, columns=["user", "timestamp"])
    frame["item"] = np.arange(len(frame))
    frame["rating"] = 3.0
    index = draw(st.permutations(range(100, 100 + len(frame))))
    return frame.set_axis(index)[["user", "item", "rating", "timestamp"]]


def assert_partition(frame: pd.DataFrame, parts: tuple[pd.DataFrame, ...]) -> None:
    """Together the parts are the frame, each in the frame's order."""
    together = pd.concat(parts)
    assert not together.index.duplicated().any()
    pd.testing.assert_frame_equal(together.loc[frame.index], frame)
    for part in parts:
        place = frame.index.get_indexer(part.index)
        assert np.all(np.diff(place) > 0)


def assert_equal(one: tuple[pd.DataFrame, ...], two: tuple[pd.DataFrame, ...]) -> None:
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        pd.testing.assert_frame_equal(a, b)


def floor(share: float, n: int) -> int:
    """⌊share · n⌋ of the share as written: 29 of 100 for 0.29."""
    return int(share * n + 1e-6)


@calm
@given(frames(), SHARES, SHARES, st.integers(0, 9))
def test_random(frame, test, validation, seed):
    if test + validation == 0:
        return
    parts = split.random(frame, test=test, validation=validation, seed=seed)
    assert len(parts) == (3 if validation else 2)
    assert_partition(frame, parts)
    assert len(parts[-1]) == floor(test, len(frame))
    if validation:
        assert len(parts[1]) == floor(validation, len(frame))
    again = split.random(frame, test=test, validation=validation, seed=seed)
    assert_equal(parts, again)


@calm
@given(frames(), SHARES, SHARES)
def test_random_by_user(frame, test, validation):
    if test + validation == 0:
        return
    parts = split.random(frame, test=test, validation=validation, by_user=True)
    assert_partition(frame, parts)
    for user, n in frame["user"].value_counts().items():
        held = [int((part["user"] == user).sum()) for part in parts]
        assert held[0] >= 1
        assert held[-1] == floor(test, n)
        if validation:
            assert held[1] == floor(validation, n)


@calm
@given(frames(), st.sampled_from([0.5, 0.98, 1 - 1e-12]), st.booleans())
def test_training_keeps_a_row_however_large_the_share(frame, test, by_user):
    train, held = split.random(frame, test=test, by_user=by_user)
    assert_partition(frame, (train, held))
    assert len(train) >= 1
    assert not by_user or set(train["user"]) == set(frame["user"])


def test_a_share_is_what_its_decimals_say(ratings):
    assert 0.29 * 100 < 29
    assert len(split.random(ratings[:100], test=0.29)[1]) == 29
    user = ratings[:100].assign(user=1)
    assert len(split.random(user, test=0.29, by_user=True)[1]) == 29


def test_seeds_draw_other_rows(ratings):
    one, two = (split.random(ratings, seed=seed)[1] for seed in (0, 1))
    assert len(one) == len(two) == 60
    assert set(one.index) != set(two.index)
    one, two = (split.random(ratings, by_user=True, seed=s)[1] for s in (0, 1))
    assert set(one.index) != set(two.index)


def test_every_row_is_held_back_as_often(ratings):
    held = np.zeros(len(ratings))
    for seed in range(400):
        held[split.random(ratings, test=0.2, seed=seed)[1].index] += 1
    # 400 draws at 0.2: 80 ± 8; five standard deviations for the extreme of 300 rows
    assert held.mean() == 80
    assert abs(held - 80).max() < 40


@calm
@given(frames(), SHARES, SHARES)
def test_temporal(frame, test, validation):
    if test + validation == 0:
        return
    parts = split.temporal(frame, test=test, validation=validation)
    assert_partition(frame, parts)
    assert len(parts[-1]) == floor(test, len(frame))
    filled = [part for part in parts if len(part)]
    for earlier, later in pairwise(filled):
        assert earlier["timestamp"].max() <= later["timestamp"].min()
        tie = later["timestamp"].min()
        rows = frame.index.get_indexer
        before = rows(earlier.index[earlier["timestamp"] == tie])
        after = rows(later.index[later["timestamp"] == tie])
        assert max(before, default=-1) < min(after)


@calm
@given(frames(), st.integers(1, 3), st.booleans())
def test_leave_last(frame, n, validation):
    parts = split.leave_last(frame, n=n, validation=validation)
    assert len(parts) == (3 if validation else 2)
    assert_partition(frame, parts)
    for user, all_rows in frame.groupby("user"):
        # the plain twin: sort by time, cut from the end
        in_order = list(all_rows.sort_values("timestamp", kind="stable").index)
        mine = [list(part.index[part["user"] == user]) for part in parts]
        held = n * (len(parts) - 1)
        if len(in_order) <= held:  # too few: whole in training
            assert sorted(mine[0]) == sorted(in_order)
            continue
        assert set(mine[-1]) == set(in_order[-n:])
        assert set(mine[0]) == set(in_order[:-held])
        if validation:
            assert set(mine[1]) == set(in_order[-held:-n])


@calm
@given(frames(min_rows=2), st.integers(2, 6), st.integers(0, 9))
def test_kfold(frame, n_folds, seed):
    n_folds = min(n_folds, len(frame))
    folds = list(split.kfold(frame, n_folds, seed=seed))
    assert len(folds) == n_folds
    for train, test in folds:
        assert_partition(frame, (train, test))
        assert 0 <= len(test) - len(frame) // n_folds <= 1
    tests = tuple(test for _, test in folds)
    tested = pd.concat(tests)
    assert sorted(tested.index) == sorted(frame.index)
    again = tuple(test for _, test in split.kfold(frame, n_folds, seed=seed))
    assert_equal(tests, again)


def test_kfold_seeds(ratings):
    one, two = (next(split.kfold(ratings, seed=seed))[1] for seed in (0, 1))
    assert set(one.index) != set(two.index)


PART = st.sampled_from([0.1, 0.29, 0.5, 0.98, 1 - 1e-12])


@calm
@given(frames(), PART, PART, st.integers(0, 9))
def test_newcomers(frame, users, test, seed):
    parts = split.newcomers(frame, users=users, test=test, seed=seed)
    train, known, held = parts
    assert_partition(frame, parts)
    assert set(known["user"]) == set(held["user"])  # a row in both, or in neither
    assert set(known["user"]).isdisjoint(train["user"])
    size = frame["user"].value_counts()
    n = int((size > 1).sum())
    assert known["user"].nunique() == max(min(floor(users, n), n - 1), 0)
    for user, n_test in held["user"].value_counts().items():
        n = size[user]
        assert n_test == min(max(floor(test, n), 1), n - 1)
    again = split.newcomers(frame, users=users, test=test, seed=seed)
    assert_equal(parts, again)


def test_a_user_with_one_rating_is_no_newcomer():
    # told and tested it cannot be: it stays in training, and the share is of the others
    frame = pd.DataFrame({"user": list("abbccdefgg"), "item": range(10), "rating": 3})
    for seed in range(50):
        train, known, held = split.newcomers(frame, users=0.67, seed=seed)
        assert set("adef") < set(train["user"])
        assert known["user"].nunique() == held["user"].nunique() == 2  # ⌊0.67 · 3⌋
    train, known, held = split.newcomers(frame.drop_duplicates("user"), users=0.9)
    assert len(train) == 7
    assert known.empty
    assert held.empty


def test_every_user_is_a_newcomer_as_often_and_every_row_is_tested_as_often(ratings):
    told, tested = np.zeros(len(ratings)), np.zeros(len(ratings))
    for seed in range(400):
        _, known, held = split.newcomers(ratings, users=0.5, test=0.5, seed=seed)
        told[known.index] += 1
        tested[held.index] += 1
    drawn = told + tested  # 400 draws at 0.5: 200 ± 10
    assert drawn.mean() == pytest.approx(200, abs=2)
    assert abs(drawn - 200).max() < 50
    even = ratings.groupby("user")["item"].transform("size") % 2 == 0
    assert abs(tested - 100)[even].max() < 45  # 400 draws at 0.25: 100 ± 9


def test_names_of_users_do_not_choose_the_newcomers(ratings):
    renamed = ratings.assign(user="u" + (1000 - ratings["user"]).astype(str))
    for part, other in zip(
        split.newcomers(ratings), split.newcomers(renamed), strict=True
    ):
        assert list(part.index) == list(other.index)


def test_a_split_leaves_the_frame_alone_and_shares_nothing_with_it(ratings):
    before = ratings.copy()
    for parts in (
        split.random(ratings),
        split.random(ratings, by_user=True),
        split.temporal(ratings),
        split.leave_last(ratings, validation=True),
        next(split.kfold(ratings)),
        split.newcomers(ratings),
    ):
        for part in parts:
            part.loc[:, "rating"] = -1.0
    pd.testing.assert_frame_equal(ratings, before)


@pytest.mark.parametrize("dtype", ["uint32", "datetime64[s]", "float64"])
def test_times_of_any_dtype(ratings, dtype):
    frame = ratings.assign(timestamp=(ratings["timestamp"] - 1_000_000).astype(dtype))
    for cut in (split.temporal, split.leave_last):
        got, expected = cut(frame)[1], cut(ratings)[1]
        assert list(got.index) == list(expected.index)


@pytest.mark.parametrize("cut", [split.temporal, split.leave_last])
def test_a_missing_timestamp_says_so(ratings, cut):
    with pytest.raises(ValueError, match=r"'timestamp', and .* none.*split\.random"):
        cut(ratings.drop(columns="timestamp"))
    gaps = ratings.assign(timestamp=[np.nan, np.nan, *ratings["timestamp"][2:]])
    with pytest.raises(ValueError, match=r"2 row\(s\) have no timestamp.*dropna"):
        cut(gaps)


def test_a_missing_user_is_a_user_like_any_other():
    # Interactions refuses it, by name and row; a split need not
    frame = pd.DataFrame({"user": [1.0, None, None], "item": 1, "timestamp": [3, 1, 2]})
    assert list(split.leave_last(frame)[1].index) == [2]
    frame = pd.concat([frame, frame.iloc[:1]], ignore_index=True)
    held_back = [
        split.newcomers(frame, users=0.5, seed=seed)[1]["user"].tolist()[0]
        for seed in range(20)
    ]
    assert 0 < np.isnan(held_back).sum() < 20


@pytest.mark.parametrize(
    ("test", "validation"),
    [(0, 0), (1, 0), (0.5, 0.5), (-0.1, 0.3), (0.3, -0.1), (2, 0), (np.nan, 0)],
)
def test_shares_out_of_range(ratings, test, validation):
    for cut in (split.random, split.temporal):
        with pytest.raises(ValueError, match="shares of all ratings, in"):
            cut(ratings, test=test, validation=validation)


def test_bad_arguments(ratings):
    with pytest.raises(ValueError, match="held back per user; got 0"):
        split.leave_last(ratings, n=0)
    for n_folds in (1, 301):
        with pytest.raises(ValueError, match=f"the 300 ratings; got {n_folds}"):
            split.kfold(ratings, n_folds)
    for users, test in [(0, 0.2), (1, 0.2), (0.2, 0), (0.2, 1), (np.nan, 0.2)]:
        with pytest.raises(ValueError, match=f"below 1; got users={users}, test="):
            split.newcomers(ratings, users=users, test=test)
    drawn = (split.random, split.kfold, split.newcomers)
    for cut in (*drawn, split.temporal, split.leave_last):
        with pytest.raises(TypeError, match="DataFrame of ratings; got list"):
            cut([1, 2])
        with pytest.raises(ValueError, match=r"no column 'user'; found .*'who'"):
            cut(ratings.rename(columns={"user": "who"}))
        with pytest.raises(ValueError, match="no rows to split"):
            cut(ratings.iloc[:0])
