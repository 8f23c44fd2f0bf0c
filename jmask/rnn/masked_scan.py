"""The masked scan: a cell over the real steps of every sequence."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ..core.masked import Masked
from ..core.programs import run_kept
from .cells import Cell


def scan(
    cell: Cell,
    params: Any,
    x: Any,
    *,
    initial_state: Any = None,
    constants: Any = None,
    reverse: bool = False,
    return_state: bool = True,
    unroll: int = 1,
) -> Any:
    """Runs a cell over every sequence of a batch; a padded step leaves the state as it is.

    In packed rows every sequence begins with the cell's initial state, in both directions.

    Args:
        cell: anything with `step` and `initial_state` as in `jm.rnn.Cell`.
        params: the cell's parameters.
        x: values `(batch, time, ...)` with a mask `(batch, time)`, or an array, which has no padding.
        initial_state: a pytree with a leading batch axis, arrays or `Masked`, of which the values are taken, with
            zeros in rows that are none; the cell's own if None.
        constants: a pytree with a leading batch axis, arrays or `Masked`, what every step of a row sees besides its
            inputs, such as the sequence that a decoder attends to. If given, the cell's `step` takes those of its row
            by name, `constants=`.
        reverse: from the last real step to the first; outputs stay at the steps they belong to.
        return_state: whether the final state is returned besides.
        unroll: how many steps of the loop are written out in the program; it changes no result.

    Returns:
        `(outputs, state)`: the outputs `(batch, time, ...)`, a `Masked` with the mask of `x` (an array for an array),
        zero at padded steps, and the state after the last real step of each row, `(batch, ...)`; of packed rows, that
        of the sequence that comes last in the direction of the scan, as arrays without a mask. Without `return_state`,
        the outputs alone. An
        empty row has outputs 0 and keeps its initial state, to which alone it passes gradient.

    Raises:
        ValueError: values without batch and time axes, a mask of another rank, or an initial state or constants of
            packed rows.

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
    refuse_state_of_packed_rows(x, initial_state, constants)
    outputs, state = scan_cell(cell, params, x, initial_state, constants, reverse=reverse, unroll=unroll)
    return (outputs, state) if return_state else outputs


def scan_cell(
    cell: Any,
    params: Any,
    x: Any,
    initial_state: Any,
    constants: Any = None,
    *,
    reverse: bool,
    unroll: int = 1,
    factors: Any = None,
) -> tuple[Any, Any]:
    """`jm.rnn.scan`; of `factors`, a pytree of `(batch, ...)`, each row's own are the last argument of its steps."""
    values, mask, segment_ids = split(x)
    _check_constants(constants, values.shape[0])
    if initial_state is None:
        initial_state = cell.initial_state(jax.ShapeDtypeStruct(values.shape[2:], values.dtype))
        initial_state = over_rows(initial_state, values)
    initial_state = arrays_of_state(initial_state)

    def step(of_row: tuple[Any, Any], state: Any, inputs: Any) -> tuple[Any, Any]:
        factors_of_row, constants_of_row = of_row
        named = {} if constants is None else {"constants": constants_of_row}
        return cell.step(params, state, inputs, *(() if factors is None else (factors_of_row,)), **named)

    def guarded_step(of_row: Any, carry: Any, inputs: Any) -> tuple[Any, Any]:
        """At a padded step the cell sees the real step before it, or ones: so it stays in its domain."""
        state, seen = carry
        step_values, is_real = inputs
        real = jnp.where(is_real, step_values, seen)
        state, output = step(of_row, state, real)
        return (state, lax.stop_gradient(real)), output

    of_rows = (factors, constants)
    if mask is None:
        run = functools.partial(scan_rows, step, reverse=reverse, unroll=unroll)
        return run_kept(run, values, None, None, initial_state, of_rows)
    seen = jnp.ones_like(values[:, 0] if values.shape[1] != 0 else values.sum(axis=1))
    carry = (initial_state, seen)
    run = functools.partial(scan_rows, guarded_step, reverse=reverse, unroll=unroll)
    outputs, (state, _) = run_kept(run, (values, mask), mask, segment_ids, carry, of_rows)
    return masked_as(x, outputs), state


def split(x: Any) -> tuple[Any, Any, Any]:
    """Zero-filled values, the mask or None, and the ids of packed rows or None, of a batch of sequences."""
    is_masked = isinstance(x, Masked)
    values = x.fill(0) if is_masked else x
    if values.ndim < 2 or (is_masked and x.mask.ndim != 2):
        remedy = ""
        if is_masked and x.mask.ndim > 2:
            remedy = " A step is real or padding as a whole: where steps are sequences, use `jm.layers.TimeDistributed`"
            remedy += "; where a part of a step is padding, `jm.masked(x.fill(0), x.mask.any(-1))`."
        raise ValueError(
            "A recurrent layer runs over values (batch, time, ...) with a mask (batch, time); received values "
            f"{tuple(x.shape)}" + (f" with mask {tuple(x.mask.shape)}." if is_masked else ".") + remedy
        )
    return values, x.mask if is_masked else None, segment_ids_of(x)


def segment_ids_of(x: Any) -> Any:
    """The ids of packed rows, or None."""
    return x.segment_ids if isinstance(x, Masked) else None


def _check_constants(constants: Any, rows: Any) -> None:
    """Refuses constants that are not one for each row."""
    for leaf in jax.tree.leaves(constants):
        if jnp.ndim(leaf) == 0 or jnp.shape(leaf)[0] != rows:
            raise ValueError(
                f"`constants` hold one for each of the {rows} rows, along their first axis; received an array of shape "
                f"{jnp.shape(leaf)}. What all rows share belongs into `params`, or to the cell."
            )


def refuse_state_of_packed_rows(x: Any, initial_state: Any, constants: Any = None) -> None:
    """Refuses one state, or one set of constants, for a row of several sequences."""
    if constants is not None and segment_ids_of(x) is not None:
        raise ValueError(
            "`constants` are those of a row, but these rows are packed: each holds several sequences. Give each "
            "sequence a row of its own with `jm.unpack_batch`."
        )
    if initial_state is not None and segment_ids_of(x) is not None:
        raise ValueError(
            "`initial_state` is one state a row, but these rows are packed: each holds several sequences, and every "
            "sequence begins with the cell's own initial state. Leave `initial_state` out, or give each sequence a row "
            "of its own with `jm.unpack_batch`."
        )


def arrays_of_state(state: Any) -> Any:
    """The parts of an initial state as arrays, such as those that a layer gave: of a `Masked` zeros in empty rows."""

    def array_of(leaf: Any) -> Any:
        return leaf.fill(0) if isinstance(leaf, Masked) else leaf

    return jax.tree.map(array_of, state, is_leaf=lambda leaf: isinstance(leaf, Masked))


def over_rows(state: Any, values: Any) -> Any:
    """One state for every row, derived from the values so that it is sharded as they are."""
    zero = jnp.zeros_like(values).sum(axis=tuple(range(1, values.ndim)))  # (batch,)

    def repeat(leaf: Any) -> Any:
        leaf = jnp.asarray(leaf)
        return leaf[None] + zero.reshape(-1, *(1,) * leaf.ndim).astype(leaf.dtype)

    return jax.tree.map(repeat, state)


def masked_as(x: Any, outputs: Any) -> Any:
    """The outputs of every step under the mask of `x`, if it has one."""
    return jax.tree.map(x.with_values, outputs) if isinstance(x, Masked) else outputs


def scan_rows(
    step: Callable[..., tuple[Any, Any]],
    inputs: Any,
    mask: Any,
    segment_ids: Any,
    initial_state: Any,
    of_rows: Any = None,
    *,
    reverse: bool = False,
    unroll: int = 1,
) -> tuple[Any, Any]:
    """One scan a row, vmapped: the same program on every JAX, under Auto and Explicit meshes.

    Args:
        step: `(of_row, state, inputs) -> (state, output)`.
        inputs: a pytree of `(batch, time, ...)`, with ordinary numbers at padded steps.
        mask: `(batch, time)`, or None.
        segment_ids: the ids `(batch, time)` of packed rows, or None.
        initial_state: a pytree of `(batch, ...)`.
        of_rows: a pytree of `(batch, ...)`, what all steps of a row share, or None.
        reverse: from the last step to the first.
        unroll: as in `jax.lax.scan`.

    Returns:
        The outputs, and the state after the last real step.
    """

    def scan_row(inputs: Any, mask: Any, segment_ids: Any, initial: Any, of_row: Any) -> tuple[Any, Any]:
        row_step, carry = functools.partial(step, of_row), initial
        if segment_ids is not None:
            row_step, inputs = _from_initial_state(row_step, initial), (inputs, segment_ids)
            carry = (initial, jnp.zeros_like(segment_ids).sum(dtype=segment_ids.dtype))  # the id of no sequence
        if mask is not None:
            row_step, inputs = _at_real_steps(row_step, lax.stop_gradient(carry)), (inputs, mask)
        carry, outputs = lax.scan(row_step, carry, inputs, reverse=reverse, unroll=unroll)
        return outputs, carry if segment_ids is None else carry[0]

    return jax.vmap(scan_row)(inputs, mask, segment_ids, initial_state, of_rows)


def _at_real_steps(step: Callable, initial: Any) -> Callable:
    """At a padded step the new state and the output are thrown away, and with them their gradients.

    Such a step is one from the initial state: one more from the last state, which may have grown, could overflow.
    """

    def masked_step(state: Any, inputs: tuple[Any, Any]) -> tuple[Any, Any]:
        values, is_real = inputs
        seen = jax.tree.map(lambda old, first: jnp.where(is_real, old, first), state, initial)
        new_state, output = step(seen, values)
        new_state = jax.tree.map(lambda new, old: jnp.where(is_real, new, old), new_state, state)
        return new_state, jax.tree.map(lambda y: jnp.where(is_real, y, jnp.zeros((), y.dtype)), output)

    return masked_step


def _from_initial_state(step: Callable, initial: Any) -> Callable:
    """Where the id is not that of the real step before, in the direction of the scan, another sequence begins."""

    def packed_step(carry: tuple[Any, Any], inputs: tuple[Any, Any]) -> tuple[Any, Any]:
        (state, last_segment), (values, segment) = carry, inputs
        continues = segment == last_segment
        state = jax.tree.map(lambda old, first: jnp.where(continues, old, first), state, initial)
        state, output = step(state, values)
        return (state, segment), output

    return packed_step
