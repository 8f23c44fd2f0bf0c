"""What a case gives and what it should give: its outputs and gradients, compiled once, and those of its oracle."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jmask as jm
from jmask.testing import assert_close
from tests.laws.cases import Case
from tests.support.batches import BATCH, LENGTHS, LONGER, TIME, draw_rows, place_all, real_steps, right

STEP = 1e-6  # of a central difference, whose error is about its square
QUICKLY = {"xla_backend_optimization_level": 0}  # programs that run only a few times

Rows = list[list[np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a case gives for a batch.

    Attributes:
        inputs: the batch.
        outputs: as they came.
        rows: for each leaf of the outputs its rows without padding.
        param_gradients: of the weighted sum of all outputs.
        input_gradients: the same, in the shape of the inputs.
    """

    inputs: list[Any]
    outputs: Any
    rows: Rows
    param_gradients: Any
    input_gradients: list[Any]

    @property
    def float_gradients(self) -> list[tuple[Any, Any]]:
        """Each input of floats with its gradient."""
        pairs = zip(self.inputs, self.input_gradients, strict=True)
        return [(x, gradient) for x, gradient in pairs if jnp.issubdtype(x.dtype, jnp.floating)]

    @property
    def input_gradient_rows(self) -> Rows:
        """The gradient of each input of floats at its real steps."""
        return [
            real_steps(jm.Masked(gradient.values, x.mask) if isinstance(x, jm.Masked) else gradient)
            for x, gradient in self.float_gradients
        ]


class Trial:
    """A case with random parameters and rows, compiled once for each shape.

    Attributes:
        case: the case.
        rng: for more numbers.
        params: arrays of NumPy, float64.
        rows: unpadded rows of each input, of `LENGTHS`.
        outputs: `case.run`, compiled.
        num_traces: how often outputs and gradients have been traced.
    """

    def __init__(self, case: Case, rng: np.random.Generator) -> None:
        self.case, self.rng, self.num_traces = case, rng, 0
        self.params = jax.tree.map(lambda spec: rng.normal(scale=0.5, size=spec.shape), case.params())
        self.rows = self.draw(LENGTHS)
        self.outputs = jax.jit(case.run, compiler_options=QUICKLY)
        self._compiled = jax.jit(self._trace, compiler_options=QUICKLY)

    def draw(self, lengths: Sequence[int]) -> list[list[Any]]:
        """Other rows, of other lengths."""
        return draw_rows(self.rng, self.case.inputs, lengths, self.case.overlapping)

    def batch(self, layout: np.ndarray, rows: Any = None, *, garbage: int = 1) -> list[Any]:
        """The rows as inputs; NaN in the padding of floats unless another kind of garbage is asked for."""
        return place_all(self.case.inputs, self.rows if rows is None else rows, layout, garbage)

    def outcome(self, layout: np.ndarray, rows: Any = None, **options: Any) -> Outcome:
        """What the case gives; options as for `batch`."""
        inputs = self.batch(layout, rows, **options)
        (param_gradients, input_gradients), outputs = self._compiled(self.params, inputs)
        return Outcome(inputs, outputs, rows_of(self.case, outputs), param_gradients, input_gradients)

    @functools.cached_property
    def base(self) -> Outcome:
        """For right padding that holds ordinary numbers."""
        return self.outcome(right(LENGTHS, TIME), garbage=0)

    @functools.cached_property
    def expected(self) -> Rows:
        """What the case should give."""
        return self.reference(self.params, self.rows)

    def reference(self, params: Any, rows: Sequence[Sequence[np.ndarray]]) -> Rows:
        """What the oracle gives for each row; without an oracle, what the case gives for padding on the right."""
        case = self.case
        if case.oracle is None:
            layout = right([len(row) for row in rows[0]], TIME)
            return rows_of(case, self.outputs(params, *self.batch(layout, rows)))
        if "batch" in case.kinds:
            return [[np.asarray(case.oracle(params, *rows))]]
        outputs = [jax.tree.leaves(case.oracle(params, *row)) for row in zip(*rows, strict=True)]
        return [list(map(np.asarray, leaf)) for leaf in zip(*outputs, strict=True)]

    def difference(self, param_direction: Any, row_directions: Any) -> float:
        """The central difference of the weighted sum of all outputs in a direction."""

        def value(step: float) -> float:
            directions = (param_direction, row_directions)
            moved = jax.tree.map(lambda x, d: x + step * d if d.any() else x, (self.params, self.rows), directions)
            return sum(
                np.sum(row * (weight[: len(row)] if kind == "sequence" else weight))
                for i, (kind, leaf) in enumerate(zip(self.case.kinds, self.reference(*moved), strict=True))
                for row, weight in zip(leaf, _weights(i, kind, leaf[0].shape), strict=True)
                if row.dtype == float
            )

        return (value(STEP) - value(-STEP)) / (2 * STEP)

    def _trace(self, params: Any, inputs: Any) -> Any:
        self.num_traces += 1

        def loss(params: Any, inputs: Any) -> Any:
            outputs = self.case.run(params, *inputs)
            return weighted_sum(self.case, outputs), outputs

        return jax.grad(loss, argnums=(0, 1), has_aux=True, allow_int=True)(params, inputs)


def leaves_of(outputs: Any) -> list[Any]:
    return jax.tree.leaves(outputs, is_leaf=lambda leaf: isinstance(leaf, jm.Masked))


def with_kinds(case: Case, outputs: Any) -> list[tuple[str, Any]]:
    """The leaves, after a check that sequences and what is pooled from them have masks, and others have none."""
    leaves = list(zip(case.kinds, leaves_of(outputs), strict=True))
    for kind, leaf in leaves:
        has_mask = kind in ("sequence", "pooled")
        assert isinstance(leaf, jm.Masked) == has_mask, f"a {kind} output came as {leaf!r}"
    return leaves


def rows_of(case: Case, outputs: Any) -> Rows:
    """The rows of every output; of what is pooled all rows, as an empty one has a documented value."""
    return [rows_of_leaf(kind, leaf) for kind, leaf in with_kinds(case, outputs)]


def rows_of_leaf(kind: str, leaf: Any) -> list[np.ndarray]:
    """The rows of one output, an array or a `Masked`."""
    if kind == "batch":
        return [np.asarray(leaf)]
    return (
        real_steps(leaf)
        if kind == "sequence"
        else list(np.asarray(leaf.values if isinstance(leaf, jm.Masked) else leaf))
    )


def assert_rows_equal(actual: Rows, expected: Rows, precision: str | None = None) -> None:
    """All rows of all outputs."""
    for i, (leaf, expected_leaf) in enumerate(zip(actual, expected, strict=True)):
        for j, (row, expected_row) in enumerate(zip(leaf, expected_leaf, strict=True)):
            try:
                assert_close(row, expected_row, precision=precision)
            except AssertionError as error:
                raise AssertionError(f"array {i}, row {j}: {error}") from None


def weighted_sum(case: Case, outputs: Any) -> Any:
    """A sum of all outputs that knows which entry of which step of which row is which; padding has no part in it."""
    total = jnp.zeros(())
    for i, (kind, leaf) in enumerate(with_kinds(case, outputs)):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            continue
        weights = _weights(i, kind, leaf.shape if kind == "batch" else leaf.shape[1:])
        if kind == "sequence":
            position = jnp.maximum(jnp.cumsum(leaf.mask, axis=1) - 1, 0)
            position = position.reshape(*position.shape, *(1,) * (leaf.ndim - 2))
            total += jnp.sum(leaf.fill(0) * jnp.take_along_axis(jnp.asarray(weights), position, axis=1))
        else:
            values = leaf.values if isinstance(leaf, jm.Masked) else leaf
            total += jnp.sum(values * weights.reshape(leaf.shape))
    return total


def _weights(i: int, kind: str, row_shape: tuple[int, ...]) -> np.ndarray:
    """For every row of an output; of sequences, for more steps than any has."""
    size = {"sequence": (BATCH, 2 * LONGER, *row_shape[1:]), "batch": (1, *row_shape)}
    return np.random.default_rng(i).normal(size=size.get(kind, (BATCH, *row_shape)))
