"""A row of the table with parameters and data: what jmask makes of them, and what Keras does."""

import functools
from typing import Any

import jax
import numpy as np

import jmask as jm
from tests.support.beside_keras.calls import (
    Result,
    call_keras,
    draw_params,
    masks_dropped,
    values_and_masks,
    weights_of,
    with_gradients,
)
from tests.support.beside_keras.pair import Pair

ORDINARY, NAN = 0, 1  # kinds of padding


class Twins:
    """One layer of either library, with the same parameters, rows, and weights of the entries of the outputs."""

    def __init__(self, pair: Pair, keras: Any, rng: np.random.Generator) -> None:
        self.pair, self.keras = pair, keras
        self.rows = [spec.draw(rng) for spec in pair.inputs]
        self.masks = [spec.layout for spec in pair.inputs]
        self.layer, self.keras_layer = pair.of_jmask(jm.layers), pair.of_keras(keras.layers)
        args, options = pair.arrange(*(spec.symbol(keras) for spec in pair.inputs))
        self.keras_layer(*args, **options, **pair.call)  # which makes its weights
        args, options = pair.arrange(*self._batch(NAN))
        shapes = jax.eval_shape(lambda: self.layer.init(jax.random.key(0), *args, **options))
        self.params, self.keras_weights = draw_params(rng, shapes), weights_of(self.keras_layer, shapes)
        outputs = jax.eval_shape(lambda: values_and_masks(self.layer.apply(self.params, *args, **options))[0])
        self.cotangents = [rng.normal(size=y.shape).astype("float32") for y in outputs]

    def of_jmask(self) -> Result:
        """On the batch, with NaN in the padding."""

        def call(params: Any, values: Any) -> tuple[Any, Any]:
            xs = [x if mask is None else jm.masked(x, mask) for x, mask in zip(values, self.masks, strict=True)]
            args, options = self.pair.arrange(*xs)
            return values_and_masks(self.layer.apply(params, *args, **options))

        return with_gradients(call)(self.params, self._values(NAN), self.cotangents)

    def of_keras(self, weights: list[Any]) -> Result:
        """On the batch with ordinary numbers in the padding, under the masks."""
        return with_gradients(functools.partial(self._call_keras, self.masks))(
            self.params, self._values(ORDINARY), weights
        )

    def of_keras_alone(self, row: int, weights: list[Any]) -> Result:
        """On one row without padding."""
        return self._alone(self.params, [rows[row][None] for rows in self.rows], weights)

    @functools.cached_property
    def _alone(self) -> Any:
        return with_gradients(functools.partial(self._call_keras, None))

    def _call_keras(self, masks: Any, params: Any, values: Any) -> tuple[Any, Any]:
        args, options = self.pair.arrange(*values)
        options = {**options, **self.pair.call}
        with masks_dropped():  # by layers inside of attention
            return call_keras(self.keras, self.keras_layer, self.keras_weights, params, args, options, masks)

    def _batch(self, garbage: int) -> list[Any]:
        return [spec.batch(rows, garbage=garbage) for spec, rows in zip(self.pair.inputs, self.rows, strict=True)]

    def _values(self, garbage: int) -> list[Any]:
        return [x.values if isinstance(x, jm.Masked) else x for x in self._batch(garbage)]
