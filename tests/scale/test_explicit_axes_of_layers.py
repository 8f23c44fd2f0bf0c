"""Layers on a mesh with explicit axes: the numbers of one device, or an error that names the layer and the remedy."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jmask as jm

L = jm.layers
LENGTHS = [3, 0, 6, 2, 5, 1, 4, 6]
LAYERS = {
    "dense": L.Dense(8),
    "lstm": L.LSTM(8),
    "conv1d": L.Conv1D(8, 3, padding="same"),
    "multi_head_attention": L.MultiHeadAttention(2, 4),
    "layer_normalization": L.LayerNormalization(),
}
ROWS = PartitionSpec("data")
# How inputs are divided, and how a weight of several axes is.
LAYOUTS = {
    "fsdp": (ROWS, "last"),
    "columns": (ROWS, PartitionSpec(None, "model")),
    "features": (PartitionSpec("data", None, "model"), PartitionSpec()),
    "time": (PartitionSpec("data", "model"), PartitionSpec()),
}
REFUSED = {
    "dense": {"fsdp"},
    "lstm": {"fsdp", "columns", "time"},
    "conv1d": {"fsdp", "columns", "features", "time"},
    "multi_head_attention": {"fsdp", "columns", "time"},
    "layer_normalization": set(),
}


@pytest.fixture(scope="module")
def mesh() -> Any:
    return jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Explicit,) * 2, devices=jax.devices()[:4])


def inputs() -> Any:
    values = np.random.default_rng(0).normal(size=(8, 6, 8)).astype("float32")
    return jm.from_lengths(jnp.asarray(values), LENGTHS)


def called(name: str, params: Any, x: Any) -> Any:
    return LAYERS[name].apply(params, x, x) if name.startswith("multi") else LAYERS[name].apply(params, x)


def made(name: str) -> Any:
    x = inputs()
    return LAYERS[name].init(jax.random.key(0), *([x, x] if name.startswith("multi") else [x]))


def placed(mesh: Any, name: str, layout: str) -> tuple[Any, Any]:
    of_inputs, of_weights = LAYOUTS[layout]

    def put(leaf: Any, spec: Any) -> Any:
        return jax.device_put(leaf, NamedSharding(mesh, PartitionSpec(*spec[: leaf.ndim])))

    params = jax.tree.map(
        lambda leaf: put(leaf, divided(leaf, of_weights) if leaf.ndim > 1 else PartitionSpec()), made(name)
    )
    return params, jax.tree.map(lambda leaf: put(leaf, of_inputs), inputs())


def divided(leaf: Any, spec: Any) -> Any:
    """How a weight is divided: for FSDP its last axis, so that no product is divided along what it sums up."""
    return PartitionSpec(*(None,) * (leaf.ndim - 1), "data") if spec == "last" else spec


def gradient(name: str, params: Any, x: Any) -> Any:
    return jax.value_and_grad(lambda params: jnp.sum(jnp.sin(called(name, params, x).fill(0))))(params)


ALLOWED = [(name, layout) for name in LAYERS for layout in LAYOUTS if layout not in REFUSED[name]]
NOT_ALLOWED = [(name, layout) for name in LAYERS for layout in sorted(REFUSED[name])]


@pytest.mark.parametrize(("name", "layout"), ALLOWED)
def test_gives_what_one_device_gives(mesh, name, layout):
    if jax.__version_info__ < (0, 10):
        pytest.skip("there JAX cannot differentiate a product of which explicit axes divide the rows")
    params, x = placed(mesh, name, layout)
    with jax.set_mesh(mesh):
        found = jax.jit(gradient, static_argnums=0)(name, params, x)
    expected = jax.jit(gradient, static_argnums=0)(name, made(name), inputs())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected)


@pytest.mark.parametrize(("name", "layout"), NOT_ALLOWED)
def test_is_refused_with_its_name(mesh, name, layout):
    params, x = placed(mesh, name, layout)
    text = f"{name}: explicit axes of a mesh divide more than JAX can follow through `{type(LAYERS[name]).__name__}`"
    with jax.set_mesh(mesh), pytest.raises(ValueError, match=re.escape(text)) as caught:
        jax.jit(gradient, static_argnums=0).trace(name, params, x)
    assert {"fsdp": "kernel", "columns": "kernel"}.get(layout, "inputs float32") in str(caught.value)
    assert "jax.sharding.reshard(leaf, PartitionSpec())" in str(caught.value)


def test_the_remedies_work(mesh):
    def gathered(params: Any, x: Any) -> Any:
        params = jax.tree.map(lambda leaf: jax.sharding.reshard(leaf, PartitionSpec()), params)
        return called("lstm", params, x).fill(0)

    params, x = placed(mesh, "lstm", "fsdp")
    expected = called("lstm", made("lstm"), inputs()).fill(0)
    with jax.set_mesh(mesh):
        np.testing.assert_allclose(jax.jit(gathered)(params, x), expected, rtol=1e-4, atol=1e-5)
    automatic = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    params, x = placed(automatic, "lstm", "columns")
    found = jax.jit(called, static_argnums=0)("lstm", params, x)
    np.testing.assert_allclose(found.fill(0), expected, rtol=1e-4, atol=1e-5)
