"""Host callbacks, which would see padding and rows that are not run."""

from typing import Any

from ..equation import Equation
from ..padded import Padded
from .registry import rule


@rule("debug_callback", "debug_print", "pure_callback", "io_callback", effect=lambda _: "calls the host")
def call_the_host_rule(equation: Equation, *_: Padded) -> Any:
    """Raises, since the host would get padded rows."""
    raise NotImplementedError(
        f"`jm.vmap`: `{equation.name}` hands arrays of unknown length to the host, at {equation.line}, which would see "
        "their padding. Return the array beside the result, `return y, h`: outside it is a `Masked`, which you can "
        "print, or hand to a callback."
    )
