"""The three recurrent networks of the field over masked batches: SimpleRNN, GRU and LSTM."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .cells import GRUParams, LSTMParams, LSTMState, SimpleRNNParams, gru_step, lstm_step, simple_rnn_step
from .scan import masked_as, over_rows, refuse_state_of_packed_rows, scan_rows, split

IMPLEMENTATIONS = ("auto", "xla", "scan")
GATES = {"simple_rnn": 1, "gru": 3, "gru_reset_before": 3, "lstm": 4}


def simple_rnn(
    params: SimpleRNNParams,
    x: Any,
    *,
    initial_state: Any = None,
    reverse: bool = False,
    return_state: bool = True,
    activation: Callable = jnp.tanh,
    implementation: str = "auto",
) -> Any:
    """A simple recurrent network over every sequence of a batch (see `jm.rnn.simple_rnn_step`).

    Masks, packed rows, empty rows and dtypes are as in `jm.rnn.lstm`.

    Args:
        params: kernel `(features, units)`, recurrent kernel `(units, units)`, bias `(units,)` or None.
        x: values `(batch, time, features)` with a mask `(batch, time)`, or an array.
        initial_state: `(batch, units)`; zeros if None.
        reverse: from the last real step to the first.
        return_state: whether the final state is returned besides.
        activation: in the place of tanh.
        implementation: as in `jm.rnn.lstm`.

    Returns:
        The hidden states `(batch, time, units)`, masked as `x`, and the final state `(batch, units)`.

    Raises:
        ValueError: as in `jm.rnn.lstm`.

    >>> import jax.numpy as jnp, jmask as jm
    >>> params = jm.rnn.SimpleRNNParams(jnp.ones((3, 2)), jnp.ones((2, 2)), None)
    >>> outputs, state = jm.rnn.simple_rnn(params, jm.from_lengths(jnp.ones((4, 5, 3)), [5, 2, 0, 1]))
    >>> outputs.shape, state.shape
    ((4, 5, 2), (4, 2))
    """
    return _recur("simple_rnn", params, x, initial_state, reverse, return_state, (activation,), implementation)


def gru(
    params: GRUParams,
    x: Any,
    *,
    initial_state: Any = None,
    reverse: bool = False,
    return_state: bool = True,
    activation: Callable = jnp.tanh,
    recurrent_activation: Callable = jax.nn.sigmoid,
    reset_after: bool = True,
    implementation: str = "auto",
) -> Any:
    """A gated recurrent unit over every sequence of a batch (see `jm.rnn.gru_step`).

    Masks, packed rows, empty rows and dtypes are as in `jm.rnn.lstm`.

    Args:
        params: kernel `(features, 3 units)`, recurrent kernel `(units, 3 units)`, and a bias `(2, 3 units)`, without
            `reset_after` `(3 units,)`, or None.
        x: values `(batch, time, features)` with a mask `(batch, time)`, or an array.
        initial_state: `(batch, units)`; zeros if None.
        reverse: from the last real step to the first.
        return_state: whether the final state is returned besides.
        activation: in the place of tanh.
        recurrent_activation: in the place of sigmoid.
        reset_after: whether the reset gate comes after the recurrent product or before it.
        implementation: as in `jm.rnn.lstm`.

    Returns:
        The hidden states `(batch, time, units)`, masked as `x`, and the final state `(batch, units)`.

    Raises:
        ValueError: as in `jm.rnn.lstm`; a bias that does not fit `reset_after`.

    >>> import jax.numpy as jnp, jmask as jm
    >>> params = jm.rnn.GRUParams(jnp.ones((3, 6)), jnp.ones((2, 6)), jnp.zeros((2, 6)))
    >>> outputs, state = jm.rnn.gru(params, jm.from_lengths(jnp.ones((4, 5, 3)), [5, 2, 0, 1]))
    >>> outputs.shape, state.shape
    ((4, 5, 2), (4, 2))
    """
    activations = (activation, recurrent_activation)
    kind = "gru" if reset_after else "gru_reset_before"
    return _recur(kind, params, x, initial_state, reverse, return_state, activations, implementation)


def lstm(
    params: LSTMParams,
    x: Any,
    *,
    initial_state: tuple[Any, Any] | None = None,
    reverse: bool = False,
    return_state: bool = True,
    activation: Callable = jnp.tanh,
    recurrent_activation: Callable = jax.nn.sigmoid,
    implementation: str = "auto",
) -> Any:
    """An LSTM over every sequence of a batch (see `jm.rnn.lstm_step`); masks and empty rows as in `jm.rnn.scan`.

    The inputs of all steps are projected in one matrix product. Products are taken in the common dtype of inputs and
    kernel, and summed in float32 at least; the state is float32 at least, the outputs have the common dtype.

    Args:
        params: kernel `(features, 4 units)`, recurrent kernel `(units, 4 units)`, bias `(4 units,)` or None.
        x: values `(batch, time, features)` with a mask `(batch, time)`, or an array.
        initial_state: hidden and cell state, `(batch, units)` each; zeros if None. Not for packed rows.
        reverse: from the last real step to the first; outputs stay at the steps they belong to.
        return_state: whether the final state is returned besides.
        activation: in the place of tanh.
        recurrent_activation: in the place of sigmoid.
        implementation: `"auto"` chooses; `"scan"` is the plain loop over the steps, `"xla"` the fastest portable one.

    Returns:
        The hidden states `(batch, time, units)`, masked as `x` and zero at padded steps, and the final `LSTMState`,
        after the last real step of each row; of packed rows, that of the sequence that comes last in the direction of
        the scan. Without `return_state`, the hidden states alone.

    Raises:
        ValueError: values or weights of other shapes, an initial state that does not fit, or one of packed rows; an
            implementation that there is not.

    >>> import jax.numpy as jnp, jmask as jm
    >>> params = jm.rnn.LSTMParams(jnp.ones((3, 8)), jnp.ones((2, 8)), jnp.zeros(8))
    >>> outputs, state = jm.rnn.lstm(params, jm.from_lengths(jnp.ones((4, 5, 3)), [5, 2, 0, 1]))
    >>> outputs.shape, state.cell.shape
    ((4, 5, 2), (4, 2))
    """
    activations = (activation, recurrent_activation)
    return _recur("lstm", params, x, initial_state, reverse, return_state, activations, implementation)


def prepare(kind: str, params: Any, inputs: Any, activations: tuple[Callable, ...]) -> tuple[Any, Callable]:
    """The inputs `(..., features)` projected, and what remains of a step: `(scale, state, projected) -> (state, h)`."""
    check_weights(kind, params, inputs.shape[-1])
    dtype = jnp.result_type(inputs.dtype, params.kernel.dtype)
    wide = jnp.promote_types(dtype, jnp.float32)
    input_bias, recurrent_bias = params.bias, None
    if kind == "gru" and params.bias is not None:
        input_bias, recurrent_bias = params.bias[0], params.bias[1].astype(wide)
    kernel, recurrent_kernel = params.kernel.astype(dtype), params.recurrent_kernel.astype(dtype)
    projected = jnp.matmul(inputs.astype(dtype), kernel, preferred_element_type=wide)
    projected = projected if input_bias is None else projected + input_bias.astype(wide)
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


def check_implementation(implementation: str) -> None:
    """Refuses the name of an implementation that there is not."""
    if implementation not in IMPLEMENTATIONS:
        there_is = ", ".join(map(repr, IMPLEMENTATIONS))
        raise ValueError(f"`implementation` is one of {there_is} in this version; received {implementation!r}.")


def check_weights(kind: str, params: Any, features: int) -> None:
    """Refuses weights whose shapes fit neither each other nor the inputs."""
    units, gates = params.recurrent_kernel.shape[0], GATES[kind]
    expected = {"kernel": (features, gates * units), "recurrent_kernel": (units, gates * units)}
    if params.bias is not None:
        expected["bias"] = (2, gates * units) if kind == "gru" else (gates * units,)
    for name, shape in expected.items():
        received = tuple(getattr(params, name).shape)
        if received != shape:
            given = {"gru": " with `reset_after`", "gru_reset_before": " without `reset_after`"}.get(kind, "")
            raise ValueError(
                f"`{_name(kind)}`{given} over {features} features takes for {units} units a {name} of shape {shape}; "
                f"received {received}."
            )


def _recur(
    kind: str,
    params: Any,
    x: Any,
    initial_state: Any,
    reverse: bool,
    return_state: bool,
    activations: tuple[Callable, ...],
    implementation: str,
) -> Any:
    values, mask, segments = split(x)
    if values.ndim != 3:
        raise ValueError(f"`{_name(kind)}` takes values (batch, time, features); received {tuple(values.shape)}.")
    refuse_state_of_packed_rows(x, initial_state)
    check_weights(kind, params, values.shape[-1])
    if initial_state is not None:
        initial_state = _checked_state(kind, initial_state, (values.shape[0], params.recurrent_kernel.shape[0]))
    check_implementation(implementation)
    outputs, state = _run(kind, params, values, mask, segments, initial_state, reverse, activations, implementation)
    outputs = masked_as(x, outputs)
    return (outputs, state) if return_state else outputs


@functools.partial(jax.jit, static_argnames=("kind", "reverse", "activations", "implementation"), inline=True)
def _run(
    kind: str,
    params: Any,
    values: Any,
    mask: Any,
    segments: Any,
    initial_state: Any,
    reverse: bool,
    activations: tuple[Callable, ...],
    implementation: str,
) -> tuple[Any, Any]:
    """The seam between what is computed and how: outputs, zero at padded steps, and final states.

    Args:
        kind: a key of `GATES`.
        params: weights of the kind.
        values: `(batch, time, features)`, zero at padded steps.
        mask: `(batch, time)`, or None.
        segments: ids `(batch, time)` of packed rows, or None.
        initial_state: leaves `(batch, units)` in the structure of the state, of any dtype, or None.
        reverse: the direction.
        activations: of the candidate, and of the gates where there are any.
        implementation: one of `IMPLEMENTATIONS`.

    Returns:
        `(batch, time, units)` in the common dtype of values and kernel, and the state, in float32 at least.
    """
    check_implementation(implementation)
    projected, step = prepare(kind, params, values, activations)
    zeros = jnp.zeros(params.recurrent_kernel.shape[0], projected.dtype)
    zero_state = LSTMState(zeros, zeros) if kind == "lstm" else zeros
    if initial_state is None:
        initial_state = over_rows(zero_state, values)
    else:
        initial_state = jax.tree.map(lambda s: s.astype(projected.dtype), initial_state)
    return scan_rows(step, projected, mask, segments, initial_state, reverse=reverse)


def _checked_state(kind: str, state: Any, shape: tuple[int, int]) -> Any:
    """The initial state in the structure of the kind's own."""
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(state)]
    num_parts = 2 if kind == "lstm" else 1
    if [leaf.shape for leaf in leaves] != [shape] * num_parts:
        rule = f"two arrays, hidden and cell, of shape {shape}" if kind == "lstm" else f"an array of shape {shape}"
        raise ValueError(
            f"`initial_state` of `{_name(kind)}` is {rule}; received {[tuple(leaf.shape) for leaf in leaves]}."
        )
    return LSTMState(*leaves) if kind == "lstm" else leaves[0]


def _name(kind: str) -> str:
    """What the user calls it."""
    return kind.removesuffix("_reset_before")
