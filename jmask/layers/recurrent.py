"""Recurrent layers: the options about their outputs, and the layer over any cell."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .. import ops
from ..core.arithmetic import expand
from ..core.masked import Masked, fill, is_masked, segment_ids_of, values_of
from ..core.segment_ids import number_of_sequences
from ..protocol import path
from ..protocol.row_masks import once_a_row, over_time
from ..rnn.masked_scan import over_rows, refuse_state_of_packed_rows, scan_cell
from .base import BaseMaskedLayer, missing_key
from .stacked import StackedRNNCells, check_cell


class BaseRecurrent(BaseMaskedLayer):
    """What recurrent layers share: the options for their outputs; a subclass has a cell, and may run it faster.

    Inputs: values `(batch, time, features)` with a mask `(batch, time)`, and optionally `initial_state`, a list of
    `(batch, ...)` arrays, which is used with the mask. A padded step leaves the state unchanged; in packed rows every
    sequence begins with the initial state of the cell. If an initial state is a `Masked`, such as the state of another
    layer, all its values are used, including those of empty rows: a decoder may have a sequence where the encoder has
    none.

    Outputs: those of the last real step of each sequence, `(batch, units)`, or of every step, `(batch, time, units)`,
    zero at padded steps and with the mask of the inputs. With `return_state`, a tuple of the outputs and the parts of
    the state after the last real step. Results with one entry per row have a mask `(batch,)` if the inputs have a mask:
    the rows with a real step. An empty row has outputs 0 and keeps its initial state. For packed rows these results are
    one for each sequence, `(num_sequences, units)` by id, and their number must be known; an id without steps is like
    an empty row.

    In training, a cell with dropout draws once for each row, from the key and the row index only: the same at all
    steps, whatever the padding. The sequences of a packed row share its draw.

    Attributes:
        return_sequences: whether to return the outputs of every step, not only of the last.
        return_state: whether to return the final state as well.
        go_backwards: whether to run from the last real step to the first; outputs and their mask are in this order.
        zero_output_for_mask: whether outputs at padded steps are zero, which is the default here, or repeat the last
            real output in the direction of the scan (zeros before the first), which is the default in Keras.
        unroll: whether to unroll the loop in the compiled program; results do not change.
    """

    _: dataclasses.KW_ONLY
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    unroll: bool = False
    zero_output_for_mask: bool = True

    def get_cell(self) -> Any:
        """The cell whose steps the layer scans."""
        raise TypeError(f"`{type(self).__name__}` has no `get_cell(self)`, which says what is scanned.")

    def init(self, key: Any, inputs: Any, initial_state: Any = None) -> Any:
        """The cell's parameters."""
        return init_cell(self.get_cell(), key, inputs)

    @over_time
    def call(self, params: Any, inputs: Any, initial_state: Any = None, training: bool = False, key: Any = None) -> Any:
        """`(batch, time, features)` -> outputs, with `return_state` followed by the parts of the state."""
        return self.run_over(inputs, training, key, functools.partial(self.scan, params, inputs, initial_state))

    def run_over(self, inputs: Any, training: bool, key: Any, scan: Callable[..., Any]) -> Any:
        """The outputs, and with `return_state` the parts of the state, from the results of `scan` for every step."""
        self.check_number_of_sequences(inputs)
        factors = self.sample_dropout(key, inputs) if training else None
        outputs, state = scan(reverse=self.go_backwards, factors=factors)
        outputs = self.select(outputs, reverse=self.go_backwards)
        if self.return_sequences and self.go_backwards:
            outputs = jax.tree.map(ops.flip, outputs, is_leaf=is_masked)
        return self.results(inputs, outputs, state)

    def scan(
        self, params: Any, inputs: Any, initial_state: Any = None, *, reverse: bool = False, factors: Any = None
    ) -> tuple[Any, Any]:
        """Outputs of every step, at the place of the step, and the final state."""
        return self.scan_cell(params, inputs, initial_state, reverse=reverse, factors=factors)

    def scan_cell(
        self, params: Any, inputs: Any, initial_state: Any, constants: Any = None, *, reverse: bool, factors: Any
    ) -> tuple[Any, Any]:
        """`scan`, by the general scan of the cell."""
        cell = self.get_cell()
        refuse_state_of_packed_rows(inputs, initial_state, constants)
        if initial_state is not None:
            initial_state = state_like(cell.initial_state(step_spec(inputs)), initial_state, inputs)
        unroll = max(inputs.shape[1], 1) if self.unroll and len(inputs.shape) > 1 else 1
        options = {"reverse": reverse, "unroll": unroll, "factors": factors}
        if not self.has_states_of_sequences(inputs):
            return scan_cell(cell, params, inputs, initial_state, constants, **options)
        (outputs, states), _ = scan_cell(_Recorded(cell), params, inputs, initial_state, constants, **options)
        return outputs, jax.tree.map(
            lambda y, first: _last_of_sequences(y, reverse, first),
            states,
            cell.initial_state(step_spec(inputs)),
            is_leaf=is_masked,
        )

    def num_states(self, inputs: Any) -> int:
        """The number of parts of the state."""
        return len(jax.tree.leaves(jax.eval_shape(lambda: self.get_cell().initial_state(step_spec(inputs)))))

    def sample_dropout(self, key: Any, inputs: Any) -> Any:
        """The dropout of each row in training, `(batch, ...)`, or None if the cell has no dropout."""
        cell, spec = self.get_cell(), step_spec(inputs)
        sample = getattr(cell, "sample_dropout", None)
        if sample is None or not jax.tree.leaves(jax.eval_shape(sample, jax.random.key(0), spec)):
            return None
        if key is None:
            raise missing_key("dropout")
        rows = jnp.arange(inputs.shape[0])
        drawn = jax.vmap(lambda row: sample(jax.random.fold_in(key, row), spec))(rows)
        values = fill(inputs, 0)
        zeros = over_rows(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:], leaf.dtype), drawn), values)
        return jax.tree.map(jnp.add, zeros, drawn)  # sharded over the rows like the inputs

    def select(self, outputs: Any, *, reverse: bool) -> Any:
        """Selects from the outputs of all steps what the options ask for."""
        if not self.return_sequences:
            return jax.tree.map(lambda y: _last(y, reverse), outputs, is_leaf=is_masked)
        if not self.zero_output_for_mask:
            return jax.tree.map(lambda y: _hold(y, reverse), outputs, is_leaf=is_masked)
        return outputs

    def results(self, inputs: Any, outputs: Any, state: Any) -> Any:
        """Outputs, and the parts of the state if requested; results with one entry per row get a mask of rows."""
        if self.return_sequences and not self.return_state:
            return outputs
        row_result = once_a_row(inputs)
        outputs = outputs if self.return_sequences else jax.tree.map(row_result, outputs)
        return (outputs, *map(row_result, jax.tree.leaves(state))) if self.return_state else outputs

    def has_states_of_sequences(self, inputs: Any) -> bool:
        """Whether the final state of each sequence of packed rows is asked for, not only of the last one of a row."""
        return self.return_state and segment_ids_of(inputs) is not None

    def check_number_of_sequences(self, inputs: Any) -> None:
        """Raises if the number of the sequences of packed rows is not known, and each is to have a result."""
        if segment_ids_of(inputs) is not None and (self.return_state or not self.return_sequences):
            option = "return_state=True" if self.return_sequences else "return_sequences=False"
            number_of_sequences(inputs, f"{path.current()}: `{option}`")


class RNN(BaseRecurrent):
    """A recurrent layer over a cell.

    The options are those of every recurrent layer: `return_sequences`, `return_state`, `go_backwards`,
    `zero_output_for_mask`, `unroll` (see `jm.layers.LSTM`).

    Attributes:
        cell: `init(key, inputs)`, `initial_state(inputs)` and `step(params, state, inputs) -> (state, output)` for
            one step of one sequence (see `jm.rnn.Cell`), such as `jm.layers.LSTMCell(4)` or your own class; a list of
            cells becomes `StackedRNNCells`. A subclass of `jm.Layer` can be saved with the model. If the layer is
            called with `constants=`, which every step of a row sees in addition to its inputs (see `jm.rnn.scan`),
            `step` takes them by name, and so may `init`: without a batch axis, as shapes.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> class Sum(jm.Layer):
    ...     def initial_state(self, inputs):
    ...         return jnp.zeros(inputs.shape)
    ...     def step(self, params, state, inputs):
    ...         return state + inputs, state + inputs
    >>> jm.layers.RNN(Sum()).apply({}, jm.from_lengths(jnp.ones((2, 3, 1)), [3, 1])).values.tolist()
    [[3.0], [1.0]]
    """

    cell: Any

    def __post_init__(self) -> None:
        """Validates the cell."""
        if isinstance(self.cell, (list, tuple)):
            object.__setattr__(self, "cell", StackedRNNCells(self.cell))
        check_cell(self.cell, "RNN")

    def get_cell(self) -> Any:
        """The cell that was given."""
        return self.cell

    def init(self, key: Any, inputs: Any, initial_state: Any = None, constants: Any = None) -> Any:
        """The cell's parameters; those of a cell with constants may depend on their shapes."""
        return init_cell(self.cell, key, inputs, constants)

    @over_time
    def call(
        self,
        params: Any,
        inputs: Any,
        initial_state: Any = None,
        constants: Any = None,
        training: bool = False,
        key: Any = None,
    ) -> Any:
        """`(batch, time, features)` -> outputs, with `return_state` followed by the parts of the state."""
        scan = functools.partial(self.scan_cell, params, inputs, initial_state, constants)
        return self.run_over(inputs, training, key, scan)


def init_cell(cell: Any, key: Any, inputs: Any, constants: Any = None) -> Any:
    """The parameters of a cell, for the inputs of one step, and the constants of one row if it takes them."""
    if not hasattr(cell, "init"):
        return {}
    if constants is None or "constants" not in inspect.signature(cell.init).parameters:
        return cell.init(key, step_spec(inputs))
    of_row = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf)[1:], jnp.result_type(leaf)), constants)
    return cell.init(key, step_spec(inputs), constants=of_row)


def step_spec(inputs: Any) -> jax.ShapeDtypeStruct:
    """Shape and dtype of one step of one sequence."""
    return jax.ShapeDtypeStruct(inputs.shape[2:], inputs.dtype)


def state_like(state: Any, given: Any, inputs: Any) -> Any:
    """The user's parts of the initial state, in the structure and the dtypes of the state of one sequence."""
    leaves, structure = jax.tree.flatten(state)
    expected = [(inputs.shape[0], *jnp.shape(leaf)) for leaf in leaves]
    parts = state_parts(given)
    if [jnp.shape(part) for part in parts] != expected:
        raise ValueError(
            f"{path.current()}: `initial_state` is a list of the parts of the state, with shapes {expected}; received "
            f"{[jnp.shape(part) for part in parts]}."
        )
    return structure.unflatten(
        jnp.asarray(part).astype(jnp.result_type(leaf)) for part, leaf in zip(parts, leaves, strict=True)
    )


def state_parts(state: Any) -> list[Any]:
    """The arrays of a state; for a `Masked`, its values."""
    return [values_of(part) for part in jax.tree.leaves(state, is_leaf=is_masked)]


def _last(outputs: Any, reverse: bool) -> Any:
    """The output of the last real step in the direction of the scan, 0 for an empty row."""
    if segment_ids_of(outputs) is not None:
        return _last_of_sequences(outputs, reverse, 0)
    if not isinstance(outputs, Masked):
        return outputs[:, 0 if reverse else -1] if outputs.shape[1] != 0 else outputs.sum(axis=1)
    seen = jnp.cumsum(outputs.mask, axis=1)
    total = seen[:, -1:]
    is_last = outputs.mask & (seen == (jnp.minimum(total, 1) if reverse else total))
    return jnp.where(expand(is_last, outputs.ndim), outputs.values, 0).sum(axis=1)


def _last_of_sequences(outputs: Masked, reverse: bool, fill_value: Any) -> Any:
    """The same for each sequence of packed rows, `(num_sequences, ...)`, and `fill_value` for ids without steps."""
    picked: Any = (ops.first if reverse else ops.last)(outputs, fill_value=fill_value)
    return picked.values


class _Recorded:
    """A cell whose outputs are those of another cell and its state after the step."""

    def __init__(self, cell: Any) -> None:
        self.cell, self.initial_state = cell, cell.initial_state

    def step(self, params: Any, state: Any, inputs: Any, *factors: Any, **constants: Any) -> tuple[Any, Any]:
        state, output = self.cell.step(params, state, inputs, *factors, **constants)
        return state, (output, state)


def _hold(outputs: Any, reverse: bool) -> Any:
    """Repeats at padded steps the last real output in the direction of the scan, 0 before the first."""
    if not isinstance(outputs, Masked):
        return outputs
    time = outputs.mask.shape[1]
    steps, latest = jnp.arange(time), lax.cummin if reverse else lax.cummax
    source = latest(jnp.where(outputs.mask, steps, time if reverse else -1), axis=1, reverse=reverse)
    is_held = expand((source >= 0) & (source < time), outputs.ndim)
    held = jnp.take_along_axis(outputs.values, expand(jnp.clip(source, 0, time - 1), outputs.ndim), axis=1)
    return outputs.with_values(jnp.where(is_held, held, jnp.zeros((), held.dtype)))
