"""Keras, for the tests of this directory: the only place that imports it, and the reason why they are skipped."""

import os
import warnings
from typing import Any

import pytest

VERSION = "3.15."


@pytest.fixture(scope="session")
def keras(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Keras 3.15 on JAX. It writes a file of settings when it is imported."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ.setdefault("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras = pytest.importorskip("keras", reason="Keras is not installed", exc_type=ImportError)
    if not keras.__version__.startswith(VERSION):
        pytest.skip(f"these are the results of Keras {VERSION}x; here is Keras {keras.__version__}")
    if keras.config.backend() != "jax":
        pytest.skip(f"Keras runs on {keras.config.backend()}, not on JAX")
    return keras
