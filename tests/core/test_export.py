"""Programs exported with a symbolic batch and time, recurrent layers too; needs the package `flatbuffers`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import jmask as jm
from jmask.testing import assert_close

pytest.importorskip("flatbuffers", reason="`jax.export` writes by it")

L = jm.layers
LAYERS = {
    "lstm": L.LSTM(4, return_sequences=True),
    "last gru": L.GRU(4, go_backwards=True),
    "bidirectional": L.Bidirectional(L.SimpleRNN(4)),
    "cell": L.RNN(L.LSTMCell(4)),
    "strides": L.Conv1D(4, 3, strides=2),
    "function": L.PerSequence(lambda x: x - x.mean(0)),
}


@pytest.mark.parametrize(
    "name", ["function", *(pytest.param(n, marks=pytest.mark.slow) for n in LAYERS if n != "function")]
)
def test_layers_export_with_symbolic_batch_and_time(name, getkey, rng):
    layer = LAYERS[name]
    params = layer.init(getkey(), jax.ShapeDtypeStruct((2, 5, 3), "float32"))

    def run(params, values, mask):
        return jax.tree.leaves(layer.apply(params, jm.Masked(values, mask)))

    batch, time = export.symbolic_shape("b, t")
    spec = jax.ShapeDtypeStruct((batch, time, 3), "float32"), jax.ShapeDtypeStruct((batch, time), bool)
    exported = export.deserialize(export.export(jax.jit(run))(params, *spec).serialize())
    for shape in ((4, 7), (1, 3)):
        values, mask = (
            rng.normal(size=(*shape, 3)).astype("float32"),
            np.arange(shape[1]) < rng.integers(1, 7, (*shape[:1], 1)),
        )
        jax.tree.map(
            assert_close, exported.call(params, values, mask), run(params, jnp.asarray(values), jnp.asarray(mask))
        )
