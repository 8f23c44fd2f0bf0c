"""Models: structures of inputs and outputs, shared and nested layers, cuts, names, and what is refused."""

import collections

import jax
import numpy as np
import pytest

import jmask as jm
from jmask import layers as L  # noqa: N812 - it stands in every line
from tests.support.graphs import BATCH, FEATURES, TIME, Block, Scale, assert_same, ids, program, sequences, solved

Pair = collections.namedtuple("Pair", ["first", "second"])
KEY = jax.random.key(0)


def two_inputs():
    return jm.Input((None, FEATURES), name="x"), jm.Input((None, FEATURES), name="y")


def x_and_y():
    return sequences().fill(0), sequences(seed=1).fill(0)


@pytest.mark.parametrize("wrap", [lambda x, y: [x, y], lambda x, y: (x, y), Pair, lambda x, y: {"b": x, "a": [y]}])
def test_outputs_have_the_structure_of_the_models_outputs(wrap):
    x, y = two_inputs()
    result = jm.Model(wrap(x, y), wrap(x + 1, y * 2)).apply({}, wrap(*x_and_y()))
    assert type(result) is type(wrap(1, 2))
    assert_same(result, wrap(x_and_y()[0] + 1, x_and_y()[1] * 2))


@pytest.mark.parametrize("wrap", [lambda x, y: [x, y], lambda x, y: (x, y), Pair])
def test_inputs_in_a_list_or_tuple_may_be_given_one_by_one_and_in_each_others_place(wrap):
    x, y = two_inputs()
    model = jm.Model(wrap(x, y), x - y)
    a, b = x_and_y()
    for given in ([a, b], (a, b), Pair(a, b)):
        np.testing.assert_array_equal(model.apply({}, given), a - b)
    np.testing.assert_array_equal(model.apply({}, a, b), a - b)


def test_a_list_of_one_input_takes_the_input_itself():
    x, _ = two_inputs()
    a, _ = x_and_y()
    for given in (a, [a], (a,)):
        np.testing.assert_array_equal(jm.Model([x], x + 1).apply({}, given), a + 1)


def test_an_output_may_be_an_input_or_stand_twice():
    x, y = two_inputs()
    a, b = x_and_y()
    h = x * 2
    assert_same(jm.Model([x, y], [x, h, h, y]).apply({}, a, b), [a, a * 2, a * 2, b])


def test_an_input_that_no_output_needs_is_allowed():
    x, y = two_inputs()
    model = jm.Model([x, y], L.Dense(1)(x))
    assert list(model.init(KEY)) == ["dense"]
    assert model.apply(model.init(KEY), *x_and_y()).shape == (BATCH, TIME, 1)


def test_a_list_that_the_user_changes_later_changes_no_graph():
    x, y = two_inputs()
    seen = [x, y]
    h = L.Add()(seen)
    outputs = [h]
    model = jm.Model(seen, outputs)
    seen.append(h)
    outputs.append(x)
    layers = [L.Dense(2)]
    row = jm.Sequential(layers)
    layers.append(L.Dense(3))
    assert_same(model.apply({}, *x_and_y()), [sum(x_and_y())])
    assert row.apply(row.init(KEY, x_and_y()[0]), x_and_y()[0]).shape[-1] == 2


# Shared layers


def test_calls_of_one_layer_share_one_entry_of_parameters_and_their_gradients_add_up():
    x, y = two_inputs()
    dense, a, b = L.Dense(3), *x_and_y()
    shared = jm.Model([x, y], dense(x) * dense(y))
    apart = jm.Model([x, y], L.Dense(3, name="one")(x) * L.Dense(3, name="two")(y))
    params = shared.init(KEY)
    assert list(params) == ["dense"]
    both = {"one": params["dense"], "two": params["dense"]}
    assert_same(shared.apply(params, a, b), apart.apply(both, a, b))
    gradient = jax.grad(lambda p: shared.apply(p, a, b).sum())(params)["dense"]
    gradients = jax.grad(lambda p: apart.apply(p, a, b).sum())(both)
    for leaf, one, two in zip(*map(jax.tree.leaves, (gradient, gradients["one"], gradients["two"])), strict=True):
        np.testing.assert_allclose(leaf, one + two, rtol=1e-5)


def test_equal_layers_are_not_shared():
    x, y = two_inputs()
    params = jm.Model([x, y], L.Dense(3)(x) + L.Dense(3)(y)).init(KEY)
    assert list(params) == ["dense", "dense_1"]
    assert not np.array_equal(params["dense"]["kernel"], params["dense_1"]["kernel"])


def test_a_layer_twice_in_a_sequential_has_one_entry():
    scale = Scale()
    model, x = jm.Sequential([scale, scale]), x_and_y()[0]
    params = model.init(KEY, x)
    assert list(params) == ["scale"]
    np.testing.assert_allclose(model.apply(params, x), x * params["scale"]["scale"] ** 2, rtol=1e-6)


# Models and layers inside models


def test_layers_of_layers_have_nested_parameters():
    x = jm.Input((None, FEATURES))
    params = jm.Model(x, Block()(x)).init(KEY)
    assert {name: sorted(inner) for name, inner in params["block"].items()} == {
        "first": ["bias", "kernel"],
        "second": ["scale"],
    }


def test_a_nested_model_computes_what_its_layers_do_in_one_graph():
    dense, scale, x = L.Dense(FEATURES), Scale(), jm.Input((None, FEATURES))
    inside = jm.Input((None, FEATURES))
    inner = jm.Model(inside, dense(inside), name="inner")
    nested, flat = jm.Model(x, scale(inner(x))), jm.Model(x, scale(dense(x)))
    params = nested.init(KEY)
    assert list(params) == ["inner", "scale"]
    flat_params = {"dense": params["inner"]["dense"], "scale": params["scale"]}
    assert_same(nested.apply(params, x_and_y()[0]), flat.apply(flat_params, x_and_y()[0]))


def test_a_model_of_several_inputs_is_a_layer_of_several_inputs():
    x, y = two_inputs()
    inner = jm.Model({"x": x, "y": y}, {"sum": x + y, "difference": x - y}, name="inner")
    u, v = two_inputs()
    found = inner({"x": u, "y": v})
    a, b = x_and_y()
    assert_same(jm.Model([u, v], found["sum"] * found["difference"]).apply({}, a, b), (a + b) * (a - b))


def test_a_sequential_in_a_model_and_a_model_in_a_sequential():
    x = jm.Input((None, FEATURES))
    row = jm.Sequential([L.Dense(3), Scale()], name="row")
    model = jm.Model(x, L.Dense(1)(row(x)), name="graph")
    outer = jm.Sequential([L.Dense(FEATURES), model])
    params = outer.init(KEY, x_and_y()[0])
    assert list(params) == ["dense", "graph"]
    assert sorted(params["graph"]) == ["dense", "row"]
    assert sorted(params["graph"]["row"]) == ["dense", "scale"]
    assert outer.apply(params, x_and_y()[0]).shape == (BATCH, TIME, 1)


def test_the_graph_of_a_sequential_has_its_parameters_and_outputs():
    found = solved("sequential")
    assert_same(found.graph.init(KEY), found.params)
    models = (found.graph, found.example.model)
    assert len({program(model, found.params, *found.example.inputs) for model in models}) == 1


def test_a_sequential_may_begin_with_a_layer_of_several_inputs():
    a, b = x_and_y()
    model = jm.Sequential([L.Add(), L.Dense(1)])
    params = model.init(KEY, [a, b])
    assert model.apply(params, [a, b]).shape == (BATCH, TIME, 1)
    assert [len(call.sources) for call in model.graph([a, b]).calls] == [2, 1]


# Cuts


def test_a_model_can_be_cut_at_any_node():
    x = jm.Input((None,), "int32")
    h = L.Embedding(7, FEATURES, mask_zero=True)(x)
    g = L.LSTM(3, return_sequences=True)(h)
    y = L.GlobalAveragePooling1D()(g)
    whole = jm.Model(x, y)
    params = whole.init(KEY)
    expected = whole.apply(params, ids())
    for node in (x, h, g):
        front, back = jm.Model(x, node), jm.Model(node, y)
        assert sorted({*front.layers} | {*back.layers}) == sorted(whole.layers)
        assert not {*front.layers} & {*back.layers}
        assert_same(back.apply(params, front.apply(params, ids())), expected)
        assert_same({**front.init(KEY), **back.init(KEY)}, params)


def test_a_cut_node_takes_a_mask_or_none():
    found, x = solved("cut"), sequences()
    assert isinstance(found.graph.apply(found.params, x), jm.Masked)
    assert isinstance(found.graph.apply(found.params, x.fill(0)), jax.Array)


def test_the_parts_of_a_graph_that_no_output_needs_are_left_out():
    x = jm.Input((None, FEATURES))
    h = L.Dense(3, name="first")(x)
    L.Dense(4, name="aside")(h)
    L.Dense(5, name="below")(L.Dense(1, name="last")(h))
    assert list(jm.Model(x, jm.Model(x, h).outputs).layers) == ["first"]


# Names


def test_names_are_the_classes_in_snake_case_numbered_and_never_a_name_that_is_taken():
    x = jm.Input((None, FEATURES))
    h = L.Dense(2)(L.Dense(2, name="dense_1")(L.Dense(2)(L.LayerNormalization()(x))))
    assert list(jm.Model(x, h).layers) == ["layer_normalization", "dense", "dense_1", "dense_2"]


def test_two_layers_of_one_name_are_refused():
    x = jm.Input((None, FEATURES))
    h = L.Dense(2, name="a")(L.Dense(2, name="a")(x))
    for make in (lambda: jm.Model(x, h), lambda: jm.Sequential([L.Dense(2, name="a"), L.Dense(2, name="a")])):
        with pytest.raises(
            ValueError, match=r"Two layers of a model are called 'a'; their parameters need two names\."
        ):
            make()


def test_a_layer_in_two_models_of_one_is_refused_because_it_would_not_be_shared():
    dense, x, i = L.Dense(FEATURES), jm.Input((None, FEATURES)), jm.Input((None, FEATURES))
    inner = jm.Model(i, dense(i), name="inner")
    row = jm.Sequential([jm.Sequential([dense], name="row"), Scale()], name="outer_row")
    for make, paths in (
        (lambda: jm.Model(x, dense(inner(x))), "`inner/dense` and `dense`"),
        (lambda: jm.Model(x, row(inner(x))), "`inner/dense` and `outer_row/row/dense`"),
        (lambda: jm.Sequential([row, dense]), "`outer_row/row/dense` and `dense`"),
    ):
        with pytest.raises(ValueError, match=f"{paths} are one layer, .* would not share them"):
            make()
    dropout = L.Dropout(0.5)  # has nothing to share
    assert jm.Model(x, dropout(jm.Sequential([dropout])(inner(inner(x))))).calls


def test_a_traced_function_is_named_after_it_and_takes_examples_or_nodes():
    def twins(a, b):
        return {"sum": a + b}

    a, b = x_and_y()
    model = jm.trace(twins, a, jm.Input((None, FEATURES)))
    assert repr(model) == "Model(twins: add)"
    assert_same(model.apply({}, a, b), {"sum": a + b})
    assert jm.trace(lambda x: x + 1, a).name is None
    assert jm.trace(twins, a, b, name="other").name == "other"
    assert_same(jm.trace(lambda tree: tree["a"] * tree["b"], {"a": a, "b": b}).apply({}, {"a": a, "b": b}), a * b)
