"""The convolutional LSTM: its cell, and the layer that scans it over sequences."""

import dataclasses
from typing import Any, ClassVar, Literal

import jax

from ..ops.windows import Windows
from ..protocol.fields import Dtype, Rate, Size
from ..protocol.options import Activation, Initializer, activation
from ..rnn import LSTMState
from ..rnn.conv_lstm import convolve, line_windows, split_conv_lstm_step
from .cells import BaseCell, CellShapes, with_open_forget_gate
from .rnn_layers import BaseCellLayer


class ConvLSTM1DCell(BaseCell):
    """One step of a convolutional LSTM, for `jm.layers.RNN` (see `jm.rnn.conv_lstm_step` for the equations).

    Attributes:
        filters: number of channels of the state and of an output.
        kernel_size: number of pixels in a window.

    The other attributes are those of `jm.layers.ConvLSTM1D`.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> x, layer = jm.from_lengths(jnp.ones((2, 3, 7, 5)), [3, 1]), jm.layers.RNN(jm.layers.ConvLSTM1DCell(4, 3))
    >>> layer.apply(layer.init(jax.random.key(0), x), x).shape
    (2, 5, 4)
    """

    step_axes: ClassVar[tuple[str, ...]] = ("pixels", "channels")

    filters: Size
    kernel_size: Size
    _: dataclasses.KW_ONLY
    strides: Size = 1
    padding: Literal["valid", "same"] = "valid"
    dilation_rate: Size = 1
    activation: Activation = "tanh"
    recurrent_activation: Activation = "sigmoid"
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    recurrent_initializer: Initializer = "orthogonal"
    bias_initializer: Initializer = "zeros"
    unit_forget_bias: bool = True

    def __post_init__(self) -> None:
        """Validates the windows."""
        _ = self.windows

    @property
    def windows(self) -> Windows:
        """The positions of the windows over the inputs."""
        return line_windows(self.kernel_size, self.strides, self.padding, self.dilation_rate)

    @property
    def activations(self) -> tuple[Any, ...]:
        """The activations of the candidate and the cell, and of the gates."""
        return activation(self.activation), activation(self.recurrent_activation)

    def init(self, key: Any, inputs: Any) -> dict[str, Any]:
        """`kernel` and `recurrent_kernel`, `(kernel_size, channels, 4 filters)` each, and `bias`, `(4 filters,)`."""
        params = super().init(key, inputs)
        return with_open_forget_gate(params) if self.unit_forget_bias else params

    def initial_state(self, inputs: Any) -> LSTMState:
        """Zeros for the hidden state and for the cell, at least float32."""
        zeros = super().initial_state(inputs)
        return LSTMState(zeros, zeros)

    def shapes(self, inputs: Any) -> CellShapes:
        """The shapes for inputs `(pixels, channels)`."""
        self.check_step(inputs)
        width = 4 * self.filters
        kernel, recurrent_kernel = (
            (self.kernel_size, channels, width) for channels in (inputs.shape[-1], self.filters)
        )
        spec = jax.ShapeDtypeStruct(kernel, inputs.dtype)
        pixels, _ = jax.eval_shape(lambda x, w: convolve(x, w, self.windows), inputs, spec).shape
        return CellShapes((pixels, self.filters), kernel, recurrent_kernel, (width,))

    def prepare(self, params: Any, inputs: Any) -> tuple[Any, Any]:
        """A convolution for the inputs, and a step of `jmask.rnn`."""
        return split_conv_lstm_step(
            (*self.kernels(params), params["bias"] if self.use_bias else None), inputs, self.windows, self.activations
        )


class ConvLSTM1D(BaseCellLayer):
    """Convolutional LSTM over rows of pixels (see `jm.rnn.conv_lstm_step`; gates and parameters as in Keras).

    Inputs: values `(batch, time, pixels, channels)` with a mask `(batch, time)`: a step is real or padding as a whole.
    Outputs: those of the last real step of each sequence, `(batch, new_pixels, filters)`, or of every step. Masks,
    packed rows and the outputs of empty rows, which are 0, are as in `jm.layers.LSTM`. With `return_state` the outputs
    are followed by the hidden and the cell state, `(batch, new_pixels, filters)` each; `initial_state` is a list of
    these.

    Attributes:
        filters: number of channels of the state and of an output.
        kernel_size: number of pixels in a window.
        strides: distance in pixels from one window over the inputs to the next; over the state it is always 1.
        padding: of the inputs. `"valid"`: windows lie within the row of pixels; `"same"`: there are
            `ceil(pixels / strides)` windows, with zeros on both sides. That of the state is always `"same"`.
        dilation_rate: distance in pixels from one entry of a window over the inputs to the next.
        activation: of the candidate and of the cell, `"tanh"` by default.
        recurrent_activation: of the gates.
        use_bias: whether there is a bias.
        unit_forget_bias: whether the bias of the forget gate starts at 1.
        kernel_initializer: by name or as `(key, shape, dtype)`.
        recurrent_initializer: the same for the recurrent kernel.
        bias_initializer: the same for the bias.
        dropout: probability of dropping an entry of the inputs, `(pixels, channels)`, in training, at all steps of a
            sequence or at none. The draw depends on the key and the row, not on the padding; all gates share it.
        recurrent_dropout: the same for the hidden state, before its convolution with the recurrent kernel.
        dtype: inputs and kernels are cast to it, and outputs have it; None: their common dtype. States and sums are
            at least float32.
        param_dtype: dtype of the parameters.
        return_sequences: whether to return the outputs of every step, not only of the last.
        return_state: whether to return the final state as well.
        go_backwards: whether to run from the last real step to the first; outputs and their mask are in this order.
        zero_output_for_mask: False repeats the last real output at padded steps.
        unroll: whether to unroll the loop in the compiled program; results do not change.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> x, layer = jm.from_lengths(jnp.ones((2, 3, 7, 5)), [3, 1]), jm.layers.ConvLSTM1D(4, 3, return_sequences=True)
    >>> outputs = layer.apply(layer.init(jax.random.key(0), x), x)
    >>> outputs.shape, outputs.lengths.tolist()
    ((2, 3, 5, 4), [3, 1])
    """

    cell_class: ClassVar[type[BaseCell]] = ConvLSTM1DCell

    filters: Size
    kernel_size: Size
    _: dataclasses.KW_ONLY
    strides: Size = 1
    padding: Literal["valid", "same"] = "valid"
    dilation_rate: Size = 1
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
    dtype: Dtype | None = None
    param_dtype: Dtype = "float32"

    def __post_init__(self) -> None:
        """Validates the windows."""
        line_windows(self.kernel_size, self.strides, self.padding, self.dilation_rate)
