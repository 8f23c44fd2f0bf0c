"""Models, their training steps and batches, for tests on eight devices."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding

import jmask as jm
from jmask import train
from jmask.testing import assert_close

ROWS, TIME, WORDS, TAGS, SIZE = 40, 7, 32, 3, 8
QUICKLY: Any = {"xla_backend_optimization_level": 0}
L = jm.layers


def tagger():
    lstm = L.LSTM(SIZE // 2, return_sequences=True, implementation="xla")
    return jm.Sequential([L.Embedding(WORDS, SIZE), L.Bidirectional(lstm), L.Dense(TAGS)])


def encoder():
    words = jm.Input((None,), "int32")
    h = L.Embedding(WORDS, SIZE)(words)
    h = L.LayerNormalization()(L.Add()([h, L.MultiHeadAttention(2, SIZE // 2, implementation="blocks")(h, h)]))
    return jm.Model(words, L.Dense(TAGS)(L.Dense(2 * SIZE, activation="relu")(h)))


def classifier():
    layers = [L.Embedding(WORDS, SIZE), L.Conv1D(SIZE, 3, padding="same"), L.BatchNormalization()]
    return jm.Sequential([*layers, L.GlobalAveragePooling1D(), L.Dense(TAGS)])


MODELS = {"tagger": tagger, "encoder": encoder, "classifier": classifier}


def draw(rng):
    """Sentences of some lengths, the first one empty, with a tag for each word and a class for each sentence."""
    lengths = rng.integers(0, TIME + 1, ROWS)
    lengths[0] = 0
    words, tags = (jm.from_lengths(rng.integers(0, n, (ROWS, TIME)).astype("int32"), lengths) for n in (WORDS, TAGS))
    batch = {"words": words, "tags": tags, "class": jm.masked(rng.integers(0, TAGS, ROWS).astype("int32"), lengths > 0)}
    return jax.tree.map(jnp.asarray, batch)


class Training:
    """A step of a model, its first state and batch, and what it gives on one device."""

    def __init__(self, name: str, rng: np.random.Generator) -> None:
        self.model, self.batch = MODELS[name](), draw(rng)
        self.target = "class" if name == "classifier" else "tags"
        loss = self.loss if name != "classifier" else self.loss_with_statistics
        self.step = train.step(loss, optax.sgd(0.1, momentum=0.9))
        key, words = jax.random.key(0), self.batch["words"]
        options = {"statistics": self.model.init_state(words)} if name == "classifier" else {}
        self.start: Any = functools.partial(self.step.init, self.model.init(key, words), **options)

    def loss(self, params, batch):
        logits = self.model.apply(params, batch["words"])
        return jm.losses.softmax_cross_entropy_with_integer_labels(logits, batch[self.target], divide=False)

    def loss_with_statistics(self, params, batch, statistics):
        logits, new = self.model.apply_with_state(params, statistics, batch["words"], training=True)
        return jm.losses.softmax_cross_entropy_with_integer_labels(logits, batch[self.target], divide=False), new

    @functools.cached_property
    def expected(self) -> Any:
        return self.step.lower(self.start(), self.batch).compile(QUICKLY)(self.start(), self.batch)

    def assert_expected(self, actual: Any) -> None:
        jax.tree.map(lambda a, b: assert_close(np.asarray(a), np.asarray(b)), actual, self.expected)


@functools.cache
def training_of(name):
    return Training(name, np.random.default_rng(0))


def put(mesh, spec, tree):
    return jax.device_put(tree, NamedSharding(mesh, spec))
