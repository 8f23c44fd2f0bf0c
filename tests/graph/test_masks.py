"""Masks as edges of the graph: the words for their ways, and that a run does what the graph foretold."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask import layers as L  # noqa: N812 - it stands in every line
from jmask.core.masked import values_of
from jmask.graph.dimensions import evaluate_size
from jmask.graph.node import nodes_in
from tests.support.graphs import (
    EXAMPLES,
    FEATURES,
    LENGTHS,
    SIZES,
    TIME,
    Attend,
    Halve,
    Mystery,
    Scale,
    assert_same,
    ids,
    sequences,
    solved,
)

REAL = np.arange(TIME) < np.asarray(LENGTHS)[:, None]


def x_and_y():
    return jm.Input((None, FEATURES), masked=True, name="x"), jm.Input((None, FEATURES), masked=True, name="y")


def way(*outputs):
    """The way of the mask at the call that made a node."""
    return nodes_in(outputs)[0].call.mask_flow


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda x, y: L.Embedding(7, 2, mask_zero=True)(jm.Input((None,), "int32")), ("made",)),
        (lambda x, y: L.Masking()(jm.Input((None, 2))), ("made",)),
        (lambda x, y: L.Dense(3)(x), ("passed",)),
        (lambda x, y: L.Dropout(0.5)(x), ("passed",)),
        (lambda x, y: Scale()(x), ("passed",)),
        (lambda x, y: x * 2, ("passed",)),
        (lambda x, y: x * x, ("passed",)),
        (lambda x, y: L.LSTM(3, return_sequences=True)(x), ("used", "passed")),
        (lambda x, y: L.Softmax(axis=1)(x), ("used", "passed")),
        (lambda x, y: L.LSTM(3)(x), ("used", "pooled")),
        (lambda x, y: L.GlobalAveragePooling1D()(x), ("used", "pooled")),
        (lambda x, y: x.mask, ("used",)),
        (lambda x, y: L.Add()([x, y]), ("merged",)),
        (lambda x, y: L.Add(merge="union")([x, y]), ("used", "merged")),
        (lambda x, y: x + y, ("merged",)),
        (lambda x, y: L.Add()([x, L.Dense(2)(x)]), ("passed",)),
        (lambda x, y: L.Concatenate(axis=1)([x, y]), ("merged",)),
        (lambda x, y: Attend()(x, y), ("used", "passed")),
        (lambda x, y: x[:, 1:], ("changed",)),
        (lambda x, y: Halve()(x), ("changed",)),
        (lambda x, y: L.LSTM(3, return_sequences=True, go_backwards=True)(x), ("used", "changed")),
        (lambda x, y: L.Lambda(lambda v: v.sum(1), mask=lambda v, mask: None)(x), ("ended",)),
        (lambda x, y: L.Lambda(lambda v: v * 2, supports_masking=True)(x), ("passed",)),
        (lambda x, y: L.Lambda(lambda v, mask: v * mask[..., None], supports_masking=True)(x), ("used", "passed")),
        (lambda x, y: L.Dense(3)(x, mask=jm.NO_MASK), ("ended",)),
        (lambda x, y: L.LSTM(3, return_sequences=True)(x, mask=jm.NO_MASK), ("ended",)),
        (lambda x, y: L.Dense(3)(jm.Input((None, 2))), ()),
        (lambda x, y: L.LSTM(3)(jm.Input((None, 2))), ()),
        (lambda x, y: L.Dense(3)(jm.Input((None, 2)), mask=x.mask), ("passed",)),
        (lambda x, y: L.GlobalAveragePooling1D()(x, mask=y.mask), ("used", "pooled")),
    ],
)
def test_the_way_of_a_mask_at_a_call(call, expected):
    assert way(call(*x_and_y())) == expected


def test_a_dropped_mask_warns_at_the_call_and_is_called_dropped():
    x, _ = x_and_y()
    with pytest.warns(jm.MaskDroppedWarning, match="mystery: the mask of `inputs` is dropped here"):
        y = Mystery()(x)
    assert (way(y), y.edge) == (("dropped",), None)
    with jm.strict(), pytest.raises(jm.MaskDroppedError, match="mystery: the mask"):
        Mystery()(x)


def test_a_dropped_mask_warns_of_a_layer_that_refuses_symbolic_sizes_too():
    class SplitOnly(jm.Layer):
        def call(self, params, inputs):
            return jnp.split(inputs, 2, axis=1)

    x, _ = x_and_y()
    with pytest.warns(jm.MaskDroppedWarning, match="split_only: the mask of `inputs` is dropped here") as caught:
        halves = SplitOnly()(x)
    assert (len(caught), way(halves)) == (1, ("dropped",))
    with jm.strict(), pytest.raises(jm.MaskDroppedError, match="split_only: the mask"):
        SplitOnly()(x)


def test_a_mask_that_is_passed_on_is_one_edge_and_a_new_one_another():
    x, y = x_and_y()
    assert L.LSTM(3, return_sequences=True)(L.Dense(3)(x)).edge is x.edge
    assert (x + y).edge not in (x.edge, y.edge)
    assert L.Dense(2)(jm.Input((None, 2)), mask=x.mask).edge is not None
    left, right = Halve()(x)
    assert left.edge is not right.edge


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_run_has_the_masks_shapes_and_dtypes_that_the_graph_foretold(name):
    found = solved(name)
    assert found.nodes
    for node, value in zip(found.nodes, found.values, strict=True):
        assert isinstance(value, jm.Masked) == (node.edge is not None), node
        assert value.shape == tuple(evaluate_size(size, SIZES) for size in node.shape), node
        assert value.dtype == node.dtype, node
        if node.edge is not None:
            assert value.mask.shape == tuple(evaluate_size(size, SIZES) for size in node.edge.spec.shape), node


# Masks by hand


def run(make, *inputs):
    model = jm.trace(make, *inputs)
    return model.apply(model.init(jax.random.key(0), *inputs), *inputs)


def test_a_mask_of_another_node_takes_the_place_of_the_attached_one():
    x, y = sequences(), sequences((1, 2, 4), seed=1)
    swapped = run(lambda a, b: L.GlobalAveragePooling1D()(a, mask=b.mask), x.with_values(x.fill(0)), y)
    assert_same(swapped, jm.ops.mean_pool(jm.masked(x.fill(0), y.mask)))


def test_no_mask_makes_padding_count():
    x = sequences().with_values(sequences().fill(7.0))
    assert_same(run(lambda a: L.GlobalAveragePooling1D()(a, mask=jm.NO_MASK), x), x.values.mean(1))
    assert isinstance(run(lambda a: L.Dense(1)(a, mask=jm.NO_MASK), x), jax.Array)


def test_an_array_is_a_mask_by_hand_where_the_sizes_are_known():
    x = jm.Input((TIME, FEATURES), batch_size=3)
    model = jm.Model(x, L.GlobalAveragePooling1D()(L.Dense(2)(x, mask=REAL)))
    params = model.init(jax.random.key(0))
    dense = jm.Model(x, L.Dense(2)(x))
    expected = jm.ops.mean_pool(jm.masked(dense.apply(params, sequences().fill(0)), REAL))
    assert_same(model.apply(params, sequences().fill(0)), expected)
    with pytest.raises(ValueError, match="The shape of a mask must be a prefix"):
        L.Dense(2)(jm.Input((None, FEATURES)), mask=REAL)


def test_masks_of_a_nest_of_inputs_and_by_name():
    x, y = sequences(), sequences((1, 2, 4), seed=1)
    added = run(lambda a, b: L.Add()([a, b], mask=[None, jm.NO_MASK]), x, y)
    assert_same(added.mask, x.mask)
    attended = run(lambda a, b: Attend()(a, b, context_mask=a.mask), x, y.fill(0))
    expected = Attend().apply({}, x, y.fill(0), context_mask=x.mask)
    np.testing.assert_allclose(attended.fill(0), expected.fill(0), rtol=1e-6)
    with pytest.raises(TypeError, match=r"must be a bool array, None or jm\.NO_MASK"):
        run(lambda a, b: L.Dense(1)(a, mask="yes"), x, y)


@pytest.mark.parametrize("mask", [None, jm.NO_MASK, REAL[::-1]])
def test_the_mask_of_a_model_by_hand(mask):
    example, params = solved("sequential").example, solved("sequential").params
    values, own = example.inputs[0].fill(0), example.inputs[0].mask
    found = example.model.apply(params, jm.masked(values, own), mask=mask)
    given = values if mask is jm.NO_MASK else jm.masked(values, own if mask is None else mask)
    assert_same(found, example.model.apply(params, given))
    attached = example.model.apply(params, jm.masked(values, own))
    assert (mask is None) == np.array_equal(values_of(found), values_of(attached))


@pytest.mark.parametrize("name", EXAMPLES)
def test_padding_reaches_nothing(name):
    """NaN stands in the padding of the examples; it is in no real step of an output."""
    leaves = jax.tree.leaves(solved(name).outputs, is_leaf=lambda leaf: isinstance(leaf, jm.Masked))
    is_finite = [np.isfinite(leaf.fill(0) if isinstance(leaf, jm.Masked) else leaf).all() for leaf in leaves]
    assert all(is_finite) or name == "by_hand"  # which was told to count the padding


def test_one_graph_says_one_thing_however_often_it_is_summarised():
    x, _ = x_and_y()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jm.MaskDroppedWarning)
        inner = jm.Sequential([Mystery()], name="inner")
        model = jm.Model(x, inner(x))
    jm.summarize(model, expand_nested=True)  # a second warning would be an error here
    assert [row.mask_flow for row in jm.summarize(model, expand_nested=True).rows] == [
        ("given",),
        ("dropped",),
        ("dropped",),
    ]


def test_a_made_mask_is_the_one_of_the_ids():
    found = solved("chain")
    embedded = jm.Model(found.graph.inputs, found.graph.calls[0].outputs[0])
    assert_same(embedded.apply(found.params, ids()).mask, jnp.asarray(REAL))
