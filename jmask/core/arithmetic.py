"""Operators of `Masked`: they leave every step in its place, so the mask stays the same."""

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, Self, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from numpy.lib.array_utils import normalize_axis_tuple

from ..sources import refuse_marks

X = TypeVar("X", bound="Arithmetic")

_SCALARS = (bool, int, float, complex, np.generic)


def expand(mask: Any, ndim: int) -> Any:
    """The mask with trailing axes of size 1, up to rank `ndim`, so that it broadcasts against values of that rank."""
    return mask.reshape((*mask.shape, *(1,) * (ndim - mask.ndim)))


def in_front(x: Any, ndim: int) -> Any:
    """An array with leading axes of size 1, up to rank `ndim`, so that it broadcasts even without rank promotion."""
    shape = jnp.shape(x)
    return jnp.reshape(x, (*(1,) * (ndim - len(shape)), *shape))


def still_bool(mask: Any) -> Any:
    """The mask; raises if it is no longer bool, since code that rebuilds pytrees may have changed it."""
    if mask.dtype != bool:
        raise TypeError(
            f"A mask must be bool, and this one has become {mask.dtype}: a function over all leaves, such as "
            "`jax.tree.map(jnp.sin, x)`, changes the mask too. Use `x.map(jnp.sin)`, or `x.values` of a gradient."
        )
    return mask


def is_host_only(values: Any) -> bool:
    """Whether the values are strings, objects or dates, which live in NumPy and never on a device."""
    if not isinstance(values, np.ndarray):
        return False
    kind = values.dtype.kind  # bfloat16 and similar dtypes are of kind "V", like structured dtypes
    return kind in "OUSTMm" or (kind == "V" and not jnp.issubdtype(values.dtype, jnp.number))


def fits(value: Any, values: Any) -> bool:
    """Whether `value` can be stored among `values`: of a kind that their dtype holds, and in its range."""
    if isinstance(value, jax.Array):
        if any(jnp.issubdtype(x.dtype, jax.dtypes.extended) for x in (value, values)):
            return value.dtype == values.dtype
        dtype = jnp.result_type(values)
        return jnp.result_type(dtype, value) == dtype
    array, dtype = np.asarray(value), values.dtype
    if is_host_only(values):
        return dtype.kind in ("O", array.dtype.kind) or (dtype.kind == "T" and array.dtype.kind == "U")
    if not 0 <= _number_kind(array.dtype) <= _number_kind(dtype):
        return False
    with np.errstate(over="ignore"):
        held = array.astype(dtype)
    return bool(np.all(np.isinf(held) == np.isinf(array) if jnp.issubdtype(dtype, jnp.inexact) else held == array))


def _number_kind(dtype: Any) -> int:
    """0 for bool and integers, 1 for floats, 2 for complex numbers, -1 for anything that is not a number."""
    kinds = (jnp.integer, jnp.floating, jnp.complexfloating)
    return next((i for i, kind in enumerate(kinds) if jnp.issubdtype(dtype, kind)), 0 if dtype == bool else -1)


def intersect_masks(first: Any, second: Any) -> Any:
    """AND of two masks; None means that everything is real. A mask of lower rank covers all trailing axes."""
    if first is None or second is None or first is second:
        return first if second is None else second
    ndim = max(first.ndim, second.ndim)
    return expand(first, ndim) & expand(second, ndim)


class Marks(NamedTuple):
    """All of a `Masked` but its values, each None where there is none.

    Attributes:
        mask: bool, its shape a prefix of the values' shape.
        segment_ids: those of packed rows.
        num_sequences: how many sequences packed rows hold, where that is known.
    """

    mask: Any = None
    segment_ids: Any = None
    num_sequences: int | None = None


def join(first: Marks, second: Marks) -> Marks:
    """AND of the masks of two operands, as in `intersect_masks`, with the segment ids that they have in common.

    In packed rows a step is real where it belongs to the same sequence on both sides. Segment ids that are the same
    object are not compared; if one side has none, each of its rows is a single sequence that covers all the others.

    Raises:
        ValueError: a mask has axes that the segment ids lack, or the ids count different numbers of sequences.
    """
    (mask, ids, number), (other_mask, other_ids, other_number) = first, second
    if ids is None:
        return Marks(intersect_masks(mask, other_mask)) if other_ids is None else join(second, first)
    number = joint_number(number, other_number)
    if ids is other_ids:
        return first._replace(num_sequences=number)
    joint = intersect_masks(mask, other_mask)
    if joint is mask and other_ids is None:
        return first
    if joint.ndim > min(x.ndim for x in (ids, other_ids) if x is not None):
        raise ValueError(
            f"The segment ids of packed rows, of shape {tuple(ids.shape)}, say nothing of the axes behind them, which "
            f"a mask of shape {tuple(joint.shape)} covers; give both masks one rank."
        )
    if other_ids is not None:
        joint = joint & (ids == expand(other_ids, ids.ndim))
    return Marks(joint, ids * joint, number)  # ids are integers, so unlike values they may be multiplied by a mask


def joint_number(first: int | None, second: int | None) -> int | None:
    """The number of sequences of both operands; it may be known of one of them only."""
    if first is not None and second is not None and first != second:
        raise ValueError(
            f"The segment ids of two operands must stand for the same sequences, and one counts {first} of them, the "
            f"other {second}. If they do, give both one number, `x.with_segment_ids(x.segment_ids, "
            f"num_sequences={max(first, second)})`."
        )
    return second if first is None else first


def guard(values: Any, mask: Any) -> Any:
    """The values with ones at padded positions: in the domain of most functions, with finite derivatives.

    Strings and objects get a copy of a real one instead, so that a host function sees nothing unexpected.
    """
    mask = expand(still_bool(mask), max(mask.ndim, values.ndim))
    if is_host_only(values):
        mask, values = np.broadcast_arrays(mask, values)
        return np.where(mask, values, values[mask][0]) if mask.any() else values
    if jnp.issubdtype(values.dtype, jax.dtypes.extended):
        return values  # random keys: any of them will do
    values = jnp.asarray(values)
    return jnp.where(mask, values, np.ones((), values.dtype))


def astype(values: Any, mask: Any, dtype: Any) -> Any:
    """`values.astype(dtype)`; in NumPy arrays, real steps only, since padding may not be convertible (`int("")`)."""
    if not isinstance(values, np.ndarray) or isinstance(mask, Tracer):
        return values.astype(dtype)
    mask = np.asarray(mask)
    real = values[mask].astype(dtype)
    converted = np.zeros(values.shape, real.dtype)
    converted[mask] = real
    return converted


def _operand(x: Any, mask: Any, ndim: int) -> Any:
    """An operand of an operator: a scalar unchanged, an array through `guard` if it has masked axes."""
    values = x.values if isinstance(x, Arithmetic) else x
    if not isinstance(values, (np.ndarray, jax.Array)):
        return values
    if mask is None or values.ndim <= ndim - mask.ndim:
        return values if is_host_only(values) else jnp.asarray(values)
    return guard(values, expand(mask, ndim))


def _check_shapes(name: str, x: "Arithmetic", other: Any) -> None:
    other_ndim = other.ndim if isinstance(other, Arithmetic) else np.ndim(other)
    if isinstance(other, Arithmetic) and other_ndim != x.ndim:
        raise ValueError(
            f"`{name}` of two `Masked` needs values of the same rank, since broadcasting would align the time axis "
            f"of one with another axis of the other; received {x.shape} and {other.shape}. "
            "Add axes with indexing, e.g. `y[..., None]`."
        )
    if other_ndim > x.ndim:
        raise ValueError(
            f"`{name}` of a `Masked` and an array of higher rank would move its masked axes; received {x.shape} and "
            f"{other.shape}. Add axes with indexing, e.g. `x[..., None]`."
        )
    shape = np.shape(other)
    try:
        jnp.broadcast_shapes(x.shape, shape)  # raises, before the masks do
    except ValueError as error:
        is_of_steps = 0 < len(shape) < x.ndim and tuple(shape) == tuple(x.shape[: len(shape)])
        axes = ", None" * (x.ndim - len(shape))
        remedy = f"A number for each step or row needs axes behind it, `y[...{axes}]`. " if is_of_steps else ""
        raise ValueError(
            f"`{name}` of a `Masked` takes values of a shape that broadcasts against its own; received {x.shape} and "
            f"{shape}. {remedy}({error})"
        ) from None


def _binary(function: Callable, *, guarded: bool, swap: bool = False) -> Callable[[X, Any], X]:
    """The operator's method. `guarded` keeps derivatives finite at padding, where the function's are unbounded."""
    name = function.__name__

    def method(self: X, other: Any) -> Any:
        host = is_host_only(self.values)
        if not isinstance(other, (Arithmetic, np.ndarray, jax.Array, *_SCALARS)):
            if hasattr(other, "__jax_array__"):  # a symbolic dimension, a variable of flax
                other = jnp.asarray(other)
            elif not host:
                return NotImplemented
        refuse_marks(other)
        _check_shapes(name, self, other)
        marks = join(marks_of(self), marks_of(other)) if isinstance(other, Arithmetic) else marks_of(self)
        # The mask of the result: a real step of one operand may meet padding in the other.
        left, right = (_operand(x, marks.mask if guarded or host else None, self.ndim) for x in (self, other))
        values = function(right, left) if swap else function(left, right)
        return rebuild(self, np.asarray(values) if host else values, marks)

    return method


def marks_of(x: Any) -> Marks:
    """The mask, the segment ids and the number of sequences of a `Masked`; none for an array."""
    return Marks(x.mask, x.segment_ids, x.num_sequences) if isinstance(x, Arithmetic) else Marks()


def rebuild(x: Any, values: Any, marks: Marks) -> Any:
    """A `Masked` like `x`, with mask and segment ids broadcast as the values were."""
    mask, ids, number = marks
    is_same = mask is x.mask and ids is x.segment_ids and number == x.num_sequences
    if is_same and values.shape[: mask.ndim] == mask.shape:
        return x.with_values(values)  # the same mask object, by which layers recognise it
    leading = values.shape[: mask.ndim]
    if tuple(leading) != tuple(mask.shape):  # an axis of size 1 was broadcast: a row repeated, or one step along time
        mask, ids = (None if array is None else jnp.broadcast_to(array, leading) for array in (mask, ids))
    return type(x)(values, mask, ids, number)


def _unary(function: Callable) -> Callable[[X], X]:
    def method(self: X) -> X:
        return self.with_values(function(guard(self.values, self.mask)))

    return method


def _matrix_product() -> Callable[[X, Any], X]:
    def method(self: X, other: Any) -> Any:
        """Values times a matrix over their last axis, which must be a feature axis."""
        if not isinstance(other, (np.ndarray, jax.Array)):
            return NotImplemented
        if self.mask.ndim >= self.ndim or other.ndim > 2:
            raise ValueError(
                "`@` contracts the last axis of a `Masked` with a vector or a matrix, and that axis must lie behind "
                f"the mask; received values {self.shape}, mask {self.mask.shape} and {other.shape}."
            )
        return self.with_values(self.fill(0) @ other)

    return method


def _reduction(name: str) -> Callable[Concatenate[X, ...], X]:
    remedy = f"`jm.ops.{name}(x, axis=...)`, which counts real steps only, or `x.unmasked().{name}()`"

    def method(self: X, axis: Any = None, *, keepdims: bool = False) -> X:
        axes = range(self.ndim) if axis is None else normalize_axis_tuple(axis, self.ndim)
        if any(a < self.mask.ndim for a in axes):
            raise TypeError(
                f"`x.{name}(axis={axis})` would count padding as data: the mask covers the first {self.mask.ndim} of "
                f"{self.ndim} axes. Use {remedy}."
            )
        values = guard(self.values, self.mask)
        return self.with_values(getattr(jnp, name)(values, axis=axis, keepdims=keepdims))

    method.__doc__ = f"`jnp.{name}` over feature axes, step by step; over masked axes use {remedy}."
    return method


class Arithmetic:
    """The operators; `Masked` is its only subclass."""

    __slots__ = ()

    values: Any
    mask: Any
    segment_ids: Any
    num_sequences: Any
    ndim: Any
    shape: Any
    fill: Any
    with_values: Any

    # `==` is elementwise, so a hash would promise an equality that does not hold.
    __hash__ = None  # pyright: ignore[reportAssignmentType]

    __add__ = _binary(operator.add, guarded=False)
    __radd__ = _binary(operator.add, guarded=False, swap=True)
    __sub__ = _binary(operator.sub, guarded=False)
    __rsub__ = _binary(operator.sub, guarded=False, swap=True)
    __mul__ = _binary(operator.mul, guarded=True)
    __rmul__ = _binary(operator.mul, guarded=True, swap=True)
    __truediv__ = _binary(operator.truediv, guarded=True)
    __rtruediv__ = _binary(operator.truediv, guarded=True, swap=True)
    __floordiv__ = _binary(operator.floordiv, guarded=True)
    __rfloordiv__ = _binary(operator.floordiv, guarded=True, swap=True)
    __mod__ = _binary(operator.mod, guarded=True)
    __rmod__ = _binary(operator.mod, guarded=True, swap=True)
    __pow__ = _binary(operator.pow, guarded=True)
    __rpow__ = _binary(operator.pow, guarded=True, swap=True)
    __and__ = _binary(operator.and_, guarded=False)
    __rand__ = _binary(operator.and_, guarded=False, swap=True)
    __or__ = _binary(operator.or_, guarded=False)
    __ror__ = _binary(operator.or_, guarded=False, swap=True)
    __xor__ = _binary(operator.xor, guarded=False)
    __rxor__ = _binary(operator.xor, guarded=False, swap=True)
    __lt__ = _binary(operator.lt, guarded=False)
    __le__ = _binary(operator.le, guarded=False)
    __gt__ = _binary(operator.gt, guarded=False)
    __ge__ = _binary(operator.ge, guarded=False)
    if TYPE_CHECKING:

        def __eq__(self, other: Any) -> Self: ...  # pyright: ignore[reportIncompatibleMethodOverride]
        def __ne__(self, other: Any) -> Self: ...  # pyright: ignore[reportIncompatibleMethodOverride]
    else:
        __eq__ = _binary(operator.eq, guarded=False)
        __ne__ = _binary(operator.ne, guarded=False)
    __matmul__ = _matrix_product()

    __neg__ = _unary(operator.neg)
    __pos__ = _unary(operator.pos)
    __abs__ = _unary(operator.abs)
    __invert__ = _unary(operator.invert)

    sum = _reduction("sum")
    mean = _reduction("mean")
    prod = _reduction("prod")
    max = _reduction("max")
    min = _reduction("min")
    any = _reduction("any")
    all = _reduction("all")
    var = _reduction("var")
    std = _reduction("std")
    argmax = _reduction("argmax")
    argmin = _reduction("argmin")
