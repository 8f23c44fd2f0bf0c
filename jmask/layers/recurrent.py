"""Recurrent layers: hyperparameters and parameters for `jmask.rnn`."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp

from .. import ops, rnn
from ..arithmetic import expand
from ..masked import Masked
from ..rnn import LSTMParams, LSTMState
from . import path
from .base import Layer
from .options import Activation, Initializer, activation, initializer


class Recurrent(Layer):
    """What recurrent layers share: the options about their outputs. A subclass says how to scan.

    Inputs: values `(batch, time, features)` with a mask `(batch, time)`, and optionally `initial_state`, a list of
    `(batch, ...)` arrays. A padded step leaves the state as it is.

    Outputs: of the last real step of each sequence, `(batch, units)`, or of every step, `(batch, time, units)`, zero
    at padded steps and masked as the inputs. With `return_state`, a tuple of the outputs and the parts of the state
    after the last real step. An empty row has outputs 0 and keeps its initial state.

    Attributes:
        return_sequences: outputs of every step.
        return_state: the state besides.
        go_backwards: from the last real step to the first; the outputs are in this order, and so is their mask.
    """

    takes_masked = True

    _: dataclasses.KW_ONLY
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False

    def scan(self, params: Any, inputs: Any, initial_state: Any = None, *, reverse: bool = False) -> tuple[Any, Any]:
        """Outputs of every step, where the step is, and the final state."""
        raise TypeError(f"`{type(self).__name__}` has no `scan(self, params, inputs, initial_state, *, reverse)`.")

    def call(self, params: Any, inputs: Any, initial_state: Any = None) -> Any:
        """`(batch, time, features)` -> outputs, or outputs and the parts of the state."""
        outputs, state = self.scan(params, inputs, initial_state, reverse=self.go_backwards)
        if not self.return_sequences:
            outputs = jax.tree.map(lambda y: _last(y, self.go_backwards), outputs, is_leaf=_is_masked)
        elif self.go_backwards:
            outputs = jax.tree.map(ops.flip, outputs, is_leaf=_is_masked)
        return (outputs, *jax.tree.leaves(state)) if self.return_state else outputs


class RNN(Recurrent):
    """A recurrent layer over a cell of one's own.

    Attributes:
        cell: `init(key, inputs)`, `initial_state(inputs)` and `step(params, state, inputs) -> (state, output)` for
            one step of one sequence (see `jm.rnn.Cell`); a subclass of `jm.Layer` can be saved with the model.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> class Sum(jm.Layer):
    ...     def initial_state(self, inputs):
    ...         return jnp.zeros(inputs.shape)
    ...     def step(self, params, state, inputs):
    ...         return state + inputs, state + inputs
    >>> jm.layers.RNN(Sum()).apply({}, jm.from_lengths(jnp.ones((2, 3, 1)), [3, 1])).tolist()
    [[3.0], [1.0]]
    """

    cell: Any

    def init(self, key: Any, inputs: Any, initial_state: Any = None) -> Any:
        """The cell's parameters."""
        if not hasattr(self.cell, "init"):
            return {}
        return self.cell.init(key, jax.ShapeDtypeStruct(inputs.shape[2:], inputs.dtype))

    def scan(self, params: Any, inputs: Any, initial_state: Any = None, *, reverse: bool = False) -> tuple[Any, Any]:
        """`jm.rnn.scan` of the cell."""
        if initial_state is not None:
            step_spec = jax.ShapeDtypeStruct(inputs.shape[2:], inputs.dtype)
            initial_state = _state_like(self.cell.initial_state(step_spec), initial_state, inputs)
        return rnn.scan(self.cell, params, inputs, initial_state=initial_state, reverse=reverse)


class LSTM(Recurrent):
    """Long short-term memory (see `jm.rnn.lstm` for the equations; gates and parameters as in Keras).

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
        param_dtype: dtype of the parameters.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> x, layer = jm.from_lengths(jnp.ones((2, 3, 5)), [3, 1]), jm.layers.LSTM(4, return_sequences=True)
    >>> layer.apply(layer.init(jax.random.key(0), x), x).lengths.tolist()
    [3, 1]
    """

    units: int
    _: dataclasses.KW_ONLY
    activation: Activation = "tanh"
    recurrent_activation: Activation = "sigmoid"
    use_bias: bool = True
    unit_forget_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    recurrent_initializer: Initializer = "orthogonal"
    bias_initializer: Initializer = "zeros"
    param_dtype: Any = "float32"

    def init(self, key: Any, inputs: Any, initial_state: Any = None) -> dict[str, Any]:
        """`{"kernel": (features, 4 units), "recurrent_kernel": (units, 4 units), "bias": (4 units,)}`."""
        if len(inputs.shape) != 3:
            raise ValueError(f"`LSTM` takes values (batch, time, features); received {tuple(inputs.shape)}.")
        kernel_key, recurrent_key, bias_key = jax.random.split(key, 3)
        units, dtype = self.units, self.param_dtype
        params = {
            "kernel": initializer(self.kernel_initializer)(kernel_key, (inputs.shape[-1], 4 * units), dtype),
            "recurrent_kernel": initializer(self.recurrent_initializer)(recurrent_key, (units, 4 * units), dtype),
        }
        if self.use_bias:
            bias = initializer(self.bias_initializer)(bias_key, (4 * units,), dtype)
            params["bias"] = bias.at[units : 2 * units].set(1) if self.unit_forget_bias else bias
        return params

    def scan(self, params: Any, inputs: Any, initial_state: Any = None, *, reverse: bool = False) -> tuple[Any, Any]:
        """`jm.rnn.lstm` with these parameters."""
        if initial_state is not None:
            zeros = jnp.zeros(self.units, jnp.result_type(inputs.dtype, params["recurrent_kernel"].dtype))
            initial_state = _state_like(LSTMState(zeros, zeros), initial_state, inputs)
        return rnn.lstm(
            LSTMParams(params["kernel"], params["recurrent_kernel"], params.get("bias")),
            inputs,
            initial_state=initial_state,
            reverse=reverse,
            activation=activation(self.activation),
            recurrent_activation=activation(self.recurrent_activation),
        )


class Bidirectional(Layer):
    """A recurrent layer in both directions, each over the real steps only.

    Inputs as of the layer; `initial_state` is the list of the forward state's parts and then the backward state's.
    The outputs of both directions stand at the steps they belong to; with `return_state` they are followed by the
    parts of the forward and of the backward state. An empty row has outputs 0.

    Attributes:
        layer: the layer of the forward direction, and of the backward one with parameters of its own.
        merge_mode: `"concat"`, `"sum"`, `"mul"`, `"ave"`, or None for a tuple of both outputs.
        backward_layer: another layer for the backward direction.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> x, layer = jm.from_lengths(jnp.ones((2, 3, 5)), [3, 1]), jm.layers.Bidirectional(jm.layers.LSTM(4))
    >>> layer.apply(layer.init(jax.random.key(0), x), x).shape
    (2, 8)
    """

    takes_masked = True

    layer: Recurrent
    _: dataclasses.KW_ONLY
    merge_mode: Literal["concat", "sum", "mul", "ave"] | None = "concat"
    backward_layer: Recurrent | None = None

    def __post_init__(self) -> None:
        """Checks the options while the user's line is still on the stack."""
        for layer in (self.layer, self.layer if self.backward_layer is None else self.backward_layer):
            if not isinstance(layer, Recurrent) or layer.go_backwards:
                raise ValueError(
                    "`Bidirectional` runs a recurrent layer (LSTM, RNN) in both directions itself; received "
                    f"{layer!r}. Leave out `go_backwards`."
                )
        forward, backward = self._directions()
        if (forward.return_sequences, forward.return_state) != (backward.return_sequences, backward.return_state):
            raise ValueError("`layer` and `backward_layer` must agree in `return_sequences` and `return_state`.")
        if self.merge_mode not in (None, "concat", *_MERGES):
            raise ValueError(
                f"`merge_mode` must be 'concat', 'sum', 'mul', 'ave' or None; received {self.merge_mode!r}."
            )

    def init(self, key: Any, inputs: Any, initial_state: Any = None) -> dict[str, Any]:
        """`{"forward": ..., "backward": ...}`."""
        forward, backward = self._directions()
        forward_key, backward_key = jax.random.split(key)
        return {"forward": forward.init(forward_key, inputs), "backward": backward.init(backward_key, inputs)}

    def call(self, params: Any, inputs: Any, initial_state: Any = None) -> Any:
        """`(batch, time, features)` -> merged outputs, or these and the parts of both states."""
        states = [None, None]
        if initial_state is not None:
            parts = jax.tree.leaves(initial_state)
            states = [parts[: len(parts) // 2], parts[len(parts) // 2 :]]
        results = []
        for name, layer, state, reverse in zip(
            ("forward", "backward"), self._directions(), states, (False, True), strict=True
        ):
            with path.scope(name):
                outputs, state = layer.scan(params[name], inputs, state, reverse=reverse)
                results.append((outputs if self.layer.return_sequences else _last(outputs, reverse), state))
        merged = _merge([outputs for outputs, _ in results], self.merge_mode)
        return (merged, *jax.tree.leaves([state for _, state in results])) if self.layer.return_state else merged

    def _directions(self) -> tuple[Recurrent, Recurrent]:
        return self.layer, self.layer if self.backward_layer is None else self.backward_layer


def _state_like(state: Any, given: Any, inputs: Any) -> Any:
    """The parts that a user gave as the initial state, in the structure and the dtypes of the state of one sequence."""
    leaves, structure = jax.tree.flatten(state)
    expected = [(inputs.shape[0], *jnp.shape(leaf)) for leaf in leaves]
    parts = jax.tree.leaves(given)
    if [jnp.shape(part) for part in parts] != expected:
        raise ValueError(
            f"{path.current()}: `initial_state` is a list of the parts of the state, with shapes {expected}; received "
            f"{[jnp.shape(part) for part in parts]}."
        )
    return structure.unflatten(
        jnp.asarray(part).astype(jnp.result_type(leaf)) for part, leaf in zip(parts, leaves, strict=True)
    )


_MERGES = {"sum": lambda x, y: x + y, "ave": lambda x, y: (x + y) / 2, "mul": lambda x, y: x * y}


def _merge(outputs: list[Any], mode: str | None) -> Any:
    if mode is None:
        return tuple(outputs)
    if mode == "concat":
        return ops.concatenate(outputs, -1)
    forward, backward = outputs
    if not isinstance(forward, Masked):
        return _MERGES[mode](forward, backward)
    return forward.with_values(_MERGES[mode](forward.values, backward.values))


def _last(outputs: Any, reverse: bool) -> Any:
    """The output of the last real step in the direction of the scan, 0 for an empty row."""
    if not isinstance(outputs, Masked):
        return outputs[:, 0 if reverse else -1] if outputs.shape[1] != 0 else outputs.sum(axis=1)
    seen = jnp.cumsum(outputs.mask, axis=1)
    total = seen[:, -1:]
    is_last = outputs.mask & (seen == (jnp.minimum(total, 1) if reverse else total))
    return jnp.where(expand(is_last, outputs.ndim), outputs.values, 0).sum(axis=1)


def _is_masked(leaf: Any) -> bool:
    return isinstance(leaf, Masked)
