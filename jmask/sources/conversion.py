"""Conversion of host arrays to another dtype, which raises rather than change their meaning."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

OBJECT = np.dtype(object)

_NOT_IN_JAX = "gGmMV"  # longdouble, its complex counterpart, times and structured types, by `np.dtype.char`


def requested_dtype(dtype: Any) -> np.dtype:
    """The dtype that a caller requested; Python's `int` and `float` mean int32 and float32, as in JAX."""
    if any(dtype is kind for kind in (int, float, complex)):  # by identity: `np.dtype("int64") == int`, but is explicit
        return jax.dtypes.canonicalize_dtype(dtype)
    dtype = np.dtype(dtype)
    if dtype.kind in "UST" or dtype.char in _NOT_IN_JAX:
        raise TypeError(
            f"`dtype` must be a dtype of JAX, or object, which is also how strings are held; received {dtype}."
        )
    return dtype


def default_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype of the result for data of this dtype: int32 for int64 unless x64 is on, object for strings."""
    if dtype.kind in "OUST":
        return OBJECT
    if dtype.char in _NOT_IN_JAX:
        raise TypeError(f"JAX has no dtype {dtype}. Pass a `dtype`, or `dtype=object` to keep the data as it is.")
    return jax.dtypes.canonicalize_dtype(dtype)


def common_dtype(dtypes: set[np.dtype]) -> np.dtype:
    """The dtype of the result for arrays of several dtypes."""
    if any(dtype.kind in "OUST" for dtype in dtypes):
        return OBJECT
    if len(dtypes) > 1:  # NumPy's rules for bfloat16 and float8 are those of the ml_dtypes that is installed
        dtypes = {np.dtype(np.float32) if _is_small_float(dtype) else dtype for dtype in dtypes}
    try:
        common = np.result_type(*dtypes)
    except TypeError:
        common = None
    # NumPy promotes int64 and uint64 to float64, which cannot hold the ids of either.
    if common is None or (jnp.issubdtype(common, jnp.inexact) and not any(map(_is_inexact, dtypes))):
        names = ", ".join(sorted(map(str, dtypes)))
        raise TypeError(f"`sequences` of dtypes {names} have no dtype in common; pass the `dtype` that you want.")
    return default_dtype(common)


def _is_small_float(dtype: np.dtype) -> bool:
    """Whether it is a float that NumPy itself has not."""
    return _is_inexact(dtype) and dtype.kind not in "fc"


def convert_exactly(array: np.ndarray, dtype: np.dtype, name: str) -> np.ndarray:
    """The array in `dtype`; conversion to float may round, any other change of a value raises.

    Args:
        array: of any shape and dtype; Python integers beyond int64 are given as an object array.
        dtype: a number dtype, bool, or object.
        name: what the array is to the caller, for the errors.

    Returns:
        An array of the same shape; the same array if it already has the dtype.

    Raises:
        TypeError: something that is not a number, or is complex, would become a real number.
        ValueError: a fraction or NaN would become an integer.
        OverflowError: an integer does not fit, or a finite number would become infinite.
    """
    if array.dtype == dtype:
        return array
    if dtype == OBJECT:
        return array.astype(object)
    array = _numbers(array, dtype, name)
    if _is_inexact(dtype):
        return _to_inexact(array, dtype, name)
    return _to_integer(array, dtype, name)


def are_integers(array: np.ndarray) -> bool:
    """Whether an object array holds only Python integers."""
    return array.dtype == OBJECT and all(isinstance(leaf, int) for leaf in array.flat)


def is_missing(x: Any) -> bool:
    """Whether an object marks a missing value: None, or pandas' NA."""
    return x is None or type(x).__name__ in ("NAType", "NaTType")


def _numbers(array: np.ndarray, dtype: np.dtype, name: str) -> np.ndarray:
    """Raises for anything but numbers; objects are returned in their own dtype, integers of any size stay objects."""
    if array.dtype == OBJECT and not are_integers(array):
        array = np.array(array.tolist())
    is_number = array.dtype == bool or jnp.issubdtype(array.dtype, jnp.number) or are_integers(array)
    if not is_number:
        example = array.ravel()[:1].tolist()[0]
        raise TypeError(
            f"`{name}`: {example!r} is not a number and cannot be converted to {dtype}. "
            "Leave `dtype` out, or pass `dtype=object`."
        )
    if array.dtype.kind == "c" and not jnp.issubdtype(dtype, jnp.complexfloating):
        raise TypeError(f"`{name}`: {array.dtype} does not turn into {dtype}; take `.real` or `abs` of it first.")
    return array


def _to_inexact(array: np.ndarray, dtype: np.dtype, name: str) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        if array.dtype == OBJECT:
            array = np.array([_to_float(leaf, name) for leaf in array.flat]).reshape(array.shape)
        converted = array.astype(dtype)
    finite = np.isfinite(converted)
    if not finite.all():
        lost = ~finite & np.isfinite(array)
        if lost.any():
            raise OverflowError(
                f"`{name}`: {array[lost][0]} is beyond the range of {dtype}. Pass a wider `dtype`, or scale the data."
            )
    return converted


def _to_float(number: int, name: str) -> float:
    try:
        return float(number)
    except OverflowError:
        raise OverflowError(f"`{name}`: {_shown(number)} is beyond every float.") from None


def _to_integer(array: np.ndarray, dtype: np.dtype, name: str) -> np.ndarray:
    if array.size == 0:
        return array.astype(dtype)
    if _is_inexact(array.dtype):
        fractional = ~(np.isfinite(array) & (array == np.trunc(array)))
        if fractional.any():
            raise ValueError(
                f"`{name}`: {array[fractional][0]} is not an integer, so {dtype} would change it. "
                "Round it first, or pass a float `dtype`."
            )
    low, high = (0, 1) if dtype == bool else (jnp.iinfo(dtype).min, jnp.iinfo(dtype).max)
    for extreme in (array.min(), array.max()):
        if not low <= int(extreme) <= high:
            raise OverflowError(
                f"`{name}`: {_shown(extreme)} does not fit {dtype} ({low} to {high}). Pass a wider `dtype`; integers "
                "become int64 by default under `jax.config.update('jax_enable_x64', True)`."
            )
    return array.astype(dtype)


def _shown(number: Any) -> str:
    """The number as text, unless it has more digits than anyone reads, or than Python prints."""
    if isinstance(number, int) and number.bit_length() > 128:
        return f"an integer of {number.bit_length()} bits"
    return str(number) if isinstance(number, (int, np.integer)) else f"{float(number):.16g}"


def _is_inexact(dtype: np.dtype) -> bool:
    return jnp.issubdtype(dtype, jnp.inexact)
