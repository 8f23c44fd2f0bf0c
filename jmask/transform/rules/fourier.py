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
def fft_rule(equation: Equation, x: Padded) -> Padded:
    r"""The transforms of `jax.numpy.fft`, `X_k = \sum_j x_j e^{-2 \pi i j k / n}` and its inverse.

    Over a ragged axis it takes `O(n^2)` operations and a matrix of that size; several axes are transformed one by one.
    """
    lengths = equation.params["fft_lengths"]
    kind = lax.FftType(equation.params["fft_type"])
    if not any(map(equation.sizes.is_ragged, lengths)):
        x = x.with_safe_padding()
        return equation.result(equation.bind(x.array), has_safe_padding=True)
    axes = range(x.ndim - len(lengths), x.ndim)
    of_complex = lax.FftType.FFT if kind in (lax.FftType.FFT, lax.FftType.RFFT) else lax.FftType.IFFT
    last = (axes[-1], lengths[-1], kind)
    others = [(axis, length, of_complex) for axis, length in zip(axes[:-1], lengths[:-1], strict=True)]
    for axis, length, one in [last, *others] if kind == lax.FftType.RFFT else [*others, last]:
        shape = (*x.shape[:axis], equation.out_shapes[0][axis], *x.shape[axis + 1 :])
        x = Padded(_along(x, axis, length, one, equation.sizes.padded_size(shape[axis])), shape, x.sizes)
    return equation.result(x.array.astype(equation.eqn.outvars[0].aval.dtype))


def _along(x: Padded, axis: int, length: Any, kind: Any, out_size: int) -> Any:
    """The transform over one axis."""
    size = x.sizes.true_size(length)
    if kind == lax.FftType.IRFFT:
        array, full = _whole_spectrum(x, axis, size)
    else:
        array, full = jnp.moveaxis(x.fill(0, [axis]), axis, -1), x.array.shape[axis]
    j, k = jnp.arange(full, dtype=jnp.int32)[:, None], jnp.arange(out_size, dtype=jnp.int32)
    is_inverse = kind in (lax.FftType.IFFT, lax.FftType.IRFFT)
    angle = 2 * jnp.pi * (j * k % size) / size * (1 if is_inverse else -1)
    if jnp.iscomplexobj(array):
        found = array @ lax.complex(jnp.cos(angle), jnp.sin(angle)).astype(array.dtype)
    else:
        found = lax.complex(*(array @ part(angle).astype(array.dtype) for part in (jnp.cos, jnp.sin)))
    found = found / size if is_inverse else found
    return jnp.moveaxis(found.real if kind == lax.FftType.IRFFT else found, -1, axis)


def _whole_spectrum(x: Padded, axis: int, size: Any) -> tuple[Any, int]:
    """Completes the half spectrum of a real signal of `size` entries: appends the conjugate in reverse."""
    array = jnp.moveaxis(x.array, axis, -1)
    full = 2 * array.shape[-1]
    steps = jnp.arange(full, dtype=jnp.int32)
    is_first = steps < size // 2 + 1
    source = jnp.where(is_first, steps, size - steps)
    array = jnp.take(array, source, axis=-1, mode="clip")
    array = jnp.where(is_first, array, jnp.conj(array))
    return jnp.where(steps < size, array, 0), full
