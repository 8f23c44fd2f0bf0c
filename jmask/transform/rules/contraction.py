"""Products of matrices and tensors: what is summed over is filled with zeros."""

from ..equation import Equation
from ..padded import Padded
from .registry import along, rule


@rule("dot_general", effect=along("sums over", lambda e: e.params["dimension_numbers"][0][0]))
def dot_general(equation: Equation, x: Padded, y: Padded) -> Padded:
    """Both sides are filled: a zero on one of them does not silence NaN on the other."""
    x_axes, y_axes = equation.params["dimension_numbers"][0]
    array = equation.bind(x.fill(0, x_axes), y.fill(0, y_axes))
    return equation.result(array, is_safe=x.is_safe and y.is_safe)
