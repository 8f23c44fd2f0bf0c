"""What a case gives and what it should give: its outputs and gradients, compiled once, and those of its oracle."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import batches
import jax
import jax.numpy as jnp
import numpy as np
from batches import BATCH, LONGER, TIME
from cases import Case

import jmask as jm
from jmask.testing import assert_close

STEP = 1e-6  # of a central difference: its error is about the square of it


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a case gives for a batch.

    Attributes:
        rows: for each leaf of the outputs its rows without padding.
        param_gradients: of the weighted sum of all outputs.
        input_gradients: the same, in the shape of the inputs.
        inputs: the batch.
        outputs: as they came.
    """

    rows: list[list[np.ndarray]]
    param_gradients: Any
    input_gradients: list[Any]
    inputs: list[Any]
    outputs: Any


class Program:
    """A case as one compiled function; counts how often it was traced."""

    def __init__(self, case: Case) -> None:
        self.case, self.num_traces = case, 0
        self._compiled = jax.jit(self._trace)

    def __call__(self, params: Any, inputs: Sequence[Any]) -> Outcome:
        (param_gradients, input_gradients), outputs = self._compiled(params, list(inputs))
        rows = rows_of(self.case, outputs)
        return Outcome(rows, param_gradients, input_gradients, list(inputs), outputs)

    def _trace(self, params: Any, inputs: Any) -> Any:
        self.num_traces += 1

        def loss(params: Any, inputs: Any) -> Any:
            outputs = self.case.run(params, *inputs)
            return weighted_sum(self.case, outputs), outputs

        return jax.grad(loss, argnums=(0, 1), has_aux=True, allow_int=True)(params, inputs)


class Reference:
    """What a case should give: its oracle's outputs for every row; without one, its own with padding on the right."""

    def __init__(self, case: Case) -> None:
        self.case, self._compiled = case, jax.jit(case.run)

    def __call__(self, params: Any, rows: Sequence[Sequence[np.ndarray]]) -> list[list[np.ndarray]]:
        case = self.case
        if case.oracle is None:
            layout = batches.right([len(row) for row in rows[0]], TIME)
            return rows_of(case, self._compiled(params, *batches.place_all(case.inputs, rows, layout)))
        if "batch" in case.kinds:
            return [[np.asarray(case.oracle(params, *rows))]]
        outputs = [jax.tree.leaves(case.oracle(params, *row)) for row in zip(*rows, strict=True)]
        return [list(leaf) for leaf in zip(*outputs, strict=True)]

    def difference(self, params: Any, rows: Any, param_direction: Any, row_directions: Any) -> float:
        """The central difference of the weighted sum of all outputs in a direction."""

        def value(step: float) -> float:
            moved = jax.tree.map(lambda x, d: x + step * d, (params, rows), (param_direction, row_directions))
            leaves = enumerate(zip(self.case.kinds, self(*moved), strict=True))
            return sum(
                np.sum(row * weight[: len(row)] if kind == "sequence" else row * weight)
                for j, (kind, leaf) in leaves
                for row, weight in zip(leaf, _weights(j, kind, leaf[0].shape), strict=True)
                if np.issubdtype(row.dtype, np.floating)
            )

        return (value(STEP) - value(-STEP)) / (2 * STEP)


def rows_of(case: Case, outputs: Any) -> list[list[np.ndarray]]:
    """The rows of every output, after a check that outputs of sequences have masks and others have none."""
    leaves = leaves_of(outputs)
    assert len(leaves) == len(case.kinds), f"{len(leaves)} outputs, not {len(case.kinds)}"
    for kind, leaf in zip(case.kinds, leaves, strict=True):
        assert isinstance(leaf, jm.Masked) == (kind == "sequence"), f"a {kind} output came as {leaf!r}"
    return [
        [np.asarray(leaf)] if kind == "batch" else batches.real_steps(leaf)
        for kind, leaf in zip(case.kinds, leaves, strict=True)
    ]


def leaves_of(outputs: Any) -> list[Any]:
    return jax.tree.leaves(outputs, is_leaf=lambda leaf: isinstance(leaf, jm.Masked))


def assert_rows_equal(actual: list[list[Any]], expected: list[list[Any]], precision: str | None = None) -> None:
    """All rows of all outputs."""
    assert len(actual) == len(expected), f"{len(actual)} outputs, not {len(expected)}"
    for j, (leaf, expected_leaf) in enumerate(zip(actual, expected, strict=True)):
        for i, (row, expected_row) in enumerate(zip(leaf, expected_leaf, strict=True)):
            try:
                assert_close(row, expected_row, precision=precision)
            except AssertionError as error:
                raise AssertionError(f"output {j}, row {i}: {error}") from None


def weighted_sum(case: Case, outputs: Any) -> Any:
    """A sum of all outputs that knows which entry of which step of which row is which; padding has no part in it."""
    total = jnp.zeros(())
    for j, (kind, leaf) in enumerate(zip(case.kinds, leaves_of(outputs), strict=True)):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            continue
        if kind != "sequence":
            shape = leaf.shape if kind == "batch" else leaf.shape[1:]
            total += jnp.sum(leaf * _weights(j, kind, shape).reshape(leaf.shape))
            continue
        position = jnp.maximum(jnp.cumsum(leaf.mask, axis=1) - 1, 0)
        weights = jnp.asarray(_weights(j, kind, leaf.shape[1:]))
        weights = jnp.take_along_axis(weights, position.reshape(*position.shape, *(1,) * (leaf.ndim - 2)), axis=1)
        total += jnp.sum(leaf.fill(0) * weights)
    return total


def _weights(j: int, kind: str, row_shape: tuple[int, ...]) -> np.ndarray:
    """For every row of an output: for a sequence, of more steps than any has."""
    size = {"sequence": (BATCH, 2 * LONGER, *row_shape[1:]), "pooled": (BATCH, *row_shape), "batch": (1, *row_shape)}
    return np.random.default_rng(j).normal(size=size[kind])
