"""Inputs of a test: their specification, and batches of random numbers that fit it."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core.masked import Masked, fill, values_of
from ..graph.inputs import input_like
from ..graph.node import Node
from ..transform.sizes import is_symbolic
from .examples import draw_steps, garbage, place


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """What is known about an input before there are numbers.

    Attributes:
        features: the shape of a step, or for an input without a time axis, of a row.
        dtype: of the values.
        maximum: for integers, one more than the largest.
        is_sequence: whether there is a time axis.
    """

    features: tuple[int, ...]
    dtype: Any
    maximum: int | None
    is_sequence: bool

    def rows(self, key: Any, lengths: Sequence[int]) -> list[np.ndarray]:
        """Rows of these lengths."""
        shapes = [(n, *self.features) if self.is_sequence else self.features for n in lengths]
        return [draw_steps(key, row, shape, self.dtype, self.maximum) for row, shape in enumerate(shapes)]

    def batch(self, rows: Sequence[np.ndarray], mask: np.ndarray, kind: int) -> Any:
        """The rows as a batch with `garbage(kind)` in the padding."""
        batch = place(rows, mask, self.garbage(kind)) if self.is_sequence else np.stack(rows)
        return jax.tree.map(jnp.asarray, batch)

    def garbage(self, kind: int) -> Any:
        """What padding may hold; kind -1 is harmless, and so are kinds beyond the last."""
        kinds = garbage(self.dtype, self.maximum)
        return kinds[min(kind, len(kinds) - 1)]


def read_specs(specs: tuple[Any, ...], maximum: int | None) -> tuple[Any, ...]:
    """`InputSpec` for nodes and examples, in their structure."""
    leaves = (Masked, Node)
    found = jax.tree.map(lambda x: _read_spec(x, maximum), specs, is_leaf=lambda x: isinstance(x, leaves))
    if not any(spec.is_sequence for spec in jax.tree.leaves(found)):
        raise ValueError(
            "No input has a time axis of unknown size. Describe one by `jm.Input((None, features))`, ids by "
            "`jm.Input((None,), 'int32')`, or give an example that has a mask."
        )
    return found


def _read_spec(x: Any, maximum: int | None) -> InputSpec:
    node = input_like(x)
    is_sequence = node.ndim > 1 and is_symbolic(node.shape[1])
    features = node.shape[2:] if is_sequence else node.shape[1:]
    if any(map(is_symbolic, features)):
        raise ValueError(f"Only the sizes of the batch and of time may be unknown; received {node!r}.")
    if maximum is None and jnp.issubdtype(node.dtype, jnp.integer):
        maximum = _found_maximum(x)
    return InputSpec(features, node.dtype, maximum, is_sequence)


def _found_maximum(x: Any) -> int:
    """One more than the largest id of an example."""
    if not isinstance(values_of(x), (jax.Array, np.ndarray)):
        raise ValueError("Integer inputs need `maximum=`; ids are drawn from [0, maximum).")
    return int(np.max(fill(x, 0), initial=0)) + 1
