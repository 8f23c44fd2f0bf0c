"""The three standard recurrent networks over masked batches: SimpleRNN, GRU and LSTM."""

from collections.abc import Callable
from typing import Any, Literal, TypedDict, Unpack, overload

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from ..core.masked import Masked
from .cells import GRUParams, LSTMParams, LSTMState, SimpleRNNParams
from .implementations import Implementation, run_network


class _Options(TypedDict, total=False):
    """The keyword options of all three, except `return_state`."""

    initial_state: Any
    reverse: bool
    activation: Callable[[Any], Any]
    implementation: Implementation
    remat: bool | None


class _LSTMOptions(_Options, total=False):
    recurrent_activation: Callable[[Any], Any]


class _GRUOptions(_LSTMOptions, total=False):
    reset_after: bool


@overload
def simple_rnn(
    params: SimpleRNNParams, x: Masked, *, return_state: Literal[True] = True, **options: Unpack[_Options]
) -> tuple[Masked, Array]: ...
@overload
def simple_rnn(
    params: SimpleRNNParams, x: Masked, *, return_state: Literal[False], **options: Unpack[_Options]
) -> Masked: ...
@overload
def simple_rnn(
    params: SimpleRNNParams, x: ArrayLike, *, return_state: Literal[True] = True, **options: Unpack[_Options]
) -> tuple[Array, Array]: ...
@overload
def simple_rnn(
    params: SimpleRNNParams, x: ArrayLike, *, return_state: Literal[False], **options: Unpack[_Options]
) -> Array: ...
def simple_rnn(
    params: SimpleRNNParams,
    x: Masked | ArrayLike,
    *,
    initial_state: Any = None,
    reverse: bool = False,
    return_state: bool = True,
    activation: Callable[[Any], Any] = jnp.tanh,
    implementation: Implementation = "auto",
    remat: bool | None = None,
) -> Any:
    """A simple recurrent network over every sequence of a batch: `jm.rnn.simple_rnn_step` at each real step.

    The inputs of all steps are projected in one matrix product. Products are computed in the common dtype of inputs and
    kernel, and summed in at least float32.

    Args:
        params: the kernel `(features, units)`, the recurrent kernel `(units, units)`, and the bias `(units,)` or None.
        x: values `(batch, time, features)` with a mask `(batch, time)`, or an array, which has no padding.
        initial_state: the state before the first step, `(batch, units)`, an array or a `Masked`; None: zeros. Not
            supported for packed rows.
        reverse: whether to run from the last real step to the first; outputs stay at the steps they belong to.
        return_state: whether to return the final state as well.
        activation: of the state; only `tanh` runs in the fused implementation.
        implementation: `"auto"`, `"xla"` or `"scan"`; `jm.rnn.lstm` says how they differ.
        remat: whether the backward pass recomputes the states instead of saving them twice. None: with `"xla"` if they
            take more than 16 MiB, with `"scan"` never.

    Returns:
        `(outputs, state)`, or without `return_state` only the outputs. The outputs are the states of all steps,
        `(batch, time, units)`, with the mask of `x` and 0 at padded steps. The state is the one after the last real
        step of each row, `(batch, units)`, an array of at least float32; in packed rows, after the sequence that comes
        last in the direction of the scan. An empty row has outputs 0 and keeps its initial state; it passes a gradient
        only to that state.

    Raises:
        ValueError: values, weights or initial state have the wrong shape, packed rows have an initial state, or the
            implementation is unknown.

    >>> import jax.numpy as jnp, jmask as jm
    >>> params = jm.rnn.SimpleRNNParams(jnp.ones((3, 2)), jnp.ones((2, 2)), None)
    >>> outputs, state = jm.rnn.simple_rnn(params, jm.from_lengths(jnp.ones((4, 5, 3)), [5, 2, 0, 1]))
    >>> outputs.shape, state.shape
    ((4, 5, 2), (4, 2))
    """
    return run_network(
        "simple_rnn",
        params,
        x,
        initial_state,
        activations=(activation,),
        reverse=reverse,
        return_state=return_state,
        implementation=implementation,
        remat=remat,
    )


@overload
def gru(
    params: GRUParams, x: Masked, *, return_state: Literal[True] = True, **options: Unpack[_GRUOptions]
) -> tuple[Masked, Array]: ...
@overload
def gru(params: GRUParams, x: Masked, *, return_state: Literal[False], **options: Unpack[_GRUOptions]) -> Masked: ...
@overload
def gru(
    params: GRUParams, x: ArrayLike, *, return_state: Literal[True] = True, **options: Unpack[_GRUOptions]
) -> tuple[Array, Array]: ...
@overload
def gru(params: GRUParams, x: ArrayLike, *, return_state: Literal[False], **options: Unpack[_GRUOptions]) -> Array: ...
def gru(
    params: GRUParams,
    x: Masked | ArrayLike,
    *,
    initial_state: Any = None,
    reverse: bool = False,
    return_state: bool = True,
    activation: Callable[[Any], Any] = jnp.tanh,
    recurrent_activation: Callable[[Any], Any] = jax.nn.sigmoid,
    reset_after: bool = True,
    implementation: Implementation = "auto",
    remat: bool | None = None,
) -> Any:
    """A gated recurrent unit over every sequence of a batch: `jm.rnn.gru_step` at each real step.

    The inputs of all steps are projected in one matrix product. Products are computed in the common dtype of inputs and
    kernel, and summed in at least float32.

    Args:
        params: the kernel `(features, 3 units)`, the recurrent kernel `(units, 3 units)`, and the bias: `(2, 3 units)`,
            `(3 units,)` without `reset_after`, or None.
        x: values `(batch, time, features)` with a mask `(batch, time)`, or an array, which has no padding.
        initial_state: the state before the first step, `(batch, units)`, an array or a `Masked`; None: zeros. Not
            supported for packed rows.
        reverse: whether to run from the last real step to the first; outputs stay at the steps they belong to.
        return_state: whether to return the final state as well.
        activation: of the candidate; only `tanh` runs in the fused implementation.
        recurrent_activation: of the gates; only `sigmoid` runs in the fused implementation.
        reset_after: whether the reset gate is applied after the recurrent product or before it.
        implementation: `"auto"`, `"xla"` or `"scan"`; `jm.rnn.lstm` says how they differ.
        remat: whether the backward pass recomputes the gates instead of saving them. None: with `"xla"` if they take
            more than 16 MiB, with `"scan"` never.

    Returns:
        `(outputs, state)`, or without `return_state` only the outputs. The outputs are the states of all steps,
        `(batch, time, units)`, with the mask of `x` and 0 at padded steps. The state is the one after the last real
        step of each row, `(batch, units)`, an array of at least float32; in packed rows, after the sequence that comes
        last in the direction of the scan. An empty row has outputs 0 and keeps its initial state; it passes a gradient
        only to that state.

    Raises:
        ValueError: values, weights or initial state have the wrong shape, the bias does not fit `reset_after`,
            packed rows have an initial state, or the implementation is unknown.

    >>> import jax.numpy as jnp, jmask as jm
    >>> params = jm.rnn.GRUParams(jnp.ones((3, 6)), jnp.ones((2, 6)), jnp.zeros((2, 6)))
    >>> outputs, state = jm.rnn.gru(params, jm.from_lengths(jnp.ones((4, 5, 3)), [5, 2, 0, 1]))
    >>> outputs.shape, state.shape
    ((4, 5, 2), (4, 2))
    """
    return run_network(
        "gru" if reset_after else "gru_reset_before",
        params,
        x,
        initial_state,
        activations=(activation, recurrent_activation),
        reverse=reverse,
        return_state=return_state,
        implementation=implementation,
        remat=remat,
    )


@overload
def lstm(
    params: LSTMParams, x: Masked, *, return_state: Literal[True] = True, **options: Unpack[_LSTMOptions]
) -> tuple[Masked, LSTMState]: ...
@overload
def lstm(params: LSTMParams, x: Masked, *, return_state: Literal[False], **options: Unpack[_LSTMOptions]) -> Masked: ...
@overload
def lstm(
    params: LSTMParams, x: ArrayLike, *, return_state: Literal[True] = True, **options: Unpack[_LSTMOptions]
) -> tuple[Array, LSTMState]: ...
@overload
def lstm(
    params: LSTMParams, x: ArrayLike, *, return_state: Literal[False], **options: Unpack[_LSTMOptions]
) -> Array: ...
def lstm(
    params: LSTMParams,
    x: Masked | ArrayLike,
    *,
    initial_state: Any = None,
    reverse: bool = False,
    return_state: bool = True,
    activation: Callable[[Any], Any] = jnp.tanh,
    recurrent_activation: Callable[[Any], Any] = jax.nn.sigmoid,
    implementation: Implementation = "auto",
    remat: bool | None = None,
) -> Any:
    """An LSTM over every sequence of a batch: `jm.rnn.lstm_step` at each real step.

    The inputs of all steps are projected in one matrix product. Products are computed in the common dtype of inputs and
    kernel, and summed in at least float32.

    Args:
        params: the kernel `(features, 4 units)`, the recurrent kernel `(units, 4 units)`, and the bias `(4 units,)` or
            None.
        x: values `(batch, time, features)` with a mask `(batch, time)`, or an array, which has no padding.
        initial_state: the hidden and the cell state before the first step, `(batch, units)` each, arrays or `Masked`;
            None: zeros. Not supported for packed rows.
        reverse: whether to run from the last real step to the first; outputs stay at the steps they belong to.
        return_state: whether to return the final state as well.
        activation: of the candidate and of the cell state; only `tanh` runs in the fused implementation.
        recurrent_activation: of the gates; only `sigmoid` runs in the fused implementation.
        implementation: `"xla"` is fused: it spends time on the real steps only, because it packs the rows into lanes
            inside the program, and it has a custom gradient. `"scan"` is a plain `jax.lax.scan` over all steps. It
            has forward-mode derivatives (`jax.jvp`, `jax.jacfwd`, `jax.hessian`), which `"xla"` lacks; it is also used,
            whichever is requested, for other activations and for weights sharded over explicit mesh axes. On several
            devices each runs its own rows, and only `"scan"` can be exported by `jax.export`. `"auto"` is `"xla"`,
            with two exceptions: on CPUs a small problem (`batch * time * units` below 65,536) takes the scan, which
            compiles in half the time; and so does one on a mesh with automatic axes beside explicit or manual ones.
        remat: whether the backward pass recomputes the gates instead of saving them. None: with `"xla"` if they take
            more than 16 MiB, with `"scan"` never.

    Returns:
        `(outputs, state)`, or without `return_state` only the outputs. The outputs are the hidden states of all steps,
        `(batch, time, units)`, with the mask of `x` and 0 at padded steps. The state is the `LSTMState` after the last
        real step of each row, two arrays `(batch, units)` of at least float32; in packed rows, after the sequence that
        comes last in the direction of the scan. An empty row has outputs 0 and keeps its initial state; it passes a
        gradient only to that state.

    Raises:
        ValueError: values, weights or initial state have the wrong shape, packed rows have an initial state, or the
            implementation is unknown.

    >>> import jax.numpy as jnp, jmask as jm
    >>> params = jm.rnn.LSTMParams(jnp.ones((3, 8)), jnp.ones((2, 8)), jnp.zeros(8))
    >>> outputs, state = jm.rnn.lstm(params, jm.from_lengths(jnp.ones((4, 5, 3)), [5, 2, 0, 1]))
    >>> outputs.shape, state.cell.shape
    ((4, 5, 2), (4, 2))
    """
    return run_network(
        "lstm",
        params,
        x,
        initial_state,
        activations=(activation, recurrent_activation),
        reverse=reverse,
        return_state=return_state,
        implementation=implementation,
        remat=remat,
    )
