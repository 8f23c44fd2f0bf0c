"""Configs that nobody wrote with `to_config`: refused with a word on where, and nothing of them runs."""

import copy

import jax.numpy as jnp
import pytest

import jmask as jm

L = jm.layers
DENSE = {"class": "Dense", "config": {"units": 3}, "id": 0}


def dense(**config):
    return {"class": "Dense", "config": config, "id": 0}


def model():
    inputs = jm.Input((None, 8))
    return jm.Model(inputs, L.Dense(2)(L.Activation("relu")(inputs))).to_config()


def deep(levels):
    config = {"list": [1]}
    for _ in range(levels):
        config = {"list": [config]}
    return config


def cycle():
    config = {"list": []}
    config["list"].append(config)
    return config


HOSTILE = {
    "no dict": (None, TypeError, "takes the dict that `to_config` returns; received None"),
    "empty": ({}, ValueError, "at config: this is not what `to_config` writes"),
    "no fields": ({"class": "Dense"}, ValueError, "the fields of 'Dense' are a dict under 'config'; received None"),
    "no number": ({"class": "Dense", "config": {"units": 3}}, ValueError, "'id' is a number of its own"),
    "no class": ({"class": [1], "config": {}, "id": 0}, ValueError, r"at config: \[1\] is not registered"),
    "a module": (
        {"class": "os.system", "config": {"command": "x"}, "id": 0},
        ValueError,
        "'os.system' is not re",
    ),
    "a function": ({"function": "eval"}, ValueError, "'eval' is not registered"),
    "unknown field": (dense(units=3, x=1), TypeError, "at config: .*unexpected keyword argument 'x'"),
    "missing field": (dense(), TypeError, "at config: .*missing .*'units'"),
    "wrong field": (dense(units=-3), ValueError, "at config: `units` of `Dense` is a positive integer; received -3"),
    "attribute": (dense(units=3, __class__=1), TypeError, "at config: .*unexpected keyword argument '__class__'"),
    "shared": ({"shared": 5}, ValueError, "there is no layer of the number 5 before this place"),
    "shared with itself": (
        {"class": "Sequential", "config": {"layers": {"list": [{"shared": 0}]}}, "id": 0},
        ValueError,
        r"at config/layers/list\[0\]: there is no layer of the number 0 before",
    ),
    "one number twice": (
        {"class": "Sequential", "config": {"layers": {"list": [DENSE, DENSE]}}, "id": 1},
        ValueError,
        r"at config/layers/list\[1\]: 'id' is a number of its own",
    ),
    "deep": (deep(3000), ValueError, "too many levels, or a cycle"),
    "cycle": (cycle(), ValueError, "too many levels, or a cycle"),
    "odd pairs": ({"dict": [[1]]}, ValueError, "'dict' holds a list of pairs"),
    "odd keys": ({"dict": [[{"list": [1]}, 2]]}, TypeError, "at config: .*unhashable"),
    "no float": ({"float": "abc"}, ValueError, "at config: could not convert string to float"),
    "no list": ({"list": "abc"}, ValueError, "'list' holds a list; received 'abc'"),
    "slice": ({"slice": [1, 2, 3, 4]}, TypeError, "at config: slice expected at most 3"),
    "constant": ({"constant": "exec"}, ValueError, "there is no constant 'exec'"),
    "dtype": ({"dtype": "nope"}, TypeError, "at config: .*nope"),
    "dtype of fields": ({"array": [1], "dtype": "i4,O", "shape": [1]}, ValueError, "'dtype' is the name of a dtype"),
    "array": ({"array": [1, 2]}, ValueError, "'dtype' is the name of a dtype; received None"),
    "shape": ({"array": [1], "dtype": "int32", "shape": [10**12]}, ValueError, "at config: cannot reshape"),
}


@pytest.mark.parametrize(("config", "kind", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_configs(config, kind, message):
    with pytest.raises(kind, match=f"`from_config`.*{message}"):
        jm.from_config(config)


def places(config, way=()):
    items = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    for key, value in items:
        yield (*way, key)
        yield from places(value, (*way, key))


@pytest.mark.parametrize("value", [KeyError, None, -7, "zz", [], {}], ids=str)
def test_a_model_with_one_thing_changed(value):
    """It is another model, or refused."""
    right = model()
    for way in places(right):
        config = copy.deepcopy(right)
        inside = config
        for key in way[:-1]:
            inside = inside[key]
        if value is KeyError:
            del inside[way[-1]]
        else:
            inside[way[-1]] = value
        try:
            assert isinstance(jm.from_config(config), (jm.Model, L.Dense)), way
        except (TypeError, ValueError) as error:
            assert str(error).startswith("`from_config`"), (way, error)  # noqa: PT017 - it may be right, too


def test_registered_functions_do_not_run():
    ran = []
    custom = {"remove": lambda *args, **kwargs: ran.append(args)}
    in_place_of_a_class = {"class": "remove", "config": {"path": "x"}, "id": 0}
    with pytest.raises(ValueError, match="'remove' is registered as a function, not as a class"):
        jm.from_config(in_place_of_a_class, custom)
    config = model()
    config["config"]["calls"]["list"][0]["dict"][0][1] = {"function": "remove"}
    with pytest.raises(ValueError, match="the calls of a model are a list of dicts of a layer"):
        jm.from_config(config, custom)
    assert not ran


def test_what_is_right_comes_back():
    nested = jm.Sequential([L.Dense(2)])
    for _ in range(30):
        nested = jm.Sequential([nested])
    assert repr(jm.from_config(nested.to_config())) == repr(nested)
    layer = jm.from_config(L.Lambda(jm.register_serializable(jnp.square, name="square")).to_config())
    assert layer(jnp.array(3.0)) == 9
