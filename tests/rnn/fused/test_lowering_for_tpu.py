"""What recurrent layers become for a TPU, lowered on a CPU: none is at hand, but gathers in loops can be counted."""

import re
from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import jmask as jm

_PLACED_BY_INDEX = ("gather", "scatter", "dynamic_gather", "dynamic_scatter")


def lowered(layer: Any, x: Any) -> Counter[str]:
    """The operations of a gradient, in the program for a TPU."""
    params = layer.init(jax.random.key(0), x)

    def loss(params: Any, x: Any) -> Any:
        y = layer.apply(params, x)
        return (y.fill(0) if isinstance(y, jm.Masked) else y).sum()

    program = jax.jit(jax.grad(loss)).trace(params, x).lower(lowering_platforms=("tpu",))
    return Counter(re.findall(r"stablehlo\.(\w+)", program.as_text()))


@pytest.mark.parametrize("layer", [jm.layers.LSTM, jm.layers.GRU, jm.layers.SimpleRNN])
def test_a_scan_and_rows_without_padding_gather_nothing(layer):
    padded = jm.from_lengths(jnp.zeros((8, 16, 3)), [3, 16, 0, 7, 9, 1, 16, 2])
    scan = lowered(layer(4, return_sequences=True, implementation="scan"), padded)
    full = lowered(layer(4, return_sequences=True, implementation="xla"), padded.values)
    for found in (scan, full):
        assert found["while"] > 0
        assert not any(found[name] for name in _PLACED_BY_INDEX)
    lanes = lowered(layer(4, return_sequences=True, implementation="xla"), padded)
    assert lanes["gather"] > 0  # so that the words above are those of the program
