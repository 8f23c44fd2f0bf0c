"""The fused engine: standard cells over the rows of a batch, with a derivative of their own.

`recur` is what the rest of jmask calls. This file defines how it is differentiated (once by the backward pass, any
further time through a reference that JAX differentiates) and how it is vmapped: the rows of all examples become the
rows of one batch.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from ...core.automatic_axes import divides_rows
from ...core.row_batching import all_batched, fold, folds_rows, is_any, map_examples, unfold
from .backward import sum_terms
from .cells import Weights
from .layout import State
from .passes import Options, Rows, recomputes, run_backward, run_forward
from .residuals import Residuals, by_row, of_batch, slots_per_row


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
    run = divides_rows(lambda rows, weights: (run_forward(options, rows, weights)[:2], ()))
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
    return _run_and_save(options, per_row, saves_steps=not recomputes(options, count * per_row, units))


@functools.cache
def _run_and_save(options: Options, per_row: int, *, saves_steps: bool) -> Callable:
    def run(rows: Rows, weights: Weights) -> Any:
        outputs, state, residuals = run_forward(options, rows, weights, saves=True, saves_steps=saves_steps)
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
        gradients = run_backward(options, rows, outputs, of_batch(residuals), cotangents, weights)
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
        saves_steps = not recomputes(options, count * time, units)
        outputs, _, residuals = run_forward(options, rows, weights, saves=True, saves_steps=saves_steps)
        gradients = run_backward(options, rows, outputs, residuals, cotangents, weights, by_step=True)
        x = rows.inputs if rows.mask is None else jnp.where(rows.mask[..., None], rows.inputs, 0)
        return (gradients.inputs, gradients.initial, x, gradients.weights), ()

    return folds_rows(lambda of_rows, weights: run(of_rows, weights)[0])
