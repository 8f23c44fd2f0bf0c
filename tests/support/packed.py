"""Packed rows for tests, and a comparison with each sequence alone: values, masks and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.masked import GARBAGE

# Holes, room at the end, a row without a sequence; ids 5 and 9 have no steps.
IDS = np.array([[4, 4, 4, 0, 4, 2, 2, 0], [0, 7, 7, 1, 0, 0, 3, 0], [0] * 8, [8, 8, 6, 6, 6, 6, 0, 0]], np.int32)
NUMBER = 9


def packed_rows(rng, *features, ids=IDS, num_sequences=NUMBER, dtype=np.float32):
    """Random numbers with garbage in the padding; integers count from 0 to 3."""
    shape = (*ids.shape, *features)
    is_float = np.issubdtype(dtype, np.floating)
    values = rng.normal(size=shape).astype(dtype) if is_float else rng.integers(0, 4, shape).astype(dtype)
    padded = np.broadcast_to((ids == 0).reshape(*ids.shape, *(1,) * len(features)), shape)
    values[padded] = np.resize(GARBAGE, padded.sum()) if is_float else -99
    return jm.from_segment_ids(jnp.asarray(values), jnp.asarray(ids), num_sequences=num_sequences)


def reordered(x):
    """The same sequences in the same rows, in other places."""
    order = np.stack([np.argsort(-row, kind="stable") for row in np.asarray(x.segment_ids)])
    values = np.take_along_axis(np.asarray(x.values), order.reshape(*order.shape, *(1,) * (x.ndim - 2)), 1)
    ids = np.take_along_axis(np.asarray(x.segment_ids), order, 1)
    return jm.from_segment_ids(jnp.asarray(values), jnp.asarray(ids), num_sequences=x.num_sequences)


def parts_of(y):
    """For each sequence its result: its steps in packed rows, its row of a batch, or its entry; None if it has none."""
    if isinstance(y, jm.Masked) and y.segment_ids is not None:
        assert y.num_sequences == NUMBER
        return jm.unpack(y, num_sequences=NUMBER)
    assert isinstance(y, jm.Masked)
    assert y.shape[0] == NUMBER
    values, mask = np.asarray(y.values), np.asarray(y.mask)
    if mask.ndim == 1:
        return [entry if real else None for entry, real in zip(values, mask, strict=True)]
    return [row[real] for row, real in zip(values, mask, strict=True)]


def assert_like_alone(run, alone, *inputs, has_gradient=True, may_be_empty=False):
    """Compares a function of packed rows with the same on each sequence alone.

    Args:
        run: the function of packed rows, and of other arrays `(num_sequences, ...)`.
        alone: the same for one sequence without padding; arrays arrive as the entry of the sequence.
        inputs: packed rows and arrays.
        has_gradient: whether to compare gradients too.
        may_be_empty: whether `alone` takes a sequence of 0 steps; otherwise its result is to be empty or masked.
    """
    values = [x.values if isinstance(x, jm.Masked) else x for x in inputs]

    def of_values(*values):
        found = [x.with_values(v) if isinstance(x, jm.Masked) else v for x, v in zip(inputs, values, strict=True)]
        return run(*found)

    y = jax.jit(of_values)(*values)
    sequences = list(zip(*map(_sequences, inputs), strict=True))
    expected = [alone(*s) if may_be_empty or s[0].shape[0] else None for s in sequences]
    found = parts_of(y)
    for part, want in zip(found, expected, strict=True):
        if want is None:
            assert part is None or part.shape[0] == 0
        elif part is None:
            assert want.shape[0] == 0
        else:
            assert_close(part, np.asarray(want).reshape(part.shape))
    if has_gradient:
        _compare_gradients(of_values, alone, y, found, inputs, values, sequences)
    return y


def _sequences(x):
    if isinstance(x, jm.Masked) and x.segment_ids is not None:
        return jm.unpack(x, num_sequences=NUMBER)
    return list(np.asarray(x.values if isinstance(x, jm.Masked) else x))


def _compare_gradients(of_values, alone, y, found, inputs, values, sequences):
    """Pulls back the same random numbers for the results of each sequence."""
    rng = np.random.default_rng(0)
    weights = [None if part is None else rng.normal(size=part.shape).astype(y.dtype) for part in found]
    cotangent = np.zeros(y.shape, y.dtype)
    for k, weight in enumerate(weights):
        if weight is None:
            continue
        if y.segment_ids is not None:
            cotangent[np.asarray(y.segment_ids) == k + 1] = weight
        elif y.mask.ndim == 1:
            cotangent[k] = weight
        else:
            cotangent[k][np.asarray(y.mask[k])] = weight
    gradients = jax.jit(lambda values, c: jax.vjp(lambda *v: of_values(*v).values, *values)[1](c))(values, cotangent)
    for place, (x, gradient) in enumerate(zip(inputs, gradients, strict=True)):
        gradient = np.asarray(gradient)
        assert np.isfinite(gradient).all()
        if isinstance(x, jm.Masked) and x.segment_ids is not None:
            assert not gradient[np.asarray(x.segment_ids) == 0].any()
        by_sequence = _sequences(x.with_values(gradient) if isinstance(x, jm.Masked) else gradient)
        for own, part, weight in zip(sequences, by_sequence, weights, strict=True):
            if weight is not None and weight.size and own[0].shape[0]:
                result, pull = jax.vjp(alone, *own)
                assert_close(part, pull(jnp.asarray(weight.reshape(result.shape)))[place])
            else:
                assert not part.any()


def some_slow(names, quick):
    """Parameters of a test: those that are not among the quick ones are marked slow."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]
