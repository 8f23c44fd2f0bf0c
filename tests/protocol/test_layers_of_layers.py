"""Layers made of layers: whose parameters `init` makes, under which names, from which keys, and what it refuses."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.parameters import shapes


class Block(jm.Layer):
    """Any layer, and a residual connection."""

    raw_inputs = True
    inner: jm.Layer

    def call(self, params, inputs):
        return inputs + self.inner.apply(params["inner"], inputs)


class Stack(jm.Layer):
    """Layers in a list and in a dict."""

    raw_inputs = True
    layers: list
    heads: dict

    def call(self, params, inputs):
        for i, layer in enumerate(self.layers):
            inputs = layer.apply(params[f"layer_{i}"], inputs)
        return {name: head.apply(params[name], inputs) for name, head in self.heads.items()}


def assert_same(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)


def test_three_levels_deep(x, getkey):
    layer = Block(Block(Block(jm.layers.Dense(4))))
    params = layer.init(getkey(), x)
    assert shapes(params) == {"inner": {"inner": {"inner": {"kernel": (4, 4), "bias": (4,)}}}}

    weights = params["inner"]["inner"]["inner"]
    expected = x + (x + (x + jm.ops.dense(x, weights["kernel"], weights["bias"])))
    assert_close(layer.apply(params, x).fill(0), expected.fill(0))


def test_layers_in_lists_and_dicts(x, getkey):
    layer = Stack([jm.layers.Dense(6), jm.layers.LSTM(5, return_sequences=True)], {"tag": jm.layers.Dense(2)})
    params = layer.init(getkey(), x)
    assert shapes(params) == {
        "layer_0": {"kernel": (4, 6), "bias": (6,)},
        "layer_1": {"kernel": (6, 20), "recurrent_kernel": (5, 20), "bias": (20,)},
        "tag": {"kernel": (5, 2), "bias": (2,)},
    }
    assert layer.apply(params, x)["tag"].lengths.tolist() == [4, 0, 5]


def test_models_are_layers_of_layers(x, getkey):
    layer = Block(jm.Sequential([jm.layers.Dense(6), jm.layers.Dropout(0.5), jm.layers.Dense(4)]))
    params = layer.init(getkey(), x)
    assert shapes(params) == {
        "inner": {"dense": {"kernel": (4, 6), "bias": (6,)}, "dense_1": {"kernel": (6, 4), "bias": (4,)}}
    }
    model = jm.Sequential([Block(jm.layers.Dense(4)), Block(jm.layers.Dense(4))])
    assert set(model.init(getkey(), x)) == {"block", "block_1"}
    assert layer.apply(params, x).mask is x.mask


def test_a_layer_called_twice_shares_its_parameters(x, getkey):
    class Twice(jm.Layer):
        raw_inputs = True
        dense: jm.Layer = jm.layers.Dense(4)

        def call(self, params, inputs):
            return self.dense.apply(params["dense"], self.dense.apply(params["dense"], inputs))

    params = Twice().init(getkey(), x)
    assert shapes(params) == {"dense": {"kernel": (4, 4), "bias": (4,)}}
    kernel, bias = params["dense"]["kernel"], params["dense"]["bias"]
    assert_close(Twice().apply(params, x).fill(0), ((x @ kernel + bias) @ kernel + bias).fill(0))


def test_one_layer_under_two_names_has_two_sets_of_parameters(x, getkey):
    class Twice(jm.Layer):
        raw_inputs = True
        dense: jm.Layer = jm.layers.Dense(4)

        def call(self, params, inputs):
            return self.dense.apply(params["a"], inputs) + self.dense.apply(params["b"], inputs)

    params = Twice().init(getkey(), x)
    assert set(params) == {"a", "b"}
    assert (params["a"]["kernel"] != params["b"]["kernel"]).all()


def test_two_layers_under_one_name_are_refused(x, getkey):
    class Both(jm.Layer):
        raw_inputs = True
        first: jm.Layer = jm.layers.Dense(4)
        second: jm.Layer = jm.layers.Dense(4)

        def call(self, params, inputs):
            return self.second.apply(params["dense"], self.first.apply(params["dense"], inputs))

    with pytest.raises(ValueError, match="two layers") as error:
        Both().init(getkey(), x)
    assert str(error.value) == (
        "both/dense: two layers share the parameters `dense`; give each its own name in `params`."
    )


def test_the_draw_of_a_layer_depends_on_the_key_and_its_name_alone(x, getkey):
    key = getkey()
    few = Stack([jm.layers.Dense(4)], {"tag": jm.layers.Dense(2)}).init(key, x)
    many = Stack([jm.layers.Dense(4), jm.layers.Dense(4)], {"other": jm.layers.Dense(2), "tag": jm.layers.Dense(2)})
    many_params = many.init(key, x)
    assert_same(many_params["layer_0"], few["layer_0"])
    assert_same(many_params["tag"], few["tag"])
    assert (many_params["layer_0"]["kernel"] != many_params["layer_1"]["kernel"]).all()
    assert (many_params["tag"]["kernel"] != many_params["other"]["kernel"]).all()
    other = Stack([jm.layers.Dense(4)], {"tag": jm.layers.Dense(2)}).init(getkey(), x)
    assert (other["tag"]["kernel"] != few["tag"]["kernel"]).all()


def test_init_takes_masked_arrays_and_shapes_alike_and_runs_under_jit(x, getkey):
    layer, key = Block(Block(jm.layers.LSTM(4, return_sequences=True))), getkey()
    expected = layer.init(key, x)
    spec = jax.ShapeDtypeStruct(x.shape, x.dtype)
    assert_same(layer.init(key, x.values), expected)
    assert_same(layer.init(key, spec), expected)
    assert_same(layer.init(key, jax.tree.map(lambda v: jax.ShapeDtypeStruct(v.shape, v.dtype), x)), expected)
    assert_same(layer.init(key, np.asarray(x.fill(0))), expected)
    for shape, array in zip(
        jax.tree.leaves(jax.eval_shape(layer.init, key, x)), jax.tree.leaves(expected), strict=True
    ):
        assert (shape.shape, shape.dtype) == (array.shape, array.dtype)
    jitted = jax.jit(layer.init)(key, x)
    assert jax.tree.structure(jitted) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(jitted), jax.tree.leaves(expected), strict=True):
        assert_close(a, b)


def test_init_with_an_old_style_key(x):
    layer = Block(jm.layers.Dense(4))
    assert shapes(layer.init(jax.random.PRNGKey(0), x)) == {"inner": {"kernel": (4, 4), "bias": (4,)}}


def test_init_runs_on_shapes_only(getkey):
    spec = jax.ShapeDtypeStruct((2**20, 2**20, 4), "float32")  # 16 TiB, if it were computed
    assert shapes(Block(jm.layers.Dense(4)).init(getkey(), spec)) == {"inner": {"kernel": (4, 4), "bias": (4,)}}


def test_init_of_deep_nests_takes_time_in_proportion():
    calls = 0

    class Counted(jm.Layer):
        raw_inputs = True
        inner: Any

        def call(self, params, inputs):
            nonlocal calls
            calls += 1
            return self.inner.apply(params["inner"], inputs)

    def count(depth):
        nonlocal calls
        layer = jm.layers.Dense(2)
        for _ in range(depth):
            layer = Counted(layer)
        calls = 0
        layer.init(jax.random.key(0), jnp.ones((1, 2)))
        return calls

    assert count(12) < 10 * count(6)  # it was 64 times, when every level made its layers twice


def test_static_and_optional_inputs_of_the_call(x, getkey):
    class Pools(jm.Layer):
        raw_inputs = True
        dense: jm.Layer = jm.layers.Dense(3)
        gate: jm.Layer = jm.layers.Dense(3)

        def call(self, params, inputs, how, context=None):
            h = self.dense.apply(params["dense"], inputs)
            h = h if context is None else h * self.gate.apply(params["gate"], context)
            return jm.ops.mean(h, axis=1) if how == "mean" else jm.ops.max(h, axis=1)

    assert set(Pools().init(getkey(), x, "mean")) == {"dense"}
    assert set(Pools().init(getkey(), x, "max", x)) == {"dense", "gate"}


def test_a_layer_without_parameters_has_an_entry_where_call_looks_for_one(x, getkey):
    class Drops(jm.Layer):
        raw_inputs = True
        dropout: jm.Layer = jm.layers.Dropout(0.5)
        dense: jm.Layer = jm.layers.Dense(3)

        def call(self, params, inputs, training=False, key=None):
            h = self.dropout.apply(params["dropout"], inputs, training=training, key=key)
            h = jm.layers.Activation("relu").apply(params.get("activation", {}), h)
            return self.dense.apply(params["dense"], h)

    params = Drops().init(getkey(), x)
    assert shapes(params) == {"dropout": {}, "dense": {"kernel": (4, 3), "bias": (3,)}}
    assert Drops().apply(params, x, training=True, key=getkey()).mask is x.mask


def test_parameters_of_ones_own_need_an_init(x, getkey):
    class Scaled(jm.Layer):
        raw_inputs = True
        dense: jm.Layer = jm.layers.Dense(4)

        def call(self, params, inputs):
            return self.dense.apply(params["dense"], inputs) * params["scale"]

    with pytest.raises(TypeError) as error:
        Scaled().init(getkey(), x)
    assert str(error.value) == (
        "`params['scale']` is used as an array or a dict, but while `init` follows `call` it stands for the parameters "
        "of a sub-layer: `layer.apply(params['scale'], ...)`. A layer with parameters of its own needs an "
        "`init(self, key, *inputs)` that returns all of them."
    )

    class Right(Scaled):
        def init(self, key, inputs):
            return {"dense": self.dense.init(key, inputs), "scale": jnp.full((4,), 2.0)}

    params = Right().init(getkey(), x)
    expected = (x @ params["dense"]["kernel"] + params["dense"]["bias"]) * 2
    assert_close(Right().apply(params, x).fill(0), expected.fill(0))
    assert shapes(Block(Block(Right())).init(getkey(), x)["inner"]["inner"])["scale"] == (4,)


WRONG = {
    "plus": lambda slot, x: slot + x,
    "plus, on the right": lambda slot, x: x + slot,
    "minus": lambda slot, x: slot - x,
    "minus, on the right": lambda slot, x: x - slot,
    "times": lambda slot, x: slot * x,
    "times, on the right": lambda slot, x: x * slot,
    "over": lambda slot, x: slot / x,
    "over, on the right": lambda slot, x: x / slot,
    "matmul": lambda slot, x: slot @ x,
    "matmul, on the right": lambda slot, x: x @ slot,
    "negative": lambda slot, x: -slot,
    "array": lambda slot, x: jnp.asarray(slot),
    "function": lambda slot, x: jnp.dot(x, slot),
    "item": lambda slot, x: slot["kernel"],
    "slice": lambda slot, x: slot[:3],
    "unpacked": lambda slot, x: [*slot],
    "length": lambda slot, x: len(slot),
    "membership": lambda slot, x: "kernel" in slot,
    "attribute": lambda slot, x: slot.T,
    "shape": lambda slot, x: slot.shape,
    "items": lambda slot, x: slot.items(),
}


@pytest.mark.parametrize("use", WRONG)
def test_every_wrong_use_of_the_parameters_of_a_layer_says_what_is_right(use, x, getkey):
    class Wrong(jm.Layer):
        dense: jm.Layer = jm.layers.Dense(3)

        def call(self, params, inputs):
            return WRONG[use](params["weights"], inputs)

    with pytest.raises((TypeError, AttributeError), match=r"needs an `init\(self, key, \*inputs\)`"):
        Wrong().init(getkey(), x.values)


def test_a_name_that_is_read_but_never_used_is_refused(x, getkey):
    class Reads(jm.Layer):
        dense: jm.Layer = jm.layers.Dense(3)

        def call(self, params, inputs, training=False):
            dense = params["dense"]
            return self.dense.apply(dense, inputs) if training else inputs

    with pytest.raises(ValueError, match="`call` reads") as error:
        Reads().init(getkey(), x.values)
    assert str(error.value) == (
        "`call` reads `params['dense']` and applies no layer to it, so its parameters are unknown; call "
        "`layer.apply(params['dense'], ...)`, or write an `init(self, key, *inputs)`."
    )


def test_params_stand_for_no_dict_while_init_follows_call(x, getkey):
    class Loops(jm.Layer):
        dense: jm.Layer = jm.layers.Dense(3)

        def call(self, params, inputs):
            for name in params:
                inputs = self.dense.apply(params[name], inputs)
            return inputs

    with pytest.raises(TypeError, match="`params` only takes names"):
        Loops().init(getkey(), x.values)


def test_layers_inside_transforms_of_jax(x, getkey):
    def run(way, dense, params, inputs):
        if way == "checkpoint":
            return jax.checkpoint(dense.apply)(params["dense"], inputs)
        if way == "checkpoint of all":
            return jax.checkpoint(lambda p, v: dense.apply(p["dense"], v))(params, inputs)
        if way == "twice":
            for _ in range(2):
                inputs = jax.checkpoint(lambda v: dense.apply(params["dense"], v))(inputs)
            return inputs
        if way == "jit":
            return jax.jit(dense.apply)(params["dense"], inputs)
        if way == "vmap":
            return jax.vmap(dense.apply, in_axes=(None, 0))(params["dense"], inputs)
        return jax.lax.fori_loop(0, 2, lambda _, carry: dense.apply(params["dense"], carry), inputs)

    class Transformed(jm.Layer):
        supports_masking = True
        dense: jm.Layer
        way: str

        def call(self, params, inputs):
            return run(self.way, self.dense, params, inputs)

    for way in ("checkpoint", "checkpoint of all", "twice", "jit", "vmap", "loop"):
        layer = Transformed(jm.layers.Dense(4), way)
        params = layer.init(getkey(), x)
        assert shapes(params) == {"dense": {"kernel": (4, 4), "bias": (4,)}}, way
        expected = x @ params["dense"]["kernel"] + params["dense"]["bias"]
        if way in ("twice", "loop"):
            expected = expected @ params["dense"]["kernel"] + params["dense"]["bias"]
        assert_close(layer.apply(params, x).fill(0), expected.fill(0))
        gradients = jax.grad(lambda p: layer.apply(p, x).fill(0).sum())(params)  # noqa: B023 - called at once
        assert jnp.isfinite(gradients["dense"]["kernel"]).all()


def test_a_layer_of_layers_may_pass_values_and_the_mask_apart(x, getkey):
    class Encoder(jm.Layer):
        """As in Keras' guide: the mask is an argument, and handed on by hand."""

        project: jm.Layer = jm.layers.Dense(4)
        lstm: jm.Layer = jm.layers.LSTM(3)

        def call(self, params, inputs, mask=None):
            h = jnp.tanh(self.project.apply(params["project"], inputs))
            return self.lstm.apply(params["lstm"], h, mask=mask)

        def compute_mask(self, inputs, mask):
            return None

    params = Encoder().init(getkey(), x)
    output = Encoder().apply(params, x)
    for row, length in enumerate([4, 0, 5]):
        if length:
            alone = Encoder().apply(params, x.values[row : row + 1, :length])
            assert_close(output[row], alone[0])
        else:
            assert not output.values[row].any()


def test_a_layer_that_uses_its_layers_only_in_training_says_so_in_init(x, getkey):
    class Noisy(jm.Layer):
        raw_inputs = True
        dense: jm.Layer = jm.layers.Dense(4)

        def call(self, params, inputs, training=False):
            return self.dense.apply(params["dense"], inputs) if training else inputs

        def init(self, key, inputs):
            return {"dense": self.dense.init(key, inputs)}

    params = Noisy().init(getkey(), x)
    assert Noisy().apply(params, x, training=True).shape == x.shape


def test_layers_without_parameters_need_no_inputs(getkey):
    assert jm.layers.Dropout(0.5).init(getkey()) == {}
    assert jm.layers.Lambda(jnp.square).init(getkey()) == {}
    assert jm.Layer().init(getkey()) == {}
