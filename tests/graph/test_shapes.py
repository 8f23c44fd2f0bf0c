"""Unknown sizes: what layers make of `batch` and `time`, also layers that want to know them."""

import jax
import jax.numpy as jnp
import pytest

import jmask as jm
from jmask import layers as L  # noqa: N812 - it stands in every line
from jmask.graph.dimensions import evaluate_size
from tests.support.graphs import FEATURES, Halve, sequences


def layer(function, **kwargs):
    return L.Lambda(function, mask=lambda x, mask: None, **kwargs)


def shapes(function, *shape):
    node = layer(function)(jm.Input(shape or (None, FEATURES)))
    return [tuple(map(str, n.shape)) for n in jax.tree.leaves(node)]


def loop(x):
    return sum(x[:, i] for i in range(x.shape[1]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x.sum(1), ("batch", "2")),
        (lambda x: x.mean(), ()),
        (lambda x: jnp.swapaxes(x, 1, 2), ("batch", "2", "time")),
        (lambda x: x.reshape(x.shape[0], -1), ("batch", "2*time")),
        (lambda x: x.reshape(-1, 2), ("batch*time", "2")),
        (lambda x: jnp.concatenate([x, x], 1), ("batch", "2*time", "2")),
        (lambda x: jnp.pad(x, ((0, 0), (1, 2), (0, 0))), ("batch", "time + 3", "2")),
        (lambda x: jnp.einsum("btf,bsf->bts", x, x), ("batch", "time", "time")),
        (lambda x: x[:, :, None, :] * x[:, None], ("batch", "time", "time", "2")),
        (lambda x: jnp.broadcast_to(x[:1], (7, *x.shape[1:])), ("7", "time", "2")),
        # These refuse symbolic sizes.
        (loop, ("batch", "2")),
        (lambda x: jnp.split(x, 2, axis=1)[0], ("batch", "floordiv(time, 2)", "2")),
        (lambda x: jnp.split(x, 5, axis=1)[0], ("batch", "floordiv(time, 5)", "2")),
        (lambda x: jnp.zeros((int(x.shape[1]), x.shape[0])), ("time", "batch")),
        (lambda x: x[:, : x.shape[1] // 2] if x.shape[1] > 3 else x, ("batch", "floordiv(time, 2)", "2")),
        (lambda x: jnp.stack([x[:, 2 * i] for i in range(x.shape[1] // 2)], 1), ("batch", "floordiv(time, 2)", "2")),
        (lambda x: jnp.zeros((len(range(x.shape[1])) * 3 + 1,)), ("3*time + 1",)),
        (lambda x: jnp.zeros((x.shape[0] if x.shape[1] > 3 else 9, 4)), ("batch", "4")),
    ],
)
def test_sizes_follow_from_unknown_ones(function, expected):
    assert shapes(function) == [expected]


@pytest.mark.slow
def test_a_graph_can_be_cut_where_sizes_are_products_and_powers():
    x = jm.Input((None,))
    square = layer(lambda x: x[:, :, None] * x[:, None])(x)
    flatten = layer(lambda x: x.reshape(x.shape[0], -1))
    flat = flatten(square)
    assert str(flat.shape) == "(batch, time^2)"
    total = L.Dense(2)(layer(lambda x: x.sum(1, keepdims=True))(flatten(square) + flat))
    assert jm.Model([square, flat], total).init(jax.random.key(0))["dense"]["kernel"].shape == (1, 2)


@pytest.mark.parametrize(("step", "start"), [(2, 0), (3, 1), (-1, None), (-2, None), (4, -8)])
def test_a_strided_slice_has_the_size_that_it_has(step, start):
    function = lambda x: x[:, start::step]  # noqa: E731
    node = layer(function)(jm.Input((None, FEATURES)))
    for time in (9, 12, 23, 24, 48, 120, 121):
        expected = function(jnp.zeros((3, time, FEATURES))).shape
        assert tuple(evaluate_size(size, {"batch": 3, "time": time}) for size in node.shape) == expected


@pytest.mark.parametrize("divisor", [2, 3, 4])
@pytest.mark.parametrize("rest", [0, 1, 2, 3])
def test_sizes_that_jax_refuses_as_symbols_are_rounded_as_they_are(divisor, rest):
    def function(x):
        return jnp.zeros((len(range(rest % divisor, x.shape[1], divisor)), 2 * len(range(x.shape[1])) // divisor))

    node = layer(function)(jm.Input((None, FEATURES)))
    for time in range(9, 20):
        expected = function(jnp.zeros((3, time, FEATURES))).shape
        assert tuple(evaluate_size(size, {"batch": 3, "time": time}) for size in node.shape) == expected


def test_sizes_that_are_not_affine_are_refused_with_a_reason():
    for function in (lambda x: jnp.zeros(x.shape[1].bit_length()), lambda x: jnp.zeros(len(range(x.shape[1])) ** 2)):
        with pytest.raises(ValueError, match=r"its output sizes are not an affine function of batch, time"):
            layer(function)(jm.Input((None, FEATURES)))


def test_an_error_of_the_layers_own_is_not_hidden_by_one_about_symbols():
    def function(x):
        jnp.split(x, 2, axis=1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        layer(function)(jm.Input((None, FEATURES)))
    with pytest.raises(TypeError, match=r"\(batch, time, 2\)"):  # the sizes as the user knows them
        layer(lambda x: jnp.concatenate([x, jnp.ones((1, 1, 1))], 1))(jm.Input((None, FEATURES)))


def test_masks_follow_the_sizes_of_their_values():
    x = jm.Input((None, FEATURES), masked=True)
    left, _ = Halve()(x)
    deeper, _ = Halve()(left)
    assert str(deeper.edge.spec.shape) == "(batch, floordiv(time, 4))"
    joined = L.Concatenate(axis=1)([x, deeper])
    assert joined.edge.spec.shape == joined.shape[:2]
    assert evaluate_size(joined.shape[1], {"time": 12}) == 15


def test_sizes_of_one_name_are_one_size():
    a, b = jm.Input(("words", 2)), jm.Input(("words", 3))
    assert str(L.Concatenate()([a, b]).shape) == "(batch, words, 5)"
    with pytest.raises(TypeError, match="words"):
        L.Concatenate()([a, jm.Input(("sentences", 3))])


def test_known_sizes_stay_known():
    x = jm.Input((6, 2), batch_size=4, masked=True)
    assert Halve()(x)[0].shape == (4, 3, 2)


# Parameters


class Positions(jm.Layer):
    """A parameter for every step."""

    supports_masking = True

    def init(self, key, inputs):
        return {"table": jax.random.normal(key, inputs.shape[1:])}

    def call(self, params, inputs):
        return inputs + params["table"]


@pytest.mark.slow
def test_a_parameter_that_depends_on_an_unknown_size_needs_an_example():
    x = jm.Input((None, FEATURES), masked=True)
    model = jm.Model(x, L.Dense(1)(Positions()(x)), name="tagger")
    with pytest.raises(ValueError, match=r"positions: its parameters .* depend on a size that is unknown in the graph"):
        model.init(jax.random.key(0))
    params = model.init(jax.random.key(0), sequences())
    assert params["positions"]["table"].shape == (4, FEATURES)
    assert model.apply(params, sequences()).shape == (3, 4, 1)


@pytest.mark.slow
def test_a_parameter_that_depends_on_a_known_size_does_not():
    x = jm.Input((5, FEATURES))
    assert jm.Model(x, Positions()(x)).init(jax.random.key(0))["positions"]["table"].shape == (5, FEATURES)


@pytest.mark.slow
def test_a_flattened_known_size_is_known_to_the_layer_behind_it():
    flatten = layer(lambda x: x.reshape(x.shape[0], -1))
    known, unknown = jm.Input((5, FEATURES)), jm.Input((None, FEATURES))
    params = jm.Model(known, L.Dense(3)(flatten(known))).init(jax.random.key(0))
    assert params["dense"]["kernel"].shape == (10, 3)
    with pytest.raises(ValueError, match=r"dense: its parameters .* depend on a size that is unknown"):
        jm.Model(unknown, L.Dense(3)(flatten(unknown))).init(jax.random.key(0))


@pytest.mark.slow
def test_the_summary_counts_parameters_of_unknown_number():
    x = jm.Input((None, FEATURES))
    summary = jm.summarize(jm.Model(x, L.Dense(1)(Positions()(x))))
    assert str(summary.num_params) == "2*time + 3"
    assert "2*time + 3" in str(summary)
    assert "2*time + 3" in summary._repr_html_()


@pytest.mark.slow
def test_an_init_that_needs_no_sizes_is_the_same_with_and_without_an_example():
    x = jm.Input((None, FEATURES), masked=True)
    model = jm.Model(x, L.Dense(3)(L.LSTM(2)(x)))
    with_example, without = model.init(jax.random.key(1), sequences()), model.init(jax.random.key(1))
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), with_example, without))
