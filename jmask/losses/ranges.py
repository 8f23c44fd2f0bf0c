"""The valid targets of each loss of labels, of jmask and of optax."""

import sys
from collections.abc import Callable
from typing import Any

from .labels import Range
from .steps import check_alike, check_labels


def classes(name: str, logits: Any, labels: Any) -> tuple[int, int]:
    """Class ids, one for each vector of logits."""
    check_labels(name, logits, labels)
    return 0, logits.shape[-1] - 1


def probabilities(name: str, predictions: Any, targets: Any) -> tuple[int, int]:
    """Binary decisions: from 0 to 1."""
    check_alike(name, predictions, targets)
    return 0, 1


def signs(name: str, predictions: Any, targets: Any) -> tuple[int, int]:
    """Signs: from -1 to 1."""
    check_alike(name, predictions, targets)
    return -1, 1


# In optax a negative id counts from the end, and a number such as -100 is used as it is.
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
    """The range of targets of an optax loss; None for any other function, whose targets may be any numbers."""
    function = getattr(function, "func", function)  # unwraps a partial object
    losses = sys.modules.get("optax.losses")  # if it was not imported, no function comes from optax
    return next((found for name, found in _OF_OPTAX if losses and function is getattr(losses, name, None)), None)
