"""A last batch that is filled up with empty rows: what depends on rows is that of the real ones, with nothing to do."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jmask as jm
from jmask import layers as L  # noqa: N812 - it stands in every line
from jmask.testing import assert_close

LENGTHS = [4, 2, 5]
FILLER = 5
CLASSES = 3
LABELS = jnp.asarray([2, 0, 1] + [1] * FILLER)
EXTRA = jnp.asarray(np.random.default_rng(1).normal(size=(len(LABELS), 2)), "float32")


def sequences(rng, features=4):
    """Three sequences, and the same with five rows of padding behind them, all of them NaN there."""
    values = rng.normal(size=(len(LABELS), 5, features)).astype("float32")
    lengths = np.asarray(LENGTHS + [0] * FILLER)
    values[np.arange(5) >= lengths[:, None]] = np.nan
    filled = jm.from_lengths(jnp.asarray(values), lengths)
    return filled[: len(LENGTHS)], filled


def words(x):
    """Documents of two sentences of words, of which the second is shorter by a word."""
    mask = jnp.stack([x.mask, jnp.roll(x.mask, -1, axis=1) & x.mask], axis=1)
    return jm.masked(jnp.stack([x.values, x.values * 2], axis=1), mask)


def functional(build):
    inputs = jm.Input((None, 4), masked=True)
    return jm.Model(inputs, build(inputs))


def with_features(pooling):
    inputs, extra = jm.Input((None, 4), masked=True), jm.Input((2,))
    h = L.Concatenate()([pooling(inputs), extra])
    return jm.Model([inputs, extra], L.Dense(CLASSES)(L.Dense(5, activation="relu")(h)))


def autoencoder(inputs):
    return L.Dense(CLASSES)(L.GRU(3, return_sequences=True)(L.RepeatVector(2)(L.LSTM(3)(inputs))))


def seq2seq(inputs):
    _, hidden, cell = L.LSTM(3, return_state=True)(inputs)
    decoded = L.LSTM(3, return_sequences=True)(L.Dense(4)(inputs), initial_state=[hidden, cell])
    return L.Dense(CLASSES)(L.GlobalMaxPooling1D()(decoded))


def reshaped(inputs):
    h = L.Conv1D(3, 2, padding="same")(L.Reshape((3, 2))(L.Dense(6)(L.GlobalAveragePooling1D()(inputs))))
    return L.Dense(CLASSES)(L.GroupNormalization(2)(L.Dense(4)(L.Flatten()(h))))


MODELS = {
    "average": jm.Sequential([L.GlobalAveragePooling1D(), L.Dense(CLASSES)]),
    "max, kept": jm.Sequential([L.GlobalMaxPooling1D(keepdims=True), L.Flatten(), L.Dense(CLASSES)]),
    "last output": jm.Sequential([L.LSTM(3), L.LayerNormalization(), L.Dense(CLASSES)]),
    "bidirectional": jm.Sequential([L.Bidirectional(L.GRU(3)), L.Dense(CLASSES)]),
    "batch normalisation": jm.Sequential([L.SimpleRNN(3), L.BatchNormalization(), L.Dense(CLASSES)]),
    "penalty": jm.Sequential([L.LSTM(3), L.ActivityRegularization(l2=0.3), L.Dense(CLASSES)]),
    "per sequence": jm.Sequential([L.PerSequence(lambda x: x.max(0)), L.BatchNormalization(), L.Dense(CLASSES)]),
    "autoencoder": functional(autoencoder),
    "states": functional(seq2seq),
    "reshaped": functional(reshaped),
    "documents": jm.Sequential([L.TimeDistributed(L.LSTM(3)), L.GRU(3), L.BatchNormalization(), L.Dense(CLASSES)]),
    "with features": with_features(L.GlobalAveragePooling1D()),
    "last output with features": with_features(L.LSTM(3)),
}


def inputs_of(name, x):
    if "features" in name:
        return [x, EXTRA[: len(x)]]
    return words(x) if name == "documents" else x


def step(model, params, state, inputs, labels, axis_name=None):
    """Loss, accuracy and statistics of a step of training; over `axis_name`, as sums that are divided once."""
    y, state = model.apply_with_state(params, state, inputs, training=True)
    if y.ndim == 3:
        labels = jnp.stack([labels, labels], axis=1)
    loss = jm.losses.softmax_cross_entropy_with_integer_labels(y, labels, divide=False)
    accuracy = jm.metrics.accuracy(y, labels)
    if axis_name is not None:
        loss, accuracy = loss.psum(axis_name), accuracy.psum(axis_name)
    return loss.value + jm.losses.penalties(state), (accuracy.value, state, y)


QUICK = ("average", "batch normalisation", "states", "documents")


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in MODELS])
def test_a_batch_that_is_filled_up_trains_as_its_real_rows_do(name, rng, getkey):
    model = MODELS[name]
    alone, filled = (inputs_of(name, x) for x in sequences(rng))
    params, state = model.init(getkey(), filled), model.init_state(filled)
    with jm.strict():
        run = jax.jit(jax.value_and_grad(functools.partial(step, model), has_aux=True))
        (loss, (accuracy, after, y)), gradients = run(params, state, alone, LABELS[:3])
        (loss_filled, (accuracy_filled, after_filled, y_filled)), of_filled = run(params, state, filled, LABELS)
    assert y_filled.mask.reshape(len(LABELS), -1).all(1).tolist() == [True] * 3 + [False] * FILLER
    assert_close(y_filled.values[:3], y.values)
    assert_close(loss_filled, loss)
    assert_close(accuracy_filled, accuracy)
    jax.tree.map(assert_close, after_filled, after)
    jax.tree.map(assert_close, of_filled, gradients)


@pytest.mark.slow
def test_micro_batches_of_pooled_results_add_up(rng):
    logits = jnp.asarray(rng.normal(size=(8, CLASSES)), "float32")
    x = jm.masked(logits.at[3:].set(jnp.nan), jnp.arange(8) < 3)
    loss = functools.partial(jm.losses.softmax_cross_entropy_with_integer_labels, divide=False, reduction="sequences")
    for predictions, count in ((x, 3), (logits, 8)):
        whole = loss(predictions, LABELS)
        parts = [loss(predictions[i : i + 2], LABELS[i : i + 2]) for i in range(0, 8, 2)]
        assert [float(part.count) for part in parts] == [2, min(count, 4) - 2, *[max(count - 4, 0) / 2] * 2]
        assert float(whole.count) == count
        assert_close(sum(parts).value, whole.value)
        assert_close(sum(parts).value, optax.softmax_cross_entropy_with_integer_labels(logits, LABELS)[:count].mean())


METRICS = {
    "f1": lambda y, t: jm.metrics.f1_score(y, t, num_classes=CLASSES, average="macro"),
    "top-k": functools.partial(jm.metrics.top_k_accuracy, k=2),
    "auc": lambda y, t: jm.metrics.auc(y[..., 0].map(jax.nn.sigmoid), t > 0),
    "confusion": lambda y, t: jm.metrics.confusion_matrix(y, t, num_classes=CLASSES),
    "perplexity": jm.metrics.perplexity,
}


@pytest.mark.parametrize("name", METRICS)
def test_other_metrics_of_pooled_results(name, rng):
    alone, filled = sequences(rng, CLASSES)
    pool = L.GlobalAveragePooling1D()
    found, expected = METRICS[name](pool(filled), LABELS), METRICS[name](pool(alone), LABELS[:3])
    jax.tree.map(assert_close, found, expected)
    assert_close(found.value, expected.value)


@pytest.mark.slow
def test_over_two_devices_of_which_one_has_but_a_row(rng, getkey):
    """Devices see rows 0 to 3 and 4 to 7: statistics, loss and gradients are those of the three rows together."""
    model = jm.Sequential([L.GlobalAveragePooling1D(), L.BatchNormalization(), L.Dense(CLASSES)])
    named = jm.Sequential([*model.layers[:1], L.BatchNormalization(axis_name="data"), model.layers[2]])
    alone, filled = sequences(rng)
    places = jnp.array([0, 3, 1, 4, 5, 2, 6, 7])
    spread, labels = filled[places], LABELS[places]
    params, state = model.init(getkey(), alone), model.init_state(alone)
    mesh = jax.make_mesh((2,), ("data",), (jax.sharding.AxisType.Auto,), devices=jax.devices()[:2])
    rows, same = jax.sharding.PartitionSpec("data"), jax.sharding.PartitionSpec()

    @jax.jit
    @functools.partial(jax.shard_map, mesh=mesh, in_specs=(same, same, rows, rows), out_specs=(same, same, same))
    def over_devices(params, state, x, labels):
        loss, (accuracy, after, _) = step(named, params, state, x, labels, "data")
        return loss, accuracy, after

    def total(params):
        loss, accuracy, after = over_devices(params, state, spread, labels)
        return loss, (accuracy, after)

    (loss, (accuracy, after)), gradients = jax.value_and_grad(total, has_aux=True)(params)
    run = jax.value_and_grad(functools.partial(step, model), has_aux=True)
    (expected, (accuracy_alone, after_alone, _)), of_alone = run(params, state, alone, LABELS[:3])
    assert_close(loss, expected)
    assert_close(accuracy, accuracy_alone)
    jax.tree.map(assert_close, after, after_alone)
    jax.tree.map(assert_close, gradients, of_alone)


@pytest.mark.slow
def test_in_half_precision(rng, getkey):
    alone, filled = (x.astype("bfloat16") for x in sequences(rng))
    model = MODELS["batch normalisation"]
    params, state = model.init(getkey(), filled), model.init_state(filled)
    loss, (accuracy, after, y) = jax.jit(functools.partial(step, model))(params, state, filled, LABELS)
    expected, (accuracy_alone, after_alone, _) = jax.jit(functools.partial(step, model))(
        params, state, alone, LABELS[:3]
    )
    assert y.mask.tolist() == [True] * 3 + [False] * FILLER
    np.testing.assert_allclose(loss, expected, rtol=1e-2)
    assert_close(accuracy, accuracy_alone)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-2, atol=1e-3), after, after_alone)


def test_buffers_of_pooled_results_may_be_donated(rng):
    _, filled = sequences(rng)
    pooled = jax.jit(L.GlobalAveragePooling1D())(filled)
    expected = np.asarray(pooled.values[:3]) * 2
    doubled = jax.jit(lambda y: y * 2, donate_argnums=0)(pooled)
    assert pooled.values.is_deleted()
    assert doubled.mask.tolist() == [True] * 3 + [False] * FILLER
    assert_close(doubled.values[:3], expected)


def test_packed_rows_that_are_taken_apart_into_more_rows_than_there_are_sequences(rng):
    alone, _ = sequences(rng)
    packed = jm.pack([np.asarray(x) for x in jm.unpad(alone)])

    @jax.jit
    def loss(packed):
        y = L.GlobalMaxPooling1D()(jm.unpack_batch(packed, len(LABELS), 5))
        return jm.losses.softmax_cross_entropy_with_integer_labels(y[..., :CLASSES], LABELS), y

    found, y = loss(packed)
    assert y.mask.tolist() == [True] * 3 + [False] * FILLER
    expected = jnp.stack([jnp.asarray(x).max(0) for x in jm.unpad(alone)])
    assert_close(y.values[:3], expected)
    assert_close(found, optax.softmax_cross_entropy_with_integer_labels(expected[:, :CLASSES], LABELS[:3]).mean())
