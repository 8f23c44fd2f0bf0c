"""Parameters of Flax' modules: each sequence has the outputs that the module gives for it alone, and the way back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

import jmask as jm
from jmask.testing import assert_close

L = jm.layers
OPTIONS = {"return_sequences": True, "implementation": "scan"}
LAYERS = {"LSTMCell": L.LSTM, "OptimizedLSTMCell": L.LSTM, "GRUCell": L.GRU, "SimpleCell": L.SimpleRNN}
CELLS = pytest.mark.parametrize("cell", LAYERS)


def layer_of(cell, directions, **options):
    layer = LAYERS[cell](3, **OPTIONS, **options)
    return layer if directions == 1 else L.Bidirectional(layer)


def linen_rnn(cell, directions):
    def rnn():
        return linen.RNN(getattr(linen, cell)(3))

    return rnn() if directions == 1 else linen.Bidirectional(rnn(), rnn())


def nnx_rnn(cell, directions, features=4, **options):
    def rnn(seed):
        return nnx.RNN(getattr(nnx, cell)(features, 3, rngs=nnx.Rngs(seed), **options))

    return rnn(0) if directions == 1 else nnx.Bidirectional(rnn(0), rnn(1))


def drawn(rng, tree):
    """Random arrays in place of those that begin with 0 or 1; positive, for variances."""
    return jax.tree.map(lambda leaf: jnp.asarray(rng.uniform(0.1, 0.9, leaf.shape), leaf.dtype), tree)


def randomize(rng, module):
    for kind in (nnx.Param, nnx.BatchStat):
        nnx.update(module, drawn(rng, nnx.state(module, kind)))


def check_rows(model, found, x, module):
    """The oracle: the module of Flax on each sequence alone."""
    params, state = found
    outputs = jm.unpad(jax.jit(model.apply_with_state)(params, state, x)[0])
    for row, sequence in zip(outputs, jm.unpad(x), strict=True):
        if len(sequence):
            assert_close(np.asarray(row), np.asarray(module(sequence[None])[0]), precision="float32")


def same(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@CELLS
@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent_layers_of_linen(cell, directions, rng, x):
    module, layer = linen_rnn(cell, directions), layer_of(cell, directions)
    variables = drawn(rng, module.init(jax.random.key(0), x.fill(0)))
    found = jm.flax.from_linen(layer, variables)
    check_rows(layer, found, x, lambda row: module.apply(variables, row))
    same(jm.flax.linen_variables(jax.tree.map(jnp.zeros_like, variables), layer, *found), variables)


@CELLS
@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent_layers_of_nnx(cell, directions, rng, x):
    module, layer = nnx_rnn(cell, directions), layer_of(cell, directions)
    randomize(rng, module)
    found = jm.flax.from_nnx(layer, module)
    check_rows(layer, found, x, module)
    same(jm.flax.from_nnx(layer, nnx.state(module)), found)  # a state, which a checkpoint has
    other = nnx_rnn(cell, directions)
    nnx.update(other, jm.flax.nnx_state(other, layer, *found))
    same(nnx.to_pure_dict(nnx.state(other, nnx.Param)), nnx.to_pure_dict(nnx.state(module, nnx.Param)))


def test_parameters_of_jmask_in_flax(rng, x):
    """Both biases of a GRU, which linen adds up where it can; and a layer without a bias, which no cell of Flax is."""
    row = jm.unpad(x)[2][None]
    for cell, layer in (("GRUCell", layer_of("GRUCell", 1)), ("LSTMCell", L.LSTM(3, use_bias=False, **OPTIONS))):
        module = linen_rnn(cell, 1)
        params = drawn(rng, layer.init(jax.random.key(0), x))
        variables = jm.flax.linen_variables(module.init(jax.random.key(1), row), layer, params)
        assert_close(module.apply(variables, row), layer.apply(params, row), precision="float32")


class Compact(linen.Module):
    @linen.compact
    def __call__(self, ids):
        h = linen.Embed(7, 4)(ids)
        h = linen.RNN(linen.GRUCell(3))(h)
        h = linen.Bidirectional(linen.RNN(linen.LSTMCell(2)), linen.RNN(linen.LSTMCell(2)))(h)
        h = linen.Conv(4, (3,))(h)
        h = linen.LayerNorm()(linen.BatchNorm(use_running_average=True)(h))
        h = linen.RMSNorm()(linen.GroupNorm(2)(h))
        h = linen.MultiHeadDotProductAttention(2)(h)
        return linen.Dense(2)(h)


def compact():
    """The same network, and which layer is which module."""
    inputs = jm.Input((None,), "int32")
    h = L.Embedding(7, 4, name="embed")(inputs)
    h = L.GRU(3, name="gru", **OPTIONS)(h)
    h = L.Bidirectional(L.LSTM(2, **OPTIONS), name="both")(h)
    h = L.Conv1D(4, 3, padding="same", name="conv")(h)
    h = L.BatchNormalization(epsilon=1e-5, name="batch_norm")(h)
    h = L.LayerNormalization(epsilon=1e-6, name="layer_norm")(h)
    h = L.GroupNormalization(2, epsilon=1e-6, name="group_norm")(h)
    h = L.RMSNormalization(name="rms_norm")(h)
    h = L.MultiHeadAttention(2, 2, name="attention")(h, h)
    model = jm.Model(inputs, L.Dense(2, name="head")(h))
    modules = {
        "Embed": "embed",
        "GRUCell": "gru",
        "LSTMCell": "both/forward",
        "Conv": "conv",
        "BatchNorm": "batch_norm",
    }
    modules |= {"LayerNorm": "layer_norm", "GroupNorm": "group_norm", "RMSNorm": "rms_norm", "Dense": "head"}
    modules |= {"MultiHeadDotProductAttention": "attention"}
    return model, {f"{name}_0": of for name, of in modules.items()} | {"LSTMCell_1": "both/backward"}


def test_a_network_of_linen(rng):
    module, (model, modules) = Compact(), compact()
    ids = jm.pad_sequences([[1, 2, 6, 3], [], [4, 5]])
    variables = drawn(rng, jax.eval_shape(module.init, jax.random.key(0), ids.values))
    found = jm.flax.from_linen(model, variables, modules)
    apply = jax.jit(module.apply)
    check_rows(model, found, ids, lambda row: apply(variables, row))
    back = jm.flax.linen_variables(variables, model, *found, modules)
    same(back, variables)
    with pytest.raises(ValueError, match=r"`linen_variables`: batch_norm .* pass them as `state`"):
        jm.flax.linen_variables(variables, model, found[0], None, modules)


def test_a_sequential_of_nnx(rng, x):
    rngs = nnx.Rngs(0)
    module = nnx.Sequential(
        nnx.Linear(4, 6, rngs=rngs), nnx.Conv(6, 3, (2,), padding="CAUSAL", rngs=rngs), nnx.BatchNorm(3, rngs=rngs)
    )
    module.eval()
    randomize(rng, module)
    conv, norm = L.Conv1D(3, 2, padding="causal", name="conv"), L.BatchNormalization(epsilon=1e-5, name="norm")
    model = jm.Sequential([jm.Input((None, 4)), L.Dense(6, name="dense"), conv, norm])
    modules = {"layers/0": "dense", "layers/1": "conv", "layers/2": "norm"}
    found = jm.flax.from_nnx(model, module, modules)
    check_rows(model, found, x, module)
    zeros = nnx.clone(module)
    nnx.update(zeros, jax.tree.map(jnp.zeros_like, nnx.state(zeros)))
    nnx.update(zeros, jm.flax.nnx_state(zeros, model, *found, modules))
    same(nnx.to_pure_dict(nnx.state(zeros)), nnx.to_pure_dict(nnx.state(module)))


def test_arrays_with_names_of_axes_keep_them():
    kernel = linen.with_partitioning(linen.initializers.ones, ("in", "out"))
    variables = linen.Dense(3, kernel_init=kernel).init(jax.random.key(0), jnp.ones((2, 4)))
    params, _ = jm.flax.from_linen(L.Dense(3), variables)
    assert params["kernel"].shape == (4, 3)
    assert jm.flax.linen_variables(variables, L.Dense(3), params)["params"]["kernel"].names == ("in", "out")


KERNEL, BIAS = np.ones((4, 3), np.float32), np.ones(3, np.float32)
DENSE = {"params": {"Dense_0": {"kernel": KERNEL, "bias": BIAS}}}
LSTM = linen_rnn("LSTMCell", 1).init(jax.random.key(0), KERNEL[None])
MGU = linen.RNN(linen.MGUCell(3)).init(jax.random.key(0), KERNEL[None])
HEAD = jm.Sequential([jm.Input((None, 4)), L.Dense(3, name="head")])


@pytest.mark.parametrize(
    ("model", "variables", "modules", "text"),
    [
        (
            HEAD,
            DENSE,
            None,
            r"`from_linen`: head \(Dense\) needs 'head/kernel'; .* but Dense_0/bias.*`modules={",
        ),
        (HEAD, DENSE, {"Dense_0": "tail"}, "there is no layer 'tail' for 'Dense_0'; there are 'head'"),
        (L.Dense(3, use_bias=False), DENSE, {"Dense_0": ""}, "no layer takes Dense_0/bias"),
        (L.Dense(2), {"params": {}, "cache": {}}, None, r"there are \['cache'\] as well\. Leave them out"),
        (L.GRU(3), LSTM, None, r"the layer \(GRU\) needs 'cell/hr/kernel'; .*It takes a `GRUCell`"),
        (L.LSTM(3), MGU, None, r"needs 'cell/hi/kernel'.* such as `MGUCell`.*`jm\.layers\.PerSequence\(module\)`"),
        (L.LSTM(3, use_bias=False), LSTM, None, r"the cell has a bias, and the layer has not\. Pass `use_bias=True`"),
        (L.GRU(3, reset_after=False), LSTM, None, r"Flax' GRU after it\. Pass `reset_after=True`"),
    ],
)
def test_what_does_not_fit_is_refused(model, variables, modules, text):
    with pytest.raises(ValueError, match=text):
        jm.flax.from_linen(model, variables, modules)


@pytest.mark.parametrize(
    ("cell", "layer", "options", "text"),
    [
        ("OptimizedLSTMCell", L.GRU(3), {}, "needs kernels of 3, and the cell has 4 in one. It takes a `GRUCell`"),
        (
            "LSTMCell",
            L.LSTM(3),
            {"activation_fn": nnx.relu},
            "has activation='tanh', and the module 'RNN' has activation_fn",
        ),
        ("GRUCell", L.GRU(3), {"gate_fn": nnx.hard_sigmoid}, "has recurrent_activation='sigmoid', .* has gate_fn=<"),
        ("SimpleCell", L.SimpleRNN(3), {"residual": True}, "the module 'RNN' has residual=True"),
        ("LSTMCell", L.LSTM(3, go_backwards=True), {}, "has go_backwards=True, and the module 'RNN' has reverse=False"),
    ],
)
def test_another_cell_of_nnx_is_refused(cell, layer, options, text):
    with pytest.raises(ValueError, match=text):
        jm.flax.from_nnx(layer, nnx_rnn(cell, 1, **options))


def test_other_options_of_nnx_are_refused():
    rngs = nnx.Rngs(0)
    with pytest.raises(ValueError, match=r"has epsilon=0\.001, and the module 'LayerNorm' has epsilon=1e-06"):
        jm.flax.from_nnx(L.LayerNormalization(), nnx.LayerNorm(4, rngs=rngs))
    with pytest.raises(ValueError, match="has padding='valid', and the module 'Conv' has padding='SAME'"):
        jm.flax.from_nnx(L.Conv1D(3, 2), nnx.Conv(4, 3, (2,), rngs=rngs))
    for option in ("keep_order", "time_major"):
        rnn = nnx.RNN(nnx.LSTMCell(4, 3, rngs=rngs), reverse=True, **{option: True})
        with pytest.raises(ValueError, match=f"and the module 'RNN' has {option}=True"):
            jm.flax.from_nnx(L.LSTM(3, go_backwards=True), rnn)
    norm = nnx.LayerNorm(4, reduction_axes=(1, 2), epsilon=1e-3, rngs=rngs)
    with pytest.raises(ValueError, match=r"and the module 'LayerNorm' has reduction_axes=\(1, 2\)"):
        jm.flax.from_nnx(L.LayerNormalization(), norm)
    groups = nnx.GroupNorm(6, num_groups=2, epsilon=1e-3, rngs=rngs)
    with pytest.raises(ValueError, match="has groups=3, and the module 'GroupNorm' has num_groups=2"):
        jm.flax.from_nnx(L.GroupNormalization(3), groups)
    with pytest.warns(UserWarning, match=r"`from_linen`: .*epsilon=0\.001 .* Flax adds 1e-06"):
        jm.flax.from_linen(L.LayerNormalization(), {"params": {"scale": BIAS, "bias": BIAS}})


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: jm.flax.from_linen(L.Dense(3), [KERNEL]), "as `module.init` returns; received a list"),
        (lambda: jm.flax.from_linen(L.Dense(3), DENSE["params"]), r"received \['Dense_0'\].*pass `{'params': params}`"),
        (
            lambda: jm.flax.from_nnx(L.Dense(3), DENSE),
            "has modules and states; received a dict. `from_linen`",
        ),
        (lambda: jm.flax.from_linen(len, DENSE), "take a layer or a model of jmask first"),
        (
            lambda: jm.flax.linen_variables(DENSE, HEAD, ({}, {})),
            r"`jm\.flax\.linen_variables\(variables, model, params, state\)`",
        ),
    ],
)
def test_arguments_of_another_kind_are_refused(call, text):
    with pytest.raises(TypeError, match=text):
        call()


def test_what_flax_cannot_hold_is_refused():
    params = {"kernel": np.ones((4, 9)), "recurrent_kernel": np.ones((3, 9)), "bias": np.ones((2, 9))}
    with pytest.raises(ValueError, match=r"`nnx_state`: .*which `nnx\.GRUCell` has not\. `linen\.GRUCell` has it"):
        jm.flax.nnx_state(nnx_rnn("GRUCell", 1), L.GRU(3), params)
    with pytest.raises(ValueError, match=r"'Dense_0/bias' has shape none in the model, and \(3,\) in the module"):
        jm.flax.linen_variables(DENSE, HEAD, {"head": {"kernel": KERNEL}}, None, {"Dense_0": "head"})
