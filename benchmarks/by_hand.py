"""The tagger of the demo written by hand, masks and all, as one would without jmask."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def tagger(params: Any, ids: Any, mask: Any) -> Any:
    """Logits `(batch, time, tags)` of embedding, bidirectional LSTM, layer normalisation and a dense layer."""
    real = mask[..., None]
    h = params["embedding"]["embeddings"][jnp.where(mask, ids, 0)]
    h = jnp.where(real, h, 0)
    directions = params["bidirectional"]
    forward = lstm(directions["forward"], h, mask, reverse=False)
    backward = lstm(directions["backward"], h, mask, reverse=True)
    h = jnp.where(real, jnp.concatenate([forward, backward], axis=-1), 0)
    h = layer_norm(params["layer_normalization"], h)
    return jnp.where(real, h, 0) @ params["dense"]["kernel"] + params["dense"]["bias"]


def loss(params: Any, ids: Any, mask: Any) -> Any:
    """Mean square of the logits over real steps: a stand-in that costs nothing itself."""
    logits = jnp.where(mask[..., None], tagger(params, ids, mask), 0)
    return jnp.sum(jnp.square(logits)) / (jnp.maximum(mask.sum(), 1) * logits.shape[-1])


def lstm(params: Any, values: Any, mask: Any, reverse: bool) -> Any:
    projected = values @ params["kernel"] + params["bias"]
    units = params["recurrent_kernel"].shape[0]

    def row(projected: Any, mask: Any) -> Any:
        def step(state: Any, inputs: Any) -> Any:
            hidden, cell = state
            z, is_real = inputs
            i, f, g, o = jnp.split(z + hidden @ params["recurrent_kernel"], 4, axis=-1)
            new_cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
            new_hidden = jax.nn.sigmoid(o) * jnp.tanh(new_cell)
            state = jnp.where(is_real, new_hidden, hidden), jnp.where(is_real, new_cell, cell)
            return state, jnp.where(is_real, new_hidden, 0)

        zeros = jnp.zeros_like(projected[0, :units])
        return lax.scan(step, (zeros, zeros), (projected, mask), reverse=reverse)[1]

    return jax.vmap(row)(projected, mask)


def layer_norm(params: Any, h: Any) -> Any:
    centred = h - h.mean(axis=-1, keepdims=True)
    normal = centred * lax.rsqrt(jnp.square(centred).mean(axis=-1, keepdims=True) + 1e-3)
    return normal * params["gamma"] + params["beta"]
