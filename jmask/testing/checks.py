"""The laws one by one: what each demands of an example, and the examples, the smallest first."""

import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ..core.errors import MaskDroppedError
from ..core.masked import Masked, check_mask
from .compare import check_finite, compare_outcomes, compare_outputs, is_float
from .examples import NUM_KINDS, Example
from .laws import LawBroken
from .subject import Outcome, Subject, output_leaves


def raw_inputs(subject: Subject, example: Example) -> None:
    """Law 1: a `Masked` goes in; arrays, and `Masked` whose masks fit, come out."""
    try:
        leaves = output_leaves(subject.run(subject.inputs(example)))
    except Exception as error:
        raise LawBroken(1, f"a `Masked` raises {_text(error)}") from error
    for i, leaf in enumerate(leaves):
        if not isinstance(leaf, (Masked, jax.Array, np.ndarray)):
            raise LawBroken(1, f"output {i} is neither an array nor a `Masked`, but a {type(leaf).__name__}")
        try:
            if isinstance(leaf, Masked):
                check_mask(leaf.values, leaf.mask)
        except (TypeError, ValueError) as error:
            raise LawBroken(1, f"output {i}: {error}") from error


def compiles_once(subject: Subject, example: Example) -> None:
    """Law 6: one program serves all lengths."""
    try:
        subject.shapes(subject.inputs(example))
    except Exception as error:
        raise LawBroken(6, f"it cannot be compiled before the lengths are known: {_text(error)}") from error


def keeps_masks(subject: Subject, example: Example) -> None:
    """Law 5: an output that grows with the padding has a mask."""
    try:
        padded = subject.shapes(subject.inputs(example), is_strict=True)
    except MaskDroppedError as error:
        raise LawBroken(5, str(error)) from error
    unpadded = subject.shapes(subject.inputs(example, alone=range(len(example.lengths))))
    for i, (leaf, alone) in enumerate(zip(padded, unpadded, strict=False)):
        if not isinstance(leaf, Masked) and (isinstance(alone, Masked) or leaf.shape != alone.shape):
            reason = f"output {i} has lost its mask: an array of shape {leaf.shape}, without padding {alone.shape}"
            raise LawBroken(5, reason)


def is_pure(subject: Subject, example: Example) -> None:
    """Law 7: the same in, the same out."""
    inputs = subject.inputs(example)
    first, second = (output_leaves(subject.run(inputs)) for _ in range(2))
    compare_outputs(7, "called again", second, [first])


def is_exact(subject: Subject, example: Example) -> None:
    """Law 2: outputs and gradients are those of each sequence alone, without padding."""
    rows = range(len(example.lengths))
    if subject.mixes_rows:  # one result for the batch is compared with that of an unpadded batch
        example = dataclasses.replace(example, lengths=example.lengths[:1] * len(rows))
    groups = [rows] if subject.mixes_rows else [[row] for row in rows]
    alone = [subject.outcome(example, alone=group) for group in groups]
    compare_outcomes(2, "beside the sequence alone", subject.outcome(example), alone)


def hides_padding(subject: Subject, example: Example) -> None:
    """Law 3: neither what padding holds shows, nor how much there is of it; it has no gradient."""
    outcome = subject.outcome(example)
    _check_no_gradient_at_padding(3, "", outcome)
    for kind in range(NUM_KINDS):
        where, changed = f"with {subject.garbage(kind)} in the padding", subject.outcome(example, kind=kind)
        compare_outcomes(3, where, changed, [outcome])
        _check_no_gradient_at_padding(3, f"{where}, ", changed)
    longer = dataclasses.replace(example, time=example.time + 3)
    compare_outcomes(3, "with three more steps of padding", subject.outcome(longer), [outcome])


def takes_left_padding(subject: Subject, example: Example) -> None:
    """Law 4: padding may stand on the left."""
    moved = subject.outcome(dataclasses.replace(example, padding="left"))
    compare_outcomes(4, "with the padding on the left", moved, [subject.outcome(example)])


def takes_holes(subject: Subject, example: Example) -> None:
    """Law 4: padding may stand between steps."""
    moved = subject.outcome(dataclasses.replace(example, padding="holes"))
    compare_outcomes(4, "with padding among the steps", moved, [subject.outcome(example)])


def takes_empty_rows(subject: Subject, example: Example) -> None:
    """Law 4: an empty row is finite, hides its padding, passes no gradient to it, and leaves other rows alone."""
    outcome = subject.outcome(example)
    check_finite(4, outcome, rows=[row for row, length in enumerate(example.lengths) if not length])
    _check_no_gradient_at_padding(4, "with an empty row, ", outcome)
    compare_outcomes(4, "with an empty row", subject.outcome(example, kind=0), [outcome])
    longer = dataclasses.replace(example, time=example.time + 3)
    compare_outcomes(4, "with an empty row and three more steps of padding", subject.outcome(longer), [outcome])
    full = [row for row, length in enumerate(example.lengths) if length]
    if full and not subject.mixes_rows:
        alone = [subject.outcome(example, alone=[row]) for row in full]
        compare_outcomes(4, "next to an empty row", outcome, alone, rows=full)


def survives_transforms(subject: Subject, example: Example) -> None:
    """Law 1: jit, vmap and pickle see a mask as data."""
    outcome, outputs = subject.outcome(example), subject.run(subject.inputs(example))
    compare_outputs(1, "under `jax.jit`", outcome.outputs, [output_leaves(outputs)])
    pickled = _attempt("`pickle`", lambda: pickle.loads(pickle.dumps(outputs)))
    compare_outputs(1, "after `pickle`", output_leaves(pickled), [output_leaves(outputs)])
    other = dataclasses.replace(example, lengths=example.lengths[::-1])
    first, second = _attempt("`jax.vmap`", lambda: subject.mapped(example, other))
    compare_outputs(1, "under `jax.vmap`", first, [outcome.outputs])
    compare_outputs(1, "under `jax.vmap`", second, [subject.outcome(other).outputs])


def _attempt(what: str, function: Callable[[], Any]) -> Any:
    try:
        return function()
    except Exception as error:
        raise LawBroken(1, f"{what} raises {_text(error)}") from error


def _check_no_gradient_at_padding(law: int, where: str, outcome: Outcome) -> None:
    for i, (x, gradient) in enumerate(zip(outcome.inputs, outcome.input_gradients, strict=True)):
        if isinstance(x, Masked) and is_float(gradient):
            values = np.asarray(gradient.values)[~np.asarray(x.mask)]
            if (values != 0).any():
                raise LawBroken(law, f"{where}the gradient of input {i} at padding is not 0:\n  received: {values}")


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


RAGGED = [Example((1,), 2), Example((2,), 3), Example((1, 2), 3), Example((3, 1, 3), 5)]
WITH_EMPTY_ROW = [Example((0,), 1), Example((0, 1), 2), Example((3, 0, 1), 5)]

# What is cheap, and what the others need, comes first. Of the examples the last one is tried, and the others in their
# order if it fails.
CHECKS: list[tuple[int, Callable[[Subject, Example], None], list[Example]]] = [
    (1, raw_inputs, RAGGED),
    (7, is_pure, RAGGED),
    (6, compiles_once, RAGGED),
    (5, keeps_masks, RAGGED[:1]),
    (2, is_exact, RAGGED),
    (3, hides_padding, RAGGED),
    (4, takes_left_padding, RAGGED),
    (4, takes_holes, RAGGED),
    (4, takes_empty_rows, WITH_EMPTY_ROW),
    (4, takes_empty_rows, [Example((0,), 1), Example((0, 0, 0), 5)]),
    (1, survives_transforms, RAGGED),
]
