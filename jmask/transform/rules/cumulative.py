"""Cumulative reductions: forwards the padding comes last and does no harm, backwards the steps are turned round."""

from ..equation import Equation
from ..padded import Padded
from .moving import reverse
from .registry import along, rule

_NAMES = ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp")
_NEUTRAL = {"cumsum": 0, "cumprod": 1}


@rule(*_NAMES, effect=along("accumulates over", lambda e: [e.params["axis"]]))
def accumulate(equation: Equation, x: Padded) -> Padded:
    """Along a ragged axis, in either direction."""
    axis = equation.params["axis"]
    x = x.safe()
    if axis not in x.ragged_axes:
        return equation.result(equation.bind(x.array), is_safe=True)
    # A long padding must not grow without bounds.
    array = x.fill(_NEUTRAL[equation.name], [axis]) if equation.name in _NEUTRAL else x.array
    if not equation.params["reverse"]:
        return equation.result(equation.bind(array))
    turned = equation.bind(reverse(array, axis, x.size(axis)), reverse=False)
    return equation.result(reverse(turned, axis, x.size(axis)))
