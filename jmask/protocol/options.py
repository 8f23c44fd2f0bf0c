"""Hyperparameters by name: initialisers and activations, as strings or as functions."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from .fields import Known

Initializer = Annotated[str | Callable[..., Any], Known(lambda option: initializer(option))]
Activation = Annotated[str | Callable[[Any], Any] | None, Known(lambda option: activation(option))]


def _orthogonal(key: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """Draws in at least float32, since there is no QR decomposition in half precision."""
    wide = jnp.promote_types(dtype, jnp.float32)
    return jax.nn.initializers.orthogonal()(key, shape, wide).astype(dtype)


INITIALIZERS: dict[str, Callable[..., Any]] = {
    "zeros": jax.nn.initializers.zeros,
    "ones": jax.nn.initializers.ones,
    "glorot_uniform": jax.nn.initializers.glorot_uniform(),
    "glorot_normal": jax.nn.initializers.glorot_normal(),
    "he_uniform": jax.nn.initializers.he_uniform(),
    "he_normal": jax.nn.initializers.he_normal(),
    "lecun_uniform": jax.nn.initializers.lecun_uniform(),
    "lecun_normal": jax.nn.initializers.lecun_normal(),
    "orthogonal": _orthogonal,
    "uniform": lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -0.05, 0.05),
    "normal": jax.nn.initializers.normal(0.05),
}

# The names have Keras' meaning where JAX uses another slope or approximation.
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "linear": lambda x: x,
    "celu": jax.nn.celu,
    "elu": jax.nn.elu,
    "exponential": jnp.exp,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "hard_sigmoid": jax.nn.hard_sigmoid,
    "hard_silu": jax.nn.hard_silu,
    "hard_tanh": jax.nn.hard_tanh,
    "leaky_relu": functools.partial(jax.nn.leaky_relu, negative_slope=0.2),
    "log_sigmoid": jax.nn.log_sigmoid,
    "mish": jax.nn.mish,
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "selu": jax.nn.selu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "softsign": jax.nn.soft_sign,
    "swish": jax.nn.swish,
    "tanh": jnp.tanh,
}

# These have a finite derivative at every finite argument. The tanh approximation of gelu does not: its cube overflows
# for 200 in float16.
_FINITE_GRADIENT = tuple(function for name, function in ACTIVATIONS.items() if name != "exponential")
_KEEP_ZEROS = tuple(
    f for f in _FINITE_GRADIENT if f not in (jax.nn.hard_sigmoid, jax.nn.log_sigmoid, jax.nn.sigmoid, jax.nn.softplus)
)


def initializer(option: Initializer) -> Callable[..., Any]:
    """The function `(key, shape, dtype) -> array` that an option is or names."""
    draw = _look_up("initializer", INITIALIZERS, option)
    if callable(option):
        return draw

    def draw_any(key: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        return jnp.zeros(shape, dtype) if 0 in shape else draw(key, shape, dtype)  # JAX divides by the size

    return draw_any


def kernel_initializer(option: Initializer, input_axes: Sequence[int]) -> Callable[..., Any]:
    """The function `(key, shape, dtype) -> array` for a kernel of any rank that contracts `input_axes`.

    A named initialiser draws a matrix, from these axes to all others; a function is called as it is.
    """
    if not isinstance(option, str):
        return initializer(option)

    def draw(key: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        order = sorted(range(len(shape)), key=lambda axis: axis not in input_axes)  # inputs first; the sort is stable
        fan_in = math.prod(shape[axis] for axis in input_axes)
        matrix = initializer(option)(key, (fan_in, math.prod(shape) // max(fan_in, 1)), dtype)
        return matrix.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))

    return draw


def activation(option: Activation) -> Callable[[Any], Any]:
    """The elementwise function that an option is or names; None is the identity."""
    if isinstance(option, str) and "softmax" in option:
        raise ValueError(
            f"{option!r} is not an elementwise activation, and must know the mask; use the layer `jm.layers.Softmax`."
        )
    return _look_up("activation", ACTIVATIONS, "linear" if option is None else option)


def has_finite_gradient(option: Activation) -> bool:
    """Whether the derivative is finite at every finite argument, so that the function may be applied to padding."""
    return any(activation(option) is function for function in _FINITE_GRADIENT)


def keeps_zeros(option: Activation) -> bool:
    """Whether the function has a finite derivative and is 0 at 0, so that zeros in the padding stay."""
    return any(activation(option) is function for function in _KEEP_ZEROS)


def _look_up(kind: str, table: dict[str, Callable], option: Any) -> Callable:
    if callable(option):
        return option
    if option not in table:
        raise ValueError(f"There is no {kind} {option!r}; pass a function or one of {', '.join(sorted(table))}.")
    return table[option]
