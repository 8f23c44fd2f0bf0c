"""The tagger: the model, its loss, and what it predicts."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

import jmask as jm

from .score import averaged, score_tags

WIDTH = 64  # of a batch of texts: a multiple of this, so that few shapes are compiled


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


def make_loss(model: jm.Sequential, num_tags: int) -> Callable[..., Any]:
    """The loss, as `jm.train.step` takes it: sums over real words, not yet divided.

    Args:
        model: the model.
        num_tags: how many tags there are.

    Returns:
        A function of `(params, batch, key)` that returns the cross-entropy and the F1 of the predictions.
    """

    def loss(params: Any, batch: Any, key: Any) -> Any:
        logits, tags = model.apply(params, batch["words"], training=True, key=key), batch["tags"]
        entropy = jm.losses.softmax_cross_entropy_with_integer_labels(logits, tags, divide=False)
        return entropy, {"f1": averaged(score_tags(logits, tags, num_tags))}

    return loss


def make_predict(model: jm.Sequential) -> Callable[[Any, jm.Masked], jm.Masked]:
    """The tag with the highest logit for every word, jitted.

    Args:
        model: the model.

    Returns:
        A function of `(params, words)`, words `(batch, time)`, that returns tag numbers under the same mask.
    """
    return jax.jit(lambda params, words: _best(model.apply(params, words)))


def make_evaluate(model: jm.Sequential, num_tags: int) -> Callable[[Any, Any], tuple[list[np.ndarray], Any]]:
    """Predictions for packed batches, and their score.

    Args:
        model: the model.
        num_tags: how many tags there are.

    Returns:
        A function of `(params, batches)`, the batches those of one epoch of sentences with their `row` in the corpus,
        that returns the predicted tag numbers, one array for each sentence in the order of the corpus, and the sums of
        `score_tags`.
    """

    @jax.jit
    def tag(params: Any, batch: Any) -> Any:
        logits = model.apply(params, batch["words"])
        return _best(logits), score_tags(logits, batch["tags"], num_tags)

    def evaluate(params: Any, batches: Any) -> tuple[list[np.ndarray], Any]:
        found, total = {}, 0
        for batch in batches:
            tags, sums = tag(params, batch)
            total += sums
            found |= zip(batch["row"].values[batch["row"].mask].tolist(), jm.unpack(tags), strict=True)
        return [found[row] for row in sorted(found)], total

    return evaluate


def tag_texts(predict: Callable[..., Any], params: Any, texts: Sequence[np.ndarray], rows: int) -> Iterator[np.ndarray]:
    """Tags texts, padded to one width.

    Args:
        predict: what `make_predict` returned.
        params: the parameters.
        texts: word numbers of at most `rows` texts.
        rows: rows of the batch; missing ones are empty texts, which are legal and change nothing.

    Returns:
        The tag numbers of each text.
    """
    missing = [np.zeros(0, np.int32)] * (rows - len(texts))
    words = jm.pad_sequences([*texts, *missing], dtype="int32", pad_to_multiple_of=WIDTH)
    return (tags for tags, _ in zip(jm.unpad(predict(params, words)), texts, strict=False))


def _best(logits: Any) -> jm.Masked:
    return logits.with_values(logits.values.argmax(axis=-1))
