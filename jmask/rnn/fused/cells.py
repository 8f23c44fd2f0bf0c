"""The standard cells as the fused engine sees them: a step, and its derivative by hand.

A step takes the projected inputs `z = x W + b` and the state before, and returns the state after. `docs/recurrence.md`
derives the derivatives; the names here are those of its equations. Shapes: states `(n, units)`, where `n` is the
number of lanes, or of all slots of a block at once; gates side by side, `(n, gates * units)`.

A cell's state is its output `h` and its `cell_state`: `(c,)` for the LSTM, `()` for the others.
"""

# ruff: noqa: D102  (`FusedCell` says what the methods of a cell do, once)

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ...core.arithmetic import in_front


class Weights(NamedTuple):
    """Parameters in the order in which a step uses them; a bias may be None.

    Attributes:
        kernel: `W`, `(features, gates * units)`.
        bias: `b`, `(gates * units,)`.
        recurrent_kernel: `U`, `(units, gates * units)`.
        recurrent_bias: `(gates * units,)`; only the GRU that resets after the product has one.
    """

    kernel: Any
    bias: Any
    recurrent_kernel: Any
    recurrent_bias: Any


@runtime_checkable
class FusedCell(Protocol):
    """One recurrence, forwards and backwards.

    Attributes:
        name: for messages.
        num_residuals: how many arrays of `units` a step saves for the backward pass: its residuals.
        num_cell_states: 1 if the cell has a state other than its output, 0 if not.
        num_weight_terms: how many arrays of `units` a step of the backward pass saves for the gradients of the weights.
        gates_per_product: how many gates each product with `U` gives; gates with different left operands need a
            product each.
    """

    name: str
    num_residuals: int
    num_cell_states: int
    num_weight_terms: int
    gates_per_product: tuple[int, ...]

    def step(self, weights: Weights, z: Any, h: Any, cell_state: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...], Any]:
        """`(h', cell_state', residuals)`."""
        ...

    def recompute(self, weights: Weights, z: Any, h: Any) -> Any:
        """The residuals of steps, from their projected inputs and the outputs before them."""
        ...

    def partials(self, residuals: Any, h: Any, cell_state: tuple[Any, ...]) -> tuple[Any, ...]:
        """The partial derivatives of steps: all that `step_back` needs."""
        ...

    def step_back(self, transposed: Weights, partials: tuple[Any, ...], dh: Any, dcell: Any) -> tuple[Any, Any, Any]:
        """Gradients of `h` and the cell state before a step, and the step's weight terms, from those after it."""
        ...

    def gradients(self, partials: tuple[Any, ...], h: Any, weight_terms: Any) -> tuple[Any, list[tuple[Any, Any]]]:
        """Gradients of `z`, and for each product with `U` its left operand and its gradient."""
        ...


# XLA's CPU compiler in older versions aborts the process at some small products of bfloat16 inside a loop.
_IS_OLD_JAX = jax.__version_info__ < (0, 10)


def matmul(x: Any, kernel: Any, state_dtype: Any) -> Any:
    """A product in the kernel's dtype, accumulated in the state's."""

    def product(x: Any, kernel: Any) -> Any:
        return jnp.dot(x, kernel, preferred_element_type=state_dtype)

    def wide_product(x: Any, kernel: Any) -> Any:
        return jnp.dot(x.astype(state_dtype), kernel.astype(state_dtype))

    x = x.astype(kernel.dtype)
    if _IS_OLD_JAX and kernel.dtype != state_dtype:
        return lax.platform_dependent(x, kernel, cpu=wide_product, default=product)
    return product(x, kernel)


def barrier(x: Any) -> Any:
    """Makes XLA compute `x` once: otherwise it recomputes gates in every kernel that uses them."""
    return lax.optimization_barrier(x)


class FusedLSTM:
    """`i, f, g, o = gates(z + h U)`, `c' = f c + i g`, `h' = o tanh(c')`; the residuals are the gates."""

    name, num_residuals, num_cell_states, num_weight_terms, gates_per_product = "lstm", 4, 1, 4, (4,)

    def step(self, weights: Weights, z: Any, h: Any, cell_state: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...], Any]:
        gates = self.recompute(weights, z, h)
        i, f, g, o = jnp.split(gates, 4, -1)
        c = barrier(f * cell_state[0] + i * g)
        return barrier(o * jnp.tanh(c)), (c,), gates

    def recompute(self, weights: Weights, z: Any, h: Any) -> Any:
        """All gates by one tanh, since `sigmoid(x) = (1 + tanh(x / 2)) / 2`."""
        is_tanh = _repeat([0, 0, 1, 0], h.shape[-1], z.dtype)
        is_tanh = in_front(is_tanh, z.ndim)
        scale, offset = (1 + is_tanh) / 2, (1 - is_tanh) / 2
        return barrier(scale * jnp.tanh(scale * (z + matmul(h, weights.recurrent_kernel, z.dtype))) + offset)

    def partials(self, residuals: Any, h: Any, cell_state: tuple[Any, ...]) -> tuple[Any, ...]:
        """`P`, of `c'` and `h'` by the gates' arguments; `Q`, of `h'` by `c'`; `f`, of `c'` by `c`."""
        i, f, g, o = jnp.split(residuals, 4, -1)
        (c,) = cell_state
        tanh_c = jnp.tanh(f * c + i * g)
        is_tanh = in_front(_repeat([0, 0, 1, 0], h.shape[-1], residuals.dtype), residuals.ndim)
        slope = (1 - residuals) * (residuals + is_tanh)
        p = slope * jnp.concatenate([g, c, i, tanh_c], -1)
        return barrier((p, o * (1 - tanh_c * tanh_c), f))

    def step_back(self, transposed: Weights, partials: tuple[Any, ...], dh: Any, dcell: Any) -> tuple[Any, Any, Any]:
        p, q, f = partials
        dh, dc = barrier((dh, dcell[0] + dh * q))
        dz = barrier(p * barrier(jnp.concatenate([dc, dc, dc, dh], -1)))
        return matmul(dz, transposed.recurrent_kernel, dh.dtype), (dc * f,), dz

    def gradients(self, partials: tuple[Any, ...], h: Any, weight_terms: Any) -> tuple[Any, list[tuple[Any, Any]]]:
        return weight_terms, [(h, weight_terms)]


class FusedGRU:
    """The GRU that resets after the product: with `v = h U + b_U`, `g = tanh(z_g + r v_g)`, `h' = g + u (h - g)`.

    `u` is the update gate, `r` the reset gate; the residuals are `u, r, g, v_g`.
    """

    name, num_residuals, num_cell_states, num_weight_terms, gates_per_product = "gru", 4, 0, 1, (3,)

    def step(self, weights: Weights, z: Any, h: Any, cell_state: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...], Any]:
        residuals = barrier(self.recompute(weights, z, h))
        u, g = _part(residuals, 0, 4), _part(residuals, 2, 4)
        return barrier(g + u * (h - g)), (), residuals

    def recompute(self, weights: Weights, z: Any, h: Any) -> Any:
        v = matmul(h, weights.recurrent_kernel, z.dtype)
        v = barrier(v if weights.recurrent_bias is None else v + in_front(weights.recurrent_bias, v.ndim))
        gates = barrier(_sigmoid(_part(z, 0, 3, 2) + _part(v, 0, 3, 2)))
        g = jnp.tanh(_part(z, 2, 3) + _part(gates, 1, 2) * _part(v, 2, 3))
        return jnp.concatenate([gates, g, _part(v, 2, 3)], -1)

    def partials(self, residuals: Any, h: Any, cell_state: tuple[Any, ...]) -> tuple[Any, ...]:
        """Of `h'` by `z`, by `v`, and by the `h` that the update gate keeps."""
        u, r, g, v = jnp.split(residuals, 4, -1)
        by_u, by_g = (h - g) * u * (1 - u), (1 - u) * (1 - g * g)
        by_r = by_g * v * r * (1 - r)
        return barrier((jnp.concatenate([by_u, by_r, by_g], -1), jnp.concatenate([by_u, by_r, by_g * r], -1), u))

    def step_back(self, transposed: Weights, partials: tuple[Any, ...], dh: Any, dcell: Any) -> tuple[Any, Any, Any]:
        _, by_v, u = partials
        dv = barrier(by_v * jnp.concatenate([dh, dh, dh], -1))
        return dh * u + matmul(dv, transposed.recurrent_kernel, dh.dtype), (), dh

    def gradients(self, partials: tuple[Any, ...], h: Any, weight_terms: Any) -> tuple[Any, list[tuple[Any, Any]]]:
        by_z, by_v, _ = partials
        dh = jnp.concatenate([weight_terms, weight_terms, weight_terms], -1)
        return barrier(by_z * dh), [(h, barrier(by_v * dh))]


class FusedGRUResetBefore:
    """The GRU that resets before the product: `g = tanh(z_g + (r h) U_g)`, `h' = g + u (h - g)`.

    The residuals are `u, r, g`.
    """

    name, num_residuals, num_cell_states, num_weight_terms, gates_per_product = "gru", 3, 0, 3, (2, 1)

    def step(self, weights: Weights, z: Any, h: Any, cell_state: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...], Any]:
        residuals = barrier(self.recompute(weights, z, h))
        u, g = _part(residuals, 0, 3), _part(residuals, 2, 3)
        return barrier(g + u * (h - g)), (), residuals

    def recompute(self, weights: Weights, z: Any, h: Any) -> Any:
        kernel = weights.recurrent_kernel
        gates = barrier(_sigmoid(_part(z, 0, 3, 2) + matmul(h, _part(kernel, 0, 3, 2), z.dtype)))
        g = jnp.tanh(_part(z, 2, 3) + matmul(barrier(_part(gates, 1, 2) * h), _part(kernel, 2, 3), z.dtype))
        return jnp.concatenate([gates, g], -1)

    def partials(self, residuals: Any, h: Any, cell_state: tuple[Any, ...]) -> tuple[Any, ...]:
        """Of `h'` by the arguments of `u` and `g`; of `r h` by the argument of `r`; `r`; `u`."""
        u, r, g = jnp.split(residuals, 3, -1)
        return barrier(((h - g) * u * (1 - u), (1 - u) * (1 - g * g), h * r * (1 - r), r, u))

    def step_back(self, transposed: Weights, partials: tuple[Any, ...], dh: Any, dcell: Any) -> tuple[Any, Any, Any]:
        by_u, by_g, by_r, r, u = partials
        units = dh.shape[-1]
        dg = barrier(by_g * dh)
        drh = matmul(dg, transposed.recurrent_kernel[2 * units :], dh.dtype)
        dgates = barrier(jnp.concatenate([by_u * dh, by_r * drh], -1))
        dh = dh * u + drh * r + matmul(dgates, transposed.recurrent_kernel[: 2 * units], dh.dtype)
        return dh, (), jnp.concatenate([dgates, dg], -1)

    def gradients(self, partials: tuple[Any, ...], h: Any, weight_terms: Any) -> tuple[Any, list[tuple[Any, Any]]]:
        r = partials[3]
        return weight_terms, [(h, _part(weight_terms, 0, 3, 2)), (barrier(r * h), _part(weight_terms, 2, 3))]


class FusedSimpleRNN:
    """`h' = tanh(z + h U)`; the residual is `h'`."""

    name, num_residuals, num_cell_states, num_weight_terms, gates_per_product = "simple_rnn", 1, 0, 1, (1,)

    def step(self, weights: Weights, z: Any, h: Any, cell_state: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...], Any]:
        h = self.recompute(weights, z, h)
        return h, (), h

    def recompute(self, weights: Weights, z: Any, h: Any) -> Any:
        return barrier(jnp.tanh(z + matmul(h, weights.recurrent_kernel, z.dtype)))

    def partials(self, residuals: Any, h: Any, cell_state: tuple[Any, ...]) -> tuple[Any, ...]:
        return (barrier(1 - residuals * residuals),)

    def step_back(self, transposed: Weights, partials: tuple[Any, ...], dh: Any, dcell: Any) -> tuple[Any, Any, Any]:
        dz = barrier(partials[0] * dh)
        return matmul(dz, transposed.recurrent_kernel, dh.dtype), (), dz

    def gradients(self, partials: tuple[Any, ...], h: Any, weight_terms: Any) -> tuple[Any, list[tuple[Any, Any]]]:
        return weight_terms, [(h, weight_terms)]


def _sigmoid(x: Any) -> Any:
    return (1 + jnp.tanh(x / 2)) / 2


def _part(x: Any, index: int, parts: int, count: int = 1) -> Any:
    """Of `parts` equal parts of the last axis, `count` parts from the one at `index` on."""
    size = x.shape[-1] // parts
    return x[..., index * size : (index + count) * size]


def _repeat(values: list[int], units: int, dtype: Any) -> Any:
    return np.repeat(np.asarray(values, dtype), units)
