"""`Input`, nodes before there are numbers, and inputs that do not fit their nodes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask import layers as L  # noqa: N812 - it stands in every line
from tests.support.graphs import BATCH, FEATURES, TIME, sequences


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (lambda: jm.Input((None, 8)), "Node(input: float32 (batch, time, 8))"),
        (lambda: jm.Input(()), "Node(input: float32 (batch,))"),
        (lambda: jm.Input((None, None, 8), name="a"), "Node(a: float32 (batch, time, time_1, 8))"),
        (lambda: jm.Input(("words",), "int32"), "Node(input: int32 (batch, words))"),
        (lambda: jm.Input((None,), batch_size=3), "Node(input: float32 (3, time))"),
        (lambda: jm.Input((np.int64(4),), jnp.bfloat16), "Node(input: bfloat16 (batch, 4))"),
        (lambda: jm.Input((None, 8), masked=True), "Node(input: float32 (batch, time, 8), mask=(batch, time))"),
        (
            lambda: jm.Input((None, "b", 8), masked=True),
            "Node(input: float32 (batch, time, b, 8), mask=(batch, time, b))",
        ),
        (lambda: jm.Input([None, 8]), "Node(input: float32 (batch, time, 8))"),
        (lambda: jm.Input((5, 8), masked=True, batch_size=2), "Node(input: float32 (2, 5, 8), mask=(2, 5))"),
        (
            lambda: jm.Input((5, None, 8), masked=True),
            "Node(input: float32 (batch, 5, time, 8), mask=(batch, 5, time))",
        ),
        (lambda: jm.Input((), masked=True), "Node(input: float32 (batch,), mask=(batch,))"),
    ],
)
def test_an_input_has_the_sizes_that_it_was_given(node, text):
    assert repr(node()) == text


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        ((2.5,), TypeError, r"takes ints, names and None; received 2\.5"),
        ((jnp.ones(2),), TypeError, r"takes ints, names and None"),
        (8, TypeError, r"`shape` of an `Input` is a tuple such as `\(None, 8\)`; received 8"),
        ("words", TypeError, r"`shape` of an `Input` is a tuple"),
        *(
            ((name,), ValueError, "is not a name for a size")
            for name in ("n-words", "2x", "a b", "", "max", "mod", "é")
        ),
        *(((name,), ValueError, "is not a name for a size") for name in ("floordiv", "min", "class", "None", "lambda")),
    ],
)
def test_other_sizes_are_refused(shape, error, message):
    with pytest.raises(error, match=message):
        jm.Input(shape)


@pytest.mark.parametrize(
    "use",
    [
        jnp.sin,
        jnp.sum,
        jax.nn.softmax,
        np.sin,
        np.sum,
        jnp.asarray,
        np.asarray,
        bool,
        len,
        list,
        lambda node: jnp.concatenate([node, node]),
        lambda node: jax.jit(lambda x: x)(node),
    ],
)
def test_a_node_has_no_numbers(use):
    with pytest.raises(TypeError, match="Node"):
        use(jm.Input((None, 8)))


@pytest.mark.parametrize("masked", [False, True])
def test_a_model_takes_arrays_and_masked_whatever_its_input_expects(masked):
    x = jm.Input((None, FEATURES), masked=masked)
    model = jm.Model(x, L.Dense(3)(x))
    params = model.init(jax.random.key(0))
    assert isinstance(model.apply(params, sequences()), jm.Masked)
    assert isinstance(model.apply(params, sequences().fill(0)), jax.Array)


def typical():
    a = jm.Input((None, 8), name="floats")
    b = jm.Input(("words",), "int32", name="ids")
    c = jm.Input(("words",), "bool")
    return jm.Model({"a": a, "b": b, "c": c}, L.Dense(1)(a), name="typical")


def wrong(**changes):
    return {"a": jnp.ones((3, 5, 8)), "b": jnp.ones((3, 4), int), "c": jnp.ones((3, 4), bool)} | changes


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            wrong(a=jnp.ones((3, 8))),
            r"typical: the input `floats` takes float32 \(batch, time, 8\); received float32 \(3, 8\)",
        ),
        (wrong(a=jnp.ones((3, 5, 7))), r"the input `floats` .* received float32 \(3, 5, 7\)"),
        (wrong(a=jnp.ones((3, 5, 8), int)), r"the input `floats` .* received int"),
        (wrong(a=jnp.ones((3, 5, 8), bool)), r"the input `floats` .* received bool"),
        (wrong(a=sequences()), r"the input `floats` .* received float32 \(3, 4, 2\)"),
        (wrong(b=jnp.ones((3, 4))), r"the input `ids` takes int32 \(batch, words\); received float32"),
        (wrong(c=jnp.ones((3, 4), int)), r"the input `c` takes bool"),
        (wrong(b=jnp.ones((3, 6), int)), r"the inputs `ids` and `c` have the size `words` in common; received 6 and 4"),
        (
            wrong(a=jnp.ones((2, 5, 8))),
            r"the inputs `floats` and `ids` have the size `batch` in common; received 2 and 3",
        ),
        ({"a": jnp.ones((3, 5, 8))}, r"the model takes inputs in the structure .*; received PyTreeDef\(\{'a': \*\}\)"),
        ([*wrong().values()], r"the model takes inputs in the structure"),
        (jnp.ones((3, 5, 8)), r"the model takes inputs in the structure"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs, message):
    model = typical()
    with pytest.raises(ValueError, match=message):
        model.apply({}, inputs)


@pytest.mark.parametrize("inputs", [wrong(a=[[1.0] * 8]), wrong(a=None), wrong(a=3.0), wrong(b="words")])
def test_inputs_that_are_no_arrays_are_refused(inputs):
    with pytest.raises(
        TypeError, match=r"the input `(floats|ids)` takes .*; received a .* Convert it with `jnp.asarray`"
    ):
        typical().apply({}, inputs)


def test_other_floats_and_ints_fit():
    model = typical()
    params = model.init(jax.random.key(0))
    assert model.apply(params, wrong(a=np.ones((3, 5, 8)), b=np.ones((3, 4), np.uint8))).shape == (3, 5, 1)
    assert model.apply(params, wrong(a=jnp.ones((3, 5, 8), jnp.bfloat16))).shape == (3, 5, 1)


def test_unknown_sizes_without_a_name_may_differ_and_named_ones_must_not():
    a, b = jm.Input((None, 2)), jm.Input((None, 2))
    model = jm.Model([a, b], [L.GlobalAveragePooling1D()(a), L.GlobalAveragePooling1D()(b)])
    assert [y.shape for y in model.apply({}, jnp.ones((3, 5, 2)), jnp.ones((3, 7, 2)))] == [(3, 2), (3, 2)]


def test_a_sequential_checks_its_input_too():
    model = jm.Sequential([jm.Input((None, FEATURES), name="steps"), L.Dense(2)])
    params = model.init(jax.random.key(0))
    with pytest.raises(
        ValueError, match=r"the input `steps` takes float32 \(batch, time, 2\); received float32 \(3, 2\)"
    ):
        model.apply(params, jnp.ones((BATCH, FEATURES)))


def test_inputs_without_names_are_told_apart():
    x = [jm.Input((None,)) for _ in range(3)]
    assert [row.name for row in jm.summarize(jm.Model(x, L.Add()(x))).rows[:3]] == ["input", "input_1", "input_2"]
    named = {"b": jm.Input((None,)), "a": jm.Input((None,), name="own")}
    assert [row.name for row in jm.summarize(jm.Model(named, named["b"] + named["a"])).rows[:2]] == ["own", "b"]


def test_an_example_tells_what_is_unknown_by_its_mask_or_rank():
    def shapes(x):
        return [row.shapes[0] for row in jm.summarize(jm.trace(lambda node: node * 1, x)).rows]

    assert shapes(sequences())[0] == "(batch, time, 2)"
    assert shapes(jnp.ones((3, 5)))[0] == "(batch, 5)"
    assert shapes(jnp.ones((3, 5), int))[0] == "(batch, time)"
    assert shapes(jnp.ones((3, 5, 7)))[0] == "(batch, time, 7)"
    assert shapes(jm.masked(jnp.ones((3, 5, 7, 2)), jnp.ones((3, 5, 7), bool)))[0] == "(batch, time, time_1, 2)"
    assert shapes(jm.masked(jnp.ones((BATCH, TIME)), jnp.ones(BATCH, bool)))[0] == "(batch, 4)"
