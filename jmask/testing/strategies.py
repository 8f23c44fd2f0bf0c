"""Strategies of Hypothesis for `Masked`; needs the package, `pip install hypothesis`."""

from collections.abc import Sequence
from typing import Any

import jax
from hypothesis import strategies as st

from ..core.masked import Masked
from .examples import random_masked


def masked_batches(
    features: int | tuple[int, ...] = (),
    *,
    max_rows: int = 4,
    max_time: int = 6,
    dtype: Any = "float32",
    maximum: int | None = None,
    paddings: Sequence[str] = ("right", "left", "holes"),
) -> st.SearchStrategy[Masked]:
    """Batches of sequences of any lengths, with empty rows, with no steps at all, and with NaN in the padding.

    Shapes and masks are what Hypothesis shrinks; the numbers follow from a seed.

    Args:
        features: shape of a step.
        max_rows: at most so many rows.
        max_time: at most so many steps.
        dtype: of the values.
        maximum: for integers, one more than the largest.
        paddings: where padding may be.

    Returns:
        A strategy for `Masked`, values `(rows, time, *features)`.

    >>> import jmask as jm
    >>> from hypothesis import given, settings
    >>> from jmask.testing.strategies import masked_batches
    >>> @settings(max_examples=3, database=None)
    ... @given(masked_batches(2, max_rows=2, max_time=3))
    ... def test_total(x):
    ...     jm.testing.assert_exact(lambda x: jm.ops.sum(x, axis=1), x)
    >>> test_total()
    """

    def lengths_of(time: int) -> st.SearchStrategy[tuple[int, list[int]]]:
        rows = st.lists(st.integers(0, time), min_size=1, max_size=max_rows)
        return st.tuples(st.just(time), rows)

    def batch(drawn: Any) -> Masked:
        (time, lengths), padding, seed = drawn
        key, options = jax.random.key(seed), {"dtype": dtype, "maximum": maximum}
        return random_masked(key, lengths, features, time=time, padding=padding, **options)

    sizes = st.integers(0, max_time).flatmap(lengths_of)
    return st.tuples(sizes, st.sampled_from(list(paddings)), st.integers(0, 2**16)).map(batch)
