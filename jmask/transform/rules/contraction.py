"""Products of matrices and tensors: the padding of summed axes is filled with zeros."""

from collections.abc import Sequence

from ..equation import Equation
from ..padded import Padded
from .registry import along, rule


@rule("dot_general", effect=along("sums over", lambda e: e.params["dimension_numbers"][0][0]))
def dot_general_rule(equation: Equation, x: Padded, y: Padded) -> Padded:
    """Fills both sides: a zero on one side does not cancel NaN on the other."""
    axes = equation.params["dimension_numbers"][0]
    x, y = (_tame(operand, summed) for operand, summed in zip((x, y), axes, strict=True))
    array = equation.bind(*(operand.fill(0, summed) for operand, summed in zip((x, y), axes, strict=True)))
    return equation.result(array, has_safe_padding=True)  # sums of copies are copies


def _tame(x: Padded, summed: Sequence[int]) -> Padded:
    """Safe padding along axes that are not summed: the slope of a product is its other factor."""
    return x.with_safe_padding() if set(x.ragged_axes) - set(summed) else x
