"""The kinds of standard network: what their weights and states look like, and one step of each."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..core.arithmetic import in_front
from .cells import LSTMState, gru_step, lstm_step, simple_rnn_step

GATES: dict[str, int] = {"simple_rnn": 1, "gru": 3, "gru_reset_before": 3, "lstm": 4}


def split_step(kind: str, params: Any, inputs: Any, activations: tuple[Callable, ...]) -> tuple[Any, Callable]:
    """A network's step in two parts: the projection of the inputs, for many steps at once, and the rest of a step.

    Args:
        kind: a key of `GATES`.
        params: the weights of the network.
        inputs: `(..., features)`.
        activations: of the candidate, and of the gates where there are any.

    Returns:
        `x W + b`, `(..., gates * units)`, and `(scale, state, projected) -> (state, output)`.
    """
    check_weights(kind, params, inputs.shape[-1])
    dtype = jnp.result_type(inputs.dtype, params.kernel.dtype)
    wide = jnp.promote_types(dtype, jnp.float32)
    input_bias, recurrent_bias = params.bias, None
    if kind == "gru" and params.bias is not None:
        input_bias, recurrent_bias = params.bias[0], params.bias[1].astype(wide)
    kernel, recurrent_kernel = params.kernel.astype(dtype), params.recurrent_kernel.astype(dtype)
    projected = jnp.matmul(inputs.astype(dtype), kernel, preferred_element_type=wide)
    projected = projected if input_bias is None else projected + in_front(input_bias, projected.ndim).astype(wide)
    advance = {
        "simple_rnn": simple_rnn_step,
        "gru": functools.partial(gru_step, recurrent_bias=recurrent_bias),
        "gru_reset_before": functools.partial(gru_step, reset_after=False),
        "lstm": lstm_step,
    }[kind]

    def step(scale: Any, state: Any, projected: Any) -> tuple[Any, Any]:
        new_state = advance(recurrent_kernel, state, projected, *activations, scale=scale)
        new_state = jax.tree.map(lambda new, old: new.astype(old.dtype), new_state, state)
        return new_state, jax.tree.leaves(new_state)[0].astype(dtype)  # the hidden state comes first

    return projected, step


def check_weights(kind: str, params: Any, features: int) -> None:
    """Raises unless the shapes of the weights fit each other and the inputs."""
    units, gates = params.recurrent_kernel.shape[0], GATES[kind]
    expected = {"kernel": (features, gates * units), "recurrent_kernel": (units, gates * units)}
    if params.bias is not None:
        expected["bias"] = (2, gates * units) if kind == "gru" else (gates * units,)
    for name, shape in expected.items():
        received = tuple(getattr(params, name).shape)
        if received != shape:
            given = {"gru": " with `reset_after`", "gru_reset_before": " without `reset_after`"}.get(kind, "")
            raise ValueError(
                f"`{function_name(kind)}`{given} over {features} features takes for {units} units a {name} of shape "
                f"{shape}; received {received}."
            )


def checked_state(kind: str, state: Any, shape: tuple[int, int]) -> Any:
    """An initial state in the kind's own structure; raises unless its arrays have the shape."""
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(state)]
    num_arrays = 2 if kind == "lstm" else 1
    if [leaf.shape for leaf in leaves] != [shape] * num_arrays:
        rule = f"two arrays, hidden and cell, of shape {shape}" if kind == "lstm" else f"an array of shape {shape}"
        raise ValueError(
            f"`initial_state` of `{function_name(kind)}` is {rule}; received {[tuple(leaf.shape) for leaf in leaves]}."
        )
    return LSTMState(*leaves) if kind == "lstm" else leaves[0]


def function_name(kind: str) -> str:
    """The name of the kind's function in `jm.rnn`."""
    return kind.removesuffix("_reset_before")
