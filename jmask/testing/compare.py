"""Compares outcomes, row by row and without padding."""

from collections.abc import Collection, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core.masked import Masked, values_of
from .laws import LawBroken
from .subject import Outcome
from .tolerance import assert_close


def compare_outcomes(
    law: str, where: str, actual: Outcome, expected: Sequence[Outcome], *, rows: Collection[int] | None = None
) -> None:
    """Compares outputs and gradients at real steps, whatever the layout.

    Args:
        law: the law that requires equality.
        where: in which situation, for the message.
        actual: the outcome of one batch.
        expected: outcomes of batches that hold its rows in order; gradients of parameters are summed.
        rows: if given, compares only these rows, and no gradients of parameters, to which all rows contribute.

    Raises:
        LawBroken: they differ.
    """
    compare_outputs(law, where, actual.outputs, [outcome.outputs for outcome in expected], rows=rows)
    for (i, _, gradient), *others in zip(*map(float_gradients, [actual, *expected]), strict=True):
        found = [row for _, _, other in others for row in rows_of(other)]
        _compare(law, f"{where}, the gradient of input {i}", rows_of(gradient), found, rows)
    if rows is None:
        added = jax.tree.map(lambda *leaves: sum(map(np.asarray, leaves)), *[o.param_gradients for o in expected])
        for (path, gradient), total in zip(named_leaves(actual.param_gradients), jax.tree.leaves(added), strict=True):
            _compare(law, f"{where}, the gradient of the parameter {path}", [gradient], [total], None)


def compare_outputs(
    law: str,
    where: str,
    actual: Sequence[Any],
    expected: Sequence[Sequence[Any]],
    *,
    rows: Collection[int] | None = None,
) -> None:
    """Compares the leaves of outputs at real steps; arguments as in `compare_outcomes`."""
    if any(len(leaves) != len(actual) for leaves in expected):
        raise LawBroken(law, f"{where}: {len(actual)} outputs, not {[len(leaves) for leaves in expected]}")
    for i, leaf in enumerate(actual):
        found = [row for leaves in expected for row in rows_of(leaves[i])]
        _compare(law, f"{where}, output {i}", rows_of(leaf), found, rows)


def rows_of(leaf: Any) -> list[np.ndarray]:
    """The rows of a leaf, without padding for a `Masked`; a scalar is one row."""
    if isinstance(leaf, Masked):
        mask, values = np.asarray(leaf.mask), np.asarray(leaf.values)
        return [values[row][mask[row]] for row in range(len(mask))]
    return [np.asarray(leaf)] if leaf.ndim == 0 else list(map(np.asarray, np.asarray(leaf)))


def check_finite(law: str, outcome: Outcome, *, rows: Collection[int]) -> None:
    """Checks that these rows of outputs and gradients are finite; gradients of parameters only if all rows are given.

    Raises:
        LawBroken: there is a NaN or an inf.
    """
    leaves = [(f"output {i}", leaf) for i, leaf in enumerate(outcome.outputs)]
    leaves += [(f"the gradient of input {i}", values_of(leaf)) for i, leaf in enumerate(outcome.input_gradients)]
    for name, leaf in leaves:
        for i, row in enumerate(rows_of(leaf)):
            if i in rows:
                _check_finite(law, f"{name}, row {i}", row)
    if len(rows) == len(outcome.inputs[0]):
        for path, gradient in named_leaves(outcome.param_gradients):
            _check_finite(law, f"the gradient of the parameter {path}", np.asarray(gradient))


def check_no_gradient_at_padding(law: str, where: str, outcome: Outcome) -> None:
    """Checks that the gradient at every padded position is exactly 0.

    Raises:
        LawBroken: a gradient is not 0.
    """
    for i, x, gradient in float_gradients(outcome):
        if isinstance(x, Masked):
            values = np.asarray(gradient.values)[~np.asarray(x.mask)]
            if (values != 0).any():
                raise LawBroken(law, f"{where}the gradient of input {i} at padding is not 0:\n  received: {values}")


def float_gradients(outcome: Outcome) -> list[tuple[int, Any, Any]]:
    """The index of each floating-point input, the input, and its gradient, under the input's mask if it has one.

    The mask in the gradient itself is the gradient of a mask, and holds nothing.
    """
    pairs = zip(outcome.inputs, outcome.input_gradients, strict=True)
    return [
        (i, x, Masked(gradient.values, x.mask) if isinstance(x, Masked) else gradient)
        for i, (x, gradient) in enumerate(pairs)
        if is_float(gradient)
    ]


def named_leaves(tree: Any) -> list[tuple[str, Any]]:
    """Leaves with the keys that lead to them, as text."""
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def is_float(leaf: Any) -> bool:
    """Whether a leaf has a gradient."""
    return jnp.issubdtype(leaf.dtype, jnp.floating)


def _check_finite(law: str, name: str, values: np.ndarray) -> None:
    if is_float(values) and not np.isfinite(values).all():
        raise LawBroken(law, f"{name}, is not finite:\n  received: {values}")


def _compare(law: str, what: str, actual: list[Any], expected: list[Any], rows: Collection[int] | None) -> None:
    actual = actual if rows is None else [row for i, row in enumerate(actual) if i in rows]
    if len(actual) != len(expected):
        rows_text = f"{len(actual)} rows of the batch, {len(expected)} of its sequences"
        raise LawBroken(law, f"{what}: {rows_text}; an array must begin with the batch axis")
    for i, (row, expected_row) in enumerate(zip(actual, expected, strict=True)):
        try:
            assert_close(row, expected_row)
        except AssertionError as error:
            raise LawBroken(law, f"{what}, row {i}: {error}") from None
