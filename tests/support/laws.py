"""The laws, each a function that asserts it of a trial of a case."""

import functools
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.core.masked import values_of
from jmask.testing import assert_close
from jmask.testing.compare import check_no_gradient_at_padding, float_gradients
from jmask.testing.compare import rows_of as rows_under_mask
from jmask.testing.counting import num_compiles
from jmask.testing.examples import NUM_KINDS
from jmask.testing.subject import Outcome, output_leaves
from tests.laws.cases import Case
from tests.support.batches import (
    LENGTHS,
    LONGER,
    OTHER_LENGTHS,
    PACKED,
    TIME,
    draw_rows,
    holes,
    left,
    right,
)
from tests.support.program import (
    QUICKLY,
    Trial,
    assert_rows_equal,
    rows_of,
    rows_of_leaf,
    with_kinds,
)

NO_LENGTHS = (0,) * len(LENGTHS)


def exact(trial: Trial) -> None:
    """Values are the oracle's, whatever the other rows are."""
    assert_rows_equal(trial.rows_of(trial.base), trial.expected)


def exact_gradients(trial: Trial) -> None:
    """Gradients of the parameters, and of each input, are the differences of the oracle in a random direction."""
    rng = trial.rng
    none = jax.tree.map(np.zeros_like, (trial.params, trial.rows))
    direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), trial.params)
    slope = sum(map(np.vdot, jax.tree.leaves(trial.base.param_gradients), jax.tree.leaves(direction)))
    assert_close(np.asarray(slope, float), trial.difference(direction, none[1]), precision="difference")

    gradients = iter(input_gradient_rows(trial.base))
    for i, rows in enumerate(trial.rows):
        if rows[0].dtype != float:
            continue
        direction = [rng.normal(size=row.shape) * (row != 0) for row in rows]  # a step of zeros may be a marker
        there = [d[~np.isnan(row)] for d, row in zip(direction, rows, strict=True)]
        slope = sum(np.vdot(gradient, d) for gradient, d in zip(next(gradients), there, strict=True))
        directions = [*none[1][:i], direction, *none[1][i + 1 :]]
        assert_close(slope, trial.difference(none[0], directions), precision="difference")


def no_gradient_at_padding(trial: Trial) -> None:
    """It is exactly 0 there, and finite elsewhere."""
    for layout in (right, left, holes):
        _assert_no_gradient_at_padding(trial.outcome(layout(LENGTHS, TIME)))


def invisible_padding(trial: Trial) -> None:
    """Whatever padding holds, not a bit of a value or gradient changes."""
    for kind in range(NUM_KINDS):
        outcome = trial.outcome(right(LENGTHS, TIME), kind=kind)
        for what in (trial.rows_of, lambda outcome: outcome.param_gradients, input_gradient_rows):
            for found, expected in zip(*(jax.tree.leaves(what(o)) for o in (outcome, trial.base)), strict=True):
                assert np.array_equal(found, expected), f"{expected} becomes {found}"


def real_rows(trial: Trial) -> None:
    """What is pooled has a mask of rows: those with a real step in every input, as far as the inputs overlap."""
    for layout in (right, left, holes):
        outcome = trial.outcome(layout(LENGTHS, TIME))
        masks = [np.asarray(x.mask).any(axis=1) for x in outcome.inputs if isinstance(x, jm.Masked)]
        real = functools.reduce(np.logical_and, masks, np.ones(len(LENGTHS), bool))
        for kind, leaf in with_kinds(trial.case, outcome.outputs):
            if kind == "pooled":
                rows = np.asarray(leaf.mask).reshape(len(real), -1)
                assert (rows == real[:, None]).all(), f"of rows {real} these are real: {leaf.mask}"


def zero_padding(trial: Trial) -> None:
    """Outputs that are documented to be 0 at padded steps are."""
    if trial.case.zero_padding:
        for kind, leaf in with_kinds(trial.case, trial.outcome(holes(LENGTHS, TIME)).outputs):
            if kind == "sequence":
                padding = np.asarray(leaf.values)[~np.asarray(leaf.mask)]
                assert (padding == 0).all(), f"the outputs at padding are {padding}"


def left_padding(trial: Trial) -> None:
    """Padding may stand on the left."""
    _assert_same(trial, trial.outcome(left(LENGTHS, TIME)))


def holes_in_the_middle(trial: Trial) -> None:
    """Padding may stand anywhere."""
    _assert_same(trial, trial.outcome(holes(LENGTHS, TIME)))


def empty_batch(trial: Trial) -> None:
    """All rows may be empty: each has the documented value."""
    rows = trial.draw(NO_LENGTHS)
    outcome = trial.outcome(right(NO_LENGTHS, TIME), rows)
    assert_rows_equal(trial.rows_of(outcome), trial.reference(trial.params, rows))
    _assert_no_gradient_at_padding(outcome)


def more_padding(trial: Trial) -> None:
    """The number of padded steps does not show."""
    outcome = trial.outcome(right(LENGTHS, LONGER))
    _assert_same(trial, outcome)
    _assert_no_gradient_at_padding(outcome)


def one_compile(trial: Trial) -> None:
    """Other lengths need no other program, wherever the padding stands."""
    rows = trial.draw(OTHER_LENGTHS)
    expected = trial.reference(trial.params, rows)
    trial.outcome(right(LENGTHS, TIME))
    traces = trial.num_traces
    for layout in (right, left):
        assert_rows_equal(trial.rows_of(trial.outcome(layout(OTHER_LENGTHS, TIME), rows)), expected)
        assert trial.num_traces == traces, "it is traced again"


def packed(trial: Trial) -> None:
    """Several sequences may share a row, each as if alone; or an error says that they may not.

    States that a function of `jm.rnn` returns for each row, after the last sequence in it, belong to no other.
    """
    rows = draw_rows(trial.rng, trial.case.inputs, LENGTHS, overlapping=False)
    if trial.case.refuses_packed:
        with pytest.raises(ValueError, match="packed"):
            trial.packed_outcome(rows)
        return
    outcome, padded = trial.packed_outcome(rows), trial.outcome(right(LENGTHS, TIME), rows)
    pairs = zip(trial.rows_of(outcome), trial.reference(trial.params, rows), strict=True)
    by_sequence = [(found, expected) for found, expected in pairs if len(found) == len(expected)]
    assert by_sequence
    assert_rows_equal(*zip(*by_sequence, strict=True))
    if len(by_sequence) == len(outcome.outputs):
        jax.tree.map(assert_close, outcome.param_gradients, padded.param_gradients)
        of_inputs = [gradient for _, _, gradient in float_gradients(outcome)]
        assert_rows_equal(list(map(_rows_of_gradient, of_inputs)), input_gradient_rows(padded))


def _rows_of_gradient(gradient: Any) -> list[np.ndarray]:
    """Those of each sequence, if there is nothing at padding."""
    if not isinstance(gradient, jm.Masked):
        return list(np.asarray(gradient))
    assert not np.asarray(gradient.values)[PACKED == 0].any(), f"a gradient at padding, {gradient.values}"
    return jm.unpack(gradient, num_sequences=len(LENGTHS))


def eager(trial: Trial) -> None:
    """Without jit."""
    assert_rows_equal(rows_of(trial.case, _run(trial, trial.batch(holes(LENGTHS, TIME)))), trial.expected)


def eager_compiles(trial: Trial) -> None:
    """Without jit, a third call compiles nothing."""
    inputs = jax.tree.map(jnp.asarray, trial.batch(holes(LENGTHS, TIME)))
    params = jax.tree.map(jnp.asarray, trial.params)
    for _ in range(2):
        trial.case.run(params, *inputs)
    with num_compiles() as compiled:
        trial.case.run(params, *inputs)
    assert compiled.count == 0, f"a third call compiles {compiled.count} programs"


def pickled(trial: Trial) -> None:
    """Outputs survive `pickle`."""
    outputs = trial.outputs(trial.params, *trial.batch(left(LENGTHS, TIME)))
    assert_rows_equal(rows_of(trial.case, pickle.loads(pickle.dumps(outputs))), trial.expected)


def vmapped(trial: Trial) -> None:
    """Over a leading axis: what each batch gives."""
    rows = trial.draw(OTHER_LENGTHS)
    batches = trial.batch(holes(LENGTHS, TIME)), trial.batch(right(OTHER_LENGTHS, TIME), rows)
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *batches)
    mapped = jax.vmap(trial.case.run, in_axes=(None, *[0] * len(stacked)))
    outputs = jax.jit(mapped, compiler_options=QUICKLY)(trial.params, *stacked)
    for i, expected in enumerate((trial.expected, trial.reference(trial.params, rows))):
        assert_rows_equal(rows_of(trial.case, jax.tree.map(lambda leaf, i=i: leaf[i], outputs)), expected)


def arrays(trial: Trial) -> None:
    """Arrays are sequences without padding."""
    rows = draw_rows(trial.rng, trial.case.inputs, [TIME] * len(LENGTHS), overlapping=False)
    outputs = trial.outputs(trial.params, *map(np.stack, rows))
    leaves = zip(trial.case.kinds, output_leaves(outputs), strict=True)
    actual = [rows_of_leaf(kind, leaf) for kind, leaf in leaves]
    assert_rows_equal(actual, trial.reference(trial.params, rows))


def ranks(trial: Trial) -> None:
    """Masks of rank 3, for two documents of three sentences, and of rank 1, for each sentence alone.

    Where a mask of rank 1 is one of rows, a sentence alone is a batch of one.
    """
    if not trial.case.any_rank:
        return
    lengths = (*LENGTHS, 2)
    rows = trial.draw(lengths)
    inputs = trial.batch(right(lengths, TIME), rows)
    expected = trial.reference(trial.params, rows)
    pairs = jax.tree.map(lambda leaf: leaf.reshape(2, 3, *leaf.shape[1:]), inputs)
    outputs = output_leaves(trial.outputs(trial.params, *pairs))
    documents = [jax.tree.map(lambda leaf: np.asarray(leaf).reshape(6, *leaf.shape[2:]), leaf) for leaf in outputs]
    for i in range(len(lengths)):
        one = slice(i, i + 1) if trial.case.has_rows_alone else i
        sentence = output_leaves(trial.outputs(trial.params, *jax.tree.map(lambda leaf, one=one: leaf[one], inputs)))
        for leaf, document, found in zip(expected, documents, sentence, strict=True):
            if document.mask.ndim > 1 or document.mask[i]:  # a sentence without words is not real
                assert_rows_equal([[_real(document[i])]], [[leaf[i]]])
            assert_rows_equal([[_real(found)]], [[leaf[i]]])


def float32(trial: Trial) -> None:
    """Within its tolerance, in and out."""
    _assert_dtype(trial, "float32")


def bfloat16(trial: Trial) -> None:
    """Within its tolerance, in and out."""
    _assert_dtype(trial, "bfloat16")


Law = Callable[[Trial], None]
MASK_LAWS: Mapping[str, Law] = {
    "exact": exact,
    "gradients": exact_gradients,
    "padding gradient": no_gradient_at_padding,
    "invisible padding": invisible_padding,
    "real rows": real_rows,
    "zero padding": zero_padding,
    "left padding": left_padding,
    "holes": holes_in_the_middle,
    "empty batch": empty_batch,
    "more padding": more_padding,
    "one compile": one_compile,
    "packed": packed,
}
EAGER_LAWS: Mapping[str, Law] = {"eager": eager, "eager compiles": eager_compiles}
TRANSFORM_LAWS: Mapping[str, Law] = {
    "pickle": pickled,
    "vmap": vmapped,
    "arrays": arrays,
    "ranks": ranks,
}
DTYPE_LAWS: Mapping[str, Law] = {"float32": float32, "bfloat16": bfloat16}
LAWS: Mapping[str, Law] = {**MASK_LAWS, **EAGER_LAWS, **TRANSFORM_LAWS, **DTYPE_LAWS}
NEED_A_PROGRAM = {"more padding", *EAGER_LAWS, *TRANSFORM_LAWS, *DTYPE_LAWS}  # other than the one of the first law


def laws_of(case: Case) -> set[str]:
    """The names of the laws that say something of a case and that it does not skip."""
    silent = {
        "gradients": not case.has_floats,
        "real rows": "pooled" not in case.kinds,
        "zero padding": not case.zero_padding,
        "ranks": not case.any_rank,
        "packed": case.oracle is None,  # noise depends on the place of a step
        **dict.fromkeys(DTYPE_LAWS, not case.has_floats),
    }
    return {name for name in LAWS if name not in case.skips and not silent.get(name)}


def variants_of(cases: Sequence[Case]) -> set[str]:
    """The names of the rows that earlier rows of the same public name spare a program of their own.

    What such a row adds is one option; it meets the laws that share the program of the first: values, gradients, and
    padding of every kind in every place. Laws in `NEED_A_PROGRAM` are left to the earlier rows where those meet them
    all. Rows of `Masked` and of `jm.vmap` are each a thing of its own.
    """
    met: dict[str, set[str]] = {}
    variants = set()
    for case in cases:
        laws = laws_of(case)
        earlier = met.setdefault(case.covers, set())
        if laws & NEED_A_PROGRAM <= earlier and "." in case.covers:
            variants.add(case.name)
        else:
            earlier |= laws
    return variants


def _run(trial: Trial, inputs: Any) -> Any:
    return trial.case.run(jax.tree.map(jnp.asarray, trial.params), *inputs)


def _real(leaf: Any) -> np.ndarray:
    """The real steps of one sequence; a result without steps as it is."""
    if not isinstance(leaf, jm.Masked) or leaf.mask.ndim == 0:
        return np.asarray(leaf.values if isinstance(leaf, jm.Masked) else leaf)
    return np.asarray(leaf.values)[np.asarray(leaf.mask)]


def _assert_dtype(trial: Trial, dtype: str) -> None:
    params, rows = (_cast(tree, dtype) for tree in (trial.params, trial.rows))
    outputs = trial.outputs(params, *trial.batch(right(LENGTHS, TIME), rows))
    found = {str(leaf.dtype) for leaf in output_leaves(outputs) if jnp.issubdtype(leaf.dtype, jnp.floating)}
    assert found <= {dtype}, f"the outputs are {found}"
    expected = trial.reference(_cast(params, "float64"), _cast(rows, "float64"))
    assert_rows_equal(rows_of(trial.case, outputs), expected, precision=dtype)


def _cast(tree: Any, dtype: str) -> Any:
    """Floats in another dtype; integers as they are."""
    return jax.tree.map(lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


def _assert_same(trial: Trial, outcome: Outcome) -> None:
    """The values that are expected, and the gradients of right padding."""
    assert_rows_equal(trial.rows_of(outcome), trial.expected)
    jax.tree.map(assert_close, outcome.param_gradients, trial.base.param_gradients)
    assert_rows_equal(input_gradient_rows(outcome), input_gradient_rows(trial.base))


def input_gradient_rows(outcome: Outcome) -> list[list[np.ndarray]]:
    """The gradient of each input of floats at its real steps."""
    return [rows_under_mask(gradient) for _, _, gradient in float_gradients(outcome)]


def _assert_no_gradient_at_padding(outcome: Outcome) -> None:
    for leaf in jax.tree.leaves(outcome.param_gradients):
        assert np.isfinite(leaf).all(), f"a gradient of parameters is {leaf}"
    for i, _, gradient in float_gradients(outcome):
        values = np.asarray(values_of(gradient))
        assert np.isfinite(values).all(), f"the gradient of input {i} is {values}"
    check_no_gradient_at_padding("invisible padding", "", outcome)
