"""Cells as layers: hyperparameters and parameters for one step of `jmask.rnn`, for `jm.layers.RNN`."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from ..protocol.fields import Dtype, Rate, Size
from ..protocol.layer import Layer
from ..protocol.options import Activation, Initializer, activation, initializer
from ..rnn import GRUParams, LSTMParams, LSTMState, SimpleRNNParams
from ..rnn.kinds import GATES, split_step


class DropoutFactors(NamedTuple):
    """Dropout of one sequence, the same at all its steps: factors on the inputs and on the hidden state, or None."""

    inputs: Any = None
    hidden: Any = None


class CellShapes(NamedTuple):
    """Shapes of a part of a cell's state, and of its parameters."""

    state: tuple[int, ...]
    kernel: tuple[int, ...]
    recurrent_kernel: tuple[int, ...]
    bias: tuple[int, ...]


class BaseCell(Layer):
    """What the cells share: a kernel for the inputs, another for the state, and a bias.

    Attributes:
        step_axes: the axes of one step of the inputs.
        activation: of the candidate.
        use_bias: whether there is a bias.
        kernel_initializer: by name or as `(key, shape, dtype)`.
        recurrent_initializer: the same for the recurrent kernel.
        bias_initializer: the same for the bias.
        dropout: probability of dropping an entry of the inputs in training.
        recurrent_dropout: the same for the hidden state.
        dtype: of the products and the outputs; None: the common dtype of inputs and kernels.
        param_dtype: dtype of the parameters.

    References:
        Gal and Ghahramani: A Theoretically Grounded Application of Dropout in Recurrent Neural Networks, NIPS 2016.
    """

    supports_packing = True
    step_axes: ClassVar[tuple[str, ...]] = ("features",)

    _: dataclasses.KW_ONLY
    activation: Activation = "tanh"
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    recurrent_initializer: Initializer = "orthogonal"
    bias_initializer: Initializer = "zeros"
    dropout: Rate = 0.0
    recurrent_dropout: Rate = 0.0
    dtype: Dtype | None = None
    param_dtype: Dtype = "float32"

    def shapes(self, inputs: Any) -> CellShapes:
        """The shapes for inputs of one step."""
        raise TypeError(_is_abstract(self))

    def prepare(self, params: Any, inputs: Any) -> tuple[Any, Any]:
        """The projected inputs, and the rest of the step: `(scale, state, projected) -> (state, output)`."""
        raise TypeError(_is_abstract(self))

    @property
    def activations(self) -> tuple[Any, ...]:
        """The activations of a step: for the candidate, and for the gates if there are any."""
        return (activation(self.activation),)

    def kernels(self, params: Any) -> tuple[Any, Any]:
        """Both kernels in the dtype of the products."""
        return self.cast(jnp.asarray(params["kernel"])), self.cast(jnp.asarray(params["recurrent_kernel"]))

    def cast(self, x: Any) -> Any:
        """Inputs or a kernel in the dtype of the products."""
        return x if self.dtype is None else x.astype(jnp.dtype(self.dtype))

    def init(self, key: Any, inputs: Any) -> dict[str, Any]:
        """`{"kernel": ..., "recurrent_kernel": ..., "bias": ...}` for inputs of one step."""
        kernel_key, recurrent_key, bias_key = jax.random.split(key, 3)
        shapes, dtype = self.shapes(inputs), self.param_dtype
        params = {
            "kernel": initializer(self.kernel_initializer)(kernel_key, shapes.kernel, dtype),
            "recurrent_kernel": initializer(self.recurrent_initializer)(recurrent_key, shapes.recurrent_kernel, dtype),
        }
        if self.use_bias:
            params["bias"] = initializer(self.bias_initializer)(bias_key, shapes.bias, dtype)
        return params

    def initial_state(self, inputs: Any) -> Any:
        """Zeros, at least float32."""
        return jnp.zeros(self.shapes(inputs).state, jnp.promote_types(self._product_dtype(inputs), jnp.float32))

    def step(self, params: Any, state: Any, inputs: Any, factors: DropoutFactors | None = None) -> tuple[Any, Any]:
        """The next state and the output, from inputs of one step."""
        self.check_step(inputs)
        factors = DropoutFactors() if factors is None else factors
        inputs = self.cast(inputs if factors.inputs is None else inputs * factors.inputs)
        projected, step = self.prepare(params, inputs)
        return step(factors.hidden, state, projected)

    def check_step(self, inputs: Any) -> None:
        """Raises if a step has the wrong rank."""
        if len(inputs.shape) != len(self.step_axes):
            axes = ", ".join(self.step_axes)
            step = f"{axes}," if len(self.step_axes) == 1 else axes
            raise ValueError(
                f"`{type(self).__name__}` takes values (batch, time, {axes}), one step ({step}) at a time; "
                f"received a step of shape {tuple(inputs.shape)}."
            )

    def sample_dropout(self, key: Any, inputs: Any) -> DropoutFactors:
        """The dropout of one sequence in training, for inputs of one step."""
        inputs_key, hidden_key = jax.random.split(key)
        dtype, shape = self._product_dtype(inputs), self.shapes(inputs).state
        inputs_dtype = inputs.dtype if jnp.issubdtype(inputs.dtype, jnp.inexact) else dtype
        return DropoutFactors(
            dropout_factor(inputs_key, self.dropout, inputs.shape, inputs_dtype),
            dropout_factor(hidden_key, self.recurrent_dropout, shape, jnp.promote_types(dtype, jnp.float32)),
        )

    def _product_dtype(self, inputs: Any) -> Any:
        known = (jax.dtypes.canonicalize_dtype(dtype) for dtype in (inputs.dtype, self.param_dtype))
        return jnp.dtype(self.dtype or jnp.result_type(*known))


class BaseUnitsCell(BaseCell):
    """What the cells with a vector of units as their state share: SimpleRNN, GRU and LSTM.

    Attributes:
        units: length of the state and of an output.
    """

    units: Size

    @property
    def kind(self) -> Any:
        """The name of the cell in `jmask.rnn`."""
        raise TypeError(_is_abstract(self))

    def shapes(self, inputs: Any) -> CellShapes:
        """The shapes for inputs `(features,)`."""
        width = GATES[self.kind] * self.units
        bias = (2, width) if self.kind == "gru" else (width,)
        return CellShapes((self.units,), (inputs.shape[-1], width), (self.units, width), bias)

    def weights(self, params: Any) -> Any:
        """The parameters as `jmask.rnn` takes them, in the dtype of the products."""
        container = {"simple_rnn": SimpleRNNParams, "lstm": LSTMParams}.get(self.kind, GRUParams)
        return container(*self.kernels(params), params["bias"] if self.use_bias else None)

    def prepare(self, params: Any, inputs: Any) -> tuple[Any, Any]:
        """A matrix product for the inputs, and a step of `jmask.rnn`."""
        return split_step(self.kind, self.weights(params), inputs, self.activations)


class SimpleRNNCell(BaseUnitsCell):
    """One step of a simple recurrent network, for `jm.layers.RNN` (see `jm.rnn.simple_rnn_step` for the equation).

    Attributes:
        units: length of the state and of an output.

    The other attributes are those of `jm.layers.SimpleRNN`.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> x, layer = jm.from_lengths(jnp.ones((2, 3, 5)), [3, 1]), jm.layers.RNN(jm.layers.SimpleRNNCell(4))
    >>> layer.apply(layer.init(jax.random.key(0), x), x).shape
    (2, 4)
    """

    @property
    def kind(self) -> Any:
        """`"simple_rnn"`."""
        return "simple_rnn"


class GRUCell(BaseUnitsCell):
    """One step of a gated recurrent unit, for `jm.layers.RNN` (see `jm.rnn.gru_step` for the equations).

    Attributes:
        units: length of the state and of an output.
        recurrent_activation: of the gates.
        reset_after: whether the reset gate comes after the recurrent product or before it.

    The other attributes are those of `jm.layers.GRU`.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> x, layer = jm.from_lengths(jnp.ones((2, 3, 5)), [3, 1]), jm.layers.RNN(jm.layers.GRUCell(4))
    >>> layer.apply(layer.init(jax.random.key(0), x), x).shape
    (2, 4)
    """

    _: dataclasses.KW_ONLY
    activation: Activation = "tanh"
    recurrent_activation: Activation = "sigmoid"
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    recurrent_initializer: Initializer = "orthogonal"
    bias_initializer: Initializer = "zeros"
    dropout: Rate = 0.0
    recurrent_dropout: Rate = 0.0
    reset_after: bool = True

    @property
    def kind(self) -> Any:
        """`"gru"`, or `"gru_reset_before"`."""
        return "gru" if self.reset_after else "gru_reset_before"

    @property
    def activations(self) -> tuple[Any, ...]:
        """The activations of the candidate and of the gates."""
        return activation(self.activation), activation(self.recurrent_activation)


class LSTMCell(BaseUnitsCell):
    """One step of an LSTM, for `jm.layers.RNN` (see `jm.rnn.lstm_step` for the equations).

    Attributes:
        units: length of the state and of an output.
        recurrent_activation: of the gates.
        unit_forget_bias: whether the bias of the forget gate starts at 1.

    The other attributes are those of `jm.layers.LSTM`.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> x, layer = jm.from_lengths(jnp.ones((2, 3, 5)), [3, 1]), jm.layers.RNN(jm.layers.LSTMCell(4))
    >>> layer.apply(layer.init(jax.random.key(0), x), x).shape
    (2, 4)
    """

    _: dataclasses.KW_ONLY
    activation: Activation = "tanh"
    recurrent_activation: Activation = "sigmoid"
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    recurrent_initializer: Initializer = "orthogonal"
    bias_initializer: Initializer = "zeros"
    unit_forget_bias: bool = True

    @property
    def kind(self) -> Any:
        """`"lstm"`."""
        return "lstm"

    @property
    def activations(self) -> tuple[Any, ...]:
        """The activations of the candidate and the cell, and of the gates."""
        return activation(self.activation), activation(self.recurrent_activation)

    def init(self, key: Any, inputs: Any) -> dict[str, Any]:
        """`{"kernel": (features, 4 units), "recurrent_kernel": (units, 4 units), "bias": (4 units,)}`."""
        params = super().init(key, inputs)
        return with_open_forget_gate(params) if self.unit_forget_bias else params

    def initial_state(self, inputs: Any) -> LSTMState:
        """Zeros for the hidden state and for the cell, at least float32."""
        zeros = super().initial_state(inputs)
        return LSTMState(zeros, zeros)


def with_open_forget_gate(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters of an LSTM with ones in the bias of its forget gate, if there is a bias."""
    if "bias" not in params:
        return params
    size = params["bias"].size // 4
    return params | {"bias": params["bias"].at[size : 2 * size].set(1)}


def dropout_factor(key: Any, rate: float, shape: tuple[int, ...], dtype: Any) -> Any:
    """Factors that drop with probability `rate` and scale the rest up; None for a rate of 0."""
    if rate == 0:
        return None
    if rate == 1:
        return jnp.zeros(shape, dtype)
    return (jax.random.bernoulli(key, 1 - rate, shape) / (1 - rate)).astype(dtype)


def _is_abstract(cell: BaseCell) -> str:
    return f"`{type(cell).__name__}` is what cells share; use one of them, such as `LSTMCell`."
