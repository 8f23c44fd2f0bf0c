"""Fixtures for pytest, which finds them where jmask is installed; only tests that use them import jmask."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest


@pytest.fixture
def masked_batch(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Makes a random batch with NaN in the padding, the same in each run of the test: `masked_batch(features=4)`.

    The function takes what `jm.testing.random_masked` does after the key; lengths are 3, 0, 5 and 1 unless they are
    given, so that there is an empty row, and another batch at each call.
    """
    seed, calls = zlib.crc32(request.node.name.encode()), iter(range(1 << 30))

    def make(features: int | tuple[int, ...] = (), lengths: Sequence[int] = (3, 0, 5, 1), **options: Any) -> Any:
        import jax

        import jmask as jm

        key = jax.random.fold_in(jax.random.key(seed), next(calls))
        return jm.testing.random_masked(key, lengths, features, **options)

    return make


@pytest.fixture
def poisoned() -> Callable[[Any], Iterator[Any]]:
    """Gives a batch with NaN, infinities and other numbers in its padding, one after the other.

    `for y in poisoned(x)` goes through them; real steps stay as they are.
    """

    def poison(inputs: Any) -> Iterator[Any]:
        import jmask as jm

        return jm.testing.poisonings(inputs)

    return poison
