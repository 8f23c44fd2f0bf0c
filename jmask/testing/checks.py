"""The laws one by one: what each requires of an example, and the examples, the smallest first."""

import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ..core.errors import MaskDroppedError
from ..core.masked import Masked, check_mask, values_of
from .compare import check_finite, check_no_gradient_at_padding, compare_outcomes, compare_outputs
from .counting import num_compiles
from .examples import NUM_KINDS, Example
from .laws import LawBroken
from .subject import Subject, output_leaves


def takes_masked(subject: Subject, example: Example) -> None:
    """A `Masked` goes in; arrays, and `Masked` whose masks fit, come out."""
    try:
        leaves = output_leaves(subject.run(subject.inputs(example)))
    except Exception as error:
        raise LawBroken("data", f"a `Masked` raises {_text(error)}") from error
    for i, leaf in enumerate(leaves):
        if not isinstance(leaf, (Masked, jax.Array, np.ndarray)):
            raise LawBroken("data", f"output {i} is neither an array nor a `Masked`, but a {type(leaf).__name__}")
        try:
            if isinstance(leaf, Masked):
                check_mask(leaf.values, leaf.mask)
        except (TypeError, ValueError) as error:
            raise LawBroken("data", f"output {i}: {error}") from error


def compiles_once(subject: Subject, example: Example) -> None:
    """One program serves all lengths."""
    try:
        subject.shapes(subject.inputs(example))
    except Exception as error:
        raise LawBroken("one compile", f"it cannot be compiled before the lengths are known: {_text(error)}") from error


def calls_compile_once(subject: Subject, example: Example) -> None:
    """Without `jax.jit`, a third call compiles nothing."""
    inputs = subject.inputs(example)
    for _ in range(2):
        subject.run(inputs)
    with num_compiles() as compiled:
        subject.run(inputs)
    if compiled.count:
        raise LawBroken("one compile", f"a third call without `jax.jit` compiles again, {compiled.count} programs")


def takes_arrays(subject: Subject, example: Example) -> None:
    """An array is a batch without padding: it gives the same result, or raises."""
    rows = len(example.lengths)
    inputs = subject.inputs(dataclasses.replace(example, lengths=(example.time,) * rows))
    arrays = jax.tree.map(values_of, inputs, is_leaf=lambda leaf: isinstance(leaf, Masked))
    try:
        outputs = output_leaves(subject.run(arrays))
    except Exception:
        return
    expected = output_leaves(subject.run(inputs))
    compare_outputs(
        "data", "given arrays without a mask", _without_full_masks(outputs), [_without_full_masks(expected)]
    )


def keeps_masks(subject: Subject, example: Example) -> None:
    """An output that grows with the padding has a mask."""
    try:
        padded = subject.shapes(subject.inputs(example), is_strict=True)
    except MaskDroppedError as error:
        raise LawBroken("not silent", str(error)) from error
    unpadded = subject.shapes(subject.inputs(example, alone=range(len(example.lengths))))
    for i, (leaf, alone) in enumerate(zip(padded, unpadded, strict=False)):
        if not isinstance(leaf, Masked) and (isinstance(alone, Masked) or leaf.shape != alone.shape):
            reason = f"output {i} has lost its mask: an array of shape {leaf.shape}, without padding {alone.shape}"
            raise LawBroken("not silent", reason)


def is_pure(subject: Subject, example: Example) -> None:
    """The same inputs give the same outputs."""
    inputs = subject.inputs(example)
    first, second = (output_leaves(subject.run(inputs)) for _ in range(2))
    compare_outputs("pure", "called again", second, [first])


def is_exact(subject: Subject, example: Example) -> None:
    """Outputs and gradients are those of each sequence alone, without padding."""
    rows = range(len(example.lengths))
    if subject.mixes_rows:  # a single result for the batch is compared with that of an unpadded batch
        example = dataclasses.replace(example, lengths=example.lengths[:1] * len(rows))
    groups = [rows] if subject.mixes_rows else [[row] for row in rows]
    alone = [subject.outcome(example, alone=group) for group in groups]
    compare_outcomes("exact", "beside the sequence alone", subject.outcome(example), alone)


def hides_padding(subject: Subject, example: Example) -> None:
    """Neither the contents nor the amount of padding affects the result; padding has no gradient."""
    outcome = subject.outcome(example)
    check_no_gradient_at_padding("invisible padding", "", outcome)
    for kind in range(NUM_KINDS):
        where, changed = f"with {subject.garbage(kind)} in the padding", subject.outcome(example, kind=kind)
        compare_outcomes("invisible padding", where, changed, [outcome])
        check_no_gradient_at_padding("invisible padding", f"{where}, ", changed)
    longer = dataclasses.replace(example, time=example.time + 3)
    compare_outcomes("invisible padding", "with three more steps of padding", subject.outcome(longer), [outcome])


def takes_left_padding(subject: Subject, example: Example) -> None:
    """Padding may be on the left."""
    moved = subject.outcome(dataclasses.replace(example, padding="left"))
    compare_outcomes("legal masks", "with the padding on the left", moved, [subject.outcome(example)])


def takes_holes(subject: Subject, example: Example) -> None:
    """Padding may be between steps."""
    moved = subject.outcome(dataclasses.replace(example, padding="holes"))
    compare_outcomes("legal masks", "with padding among the steps", moved, [subject.outcome(example)])


def takes_empty_rows(subject: Subject, example: Example) -> None:
    """An empty row is finite, hides its padding, passes no gradient to it, and leaves other rows alone."""
    outcome = subject.outcome(example)
    check_finite("legal masks", outcome, rows=[row for row, length in enumerate(example.lengths) if not length])
    check_no_gradient_at_padding("legal masks", "with an empty row, ", outcome)
    compare_outcomes("legal masks", "with an empty row", subject.outcome(example, kind=0), [outcome])
    longer = dataclasses.replace(example, time=example.time + 3)
    compare_outcomes(
        "legal masks", "with an empty row and three more steps of padding", subject.outcome(longer), [outcome]
    )
    full = [row for row, length in enumerate(example.lengths) if length]
    if full and not subject.mixes_rows:
        alone = [subject.outcome(example, alone=[row]) for row in full]
        compare_outcomes("legal masks", "next to an empty row", outcome, alone, rows=full)


def survives_transforms(subject: Subject, example: Example) -> None:
    """`jax.jit`, `jax.vmap` and pickle treat a mask as data."""
    outcome, outputs = subject.outcome(example), subject.run(subject.inputs(example))
    compare_outputs("data", "under `jax.jit`", outcome.outputs, [output_leaves(outputs)])
    pickled = _attempt("`pickle`", lambda: pickle.loads(pickle.dumps(outputs)))
    compare_outputs("data", "after `pickle`", output_leaves(pickled), [output_leaves(outputs)])
    other = dataclasses.replace(example, lengths=example.lengths[::-1])
    first, second = _attempt("`jax.vmap`", lambda: subject.mapped(example, other))
    compare_outputs("data", "under `jax.vmap`", first, [outcome.outputs])
    compare_outputs("data", "under `jax.vmap`", second, [subject.outcome(other).outputs])


def _attempt(what: str, function: Callable[[], Any]) -> Any:
    try:
        return function()
    except Exception as error:
        raise LawBroken("data", f"{what} raises {_text(error)}") from error


def _without_full_masks(leaves: list[Any]) -> list[Any]:
    """Removes masks under which everything is real, which mean the same as no mask."""
    return [values_of(leaf) if isinstance(leaf, Masked) and np.all(leaf.mask) else leaf for leaf in leaves]


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


RAGGED = [Example((1,), 2), Example((2,), 3), Example((1, 2), 3), Example((3, 1, 3), 5)]
WITH_EMPTY_ROW = [Example((0,), 1), Example((0, 1), 2), Example((3, 0, 1), 5)]

# Cheap checks, and those that the others rely on, come first. The last example is tried first, and if it fails, the
# others in order.
CHECKS: list[tuple[str, Callable[[Subject, Example], None], list[Example]]] = [
    ("data", takes_masked, RAGGED),
    ("pure", is_pure, RAGGED),
    ("one compile", compiles_once, RAGGED),
    ("not silent", keeps_masks, RAGGED[:1]),
    ("exact", is_exact, RAGGED),
    ("invisible padding", hides_padding, RAGGED),
    ("legal masks", takes_left_padding, RAGGED),
    ("legal masks", takes_holes, RAGGED),
    ("legal masks", takes_empty_rows, WITH_EMPTY_ROW),
    ("legal masks", takes_empty_rows, [Example((0,), 1), Example((0, 0, 0), 5)]),
    ("data", survives_transforms, RAGGED),
    ("data", takes_arrays, RAGGED),
    ("one compile", calls_compile_once, RAGGED),
]
