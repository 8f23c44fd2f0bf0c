"""A recurrent layer in both directions."""

import dataclasses
from typing import Any, Literal

import jax

from ..protocol import path
from ..protocol.row_masks import over_time
from ..rnn.directions import merge
from .base import BaseMaskedLayer
from .recurrent import BaseRecurrent, state_parts


class Bidirectional(BaseMaskedLayer):
    """A recurrent layer in both directions, each over the real steps only (see `jm.rnn.bidirectional`).

    Inputs are those of the layer; `initial_state` is a list of the parts of the forward state, then of the backward
    state. The outputs of both directions are at the steps they belong to; with `return_state` they are followed by the
    parts of the forward and the backward state. An empty row has outputs 0. Results with one entry per row have a mask
    `(batch,)` if the inputs have a mask; packed rows have one for each sequence, by id. In training each direction
    draws its own dropout.

    Attributes:
        layer: the layer for the forward direction, and, with separate parameters, for the backward direction.
        merge_mode: `"concat"`, `"sum"`, `"mul"`, `"ave"`, or None for a tuple of both outputs.
        backward_layer: another layer for the backward direction.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> x, layer = jm.from_lengths(jnp.ones((2, 3, 5)), [3, 1]), jm.layers.Bidirectional(jm.layers.LSTM(4))
    >>> layer.apply(layer.init(jax.random.key(0), x), x).shape
    (2, 8)
    """

    layer: BaseRecurrent
    _: dataclasses.KW_ONLY
    merge_mode: Literal["concat", "sum", "mul", "ave"] | None = "concat"
    backward_layer: BaseRecurrent | None = None

    def __post_init__(self) -> None:
        """Validates the options."""
        for layer in (self.layer, self.layer if self.backward_layer is None else self.backward_layer):
            if not isinstance(layer, BaseRecurrent) or layer.go_backwards:
                raise ValueError(
                    "`Bidirectional` runs a recurrent layer (LSTM, GRU, RNN) in both directions itself; received "
                    f"{layer!r}. Leave out `go_backwards`."
                )
        forward, backward = self._directions()
        if (forward.return_sequences, forward.return_state) != (backward.return_sequences, backward.return_state):
            raise ValueError("`layer` and `backward_layer` must agree in `return_sequences` and `return_state`.")

    def init(self, key: Any, inputs: Any, initial_state: Any = None) -> dict[str, Any]:
        """`{"forward": ..., "backward": ...}`."""
        forward, backward = self._directions()
        forward_key, backward_key = jax.random.split(key)
        return {"forward": forward.init(forward_key, inputs), "backward": backward.init(backward_key, inputs)}

    @over_time
    def call(self, params: Any, inputs: Any, initial_state: Any = None, training: bool = False, key: Any = None) -> Any:
        """`(batch, time, features)` -> merged outputs, with `return_state` followed by the parts of both states."""
        self.layer.check_number_of_sequences(inputs)
        given = self._split_state(initial_state, inputs)
        keys = (None, None) if key is None else jax.random.split(key)
        results, states = [], []
        for i, (name, layer) in enumerate(zip(("forward", "backward"), self._directions(), strict=True)):
            with path.scope(name):
                factors = layer.sample_dropout(keys[i], inputs) if training else None
                outputs, state = layer.scan(params[name], inputs, given[i], reverse=i == 1, factors=factors)
                results.append(layer.select(outputs, reverse=i == 1))
                states.append(state)
        forward, backward = results
        merged = merge(forward, backward, self.merge_mode)
        return self.layer.results(inputs, merged, states)

    def _split_state(self, initial_state: Any, inputs: Any) -> tuple[Any, Any]:
        """The parts for each direction."""
        if initial_state is None:
            return None, None
        parts, num_forward = state_parts(initial_state), self._directions()[0].num_states(inputs)
        return parts[:num_forward], parts[num_forward:]

    def _directions(self) -> tuple[BaseRecurrent, BaseRecurrent]:
        return self.layer, self.layer if self.backward_layer is None else self.backward_layer
