"""Keras on JAX: the layer, called through `stateless_call` with the mask."""

import os

os.environ["KERAS_BACKEND"] = "jax"

from collections.abc import Iterator
from typing import Any

import keras

from .in_jax import JaxRival, compiled_rival
from .task import Rival, Task


def rivals_at(task: Task) -> Iterator[Rival]:
    make = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[task.cell]
    layer = make(task.workload.units, return_sequences=True, zero_output_for_mask=True)
    layer.build(task.x.shape)
    other_variables = [variable.value for variable in layer.non_trainable_variables]

    def outputs(params: Any, x: Any, marks: Any) -> Any:
        return layer.stateless_call(params, other_variables, x, mask=marks)[0]

    yield compiled_rival(JaxRival("Keras", list, outputs), task)
