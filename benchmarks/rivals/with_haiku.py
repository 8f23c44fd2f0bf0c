"""Haiku: `hk.dynamic_unroll` over `hk.LSTM`.

The rows are right-padded, so that no real step comes after padding: it is enough, and fastest, to mask the outputs.
"""

from collections.abc import Iterator
from typing import Any

import haiku as hk
import jax.numpy as jnp

from .in_jax import JaxRival, compiled_rival, zero_padding
from .task import Rival, Task, Weights


def rivals_at(task: Task) -> Iterator[Rival]:
    if task.cell != "lstm":
        return
    units = task.workload.units

    def unroll(x: Any) -> Any:
        core = hk.LSTM(units)
        state = core.initial_state(len(x))
        return hk.dynamic_unroll(core, x, state, time_major=False, unroll=task.unroll)[0]

    layer = hk.without_apply_rng(hk.transform(unroll))

    def outputs(params: Any, x: Any, marks: Any) -> Any:
        return zero_padding(layer.apply(params, x), marks)

    yield compiled_rival(JaxRival("Haiku", _convert, outputs), task)


def _convert(weights: Weights) -> dict[str, Any]:
    """Gates in the order i, g, f, o; Haiku adds 1 to the bias of f at every call."""

    def reordered(gates: Any) -> Any:
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        return jnp.concatenate([i, g, f, o], axis=-1)

    kernel, recurrent_kernel, bias = map(reordered, weights)
    units = recurrent_kernel.shape[0]
    bias = bias.at[2 * units : 3 * units].add(-1)
    return {"lstm/linear": {"w": jnp.concatenate([kernel, recurrent_kernel]), "b": bias}}
