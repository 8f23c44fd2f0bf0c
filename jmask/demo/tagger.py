"""The tagger: the model, its loss, one jitted step, and what it predicts."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import optax
from jaxtyping import Array, Int

import jmask as jm

from .batches import Batch, Example, bucket, pad

NUM_ROWS = 16


def build_model(num_words: int, num_tags: int, units: int = 64) -> jm.Sequential:
    """A bidirectional LSTM that reads word numbers and scores every tag for every word.

    The mask comes with the input, as data; so no word number is set aside for padding.

    Args:
        num_words: how many word numbers there are.
        num_tags: how many tags there are.
        units: size of the word vectors and of the LSTM in each direction.

    Returns:
        The model: word numbers `(batch, time)` to logits `(batch, time, num_tags)`.
    """
    return jm.Sequential(
        [
            jm.layers.Embedding(num_words, units),
            jm.layers.Bidirectional(jm.layers.LSTM(units, return_sequences=True)),
            jm.layers.Dropout(0.3),
            jm.layers.Dense(num_tags),
        ],
        name="tagger",
    )


def mean_loss(logits: jm.Masked, tags: jm.Masked) -> Any:
    """Cross-entropy of the real words of a batch, their mean.

    Args:
        logits: `(batch, time, num_tags)`.
        tags: tag numbers `(batch, time)` under the same mask.

    Returns:
        A scalar.
    """
    losses = optax.softmax_cross_entropy_with_integer_labels(logits.fill(0), tags.fill(0))
    return jm.ops.mean(logits.with_values(losses))


def make_step(model: jm.Sequential, optimizer: optax.GradientTransformation) -> Callable[..., Any]:
    """One training step, jitted.

    Args:
        model: the model.
        optimizer: an optax optimizer.

    Returns:
        A function of `(params, optimizer_state, batch, key)` that returns new parameters and optimizer state, the loss,
        and the tags predicted on the way, `(batch, time)`.
    """

    @jax.jit
    def step(params: Any, state: Any, batch: Batch, key: Any) -> tuple[Any, Any, Any, Any]:
        def loss_and_tags(params: Any) -> tuple[Any, Any]:
            logits = model.apply(params, batch.words, training=True, key=key)
            return mean_loss(logits, batch.tags), logits.values.argmax(axis=-1)

        (loss, predicted), gradients = jax.value_and_grad(loss_and_tags, has_aux=True)(params)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, loss, predicted

    return step


def make_predict(model: jm.Sequential) -> Callable[[Any, jm.Masked], Int[Array, "batch time"]]:
    """The tag with the highest logit for every word, jitted.

    Args:
        model: the model.

    Returns:
        A function of `(params, words)`, words `(batch, time)`, that returns tag numbers `(batch, time)`; those at
        padded positions mean nothing.
    """
    return jax.jit(lambda params, words: model.apply(params, words).values.argmax(axis=-1))


def predict(predictor: Callable[..., Any], params: Any, examples: Sequence[Example]) -> list[list[int]]:
    """Tags examples, in batches of similar length.

    Args:
        predictor: what `make_predict` returned.
        params: the parameters.
        examples: the examples; their own tags are not looked at.

    Returns:
        One list of tag numbers for each example, in the order of the examples.
    """
    predictions: list[list[int]] = [[] for _ in examples]
    num_rows = min(NUM_ROWS, max(1, len(examples)))
    for group in bucket(examples, num_rows):
        tags = np.asarray(predictor(params, pad([examples[row] for row in group], num_rows).words))
        for row, line in zip(group, tags, strict=False):
            predictions[row] = line[: len(examples[row].words)].tolist()
    return predictions
