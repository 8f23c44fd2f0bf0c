"""Ragged tensors of torch and TensorFlow, read through their attributes."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from .nested import Leaf, Lists, joined, ranges


def host_array(tensor: Any) -> np.ndarray:
    """A tensor as a NumPy array, including torch's bfloat16 and float8, which torch itself does not convert."""
    kind = str(getattr(tensor, "dtype", "")).removeprefix("torch.")
    if (kind == "bfloat16" or kind.startswith("float8")) and hasattr(tensor, "float"):
        return np.asarray(tensor.float()).astype(jnp.dtype(kind))  # exact: float32 holds all of its numbers
    return np.asarray(tensor)


def read_nested_tensor(tensor: Any) -> Lists:
    """Reads a torch nested tensor: the values and offsets of a jagged one, the parts of a strided one."""
    if str(tensor.layout).endswith("jagged") and getattr(tensor, "_ragged_idx", 1) == 1:
        offsets, values = np.asarray(tensor.offsets(), np.int64), Leaf(host_array(tensor.values()))
        lengths = tensor.lengths()
        if lengths is not None:  # there may be anything between the sequences
            lengths = np.asarray(lengths, np.int64)
            return Lists(lengths, values.taken(ranges(offsets[: len(lengths)], lengths)))
        return Lists(np.diff(offsets), values.taken(slice(offsets[0], offsets[-1])))
    parts = [host_array(part) for part in tensor.unbind()]
    shapes = {part.shape[1:] for part in parts}
    if len(shapes) > 1:
        raise ValueError(
            "All steps of `sequences` must have the same shape; the tensors of this nested tensor have steps of shapes "
            f"{', '.join(map(str, sorted(shapes)))}."
        )
    if not parts:
        return Lists(np.zeros(0, np.int64), Leaf(np.zeros(0, np.int32), typeless=True))
    return Lists(np.array([len(part) for part in parts], np.int64), joined([Leaf(part) for part in parts]))


def read_packed(packed: Any) -> Lists:
    """Reads a torch `PackedSequence`: all first steps, then all second steps, the longest sequence first."""
    counts = np.asarray(packed.batch_sizes, np.int64)
    lengths = (counts[:, None] > np.arange(counts[0] if len(counts) else 0)).sum(0)
    places = np.cumsum(counts) - counts  # where the steps of each time begin
    steps = ranges(np.zeros(len(lengths), np.int64), lengths)
    index = places[steps] + np.repeat(np.arange(len(lengths)), lengths)
    lists = Lists(lengths, Leaf(host_array(packed.data)).taken(index))
    order = packed.unsorted_indices
    return lists if order is None else lists.taken(np.asarray(order))


def read_ragged(tensor: Any) -> Lists:
    """Reads a TensorFlow `RaggedTensor`."""
    splits = [np.asarray(rows, np.int64) for rows in tensor.nested_row_splits]
    items: Any = Leaf(host_array(tensor.flat_values)[: splits[-1][-1]])
    for rows in reversed(splits):
        items = Lists(np.diff(rows), items, certain=True)
    return items
