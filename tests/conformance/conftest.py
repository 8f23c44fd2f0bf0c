"""Keras, for the tests of this directory: the only place that imports it, and the reason why they are skipped."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

VERSION = "3.15."


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.extras)


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


@pytest.fixture
def layers(keras: Any) -> Any:
    """Keras' layers."""
    return keras.layers


@pytest.fixture
def fresh(keras: Any) -> Iterator[None]:
    """Names that do not depend on the tests before, and silence about what Keras does by design."""
    keras.utils.clear_session()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Layer '.*' .* was passed an input with a mask attached to it")
        warnings.filterwarnings("ignore", message="__array__ implementation")  # when it writes a file
        yield
