"""Every row of the table meets every law. A failure names the row and the laws that it breaks."""

import inspect
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from batches import LENGTHS, LONGER, OTHER_LENGTHS, TIME, Steps, draw_rows, holes, left, place_all, real_steps, right
from cases import CASES, LAWS, Case
from program import Outcome, Program, Reference, assert_rows_equal, leaves_of, rows_of

import jmask as jm
from jmask.testing import assert_close

EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=str)
NEED_NO_ROW = {
    "rnn.Cell": "a protocol",
    "rnn.LSTMParams": "a container",
    "rnn.LSTMState": "a container",
    "rnn.lstm_step": "one step of one sequence, before there are masks",
}


@pytest.fixture(autouse=True)
def strict() -> Iterator[None]:
    """No row drops a mask."""
    with jm.strict():
        yield


def test_the_table_is_complete():
    rooms = {"ops": jm.ops, "rnn": jm.rnn, "layers": jm.layers}
    public = {
        f"{room}.{name}"
        for room, module in rooms.items()
        for name, member in vars(module).items()
        if not name.startswith("_") and not inspect.ismodule(member)
    }
    assert public - {case.covers for case in CASES} == NEED_NO_ROW.keys()


def test_names_and_skips_are_those_of_the_table():
    assert len({case.name for case in CASES}) == len(CASES)
    for case in CASES:
        assert set(case.skips) <= set(LAWS), case
        assert all(case.skips.values()), case
        assert ("exact" in case.skips) == (case.oracle is None), case


@EVERY_CASE
def test_one_program_for_all_masks(case, rng, x64):
    params, rows, other_rows, no_rows = draw(case, rng, LENGTHS, OTHER_LENGTHS, [0] * len(LENGTHS))
    program, reference = Program(case), Reference(case)
    base = program(params, place_all(case.inputs, rows, right(LENGTHS, TIME)))

    def garbage(i: int) -> Outcome:
        return program(params, place_all(case.inputs, rows, right(LENGTHS, TIME), garbage=i))

    def in_layout(layout: np.ndarray, rows: Any = rows) -> Outcome:
        return program(params, place_all(case.inputs, rows, layout, garbage=1))

    def lengths_after_each_other() -> None:
        assert_rows_equal(in_layout(right(OTHER_LENGTHS, TIME), other_rows).rows, reference(params, other_rows))
        assert program.num_traces == 1, f"{program.num_traces} traces"

    def empty_batch() -> None:
        outcome = in_layout(right([0] * len(LENGTHS), TIME), no_rows)
        assert_rows_equal(outcome.rows, reference(params, no_rows))
        assert_no_gradient_at_padding(outcome)

    expected = reference(params, rows)
    on_the_left, with_holes = in_layout(left(LENGTHS, TIME)), in_layout(holes(LENGTHS, TIME))
    judge(
        case,
        {
            "exact": lambda: assert_rows_equal(base.rows, expected),
            "gradients": lambda: assert_gradients(base, reference, params, rows, rng),
            "padding gradient": lambda: [assert_no_gradient_at_padding(o) for o in (garbage(1), on_the_left, with_holes)],
            "invisible padding": lambda: [assert_identical(garbage(i), base) for i in range(1, 5)],
            "left padding": lambda: assert_same(on_the_left, expected, base),
            "holes": lambda: assert_same(with_holes, expected, base),
            "empty batch": empty_batch,
            "one compile": lengths_after_each_other,
        },
    )


@EVERY_CASE
def test_padding_and_its_side(case, rng, x64):
    params, rows, other_rows = draw(case, rng, LENGTHS, OTHER_LENGTHS)
    program, reference = Program(case), Reference(case)
    base = Program(case)(params, place_all(case.inputs, rows, right(LENGTHS, TIME)))
    expected = base.rows if case.oracle is None else reference(params, rows)

    def with_hint(side: str, layout: np.ndarray, rows: Any = rows) -> Outcome:
        hint = None if case.overlapping else side
        outcome = program(params, place_all(case.inputs, rows, layout, garbage=1, side=hint))
        for leaf in leaves_of(outcome.outputs):
            if isinstance(leaf, jm.Masked):
                jm.masked(leaf.values, leaf.mask, padding_side=leaf.padding_side)  # raises if the hint is wrong
        return outcome

    def lengths_after_each_other() -> None:
        traces = program.num_traces
        with_hint("right", right(OTHER_LENGTHS, LONGER), other_rows)
        assert program.num_traces == traces, "another trace for other lengths"

    longer = with_hint("right", right(LENGTHS, LONGER))
    judge(
        case,
        {
            "more padding": lambda: assert_same(longer, expected, base),
            "padding side": lambda: assert_same(with_hint("left", left(LENGTHS, TIME)), expected, base),
            "padding gradient": lambda: assert_no_gradient_at_padding(longer),
            "one compile": lengths_after_each_other,
        },
    )


@EVERY_CASE
def test_transforms(case, rng, x64):
    params, rows, other_rows = draw(case, rng, LENGTHS, OTHER_LENGTHS)
    reference = Reference(case)
    expected = reference(params, rows)
    first = place_all(case.inputs, rows, holes(LENGTHS, TIME), garbage=1)
    second = place_all(case.inputs, other_rows, right(OTHER_LENGTHS, TIME), garbage=1)

    def eager() -> Any:
        outputs = case.run(params, *first)
        assert_rows_equal(rows_of(case, outputs), expected)
        return outputs

    def vmap() -> None:
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), first, second)
        outputs = jax.jit(jax.vmap(case.run, in_axes=(None, *[0] * len(stacked))))(params, *stacked)
        for i, expected_rows in enumerate((expected, reference(params, other_rows))):
            assert_rows_equal(rows_of(case, jax.tree.map(lambda leaf: leaf[i], outputs)), expected_rows)

    def pickled() -> None:
        outputs = eager()
        assert_rows_equal(rows_of(case, pickle.loads(pickle.dumps(outputs))), rows_of(case, outputs))

    laws = {"eager": eager, "vmap": vmap, "pickle": pickled, "arrays": lambda: assert_arrays(case, rng, params)}
    judge(case, laws | ({"ranks": lambda: assert_ranks(case, rng, params)} if case.any_rank else {}))


@EVERY_CASE
def test_dtypes(case, rng):
    params, rows = draw(case, rng, LENGTHS)
    if not any(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves((params, rows))):
        pytest.skip("no floats")

    def result_in(dtype: str) -> None:
        rounded = cast((params, rows), dtype)
        outputs = jax.jit(case.run)(rounded[0], *place_all(case.inputs, rounded[1], right(LENGTHS, TIME), garbage=1))
        dtypes = {leaf.dtype for leaf in leaves_of(outputs) if jnp.issubdtype(leaf.dtype, jnp.floating)}
        assert dtypes <= {jnp.dtype(dtype)}, f"the outputs are {dtypes}"
        assert_rows_equal(rows_of(case, outputs), Reference(case)(*cast(rounded, "float64")), precision=dtype)

    judge(case, {dtype: lambda dtype=dtype: result_in(dtype) for dtype in ("float32", "bfloat16")})


def judge(case: Case, laws: dict[str, Callable[[], Any]]) -> None:
    """Tries each law that the case does not skip, and fails with all that are broken."""
    broken = []
    for law, check in laws.items():
        try:
            if law not in case.skips:
                check()
        except AssertionError as error:
            broken.append(f"{case.name} breaks the law '{law}': {error}")
    if broken:
        pytest.fail("\n\n".join(broken), pytrace=False)


def draw(case: Case, rng: np.random.Generator, *lengths: Sequence[int]) -> tuple[Any, ...]:
    """Parameters, and rows of these lengths."""
    params = jax.tree.map(lambda spec: rng.normal(scale=0.5, size=spec.shape), case.params())
    return params, *(draw_rows(rng, case.inputs, n, case.overlapping) for n in lengths)


def cast(tree: Any, dtype: str) -> Any:
    """Floats of another dtype; integers as they are."""
    return jax.tree.map(lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


def assert_same(outcome: Outcome, expected: Any, base: Outcome) -> None:
    """The values that are expected, and the gradients of another layout."""
    assert_rows_equal(outcome.rows, expected)
    jax.tree.map(assert_close, outcome.param_gradients, base.param_gradients)
    assert_rows_equal(input_gradient_rows(outcome), input_gradient_rows(base))


def assert_identical(outcome: Outcome, base: Outcome) -> None:
    """Not a bit differs."""
    for a, b in zip(jax.tree.leaves(outcome.rows), jax.tree.leaves(base.rows), strict=True):
        assert np.array_equal(a, b), f"a value is {a}, not {b}"
    gradients = [(o.param_gradients, input_gradient_rows(o)) for o in (outcome, base)]
    for a, b in zip(*map(jax.tree.leaves, gradients), strict=True):
        assert np.array_equal(a, b), f"a gradient is {a}, not {b}"


def assert_no_gradient_at_padding(outcome: Outcome) -> None:
    for leaf in jax.tree.leaves(outcome.param_gradients):
        assert np.isfinite(leaf).all(), f"a gradient of parameters is {leaf}"
    for x, gradient in floats_of(outcome):
        values = np.asarray(gradient.values if isinstance(x, jm.Masked) else gradient)
        assert np.isfinite(values).all(), f"a gradient of inputs is {values}"
        if isinstance(x, jm.Masked):
            assert not values[~np.asarray(x.mask)].any(), f"the gradient at padding is {values[~np.asarray(x.mask)]}"


def assert_gradients(base: Outcome, reference: Reference, params: Any, rows: Any, rng: np.random.Generator) -> None:
    """Gradients of the parameters and of each input against a difference of the oracle in a random direction."""
    zeros = jax.tree.map(np.zeros_like, (params, rows))
    param_direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), params)
    slope = sum(map(np.vdot, jax.tree.leaves(base.param_gradients), jax.tree.leaves(param_direction)))
    expected = reference.difference(params, rows, param_direction, zeros[1])
    assert_close(np.asarray(slope, float), expected, precision="difference")

    gradients = iter(input_gradient_rows(base))
    for i, leaf in enumerate(rows):
        if leaf[0].dtype != float:
            continue
        direction = [rng.normal(size=row.shape) * (row != 0) for row in leaf]  # a step of zeros may be a marker
        real = [d[~np.isnan(row)] for d, row in zip(direction, leaf, strict=True)]
        slope = sum(np.vdot(g.ravel(), d) for g, d in zip(next(gradients), real, strict=True))
        expected = reference.difference(params, rows, zeros[0], [*zeros[1][:i], direction, *zeros[1][i + 1 :]])
        assert_close(np.asarray(slope), expected, precision="difference")


def assert_arrays(case: Case, rng: np.random.Generator, params: Any) -> None:
    """Arrays are sequences without padding."""
    rows = draw_rows(rng, case.inputs, [TIME] * len(LENGTHS), overlapping=False)
    outputs = case.run(params, *map(np.stack, rows))
    actual = [
        [leaf] if kind == "batch" else real_steps(leaf)
        for kind, leaf in zip(case.kinds, leaves_of(outputs), strict=True)
    ]
    assert_rows_equal(actual, Reference(case)(params, rows))


def assert_ranks(case: Case, rng: np.random.Generator, params: Any) -> None:
    """Two documents of three sentences each, with a mask of rank 3; and each sentence alone, with one of rank 1."""
    lengths = (*LENGTHS, 2)
    rows = draw_rows(rng, case.inputs, lengths, case.overlapping)
    inputs = place_all(case.inputs, rows, right(lengths, TIME), garbage=1)
    expected = Reference(case)(params, rows)
    documents = jax.tree.map(lambda leaf: leaf.reshape(2, 3, *leaf.shape[1:]), inputs)
    for leaf, expected_leaf in zip(leaves_of(case.run(params, *documents)), expected, strict=True):
        flat = jax.tree.map(lambda part: np.asarray(part).reshape(6, *part.shape[2:]), leaf)
        real = [i for i in range(6) if flat.mask[i].any() or flat.mask.ndim > 1]
        sentences = [flat.values[i][flat.mask[i]] if flat.mask.ndim > 1 else flat.values[i] for i in real]
        assert_rows_equal([sentences], [[expected_leaf[i] for i in real]])
    for i, _ in enumerate(lengths):
        alone = jax.tree.map(lambda leaf: leaf[i], inputs)
        for leaf, expected_leaf in zip(leaves_of(case.run(params, *alone)), expected, strict=True):
            row = np.asarray(leaf.values)[np.asarray(leaf.mask)] if isinstance(leaf, jm.Masked) else leaf
            assert_rows_equal([[row]], [[expected_leaf[i]]])


def floats_of(outcome: Outcome) -> list[tuple[Any, Any]]:
    """Each input of floats with its gradient."""
    pairs = zip(outcome.inputs, outcome.input_gradients, strict=True)
    return [(x, gradient) for x, gradient in pairs if jnp.issubdtype(x.dtype, jnp.floating)]


def input_gradient_rows(outcome: Outcome) -> list[list[np.ndarray]]:
    """The gradient of each input of floats at its real steps."""
    return [
        real_steps(jm.Masked(gradient.values, x.mask) if isinstance(x, jm.Masked) else gradient)
        for x, gradient in floats_of(outcome)
    ]
