"""The fused engine: standard cells over the rows of a batch, with a derivative of their own.

`recur` is what the rest of jmask calls. This file defines how it is differentiated (once by the backward pass, any
further time through a reference that JAX differentiates) and how it is vmapped: the rows of all examples become the
rows of one batch.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from ...core.automatic_axes import divides_rows
from ...core.row_batching import all_batched, fold, folds_rows, is_any, map_examples, unfold
from .backward import Backward, Cotangents, Gradients, sum_terms
from .cells import FusedCell, Weights
from .forward import Forward, ForwardResiduals
from .layout import State
from .plan import Plan, make_plan, widths
from .residuals import Residuals, by_row, of_batch, slots_per_row
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


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def recur(options: Options, rows: Rows, weights: Weights) -> tuple[Any, State | None]:
    """Runs a standard cell over every row.

    Args:
        options: what is known when the program is traced.
        rows: one or more rows of one or more steps.
        weights: the parameters, of one dtype.

    Returns:
        Outputs `(rows, time, units)`, 0 at padded steps, and the state after each row's last step, arrays
        `(rows, units)`, or None if it is not wanted; that of an empty row is undefined. Both are float32 at least.
    """
    return _run(options)(rows, weights)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _recur_saving(options: Options, rows: Rows, weights: Weights) -> Any:
    """Outputs, the final state or None, and `Residuals`."""
    return _run_saving(options)(rows, weights)


def _recur_forward(options: Options, rows: Rows, weights: Weights) -> tuple[Any, Any]:
    saving: Any = _recur_saving
    outputs, state, residuals = saving(options, rows, weights)
    return (outputs, state), (rows, weights, outputs, residuals)


def _recur_saving_forward(options: Options, rows: Rows, weights: Weights) -> tuple[Any, Any]:
    saving: Any = _recur_saving
    outputs, state, residuals = saving(options, rows, weights)
    return (outputs, state, residuals), (rows, weights, outputs, residuals)


def _recur_backward(options: Options, saved: Any, cotangents: Any) -> tuple[Rows, Weights]:
    """Of `recur`, and of `_recur_saving`, whose residuals follow from the rest and pass nothing on."""
    pull_back: Any = _pull_back
    inputs, initial, weights = pull_back(options, *saved, cotangents[:2])
    return Rows(inputs, None, None, initial), weights


recur.defvjp(_recur_forward, _recur_backward)
_recur_saving.defvjp(_recur_saving_forward, _recur_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _pull_back(
    options: Options, rows: Rows, weights: Weights, outputs: Any, residuals: Residuals, cotangents: Any
) -> tuple[Any, State | None, Weights]:
    """Gradients of inputs, initial state and weights."""
    return _run_back(options)((rows, outputs, residuals, cotangents), weights)


def _pull_back_forward(
    options: Options, rows: Rows, weights: Weights, outputs: Any, residuals: Residuals, cotangents: Any
) -> tuple[Any, Any]:
    return _pull_back(options, rows, weights, outputs, residuals, cotangents), (rows, weights, cotangents)


def _pull_back_backward(options: Options, saved: Any, tangents: Any) -> tuple[Any, ...]:
    """The second derivative. Outputs and residuals follow from rows and weights, and pass nothing on."""
    rows, weights, cotangents = saved

    def gradients(inputs: Any, initial: Any, weights: Weights, cotangents: Any) -> Any:
        def function(inputs: Any, initial: Any, weights: Weights) -> Any:
            outputs, state = options.reference(rows._replace(inputs=inputs, initial=initial), weights)
            return outputs, state if options.wants_state else None

        return jax.vjp(function, inputs, initial, weights)[1](cotangents)

    _, pull_back = jax.vjp(gradients, rows.inputs, rows.initial, weights, cotangents)
    inputs, initial, weights, cotangents = pull_back(tangents)
    return Rows(inputs, None, None, initial), weights, None, None, cotangents


_pull_back.defvjp(_pull_back_forward, _pull_back_backward)


@functools.cache
def _run(options: Options) -> Callable:
    """`(rows, weights) -> (outputs, state)`."""
    run = divides_rows(lambda rows, weights: (_forward(options, rows, weights)[:2], ()))
    return folds_rows(lambda rows, weights: run(rows, weights)[0])


@functools.cache
def _run_saving(options: Options) -> Callable:
    """`(rows, weights) -> (outputs, state, residuals)`; vmapped, without residuals."""

    @custom_vmap
    def run(rows: Rows, weights: Weights) -> Any:
        return _saving(options, rows, weights)(rows, weights)[0]

    @run.def_vmap
    def rule(size: int, in_batched: Any, rows: Rows, weights: Weights) -> tuple[Any, Any]:
        if is_any(in_batched[1]):
            return map_examples(run, in_batched, rows, weights)
        outputs, state = unfold(size, _run(options)(fold(size, in_batched[0], rows), weights))
        one = jax.tree.map(lambda is_batched, leaf: leaf[0] if is_batched else leaf, in_batched[0], rows)
        residuals = jax.eval_shape(_saving(options, one, weights), one, weights)[0][2]
        residuals = jax.tree.map(lambda spec: jnp.zeros(spec.shape, spec.dtype), residuals)
        residuals = residuals._replace(nan_flag=residuals.nan_flag + jnp.nan)
        outputs, are_batched = all_batched((outputs, state))
        return (*outputs, residuals), (*are_batched, jax.tree.map(lambda _: False, residuals))

    return run


def _saving(options: Options, rows: Rows, weights: Weights) -> Callable:
    """`(rows, weights) -> ((outputs, state, residuals), ())`; what is saved does not depend on how rows are divided."""
    (count, time, _), units = rows.inputs.shape, weights.recurrent_kernel.shape[0]
    has = {"has_mask": rows.mask is not None, "are_packed": rows.segment_ids is not None}
    per_row = slots_per_row(count, time, units, **has)
    return _run_and_save(options, per_row, saves_steps=not _remat(options, count * per_row, units))


@functools.cache
def _run_and_save(options: Options, per_row: int, *, saves_steps: bool) -> Callable:
    def run(rows: Rows, weights: Weights) -> Any:
        outputs, state, residuals = _forward(options, rows, weights, saves=True, saves_steps=saves_steps)
        return (outputs, state, by_row(residuals, rows.inputs.shape[0], per_row)), ()

    return divides_rows(run)


@functools.cache
def _run_back(options: Options) -> Callable:
    """`((rows, outputs, residuals, cotangents), weights) -> (inputs, initial, weights)`: gradients.

    Vmapped, it runs forwards again over all rows, and every example gets its own gradients of the weights.
    """

    @divides_rows
    def run_back(of_rows: Any, weights: Weights) -> Any:
        rows, outputs, residuals, cotangents = of_rows
        gradients = _backward(options, rows, outputs, of_batch(residuals), cotangents, weights)
        return gradients[:2], gradients.weights

    @custom_vmap
    def run(of_rows: Any, weights: Weights) -> Any:
        (inputs, initial), by_weight = run_back(of_rows, weights)
        return inputs, initial, jax.tree.map(lambda g, w: g.astype(w.dtype), by_weight, weights)

    @run.def_vmap
    def rule(size: int, in_batched: Any, of_rows: Any, weights: Weights) -> tuple[Any, Any]:
        if is_any(in_batched[1]):
            return map_examples(run, in_batched, of_rows, weights)
        rows, _, _, cotangents = of_rows
        folded = fold(size, (in_batched[0][0], in_batched[0][3]), (rows, cotangents))
        inputs, initial, x, terms = unfold(size, _run_terms(options)(folded, weights))
        return all_batched((inputs, initial, jax.vmap(functools.partial(sum_terms, weights))(x, terms)))

    return jax.jit(run, inline=True)  # outside jit, a custom gradient would run operation by operation


@functools.cache
def _run_terms(options: Options) -> Callable:
    """`((rows, cotangents), weights) -> (inputs, initial, x, terms)`: gradients, those of the weights as `Terms`."""

    @divides_rows
    def run(of_rows: tuple[Rows, Any], weights: Weights) -> Any:
        rows, cotangents = of_rows
        (count, time, _), units = rows.inputs.shape, weights.recurrent_kernel.shape[0]
        saves_steps = not _remat(options, count * time, units)
        outputs, _, residuals = _forward(options, rows, weights, saves=True, saves_steps=saves_steps)
        gradients = _backward(options, rows, outputs, residuals, cotangents, weights, by_step=True)
        x = rows.inputs if rows.mask is None else jnp.where(rows.mask[..., None], rows.inputs, 0)
        return (gradients.inputs, gradients.initial, x, gradients.weights), ()

    return folds_rows(lambda of_rows, weights: run(of_rows, weights)[0])


def _forward(
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
    result = _run_forward(plan, weights, inputs, rows.initial, what)
    outputs = view.rows_of(result.outputs)
    state = (view.last(outputs), *result.cell_state) if options.wants_state else None
    residuals = Residuals(plan, result.residuals, jnp.zeros((), outputs.dtype)) if saves else None
    return outputs, state, residuals


def _backward(
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
    gradients = _run_backward(residuals.plan, weights, *forward, Cotangents(incoming, cotangents[1]), what)
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
def _run_forward(plan: Plan | None, weights: Weights, inputs: Any, initial: State | None, what: _What) -> Any:
    given = (weights, inputs, initial, what.wants_cell_state, what.saves, what.saves_step_residuals)
    view = View(what.rows, what.time, plan, False, what.widths)
    return view.switch([Forward(what.cell, layout, *given).run for layout in view.layouts])


@functools.partial(jax.jit, static_argnames="what")
def _run_backward(
    plan: Plan | None,
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


def _remat(options: Options, slots: int, units: int) -> bool:
    num_bytes = 4 * slots * options.cell.num_residuals * units
    return num_bytes > _MAX_RESIDUAL_BYTES if options.remat is None else options.remat
