"""How close counts as equal: the single table of tolerances."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ..core.masked import values_of

# Relative to the largest expected entry, or to 1 if that is larger: sums in another order differ by units in the last
# place of their largest term.
TOLERANCES = {
    "float64": 1e-11,
    "float32": 1e-5,
    "float16": 5e-3,
    "bfloat16": 4e-2,
    "difference": 1e-6,  # a gradient in float64 against a central difference
}


def assert_close(actual: Any, expected: Any, *, precision: str | None = None) -> None:
    """Asserts that two arrays are equal within the tolerance of a dtype; integers and bools must be equal.

    Args:
        actual: an array; for a `Masked`, its values including padding, which suits results with one entry per row. For
            steps, choose the contents of the padding first: `x.fill(0)`.
        expected: the same, in the same shape, of any dtype.
        precision: a name in `TOLERANCES`, the dtype of `actual` by default.

    Raises:
        AssertionError: the shapes differ, or entries are too far apart; the message shows both arrays.
        ValueError: there is no such precision.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.testing.assert_close(jnp.array([1.0, 2.0]), [1.0, 2.00001])
    >>> jm.testing.assert_close(jnp.array([1.0, 2.0]), [1.0, 2.1])
    Traceback (most recent call last):
    AssertionError: entries differ by up to 0.1, where 2.1e-05 is allowed
      expected: [1.  2.1]
      received: [1. 2.]
    """
    if precision is not None and precision not in TOLERANCES:
        raise ValueError(f"`precision` is one of {', '.join(map(repr, TOLERANCES))}, or None; received {precision!r}.")
    actual, expected = values_of(actual), values_of(expected)
    allowed = TOLERANCES[_precision(actual) if precision is None else precision] if _is_inexact(actual) else 0.0
    received, expected = _wide(actual), _wide(expected)
    if received.shape != expected.shape:
        raise AssertionError(f"the shapes differ{_texts(received, expected)}")
    finite = np.isfinite(expected)
    allowed *= max(1.0, np.abs(expected[finite]).max(initial=0.0))
    with np.errstate(invalid="ignore"):
        distance = np.where(received == expected, 0.0, np.abs(received - expected))
    distance[np.isnan(received) & np.isnan(expected)] = 0
    if not (distance <= allowed).all():
        raise AssertionError(
            f"entries differ by up to {distance.max():.2g}, where {allowed:.2g} is allowed{_texts(received, expected)}"
        )


def _is_inexact(x: Any) -> bool:
    return jnp.issubdtype(np.asarray(x).dtype, jnp.inexact)


def _precision(x: Any) -> str:
    return jnp.finfo(np.asarray(x).dtype).dtype.name


def _wide(x: Any) -> np.ndarray:
    x = np.asarray(x)
    return x.astype(np.complex128 if np.iscomplexobj(x) else np.float64)


def _texts(received: np.ndarray, expected: np.ndarray) -> str:
    texts = (np.array2string(x, precision=6, threshold=100, prefix=" " * 12) for x in (expected, received))
    return "\n  expected: {}\n  received: {}".format(*texts)
