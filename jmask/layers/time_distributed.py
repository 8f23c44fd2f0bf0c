"""A layer applied at every step: it sees a batch of sequences as one batch of steps."""

from typing import Any

import jax
import jax.numpy as jnp

from ..core.arithmetic import Marks, expand, join, marks_of
from ..core.masked import Masked, fill, is_masked, mask_of
from ..protocol import path
from ..protocol.initialize import eval_shape, init_layer
from ..protocol.layer import Layer
from ..protocol.layer_state import padded_batch_scope
from ..protocol.output_masks import uses_mask
from ..protocol.row_masks import with_steps
from .base import BaseMaskedLayer


class TimeDistributed(BaseMaskedLayer):
    """Applies a layer to every step of each sequence, with the same parameters.

    Inputs: `(batch, time, ...)`, or nests of them with the same batch and time. The layer sees a batch of all steps,
    `(batch * time, ...)`, and its outputs get the two axes back. So it must treat every row of its batch independently;
    a layer with batch statistics belongs outside, and raises if there are padded steps and no mask is left to mark
    them.

    A mask `(batch, time)` says which steps are real: the layer sees zeros at the others, as every layer does, and its
    outputs have the mask. With a mask of rank 3, `(documents, sentences, words)`, the layer gets its own part: an LSTM
    at each sentence sees `(documents * sentences, words, ...)` with the mask of the words, and its result for a
    sentence is real if the sentence has a real word. Outputs that have a mask keep it at the real steps. An empty row
    holds no real step and passes no gradient.

    In training the layer draws random numbers for each row of its batch, so dropout depends on the number of steps of
    the batch, but never on the contents of the padding.

    The parameters are those of the wrapped layer.

    Attributes:
        layer: the layer to apply at every step.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> words = jm.masked(jnp.ones((1, 2, 3, 5)), jnp.array([[[True, True, False], [False, False, False]]]))
    >>> layer = jm.layers.TimeDistributed(jm.layers.LSTM(4))
    >>> sentences = layer.apply(layer.init(jax.random.key(0), words), words)
    >>> sentences.shape, sentences.mask.tolist()
    ((1, 2, 4), [[True, False]])
    """

    layer: Layer

    def __post_init__(self) -> None:
        """Validates the layer."""
        if not isinstance(self.layer, Layer):
            raise TypeError(f"`TimeDistributed` applies a layer at every step; received {self.layer!r}.")

    @property
    def _uses_mask(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - here it depends
        """Whether the wrapped layer uses the mask."""
        return uses_mask(self.layer)

    def init(self, key: Any, inputs: Any) -> Any:
        """The parameters of the layer."""
        inputs = jax.tree.map(with_steps, inputs, is_leaf=is_masked)
        _check(jax.tree.leaves(inputs, is_leaf=is_masked))
        return init_layer(self.layer, key, (eval_shape(_as_batch, inputs),))

    def call(self, params: Any, inputs: Any, training: bool = False, key: Any = None) -> Any:
        """`(batch, time, ...)` -> the layer's output for each step, `(batch, time, ...)`."""
        inputs = jax.tree.map(with_steps, inputs, is_leaf=is_masked)
        leaves = jax.tree.leaves(inputs, is_leaf=is_masked)
        _check(leaves)
        folded = _as_batch(inputs)
        with padded_batch_scope([leaf.mask.ndim for leaf in leaves if isinstance(leaf, Masked)]):
            outputs = self.layer.apply(params, folded, training=training, key=key)
        rows, steps = jax.tree.leaves(folded, is_leaf=is_masked), _real_steps(leaves)
        return jax.tree.map(lambda leaf: _as_steps(leaf, leaves, rows, steps), outputs, is_leaf=is_masked)


def _check(leaves: list[Any]) -> None:
    """Raises unless all inputs have the same batch and time."""
    for leaf in leaves:
        if leaf.ndim < 2 or (isinstance(leaf, Masked) and leaf.mask.ndim < 2):
            mask = f" with a mask {tuple(leaf.mask.shape)}" if isinstance(leaf, Masked) else ""
            raise ValueError(
                f"{path.current()}: `TimeDistributed` takes values (batch, time, ...), with a mask (batch, time) or "
                f"(batch, time, ...); received {tuple(leaf.shape)}{mask}."
            )
    if len({tuple(leaf.shape[:2]) for leaf in leaves}) != 1:
        raise ValueError(
            f"{path.current()}: `TimeDistributed` takes inputs with the same batch and time; received "
            f"{[tuple(leaf.shape) for leaf in leaves]}."
        )


def _as_batch(inputs: Any) -> Any:
    """Merges batch and time into one axis; padded steps become zeros, or keep the remaining axes of the mask."""

    def fold(leaf: Any) -> Any:
        if mask_of(leaf) is None or leaf.mask.ndim == 2:
            return _join_axes(jnp.asarray(fill(leaf, 0)))
        return jax.tree.map(_join_axes, leaf)

    return jax.tree.map(fold, inputs, is_leaf=is_masked)


def _join_axes(array: Any) -> Any:
    return jnp.reshape(array, (array.shape[0] * array.shape[1], *array.shape[2:]))


def _real_steps(leaves: list[Any]) -> Masked | None:
    """Which steps are real, without values; None if all are. With a mask of rank 3, a step with any real entry is."""
    found = [leaf for leaf in leaves if isinstance(leaf, Masked)]
    marks = Marks()
    for leaf in found:
        is_flat = leaf.mask.ndim == 2
        marks = join(marks, marks_of(leaf) if is_flat else Marks(leaf.mask.any(tuple(range(2, leaf.mask.ndim)))))
    return None if marks.mask is None else Masked(None, *marks)


def _as_steps(leaf: Any, inputs: list[Any], rows: list[Any], steps: Masked | None) -> Any:
    """An output of the layer with batch and time split again, under its own mask and that of the steps."""
    batch, time = inputs[0].shape[:2]
    if leaf.ndim == 0 or leaf.shape[0] != batch * time:
        raise ValueError(
            f"{path.current()}: `TimeDistributed` applies a layer that gives a result for each row of its batch, "
            f"{batch * time} here; one of its outputs has shape {tuple(leaf.shape)}."
        )
    output = jax.tree.map(lambda array: jnp.reshape(array, (batch, time, *array.shape[1:])), leaf)
    if steps is None:
        return output
    if not isinstance(output, Masked):
        return steps.with_values(output)
    if len(rows) == 1 and leaf.mask is mask_of(rows[0]):  # the layer has passed on the mask it was given
        return inputs[0].with_values(output.values)
    return Masked(output.values, *join(marks_of(output), Marks(expand(steps.mask, output.mask.ndim))))
