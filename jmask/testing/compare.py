"""Outcomes against outcomes, row by row and without padding."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..masked import Masked
from .laws import LawBroken
from .subject import Outcome
from .tolerance import assert_close


def compare_outcomes(
    law: int, where: str, actual: Outcome, expected: Sequence[Outcome], *, rows: Collection[int] | None = None
) -> None:
    """Outputs and gradients at real steps, whatever the layout.

    Args:
        law: the law that asks for equality.
        where: when it is asked for, for the message.
        actual: the outcome of one batch.
        expected: outcomes of batches that hold its rows one after the other; gradients of parameters add up.
        rows: compares these rows only, and no gradients of parameters, to which all rows contribute.

    Raises:
        LawBroken: they differ.
    """
    compare_outputs(law, where, actual.outputs, [outcome.outputs for outcome in expected], rows=rows)
    for i, gradient in enumerate(actual.input_gradients):
        if is_float(gradient):
            pairs = [(outcome.inputs[i], outcome.input_gradients[i]) for outcome in expected]
            _compare(
                law,
                f"{where}, the gradient of input {i}",
                rows_of(_under_mask(actual.inputs[i], gradient)),
                [row for x, other in pairs for row in rows_of(_under_mask(x, other))],
                rows,
            )
    if rows is None:
        added = jax.tree.map(lambda *leaves: sum(map(np.asarray, leaves)), *[o.param_gradients for o in expected])
        for path, gradient in named_leaves(actual.param_gradients):
            what = f"{where}, the gradient of the parameter {path}"
            _compare(law, what, [gradient], [dict(named_leaves(added))[path]], None)


def compare_outputs(
    law: int,
    where: str,
    actual: Sequence[Any],
    expected: Sequence[Sequence[Any]],
    *,
    rows: Collection[int] | None = None,
) -> None:
    """The leaves of outputs at real steps; arguments as in `compare_outcomes`."""
    for i, leaf in enumerate(actual):
        found = [row for leaves in expected for row in rows_of(leaves[i])]
        _compare(law, f"{where}, output {i}", rows_of(leaf), found, rows)


def rows_of(leaf: Any) -> list[np.ndarray]:
    """The rows of a leaf, of a `Masked` without padding; a scalar is one row."""
    if isinstance(leaf, Masked):
        mask, values = np.asarray(leaf.mask), np.asarray(leaf.values)
        return [values[row][mask[row]] for row in range(len(mask))]
    return [np.asarray(leaf)] if leaf.ndim == 0 else list(map(np.asarray, np.asarray(leaf)))


def check_finite(law: int, outcome: Outcome) -> None:
    """No NaN and no inf in an output or a gradient.

    Raises:
        LawBroken: there is one.
    """
    for name, leaf in _named_floats(outcome):
        for i, row in enumerate(rows_of(leaf)):
            if not np.isfinite(row).all():
                raise LawBroken(law, f"{name}, row {i}, is not finite:\n  received: {row}")


def named_leaves(tree: Any) -> list[tuple[str, Any]]:
    """Leaves with the keys that lead to them, as text."""
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def is_float(leaf: Any) -> bool:
    """Whether a leaf has a gradient."""
    return jnp.issubdtype(leaf.dtype, jnp.floating)


def _named_floats(outcome: Outcome) -> Iterator[tuple[str, Any]]:
    leaves = [(f"output {i}", leaf) for i, leaf in enumerate(outcome.outputs)]
    leaves += [(f"the gradient of input {i}", _values(leaf)) for i, leaf in enumerate(outcome.input_gradients)]
    leaves += [(f"the gradient of the parameter {path}", leaf) for path, leaf in named_leaves(outcome.param_gradients)]
    return ((name, leaf) for name, leaf in leaves if is_float(leaf))


def _values(leaf: Any) -> Any:
    return leaf.values if isinstance(leaf, Masked) else leaf


def _under_mask(x: Any, gradient: Any) -> Any:
    """The gradient of an input under the input's mask; its own is the gradient of a mask, and empty."""
    return Masked(gradient.values, x.mask) if isinstance(x, Masked) else gradient


def _compare(law: int, what: str, actual: list[Any], expected: list[Any], rows: Collection[int] | None) -> None:
    actual = actual if rows is None else [row for i, row in enumerate(actual) if i in rows]
    if len(actual) != len(expected):
        raise LawBroken(law, f"{what}: {len(actual)} rows, where there are {len(expected)} sequences")
    for i, (row, expected_row) in enumerate(zip(actual, expected, strict=True)):
        try:
            assert_close(row, expected_row)
        except AssertionError as error:
            raise LawBroken(law, f"{what}, row {i}: {error}") from None
