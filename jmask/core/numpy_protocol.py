"""`Masked` in NumPy's and JAX's own functions: its operator where there is one, else an error with a remedy."""

from typing import Any

import numpy as np

_OPERATORS = {
    "add": "add",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "truediv",
    "floor_divide": "floordiv",
    "remainder": "mod",
    "power": "pow",
    "bitwise_and": "and",
    "bitwise_or": "or",
    "bitwise_xor": "xor",
    "less": "lt",
    "less_equal": "le",
    "greater": "gt",
    "greater_equal": "ge",
    "equal": "eq",
    "not_equal": "ne",
}
_MIRRORED = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "eq": "eq", "ne": "ne"}
_REMEDY = (
    "use `jm.ops` for what looks across steps, such as `jm.ops.mean(x)`, `x.map(function)` for what treats every step "
    "alone, such as `x.map(jax.nn.relu)`, `jm.losses` and `jm.metrics`, or say what padding is, `x.fill(0)`"
)


class Explained(type):
    """The metaclass of `Masked`: JAX names the class in its errors, so the name says what to do."""

    def __repr__(cls) -> str:
        return f"<class '{cls.__module__}.{cls.__qualname__}'> (whose padding would count as data: {_REMEDY})"


def apply_ufunc(x: Any, ufunc: Any, method: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Maps a NumPy ufunc to the corresponding operator: `array * x` is `np.multiply(array, x)`.

    Raises:
        TypeError: there is no such operator.
    """
    name = _OPERATORS.get(ufunc.__name__)
    if name is None or method != "__call__" or options or len(inputs) != 2:
        raise TypeError(
            f"`np.{ufunc.__name__}` does not know of padding: {_REMEDY}. What is in `jax.numpy` too is "
            f"`x.map(jnp.{ufunc.__name__})`."
        )
    left, right = inputs
    if left is x:
        return getattr(x, f"__{name}__")(right)
    return getattr(x, f"__{_MIRRORED[name]}__" if name in _MIRRORED else f"__r{name}__")(left)


def call_function(x: Any, function: Any) -> Any:
    """Answers NumPy functions that are not ufuncs and only query the shape; raises for all others.

    Raises:
        TypeError: the function needs more than the shape.
    """
    if function in (np.shape, np.ndim):
        return x.shape if function is np.shape else x.ndim
    raise TypeError(f"`np.{function.__name__}` would treat padding as data: {_REMEDY}.")
