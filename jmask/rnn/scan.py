"""The masked scan: a cell over the real steps of every sequence."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ..masked import Masked
from .cells import Cell, LSTMParams, LSTMState, lstm_step


def scan(
    cell: Cell,
    params: Any,
    x: Any,
    *,
    initial_state: Any = None,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """Runs a cell over every sequence of a batch; a padded step leaves the state as it is.

    Args:
        cell: anything with `step` and `initial_state` as in `jm.rnn.Cell`.
        params: the cell's parameters.
        x: values `(batch, time, ...)` with a mask `(batch, time)`, or an array, which has no padding.
        initial_state: a pytree with a leading batch axis; the cell's own if None.
        reverse: from the last real step to the first; outputs stay at the steps they belong to.

    Returns:
        `(outputs, state)`: the outputs `(batch, time, ...)`, a `Masked` with the mask of `x` (an array for an array),
        zero at padded steps, and the state after the last real step of each sequence, `(batch, ...)`. An empty row
        has outputs 0 and keeps its initial state, to which alone it passes gradient.

    Raises:
        ValueError: values without batch and time axes, or a mask of another rank.

    >>> import jax.numpy as jnp, jmask as jm
    >>> class Count:
    ...     def initial_state(self, inputs):
    ...         return jnp.zeros(())
    ...     def step(self, params, state, inputs):
    ...         return state + 1, state + inputs
    >>> outputs, state = jm.rnn.scan(Count(), {}, jm.from_lengths(jnp.ones((2, 3)), [3, 1]))
    >>> outputs.fill(0).tolist(), state.tolist()
    ([[1.0, 2.0, 3.0], [1.0, 0.0, 0.0]], [3.0, 1.0])
    """
    values, mask = _split(x)
    if initial_state is None:
        step_spec = jax.ShapeDtypeStruct(values.shape[2:], values.dtype)
        initial_state = _batched(cell.initial_state(step_spec), values)
    if mask is None:
        return _scan_batch(functools.partial(cell.step, params), values, mask, initial_state, reverse)

    def step(carry: Any, inputs: Any) -> tuple[Any, Any]:
        """At a padded step the cell sees the real step before it, or ones: so it stays in its domain."""
        state, seen = carry
        step_values, is_real = inputs
        real = jnp.where(is_real, step_values, seen)
        state, output = cell.step(params, state, real)
        return (state, lax.stop_gradient(real)), output

    seen = jnp.ones_like(values[:, 0] if values.shape[1] != 0 else values.sum(axis=1))
    outputs, (state, _) = _scan_batch(step, (values, mask), mask, (initial_state, seen), reverse)
    return _masked_as(x, outputs), state


def lstm(
    params: LSTMParams,
    x: Any,
    *,
    initial_state: LSTMState | None = None,
    reverse: bool = False,
    activation: Callable = jnp.tanh,
    recurrent_activation: Callable = jax.nn.sigmoid,
) -> tuple[Any, LSTMState]:
    """An LSTM over every sequence of a batch; arguments, masks and empty rows as in `jm.rnn.scan`.

    The inputs of all steps are projected in one matrix product before the scan.

    Args:
        params: kernel `(features, 4 units)`, recurrent kernel `(units, 4 units)`, bias `(4 units,)` or None.
        x: values `(batch, time, features)` with a mask `(batch, time)`, or an array.
        initial_state: hidden and cell state, `(batch, units)` each; zeros if None.
        reverse: from the last real step to the first.
        activation: in the place of tanh.
        recurrent_activation: in the place of sigmoid.

    Returns:
        The hidden states `(batch, time, units)`, masked as `x`, and the final `LSTMState`.

    Raises:
        ValueError: as in `jm.rnn.scan`.

    >>> import jax.numpy as jnp, jmask as jm
    >>> params = jm.rnn.LSTMParams(jnp.ones((3, 8)), jnp.ones((2, 8)), jnp.zeros(8))
    >>> outputs, state = jm.rnn.lstm(params, jm.from_lengths(jnp.ones((4, 5, 3)), [5, 2, 0, 1]))
    >>> outputs.shape, state.cell.shape
    ((4, 5, 2), (4, 2))
    """
    values, mask = _split(x)
    if values.ndim != 3:
        raise ValueError(f"`lstm` takes values (batch, time, features); received {tuple(values.shape)}.")
    outputs, state = _lstm(params, values, mask, initial_state, reverse, activation, recurrent_activation)
    return _masked_as(x, outputs), state


@functools.partial(jax.jit, static_argnums=(4, 5, 6), inline=True)
def _lstm(
    params: LSTMParams,
    values: Any,
    mask: Any,
    initial_state: LSTMState | None,
    reverse: bool,
    activation: Callable,
    recurrent_activation: Callable,
) -> tuple[Any, LSTMState]:
    """Compiled, because a scan that is called eagerly would be compiled again at each call."""
    projected = values @ params.kernel
    projected = projected if params.bias is None else projected + params.bias
    dtype = jnp.result_type(projected.dtype, params.recurrent_kernel.dtype)
    if initial_state is None:
        units = params.recurrent_kernel.shape[0]
        no_steps = projected.shape[1] == 0
        zeros = _batched(jnp.zeros(units), projected) if no_steps else jnp.zeros_like(projected[:, 0, :units])
        initial_state = LSTMState(zeros, zeros)
    initial_state = LSTMState(*(jnp.asarray(part).astype(dtype) for part in initial_state))

    def step(state: LSTMState, inputs: Any) -> tuple[LSTMState, Any]:
        state = lstm_step(params.recurrent_kernel, state, inputs, activation, recurrent_activation)
        return state, state.hidden

    return _scan_batch(step, projected, mask, initial_state, reverse)


def _split(x: Any) -> tuple[Any, Any]:
    """Zero-filled values and the mask, or None, of a batch of sequences."""
    is_masked = isinstance(x, Masked)
    values = x.fill(0) if is_masked else x
    if values.ndim < 2 or (is_masked and x.mask.ndim != 2):
        raise ValueError(
            "A recurrent layer runs over values (batch, time, ...) with a mask (batch, time); received values "
            f"{tuple(x.shape)}" + (f" with mask {tuple(x.mask.shape)}." if is_masked else ".")
        )
    return values, x.mask if is_masked else None


def _batched(state: Any, values: Any) -> Any:
    """One state for every sequence, derived from the values so that it is sharded as they are."""
    zero = jnp.zeros_like(values).sum(axis=tuple(range(1, values.ndim)))  # (batch,)

    def repeat(leaf: Any) -> Any:
        leaf = jnp.asarray(leaf)
        return leaf + zero.reshape(-1, *(1,) * leaf.ndim).astype(leaf.dtype)

    return jax.tree.map(repeat, state)


def _masked_as(x: Any, outputs: Any) -> Any:
    """The outputs of every step under the mask of `x`, if it has one."""
    return jax.tree.map(x.with_values, outputs) if isinstance(x, Masked) else outputs


def _scan_batch(step: Callable, inputs: Any, mask: Any, state: Any, reverse: bool) -> tuple[Any, Any]:
    """One scan per sequence, vmapped: the same program on every JAX, under Auto and Explicit meshes."""
    if mask is None:
        return jax.vmap(functools.partial(_scan_row, step, reverse))(inputs, state)
    return jax.vmap(functools.partial(_scan_masked_row, step, reverse))(inputs, mask, state)


def _scan_row(step: Callable, reverse: bool, inputs: Any, state: Any) -> tuple[Any, Any]:
    state, outputs = lax.scan(step, state, inputs, reverse=reverse)
    return outputs, state


def _scan_masked_row(step: Callable, reverse: bool, inputs: Any, mask: Any, state: Any) -> tuple[Any, Any]:
    """At a padded step the new state and the output are thrown away, and with them their gradients."""

    def masked_step(state: Any, step_inputs: tuple[Any, Any]) -> tuple[Any, Any]:
        values, is_real = step_inputs
        new_state, output = step(state, values)
        new_state = jax.tree.map(lambda new, old: jnp.where(is_real, new, old), new_state, state)
        return new_state, jax.tree.map(lambda y: jnp.where(is_real, y, jnp.zeros((), y.dtype)), output)

    state, outputs = lax.scan(masked_step, state, (inputs, mask), reverse=reverse)
    return outputs, state
