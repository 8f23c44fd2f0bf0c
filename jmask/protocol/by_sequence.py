"""Packed rows for layers that do not keep their sequences apart: such a layer gets a row for each sequence."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..core.arithmetic import expand
from ..core.display import is_concrete
from ..core.masked import Masked, is_masked
from ..core.packed_rows import sequence_rows, steps_of
from ..core.segment_ids import ids_of, not_kept_apart
from ..core.step_order import left_align
from . import path
from .arguments import Arguments, is_array

REMEDY = (
    "Say how many sequences there are, so that it gets a row for each, `x.with_segment_ids(x.segment_ids, "
    "num_sequences=n)`, or `jm.pack(sequences, num_sequences=n)`. A layer of your own that treats every step alone, or "
    "honours the segment ids, says so by `supports_packing = True`."
)


def is_packed(arguments: Arguments) -> bool:
    """Whether any of the inputs is packed."""
    return any(leaf.segment_ids is not None for group in arguments.masked.values() for leaf in group)


def rows_of_arguments(arguments: Arguments, layer: Any) -> tuple[Arguments, Callable[[Any], Any]]:
    """The inputs with a row for each sequence, and a function that packs the outputs again.

    An input that is not packed has an entry for each sequence, or a step for each of theirs.

    Args:
        arguments: the inputs of the call; some are packed.
        layer: the layer.

    Raises:
        ValueError: it is not known how many sequences there are, or an input fits neither them nor their steps.
    """
    leaves = [leaf for group in arguments.masked.values() for leaf in group if leaf.segment_ids is not None]
    number = max(_number_of(leaf, layer) for leaf in leaves)
    masks: dict[int, Any] = {}  # inputs with the same segment ids get the same mask, so that layers recognise it

    def rows(leaf: Any) -> Any:
        if not is_array(leaf):
            return leaf
        if getattr(leaf, "segment_ids", None) is not None:
            found = sequence_rows(leaf, number, leaf.mask.shape[-1])
            return Masked(found.values, masks.setdefault(id(leaf.segment_ids), found.mask))
        steps = leaves[0].mask.shape
        if tuple(leaf.shape[: len(steps)]) == tuple(steps):
            return _as_steps(leaf, leaves[0], number)
        if leaf.ndim and leaf.shape[0] == number:
            return leaf
        raise ValueError(
            f"{path.current()}: next to packed rows, an input of `{type(layer).__name__}` has a step for each of "
            f"theirs, {tuple(steps)}, or an entry for each sequence, ({number}, ...); received {tuple(leaf.shape)}."
        )

    inputs = arguments.with_leaves(rows)
    sources = [(leaf, masks[id(leaf.segment_ids)]) for leaf in leaves]

    def packed(leaf: Any) -> Any:
        return _packed(leaf, sources, raw=layer.raw_inputs) if is_masked(leaf) else leaf

    return inputs, lambda outputs: jax.tree.map(packed, outputs, is_leaf=is_masked)


def _number_of(leaf: Masked, layer: Any) -> int:
    number = leaf.num_sequences
    if number is None:
        raise not_kept_apart(leaf, f"{path.current()}: `{type(layer).__name__}`", REMEDY)
    return number


def _as_steps(leaf: Any, packed: Masked, number: int) -> Any:
    """An input with a step for each of the packed rows, as rows of the sequences; its own mask takes steps away."""

    def rows(array: Any) -> Masked:
        return sequence_rows(packed.with_values(array), number, packed.mask.shape[-1])

    values = rows(leaf.values if is_masked(leaf) else jnp.asarray(leaf))
    if not is_masked(leaf):
        return values.values
    return Masked(values.values, values.mask & rows(leaf.mask).values)


def _packed(output: Masked, sources: list[tuple[Masked, Any]], *, raw: bool) -> Masked:
    """An output packed like an input, if its steps are those of the input.

    That is so if it has the input's mask. If it has another mask of this shape, the layer has taken steps away or moved
    them, unless it has made the `Masked` itself: then its steps may be others, and it stays a batch with a row for each
    sequence.
    """
    same = next((source for source in sources if source[1] is output.mask), None)
    alike = next((source for source in sources if tuple(source[1].shape) == tuple(output.mask.shape)), None)
    if same is not None:
        x = same[0]
        return x.with_values(steps_of(output.values, x))
    if alike is None or raw:
        return output
    x, output = alike[0], _within(output, alike[1])
    ids = ids_of(x) * steps_of(jnp.asarray(output.mask), x)
    return Masked(steps_of(output.values, x), segment_ids=ids, num_sequences=x.num_sequences)


def _within(output: Masked, mask: Any) -> Masked:
    """An output whose steps are within those of their sequences: if some are not, all of that sequence go to its front.

    So a layer may turn its rows around, with the padding on the left then. Packed rows have no room for sequences that
    become longer.
    """
    moved, _ = left_align(Masked(output.values, output.mask))
    is_beyond, is_longer = ((steps & ~mask).any(-1, keepdims=True) for steps in (output.mask, moved.mask))
    if is_concrete(is_longer) and is_longer.any():
        k = int(is_longer[:, 0].argmax())
        raise ValueError(
            f"{path.current()}: a layer leaves packed sequences at most as many steps as they have, or there would be "
            f"no room; sequence {k + 1} has {int(mask[k].sum())}, and {int(output.mask[k].sum())} in its new mask. "
            "Unpack them first, `jm.unpack_batch(x, num_sequences, length)`."
        )
    values = jnp.where(expand(is_beyond, output.ndim), moved.values, output.values)
    if jnp.issubdtype(values.dtype, jnp.inexact):  # traced masks raise nothing, so the numbers have to tell
        values = jnp.where(expand(is_longer, output.ndim), jnp.nan, values)
    return Masked(values, jnp.where(is_beyond, moved.mask, output.mask))
