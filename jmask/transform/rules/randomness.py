"""Random numbers: a padded row draws for its padding too.

With JAX's default generator the draw of an entry depends on the key and on the position of the entry in the array,
counted row by row. So in an array where only the first axis is ragged, the real entries are those of the sequence
alone; in arrays of other shapes they are just as random, but different.
"""

from ..equation import Equation
from ..padded import Padded
from .registry import nothing, rule


@rule("random_bits", "random_split", effect=lambda e: "draws at random" if e.is_ragged else None)
def draw_rule(equation: Equation, *keys: Padded) -> Padded:
    """Bits, or keys, for the padded shape."""
    return equation.result(equation.bind(*(key.array for key in keys)), has_safe_padding=True)


@rule("random_wrap", "random_unwrap", effect=nothing)
def convert_rule(equation: Equation, x: Padded) -> Padded:
    """Keys as arrays of integers, and back."""
    return equation.result(equation.bind(x.array), has_safe_padding=x.has_safe_padding)
