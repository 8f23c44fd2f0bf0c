"""What the table of layers has no place for, beside Keras: masks made, statistics, attention scores, penalties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.beside_keras.calls import call_keras, draw_params, mask_of, masks_dropped, weights_of, with_mask
from tests.support.beside_keras.pair import BATCH, KEYS, STEPS, keys, steps
from tests.support.beside_keras.pairs import PAIRS

L = jm.layers

# Layers of Keras that jmask has, and that are compared in this file or need an argument that is a function.
ELSEWHERE = {"ActivityRegularization", "BatchNormalization", "Lambda", "Layer", "Masking"}


@pytest.fixture
def x(rng):
    """A batch with NaN in the padding."""
    spec = steps(3)
    return spec.batch(spec.draw(rng), garbage=1)


@pytest.fixture
def values(x):
    """The same with ordinary numbers there, for Keras."""
    return x.fill(0.5)


def test_every_layer_that_both_have_is_compared(keras):
    both = {name for name in vars(L) if name[0].isupper() and hasattr(keras.layers, name)}
    assert not both - names_in([pair.layer for pair in PAIRS]) - ELSEWHERE


def names_in(value):
    """The names of layers, those inside of others included."""
    if isinstance(value, (list, tuple)):
        return set().union(*map(names_in, value))
    return {value.name} | names_in([*value.args, *value.options.values()]) if hasattr(value, "build") else set()


def test_embedding_with_mask_zero(keras, rng):
    ids = np.array([[3, 1, 0, 0], [0, 2, 0, 5], [0, 0, 0, 0]])
    ours, theirs = L.Embedding(7, 3, mask_zero=True), keras.layers.Embedding(7, 3, mask_zero=True)
    table = rng.normal(size=(7, 3)).astype("float32")
    theirs.build()
    theirs.set_weights([table])
    y, expected = ours.apply({"embeddings": jnp.asarray(table)}, jnp.asarray(ids)), theirs(ids)
    np.testing.assert_array_equal(y.values, expected)
    np.testing.assert_array_equal(y.mask, mask_of(keras, expected))


@pytest.mark.parametrize("value", [0.0, -1.5])
def test_masking(value, keras, rng):
    data = rng.normal(size=(3, 5, 2)).astype("float32")
    data[0, 3:], data[1, :2], data[2, :, 0] = value, value, value
    y, expected = L.Masking(value)(jnp.asarray(data)), keras.layers.Masking(value)(data)
    np.testing.assert_array_equal(y.values, expected)
    np.testing.assert_array_equal(y.mask, mask_of(keras, expected))


@pytest.mark.parametrize("mask", [None, "its own"])
def test_lambda_with_a_mask(mask, keras, x, values):
    """Keras passes no mask on unless `mask` says so; there it does for both."""
    ours = L.Lambda(jnp.square, mask=lambda inputs, mask: mask if inputs.ndim == 3 else None)
    theirs = keras.layers.Lambda(keras.ops.square, mask=lambda inputs, mask: mask)
    given = with_mask(keras, values, STEPS) if mask is None else values
    expected = theirs(given) if mask is None else theirs(given, mask=jnp.asarray(STEPS))
    y = ours(x) if mask is None else ours(values, mask=jnp.asarray(STEPS))
    assert_close(y.fill(0), np.where(STEPS[..., None], expected, 0))
    np.testing.assert_array_equal(y.mask, mask_of(keras, expected))


# Batch normalisation


@pytest.fixture
def norms(keras, rng):
    """Both layers, parameters for ours, and statistics that are not the initial ones."""
    options = {"momentum": 0.7, "epsilon": 0.01}
    ours, theirs = L.BatchNormalization(**options), keras.layers.BatchNormalization(**options)
    theirs.build((None, None, 3))
    params = draw_params(rng, {"gamma": jnp.zeros(3), "beta": jnp.zeros(3)})
    state = {"moving_mean": jnp.array([0.3, -0.2, 1.0]), "moving_variance": jnp.array([0.5, 2.0, 1.2])}
    theirs.set_weights([*(params[name] for name in ("gamma", "beta")), *state.values()])
    return ours, theirs, params, state


def run_norm(keras, layer, params, state, values, **options):
    """Keras' outputs and statistics as a pure function."""
    weights = [layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance]
    mapping = zip(weights, [params["gamma"], params["beta"], *state.values()], strict=True)
    with keras.StatelessScope(state_mapping=list(mapping)) as scope:
        outputs = layer(values, **options)
        return outputs, [scope.get_current_value(weight) for weight in weights[2:]]


def test_batch_normalization_in_training(keras, rng, norms, x, values):
    """With the mask, and on all real steps as one row without it: outputs, statistics, gradients."""
    ours, theirs, params, state = norms
    weights = rng.normal(size=x.shape).astype("float32") * STEPS[..., None]

    def loss(params, values):
        y, new = ours.apply_with_state(params, state, jm.masked(values, STEPS), training=True)
        return jnp.sum(y.fill(0) * weights), (y, new)

    def loss_of_keras(params, values, mask, weights):
        options = {} if mask is None else {"mask": jnp.asarray(mask)}
        y, new = run_norm(keras, theirs, params, state, values, training=True, **options)
        return jnp.sum(y * weights), (y, new)

    (_, (y, new)), grads = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(params, x.values)
    gradient = jax.value_and_grad(loss_of_keras, argnums=(0, 1), has_aux=True)
    np.testing.assert_array_equal(y.mask, STEPS)
    for mask, inputs, w in ((STEPS, values, weights), (None, values[STEPS][None], weights[STEPS][None])):
        (_, (expected, statistics)), (param_grads, input_grads) = gradient(params, inputs, mask, w)
        pick = STEPS if mask is not None else np.ones(inputs.shape[:2], bool)
        assert_close(np.asarray(y.values)[STEPS], np.asarray(expected)[pick])
        assert_close(np.asarray(grads[1])[STEPS], np.asarray(input_grads)[pick])
        for actual, other in zip(
            jax.tree.leaves((new, grads[0])), jax.tree.leaves((statistics, param_grads)), strict=True
        ):
            assert_close(actual, other)
    assert not np.asarray(grads[1])[~STEPS].any()


def test_batch_normalization_at_inference(keras, norms, x, values):
    ours, theirs, params, state = norms
    y, new = ours.apply_with_state(params, state, x)
    expected = theirs(with_mask(keras, values, STEPS), training=False)
    assert_close(np.asarray(y.values)[STEPS], np.asarray(expected)[STEPS])
    np.testing.assert_array_equal(y.mask, mask_of(keras, expected))
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), new, state))


# Attention: what comes out besides the outputs, and explicit masks

SCORES = {
    "Attention": {},
    "AdditiveAttention": {},
    "MultiHeadAttention": {"num_heads": 2, "key_dim": 4},
    "GroupQueryAttention": {"head_dim": 4, "num_query_heads": 2, "num_key_value_heads": 1},
}


def attention(name, keras, rng, **call):
    """Both layers, parameters, and Keras as a function of a query, a value, and options."""
    options = SCORES[name]
    ours = getattr(L, name)(**options, **{key: value for key, value in call.items() if value is not None})
    theirs, as_list = getattr(keras.layers, name)(**options), "Multi" not in name and "Group" not in name
    pair = (keras.Input((None, 3)), keras.Input((None, 3)))
    theirs(*([list(pair)] if as_list else pair))
    shapes = jax.eval_shape(lambda: ours.init(jax.random.key(0), jnp.zeros((1, 7, 3)), jnp.zeros((1, 6, 3))))
    params = draw_params(rng, shapes)
    weights = weights_of(theirs, shapes)

    def keras_call(query, value, masks=None, **more):
        args = [[query, value]] if as_list else [query, value]
        with masks_dropped():
            return call_keras(keras, theirs, weights, params, args, {**call, **more}, masks)[0]

    return ours, params, keras_call


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", SCORES)
def test_attention_scores(name, causal, keras, rng, x):
    """Those between real queries and real keys, which are all that Keras has for a row alone; 0 at padded keys."""
    spec, mask = (steps(3), STEPS) if causal else (keys(3), KEYS)
    rows = spec.draw(rng)
    value = spec.batch(rows, garbage=1)
    ours, params, theirs = attention(name, keras, rng, use_causal_mask=causal, return_attention_scores=True)
    _, scores = ours.apply(params, x, value)
    scores = scores.fill(0) if isinstance(scores, jm.Masked) else scores
    for row in range(BATCH):
        _, expected = theirs(x.values[row][STEPS[row]][None], jnp.asarray(rows[row])[None])
        found = np.asarray(scores)[row][..., STEPS[row], :]
        assert_close(found[..., mask[row]], expected[0])
        assert not found[..., ~mask[row]].any()


@pytest.mark.parametrize("name", ["MultiHeadAttention", "GroupQueryAttention"])
def test_an_attention_mask_besides_the_masks(name, keras, rng, x, values):
    """One pair of query and key more or less, as an argument of the call: masks combine by AND in both."""
    spec = keys(3)
    value = spec.batch(spec.draw(rng), garbage=1)
    allowed = rng.random((BATCH, STEPS.shape[1], KEYS.shape[1])) < 0.7
    allowed[..., KEYS.argmax(1)[0]] = allowed[1, :, 0] = allowed[2, :, 1] = True  # each query has a key
    ours, params, theirs = attention(name, keras, rng)
    y = ours.apply(params, x, value, attention_mask=jnp.asarray(allowed))
    expected = theirs(values, value.fill(0.5), [STEPS, KEYS], attention_mask=jnp.asarray(allowed))
    assert_close(np.asarray(y.values)[STEPS], np.asarray(expected)[STEPS])


# Penalties


def test_a_penalty_of_activities(keras, x):
    """Keras counts padding in; on the rows alone its penalties add up to that of the batch."""
    layer = keras.layers.ActivityRegularization(l1=0.3, l2=0.2)
    expected = 0.0
    for row in range(BATCH):
        layer(x.values[row][STEPS[row]][None])
        expected += sum(np.asarray(loss) for loss in layer.losses)
    assert_close(jm.ops.activity_penalty(x, l1=0.3, l2=0.2), expected)
    _, state = L.ActivityRegularization(l1=0.3, l2=0.2).apply_with_state({}, {}, x)
    assert_close(jm.losses.penalties(state), expected / BATCH)
