"""Positions that count real steps: as numbers, learned vectors, sines and rotations."""

import functools
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..core.arithmetic import expand
from ..core.masked import Masked, like, values_of
from ..sources import refuse_marks
from .kinds import same_kind
from .linear import AnyArray, check_feature_axis, check_float, embed
from .step_positions import Offset, Places, places


@same_kind
def positions(x: Masked | AnyArray, *, offset: Offset = None) -> Masked | Int[Array, "..."]:
    """The index of each real step within its sequence.

    It counts real steps, so padding on the left or in between shifts nothing; in packed rows it restarts from 0 at each
    sequence.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array.
        offset: how many real steps of each sequence came before these, an integer or one for each row, `(batch,)`.

    Returns:
        int32 in the shape of the mask, with the mask of `x`; for an array, `(batch, time)`. An empty row holds no real
        step.

    Raises:
        TypeError: the offset is not an integer.
        ValueError: the mask has rank 0, and so no time axis, or the offset has another shape.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.positions(jm.masked(jnp.ones((1, 4)), jnp.array([[False, True, False, True]])))
    Masked(int32[1, 4], lengths=[2])
    [[· 0 · 1]]
    """
    shape = x.mask.shape if isinstance(x, Masked) else x.shape[:2]
    index = jnp.broadcast_to(_index(x, len(shape), "positions", offset), shape)
    return like(x, index)


@same_kind
def position_embedding(
    x: Masked | AnyArray,
    table: Float[AnyArray, "positions features"],
    *,
    offset: Offset = None,
    positions: Places = None,
) -> Masked | Float[Array, "..."]:
    """A learned vector for the position of each real step, to be added to the steps.

    Args:
        x: values `(batch, time, features)`, mask `(batch, time)`, or an array; only shape and mask count.
        table: `(positions, features)`. A real step beyond it gives NaN.
        offset: how many real steps of each sequence came before these, an integer or one for each row, `(batch,)`.
        positions: the positions themselves, instead of an offset: integers that broadcast to `(batch, time)`, or a
            `Masked` of them.

    Returns:
        `(batch, time, features)` with the mask of `x`. An empty row passes no gradient.

    Raises:
        TypeError: the offset or positions are not integers.
        ValueError: an array is longer than the table, there is no feature axis, the shape of positions or offset does
            not fit, or both are given.

    References:
        Gehring et al.: Convolutional Sequence to Sequence Learning, arXiv:1705.03122, section 3.1.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.masked(jnp.ones((1, 3, 1)), jnp.array([[False, True, True]]))
    >>> jm.ops.position_embedding(x, jnp.array([[5.0], [7.0]])).fill(0).tolist()
    [[[0.0], [5.0], [7.0]]]
    """
    check_feature_axis(x, "position_embedding")
    time, length = x.shape[_time_axis(x, x.ndim - 1)], table.shape[0]
    begin = offset if isinstance(offset, int) else 0
    if not isinstance(x, Masked) and positions is None and isinstance(time, int) and begin + time > length:
        place = f", from position {begin} on," if begin else ""
        raise ValueError(
            f"`position_embedding` has vectors for {length} positions, and all {time} steps of an array{place} are "
            "real. Use a larger table (`max_length`), or mask what is padding."
        )
    return _for_every_row(x, embed(_index(x, x.ndim - 1, "position_embedding", offset, positions), table))


@same_kind
def sine_position_encoding(
    x: Masked | Float[AnyArray, "..."],
    *,
    max_wavelength: float = 10000.0,
    offset: Offset = None,
    positions: Places = None,
) -> Masked | Float[Array, "..."]:
    """Sines and cosines of the position of each real step, to be added to the steps.

    At position `p`, feature `2i` is `sin(p / max_wavelength**(2i / features))` and feature `2i + 1` its cosine.

    Args:
        x: values `(batch, time, features)`, mask `(batch, time)`, or an array; only shape, dtype and mask count.
        max_wavelength: the longest wavelength, divided by 2 pi.
        offset: how many real steps of each sequence came before these, an integer or one for each row, `(batch,)`.
        positions: the positions themselves, instead of an offset: numbers that broadcast to `(batch, time)`, or a
            `Masked` of them.

    Returns:
        The shape, dtype and mask of `x`. An empty row holds no real step; nothing passes a gradient.

    Raises:
        TypeError: the values are not floats, or the offset is not an integer.
        ValueError: there is no feature axis, the wavelength is not positive, the shape of positions or offset does not
            fit, or both are given.

    References:
        Vaswani et al.: Attention Is All You Need, arXiv:1706.03762, section 3.5.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.masked(jnp.ones((1, 2, 2)), jnp.array([[False, True]]))
    >>> jm.ops.sine_position_encoding(x).fill(-1).tolist()
    [[[-1.0, -1.0], [0.0, 1.0]]]
    """
    _check_wavelength(x, max_wavelength, "sine_position_encoding")
    features = x.shape[-1]
    is_sine, exponents = jnp.arange(features) % 2 == 0, jnp.arange(features) // 2 * 2 / features

    def encode(index: Any) -> Any:
        angles = _angles(x, exponents, max_wavelength, index)
        return jnp.where(is_sine, jnp.sin(angles), jnp.cos(angles)).astype(x.dtype)

    return _for_every_row(x, _at_places(x, encode, "sine_position_encoding", offset, positions))


@same_kind
def rotary(
    x: Masked | Float[AnyArray, "..."],
    *,
    max_wavelength: float = 10000.0,
    interleaved: bool = False,
    offset: Offset = None,
    positions: Places = None,
) -> Masked | Float[Array, "..."]:
    """Rotates pairs of features by angles that grow with the position of each real step.

    The dot product of a rotated query and a rotated key depends only on the difference of their positions. At
    position `p`, pair `i` is rotated by `p / max_wavelength**(2i / features)`.

    Args:
        x: values `(batch, time, heads, features)` or `(batch, time, features)`, mask `(batch, time)`, or an array.
        max_wavelength: the longest wavelength, divided by 2 pi.
        interleaved: whether a pair is two neighbours, as in the paper; by default it is a feature of the first half
            and its counterpart in the second, as in most code.
        offset: how many real steps of each sequence came before these, an integer or one for each row, `(batch,)`.
        positions: the positions themselves, instead of an offset: numbers that broadcast to `(batch, time)`, or a
            `Masked` of them.

    Returns:
        The shape, dtype and mask of `x`. An empty row holds no real step and passes no gradient.

    Raises:
        TypeError: the values are not floats, or the offset is not an integer.
        ValueError: the number of features is odd, there is no feature axis, the wavelength is not positive, the shape
            of positions or offset does not fit, or both are given.

    References:
        Su et al.: RoFormer: Enhanced Transformer with Rotary Position Embedding, arXiv:2104.09864, equation 34.

    >>> import jax.numpy as jnp, jmask as jm
    >>> (100 * jm.ops.rotary(jnp.array([[[1.0, 0.0], [1.0, 0.0]]]))).astype(int).tolist()
    [[[100, 0], [54, 84]]]
    """
    _check_wavelength(x, max_wavelength, "rotary")
    half, odd = divmod(x.shape[-1], 2)
    if odd:
        raise ValueError(f"`rotary` rotates pairs of features; received {x.shape[-1]}, an odd number.")
    exponents = jnp.arange(half) / half
    angles = functools.partial(_angles, x, exponents, max_wavelength)
    cos, sin = (_at_places(x, lambda p, f=f: f(angles(p)), "rotary", offset, positions) for f in (jnp.cos, jnp.sin))
    pair, axis = ((half, 2), -1) if interleaved else ((2, half), -2)
    first, second = jnp.moveaxis(jnp.asarray(values_of(x)).reshape(*x.shape[:-1], *pair), axis, 0)
    rotated = jnp.stack([first * cos - second * sin, first * sin + second * cos], axis)
    return _for_every_row(x, rotated.reshape(x.shape).astype(x.dtype))


def _index(x: Any, ndim: int, name: str, offset: Any = None, positions: Any = None) -> Any:
    """Positions with trailing axes of size 1 up to rank `ndim`, and a batch axis of size 1 if all rows share them."""
    axis = _time_axis(x, ndim)
    index = places(x, axis, name, offset=offset, positions=positions)
    return expand(index.reshape(*(1,) * (axis + 1 - index.ndim), *index.shape), ndim)


def _time_axis(x: Any, ndim: int) -> int:
    """The last masked axis; in an array the second, or the first if it is the only one of `ndim` before features."""
    if isinstance(x, Masked):
        return x.mask.ndim - 1
    refuse_marks(x)
    return min(1, ndim - 1)


def _angles(x: Any, exponents: Any, max_wavelength: float, index: Any) -> Any:
    """`positions / max_wavelength**exponents`, in float32 at least."""
    dtype = jnp.promote_types(x.dtype, jnp.float32)
    frequencies = jnp.asarray(max_wavelength, dtype) ** -exponents.astype(dtype)
    return index[..., None] * frequencies.reshape(*(1,) * index.ndim, -1)


def _at_places(x: Any, function: Any, name: str, offset: Any, positions: Any) -> Any:
    """A function of position at each step; computed once for all rows if they all start from one number."""
    ndim = x.ndim - 1
    if not isinstance(x, Masked) or positions is not None or getattr(offset, "ndim", 0):
        return function(_index(x, ndim, name, offset, positions))
    table = function(places(values_of(x), _time_axis(x, ndim), name, offset=offset))
    return embed(_index(x, ndim, name), table)


def _for_every_row(x: Any, values: Any) -> Any:
    """The values for every row, with the mask of `x`."""
    values = jnp.broadcast_to(values, (*x.shape[:-1], values.shape[-1]))
    return like(x, values)


def _check_wavelength(x: Any, max_wavelength: float, name: str) -> None:
    check_float(x, name)
    check_feature_axis(x, name)
    if not max_wavelength > 0:
        raise ValueError(f"`max_wavelength` of `{name}` must be positive; received {max_wavelength}.")
