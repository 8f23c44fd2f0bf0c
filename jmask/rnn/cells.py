"""Cells: one step of one sequence, without masks and without a batch.

Each step takes projected inputs, `x W + b`: the inputs of all steps are known in advance, so their products with `W`
are one matrix product before the loop, and only `h U` remains in the loop.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

State = Any


@runtime_checkable
class Cell(Protocol):
    """What `jm.rnn.scan` and `jm.layers.RNN` run over a sequence: one step of one sequence, without batch or mask.

    For `jm.layers.RNN`, a cell with parameters also has an `init(self, key, inputs)` that makes them, for inputs of one
    step `(features,)`; and a cell with dropout in training has a `sample_dropout(self, key, inputs)`, whose result, the
    same for all steps of a sequence, `step` then takes as its last argument.

    >>> import jax.numpy as jnp, jmask as jm
    >>> class RunningMax:
    ...     def initial_state(self, inputs):
    ...         return jnp.full(inputs.shape, -jnp.inf, inputs.dtype)
    ...     def step(self, params, state, inputs):
    ...         state = jnp.maximum(state, inputs)
    ...         return state, state
    >>> isinstance(RunningMax(), jm.rnn.Cell)
    True
    >>> x = jm.pad_sequences([[3.0, 1.0, 4.0], [2.0]])
    >>> jm.rnn.scan(RunningMax(), {}, x, return_state=False).fill(0).tolist()
    [[3.0, 3.0, 4.0], [2.0, 0.0, 0.0]]
    """

    def initial_state(self, inputs: Any) -> State:
        """The state before the first step.

        Args:
            inputs: shape and dtype of the inputs of one step, `(features,)`.

        Returns:
            Any pytree of arrays.
        """
        ...

    def step(self, params: Any, state: State, inputs: Any) -> tuple[State, Any]:
        """One step.

        Args:
            params: the parameters, as given to `jm.rnn.scan`.
            state: the state before the step, in the structure of `initial_state`.
            inputs: the inputs of the step, `(features,)`.

        Returns:
            The state after the step, with the same structure, shapes and dtypes, and the output: an array or a pytree.
        """
        ...


class SimpleRNNParams(NamedTuple):
    """Weights of a simple recurrent network.

    Attributes:
        kernel: `W`, `(features, units)`, for the inputs.
        recurrent_kernel: `U`, `(units, units)`, for the state.
        bias: `b`, `(units,)`, or None.

    >>> import jax.numpy as jnp, jmask as jm
    >>> params = jm.rnn.SimpleRNNParams(kernel=jnp.ones((3, 2)), recurrent_kernel=jnp.zeros((2, 2)), bias=None)
    >>> jm.rnn.simple_rnn(params, jnp.ones((4, 5, 3)), return_state=False).shape
    (4, 5, 2)
    """

    kernel: Float[Array, "features units"]
    recurrent_kernel: Float[Array, "units units"]
    bias: Float[Array, " units"] | None


class GRUParams(NamedTuple):
    """Weights of a GRU with the gates in the order update, reset, candidate, as in Keras (`z`, `r`, `h`).

    Attributes:
        kernel: `W`, `(features, 3 units)`, for the inputs.
        recurrent_kernel: `U`, `(units, 3 units)`, for the state.
        bias: `(2, 3 units)`, one for the inputs and one for the recurrent product, if the reset gate is applied after
            the recurrent product; `(3 units,)` if it is applied before; or None.

    >>> import jax.numpy as jnp, jmask as jm
    >>> params = jm.rnn.GRUParams(kernel=jnp.ones((3, 6)), recurrent_kernel=jnp.zeros((2, 6)), bias=jnp.zeros((2, 6)))
    >>> jm.rnn.gru(params, jnp.ones((4, 5, 3)), return_state=False).shape
    (4, 5, 2)
    """

    kernel: Float[Array, "features three_units"]
    recurrent_kernel: Float[Array, "units three_units"]
    bias: Float[Array, "2 three_units"] | Float[Array, " three_units"] | None


class LSTMState(NamedTuple):
    """State of an LSTM.

    Attributes:
        hidden: the hidden state, which is also the output, `(units,)`; for a batch, `(batch, units)`.
        cell: the cell state, of the same shape.

    >>> import jax.numpy as jnp, jmask as jm
    >>> hidden, cell = jm.rnn.LSTMState(hidden=jnp.zeros(2), cell=jnp.ones(2))
    >>> cell.tolist()
    [1.0, 1.0]
    """

    hidden: Array
    cell: Array


class LSTMParams(NamedTuple):
    """Weights of an LSTM with the gates in the order input, forget, candidate, output, as in Keras.

    Attributes:
        kernel: `W`, `(features, 4 units)`, for the inputs.
        recurrent_kernel: `U`, `(units, 4 units)`, for the hidden state.
        bias: `b`, `(4 units,)`, or None.

    >>> import jax.numpy as jnp, jmask as jm
    >>> params = jm.rnn.LSTMParams(kernel=jnp.ones((3, 8)), recurrent_kernel=jnp.zeros((2, 8)), bias=jnp.zeros(8))
    >>> jm.rnn.lstm(params, jnp.ones((4, 5, 3)), return_state=False).shape
    (4, 5, 2)
    """

    kernel: Float[Array, "features four_units"]
    recurrent_kernel: Float[Array, "units four_units"]
    bias: Float[Array, " four_units"] | None


def simple_rnn_step(
    recurrent_kernel: Float[Array, "units units"],
    state: Float[Array, " units"],
    projected: Float[Array, " units"],
    activation: Callable[[Any], Any] = jnp.tanh,
    *,
    scale: Float[Array, " units"] | None = None,
) -> Float[Array, " units"]:
    """One step of a simple recurrent network, from projected inputs.

        h' = tanh(x W + b + h U)

    Args:
        recurrent_kernel: `U`, `(units, units)`.
        state: `h`, `(units,)`.
        projected: `x W + b`, `(units,)`.
        activation: used instead of tanh.
        scale: a factor on `h` before its product with `U`, `(units,)`, for recurrent dropout; None: 1.

    Returns:
        `h'`, which is the state and the output.

    References:
        Elman: Finding Structure in Time, Cognitive Science 14 (1990).

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.rnn.simple_rnn_step(jnp.eye(2), jnp.ones(2), jnp.array([1.0, -1.0]), lambda z: z).tolist()
    [2.0, 0.0]
    """
    return activation(projected + _product(state, recurrent_kernel, scale))


def gru_step(
    recurrent_kernel: Float[Array, "units three_units"],
    state: Float[Array, " units"],
    projected: Float[Array, " three_units"],
    activation: Callable[[Any], Any] = jnp.tanh,
    recurrent_activation: Callable[[Any], Any] = jax.nn.sigmoid,
    *,
    recurrent_bias: Float[Array, " three_units"] | None = None,
    reset_after: bool = True,
    scale: Float[Array, " units"] | None = None,
) -> Float[Array, " units"]:
    """One step of a gated recurrent unit, from projected inputs.

    With `x W + b` in three parts `z, r, g`, the recurrent kernel in three parts `U_z, U_r, U_g`, and the recurrent bias
    in three parts `b_z, b_r, b_g`:

        u  = sigmoid(z + h U_z + b_z)
        s  = sigmoid(r + h U_r + b_r)
        g' = tanh(g + s * (h U_g + b_g))      with `reset_after`
        g' = tanh(g + (s * h) U_g)            without, and without a recurrent bias
        h' = u * h + (1 - u) * g'

    Args:
        recurrent_kernel: `U`, `(units, 3 units)`.
        state: `h`, `(units,)`.
        projected: `x W + b`, `(3 units,)`.
        activation: used instead of tanh.
        recurrent_activation: used instead of sigmoid.
        recurrent_bias: `(3 units,)`, or None: zeros; only with `reset_after`.
        reset_after: whether the reset gate `s` is applied after the recurrent product, as in cuDNN, or before it, as in
            the paper.
        scale: a factor on `h` before its products with `U`, `(units,)`, for recurrent dropout; None: 1.

    Returns:
        `h'`, which is the state and the output.

    Raises:
        ValueError: a recurrent bias is given without `reset_after`.

    References:
        Cho et al.: Learning Phrase Representations using RNN Encoder-Decoder, EMNLP 2014, equations 5 to 8; with
        `reset_after` its first version, arXiv 1406.1078v1. The update gate keeps the old state, as in that paper; in
        Chung et al., arXiv 1412.3555, it lets in the new one.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.rnn.gru_step(jnp.zeros((1, 3)), jnp.ones(1), jnp.zeros(3)).tolist()  # half of the state is kept
    [0.5]
    """
    if recurrent_bias is not None and not reset_after:
        raise ValueError(
            "`recurrent_bias` is added before the reset gate; without `reset_after`, add it to the inputs."
        )
    units = state.shape[-1]
    z, r, g = jnp.split(projected, 3, axis=-1)
    if reset_after:
        products = _product(state, recurrent_kernel, scale)
        h_z, h_r, h_g = jnp.split(products if recurrent_bias is None else products + recurrent_bias, 3, axis=-1)
        reset = recurrent_activation(r + h_r)
        candidate = activation(g + reset * h_g)
    else:
        h_z, h_r = jnp.split(_product(state, recurrent_kernel[:, : 2 * units], scale), 2, axis=-1)
        reset = recurrent_activation(r + h_r)
        candidate = activation(g + _product(reset * state, recurrent_kernel[:, 2 * units :], scale))
    update = recurrent_activation(z + h_z)
    return update * state + (1 - update) * candidate


def lstm_step(
    recurrent_kernel: Float[Array, "units four_units"],
    state: LSTMState,
    projected: Float[Array, " four_units"],
    activation: Callable[[Any], Any] = jnp.tanh,
    recurrent_activation: Callable[[Any], Any] = jax.nn.sigmoid,
    *,
    scale: Float[Array, " units"] | None = None,
) -> LSTMState:
    """One step of an LSTM, from projected inputs.

    With `z = x W + h U + b` in four parts `i, f, g, o`:

        c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h' = sigmoid(o) * tanh(c')

    Args:
        recurrent_kernel: `U`, `(units, 4 units)`.
        state: the hidden state `h` and the cell state `c`, `(units,)` each.
        projected: `x W + b`, `(4 units,)`.
        activation: used instead of tanh.
        recurrent_activation: used instead of sigmoid.
        scale: a factor on `h` before its product with `U`, `(units,)`, for recurrent dropout; None: 1.

    Returns:
        `h'` and `c'`.

    References:
        Hochreiter and Schmidhuber: Long Short-Term Memory, Neural Computation 9 (1997); with the forget gate of Gers,
        Schmidhuber and Cummins: Learning to Forget, Neural Computation 12 (2000), equations 1 to 6.

    >>> import jax.numpy as jnp, jmask as jm
    >>> state = jm.rnn.LSTMState(jnp.zeros(1), jnp.ones(1))
    >>> jm.rnn.lstm_step(jnp.zeros((1, 4)), state, jnp.zeros(4)).cell.tolist()  # half of the cell state is forgotten
    [0.5]
    """
    z = projected + _product(state.hidden, recurrent_kernel, scale)
    return lstm_gates(z, state.cell, activation, recurrent_activation)


def lstm_gates(z: Any, cell: Any, activation: Any, recurrent_activation: Any) -> LSTMState:
    """The next state of an LSTM, from `z` in four parts along its last axis, and the cell state."""
    i, f, g, o = jnp.split(z, 4, axis=-1)
    cell = recurrent_activation(f) * cell + recurrent_activation(i) * activation(g)
    return LSTMState(recurrent_activation(o) * activation(cell), cell)


def _product(hidden: Any, recurrent_kernel: Any, scale: Any) -> Any:
    """`h U`, multiplied in the dtype of `U` and summed in the wider dtype of the state."""
    wide = jnp.result_type(hidden, recurrent_kernel)
    hidden = hidden if scale is None else hidden * scale
    return jnp.matmul(hidden.astype(recurrent_kernel.dtype), recurrent_kernel, preferred_element_type=wide)
