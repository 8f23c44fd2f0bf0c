"""Functions and layers with a fault, the law that each breaks, and on which lengths and how it shows."""

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jmask as jm


def multiplies_by_the_mask(x: jm.Masked) -> Any:
    return (x.values * x.mask[..., None]).sum(axis=1)


def counts_padding_in_the_mean(x: jm.Masked) -> Any:
    return x.fill(0).mean(axis=1)


def counts_padding_in_the_loss(x: jm.Masked) -> Any:
    return jnp.square(x.fill(0)).mean()


def pools_all_rows(x: jm.Masked) -> Any:
    return x.fill(0).sum(axis=(0, 1))


def takes_the_last_column(x: jm.Masked) -> Any:
    return x.fill(0)[:, -1]


def counts_steps_from_the_padded_end(x: jm.Masked) -> Any:
    return x + jnp.arange(x.shape[1])[::-1, None]


def normalises_over_the_batch(x: jm.Masked) -> Any:
    return x - jm.ops.mean(x, axis=(0, 1))


def convolves_over_the_bias_of_padding(x: jm.Masked) -> Any:
    def plus_next(v: Any) -> Any:
        return v + jnp.pad(v[:, 1:], ((0, 0), (0, 1), (0, 0)))

    return x.with_values(plus_next(plus_next(x.fill(0)) + 1))


def removes_nan_only(x: jm.Masked) -> Any:
    return (jnp.where(jnp.isnan(x.values), 0, x.values) * x.mask[..., None]).sum(axis=1)


def guards_the_output_only(x: jm.Masked) -> Any:
    return jnp.where(x.mask[..., None], jnp.exp(x.values), 0).sum(axis=1)


def divides_by_a_count_of_zero(x: jm.Masked) -> Any:
    return x.fill(0).sum(axis=1) / x.mask.sum(axis=1, keepdims=True)


def adds_a_large_negative_number(x: jm.Masked) -> Any:
    weights = jax.nn.softmax(jnp.where(x.mask, x.fill(0)[..., 0], -1e9), axis=1)
    return jnp.square(weights).sum(axis=1)


def takes_padding_for_the_end(x: jm.Masked) -> Any:
    steps = jnp.arange(x.shape[1]) < x.lengths[:, None]
    return x.with_mask(steps).fill(0).sum(axis=1)


def takes_steps_for_neighbours(x: jm.Masked) -> Any:
    first = jnp.argmax(x.mask, axis=1, keepdims=True)
    steps = jnp.arange(x.shape[1])
    return jm.ops.sum(x.with_mask((steps >= first) & (steps < first + x.lengths[:, None])), axis=1)


def shortens_the_mask(x: jm.Masked) -> Any:
    return jm.Masked(x.values, x.mask[:, 1:])


def makes_a_mask_of_integers(x: jm.Masked) -> Any:
    return jm.Masked(x.values, x.mask.astype(int))


def returns_a_list(x: jm.Masked) -> Any:
    return x.lengths.tolist()


def knows_whether_it_is_traced(x: jm.Masked) -> Any:
    return x * (2 if isinstance(x.values, jax.core.Tracer) else 1)


def returns_a_local_type(x: jm.Masked) -> Any:
    class Pair(NamedTuple):
        first: Any
        second: Any

    return Pair(x, x)


def calls_the_host(x: jm.Masked) -> Any:
    values = jax.lax.stop_gradient(x.fill(0))
    return x * jax.pure_callback(np.abs, values, values)


def loses_the_mask(x: jm.Masked) -> Any:
    return x.fill(0) * 2


def needs_to_know_the_lengths(x: jm.Masked) -> Any:
    return x[:, : int(x.lengths.max())]


calls = itertools.count()


def counts_its_calls(x: jm.Masked) -> Any:
    return x + next(calls)


def means_something_else_by_arrays(x: jm.Masked) -> Any:
    return x * 2 if isinstance(x, jm.Masked) else x


def compiles_at_every_call(x: jm.Masked) -> Any:
    return jax.jit(lambda x: x * 2)(x)


class Unaware(jm.Layer):
    """Says nothing about its mask."""

    def call(self, params: Any, inputs: Any) -> Any:
        return inputs


class WrongMask(jm.Layer):
    """Halves the steps and forgets the mask's."""

    supports_masking = True

    def call(self, params: Any, inputs: Any) -> Any:
        return inputs[:, ::2]


class ReadsItsBias(jm.Layer):
    """Pools over values that padding has taken from the bias: only noise in the parameters shows it."""

    raw_inputs = True

    def init(self, key: Any, inputs: Any) -> Any:
        return {"bias": jnp.zeros(inputs.shape[-1])}

    def call(self, params: Any, inputs: Any) -> Any:
        return (inputs.fill(0) + params["bias"]).sum(axis=1)


class GuardsTheQuotientOnly(jm.Layer):
    """Divides by a count of 0, and throws the quotient away, but not its gradient."""

    raw_inputs = True

    def init(self, key: Any, inputs: Any) -> Any:
        return {"scale": jnp.ones(inputs.shape[-1])}

    def call(self, params: Any, inputs: Any) -> Any:
        total, count = (inputs.fill(0) * params["scale"]).sum(axis=1), inputs.mask.sum(axis=1, keepdims=True)
        return jnp.where(count > 0, total / count, 0)


FAULTS = [
    (shortens_the_mask, "data", [1], "must be a prefix"),
    (makes_a_mask_of_integers, "data", [1], "must be bool"),
    (returns_a_list, "data", [1], "neither an array"),
    (knows_whether_it_is_traced, "data", [1], "under `jax.jit`"),
    (returns_a_local_type, "data", [1], "pickle"),
    (calls_the_host, "data", [1], "`jax.vmap` raises NotImplementedError"),
    (counts_padding_in_the_mean, "exact", [1], "output 0, row 0"),
    (counts_padding_in_the_loss, "exact", [1], "output 0, row 0"),
    (pools_all_rows, "exact", [1, 2], "must begin with the batch axis"),
    (takes_the_last_column, "exact", [1], "output 0, row 0"),
    (counts_steps_from_the_padded_end, "exact", [1], "output 0, row 0"),
    (normalises_over_the_batch, "exact", [1, 2], "output 0, row 0"),
    (convolves_over_the_bias_of_padding, "exact", [1], "output 0, row 0"),
    (multiplies_by_the_mask, "invisible padding", [1], "with nan in the padding, output 0"),
    (removes_nan_only, "invisible padding", [1], "with inf in the padding, output 0"),
    (guards_the_output_only, "invisible padding", [1], "the gradient of input 0 at padding"),
    (divides_by_a_count_of_zero, "legal masks", [0], "output 0, row 0, is not finite"),
    (adds_a_large_negative_number, "legal masks", [0], "with an empty row and three more steps of padding"),
    (takes_padding_for_the_end, "legal masks", [1], "with the padding on the left"),
    (takes_steps_for_neighbours, "legal masks", [2], "with padding among the steps"),
    (loses_the_mask, "not silent", [1], "output 0 has lost its mask"),
    (needs_to_know_the_lengths, "one compile", [1], "before the lengths are known: ConcretizationTypeError"),
    (counts_its_calls, "pure", [1], "called again"),
    (means_something_else_by_arrays, "data", [1], "given arrays without a mask"),
    (compiles_at_every_call, "one compile", [1], "a third call without `jax.jit` compiles again"),
]
LAYER_FAULTS = [
    (Unaware(), "not silent", "unaware: the mask of `inputs` is dropped here"),
    (WrongMask(), "data", "the mask does not fit the layer's output"),
    (ReadsItsBias(), "exact", "output 0, row 0"),
    (GuardsTheQuotientOnly(), "legal masks", "the gradient of the parameter ['scale'], is not finite"),
]
