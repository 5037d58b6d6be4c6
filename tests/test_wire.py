"""Plain data in JSON: what goes in comes out, and a stranger's line does nothing."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mfcourse.exercises import wire

NUMBERS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    arrays.arrays(
        st.one_of(arrays.integer_dtypes(), arrays.floating_dtypes()),
        arrays.array_shapes(min_dims=0, min_side=0),
    ),
)
VALUES = st.recursive(
    NUMBERS,
    lambda part: st.one_of(st.lists(part, max_size=3), st.tuples(part, part)),
    max_leaves=8,
)


def test_a_text_is_read_only_where_it_is_asked_for():
    line = wire.dumps([("a", [1])])
    assert wire.loads(line, words=True) == [("a", [1])]
    with pytest.raises(ValueError, match="no plain data"):
        wire.loads(line)


def same(a, b):
    if isinstance(a, np.ndarray):
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or a != a)


@given(VALUES)
def test_a_value_comes_back_as_it_was(value):
    assert same(value, wire.loads(wire.dumps(value)))


def test_an_array_may_be_written_to_and_needs_no_order():
    F = np.asfortranarray(np.arange(6.0).reshape(2, 3))[:, ::2]
    back = wire.loads(wire.dumps(F))
    assert (back == F).all()
    back[0] = 1


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda part: st.one_of(
        st.lists(part, max_size=3),
        st.dictionaries(
            st.sampled_from(["dtype", "shape", "bytes", "tuple", "x"]), part
        ),
    ),
)


@given(JSON)
def test_any_json_is_a_value_or_a_value_error(data):
    try:
        value = wire.decode(data)
    except ValueError:
        return
    assert wire.loads(wire.dumps(value)) is value or value is not None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[" * 100_000,
        '{"dtype":"|O8","shape":[1],"bytes":"AAAAAAAAAAA="}',
        '{"dtype":"<f8","shape":[2],"bytes":"AAAAAAAAAAA="}',
        '{"dtype":"<f8","shape":[-1],"bytes":"AAAAAAAAAAA="}',
        '{"dtype":"<f8","shape":[1e9],"bytes":""}',
        '{"dtype":"<f8","shape":[true],"bytes":"AAAAAAAAAAA="}',
        '{"dtype":"<f8","shape":[4000000,4000000],"bytes":""}',
        '{"dtype":"<f8,<f8","shape":[1],"bytes":""}',
        '{"dtype":"<f8","shape":[0],"bytes":7}',
        '{"dtype":"<f8","shape":[0],"bytes":"","more":1}',
        '{"dtype":["<f8"],"shape":[0],"bytes":""}',
        json.dumps([[[[[[[[[[1]]]]]]]]]]),
        '{"tuple":5}',
    ],
)
def test_what_is_no_plain_data_is_refused(line):
    with pytest.raises(ValueError):  # noqa: PT011 - the whole of it
        wire.loads(line)


@pytest.mark.parametrize(
    "value", [{"a": 1}, {1}, object(), 1j, np.array([1j]), np.array(["a"]), [np.str_]]
)
def test_what_cannot_be_told_is_refused(value):
    with pytest.raises(TypeError, match="no plain data"):
        wire.encode(value)


def test_a_large_array_is_not_told():
    huge = np.broadcast_to(0.0, (10**6, 10**6))
    with pytest.raises(OverflowError, match="too large"):
        wire.encode(huge)
