"""`jm.from_keras` where there is no Keras; with Keras see `tests/conformance/`."""

import sys
from typing import Any

import pytest

import jmask as jm


def test_a_file_needs_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(ImportError, match=r'pip install "jmask\[keras\]".*KERAS_BACKEND=jax'):
        jm.from_keras("model.keras")


@pytest.mark.parametrize("model", [jm.layers.Dense(3), None, {"class_name": "Dense"}])
def test_what_is_no_model_of_keras_is_refused(model: Any) -> None:
    with pytest.raises(TypeError, match="takes a model or layer of Keras, or the path of a file; received"):
        jm.from_keras(model)
