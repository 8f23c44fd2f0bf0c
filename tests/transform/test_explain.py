"""What `jm.explain` prints, and what `jm.is_pointwise` proves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmask as jm
from tests.support.one_sequence.functions import (
    CONTROL,
    CUMULATIVE,
    ELEMENTWISE,
    INDEXING,
    MOVING,
    REDUCTIONS,
    WINDOWS,
    params,
)

VECTORS = jm.Input((None, 3))


def test_explain_names_the_equations_that_mix_steps(capsys):
    def normalise(x):
        return jax.jit(lambda x: jnp.flip(x, 0))(x) - x.mean(0)

    jm.explain(normalise, VECTORS)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "normalise(float32[time,3])"
    assert lines[-1] == "returns float32[time,3]; it mixes steps"
    by_name = {line.split()[0]: line for line in lines[1:-1]}
    assert by_name["rev"].startswith("    "), "within a call"
    for name, effect in {"rev": "reverses time", "reduce_sum": "reduces over time", "sub": "pointwise"}.items():
        assert effect in by_name[name]
    assert "takes time as a number" in by_name["dim_as_value"]
    assert "test_explain.py" in by_name["sub"]


def test_specs():
    example = jm.from_lengths(jnp.ones((2, 4, 3)), [1, 4])
    weights = jax.ShapeDtypeStruct((3, 2), jnp.float32)
    assert jm.is_pointwise(jnp.matmul, example, weights)
    assert not jm.is_pointwise(lambda q, k: q @ k.T, jm.Input(("q", 3)), jm.Input(("k", 3)))
    assert jm.is_pointwise(lambda q, k: q + k, jm.Input(("t", 3)), jm.Input(("t", 3)))
    with pytest.raises(jm.SymbolicLengthError):
        jm.is_pointwise(lambda x: x if x.shape[0] > 3 else -x, VECTORS)


POINTWISE = {
    **{name: case for name, case in ELEMENTWISE.items() if name != "dense without positions"},
    **{name: REDUCTIONS[name] for name in ("mean over features",)},
    **{name: MOVING[name] for name in ("expand",)},
    **{name: INDEXING[name] for name in ("embedding", "one feature", "top_k of features")},
    **{name: CONTROL[name] for name in ("vmap inside", "jvp inside")},
}
MIXING = {
    name: case
    for table in (REDUCTIONS, CUMULATIVE, MOVING, INDEXING, WINDOWS, CONTROL)
    for name, case in table.items()
    if name not in POINTWISE
}


def is_proved(case):
    w = params()
    spec = jm.Input((None, *case.step), case.dtype)
    return jm.is_pointwise(lambda x: case.fn(w, x), spec)


@pytest.mark.parametrize("name", POINTWISE)
def test_pointwise_functions_are_proved_so(name):
    assert is_proved(POINTWISE[name])


@pytest.mark.parametrize("name", [name for name, case in MIXING.items() if not case.all_constraints])
def test_others_are_not(name):
    assert not is_proved(MIXING[name])


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: jnp.diagonal(x[:, None, 0] * x[None, :, 0] + 0 * x[:, :1]),
        lambda x: lax.conv_general_dilated(
            x[None], jnp.ones((1, 3, 3)), (2,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
        )[0],
        lambda x: x * jax.random.normal(jax.random.key(0), x.shape),
        lambda x: jax.ops.segment_sum(x, (x[:, 0] > 0).astype(int), 2)[(x[:, 0] > 0).astype(int)],
        lambda x: jnp.zeros((2, 3)),
        lambda x: x.T,
    ],
    ids=["diagonal", "strided", "random", "segments", "constant", "transposed"],
)
def test_what_looks_pointwise_but_is_not(fn):
    assert not jm.is_pointwise(fn, VECTORS)


def test_lambda_passes_its_mask_where_that_is_proved():
    x = jm.from_lengths(jnp.ones((2, 4, 3)), [1, 4])
    w = jnp.ones((3, 5))
    result = jm.layers.Lambda(lambda v: jax.nn.gelu(v @ w), supports_masking="auto")(x)
    assert result.mask is x.mask
    for fn in (lambda v: v - v.mean(1, keepdims=True), lambda v: v - v.mean(0), lambda v: v.swapaxes(0, 1)):
        layer = jm.layers.Lambda(fn, supports_masking="auto")
        with pytest.warns(jm.MaskDroppedWarning, match="cannot be proved to treat every step alone"):
            assert not isinstance(layer(x), jm.Masked)
        with jm.strict(), pytest.raises(jm.MaskDroppedError):
            layer(x)


def test_a_layer_of_ones_own_passes_its_mask_where_that_is_proved():
    class Affine(jm.Layer):
        supports_masking = "auto"

        centre: bool = False

        def init(self, key, x):
            return {"w": jnp.ones((x.shape[-1], 2))}

        def call(self, params, x):
            return (x - x.mean(1, keepdims=True) if self.centre else x) @ params["w"]

    x = jm.from_lengths(jnp.ones((2, 4, 3)), [1, 4])
    layer = Affine()
    params = layer.init(jax.random.key(0), x)
    result = jax.jit(layer.apply)(params, x)
    assert result.lengths.tolist() == [1, 4]
    assert layer.compute_mask(x) is not None
    node = (
        Affine()(jm.Masked(jm.Input((None, 3)), None)) if False else Affine()(jm.layers.Masking()(jm.Input((None, 3))))
    )
    assert node.edge is not None
    with pytest.warns(jm.MaskDroppedWarning):
        Affine(centre=True).apply(params, x)


def test_masks_of_documents():
    docs = jm.masked(jnp.ones((2, 3, 4, 5)), np.ones((2, 3, 4), bool))
    assert isinstance(jm.layers.Lambda(jnp.tanh, supports_masking="auto")(docs), jm.Masked)
    with pytest.warns(jm.MaskDroppedWarning):
        jm.layers.Lambda(lambda v: jnp.cumsum(v, 1), supports_masking="auto")(docs)
