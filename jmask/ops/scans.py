"""Associative scans over flat lists of arrays: skipping padding, within packed sequences, over unknown lengths."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import export, lax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from ..core.arithmetic import expand
from ..core.segment_ids import sequence_starts

SCAN, COMBINE = "jmask_associative_scan", "jmask_combine"  # `jm.vmap` knows programs by these names

Combine = Callable[[Sequence[Any], Sequence[Any]], Sequence[Any]]


def segmented_scan(
    combine: Combine, arrays: Sequence[Any], *, axis: int, reverse: bool = False, mask: Any = None, ids: Any = None
) -> list[Any]:
    """`lax.associative_scan` of several arrays along the last axis of the mask.

    Args:
        combine: `combine(earlier, later)`, for arrays of any size along `axis`.
        arrays: what to combine, with one size along `axis`.
        axis: the axis to scan along.
        reverse: from the last step to the first.
        mask: the real steps; padding is skipped. None: all steps are real.
        ids: the segment ids of packed rows; sequences are kept apart.

    Returns:
        The arrays, at each real step all real steps up to it combined.
    """
    if export.is_symbolic_dim(arrays[0].shape[axis]):
        if mask is not None:
            raise NotImplementedError(
                "An associative scan over a mask of unknown length: within `jm.vmap` the sequence has no padding. Hand "
                "it the values, `x.values`."
            )
        return _over_unknown_length(combine, arrays, axis, reverse)
    if mask is None:
        return list(lax.associative_scan(combine, list(arrays), reverse=reverse, axis=axis))
    begins = jnp.zeros_like(mask) if ids is None else sequence_starts(mask, ids, reverse=reverse)
    flags = [expand(flag, max(x.ndim for x in arrays)) for flag in (mask, begins)]
    example = [_example(x, mask, axis) for x in arrays]
    filled = [jnp.where(expand(mask, x.ndim), x, some) for x, some in zip(arrays, example, strict=True)]

    def combine_real(left: list[Any], right: list[Any]) -> list[Any]:
        (is_real, has_begun, *before), (is_real_too, begins, *after) = left, right
        is_both = is_real & is_real_too & ~begins

        def where(flag: Any, x: Any, y: Any) -> Any:
            return jnp.where(flag.reshape(flag.shape[: x.ndim]), x, y)

        # Where the result is not wanted, `combine` gets a step that it sees anyway: its gradients are no worse there.
        safe = [[where(is_both, *pair) for pair in zip(x, example, strict=True)] for x in (before, after)]
        both = combine(*safe)
        either = [where(is_real_too, y, x) for x, y in zip(before, after, strict=True)]
        found = [where(is_both, *pair) for pair in zip(both, either, strict=True)]
        return [is_real | is_real_too, has_begun | begins, *found]

    return lax.associative_scan(combine_real, [*flags, *filled], reverse=reverse, axis=axis)[2:]


def _example(x: Any, mask: Any, axis: int) -> Any:
    """The first real step of each row, without a gradient; ones where there is none."""
    if x.shape[axis] == 0:
        return jnp.ones((), x.dtype)
    index = expand(jnp.argmax(mask, axis, keepdims=True), x.ndim)
    step = jnp.take_along_axis(lax.stop_gradient(x), index, axis, mode="clip")
    return jnp.where(expand(mask.any(axis, keepdims=True), x.ndim), step, jnp.ones((), x.dtype))


def _over_unknown_length(combine: Combine, arrays: Any, axis: int, reverse: bool) -> list[Any]:
    """The scan inside `jm.vmap`, step by step, which JAX can trace; `jm.vmap` runs it in parallel.

    Time comes first, in the order of the scan, and everything that `combine` closes over is an argument.
    """

    def turn(x: Any) -> Any:
        return jnp.flip(jnp.moveaxis(x, axis, 0), 0) if reverse else jnp.moveaxis(x, axis, 0)

    def of_steps(left: Sequence[Any], right: Sequence[Any]) -> list[Any]:
        places = [[jnp.expand_dims(x, axis) for x in side] for side in (left, right)]
        return [jnp.squeeze(x, axis) for x in combine(*places)]

    turned = [turn(x) for x in arrays]
    step = [jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for x in turned]
    program = jax.make_jaxpr(of_steps)(step, step)

    def combined(constants: Sequence[Any], left: Sequence[Any], right: Sequence[Any]) -> list[Any]:
        return jaxpr_as_fun(ClosedJaxpr(program.jaxpr, list(constants)))(*left, *right)

    combined.__name__ = COMBINE
    combined = jax.jit(combined)

    def sequential(constants: Sequence[Any], turned: Sequence[Any]) -> list[Any]:
        def step(carry: Any, now: Sequence[Any]) -> Any:
            is_first, before = carry
            before = [jnp.where(is_first, lax.stop_gradient(x), y) for x, y in zip(now, before, strict=True)]
            both = combined(constants, before, now)
            after = [jnp.where(is_first, x, y) for x, y in zip(now, both, strict=True)]
            return (jnp.zeros_like(is_first), after), after

        start = [jnp.zeros(x.shape[1:], x.dtype) for x in turned]
        return lax.scan(step, (jnp.ones((), bool), start), list(turned))[1]

    sequential.__name__ = SCAN
    found = jax.jit(sequential)(program.consts, turned)
    return [jnp.moveaxis(jnp.flip(x, 0) if reverse else x, 0, axis) for x in found]
