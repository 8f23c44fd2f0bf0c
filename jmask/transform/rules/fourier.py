"""Fourier transforms over a ragged axis: the matrix of the transform depends on the length, so it is built."""

from typing import Any

import jax.numpy as jnp
from jax import lax

from ..equation import Equation
from ..padded import Padded
from .registry import rule


def _transforms(equation: Equation) -> str | None:
    lengths = [dim for dim in equation.params["fft_lengths"] if equation.sizes.is_ragged(dim)]
    return f"transforms over {', '.join(map(str, lengths))}" if lengths else None


@rule("fft", effect=_transforms)
def fft(equation: Equation, x: Padded) -> Padded:
    r"""The transforms of `jax.numpy.fft`, `X_k = \sum_j x_j e^{-2 \pi i j k / n}` and its inverse.

    Over a ragged axis it takes `O(n^2)` operations and the matrix of them.
    """
    lengths = equation.params["fft_lengths"]
    kind = lax.FftType(equation.params["fft_type"])
    if not any(map(equation.sizes.is_ragged, lengths)):
        x = x.safe()
        return equation.result(equation.bind(x.array), is_safe=True)
    if len(lengths) > 1:
        raise NotImplementedError(
            f"`jm.vmap` transforms one axis of unknown length at a time; at {equation.line} there are {len(lengths)}. "
            "Transform the axes one after the other."
        )
    axis, size = x.ndim - 1, equation.sizes.true(lengths[0])
    array, full = _whole_spectrum(x, size) if kind == lax.FftType.IRFFT else (x.fill(0, [axis]), x.array.shape[axis])
    inverse = kind in (lax.FftType.IFFT, lax.FftType.IRFFT)
    out_size = equation.sizes.static(equation.out_shapes[0][-1])
    j, k = jnp.arange(full, dtype=jnp.int32)[:, None], jnp.arange(out_size, dtype=jnp.int32)
    angle = 2 * jnp.pi * (j * k % size) / size * (1 if inverse else -1)
    if jnp.iscomplexobj(array):
        found = array @ lax.complex(jnp.cos(angle), jnp.sin(angle)).astype(array.dtype)
    else:
        found = lax.complex(*(array @ part(angle).astype(array.dtype) for part in (jnp.cos, jnp.sin)))
    found = found / size if inverse else found
    dtype = equation.eqn.outvars[0].aval.dtype
    return equation.result((found.real if kind == lax.FftType.IRFFT else found).astype(dtype))


def _whole_spectrum(x: Padded, size: Any) -> tuple[Any, int]:
    """Of the half spectrum of a real signal of `size` entries the other half too: conjugate and in reverse."""
    full = 2 * x.array.shape[-1]
    steps = jnp.arange(full, dtype=jnp.int32)
    is_first = steps < size // 2 + 1
    source = jnp.where(is_first, steps, size - steps)
    array = jnp.take(x.array, source, axis=-1, mode="clip")
    array = jnp.where(is_first, array, jnp.conj(array))
    return jnp.where(steps < size, array, 0), full
