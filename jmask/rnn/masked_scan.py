"""The masked scan: a cell over the real steps of every sequence."""

import functools
from collections.abc import Callable
from typing import Any, Literal, TypedDict, Unpack, overload

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike

from ..core.masked import Masked, fill, is_masked, like, mask_of, segment_ids_of
from ..core.programs import run_kept
from .cells import Cell


class _Options(TypedDict, total=False):
    initial_state: Any
    constants: Any
    reverse: bool
    unroll: int


@overload
def scan(
    cell: Cell, params: Any, x: Masked, *, return_state: Literal[True] = True, **options: Unpack[_Options]
) -> tuple[Masked, Any]: ...
@overload
def scan(
    cell: Cell, params: Any, x: Masked, *, return_state: Literal[False], **options: Unpack[_Options]
) -> Masked: ...
@overload
def scan(
    cell: Cell, params: Any, x: ArrayLike, *, return_state: Literal[True] = True, **options: Unpack[_Options]
) -> tuple[Array, Any]: ...
@overload
def scan(
    cell: Cell, params: Any, x: ArrayLike, *, return_state: Literal[False], **options: Unpack[_Options]
) -> Array: ...
def scan(
    cell: Cell,
    params: Any,
    x: Masked | ArrayLike,
    *,
    initial_state: Any = None,
    constants: Any = None,
    reverse: bool = False,
    return_state: bool = True,
    unroll: int = 1,
) -> Any:
    """Runs a cell over every sequence of a batch; a padded step leaves the state unchanged.

    In packed rows every sequence begins with the cell's initial state, in both directions.

    Args:
        cell: an object with `step` and `initial_state`, as `jm.rnn.Cell` describes them.
        params: the cell's parameters, a pytree that is passed to `step` unchanged.
        x: values `(batch, time, ...)` with a mask `(batch, time)`, or an array, which has no padding.
        initial_state: the state before the first step, a pytree of arrays or `Masked` `(batch, ...)`; in empty rows of
            a `Masked` it is 0. None: the cell's own. Not supported for packed rows.
        constants: what every step of a row sees in addition to its inputs, such as the sequence that a decoder attends
            to: a pytree of arrays or `Masked` `(batch, ...)`. `step` receives those of its row as `constants=`. None:
            no such argument. Not supported for packed rows.
        reverse: whether to run from the last real step to the first; outputs stay at the steps they belong to.
        return_state: whether to return the final state as well.
        unroll: how many steps one iteration of the compiled loop runs; results do not change.

    Returns:
        `(outputs, state)`, or without `return_state` only the outputs. The outputs `(batch, time, ...)` have the mask
        of `x` and are 0 at padded steps; if `step` returns a pytree, this holds for all its leaves. The state is the
        one after the last real step of each row, arrays `(batch, ...)`; in packed rows, after the sequence that comes
        last in the direction of the scan. An empty row has outputs 0 and keeps its initial state; it passes a gradient
        only to that state.

    Raises:
        ValueError: the values lack a batch or time axis, the mask is not `(batch, time)`, the constants do not begin
            with the batch axis, or packed rows have an initial state or constants.

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
    """`jm.rnn.scan` with `factors`, a pytree of `(batch, ...)`; each step gets those of its row as last argument."""
    values, mask, segment_ids = checked_batch(x)
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
        """Shows the cell at a padded step the last real step, or ones, so that it computes finite numbers."""
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
    return jax.tree.map(functools.partial(like, x), outputs), state


def checked_batch(x: Any) -> tuple[Any, Any, Any]:
    """The zero-filled values, the mask and the segment ids of a batch of sequences; None for what it lacks."""
    values, mask = fill(x), mask_of(x)
    if values.ndim < 2 or (mask is not None and mask.ndim != 2):
        remedy = ""
        if mask is not None and mask.ndim > 2:
            remedy = " A step is real or padding as a whole: where steps are sequences, use `jm.layers.TimeDistributed`"
            remedy += "; where a part of a step is padding, `jm.masked(x.fill(0), x.mask.any(-1))`."
        raise ValueError(
            "A recurrent layer runs over values (batch, time, ...) with a mask (batch, time); received values "
            f"{tuple(x.shape)}" + (f" with mask {tuple(mask.shape)}." if mask is not None else ".") + remedy
        )
    return values, mask, segment_ids_of(x)


def _check_constants(constants: Any, rows: Any) -> None:
    """Raises unless the first axis of all constants is that of the rows."""
    for leaf in jax.tree.leaves(constants):
        if jnp.ndim(leaf) == 0 or jnp.shape(leaf)[0] != rows:
            raise ValueError(
                f"`constants` hold one for each of the {rows} rows, along their first axis; received an array of shape "
                f"{jnp.shape(leaf)}. What all rows share belongs in `params`, or to the cell."
            )


def refuse_state_of_packed_rows(x: Any, initial_state: Any, constants: Any = None) -> None:
    """Raises if packed rows have an initial state or constants, which are for one sequence per row."""
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
    """An initial state as arrays; a `Masked` in it, such as one that a layer returned, is filled with zeros."""

    def array_of(leaf: Any) -> Any:
        return leaf.fill(0) if isinstance(leaf, Masked) else leaf

    return jax.tree.map(array_of, state, is_leaf=is_masked)


def over_rows(state: Any, values: Any) -> Any:
    """The same state for every row, derived from the values so that it is sharded like them."""
    zero = jnp.zeros_like(values).sum(axis=tuple(range(1, values.ndim)))  # (batch,)

    def repeat(leaf: Any) -> Any:
        leaf = jnp.asarray(leaf)
        return leaf[None] + zero.reshape(-1, *(1,) * leaf.ndim).astype(leaf.dtype)

    return jax.tree.map(repeat, state)


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
    """One `jax.lax.scan` per row, vmapped: this works on every supported JAX version, under Auto and Explicit meshes.

    Args:
        step: `(of_row, state, inputs) -> (state, output)`.
        inputs: a pytree of `(batch, time, ...)`, with ordinary numbers at padded steps.
        mask: `(batch, time)`, or None.
        segment_ids: the ids `(batch, time)` of packed rows, or None.
        initial_state: a pytree of `(batch, ...)`.
        of_rows: a pytree of `(batch, ...)`, shared by all steps of a row, or None.
        reverse: whether to run from the last step to the first.
        unroll: as in `jax.lax.scan`.

    Returns:
        The outputs, and the state after the last real step.
    """

    def scan_row(inputs: Any, mask: Any, segment_ids: Any, initial: Any, of_row: Any) -> tuple[Any, Any]:
        row_step, carry = functools.partial(step, of_row), initial
        if segment_ids is not None:
            row_step, inputs = _from_initial_state(row_step, initial), (inputs, segment_ids)
            carry = (
                initial,
                segment_ids.sum(dtype=segment_ids.dtype) * 0,
            )  # the id of no sequence, laid out as the others
        if mask is not None:
            row_step, inputs = _at_real_steps(row_step, lax.stop_gradient(carry)), (inputs, mask)
        carry, outputs = lax.scan(row_step, carry, inputs, reverse=reverse, unroll=unroll)
        return outputs, carry if segment_ids is None else carry[0]

    return jax.vmap(scan_row)(inputs, mask, segment_ids, initial_state, of_rows)


def _at_real_steps(step: Callable, initial: Any) -> Callable:
    """A step that keeps the state and returns 0 where the step is padding, and passes no gradient there.

    There, the cell runs from the initial state: the last state may have grown, and the cell could overflow.
    """

    def masked_step(state: Any, inputs: tuple[Any, Any]) -> tuple[Any, Any]:
        values, is_real = inputs
        seen = jax.tree.map(lambda old, first: jnp.where(is_real, old, first), state, initial)
        new_state, output = step(seen, values)
        new_state = jax.tree.map(lambda new, old: jnp.where(is_real, new, old), new_state, state)
        return new_state, jax.tree.map(lambda y: jnp.where(is_real, y, jnp.zeros((), y.dtype)), output)

    return masked_step


def _from_initial_state(step: Callable, initial: Any) -> Callable:
    """A step from the initial state where its id differs from that of the real step before it."""

    def packed_step(carry: tuple[Any, Any], inputs: tuple[Any, Any]) -> tuple[Any, Any]:
        (state, last_segment), (values, segment) = carry, inputs
        continues = segment == last_segment
        state = jax.tree.map(lambda old, first: jnp.where(continues, old, first), state, initial)
        state, output = step(state, values)
        return (state, segment), output

    return packed_step
