"""SimpleRNN, GRU and LSTM: the cells of the same names over a sequence, by the functions of `jmask.rnn`."""

import dataclasses
from typing import Any, ClassVar, Literal

from .. import rnn
from ..core.masked import Masked
from .cells import GRUCell, KernelCell, LSTMCell, RecurrentCell, SimpleRNNCell
from .recurrent import Recurrent, state_like, step_spec


class CellLayer(Recurrent, KernelCell):
    """A layer with the hyperparameters of its cell."""

    cell_class: ClassVar[type[KernelCell]]

    def make_cell(self) -> Any:
        """A cell with the same hyperparameters."""
        names = [field.name for field in dataclasses.fields(self.cell_class)]
        return self.cell_class(**{name: getattr(self, name) for name in names})

    def init(self, key: Any, inputs: Any, initial_state: Any = None) -> Any:
        """The cell's parameters, for values of one batch and one time axis, and those of a step."""
        if len(inputs.shape) != 2 + len(self.step_axes):
            axes = ", ".join(("batch", "time", *self.step_axes))
            raise ValueError(f"`{type(self).__name__}` takes values ({axes}); received {tuple(inputs.shape)}.")
        return super().init(key, inputs, initial_state)


class BuiltIn(CellLayer, RecurrentCell):
    """A layer over one of the three cells, scanned by a function of `jmask.rnn` where that can be.

    Attributes:
        implementation: which of the ways of `jm.rnn.lstm`, `"auto"`, `"xla"` or `"scan"`. With `unroll`, and in
            training with `recurrent_dropout`, the layer scans its cell.
        remat: whether the gates are computed again in the backward pass, as in `jm.rnn.lstm`.
    """

    _: dataclasses.KW_ONLY
    implementation: Literal["auto", "xla", "scan"] = "auto"
    remat: bool | None = None

    def run(self, params: Any, inputs: Any, **options: Any) -> tuple[Any, Any]:
        """The function of `jmask.rnn` with these parameters and hyperparameters."""
        raise TypeError(f"`{type(self).__name__}` has no `run(self, params, inputs, **options)`.")

    def scan(
        self, params: Any, inputs: Any, initial_state: Any = None, *, reverse: bool = False, draws: Any = None
    ) -> tuple[Any, Any]:
        """By the function of `jmask.rnn`; by the general scan of the cell if an option needs it."""
        if self.unroll or (draws is not None and draws.hidden is not None):
            return super().scan(params, inputs, initial_state, reverse=reverse, draws=draws)
        if draws is not None:
            inputs = _times(inputs, draws.inputs[:, None])
        if initial_state is not None:
            initial_state = state_like(self.initial_state(step_spec(inputs)), initial_state, inputs)
        return self.run(
            self.weights(params),
            self.cast(inputs),
            initial_state=initial_state,
            reverse=reverse,
            implementation=self.implementation,
            remat=self.remat,
        )


class SimpleRNN(BuiltIn, SimpleRNNCell):
    """A simple recurrent network (see `jm.rnn.simple_rnn_step` for the equation; parameters as in Keras).

    All options but those about gates are those of `jm.layers.LSTM`.

    Attributes:
        units: length of the state and of an output.
        activation: `"tanh"` by default.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> x, layer = jm.from_lengths(jnp.ones((2, 3, 5)), [3, 1]), jm.layers.SimpleRNN(4, return_sequences=True)
    >>> layer.apply(layer.init(jax.random.key(0), x), x).lengths.tolist()
    [3, 1]
    """

    cell_class: ClassVar[type[KernelCell]] = SimpleRNNCell

    def run(self, params: Any, inputs: Any, **options: Any) -> tuple[Any, Any]:
        """`jm.rnn.simple_rnn`."""
        return rnn.simple_rnn(params, inputs, activation=self.activations[0], **options)


class GRU(BuiltIn, GRUCell):
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

    cell_class: ClassVar[type[KernelCell]] = GRUCell

    def run(self, params: Any, inputs: Any, **options: Any) -> tuple[Any, Any]:
        """`jm.rnn.gru`."""
        activation, recurrent_activation = self.activations
        options |= {"reset_after": self.reset_after}
        return rnn.gru(params, inputs, activation=activation, recurrent_activation=recurrent_activation, **options)


class LSTM(BuiltIn, LSTMCell):
    """Long short-term memory (see `jm.rnn.lstm_step` for the equations; gates and parameters as in Keras).

    With `return_state` the outputs are followed by the hidden and the cell state; `initial_state` is a list of these.

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
            float32 at least.
        param_dtype: dtype of the parameters.
        return_sequences: outputs of every step.
        return_state: the state besides.
        go_backwards: from the last real step to the first; the outputs are in this order, and so is their mask.
        zero_output_for_mask: False repeats the last real output at padded steps, as Keras does by default.
        unroll: whether the loop is written out step by step in the program; it changes no result.
        implementation: `"auto"`, `"xla"` or `"scan"`, as in `jm.rnn.lstm`.
        remat: whether the gates are computed again in the backward pass, as there.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> x, layer = jm.from_lengths(jnp.ones((2, 3, 5)), [3, 1]), jm.layers.LSTM(4, return_sequences=True)
    >>> layer.apply(layer.init(jax.random.key(0), x), x).lengths.tolist()
    [3, 1]
    """

    cell_class: ClassVar[type[KernelCell]] = LSTMCell

    def run(self, params: Any, inputs: Any, **options: Any) -> tuple[Any, Any]:
        """`jm.rnn.lstm`."""
        activation, recurrent_activation = self.activations
        return rnn.lstm(params, inputs, activation=activation, recurrent_activation=recurrent_activation, **options)


def _times(inputs: Any, factor: Any) -> Any:
    return inputs.with_values(inputs.fill(0) * factor) if isinstance(inputs, Masked) else inputs * factor
