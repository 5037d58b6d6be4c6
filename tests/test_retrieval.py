"""Approximate lists: the properties of exact ones, and how much is found."""

import sys

import numpy as np
import pytest
import voyager
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from mfcourse import retrieval
from mfcourse.retrieval import ItemIndex, exact, measure
from tests.conftest import peak


def plain(V, U, n, b=0.0, seen=None):
    """The lists by sorting all scores, one user after the other."""
    lists = []
    for u, row in enumerate(np.asarray(U, float)):
        score = np.asarray(V, float) @ row + b
        left = [i for i in range(len(V)) if seen is None or not seen[u, i]]
        best = sorted(left, key=lambda i: (-score[i], i))[:n]
        short = min(n, len(V)) - len(best)
        lists.append(
            ([*best, *[-1] * short], [*score[best], *[-np.inf] * short])
        )  # fmt: skip
    return [np.array(part) for part in zip(*lists, strict=True)]


def assert_lists(got, want, **close):
    np.testing.assert_array_equal(got[0], want[0])
    np.testing.assert_allclose(got[1], want[1], **{"rtol": 1e-5, **close})
    assert got[0].dtype == np.int64
    assert got[1].dtype == np.float32


def catalogue(n_items=20_000, n_users=500, k=32, seed=0):
    """Like learned factors: clusters, weaker dimensions, length by popularity."""
    rng = np.random.default_rng(seed)
    centre, weight = rng.normal(size=(50, k)), np.arange(1, k + 1) ** -0.5

    def draw(count):
        near = centre[rng.integers(50, size=count)]
        return (near + 0.6 * rng.normal(size=near.shape)) * weight

    V, U = draw(n_items), draw(n_users)
    popular = np.log1p(n_items / rng.permutation(np.arange(1, n_items + 1))) + 0.5
    V *= (popular / np.linalg.norm(V, axis=1))[:, None]
    return V, U


@pytest.fixture(scope="module")
def planted():
    V, U = catalogue()
    return V, U, ItemIndex.build(V)


@st.composite
def cases(draw):
    """Small whole numbers: sums are exact in float32, and there are many ties."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    m, n_items, k = (
        draw(st.integers(0, 6)),
        draw(st.integers(1, 60)),
        draw(st.integers(1, 4)),
    )
    size = draw(st.integers(0, 3))
    V, U, b = (
        rng.integers(-size, size + 1, shape)
        for shape in ((n_items, k), (m, k), n_items)
    )
    seen = csr_matrix(
        rng.random((m, n_items)) < draw(st.sampled_from([0, 0.3, 0.9, 1]))
    )
    return V, U, b, seen, draw(st.integers(1, 70)), draw(st.integers(0, 60))


# ---- Exact search --------------------------------------------------------------------


@given(cases())
def test_exact_search_sorts_all_scores(case):
    V, U, _, _, n, _ = case
    if len(U):
        assert_lists(exact(V, U, n), plain(V, U, n))
    assert exact(V, U, n)[0].shape == (len(U), min(n, len(V)))


@pytest.mark.parametrize("n_items", [79, 80, 81, 1_000, 12_345])
def test_groups_of_columns_lose_nothing(n_items, monkeypatch):
    monkeypatch.setattr(retrieval, "BLOCK", 7 * n_items)  # blocks of 7 users
    rng = np.random.default_rng(n_items)
    V, U = rng.integers(-2, 3, (n_items, 3)), rng.integers(-2, 3, (50, 3))
    assert_lists(exact(V, U, 10), plain(V, U, 10))


def test_very_many_equal_scores_go_by_code_and_take_no_more_memory():
    """All of a user whose row is 0; and of items of one kind."""
    rng = np.random.default_rng(0)
    V = rng.integers(-1, 2, (20_000, 2))
    U = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]).repeat(40, axis=0)
    assert_lists(exact(V, U, 7), plain(V, U, 7))
    scores = 4 * len(U) * len(V)
    assert peak(lambda: exact(V, U, 7)) < 3 * scores


def test_long_lists_are_made_for_fewer_users_at_a_time(monkeypatch):
    monkeypatch.setattr(retrieval, "BLOCK", 200_000)
    rng = np.random.default_rng(0)
    V, U = rng.normal(size=(2_000, 32)), rng.normal(size=(400, 32))
    # A row of V for each candidate of each user would be 51 MB.
    assert peak(lambda: exact(V, U, 1_000)) < 20_000_000


# ---- The index, where it must be exact -----------------------------------------------


@settings(max_examples=200)
@given(cases(), st.booleans(), st.booleans())
def test_at_full_width_the_index_is_exact(case, with_bias, with_seen):
    V, U, b, seen, n, head = case
    b, hide = b if with_bias else None, seen if with_seen else None
    index = ItemIndex.build(V, b, head=head, links=4, effort=8)
    got = index.search(U, n, width=len(V), seen=hide)
    if len(U):
        dense = seen.toarray() if with_seen else None
        assert_lists(got, plain(V, U, n, 0 if b is None else b, dense))


def test_where_the_rest_is_too_short_the_graph_is_not_asked():
    rng = np.random.default_rng(0)
    V, U = rng.normal(size=(2_000, 8)), rng.normal(size=(50, 8))
    V[600:] *= 0.01
    index = ItemIndex.build(V, head=600)
    index.graph = "not asked"
    assert_lists(index.search(U), exact(V, U))
    V[600:] *= 100  # now it must be
    index = ItemIndex.build(V, head=600)
    index.graph = "asked"
    with pytest.raises(AttributeError, match="query"):
        index.search(U)


def test_the_extra_dimension_turns_inner_product_into_distance():
    V, U = catalogue(300, 20, 5)
    far = np.sqrt((V**2).sum(axis=1).max() - (V**2).sum(axis=1))
    distance = ((U[:, None] - V) ** 2).sum(axis=2) + far**2
    np.testing.assert_array_equal(exact(V, U, 300)[0], distance.argsort(axis=1))


# ---- The index, where it is not ------------------------------------------------------


@given(cases(), st.integers(1, 20))
@example(
    ((np.ones((1_400, 2)), np.ones((2, 2)), 0, csr_matrix((2, 1_400)), 600, 10)), 1
)
def test_an_approximate_list_is_a_list(case, width):
    V, U, _, seen, n, head = case
    index = ItemIndex.build(V, head=head, links=2, effort=2)
    codes, scores = index.search(U, n, width=width, seen=seen)
    best = plain(V, U, n, seen=seen.toarray())[1] if len(U) else scores
    assert codes.shape == scores.shape == (len(U), min(n, len(V)))
    assert (scores <= best).all()
    for u, (list_, score) in enumerate(zip(codes, scores, strict=True)):
        full = list_ >= 0
        there = list_[full]
        assert full.sum() == min(n, len(V) - seen[u].nnz)
        assert len(set(there)) == len(there)
        assert not seen[u].toarray()[0, there].any()
        np.testing.assert_array_equal(score[full], V[there] @ U[u])
        assert list(zip(-score, there)) == sorted(zip(-score, there))  # noqa: B905


def test_most_is_found_on_planted_items_and_more_with_width(planted):
    V, U, index = planted
    assert index.graph is not None
    found = measure(index, U, rounds=1, widths=(10, 40))
    assert list(found.columns) == [
        "width",
        "recall",
        "queries_per_second",
    ]
    assert found["width"].tolist()[1:] == [10, 40]
    assert np.isnan(found["width"][0])
    assert found["recall"][0] == 1
    assert 0.95 <= found["recall"][1] <= found["recall"][2] <= 1
    assert found["recall"][2] > 0.99
    lists = exact(V, U)[0]
    hits = [
        len({*a} & {*b})
        for a, b in zip(index.search(U, width=10)[0], lists, strict=True)
    ]
    assert found["recall"][1] == pytest.approx(np.mean(hits) / 10)


def test_the_order_of_the_items_matters_to_the_graph(planted):
    V, U, _ = planted
    V32, codes = V.astype(np.float32), np.arange(len(V))
    as_they_come = voyager.Index(
        voyager.Space.InnerProduct, V.shape[1], M=12, ef_construction=64
    )
    as_they_come.add_items(V32, num_threads=1)
    bad, good = (
        measure(index, U, rounds=1, widths=(16, 64))["recall"]
        for index in (
            ItemIndex(V32, codes, 0, False, as_they_come),
            ItemIndex.build(V, head=0),
        )
    )
    assert bad[1] < good[1] - 0.1
    assert good[1] < good[2]  # wider is better, strictly without a head


def test_biases_are_added(planted):
    V, U = planted[0], planted[1][:40]
    b = np.random.default_rng(1).normal(size=len(V))
    codes, scores = ItemIndex.build(V, b).search(U)
    want = plain(V, U, 10, b)
    assert (
        np.mean([np.isin(*pair).mean() for pair in zip(codes, want[0], strict=True)])
        > 0.95
    )
    u = np.arange(len(U))[:, None]
    np.testing.assert_allclose(scores, (U @ V.T + b)[u, codes], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("hidden_best", [5, 200, 15_000, 19_995, 20_000])
def test_what_is_seen_is_left_out_and_the_list_is_filled(planted, hidden_best):
    V, U, index = planted
    U = U[:20]
    seen = np.zeros((20, len(V)), bool)
    np.put_along_axis(seen[:10], exact(V, U[:10], hidden_best)[0], True, axis=1)
    codes, scores = index.search(U, seen=csr_matrix(seen))
    want = plain(V, U, 10, seen=seen)
    np.testing.assert_array_equal(codes < 0, want[0] < 0)
    np.testing.assert_array_equal(np.isneginf(scores), codes < 0)
    for list_, free, right in zip(codes, ~seen, want[0], strict=True):
        assert free[list_[list_ >= 0]].all()
        assert np.isin(list_, right).mean() >= 0.8


def test_users_are_done_in_blocks_with_what_each_has_seen(monkeypatch):
    V, U = catalogue(3_000, 50, 8)
    index = ItemIndex.build(V, head=200)
    seen = csr_matrix(np.random.default_rng(0).random((50, 3_000)) < 0.5)
    want = [index.search(U, width=width, seen=seen) for width in (20, 3_000)]
    monkeypatch.setattr(retrieval, "USERS", 17)
    monkeypatch.setattr(retrieval, "BLOCK", 5 * 3_000)
    for width, lists in zip((20, 3_000), want, strict=True):
        assert_lists(index.search(U, width=width, seen=seen), lists, rtol=0)
    assert_lists(want[1], plain(V, U, 10, seen=seen.toarray()))


def test_stored_zeros_are_seen():
    seen = csr_matrix(([0.0], [2], [0, 1]), (1, 3))
    assert ItemIndex.build(np.eye(3)).search([[1, 2, 3]], seen=seen)[0].tolist() == [
        [1, 0, -1]
    ]


def test_one_user_at_a_time_and_any_number_of_threads_give_the_same(planted):
    _, U, index = planted
    codes, scores = index.search(U, threads=1)
    for u in (0, 7, 499):
        one = index.search(U[u : u + 1])
        np.testing.assert_array_equal(one[0][0], codes[u])
        np.testing.assert_array_equal(one[1][0], scores[u])
    np.testing.assert_array_equal(index.search(U, threads=2)[1], scores)


def test_very_large_factors_do_not_overflow():
    V, U = catalogue(2_000, 20, 4)
    codes, scores = ItemIndex.build(1e14 * V).search(1e14 * U, width=2_000)
    np.testing.assert_array_equal(codes, exact(V, U)[0])
    assert np.isfinite(scores).all()


def test_one_kind_of_item_many_times_is_found_by_looking_at_all():
    V = np.ones((1_500, 3))  # a graph of equal items hangs apart
    codes, _ = ItemIndex.build(V, head=10).search([[1, 1, 1]], 500)
    assert len(set(codes[0])) == 500


# ---- Files ---------------------------------------------------------------------------


@pytest.mark.parametrize("head", [0, 100, 400])
@pytest.mark.parametrize("with_bias", [False, True])
def test_a_saved_index_answers_as_before(tmp_path, head, with_bias):
    V, U = catalogue(400, 30, 6)
    index = ItemIndex.build(V, V[:, 0] if with_bias else None, head=head)
    path = index.save(tmp_path / "items.index")
    assert list(tmp_path.iterdir()) == [path]
    again = ItemIndex.load(path)
    assert (len(again), again.head, again.bias) == (400, head, with_bias)
    for width in (10, 400):
        assert_lists(again.search(U, width=width), index.search(U, width=width), rtol=0)
    again.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_the_same_items_give_the_same_file(tmp_path):
    V, _ = catalogue(7_000, 1, 8)  # more than a step of the progress bar
    one, two = (ItemIndex.build(V.copy()).save(tmp_path / n) for n in "ab")
    assert one.read_bytes() == two.read_bytes()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    V, _ = catalogue(300, 1, 4)
    path = ItemIndex.build(V, head=100).save(tmp_path_factory.mktemp("index") / "items")
    return path, path.read_bytes()


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
@example(0.0, 1)
@example(0.0008, 0x20)
def test_any_changed_byte_is_refused(saved, where, change):
    path, content = saved
    bad, at = bytearray(content), int(where * len(content))
    bad[at] ^= change
    path.write_bytes(bad)
    with pytest.raises(ValueError, match=r"is not (an index|as it was) saved"):
        ItemIndex.load(path)


@pytest.mark.parametrize(
    "change",
    [lambda c: c[:-1], lambda c: c + b"x", lambda c: c[:30], lambda c: b""],
)
def test_a_file_that_is_cut_or_another_is_refused(saved, change):
    path, content = saved
    path.write_bytes(change(content))
    with pytest.raises(ValueError, match="save it again"):
        ItemIndex.load(path)


def test_an_older_file_stays_until_the_new_one_is_whole(saved, monkeypatch):
    path, content = saved
    path.write_bytes(content)

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(retrieval.os, "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        ItemIndex.build(np.eye(3)).save(path)
    assert path.read_bytes() == content
    assert [*path.parent.iterdir()] == [path]


# ---- Wrong input ---------------------------------------------------------------------

V = np.eye(3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: ItemIndex.build(V[0]),
            r"item_factors must be numbers of shape \(rows",
        ),
        (lambda: ItemIndex.build([["a"]]), "item_factors must be numbers"),
        (lambda: ItemIndex.build(V[:, :0]), "item_factors must be numbers"),
        (lambda: ItemIndex.build(V[:0]), "number of items must be at least 1; got 0"),
        (lambda: ItemIndex.build(V * np.nan), "item_factors must be finite"),
        (lambda: ItemIndex.build(V * 1e16), "finite and at most 1e"),
        (lambda: ItemIndex.build(V, [1, np.inf, 0]), "item_bias must be finite"),
        (lambda: ItemIndex.build(V, [1, 2]), "expected 3 values of item_bias, got 2"),
        (lambda: ItemIndex.build(V, head=-1), "head must be at least 0; got -1"),
        (lambda: ItemIndex.build(V, links=1), "links must be at least 2"),
        (lambda: ItemIndex.build(V, effort=0), "effort must be at least 1"),
        (
            lambda: ItemIndex.build(V).search(V[:, :2]),
            r"shape \(rows, 3\); got float64",
        ),
        (lambda: ItemIndex.build(V).search(V[0]), "user_factors must be numbers"),
        (lambda: ItemIndex.build(V).search(V - np.inf), "user_factors must be finite"),
        (lambda: ItemIndex.build(V).search(V, 0), "n must be at least 1; got 0"),
        (lambda: ItemIndex.build(V).search(V, width=0), "width must be at least 1"),
        (
            lambda: ItemIndex.build(V).search(V, seen=csr_matrix((2, 3))),
            "a row for each",
        ),
        (lambda: exact(V, V, 0), "n must be at least 1"),
        (
            lambda: exact(V, V[:, :1]),
            r"user_factors must be numbers of shape \(rows, 3",
        ),
    ],
)
def test_wrong_input_is_an_error_that_says_what_to_do(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_without_voyager_small_catalogues_still_work(monkeypatch):
    monkeypatch.setitem(sys.modules, "voyager", None)
    assert ItemIndex.build(V).search(V, 1)[0].ravel().tolist() == [0, 1, 2]
    with pytest.raises(ImportError, match="pip install voyager"):
        ItemIndex.build(V, head=2)
