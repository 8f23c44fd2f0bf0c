"""Training steps on eight devices: the numbers are those of one, and devices send each other sums alone."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jmask as jm
from jmask import train
from jmask.testing import assert_close
from tests.support.collectives import collectives, reduced_shapes, sizes_of

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
by_model = pytest.mark.parametrize("name", MODELS)


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


def sizes_in(state):
    """Of parameters, counts, and statistics, which have the shape of some parameter: none is that of the batch."""
    shapes = {leaf.shape for leaf in jax.tree.leaves(state)}
    assert not {ROWS, ROWS // 8, TIME}.intersection(size for shape in shapes for size in shape)
    return sizes_of(shapes)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=str)
@by_model
def test_devices_send_sums_of_gradients_counts_and_statistics_alone(name, kind):
    if kind == AxisType.Explicit and jax.__version_info__ < (0, 10):
        pytest.skip("there JAX cannot differentiate a product whose rows are divided by an explicit axis")
    training = training_of(name)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(kind,))
    with jax.set_mesh(mesh):
        state, batch = put(mesh, P(), training.start()), put(mesh, P("data"), training.batch)
        compiled = training.step.lower(state, batch).compile(QUICKLY)
        assert sizes_of(reduced_shapes(compiled)) <= sizes_in(state)
        training.assert_expected(compiled(state, batch))


@pytest.mark.parametrize("name", ["tagger", "encoder"])
def test_inside_a_shard_map(name):
    training = training_of(name)
    params, batch = training.start().params, training.batch

    def gradient(params, batch):
        return jax.grad(lambda params: training.loss(params, batch).psum("data").value)(params)

    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    mapped = jax.jit(jax.shard_map(gradient, mesh=mesh, in_specs=(P(), P("data")), out_specs=P()))
    compiled = mapped.lower(params, batch).compile(QUICKLY)
    assert sizes_of(reduced_shapes(compiled)) <= sizes_in(training.start())
    moved = jax.tree.map(lambda leaf, g: leaf - 0.1 * g, params, compiled(params, batch))
    jax.tree.map(lambda a, b: assert_close(np.asarray(a), np.asarray(b)), moved, training.expected[0].params)


@pytest.mark.slow
@by_model
def test_parameters_that_are_divided_are_all_that_is_gathered(name):
    training = training_of(name)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))

    def layout(leaf):
        axes = ["data" if size % 8 == 0 else None for size in leaf.shape]
        first = axes.index("data") if "data" in axes else len(axes)
        return NamedSharding(mesh, P(*(axis if i == first else None for i, axis in enumerate(axes))))

    state, batch = training.start(), put(mesh, P("data"), training.batch)
    state = jax.device_put(state, jax.tree.map(layout, state))
    compiled = training.step.lower(state, batch).compile(QUICKLY)
    gathered = {sent.shape for sent in collectives(compiled) if sent.kind == "all-gather" and sent.dtype == "f32"}
    assert sizes_of(gathered) <= sizes_in(state)  # the ids too, where XLA looks them up in a table that is divided
    training.assert_expected(compiled(state, batch))


def test_one_program_for_all_lengths(rng):
    training = training_of("tagger")
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    step: Any = train.step(training.loss, optax.sgd(0.1))
    state = put(mesh, P(), step.init(training.start().params))
    for _ in range(20):
        state, _ = step(state, put(mesh, P("data"), draw(rng)))
    assert step._jitted._cache_size() == 1
    assert state.step == 20
