"""Attention block by block, with a derivative of its own.

`attend` is what `jm.ops.attention` calls. This file defines how it is differentiated (once by the backward pass, any
further time through attention of all queries to all keys, which JAX differentiates) and how it is vmapped: the rows of
all examples become the rows of one batch.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ...core.automatic_axes import divides_rows
from ...core.row_batching import folds_rows
from ..dense_attention import dot_products, weigh, weighted_mean
from .backward import backward
from .forward import forward
from .rows import AttentionOptions, AttentionRows, StepLabels, sees, sides_of


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def attend(options: AttentionOptions, rows: AttentionRows, weights: tuple[()] = ()) -> Any:
    """Attention of the rows of a batch.

    Args:
        options: what is known when the program is traced.
        rows: one or more rows with one or more queries and keys.
        weights: nothing; all that the engine takes is by row.

    Returns:
        The means of the values, `(rows, queries, heads, value_features)`, float32 at least; 0 at padded steps.
    """
    return _run(options)(rows, weights)[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attend_saving(options: AttentionOptions, rows: AttentionRows) -> Any:
    """Both results of `forward`."""
    return _run(options)(rows, ())


def _forward_rule(options: AttentionOptions, rows: AttentionRows, _: tuple[()]) -> Any:
    saving: Any = _attend_saving
    out, log_sums = saving(options, rows)
    return out, (rows, out, log_sums)


def _saving_forward_rule(options: AttentionOptions, rows: AttentionRows) -> Any:
    saving: Any = _attend_saving
    out, log_sums = saving(options, rows)
    return (out, log_sums), (rows, out, log_sums)


def _backward_rule(options: AttentionOptions, saved: Any, dout: Any) -> Any:
    pull_back: Any = _pull_back
    return AttentionRows(*pull_back(options, *saved, dout)), ()


def _saving_backward_rule(options: AttentionOptions, saved: Any, cotangents: Any) -> Any:
    """The sums follow from the rest, and pass nothing on."""
    return _backward_rule(options, saved, cotangents[0])[:1]


attend.defvjp(_forward_rule, _backward_rule)
_attend_saving.defvjp(_saving_forward_rule, _saving_backward_rule)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _pull_back(options: AttentionOptions, rows: AttentionRows, out: Any, log_sums: Any, dout: Any) -> Any:
    """Gradients of query, key and value."""
    return _run_back(options)((rows, out, log_sums, dout), ())


def _pull_back_forward_rule(options: AttentionOptions, rows: AttentionRows, out: Any, log_sums: Any, dout: Any) -> Any:
    pull_back: Any = _pull_back
    return pull_back(options, rows, out, log_sums, dout), (rows, dout)


def _pull_back_backward_rule(options: AttentionOptions, saved: Any, tangents: Any) -> Any:
    """The second derivative. The results of the forward pass follow from the rows, and pass nothing on."""
    rows, dout = saved

    def gradients(values: Any, dout: Any) -> Any:
        return jax.vjp(lambda *values: attend_densely(options, rows._replace(**_named(values))), *values)[1](dout)

    _, pull_back = jax.vjp(gradients, tuple(rows[:3]), dout)
    values, dout = pull_back(tangents)
    return AttentionRows(*values), None, None, dout


_pull_back.defvjp(_pull_back_forward_rule, _pull_back_backward_rule)


def attend_densely(options: AttentionOptions, rows: AttentionRows) -> Any:
    """The same as `attend`, which JAX can differentiate any number of times; it needs memory for all scores."""
    queries, keys = sides_of(options, rows)
    dtype = jnp.promote_types(jnp.result_type(*rows[:3]), jnp.float32)

    def filled(x: Any, steps: StepLabels) -> Any:
        return jnp.where((steps.ids > 0)[..., None, None], x, 0).astype(dtype)

    q, k, v = filled(rows.query, queries), filled(rows.key, keys), filled(rows.value, keys)
    column, row = jax.tree.map(lambda x: x[:, None, :, None], queries), jax.tree.map(lambda x: x[:, None, None], keys)
    return weighted_mean(weigh(dot_products(q, k, options.scale), sees(options, column, row)), v)


def _named(values: Any) -> dict[str, Any]:
    return dict(zip(AttentionRows._fields, values, strict=False))


@functools.cache
def _run(options: AttentionOptions) -> Callable:
    """`(rows, ()) -> (out, log_sums)`."""
    run = divides_rows(lambda rows, _: (forward(options, rows), ()))
    return folds_rows(lambda *args: run(*args)[0])


@functools.cache
def _run_back(options: AttentionOptions) -> Callable:
    """`((rows, out, log_sums, dout), ()) -> gradients`."""
    run = divides_rows(lambda by_row, _: (backward(options, *by_row), ()))
    # Outside jit, a custom gradient would run operation by operation.
    return jax.jit(folds_rows(lambda *args: run(*args)[0]), inline=True)
