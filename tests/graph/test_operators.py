"""Operators and indexing on nodes do what they do on `Masked`."""

import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.graph.node import Node
from tests.support.graphs import FEATURES, LENGTHS, assert_same, ids, sequences

OFFSET = np.arange(1, FEATURES + 1, dtype=np.float32)
X, Y = sequences(), sequences((4, 3, 2), seed=1)
BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lt", "le", "gt", "ge", "eq", "ne")
ON_BITS = ("and_", "or_", "xor")


def on_nodes(function, *inputs):
    """The function of nodes, as a model, compiled and run; as for every graph, its config comes back the same."""
    model = jm.trace(function, *inputs)
    model = jm.from_config(jm.to_config(model))
    return jax.jit(model.apply)({}, *inputs)


def check(function, *inputs):
    assert_same(on_nodes(function, *inputs), jax.jit(function)(*inputs))


@pytest.mark.slow
@pytest.mark.parametrize("name", BINARY)
def test_operators_between_nodes_constants_and_arrays(name):
    function = getattr(operator, name)
    check(
        lambda x, y: [function(x, y), function(x, 2), function(2.0, x), function(x, OFFSET), function(OFFSET, x)], X, Y
    )


@pytest.mark.parametrize("name", ON_BITS)
def test_operators_on_bits(name):
    function = getattr(operator, name)
    masked = jm.masked(jnp.asarray(ids()), X.mask)
    check(lambda x: [function(x, x + 1), function(x, 3), function(3, x)], masked)


@pytest.mark.parametrize("function", [operator.neg, operator.pos, abs, lambda x: ~(x > 0)])
def test_unary_operators(function):
    check(function, X)


@pytest.mark.slow
def test_an_array_of_jax_may_stand_on_the_left():
    check(lambda x: [jnp.asarray(OFFSET) * x, jnp.float32(2) - x, np.float32(2) / x, jnp.asarray(OFFSET) < x], X)


@pytest.mark.slow
def test_matmul():
    matrix = np.arange(3 * FEATURES, dtype=np.float32).reshape(FEATURES, 3)
    check(lambda x: x @ matrix, X)
    check(lambda x: x @ jnp.asarray(matrix), X)


@pytest.mark.slow
@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        None,
        ...,
        slice(None, 2),
        (slice(None), slice(1, None)),
        (slice(None), slice(None, None, -1)),
        (slice(None), 0),
        (..., 0),
        (..., None),
        (None, ..., slice(1)),
        (slice(None), None),
        np.array([2, 0]),
        (slice(None), np.array([1, 3, 0])),
        ([0, 2],),
    ],
    ids=repr,
)
def test_indexing(index):
    check(lambda x: x[index], X)


@pytest.mark.slow
def test_an_index_may_be_a_node_or_hold_one():
    order = jnp.array([2, 0, 1])
    check(lambda x, i: [x[i], x[i, 1:], x[:, i]], X, order)


@pytest.mark.slow
def test_a_constant_none_is_a_constant():
    assert on_nodes(lambda x: x[None], X).shape == (1, *X.shape)
    for function in (lambda x: x + None, lambda x: None * x, lambda x: x + "a"):
        with pytest.raises(TypeError, match="unsupported operand"):
            jm.trace(function, X)


def test_comparison_makes_a_node_and_nodes_are_told_apart_by_identity():
    x, y = jm.Input((None, 2)), jm.Input((None, 2))
    assert isinstance(x == y, Node)
    assert isinstance(x != 0, Node)
    assert {x: 1, y: 2}[x] == 1
    assert len({x, y, x}) == 2


@pytest.mark.slow
def test_the_mask_of_a_node_is_a_node_or_none():
    assert_same(on_nodes(lambda x: x.mask, X), X.mask)
    assert jm.Input((None, 2)).mask is None


@pytest.mark.slow
def test_masks_combine_by_and():
    both = on_nodes(lambda x, y: x * y, X, Y)
    assert both.lengths.tolist() == np.minimum(LENGTHS, (4, 3, 2)).tolist()
    assert_same(both, X * Y)


@pytest.mark.slow
def test_constants_keep_their_dtypes_in_a_config():
    for constant in (
        np.float32(0.1),
        np.float64(0.1),
        np.array([1, 2], np.int8),
        jnp.bfloat16(3),
        2,
        2.0,
        float("inf"),
    ):
        check(lambda x, c=constant: x * c, jm.masked(jnp.ones((2, 3, 2), jnp.bfloat16), jnp.ones((2, 3), bool)))


def test_operators_have_readable_names():
    x = jm.Input((None, 2), name="x")
    model = jm.Model(x, (2 - x * 3)[:, 0] > x[:, 1])
    assert repr(model) == "Model(model: mul, sub, getitem, getitem_1, gt)"
