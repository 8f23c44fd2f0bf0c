"""Flax: `linen.RNN` and `nnx.RNN` over their fastest cells, given `seq_lengths`."""

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
from flax import linen, nnx

from .in_jax import JaxRival, compiled_rival, zero_padding
from .task import Rival, Task, Weights


def rivals_at(task: Task) -> Iterator[Rival]:
    yield compiled_rival(_linen(task), task)
    yield compiled_rival(_nnx(task), task)


def _linen(task: Task) -> JaxRival:
    cell = {"lstm": linen.OptimizedLSTMCell, "gru": linen.GRUCell}[task.cell](task.workload.units)
    layer = linen.RNN(cell, unroll=task.unroll)

    def outputs(params: Any, x: Any, marks: Any) -> Any:
        return zero_padding(layer.apply({"params": {"cell": params}}, x, seq_lengths=_lengths(marks)), marks)

    return JaxRival("Flax linen", _linen_lstm if task.cell == "lstm" else _linen_gru, outputs)


def _linen_lstm(weights: Weights) -> dict[str, Any]:
    kernels, recurrent_kernels, biases = (jnp.split(w, 4, axis=-1) for w in weights)
    inputs = {f"i{gate}": {"kernel": kernel} for gate, kernel in zip("ifgo", kernels, strict=True)}
    hidden = {
        f"h{gate}": {"kernel": kernel, "bias": bias}
        for gate, kernel, bias in zip("ifgo", recurrent_kernels, biases, strict=True)
    }
    return inputs | hidden


def _linen_gru(weights: Weights) -> dict[str, Any]:
    """The gates z and r add both biases up; the candidate n keeps them apart."""
    kernels, recurrent_kernels, biases = (jnp.split(w, 3, axis=-1) for w in weights)
    params: dict[str, Any] = {}
    for gate, kernel, recurrent_kernel, bias in zip("zrn", kernels, recurrent_kernels, biases, strict=True):
        params[f"i{gate}"] = {"kernel": kernel, "bias": bias[0] if gate == "n" else bias.sum(axis=0)}
        params[f"h{gate}"] = {"kernel": recurrent_kernel} | ({"bias": bias[1]} if gate == "n" else {})
    return params


def _nnx(task: Task) -> JaxRival:
    features, units = task.workload.features, task.workload.units
    make = {"lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell}[task.cell]
    cell = make(features, units, rngs=nnx.Rngs(0))
    graph, _ = nnx.split(nnx.RNN(cell, unroll=task.unroll, rngs=False))

    def outputs(params: Any, x: Any, marks: Any) -> Any:
        zeros = jnp.zeros((len(x), units), x.dtype)
        carry = (zeros, zeros) if task.cell == "lstm" else zeros
        layer = nnx.merge(graph, nnx.State({"cell": params}))
        return zero_padding(layer(x, initial_carry=carry, seq_lengths=_lengths(marks)), marks)

    if task.cell == "lstm":
        return JaxRival("Flax nnx", _nnx_lstm, outputs)
    return JaxRival("Flax nnx", _nnx_gru, outputs, lacks=("bias",))


def _nnx_lstm(weights: Weights) -> dict[str, Any]:
    return {
        "dense_i": {"kernel": weights.kernel},
        "dense_h": {"kernel": weights.recurrent_kernel, "bias": weights.bias},
    }


def _nnx_gru(weights: Weights) -> dict[str, Any]:
    """Gates in the order r, z, n. It has no recurrent bias: the two are one, which is exact where that of n is 0."""

    def reordered(gates: Any) -> Any:
        z, r, n = jnp.split(gates, 3, axis=-1)
        return jnp.concatenate([r, z, n], axis=-1)

    kernel, recurrent_kernel, bias = map(reordered, weights)
    return {"dense_i": {"kernel": kernel, "bias": bias.sum(axis=0)}, "dense_h": {"kernel": recurrent_kernel}}


def _lengths(marks: Any) -> Any:
    return None if marks is None else marks.sum(axis=1)
