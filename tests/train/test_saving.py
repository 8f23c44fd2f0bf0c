"""A saved model: the same model and bytes come back, a cut save leaves the old one, and damage has an error."""

import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.train import saving


def model_and_arrays(units=2):
    model = jm.Sequential([jm.Input((None, 3)), jm.layers.Dense(units), jm.layers.BatchNormalization()])
    return model, {"dense": {"kernel": jnp.ones((3, units)), "bias": jnp.arange(units) * 1.5}}, {"seen": jnp.float32(2)}


ODD = {
    "empty": jnp.zeros((0, 3)),
    "half": jnp.array([1.5, -2], jnp.bfloat16),
    "nested": [(np.float64(1 / 3), None), {}, (), []],
    "key": jax.random.key(7, impl="rbg"),
    "flag": np.array([True, False]),
    "a": {"b/c": np.int8([1, 2])},
    "a/b": {"c": np.uint16([3])},
    "fortran": np.asfortranarray(np.arange(6.0, dtype=np.float32).reshape(2, 3)),
    "big": np.arange(3, dtype=">f4"),
    "complex": np.complex64([1 + 2j]),
}


def data_of(leaf):
    is_key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def test_every_kind_of_array_and_tree_comes_back(tmp_path):
    model, params, _ = model_and_arrays()
    jm.save(tmp_path / "new" / "folder", model, params | ODD, ODD)
    loaded, found, state = jm.load(str(tmp_path / "new" / "folder"))
    assert jm.to_config(loaded) == jm.to_config(model)
    assert jax.tree.structure(found) == jax.tree.structure(params | ODD)
    assert jax.tree.structure(state) == jax.tree.structure(ODD)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(params | ODD), strict=True):
        assert np.dtype(data_of(ours).dtype) == data_of(theirs).dtype.newbyteorder("=")
        np.testing.assert_array_equal(data_of(ours), data_of(theirs))
    assert jax.random.key_impl(found["key"]) == jax.random.key_impl(ODD["key"])


def test_the_newer_model_replaces_the_older(tmp_path):
    for units in (2, 5):
        jm.save(tmp_path, *model_and_arrays(units))
    assert jm.load(tmp_path)[1]["dense"]["kernel"].shape == (3, 5)
    assert sorted(os.listdir(tmp_path)) == ["arrays-2.safetensors", "model.json"]


@pytest.mark.parametrize("where", ["write_arrays", "json.dump", "Path.replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_a_save_that_fails_leaves_the_older_model(tmp_path, monkeypatch, where, error):
    jm.save(tmp_path, *model_and_arrays())

    def full(*_, **__):
        raise error

    owner, name = {
        "write_arrays": (saving, "write_arrays"),
        "json.dump": (saving.json, "dump"),
        "Path.replace": (saving.Path, "replace"),
    }[where]
    monkeypatch.setattr(owner, name, full)
    text = r"No space left on device.*before stays" if isinstance(error, OSError) else None
    with pytest.raises(type(error), match=text) as raised:
        jm.save(tmp_path, *model_and_arrays(5))
    assert getattr(raised.value, "errno", 28) == 28
    assert jm.load(tmp_path)[1]["dense"]["kernel"].shape == (3, 2)
    assert sorted(os.listdir(tmp_path)) == ["arrays-1.safetensors", "model.json"]


def test_a_missing_folder_and_a_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no saved model, no model.json. .*`jm.save\("):
        jm.load(tmp_path / "missing")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write into .*File exists"):
        jm.save(tmp_path / "file", *model_and_arrays())


def edited(**changes):
    def edit(folder):
        description = json.loads((folder / "model.json").read_text())
        (folder / "model.json").write_text(json.dumps(description | changes))

    return edit


def cut(size):
    return lambda folder: os.truncate(folder / "arrays-1.safetensors", size)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda folder: (folder / "model.json").write_text("{"), "is damaged.*JSONDecodeError"),
        (lambda folder: (folder / "model.json").write_text("[]"), "is damaged"),
        (edited(format=9), "format 9, and this jmask reads 1"),
        (edited(arrays="../../other"), "no file of arrays is called"),
        (edited(params={"array": "params/nothing"}), "is damaged.*params/nothing"),
        (edited(model={"class": "os.system", "config": {}, "id": 0}), "'os.system' is not registered"),
        (lambda folder: (folder / "arrays-1.safetensors").unlink(), "is damaged.*No such file"),
        (cut(4), "truncated, or is not a file of arrays"),
        (cut(40), "truncated, or is not a file of arrays"),
        (cut(-1), "the file of arrays is truncated at"),
    ],
)
def test_damage_has_an_error(tmp_path, damage, text):
    jm.save(tmp_path, *model_and_arrays())
    if getattr(damage, "__qualname__", "").startswith("cut"):
        size = (tmp_path / "arrays-1.safetensors").stat().st_size
        damage = cut(damage.__closure__[0].cell_contents % size)
    damage(tmp_path)
    with pytest.raises(ValueError, match=text):
        jm.load(tmp_path)


def test_layers_of_ones_own_are_registered(tmp_path):
    class Mine(jm.Layer):
        pass

    with pytest.raises(ValueError, match=r"is not registered.*`@jm.register_serializable`"):
        jm.save(tmp_path, Mine(), {})
    assert os.listdir(tmp_path) == []
    jm.register_serializable(Mine, name="tests.train.Mine")
    jm.save(tmp_path, Mine(), {})
    loaded, *rest = jm.load(tmp_path)
    assert (type(loaded), *rest) == (Mine, {}, None)

    class Other(jm.Layer):
        pass

    assert type(jm.load(tmp_path, custom={"tests.train.Mine": Other})[0]) is Other


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({1: jnp.ones(2)}, "the keys of 'params' are names, strings; received 1"),
        ({"a": "text"}, "'params/a' is a str"),
        ({"a": [np.array(["text"])]}, "'params/a/0' has dtype str.*float32"),
        ({"a": jm.pad_sequences([[1]])}, "'params/a' is a Masked"),
    ],
)
def test_what_cannot_be_saved(tmp_path, params, text):
    with pytest.raises(TypeError, match=text):
        jm.save(tmp_path, model_and_arrays()[0], params)
    assert os.listdir(tmp_path) == []
