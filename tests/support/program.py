"""What a case gives and what it should give: its outputs and gradients, compiled once, and those of its oracle."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

import jmask as jm
from jmask.testing import assert_close
from jmask.testing.counting import Counted
from jmask.testing.subject import Outcome, output_leaves, weights, with_gradients
from tests.laws.cases import Case
from tests.support.batches import (
    BATCH,
    LENGTHS,
    PACKED,
    TIME,
    Steps,
    draw_rows,
    place_all,
    place_packed,
    real_steps,
    right,
)

STEP = 1e-6  # of a central difference, whose error is about its square
QUICKLY = {"xla_backend_optimization_level": 0}  # programs that run only a few times

Rows = list[list[np.ndarray]]


class Trial:
    """A case with random parameters and rows, compiled once for each shape.

    Attributes:
        case: the case.
        rng: for more numbers.
        params: arrays of NumPy, float64.
        rows: unpadded rows of each input, of `LENGTHS`.
        outputs: `case.run`, compiled.
    """

    def __init__(self, case: Case, rng: np.random.Generator) -> None:
        self.case, self.rng = case, rng
        self.params = jax.tree.map(lambda spec: rng.normal(scale=0.5, size=spec.shape), case.params())
        self.rows = self.draw(LENGTHS)
        self.outputs = jax.jit(case.run, compiler_options=QUICKLY)
        self._traced = Counted(with_gradients(lambda params, inputs: case.run(params, *inputs), self._weighed))
        self._compiled = jax.jit(self._traced, compiler_options=QUICKLY)

    def draw(self, lengths: Sequence[int]) -> list[list[Any]]:
        """Other rows, of other lengths."""
        return draw_rows(self.rng, self.case.inputs, lengths, self.case.overlapping)

    @property
    def num_traces(self) -> int:
        """How often outputs and gradients have been traced."""
        return self._traced.num_traces

    def batch(self, layout: np.ndarray, rows: Any = None, *, kind: int = 0) -> list[Any]:
        """The rows as inputs; NaN in the padding of floats unless another kind of garbage is asked for."""
        return place_all(self.case.inputs, self.rows if rows is None else rows, layout, kind)

    def outcome(self, layout: np.ndarray, rows: Any = None, **options: Any) -> Outcome:
        """What the case gives; options as for `batch`."""
        inputs = self.batch(layout, rows, **options)
        (param_gradients, input_gradients), outputs = self._compiled(self.params, inputs)
        return Outcome(inputs, output_leaves(outputs), param_gradients, output_leaves(input_gradients))

    def packed_outcome(self, rows: Any) -> Outcome:
        """What the case gives for several sequences in a row; results and gradients of steps by sequence.

        The inputs have the same segment ids, as the columns of a batch have.
        """
        case = self.case

        def run(params: Any, inputs: Any) -> list[Any]:
            xs = [_as_packed(spec, x, inputs[0]) for spec, x in zip(case.inputs, inputs[1:], strict=True)]
            leaves = zip(case.kinds, output_leaves(case.run(params, *xs)), strict=True)
            return [_by_sequence(kind, leaf) for kind, leaf in leaves]

        inputs = [PACKED, *place_packed(case.inputs, rows)]
        compiled = jax.jit(with_gradients(run, self._weighed), compiler_options=QUICKLY)
        (param_gradients, (_, *gradients)), outputs = compiled(self.params, inputs)
        gradients = [_as_packed(spec, g, PACKED) for spec, g in zip(case.inputs, gradients, strict=True)]
        return Outcome(inputs[1:], outputs, param_gradients, gradients)

    def rows_of(self, outcome: Outcome) -> Rows:
        """The rows of every output."""
        return rows_of(self.case, outcome.outputs)

    @functools.cached_property
    def base(self) -> Outcome:
        """For right padding that holds ordinary numbers."""
        return self.outcome(right(LENGTHS, TIME), kind=-1)

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
                np.sum(row * weights(i, row.shape[1:] if kind == "batch" else row.shape))
                for i, (kind, leaf) in enumerate(zip(self.case.kinds, self.reference(*moved), strict=True))
                for row in leaf
                if row.dtype == float
            )

        return (value(STEP) - value(-STEP)) / (2 * STEP)

    def _weighed(self, outputs: Any) -> list[Any]:
        """What is differentiated: of what is pooled empty rows as well, which have a documented value."""
        leaves = with_kinds(self.case, outputs)
        return [leaf.values if kind == "pooled" else leaf for kind, leaf in leaves]


def _as_packed(spec: Any, values: Any, segment_ids: Any) -> Any:
    return jm.from_segment_ids(values, segment_ids, num_sequences=BATCH) if isinstance(spec, Steps) else values


def _by_sequence(kind: str, leaf: Any) -> Any:
    """Packed rows as a row for each sequence; of one result a sequence, where none has a mask without packing, too."""
    if not isinstance(leaf, jm.Masked) or leaf.segment_ids is None:
        return leaf.values if kind == "array" and isinstance(leaf, jm.Masked) else leaf
    return jm.unpack_batch(leaf, BATCH, leaf.shape[1])


def with_kinds(case: Case, outputs: Any) -> list[tuple[str, Any]]:
    """The leaves, after a check that sequences and what is pooled from them have masks, and others have none."""
    leaves = list(zip(case.kinds, output_leaves(outputs), strict=True))
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
