"""What type checkers infer from the code of users; pyright checks it, nothing runs it."""

from typing import assert_type

import jax
import numpy as np

import jmask as jm


def masked(x: jm.Masked, array: jax.Array) -> None:
    assert_type(x.values, jax.Array)
    assert_type(x.mask, jax.Array)
    assert_type(x.segment_ids, jax.Array | None)
    assert_type(x.lengths, jax.Array)
    assert_type(x.positions, jax.Array)
    assert_type(x.fill(0), jax.Array)
    assert_type(x.unmasked(), jax.Array)
    assert_type(x.ndim, int)
    assert_type(x.with_mask(array), jm.Masked)
    assert_type(x.with_values(array), jm.Masked)
    assert_type(x.with_segment_ids(array), jm.Masked)
    assert_type(x.map(jax.nn.relu), jm.Masked)
    assert_type(x.astype("float32"), jm.Masked)


def operators(x: jm.Masked, array: jax.Array) -> None:
    assert_type(x + 1, jm.Masked)
    assert_type(1 - x, jm.Masked)
    assert_type(x * array, jm.Masked)
    assert_type(x / x, jm.Masked)
    assert_type(x**2, jm.Masked)
    assert_type(x @ array, jm.Masked)
    assert_type(-x, jm.Masked)
    assert_type(abs(x), jm.Masked)
    assert_type(~(x > 0), jm.Masked)
    assert_type(x == x, jm.Masked)
    assert_type(x != 0, jm.Masked)
    assert_type(x < x, jm.Masked)
    assert_type((x > 0) & (x < 1), jm.Masked)
    assert_type(x[:, :5], jm.Masked)
    assert_type(x[..., None], jm.Masked)
    assert_type([row for row in x], list[jm.Masked])  # noqa: C416 - a loop over rows
    assert_type(x.sum(-1), jm.Masked)
    assert_type(x.max(axis=-1, keepdims=True), jm.Masked)


def constructors(values: jax.Array, mask: jax.Array) -> None:
    assert_type(jm.masked(values, mask), jm.Masked)
    assert_type(jm.as_masked(values), jm.Masked)
    assert_type(jm.from_lengths(values, [3, 2]), jm.Masked)
    assert_type(jm.from_segment_ids(values, mask), jm.Masked)
    assert_type(jm.from_attention_mask(values, mask), jm.Masked)
    assert_type(jm.from_cu_seqlens(values, [0, 3]), jm.Masked)
    assert_type(jm.from_position_ids(values, mask), jm.Masked)
    assert_type(jm.from_nan_padding(values), jm.Masked)
    assert_type(jm.to_attention_mask(values), jax.Array)


def data(x: jm.Masked) -> None:
    assert_type(jm.pad_sequences([[1, 2], [3]], padding="pre"), jm.Masked)
    assert_type(jm.unpad(x), list[np.ndarray])
    assert_type(jm.pack([[1, 2], [3]], row_length=8), jm.Masked)
    assert_type(jm.unpack(x), list[np.ndarray])
    assert_type(jm.unpack_batch(x, 4, 8), jm.Masked)
    aligned, restore = jm.left_align(x)
    assert_type(aligned, jm.Masked)
    assert_type(restore(aligned), jm.Masked)
