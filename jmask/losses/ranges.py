"""Which targets there are: what each loss of labels says of its own, and of those of optax."""

import sys
from collections.abc import Callable
from typing import Any

from .labels import Range
from .steps import check_alike, check_labels


def classes(name: str, logits: Any, labels: Any) -> tuple[int, int]:
    """Ids of classes, one for each vector of logits."""
    check_labels(name, logits, labels)
    return 0, logits.shape[-1] - 1


def probabilities(name: str, predictions: Any, targets: Any) -> tuple[int, int]:
    """Decisions: 0, 1, and what is between."""
    check_alike(name, predictions, targets)
    return 0, 1


def signs(name: str, predictions: Any, targets: Any) -> tuple[int, int]:
    """-1, 1, and what is between."""
    check_alike(name, predictions, targets)
    return -1, 1


# A negative id would count from the end there, and a number such as -100 be taken at its word.
_OF_OPTAX: tuple[tuple[str, Range], ...] = (
    ("softmax_cross_entropy_with_integer_labels", classes),
    ("multiclass_hinge_loss", classes),
    ("multiclass_perceptron_loss", classes),
    ("multiclass_sparsemax_loss", classes),
    ("sigmoid_binary_cross_entropy", probabilities),
    ("sigmoid_focal_loss", probabilities),
    ("hinge_loss", signs),
    ("perceptron_loss", signs),
)


def range_of(function: Callable[..., Any]) -> Range | None:
    """The targets of a loss of optax; None for any other function, which may take any."""
    function = getattr(function, "func", function)  # of a partial object
    losses = sys.modules.get("optax.losses")  # without it no function is one of optax
    return next((found for name, found in _OF_OPTAX if losses and function is getattr(losses, name, None)), None)
