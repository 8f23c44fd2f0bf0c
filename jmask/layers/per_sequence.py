"""A function of one sequence, or a Flax or Equinox module, as a layer that runs it on each sequence separately."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ..core.masked import is_masked, segment_ids_of, values_of
from ..core.segment_ids import number_of_sequences
from ..modules import explained, module_of, runner_of
from ..protocol import path
from ..protocol.layer import Layer
from ..protocol.row_masks import with_rows
from ..transform import vmap


class PerSequence(Layer):
    """Runs a function of one sequence on each sequence separately, exactly, whatever the padding (see `jm.vmap`).

    The function sees no mask, no padding and no batch. Its options `training`, `train` and `is_training` tell it
    whether the layer is in training; `deterministic`, `inference` and `use_running_average` are the opposite. In
    training each sequence has its own key, derived from `key=` and the index of its row, or its id in packed rows: a
    function with a keyword-only option `key` receives it.

    - A `flax.linen` module is initialised with the layer, on a row of the batch. Fields of it and of its submodules
      that have the names of the options above are set likewise, and all its random streams start from the key.
    - A `flax.nnx` module brings its own parameters. It runs in training mode (`module.train()`) exactly when the layer
      does, whatever mode the user left it in, and all its random streams start from the key.
    - An Equinox module brings its own parameters, its floating-point arrays, and receives `key` and `inference`
      likewise.

    The parameters are arguments of the model like all others. Statistics that a module gathers over a batch, such as
    those of batch normalisation in training, are not a function of one sequence, and raise an error.

    For a `Masked` input, a result whose shape depends on a length is a `Masked`, as from `jm.vmap`; any other has a
    mask `(batch,)`: the rows in which any of the sequences has a real step. Packed rows, whose `num_sequences` must be
    known, give packed rows, or `(num_sequences, ...)`.

    Attributes:
        function: a function of one sequence, or of several inputs; a `flax.linen.Module`, a `flax.nnx.Module`, or an
            `equinox.Module`.
        lengths: names for the lengths of several inputs, as for `jm.vmap`.
        constraints: the conditions that the lengths must meet, as for `jm.vmap`.

    Raises:
        ValueError: a module draws random numbers without a key, or changes its variables.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> jm.layers.PerSequence(jnp.flip).apply({}, jm.pad_sequences([[1, 2, 3], [4]]))
    Masked(int32[2, 3], lengths=[3 1])
    [[3 2 1]
     [4 · ·]]
    """

    raw_inputs = True
    supports_packing = True

    function: Callable[..., Any]
    _: dataclasses.KW_ONLY
    lengths: Any = None
    constraints: str | Sequence[str] = ()

    def __post_init__(self) -> None:
        """Validates the function."""
        if isinstance(self.function, type):
            raise TypeError(
                f"`PerSequence` takes a module, not its class; received {self.function!r}. Make one, "
                f"`{self.function.__name__}(...)`."
            )

    @property
    def default_name(self) -> str:
        """The class of a module, or the name of the function, in snake case."""
        if module_of(self.function) is not None:
            return path.snake_case(type(self.function).__name__)
        name = getattr(self.function, "__name__", "")
        return path.snake_case(name) if name.isidentifier() else super().default_name

    def init(self, key: Any, *inputs: Any) -> Any:
        """The parameters of the module, or `{}` for a function."""
        rows = tuple(jax.tree.map(_row_of_zeros, x, is_leaf=is_masked) for x in inputs)
        with path.scope(self.name or self.default_name, self), explained():
            return runner_of(self.function).init(key, rows)

    def call(self, params: Any, *inputs: Any, training: bool = False, key: Any = None) -> Any:
        """The result for each sequence; for a `Masked`, results without a time axis have a mask `(batch,)`."""
        runner, lengths = runner_of(self.function), self.lengths

        def run(key: Any, *rows: Any) -> Any:
            return runner.run(params, rows, training=training, key=key)

        with explained():
            if key is None or not runner.draws:
                mapped = vmap(lambda *rows: run(None, *rows), lengths=lengths, constraints=self.constraints)
                return with_rows(inputs, mapped(*inputs))
            if lengths is not None and not isinstance(lengths, str):
                lengths = (None, *lengths)
            first = jax.tree.leaves(inputs, is_leaf=is_masked)[0]
            size = first.shape[0] if segment_ids_of(first) is None else number_of_sequences(first, "`PerSequence`")
            keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(jnp.arange(size))
            return with_rows(inputs, vmap(run, lengths=lengths, constraints=self.constraints)(keys, *inputs))


def _row_of_zeros(x: Any) -> Any:
    x = values_of(x)
    return jnp.zeros(x.shape[1:], x.dtype)
