"""The standard cells as the fused engine sees them: a step, and its derivative by hand.

A step takes the projected inputs `z = x W + b` and the state before, and returns the state after. `docs/recurrence.md`
derives the derivatives; the names here are those of its equations. Shapes: states `(n, units)`, where `n` is the
number of lanes, or of all slots of a block at once; gates side by side, `(n, gates * units)`.

A cell's state is its output `h` and its `memory`, which is `()` but for the LSTM, whose memory is `c`.
"""

# ruff: noqa: D102  (what the methods of a cell do stands in `FusedCell`, once)

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
        saved: how many arrays of `units` a step saves for the backward pass.
        memories: 1 if there is a state besides the output.
        kept: how many arrays of `units` a step of the backward pass keeps for the weights' gradients.
        parts: how many gates each part of `U` has, where parts are multiplied with different things.
    """

    name: str
    saved: int
    memories: int
    kept: int
    parts: tuple[int, ...]

    def step(self, weights: Weights, z: Any, h: Any, memory: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...], Any]:
        """`(h', memory', saved)`."""
        ...

    def rebuild(self, weights: Weights, z: Any, h: Any) -> Any:
        """What steps have saved, from their projected inputs and the outputs before them."""
        ...

    def remember(self, saved: Any, memory: tuple[Any, ...]) -> tuple[Any, ...]:
        """The memory after a step, from what it has saved and the memory before."""
        ...

    def partials(self, saved: Any, h: Any, memory: tuple[Any, ...]) -> tuple[Any, ...]:
        """Partial derivatives of steps, all that `step_back` needs."""
        ...

    def step_back(self, transposed: Weights, partials: tuple[Any, ...], dh: Any, dmemory: Any) -> tuple[Any, Any, Any]:
        """Gradients of `h` and memory before a step, and what is kept for `gradients`, from those after it."""
        ...

    def gradients(self, partials: tuple[Any, ...], h: Any, kept: Any) -> tuple[Any, list[tuple[Any, Any]]]:
        """Gradients of `z`, and for each part of `U` what was multiplied with it and the product's gradient."""
        ...


# XLA's CPU compiler in older versions aborts the process at some small products of bfloat16 inside a loop.
_IS_OLD_JAX = jax.__version_info__ < (0, 10)


def dot(x: Any, kernel: Any, state_dtype: Any) -> Any:
    """A product in the kernel's dtype, accumulated in the state's."""

    def product(x: Any, kernel: Any) -> Any:
        return jnp.dot(x, kernel, preferred_element_type=state_dtype)

    def wide_product(x: Any, kernel: Any) -> Any:
        return jnp.dot(x.astype(state_dtype), kernel.astype(state_dtype))

    x = x.astype(kernel.dtype)
    if _IS_OLD_JAX and kernel.dtype != state_dtype:
        return lax.platform_dependent(x, kernel, cpu=wide_product, default=product)
    return product(x, kernel)


def fence(x: Any) -> Any:
    """Makes XLA compute `x` once: without it, it computes gates anew in every kernel that uses them."""
    return lax.optimization_barrier(x)


class LSTM:
    """`i, f, g, o = gates(z + h U)`, `c' = f c + i g`, `h' = o tanh(c')`; saves the gates."""

    name, saved, memories, kept, parts = "lstm", 4, 1, 4, (4,)

    def step(self, weights: Weights, z: Any, h: Any, memory: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...], Any]:
        gates = self.rebuild(weights, z, h)
        (c,) = self.remember(gates, memory)
        return fence(_part(gates, 3, 4) * jnp.tanh(c)), (c,), gates

    def rebuild(self, weights: Weights, z: Any, h: Any) -> Any:
        """All gates by one tanh, since `sigmoid(x) = (1 + tanh(x / 2)) / 2`."""
        is_tanh = _repeat([0, 0, 1, 0], h.shape[-1], z.dtype)
        is_tanh = in_front(is_tanh, z.ndim)
        scale, offset = (1 + is_tanh) / 2, (1 - is_tanh) / 2
        return fence(scale * jnp.tanh(scale * (z + dot(h, weights.recurrent_kernel, z.dtype))) + offset)

    def remember(self, saved: Any, memory: tuple[Any, ...]) -> tuple[Any, ...]:
        i, f, g, _ = jnp.split(saved, 4, -1)
        return (fence(f * memory[0] + i * g),)

    def partials(self, saved: Any, h: Any, memory: tuple[Any, ...]) -> tuple[Any, ...]:
        """`P`, of `c'` and `h'` by the gates' arguments; `Q`, of `h'` by `c'`; `f`, of `c'` by `c`."""
        i, f, g, o = jnp.split(saved, 4, -1)
        (c,) = memory
        tanh_c = jnp.tanh(f * c + i * g)
        is_tanh = in_front(_repeat([0, 0, 1, 0], h.shape[-1], saved.dtype), saved.ndim)
        slope = (1 - saved) * (saved + is_tanh)
        p = slope * jnp.concatenate([g, c, i, tanh_c], -1)
        return fence((p, o * (1 - tanh_c * tanh_c), f))

    def step_back(self, transposed: Weights, partials: tuple[Any, ...], dh: Any, dmemory: Any) -> tuple[Any, Any, Any]:
        p, q, f = partials
        dh, dc = fence((dh, dmemory[0] + dh * q))
        dz = fence(p * fence(jnp.concatenate([dc, dc, dc, dh], -1)))
        return dot(dz, transposed.recurrent_kernel, dh.dtype), (dc * f,), dz

    def gradients(self, partials: tuple[Any, ...], h: Any, kept: Any) -> tuple[Any, list[tuple[Any, Any]]]:
        return kept, [(h, kept)]


class GRU:
    """The GRU that resets after the product: with `v = h U + b_U`, `g = tanh(z_g + r v_g)`, `h' = g + u (h - g)`.

    `u` is the update gate, `r` the reset gate; saves `u, r, g, v_g`.
    """

    name, saved, memories, kept, parts = "gru", 4, 0, 1, (3,)

    def step(self, weights: Weights, z: Any, h: Any, memory: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...], Any]:
        saved = fence(self.rebuild(weights, z, h))
        u, g = _part(saved, 0, 4), _part(saved, 2, 4)
        return fence(g + u * (h - g)), (), saved

    def rebuild(self, weights: Weights, z: Any, h: Any) -> Any:
        v = dot(h, weights.recurrent_kernel, z.dtype)
        v = fence(v if weights.recurrent_bias is None else v + in_front(weights.recurrent_bias, v.ndim))
        gates = fence(_sigmoid(_part(z, 0, 3, 2) + _part(v, 0, 3, 2)))
        g = jnp.tanh(_part(z, 2, 3) + _part(gates, 1, 2) * _part(v, 2, 3))
        return jnp.concatenate([gates, g, _part(v, 2, 3)], -1)

    def remember(self, saved: Any, memory: tuple[Any, ...]) -> tuple[Any, ...]:
        return ()

    def partials(self, saved: Any, h: Any, memory: tuple[Any, ...]) -> tuple[Any, ...]:
        """Of `h'` by `z`, by `v`, and by `h` where it is kept."""
        u, r, g, v = jnp.split(saved, 4, -1)
        by_u, by_g = (h - g) * u * (1 - u), (1 - u) * (1 - g * g)
        by_r = by_g * v * r * (1 - r)
        return fence((jnp.concatenate([by_u, by_r, by_g], -1), jnp.concatenate([by_u, by_r, by_g * r], -1), u))

    def step_back(self, transposed: Weights, partials: tuple[Any, ...], dh: Any, dmemory: Any) -> tuple[Any, Any, Any]:
        _, by_v, u = partials
        dv = fence(by_v * jnp.concatenate([dh, dh, dh], -1))
        return dh * u + dot(dv, transposed.recurrent_kernel, dh.dtype), (), dh

    def gradients(self, partials: tuple[Any, ...], h: Any, kept: Any) -> tuple[Any, list[tuple[Any, Any]]]:
        by_z, by_v, _ = partials
        dh = jnp.concatenate([kept, kept, kept], -1)
        return fence(by_z * dh), [(h, fence(by_v * dh))]


class GRUResetBefore:
    """The GRU that resets before the product: `g = tanh(z_g + (r h) U_g)`, `h' = g + u (h - g)`; saves `u, r, g`."""

    name, saved, memories, kept, parts = "gru", 3, 0, 3, (2, 1)

    def step(self, weights: Weights, z: Any, h: Any, memory: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...], Any]:
        saved = fence(self.rebuild(weights, z, h))
        u, g = _part(saved, 0, 3), _part(saved, 2, 3)
        return fence(g + u * (h - g)), (), saved

    def rebuild(self, weights: Weights, z: Any, h: Any) -> Any:
        kernel = weights.recurrent_kernel
        gates = fence(_sigmoid(_part(z, 0, 3, 2) + dot(h, _part(kernel, 0, 3, 2), z.dtype)))
        g = jnp.tanh(_part(z, 2, 3) + dot(fence(_part(gates, 1, 2) * h), _part(kernel, 2, 3), z.dtype))
        return jnp.concatenate([gates, g], -1)

    def remember(self, saved: Any, memory: tuple[Any, ...]) -> tuple[Any, ...]:
        return ()

    def partials(self, saved: Any, h: Any, memory: tuple[Any, ...]) -> tuple[Any, ...]:
        """Of `h'` by the arguments of `u` and `g`; of `r h` by the argument of `r`; `r`; `u`."""
        u, r, g = jnp.split(saved, 3, -1)
        return fence(((h - g) * u * (1 - u), (1 - u) * (1 - g * g), h * r * (1 - r), r, u))

    def step_back(self, transposed: Weights, partials: tuple[Any, ...], dh: Any, dmemory: Any) -> tuple[Any, Any, Any]:
        by_u, by_g, by_r, r, u = partials
        units = dh.shape[-1]
        dg = fence(by_g * dh)
        drh = dot(dg, transposed.recurrent_kernel[2 * units :], dh.dtype)
        dgates = fence(jnp.concatenate([by_u * dh, by_r * drh], -1))
        dh = dh * u + drh * r + dot(dgates, transposed.recurrent_kernel[: 2 * units], dh.dtype)
        return dh, (), jnp.concatenate([dgates, dg], -1)

    def gradients(self, partials: tuple[Any, ...], h: Any, kept: Any) -> tuple[Any, list[tuple[Any, Any]]]:
        r = partials[3]
        return kept, [(h, _part(kept, 0, 3, 2)), (fence(r * h), _part(kept, 2, 3))]


class SimpleRNN:
    """`h' = tanh(z + h U)`; saves `h'`."""

    name, saved, memories, kept, parts = "simple_rnn", 1, 0, 1, (1,)

    def step(self, weights: Weights, z: Any, h: Any, memory: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...], Any]:
        h = self.rebuild(weights, z, h)
        return h, (), h

    def rebuild(self, weights: Weights, z: Any, h: Any) -> Any:
        return fence(jnp.tanh(z + dot(h, weights.recurrent_kernel, z.dtype)))

    def remember(self, saved: Any, memory: tuple[Any, ...]) -> tuple[Any, ...]:
        return ()

    def partials(self, saved: Any, h: Any, memory: tuple[Any, ...]) -> tuple[Any, ...]:
        return (fence(1 - saved * saved),)

    def step_back(self, transposed: Weights, partials: tuple[Any, ...], dh: Any, dmemory: Any) -> tuple[Any, Any, Any]:
        dz = fence(partials[0] * dh)
        return dot(dz, transposed.recurrent_kernel, dh.dtype), (), dz

    def gradients(self, partials: tuple[Any, ...], h: Any, kept: Any) -> tuple[Any, list[tuple[Any, Any]]]:
        return kept, [(h, kept)]


def _sigmoid(x: Any) -> Any:
    return (1 + jnp.tanh(x / 2)) / 2


def _part(x: Any, index: int, parts: int, count: int = 1) -> Any:
    """`count` parts from the one at `index`, of so many equal parts of the last axis."""
    size = x.shape[-1] // parts
    return x[..., index * size : (index + count) * size]


def _repeat(values: list[int], units: int, dtype: Any) -> Any:
    return np.repeat(np.asarray(values, dtype), units)
