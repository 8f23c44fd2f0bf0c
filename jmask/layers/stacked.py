"""Several cells stacked into one: the output of each is the input of the next, at the same step."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from ..protocol.layer import Layer
from ..protocol.names import distinct_names, given_names


class StackedRNNCells(Layer):
    """A stack of several cells as one, for `jm.layers.RNN`: deep in each step, one scan over time.

    The state is the tuple of the cells' states; the output is that of the last cell. The parameters are a dict of the
    cells' parameters, under their names or their classes in snake case; a cell that occurs twice uses the same
    parameters both times.

    Attributes:
        cells: the cells in order, jmask layers or other objects with `initial_state` and `step` as in `jm.rnn.Cell`.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> cell = jm.layers.StackedRNNCells([jm.layers.GRUCell(4), jm.layers.LSTMCell(2)])
    >>> x, layer = jm.from_lengths(jnp.ones((2, 3, 5)), [3, 1]), jm.layers.RNN(cell)
    >>> params = layer.init(jax.random.key(0), x)
    >>> list(params), layer.apply(params, x).shape
    (['gru_cell', 'lstm_cell'], (2, 2))
    """

    supports_packing = True

    cells: Any

    def __post_init__(self) -> None:
        """Validates the cells."""
        if not isinstance(self.cells, (list, tuple)) or not self.cells:
            raise ValueError(
                "`StackedRNNCells` takes a list of cells, the first for the inputs; received "
                f"{self.cells if isinstance(self.cells, (list, tuple)) else type(self.cells).__name__}."
            )
        for cell in self.cells:
            check_cell(cell, "StackedRNNCells")
        given = given_names(self.cells)
        if len(set(given)) < len(given):
            raise ValueError(f"Two cells of `StackedRNNCells` have one name, of {given}; their parameters need two.")

    def init(self, key: Any, inputs: Any) -> dict[str, Any]:
        """The parameters of each cell under its name, for inputs `(features,)` of one step."""
        params = {}
        for name, cell, spec, cell_key in zip(
            self._names(), self.cells, self._specs(inputs), jax.random.split(key, len(self.cells)), strict=True
        ):
            if name not in params:
                params[name] = cell.init(cell_key, spec) if hasattr(cell, "init") else {}
        return params

    def initial_state(self, inputs: Any) -> tuple[Any, ...]:
        """The initial states of the cells."""
        return tuple(cell.initial_state(spec) for cell, spec in zip(self.cells, self._specs(inputs), strict=True))

    def step(self, params: Any, state: Any, inputs: Any, factors: Any = None) -> tuple[Any, Any]:
        """One step of each cell in turn."""
        new_states = []
        for i, (name, cell) in enumerate(zip(self._names(), self.cells, strict=True)):
            of_cell = () if factors is None or factors[i] is None else (factors[i],)
            new_state, inputs = cell.step(params[name], state[i], inputs, *of_cell)
            new_states.append(new_state)
        return tuple(new_states), inputs

    def sample_dropout(self, key: Any, inputs: Any) -> Any:
        """The dropout of the cells in training, for those that have any."""
        keys, specs = jax.random.split(key, len(self.cells)), self._specs(inputs)
        return tuple(
            cell.sample_dropout(k, spec) if hasattr(cell, "sample_dropout") else None
            for cell, k, spec in zip(self.cells, keys, specs, strict=True)
        )

    def _specs(self, inputs: Any) -> Iterator[Any]:
        """The shape and dtype of each cell's input at one step."""
        spec = jax.ShapeDtypeStruct(inputs.shape, inputs.dtype)
        for i, cell in enumerate(self.cells):
            yield spec
            if i + 1 < len(self.cells):
                spec = jax.eval_shape(lambda cell=cell, spec=spec: _output(cell, spec))

    def _names(self) -> list[str]:
        """The name of each cell."""
        names = distinct_names(self.cells)
        return [names[id(cell)] for cell in self.cells]


def check_cell(cell: Any, where: str) -> None:
    """Raises unless it is a cell: a cell has a `step`, which layers over sequences lack."""
    if not (hasattr(cell, "step") and hasattr(cell, "initial_state")) or isinstance(cell, type):
        raise ValueError(
            f"`{where}` takes cells, with `initial_state(inputs)` and `step(params, state, inputs)` for one step, such "
            f"as `jm.layers.LSTMCell`; received {cell!r}."
        )


def _output(cell: Any, spec: Any) -> Any:
    params = cell.init(jax.random.key(0), spec) if hasattr(cell, "init") else {}
    return cell.step(params, cell.initial_state(spec), jnp.zeros(spec.shape, spec.dtype))[1]
