"""Cells: one step of one sequence, without masks and without a batch.

Each step takes inputs that have been projected already, `x W + b`: the inputs of all steps are known, so their products
with `W` are one matrix product before the loop, and the loop is left with `h U`.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

State = Any
Step = Any


@runtime_checkable
class Cell(Protocol):
    """What `jm.rnn.scan` and `jm.layers.RNN` run over a sequence. Nothing in it knows of batches or masks.

    For `jm.layers.RNN`, a cell with parameters also has an `init(self, key, inputs)` that makes them, for inputs of one
    step `(features,)`; and a cell that drops at random in training has a `sample_dropout(self, key, inputs)`, whose
    result, one for all steps of a sequence, `step` then takes as its last argument.
    """

    def initial_state(self, inputs: Any) -> State:
        """The state before the first step, any pytree of arrays, for inputs of one step `(features,)`."""
        ...

    def step(self, params: Any, state: State, inputs: Any) -> tuple[State, Any]:
        """The next state and the output, from the parameters, the state and the inputs of one step."""
        ...


class SimpleRNNParams(NamedTuple):
    """Weights of a simple recurrent network."""

    kernel: Float[Array, "features units"]
    recurrent_kernel: Float[Array, "units units"]
    bias: Float[Array, " units"] | None


class GRUParams(NamedTuple):
    """Weights of a GRU with the gates in the order update, reset, candidate (`z`, `r`, `h`), as in Keras.

    The bias is `(2, 3 units)` where the reset gate comes after the recurrent product: that of the inputs, and that of
    the recurrent product. Where it comes before, it is `(3 units,)`.
    """

    kernel: Float[Array, "features three_units"]
    recurrent_kernel: Float[Array, "units three_units"]
    bias: Float[Array, "2 three_units"] | Float[Array, " three_units"] | None


class LSTMState(NamedTuple):
    """State of an LSTM: the hidden state, which is also its output, and the memory cell; `(units,)` each."""

    hidden: Any
    cell: Any


class LSTMParams(NamedTuple):
    """Weights of an LSTM with the gates in the order input, forget, cell, output, as in Keras."""

    kernel: Float[Array, "features four_units"]
    recurrent_kernel: Float[Array, "units four_units"]
    bias: Float[Array, " four_units"] | None


def simple_rnn_step(
    recurrent_kernel: Float[Array, "units units"],
    state: Float[Array, " units"],
    projected: Float[Array, " units"],
    activation: Any = jnp.tanh,
    *,
    scale: Float[Array, " units"] | None = None,
) -> Float[Array, " units"]:
    """One step of a simple recurrent network, from inputs that have been projected already.

        h' = tanh(x W + b + h U)

    Args:
        recurrent_kernel: `U`, `(units, units)`.
        state: `h`, `(units,)`.
        projected: `x W + b`, `(units,)`.
        activation: in the place of tanh.
        scale: a factor on `h` before its product with `U`, for recurrent dropout.

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
    activation: Any = jnp.tanh,
    recurrent_activation: Any = jax.nn.sigmoid,
    *,
    recurrent_bias: Float[Array, " three_units"] | None = None,
    reset_after: bool = True,
    scale: Float[Array, " units"] | None = None,
) -> Float[Array, " units"]:
    """One step of a gated recurrent unit, from inputs that have been projected already.

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
        activation: in the place of tanh.
        recurrent_activation: in the place of sigmoid.
        recurrent_bias: `(3 units,)`, zeros if None; only with `reset_after`.
        reset_after: whether the reset gate `s` comes after the recurrent product, as in cuDNN, or before, as in the
            paper.
        scale: a factor on `h` before its products with `U`, for recurrent dropout.

    Returns:
        `h'`, which is the state and the output.

    Raises:
        ValueError: a recurrent bias without `reset_after`.

    References:
        Cho et al.: Learning Phrase Representations using RNN Encoder-Decoder, EMNLP 2014, equations 5 to 8; with
        `reset_after` its first version, arXiv 1406.1078v1. The update gate keeps the old state, as there; in Chung et
        al., arXiv 1412.3555, it lets in the new one.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.rnn.gru_step(jnp.zeros((1, 3)), jnp.ones(1), jnp.zeros(3)).tolist()  # half of it is kept
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
    activation: Any = jnp.tanh,
    recurrent_activation: Any = jax.nn.sigmoid,
    *,
    scale: Float[Array, " units"] | None = None,
) -> LSTMState:
    """One step of an LSTM, from inputs that have been projected already.

    With `z = x W + h U + b` in four parts `i, f, g, o`:

        c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h' = sigmoid(o) * tanh(c')

    Args:
        recurrent_kernel: `U`, `(units, 4 units)`.
        state: `h` and `c`, `(units,)` each.
        projected: `x W + b`, `(4 units,)`.
        activation: in the place of tanh.
        recurrent_activation: in the place of sigmoid.
        scale: a factor on `h` before its product with `U`, for recurrent dropout.

    Returns:
        `h'` and `c'`.

    References:
        Hochreiter and Schmidhuber: Long Short-Term Memory, Neural Computation 9 (1997); with the forget gate of Gers,
        Schmidhuber and Cummins: Learning to Forget, Neural Computation 12 (2000), equations 1 to 6.

    >>> import jax.numpy as jnp, jmask as jm
    >>> state = jm.rnn.LSTMState(jnp.zeros(1), jnp.ones(1))
    >>> jm.rnn.lstm_step(jnp.zeros((1, 4)), state, jnp.zeros(4)).cell.tolist()  # half of it is forgotten
    [0.5]
    """
    z = projected + _product(state.hidden, recurrent_kernel, scale)
    return lstm_gates(z, state.cell, activation, recurrent_activation)


def lstm_gates(z: Any, cell: Any, activation: Any, recurrent_activation: Any) -> LSTMState:
    """The next state of an LSTM, from `z` in four parts along its last axis, and the memory cell."""
    i, f, g, o = jnp.split(z, 4, axis=-1)
    cell = recurrent_activation(f) * cell + recurrent_activation(i) * activation(g)
    return LSTMState(recurrent_activation(o) * activation(cell), cell)


def _product(hidden: Any, recurrent_kernel: Any, scale: Any) -> Any:
    """`h U`, multiplied in the dtype of `U` and summed in the wider one, which is that of the state."""
    wide = jnp.result_type(hidden, recurrent_kernel)
    hidden = hidden if scale is None else hidden * scale
    return jnp.matmul(hidden.astype(recurrent_kernel.dtype), recurrent_kernel, preferred_element_type=wide)
