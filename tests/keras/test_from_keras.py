"""`jm.from_keras` where there is no Keras: files as Keras 3.15 writes them. With Keras see `tests/conformance/`."""

import io
import json
import sys
import zipfile
from typing import Any

import h5py
import jax
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close

L = jm.layers
IDS = {"class_name": "__keras_tensor__", "config": {"shape": [None, None], "dtype": "int32"}}
UNITS = 3


@pytest.fixture(autouse=True)
def _no_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)


def entry(kind: str, name: str, reads: Any = None, module: str = "keras.layers", **config: Any) -> dict[str, Any]:
    """An entry of a config, and the call of a layer on the output of another one, or on several in a list."""

    def tensor(source: str) -> Any:
        return {**IDS, "config": {**IDS["config"], "keras_history": [source, 0, 0]}}

    args = [list(map(tensor, reads))] if isinstance(reads, list) else [tensor(reads)]
    return {
        "module": module,
        "class_name": kind,
        "config": {"name": name, "dtype": "float32", **config},
        "registered_name": None,
        "build_config": {"input_shape": [None, None, 4]},
        "name": name,
        "inbound_nodes": [] if reads is None else [{"args": args, "kwargs": {"mask": None}}],
    }


def functional(*entries: Any, outputs: str) -> dict[str, Any]:
    config = {"name": "tagger", "layers": entries, "input_layers": ["ids", 0, 0], "output_layers": [outputs, 0, 0]}
    return {"module": "keras.src.models.functional", "class_name": "Functional", "config": config, "build_config": {}}


INPUT = entry("InputLayer", "ids", batch_shape=[None, None], dtype="int32")
EMBEDDING = entry("Embedding", "embed", "ids", input_dim=7, output_dim=4, mask_zero=True)
TAGGER = functional(
    INPUT,
    EMBEDDING,
    entry("LSTM", "lstm", "embed", units=UNITS, return_sequences=True, activation="tanh"),
    entry("Dense", "head", "lstm", units=2, activation="softmax"),
    outputs="head",
)
METADATA = {"keras_version": "3.15.1"}


def weights_file(weights: dict[str, list[np.ndarray]]) -> bytes:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for path, arrays in weights.items():
            for number, x in enumerate(arrays):
                file[f"{path}/vars/{number}"] = x
    return content.getvalue()


def keras_file(path: Any, config: Any = TAGGER, weights: Any = None, metadata: Any = METADATA) -> Any:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", json.dumps(metadata))
        archive.writestr("model.weights.h5", weights_file(weights or {}))
    return path


def test_a_tagger_is_read_without_keras(tmp_path: Any, rng: np.random.Generator) -> None:
    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype("float32")

    cell = [draw(4, 4 * UNITS), draw(UNITS, 4 * UNITS), draw(4 * UNITS)]
    weights = {"layers/embedding": [draw(7, 4)], "layers/lstm/cell": cell, "layers/dense": [draw(UNITS, 2), draw(2)]}
    model, params, state = jm.from_keras(keras_file(tmp_path / "tagger.keras", weights=weights))
    assert state == {}
    assert [call.mask_flow for call in model.calls] == [("made",), ("used", "passed"), ("passed",)]
    ours = jm.Sequential(
        [
            jm.Input((None,), "int32"),
            L.Embedding(7, 4, mask_zero=True, name="embed"),
            L.LSTM(UNITS, return_sequences=True, name="lstm"),
            L.Dense(2, activation=jax.nn.softmax, name="head"),
        ]
    )
    named = {"lstm": dict(zip(("kernel", "recurrent_kernel", "bias"), cell, strict=True))}
    named |= {"embed": {"embeddings": weights["layers/embedding"][0]}}
    named |= {"head": dict(zip(("kernel", "bias"), weights["layers/dense"], strict=True))}
    jax.tree.map(np.testing.assert_array_equal, params, named)
    ids = np.array([[1, 2, 0], [3, 0, 0], [0, 0, 0]])
    assert_close(model.apply(params, ids).fill(0), ours.apply(named, ids).fill(0))


def test_a_file_needs_h5py(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = keras_file(tmp_path / "tagger.keras")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"`pip install h5py`.*`pip install \"jmask\[keras\]\"`"):
        jm.from_keras(path)


def function(name: str) -> dict[str, Any]:
    return {"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"}


FOREIGN = {
    "dbl: is a `Lambda`": entry("Lambda", "dbl", "ids"),
    "mine: is a `pack>Mine`, a class": {**entry("Mine", "mine", "ids", None), "registered_name": "pack>Mine"},
    "mine: is a `Mine`, a class": entry("Mine", "mine", "ids", "__main__"),
    "head: has the function 'act'": entry("Dense", "head", "ids", units=2, activation=function("act")),
}


@pytest.mark.parametrize("text", FOREIGN)
def test_code_that_is_not_of_keras_is_refused_by_name(text: str, tmp_path: Any) -> None:
    config = functional(INPUT, FOREIGN[text], outputs="mine")
    with pytest.raises(ValueError, match=rf"{text}.*`model\.load_weights\('.*model\.keras'\)`.*from_keras\(model\)"):
        jm.from_keras(keras_file(tmp_path / "model.keras", config))


WHOLE = {"layers/embedding": [np.ones((7, 4), "float32")]}
ONE = functional(INPUT, EMBEDDING, outputs="embed")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda path: path.unlink(), "there is no file '.*model.keras'"),
        (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"), "it is an HDF5 file: weights alone, .*load_model"),
        (lambda path: path.write_bytes(path.read_bytes()[:900]), "it is no zip archive, or it is cut off"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"Embedding", b"Embeddinx")), "Bad CRC-32 for file"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"\x89HDF", b"\x89HDX")), "damaged, or not as Keras"),
        (lambda path: (path.unlink(), path.mkdir()), "it is a folder, as TensorFlow's SavedModel"),
        (
            lambda path: keras_file(path, ONE, metadata={"keras_version": "2.15.0"}),
            "it is of Keras 2.15.0, .*save it by",
        ),
        (
            lambda path: keras_file(path, ONE, {"layers/embedding": [np.ones(2)] * 2}),
            "the file has 2 weights of this Emb",
        ),
        (
            lambda path: keras_file(path, ONE, {"layers/other": [np.ones(2)]}),
            "has 0 weights .*use the layer",
        ),
        *(
            (lambda path, config=config: keras_file(path, config, WHOLE), "its config is not that of a model")
            for config in ({"class_name": "Functional"}, [], 3, {"config": None}, {"config": {"layers": None}})
        ),
        (lambda path: keras_file(path, functional(INPUT, outputs="none"), WHOLE), "not as Keras 3.15 writes it"),
        (lambda path: zipfile.ZipFile(path, "w").close(), "it has no config.json, metadata.json, model.weights.h5"),
    ],
)
def test_other_files_are_refused(change: Any, text: str, tmp_path: Any) -> None:
    path = keras_file(tmp_path / "model.keras", ONE, WHOLE)
    assert jm.from_keras(path).params["embed"]["embeddings"].shape == (7, 4)
    change(path)
    with pytest.raises((ValueError, FileNotFoundError), match=text):
        jm.from_keras(path)


def test_an_array_in_another_file_is_refused(tmp_path: Any) -> None:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        layout = h5py.VirtualLayout((7, 4), "float32")
        layout[:] = h5py.VirtualSource("/etc/other.h5", "x", (7, 4))
        file.create_virtual_dataset("layers/embedding/vars/0", layout)
    path = keras_file(tmp_path / "model.keras", ONE)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(ONE))
        archive.writestr("metadata.json", json.dumps(METADATA))
        archive.writestr("model.weights.h5", content.getvalue())
    with pytest.raises(ValueError, match="layers/embedding/vars/0 is in another file"):
        jm.from_keras(path)


@pytest.mark.parametrize("model", [jm.layers.Dense(3), None, {"class_name": "Dense"}])
def test_what_is_no_model_of_keras_is_refused(model: Any) -> None:
    with pytest.raises(TypeError, match="takes a model or layer of Keras, or the path of a file; received"):
        jm.from_keras(model)
