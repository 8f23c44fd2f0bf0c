"""The dot product of two inputs along one axis of each."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from ..core.arithmetic import Marks, expand, intersect_masks, rebuild
from ..core.masked import Masked, fill, mask_of, segment_ids_of, values_of
from .kinds import AnyInput, merged
from .linear import check_float
from .merge import check_pair
from .packed_dot import SMALLEST_SQUARE, dot_of_packed


@merged
def dot(xs: Sequence[AnyInput], axes: int | Sequence[int] = -1, *, normalize: bool = False) -> Masked | Array:
    """The dot product of two inputs along one axis of each, row by row.

    Along features it compares steps: `(batch, t, features)` and `(batch, s, features)` give `(batch, t, s)`. Along time
    it sums over steps: `(batch, time, f)` and `(batch, time, g)` give `(batch, f, g)`.

    Args:
        xs: two `Masked` or arrays, `(batch, ...)`, of rank 2 or more.
        axes: the axis to sum over in both, or one axis for each; not the batch axis. Over a masked axis (time), the sum
            is over the steps that are real in both; an array, whose axis may be a feature axis, counts as all real.
        normalize: whether to scale the vectors along `axes` to length 1 first, which gives the cosine of their angle;
            norms are computed in float32 at least, over the steps that take part. A vector of zeros stays zero.

    Returns:
        The product, with the remaining axes of the first input and then those of the second; `(batch, 1)` if none
        remain. Its mask is the AND of the masks over the remaining axes, repeated over the axes before these: `(batch,
        t, s)` for the steps of two sequences. Where an axis of a mask is summed over, the rest of the mask is True
        where there was any real entry: over time, for the rows with a real step. A product of arrays is an array. An
        empty row gives 0, or holds no real entry, and passes no gradient.

        Packed rows stay packed where time remains: of the steps of two packed inputs, those with the same id meet, and
        the product `(batch, t, s)` has the segment ids `(batch, t, s)` of the pairs. It can be summed with a packed
        input over `s` again, `axes=(2, 1)`. A sum over time gives `(num_sequences, ...)`, and an input that is not
        packed has one entry for each sequence.

    Raises:
        TypeError: `normalize` is set and the values are not floats.
        ValueError: there are not two inputs, `axes` do not exist, differ in size or include the batch, or an entry for
            each sequence is needed and it is not known how many packed rows hold.

    References:
        The axes of the result are those of `keras.layers.Dot`.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.array([[[1.0, 2.0], [3.0, 4.0]]]), [1])
    >>> jm.ops.dot([x, jnp.array([[1.0, 1.0]])])
    Masked(float32[1, 2], lengths=[1])
    [[3 ·]]
    >>> jm.ops.dot([x, x], axes=1).values.tolist()
    [[[1.0, 2.0], [2.0, 4.0]]]
    """
    check_pair(xs, "dot")
    pair = _contracted(xs, axes)
    if any(segment_ids_of(x) is not None for x in xs):
        return dot_of_packed(xs, pair, normalize, dot)
    there = intersect_masks(*(_steps_along(x, axis) for x, axis in zip(xs, pair, strict=True)))
    dtype = jnp.result_type(*map(values_of, xs))
    x, y = (_operand(x, axis, there, normalize).astype(dtype) for x, axis in zip(xs, pair, strict=True))
    product = lax.dot_general(x, y, (((pair[0],), (pair[1],)), ((0,), (0,))))
    first, second = (_remaining(x, axis) for x, axis in zip(xs, pair, strict=True))
    if second is not None and second.ndim > 1:  # its axes come after those of the first
        second = second.reshape(second.shape[:1] + (1,) * (x.ndim - 2) + second.shape[1:])
    product = product[:, None] if product.ndim == 1 else product
    mask = intersect_masks(first, second)
    if mask is None:
        return product
    return rebuild(next(x for x in xs if isinstance(x, Masked)), product, Marks(mask))


def check_axes(axes: Any) -> None:
    """Raises unless `axes` is one axis or two, none of them the batch axis."""
    pair = (axes, axes) if isinstance(axes, int) else axes
    if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(type(axis) is int for axis in pair):
        raise ValueError(f"`axes` of `dot` must be an integer or two; received {axes!r}.")
    if 0 in pair:
        raise ValueError(f"`axes` of `dot` must not name the batch axis, 0; received {axes!r}.")


def _contracted(xs: Sequence[Any], axes: Any) -> tuple[int, int]:
    """One axis for each input, from 1 on."""
    check_axes(axes)
    first, second = (axes, axes) if isinstance(axes, int) else axes
    shapes = [tuple(x.shape) for x in xs]
    for axis, shape in zip((first, second), shapes, strict=True):
        if not -len(shape) < axis < len(shape):
            raise ValueError(
                f"`axes={axes}` of `dot` must be axes behind the batch axis of both inputs; received {shapes}."
            )
    first, second = first % len(shapes[0]), second % len(shapes[1])
    if shapes[0][first] != shapes[1][second] and not all(map(_is_packed_time, xs, (first, second))):
        raise ValueError(f"`dot` sums over axes of one size; received {shapes} with `axes={axes}`.")
    if shapes[0][0] != shapes[1][0] and not any(segment_ids_of(x) is not None for x in xs):
        raise ValueError(f"`dot` takes two inputs with the same batch axis; received {shapes}.")
    return first, second


def _is_packed_time(x: Any, axis: int) -> bool:
    """Whether this is the time of packed rows, whose length is not that of a sequence."""
    ids = segment_ids_of(x)
    return ids is not None and axis == ids.ndim - 1


def _steps_along(x: Any, axis: int) -> Any:
    """Where along the axis there is a real step, `(batch, size)`; None if the axis has no mask."""
    mask = mask_of(x)
    if mask is None or axis >= mask.ndim:
        return None
    others = tuple(a for a in range(1, mask.ndim) if a != axis)
    return mask.any(others) if others else mask


def _operand(x: Any, axis: int, there: Any, normalize: bool) -> Any:
    """The values, 0 at padding and where the other input is padding, so that neither adds to the sum."""
    values = jnp.asarray(fill(x, 0))
    if there is not None and there is not mask_of(x):
        steps = jnp.moveaxis(expand(there, values.ndim), 1, axis)
        values = jnp.where(steps, values, jnp.zeros((), values.dtype))
    if not normalize:
        return values
    check_float(x, "dot")
    wide = values.astype(jnp.promote_types(values.dtype, jnp.float32))
    square = jnp.sum(jnp.square(wide), axis, keepdims=True)
    return (wide * lax.rsqrt(jnp.maximum(square, SMALLEST_SQUARE))).astype(values.dtype)


def _remaining(x: Any, axis: int) -> Any:
    """The mask of the remaining axes, True where there is a real entry; None for an array."""
    if not isinstance(x, Masked) or axis >= x.mask.ndim:
        return mask_of(x)
    return x.mask.any(axis)
