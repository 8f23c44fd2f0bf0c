"""Models of every kind, with inputs for them, and layers that are hard on a graph builder."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jmask as jm
from jmask import layers as L  # noqa: N812 - it stands in every line
from jmask.graph.node import nodes_in

BATCH, TIME, CONTEXT, FEATURES = 3, 4, 5, 2
LENGTHS, CONTEXT_LENGTHS = (4, 0, 1), (2, 5, 3)
SIZES = {"batch": BATCH, "time": TIME, "context": CONTEXT}


@jm.register_serializable
class Mystery(jm.Layer):
    """Says nothing of its mask."""

    def call(self, params, inputs):
        return inputs * 1


@jm.register_serializable
class Halve(jm.Layer):
    """Refuses symbolic sizes: `jnp.split` wants to know whether the parts are equal."""

    def call(self, params, inputs):
        return jnp.split(inputs, 2, axis=1)

    def compute_mask(self, inputs, mask=None):
        return None if mask is None else jnp.split(mask, 2, axis=1)


@jm.register_serializable
class Scale(jm.Layer):
    """Has a parameter and asks for `training`; each step alone."""

    supports_masking = True

    def init(self, key, inputs):
        return {"scale": jax.random.normal(key, inputs.shape[-1:])}

    def call(self, params, inputs, training=False):
        return inputs * params["scale"] * (10 if training else 1)


@jm.register_serializable
class Noise(jm.Layer):
    """Draws in training and out of it."""

    supports_masking = True

    def call(self, params, inputs, key):
        return inputs + jax.random.normal(key, inputs.shape)


@jm.register_serializable
class Attend(jm.Layer):
    """Two inputs with a mask each."""

    def call(self, params, inputs, context, mask=None, context_mask=None):
        scores = jnp.einsum("btf,bcf->btc", inputs, context)
        weights = jm.ops.softmax(scores if context_mask is None else jnp.where(context_mask[:, None], scores, -1e9))
        return jnp.einsum("btc,bcf->btf", weights, context)

    def compute_mask(self, inputs, context, mask=None, context_mask=None):
        return mask


@jm.register_serializable
class Block(jm.Layer):
    """A layer of layers, in fields."""

    supports_masking = True

    first: Any = dataclasses.field(default_factory=lambda: L.Dense(FEATURES, activation="relu"))
    second: Any = dataclasses.field(default_factory=Scale)

    def call(self, params, inputs):
        return self.second.apply(params["second"], self.first.apply(params["first"], inputs))


@jm.register_serializable
class Running(jm.Layer):
    """A cell: the sum so far."""

    def initial_state(self, inputs):
        return jnp.zeros(inputs.shape)

    def step(self, params, state, inputs):
        return state + inputs, state + inputs


@jm.register_serializable
def double(x):
    return 2 * x


@dataclasses.dataclass(frozen=True)
class Example:
    """A model, what it takes, and which of its inputs come with a mask."""

    model: Any
    inputs: tuple[Any, ...]

    def init(self) -> Any:
        return self.model.init(jax.random.key(0), *self.inputs)


def ids(length_of=LENGTHS, time=TIME) -> np.ndarray:
    """Ids from 1 on, and 0 where there is padding."""
    numbers = np.arange(BATCH * time, dtype=np.int32).reshape(BATCH, time) % 5 + 1
    return np.where(np.arange(time) < np.asarray(length_of)[:, None], numbers, 0)


def sequences(lengths=LENGTHS, time=TIME, features=FEATURES, seed=0) -> jm.Masked:
    """Random steps, NaN at padding."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(BATCH, time, features)).astype(np.float32)
    real = np.arange(time) < np.asarray(lengths)[:, None]
    return jm.masked(jnp.asarray(np.where(real[..., None], values, np.nan)), jnp.asarray(real))


def chain() -> Example:
    x = jm.Input((None,), "int32", name="ids")
    h = L.Embedding(7, FEATURES, mask_zero=True)(x)
    h = L.LSTM(3, return_sequences=True)(h)
    h = L.Dropout(0.5)(h)
    return Example(jm.Model(x, L.Dense(2)(L.GlobalAveragePooling1D()(h)), name="chain"), (ids(),))


def sequential() -> Example:
    layers = [jm.Input((None, FEATURES), masked=True), L.LayerNormalization(), L.Bidirectional(L.LSTM(2)), L.Dense(1)]
    return Example(jm.Sequential(layers, name="row"), (sequences(),))


def dictionaries() -> Example:
    """Inputs and outputs in dicts, an embedding that both inputs share, an output of every step and one of none."""
    question, context = jm.Input((None,), "int32"), jm.Input(("context",), "int32")
    embedding = L.Embedding(7, FEATURES, mask_zero=True)
    q, c = embedding(question), embedding(context)
    attended = Attend()(q, c)
    outputs = {"tags": L.Dense(4, name="tags")(attended), "score": (L.Dense(1)(L.GlobalAveragePooling1D()(c)),)}
    model = jm.Model({"question": question, "context": context}, outputs)
    return Example(model, ({"question": ids(), "context": ids(CONTEXT_LENGTHS, CONTEXT)},))


def residual() -> Example:
    x = jm.Input((None, FEATURES), masked=True)
    h = x
    for _ in range(2):
        h = L.Add()([h, L.Dense(FEATURES, activation="tanh")(L.LayerNormalization()(h))])
    return Example(jm.Model(x, h), (sequences(),))


def states() -> Example:
    """Layers with several outputs, and states that are handed on."""
    x, y = jm.Input((None, FEATURES), masked=True), jm.Input((None, FEATURES), masked=True)
    _, *state = L.LSTM(3, return_state=True)(x)
    decoded = L.LSTM(3, return_sequences=True)(y, initial_state=state)
    return Example(jm.Model((x, y), [decoded, *state]), (sequences(), sequences((1, 2, 4), seed=1)))


def merging() -> Example:
    x, y = jm.Input((None, FEATURES), masked=True), jm.Input((None, FEATURES), masked=True)
    both = [L.Add(merge="union")([x, y]), L.Concatenate()([x, y]), L.Concatenate(axis=1)([x, y])]
    return Example(jm.Model([x, y], both), (sequences(), sequences((1, 2, 4), seed=1)))


def reshaping() -> Example:
    """Vectors that belong to sequences, and other numbers of steps."""
    x, vector = jm.Input((None, FEATURES), masked=True), jm.Input((FEATURES,))
    h = L.Cropping1D((1, 0))(L.ZeroPadding1D((2, 1))(L.Multiply()([x, vector])))
    h = L.Reshape((-1, FEATURES, 1))(L.UpSampling1D(2)(L.TimeDistributed(L.Dense(FEATURES))(h)))
    outputs = [
        L.Permute((1, 3, 2))(h),
        L.Reshape((-1,))(h),
        L.Reshape((-1, 2 * FEATURES))(h),
        L.RepeatVector(2)(vector),
    ]
    return Example(jm.Model([x, vector], outputs), (sequences(), sequences(seed=1).fill(0)[:, 0]))


def operators() -> Example:
    x, y = jm.Input((None, FEATURES), masked=True, name="x"), jm.Input((None, FEATURES), masked=True, name="y")
    z = (2 - x * y / 3.0 + x**2)[:, 1:] @ np.ones((FEATURES, 1), np.float32)
    return Example(jm.Model([x, y], [z, -x, x.mask, x[..., None], x > 0]), (sequences(), sequences(seed=1)))


def by_hand() -> Example:
    """Masks in the calls: of another node, and none."""
    x, y = jm.Input((None, FEATURES), masked=True, name="x"), jm.Input((None, FEATURES), name="y")
    h = L.Dense(2)(y, mask=x.mask)
    g = L.LSTM(2, return_sequences=True)(x, mask=jm.NO_MASK)
    unmasked = L.GlobalAveragePooling1D()(x, mask=jm.NO_MASK)
    return Example(jm.Model([x, y], [h, g, unmasked]), (sequences(), sequences(seed=1).fill(0)))


def halves() -> Example:
    """Sizes that follow from unknown ones."""
    x = jm.Input((None, FEATURES), masked=True)
    left, right = Halve()(x)
    return Example(jm.Model(x, {"left": left, "right": L.LSTM(2)(right)}), (sequences(),))


def nested() -> Example:
    """A model twice inside another, with a Sequential and a layer of layers."""
    inner_input = jm.Input((None, FEATURES), masked=True, name="inside")
    inner = jm.Model(inner_input, L.Add()([inner_input, L.Dense(FEATURES)(inner_input)]), name="inner")
    x = jm.Input((None, FEATURES), masked=True, name="outside")
    h = Block()(inner(inner(x)))
    head = jm.Sequential([L.LSTM(2, return_sequences=True), L.GlobalAveragePooling1D()], name="head")
    return Example(jm.Model(x, head(h), name="outer"), (sequences(),))


def cut() -> Example:
    """From the middle of one graph, a masked node, to another node in the middle."""
    x = jm.Input((None,), "int32")
    h = L.Embedding(7, FEATURES, mask_zero=True)(x)
    end = L.Dense(3)(h)
    L.LSTM(3)(end)
    return Example(jm.Model(h, end), (sequences(),))


def traced() -> Example:
    dense, lstm = L.Dense(3), L.RNN(Running(), return_sequences=True)

    def twins(a, b):
        return lstm(dense(a)) + lstm(dense(b))

    inputs = (sequences(), sequences((1, 2, 4), seed=1))
    return Example(jm.trace(twins, *inputs), inputs)


def functions() -> Example:
    x = jm.Input((None, FEATURES), masked=True)
    h = L.Lambda(double, supports_masking=True)(x)
    h = L.Softmax(axis=1)(L.Activation(double)(L.Masking(mask_value=-1.0)(h)))
    return Example(jm.Model(x, h), (sequences(),))


def transformer() -> Example:
    """Attention to itself and to another input, with the mask of each and residual sums."""
    x, context = jm.Input((None, FEATURES), masked=True), jm.Input(("context", FEATURES), masked=True)
    h = L.Add()([L.RotaryEmbedding()(x), L.PositionEmbedding(7)(x)])
    h = L.Add()([h, L.MultiHeadAttention(2, 3, use_causal_mask=True, use_gate=True)(h, h)])
    h = L.ActivityRegularization(l1=0.5)(h)
    h = L.Add()([h, L.Attention()([h, context]), L.GroupQueryAttention(3, 2, 1)(h, context, value_mask=context.mask)])
    inputs = (sequences(), sequences(CONTEXT_LENGTHS, CONTEXT, seed=1))
    return Example(jm.Model([x, context], h), (list(inputs),))


EXAMPLES: dict[str, Callable[[], Example]] = {
    f.__name__: f
    for f in (
        chain,
        sequential,
        dictionaries,
        residual,
        states,
        merging,
        reshaping,
        operators,
        by_hand,
        halves,
        nested,
        cut,
        traced,
        functions,
        transformer,
    )
}


@dataclasses.dataclass(frozen=True)
class Solved:
    """An example with its graph, its parameters, and what came out of it and of every call inside."""

    example: Example
    graph: jm.Model
    params: Any
    outputs: Any
    nodes: list[Any]
    values: list[Any]


@functools.cache
def solved(name: str) -> Solved:
    """An example, compiled and run once."""
    example = EXAMPLES[name]()
    graph = example.model.graph() if isinstance(example.model, jm.Sequential) else example.model
    nodes = [node for call in graph.calls for node in nodes_in(call.outputs)]
    params = example.init()
    everything = jm.Model(graph.inputs, [graph.outputs, nodes])
    outputs, values = jax.jit(everything.apply)(params, *example.inputs)
    return Solved(example, graph, params, outputs, nodes, values)


def program(model: Any, params: Any, *inputs: Any) -> str:
    """What jax compiles for a model: models of the same program have the same outputs, bit by bit."""
    state = model.init_state(*inputs)
    return jax.jit(lambda params, *xs: model.apply_with_state(params, state, *xs)[0]).lower(params, *inputs).as_text()


def assert_same(actual: Any, expected: Any) -> None:
    """The same structure, and every bit the same, NaN included; of a `Masked`, at real steps."""
    is_masked = lambda leaf: isinstance(leaf, jm.Masked)  # noqa: E731
    actual_leaves, structure = jax.tree.flatten(actual, is_leaf=is_masked)
    expected_leaves, expected_structure = jax.tree.flatten(expected, is_leaf=is_masked)
    assert structure == expected_structure
    for a, b in zip(actual_leaves, expected_leaves, strict=True):
        assert is_masked(a) == is_masked(b)
        assert a.dtype == b.dtype
        if is_masked(a):
            np.testing.assert_array_equal(a.mask, b.mask)
            a, b = a.fill(0), b.fill(0)
        np.testing.assert_array_equal(a, b)
