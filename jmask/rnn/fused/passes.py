"""One forward or backward pass over a batch: its plan, its arrays in the order of the layout, and the results back."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .backward import Backward, Cotangents, Gradients
from .cells import FusedCell, Weights
from .forward import Forward, ForwardResiduals
from .layout import State
from .plan import LanePlan, make_plan, widths
from .residuals import Residuals
from .view import View

_MAX_RESIDUAL_BYTES = 2**24  # more than this is recomputed, which takes less time than writing and reading it


class Options(NamedTuple):
    """What is known when the program is traced.

    Attributes:
        cell: the recurrence.
        reference: `(rows, weights) -> (outputs, state)`, the same function, which JAX can differentiate any number of
            times.
        reverse: from the last step to the first.
        wants_state: whether to return the final state.
        remat: whether the backward pass recomputes the gates; None: if they are large.
    """

    cell: FusedCell
    reference: Callable[["Rows", Weights], Any]
    reverse: bool = False
    wants_state: bool = True
    remat: bool | None = None


class Rows(NamedTuple):
    """A batch: arrays whose first axis is that of the rows.

    Attributes:
        inputs: `(rows, time, features)`, anything at padded steps.
        mask: bool `(rows, time)`, or None: all steps are real.
        segment_ids: ids `(rows, time)` of sequences that share a row, or None.
        initial: the state before the first step, arrays `(rows, units)`, or None: zeros.
    """

    inputs: Any
    mask: Any
    segment_ids: Any
    initial: State | None


def run_forward(
    options: Options, rows: Rows, weights: Weights, *, saves: bool = False, saves_steps: bool = False
) -> tuple[Any, State | None, Any]:
    """Outputs, the final state or None, and `Residuals` or None."""
    units = weights.recurrent_kernel.shape[0]
    (count, time, _), plan, choices = rows.inputs.shape, None, _widths(rows, units)
    if rows.mask is not None:
        plan = make_plan(rows.mask, rows.segment_ids, reverse=options.reverse, choices=choices)
    view = View(count, time, plan, options.reverse, choices)
    inputs = view.flat(rows.inputs)

    what = _What(options.cell, count, time, choices, options.wants_state, saves, saves_steps)
    result = _compiled_forward(plan, weights, inputs, rows.initial, what)
    outputs = view.rows_of(result.outputs)
    state = (view.last(outputs), *result.cell_state) if options.wants_state else None
    residuals = Residuals(plan, result.residuals, jnp.zeros((), outputs.dtype)) if saves else None
    return outputs, state, residuals


def run_backward(
    options: Options,
    rows: Rows,
    outputs: Any,
    residuals: Residuals,
    cotangents: tuple[Any, State | None],
    weights: Weights,
    *,
    by_step: bool = False,
) -> Gradients:
    """Gradients, `(rows, ...)`; those of the weights are sums over the rows, or with `by_step` `Terms` of each row."""
    (count, time, _), choices = rows.inputs.shape, _widths(rows, weights.recurrent_kernel.shape[0])
    view = View(count, time, residuals.plan, options.reverse, choices)
    inputs, flat_outputs, incoming = map(view.flat, (rows.inputs, outputs, cotangents[0]))
    what = _What(options.cell, count, time, choices, by_step=by_step)
    forward = (inputs, rows.initial, flat_outputs, residuals.forward)
    gradients = _compiled_backward(residuals.plan, weights, *forward, Cotangents(incoming, cotangents[1]), what)
    by_weight = jax.tree.map(view.rows_of, gradients.weights) if by_step else gradients.weights
    inputs = view.rows_of(gradients.inputs) + residuals.nan_flag
    return Gradients(inputs.astype(rows.inputs.dtype), gradients.initial, by_weight)


class _What(NamedTuple):
    """What a run is to do, known when the program is traced; the attributes are those of `Forward` and `Backward`."""

    cell: FusedCell
    rows: int
    time: int
    widths: tuple[int, ...]
    wants_cell_state: bool = False
    saves: bool = False
    saves_step_residuals: bool = False
    by_step: bool = False


@functools.partial(jax.jit, static_argnames="what")  # traced and lowered once for both directions of a network
def _compiled_forward(plan: LanePlan | None, weights: Weights, inputs: Any, initial: State | None, what: _What) -> Any:
    given = (weights, inputs, initial, what.wants_cell_state, what.saves, what.saves_step_residuals)
    view = View(what.rows, what.time, plan, False, what.widths)
    return view.switch([Forward(what.cell, layout, *given).run for layout in view.layouts])


@functools.partial(jax.jit, static_argnames="what")
def _compiled_backward(
    plan: LanePlan | None,
    weights: Weights,
    inputs: Any,
    initial: State | None,
    outputs: Any,
    residuals: ForwardResiduals,
    cotangents: Cotangents,
    what: _What,
) -> Gradients:
    transposed = jax.tree.map(jnp.transpose, weights)
    given = (weights, inputs, initial, outputs, residuals, cotangents, transposed, what.by_step)
    view = View(what.rows, what.time, plan, False, what.widths)
    return view.switch([Backward(what.cell, layout, *given).run for layout in view.layouts])


def _widths(rows: Rows, units: int) -> tuple[int, ...]:
    return widths(rows.inputs.shape[0], units, rows.segment_ids is not None)


def recomputes(options: Options, slots: int, units: int) -> bool:
    """Whether the backward pass recomputes the residuals of steps."""
    num_bytes = 4 * slots * options.cell.num_residuals * units
    return num_bytes > _MAX_RESIDUAL_BYTES if options.remat is None else options.remat
