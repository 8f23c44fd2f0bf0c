"""SimpleRNN, GRU and LSTM: each layer has the cell of the same name, and is run by a network of `jmask.rnn`."""

import dataclasses
import functools
from typing import Any, ClassVar, Literal

from ..core.masked import fill, like
from ..protocol.fields import Dtype, Rate, Size
from ..protocol.options import Activation, Initializer
from ..rnn.implementations import run_network
from ..rnn.masked_scan import refuse_state_of_packed_rows
from .cells import BaseCell, BaseUnitsCell, GRUCell, LSTMCell, SimpleRNNCell
from .recurrent import BaseRecurrent, state_like, step_spec


class BaseCellLayer(BaseRecurrent):
    """A layer that builds its cell from its own hyperparameters, those that the cell also has."""

    cell_class: ClassVar[type[BaseCell]]

    @functools.cached_property
    def cell(self) -> Any:
        """The cell that the layer scans over the sequences."""
        names = [field.name for field in dataclasses.fields(self.cell_class)]
        return self.cell_class(**{name: getattr(self, name) for name in names})

    def get_cell(self) -> Any:
        """The cell with these hyperparameters."""
        return self.cell

    def init(self, key: Any, inputs: Any, initial_state: Any = None) -> Any:
        """The cell's parameters, for values with one batch axis, one time axis and the axes of a step."""
        step_axes = self.cell_class.step_axes
        if len(inputs.shape) != 2 + len(step_axes):
            axes = ", ".join(("batch", "time", *step_axes))
            raise ValueError(f"`{type(self).__name__}` takes values ({axes}); received {tuple(inputs.shape)}.")
        return super().init(key, inputs, initial_state)


class BaseUnitsLayer(BaseCellLayer):
    """A layer over a cell of units, run by a network of `jmask.rnn` where possible.

    Attributes:
        implementation: `"auto"`, `"xla"` or `"scan"`, as in `jm.rnn.lstm`. With `unroll`, and in training with
            `recurrent_dropout`, the layer scans its cell.
        remat: whether the backward pass recomputes the gates, as in `jm.rnn.lstm`.
    """

    _: dataclasses.KW_ONLY
    implementation: Literal["auto", "xla", "scan"] = "auto"
    remat: bool | None = None

    def scan(
        self, params: Any, inputs: Any, initial_state: Any = None, *, reverse: bool = False, factors: Any = None
    ) -> tuple[Any, Any]:
        """By the network of `jmask.rnn`; by the general scan of the cell if an option needs it."""
        needs_cell = self.unroll or (factors is not None and factors.hidden is not None)
        if needs_cell or self.has_states_of_sequences(inputs):
            return super().scan(params, inputs, initial_state, reverse=reverse, factors=factors)
        cell: BaseUnitsCell = self.cell
        if factors is not None:
            inputs = _times(inputs, factors.inputs[:, None])
        if initial_state is not None:
            refuse_state_of_packed_rows(inputs, initial_state)
            initial_state = state_like(cell.initial_state(step_spec(inputs)), initial_state, inputs)
        results = run_network(
            cell.kind,
            cell.weights(params),
            cell.cast(inputs),
            initial_state,
            activations=cell.activations,
            reverse=reverse,
            return_state=self.return_state,
            implementation=self.implementation,
            remat=self.remat,
        )
        return results if self.return_state else (results, None)


class SimpleRNN(BaseUnitsLayer):
    """A simple recurrent network (see `jm.rnn.simple_rnn_step` for the equation; parameters as in Keras).

    The other options, except those for gates, are those of `jm.layers.LSTM`.

    Attributes:
        units: length of the state and of an output.
        activation: `"tanh"` by default.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> x, layer = jm.from_lengths(jnp.ones((2, 3, 5)), [3, 1]), jm.layers.SimpleRNN(4, return_sequences=True)
    >>> layer.apply(layer.init(jax.random.key(0), x), x).lengths.tolist()
    [3, 1]
    """

    cell_class: ClassVar[type[BaseCell]] = SimpleRNNCell

    units: Size
    _: dataclasses.KW_ONLY
    activation: Activation = "tanh"
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    recurrent_initializer: Initializer = "orthogonal"
    bias_initializer: Initializer = "zeros"
    dropout: Rate = 0.0
    recurrent_dropout: Rate = 0.0
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    unroll: bool = False
    zero_output_for_mask: bool = True
    implementation: Literal["auto", "xla", "scan"] = "auto"
    remat: bool | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = "float32"


class GRU(BaseUnitsLayer):
    """Gated recurrent unit (see `jm.rnn.gru_step` for the equations; gates and parameters as in Keras).

    All other options are those of `jm.layers.LSTM`.

    Attributes:
        units: length of the state and of an output.
        activation: of the candidate, `"tanh"` by default.
        recurrent_activation: of the gates.
        reset_after: whether the reset gate comes after the recurrent product, with a bias `(2, 3 units)`, or before
            it, with a bias `(3 units,)`.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> x, layer = jm.from_lengths(jnp.ones((2, 3, 5)), [3, 1]), jm.layers.GRU(4, return_sequences=True)
    >>> layer.apply(layer.init(jax.random.key(0), x), x).lengths.tolist()
    [3, 1]
    """

    cell_class: ClassVar[type[BaseCell]] = GRUCell

    units: Size
    _: dataclasses.KW_ONLY
    activation: Activation = "tanh"
    recurrent_activation: Activation = "sigmoid"
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    recurrent_initializer: Initializer = "orthogonal"
    bias_initializer: Initializer = "zeros"
    dropout: Rate = 0.0
    recurrent_dropout: Rate = 0.0
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    unroll: bool = False
    reset_after: bool = True
    zero_output_for_mask: bool = True
    implementation: Literal["auto", "xla", "scan"] = "auto"
    remat: bool | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = "float32"


class LSTM(BaseUnitsLayer):
    """Long short-term memory (see `jm.rnn.lstm_step` for the equations; gates and parameters as in Keras).

    Inputs: `(batch, time, features)`, and optionally `initial_state`. Outputs: of the last real step of each sequence,
    `(batch, units)`, or of every step, `(batch, time, units)`. With `return_state` they are followed by the hidden and
    the cell state, each `(batch, units)`; `initial_state` is a list of these two. An empty row has outputs 0 and keeps
    its initial state. Packed rows give their sequences' results by id, `(num_sequences, units)`; with
    `return_state` they are scanned by the cell, which takes longer.

    Attributes:
        units: length of the state and of an output.
        activation: of the candidate and of the cell, `"tanh"` by default.
        recurrent_activation: of the gates.
        use_bias: whether there is a bias.
        unit_forget_bias: whether the bias of the forget gate starts at 1.
        kernel_initializer: by name or as `(key, shape, dtype)`.
        recurrent_initializer: the same for the recurrent kernel.
        bias_initializer: the same for the bias.
        dropout: probability of dropping a feature of the inputs in training, at all steps of a sequence or at none
            (Gal and Ghahramani, NIPS 2016). The draw depends on the key and the row, not on the padding.
        recurrent_dropout: the same for the hidden state, before its product with the recurrent kernel.
        dtype: inputs and kernels are cast to it, and outputs have it; None: their common dtype. States and sums are
            at least float32.
        param_dtype: dtype of the parameters.
        return_sequences: whether to return the outputs of every step, not only of the last.
        return_state: whether to return the final state as well.
        go_backwards: whether to run from the last real step to the first; outputs and their mask are in this order.
        zero_output_for_mask: False repeats the last real output at padded steps, as Keras does by default.
        unroll: whether to unroll the loop in the compiled program; results do not change.
        implementation: `"auto"`, `"xla"` or `"scan"`, as in `jm.rnn.lstm`.
        remat: whether the backward pass recomputes the gates, as in `jm.rnn.lstm`.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> x, layer = jm.from_lengths(jnp.ones((2, 3, 5)), [3, 1]), jm.layers.LSTM(4, return_sequences=True)
    >>> layer.apply(layer.init(jax.random.key(0), x), x).lengths.tolist()
    [3, 1]
    """

    cell_class: ClassVar[type[BaseCell]] = LSTMCell

    units: Size
    _: dataclasses.KW_ONLY
    activation: Activation = "tanh"
    recurrent_activation: Activation = "sigmoid"
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    recurrent_initializer: Initializer = "orthogonal"
    bias_initializer: Initializer = "zeros"
    unit_forget_bias: bool = True
    dropout: Rate = 0.0
    recurrent_dropout: Rate = 0.0
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    unroll: bool = False
    zero_output_for_mask: bool = True
    implementation: Literal["auto", "xla", "scan"] = "auto"
    remat: bool | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = "float32"


def _times(inputs: Any, factor: Any) -> Any:
    return like(inputs, fill(inputs, 0) * factor)
