"""Cumulative reductions: forwards the padding comes last and does no harm, backwards the steps are reversed."""

import dataclasses

from ..equation import Equation
from ..padded import Padded
from .moving import reverse_real
from .registry import along, rule

_NAMES = ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp")
# With the first entry in the padding, sums and products would grow without bounds, and slopes of `log(exp(x) + exp(y))`
# would be NaN where that entry is infinite.
_HARMLESS = {"cumsum": 0, "cumprod": 1, "cumlogsumexp": 0}


@rule(*_NAMES, effect=along("accumulates over", lambda e: [e.params["axis"]]))
def accumulate_rule(equation: Equation, x: Padded) -> Padded:
    """Along a ragged axis, in either direction."""
    axis = equation.params["axis"]
    x = x.with_safe_padding()
    if axis not in x.ragged_axes:
        return equation.result(equation.bind(x.array), has_safe_padding=True)
    if equation.params["reverse"]:
        x = dataclasses.replace(x, array=reverse_real(x.array, axis, x.size(axis)))
    if equation.name in _HARMLESS:
        x = dataclasses.replace(x, array=x.fill(_HARMLESS[equation.name], [axis]))
    found = equation.bind(x.array, reverse=False)
    return equation.result(reverse_real(found, axis, x.size(axis)) if equation.params["reverse"] else found)
