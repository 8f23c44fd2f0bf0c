"""Errors that a user provokes through a layer: they name the layer's path, what does not fit, and a remedy."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import jmask as jm

L = jm.layers
KEY = jax.random.key(0)
ROWS = [[1, 2, 3], [4]]


@pytest.fixture
def x():
    return jm.from_lengths(jnp.ones((2, 3, 5)), [3, 1])


@pytest.fixture
def tagger():
    return jm.Sequential([L.Dense(4), L.LSTM(3)], name="tagger")


def without(params, *names):
    """Nested dicts without one entry."""
    name, *rest = names
    kept = {key: value for key, value in params.items() if key != name}
    return {**kept, name: without(params[name], *rest)} if rest else kept


REMEDY = r"Make the parameters by `params = model.init\(key, x\)`, with inputs like those of the call"


@pytest.mark.parametrize("under_jit", [False, True])
def test_another_number_of_features(under_jit, tagger, x):
    params, wide = tagger.init(KEY, x), jm.from_lengths(jnp.ones((2, 3, 7)), [3, 1])
    message = (
        r"^tagger/dense: the parameters are not those of `Dense` with inputs of shape \(2, 3, 7\): `kernel` has shape "
        rf"\(5, 4\), not \(7, 4\). {REMEDY}"
    )
    apply = jax.jit(tagger.apply) if under_jit else tagger.apply
    with pytest.raises(ValueError, match=message) as raised:
        apply(params, wide)
    assert "dot_general" in str(raised.value.__cause__)
    tagger.apply(tagger.init(KEY, wide), wide)  # the remedy


def test_parameters_that_are_missing_or_have_another_name(tagger, x):
    params = tagger.init(KEY, x)
    with pytest.raises(ValueError, match=rf"tagger/dense: .*: `kernel` \(5, 4\) is missing\. {REMEDY}"):
        tagger.apply(without(params, "dense", "kernel"), x)
    named = {**without(params, "dense", "kernel"), "lstm": params["lstm"]}
    named["dense"]["kernal"] = params["dense"]["kernel"]
    with pytest.raises(ValueError, match=r"`kernel` \(5, 4\) is missing; there is no `kernal`"):
        tagger.apply(named, x)
    with pytest.raises(ValueError, match=r"tagger/lstm: .*`bias` \(12,\) is missing; `kernel` \(4, 12\) is missing"):
        tagger.apply({"dense": params["dense"]}, x)
    with pytest.raises(ValueError, match=r"tagger: the parameters are not those of `Sequential`.*`dense/bias` \(4,\)"):
        tagger.apply(None, x)


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (L.Dense(3), ["bias"]),
        (L.EinsumDense("btf,fu->btu", (None, 3), bias_axes="u"), ["bias"]),
        (L.Conv1D(3, 2), ["bias"]),
        (L.DepthwiseConv1D(2), ["bias"]),
        (L.SeparableConv1D(3, 2), ["bias"]),
        (L.Conv1DTranspose(3, 2), ["bias"]),
        (L.LSTM(3), ["bias"]),
        (L.GRU(3), ["bias"]),
        (L.RNN(L.GRUCell(3)), ["bias"]),
        (L.LayerNormalization(), ["gamma"]),
        (L.LayerNormalization(), ["beta"]),
        (L.GroupNormalization(1), ["beta"]),
        (L.MultiHeadAttention(2, 3), ["key", "bias"]),
        (L.MultiHeadAttention(2, 3, use_gate=True), ["gate"]),
        (L.Attention(use_scale=True), ["scale"]),
        (L.AdditiveAttention(), ["scale"]),
    ],
    ids=str,
)
def test_what_is_missing_is_not_done_without(layer, names, x):
    inputs = (x, x) if "Attention" in type(layer).__name__ else (x,)
    params = layer.init(KEY, *inputs)
    with pytest.raises(ValueError, match=rf"`{'/'.join(names)}\S* \(.*\) is missing"):
        layer.apply(without(params, *names), *inputs)


def test_statistics_do_not_hide_what_is_missing(x):
    layer = L.BatchNormalization()
    with pytest.raises(ValueError, match=r"batch_normalization: .*`beta` \(5,\) is missing; `gamma` \(5,\) is missing"):
        layer.apply_with_state({}, layer.init_state(x), x)


def test_parameters_of_another_shape(x):
    layer = L.Dense(4)
    params = {**layer.init(KEY, x), "bias": jnp.ones(1)}  # it would broadcast
    with pytest.raises(ValueError, match=r"dense: .*`bias` has shape \(1,\), not \(4,\)"):
        layer.apply(params, x)
    with pytest.raises(ValueError, match=r"`bias` of `dense` has one number for each unit, \(4,\); received \(1,\)"):
        jm.ops.dense(x, params["kernel"], params["bias"])
    layer = L.Conv1D(2, 3)
    with pytest.raises(ValueError, match=r"conv1d: .*`kernel` has shape \(3, 5, 2\), not \(3, 7, 2\)"):
        layer.apply(layer.init(KEY, x), jnp.ones((2, 3, 7)))


def test_layers_of_one_s_own(x):
    class Own(jm.Layer):
        raw_inputs = True
        lstm: jm.Layer = L.LSTM(3)

        def call(self, params, x):
            return self.lstm.apply(params["lstm"], x)

    with pytest.raises(ValueError, match=r"own: the parameters are not those of `Own`.*`lstm/bias` \(12,\) is missing"):
        Own().apply({"lstn": {}}, x)

    class Broken(jm.Layer):
        def init(self, key, inputs):
            return {"w": jnp.ones(3)}

        def call(self, params, inputs):
            return {}["left"]

    with pytest.raises(KeyError, match="left") as raised:  # no parameter is to blame
        Broken().apply({"w": jnp.ones(3)}, jnp.ones(2))
    assert "In layer `broken`." in raised.value.__notes__


def test_lists_in_place_of_arrays():
    model = jm.Sequential([L.Embedding(9, 4, mask_zero=True), L.GRU(3)])
    inputs = jm.Input((None,), "int32")
    functional = jm.Model(inputs, L.GRU(3)(L.Embedding(9, 4, mask_zero=True)(inputs)))
    params = model.init(KEY, jnp.ones((2, 3), int))
    for call in (lambda rows: model.apply(params, rows), lambda rows: model.init(KEY, rows)):
        for rows in (ROWS, [[1, 2], [3, 4]], tuple(ROWS)):
            with pytest.raises(TypeError, match=r"sequential/embedding: .*Python's numbers\. `x = jm.pad_sequences"):
                call(rows)
    with pytest.raises(TypeError, match=r"received a list\. .*with `x = jm.pad_sequences\(rows\)`"):
        functional.apply(params, ROWS)
    with pytest.raises(TypeError, match=r"`init` of `Dense`: .*`x = jm.pad_sequences\(rows\)`"):
        L.Dense(3).init(KEY, [[1.0], []])
    rows = ROWS
    x = jm.pad_sequences(rows)  # the remedy
    assert model.apply(params, x).shape == functional.apply(params, x).shape == (2, 3)


def test_inputs_of_another_dtype_or_number(tagger, x):
    model = jm.Sequential([L.Embedding(9, 4), L.GRU(3)])
    params = model.init(KEY, jnp.ones((2, 3), int))
    with pytest.raises(TypeError, match=r"Ids must be integers; .* `ids.astype\('int32'\)`") as raised:
        model.apply(params, jnp.ones((2, 3)))
    assert "In layer `sequential/embedding`." in raised.value.__notes__
    with pytest.raises(TypeError, match=r"tagger: `Sequential.call` too many positional arguments; its inputs are"):
        tagger.apply(tagger.init(KEY, x), x, x)


def test_what_newcomers_write_first(tagger, x):
    params = tagger.init(KEY, x)
    for call, text in {
        lambda: jm.Sequential([jm.Input((None,)), L.Embedding(9, 4)]): r"is `jm\.Input\(\(None,\), 'int32'\)` then",
        lambda: tagger.init(0, x): r"a PRNG key comes first, `init\(jax\.random\.key\(0\), x\)`; received a int",
        lambda: L.Dense(2).init(x, KEY): r"a PRNG key comes first, .* received a Masked",
        lambda: tagger.apply(x): r"takes the parameters first: `model\.apply\(params, x\)`",
        lambda: tagger.apply((params, {}), x): r"received a tuple of 2\. .*`params, state = jm\.from_torch\(\.\.\.\)`",
        lambda: jm.Sequential([nnx.Linear(2, 2, rngs=nnx.Rngs(0))]): r"received a Linear\. .*`jm\.layers\.PerSequence",
    }.items():
        with pytest.raises(TypeError, match=text):
            call()
    for name, text in {"fit": r"Here `jmask\.train\.fit", "predict": r"Here `jax\.jit\(model", "x": "$"}.items():
        with pytest.raises(AttributeError, match=rf"object has no attribute '{name}'\. ?{text}"):
            getattr(tagger, name)
    with pytest.raises(TypeError, match=r"predictions first and targets second, .* received int32 and float32"):
        jm.losses.softmax_cross_entropy_with_integer_labels(jnp.ones(2, int), jnp.ones((2, 3)))


def test_an_error_costs_nothing_before_it_happens(tagger, x, monkeypatch):
    from jmask.protocol import errors as explain

    monkeypatch.setattr(explain, "_wrong_params", None)
    tagger.apply(tagger.init(KEY, x), x)


def test_parameters_come_first(x, tagger):
    params = tagger.init(KEY, x)
    for swapped in (lambda: tagger.apply(x, params), lambda: L.Dense(4).apply(x, params["dense"])):
        with pytest.raises(TypeError, match=r"(tagger|dense): `apply` takes the parameters first"):
            swapped()
