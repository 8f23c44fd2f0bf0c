"""Equinox: `equinox.nn.LSTMCell`, mapped over the batch, in a scan over time; the outputs are masked as for Haiku."""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .in_jax import JaxRival, compiled_rival, zero_padding
from .task import Rival, Task, Weights


def rivals_at(task: Task) -> Iterator[Rival]:
    if task.cell != "lstm":
        return
    features, units = task.workload.features, task.workload.units
    cell = eqx.nn.LSTMCell(features, units, key=jax.random.key(0))

    def convert(weights: Weights) -> Any:
        parts = (weights.kernel.T, weights.recurrent_kernel.T, weights.bias)
        return eqx.tree_at(lambda cell: (cell.weight_ih, cell.weight_hh, cell.bias), cell, parts)

    def outputs(params: Any, x: Any, marks: Any) -> Any:
        def step(state: Any, inputs: Any) -> tuple[Any, Any]:
            state = jax.vmap(params)(inputs, state)
            return state, state[0]

        zeros = jnp.zeros((len(x), units), x.dtype)
        hidden = jax.lax.scan(step, (zeros, zeros), x.swapaxes(0, 1), unroll=task.unroll)[1]
        return zero_padding(hidden.swapaxes(0, 1), marks)

    yield compiled_rival(JaxRival("Equinox", convert, outputs), task)
