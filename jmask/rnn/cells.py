"""Cells: one step of one sequence, without masks and without a batch."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

State = Any
Step = Any


@runtime_checkable
class Cell(Protocol):
    """What `jm.rnn.scan` and `jm.layers.RNN` run over a sequence. Nothing in it knows of batches or masks.

    For `jm.layers.RNN`, a cell with parameters has besides an `init(self, key, inputs)` that makes them, for inputs of
    one step `(features,)`.
    """

    def initial_state(self, inputs: Any) -> State:
        """The state before the first step, any pytree of arrays, for inputs of one step `(features,)`."""
        ...

    def step(self, params: Any, state: State, inputs: Any) -> tuple[State, Any]:
        """The next state and the output, from the parameters, the state and the inputs of one step."""
        ...


class LSTMState(NamedTuple):
    """State of an LSTM: the hidden state, which is also its output, and the memory cell; `(units,)` each."""

    hidden: Any
    cell: Any


class LSTMParams(NamedTuple):
    """Weights of an LSTM with the gates in the order input, forget, cell, output, as in Keras."""

    kernel: Float[Array, "features four_units"]
    recurrent_kernel: Float[Array, "units four_units"]
    bias: Float[Array, " four_units"] | None


def lstm_step(
    recurrent_kernel: Float[Array, "units four_units"],
    state: LSTMState,
    projected: Float[Array, " four_units"],
    activation: Any = jnp.tanh,
    recurrent_activation: Any = jax.nn.sigmoid,
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

    Returns:
        `h'` and `c'`.

    References:
        Hochreiter and Schmidhuber: Long Short-Term Memory, Neural Computation 9 (1997); with the forget gate of Gers,
        Schmidhuber and Cummins: Learning to Forget, Neural Computation 12 (2000), equations 1 to 6.
    """
    i, f, g, o = jnp.split(projected + state.hidden @ recurrent_kernel, 4, axis=-1)
    cell = recurrent_activation(f) * state.cell + recurrent_activation(i) * activation(g)
    return LSTMState(recurrent_activation(o) * activation(cell), cell)
