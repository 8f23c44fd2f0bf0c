"""The subject of a test: a layer or a function with its parameters, and its outcome for a batch."""

import contextlib
import dataclasses
import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core.errors import MaskDroppedWarning, strict
from ..core.masked import Masked, fill, is_masked
from .examples import Example


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The results for a batch: leaves that are arrays or `Masked`.

    Attributes:
        inputs: the leaves of the inputs.
        outputs: the leaves of the outputs.
        param_gradients: gradients of a weighted sum of the outputs at real steps.
        input_gradients: the same for every leaf of the inputs.
    """

    inputs: list[Any]
    outputs: list[Any]
    param_gradients: Any
    input_gradients: list[Any]


@dataclasses.dataclass(frozen=True)
class Subject:
    """A function of parameters and inputs, under test.

    Attributes:
        name: for messages.
        function: takes the parameters and a tuple of positional inputs.
        params: its parameters.
        specs: `InputSpec` in the structure of the inputs.
        key: a PRNG key for the numbers.
    """

    name: str
    function: Callable[[Any, tuple[Any, ...]], Any]
    params: Any
    specs: tuple[Any, ...]
    key: Any

    def inputs(self, example: Example, *, kind: int = -1, alone: Sequence[int] | None = None) -> tuple[Any, ...]:
        """The inputs of an example.

        Args:
            example: lengths and padding.
            kind: which garbage is at padded positions.
            alone: if given, only these rows, without padding; they have the same length.
        """
        leaves, structure = jax.tree.flatten(self.specs)
        batches = []
        for i, spec in enumerate(leaves):
            rows, mask = spec.rows(jax.random.fold_in(self.key, i), example.lengths), example.mask
            if alone is not None:
                rows = [rows[row] for row in alone]
                mask = np.ones((len(alone), example.lengths[alone[0]]), bool)
            batches.append(spec.batch(rows, mask, kind))
        return structure.unflatten(batches)

    def garbage(self, kind: int) -> str:
        """The contents of padded positions, as text."""
        return " and ".join({str(spec.garbage(kind)): spec for spec in jax.tree.leaves(self.specs) if spec.is_sequence})

    def run(self, inputs: tuple[Any, ...]) -> Any:
        """The outputs, computed eagerly, without `jax.jit`."""
        with _rules():
            return self.function(self.params, inputs)

    def shapes(self, inputs: tuple[Any, ...], *, is_strict: bool = False) -> list[Any]:
        """The leaves of the outputs as `jax.ShapeDtypeStruct` and `Masked` of them, for any lengths.

        Raises:
            MaskDroppedError: a mask is dropped, and `is_strict`.
        """
        with _rules(is_strict):
            return output_leaves(jax.eval_shape(self.function, self.params, inputs))

    def outcome(self, example: Example, **options: Any) -> Outcome:
        """The outcome for an example, compiled; options as for `inputs`."""
        inputs = self.inputs(example, **options)
        with _rules():
            (param_gradients, input_gradients), outputs = self._compiled(self.params, inputs)
        leaves = functools.partial(jax.tree.leaves, is_leaf=is_masked)
        return Outcome(leaves(inputs), output_leaves(outputs), param_gradients, leaves(input_gradients))

    def mapped(self, *examples: Example) -> list[list[Any]]:
        """The leaves of the outputs for examples of one shape, with one call under `jax.vmap`."""
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *map(self.inputs, examples))
        with _rules():
            outputs = jax.jit(jax.vmap(self.function, in_axes=(None, 0)))(self.params, stacked)
        rows = [jax.tree.map(lambda leaf, i=i: leaf[i], outputs) for i in range(len(examples))]
        return [output_leaves(row) for row in rows]

    @functools.cached_property
    def mixes_rows(self) -> bool:
        """Whether a result, such as a loss, is one number for the batch."""
        leaves = self.shapes(self.inputs(Example((1,), 2)))
        return any(leaf.ndim == 0 for leaf in leaves)

    @functools.cached_property
    def _compiled(self) -> Callable[[Any, tuple[Any, ...]], Any]:
        return jax.jit(with_gradients(self.function))  # without `self`, so that its programs are freed with it


@contextlib.contextmanager
def _rules(is_strict: bool = False) -> Iterator[None]:
    """Makes a dropped mask raise, or be ignored if it is not tested; products use the highest precision."""
    with strict(is_strict), warnings.catch_warnings(), jax.default_matmul_precision("highest"):
        warnings.simplefilter("ignore", MaskDroppedWarning)
        yield


def with_gradients(
    function: Callable[[Any, Any], Any], weighed: Callable[[Any], Sequence[Any]] | None = None
) -> Callable[[Any, Any], Any]:
    """Turns `function(params, inputs)` into one that returns the gradients of both, and the outputs.

    Args:
        function: the function.
        weighed: gives the leaves whose weighted sum is differentiated, by default those of the outputs.
    """

    def loss(params: Any, inputs: Any) -> Any:
        outputs = function(params, inputs)
        return weighted_sum((weighed or output_leaves)(outputs)), outputs

    return jax.grad(loss, argnums=(0, 1), has_aux=True, allow_int=True)


def output_leaves(outputs: Any) -> list[Any]:
    """Arrays and `Masked`."""
    return jax.tree.leaves(outputs, is_leaf=is_masked)


def weighted_sum(leaves: Sequence[Any]) -> Any:
    """A sum of all floats at real steps, with a different weight for every step of a row and every feature."""
    total = jnp.zeros(())
    for i, leaf in enumerate(leaves):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            continue
        if isinstance(leaf, Masked) and leaf.mask.ndim > 1:
            axis = leaf.mask.ndim - 1
            position = jnp.maximum(jnp.cumsum(leaf.mask, axis) - 1, 0)
            total += jnp.sum(leaf.fill(0) * jnp.asarray(weights(i, leaf.shape[axis:]), leaf.dtype)[position])
        else:
            total += jnp.sum(fill(leaf, 0) * jnp.asarray(weights(i, leaf.shape[1:]), leaf.dtype))
    return total


def weights(i: int, shape: tuple[int, ...]) -> np.ndarray:
    """The weights of one row of output `i`; those of a shorter row are a prefix of those of a longer one."""
    return np.random.default_rng(i).normal(size=shape)
