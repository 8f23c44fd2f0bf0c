"""Flax, `nnx`: masks by hand wherever padding would reach a real step."""

from collections.abc import Iterator
from typing import Any

import flax.linen
import jax
import jax.numpy as jnp
import optax
from flax import nnx

from .task import CLASSES, HEADS, VOCABULARY, Rival, Task, Workload
from .with_jmask import make_params

EPSILON = 1e-3  # of layer normalisation, as in jmask and Keras


class Encoder(nnx.Module):
    """Keys of padded steps are masked; what padding gives is left alone."""

    def __init__(self, workload: Workload, rngs: nnx.Rngs) -> None:
        width = workload.width
        self.embedding = nnx.Embed(VOCABULARY, width, rngs=rngs)
        self.position_embedding = nnx.Embed(workload.time, width, rngs=rngs)
        self.first_norm, self.second_norm, self.last_norm = (
            nnx.LayerNorm(width, epsilon=EPSILON, rngs=rngs) for _ in range(3)
        )
        self.multi_head_attention = nnx.MultiHeadAttention(HEADS, width, decode=False, rngs=rngs)
        self.up = nnx.Linear(width, 4 * width, rngs=rngs)
        self.down = nnx.Linear(4 * width, width, rngs=rngs)
        self.dense = nnx.Linear(width, CLASSES, rngs=rngs)

    def __call__(self, ids: Any, mask: Any) -> Any:
        h = self.embedding(ids) + self.position_embedding.embedding[...]
        seen = None if mask is None else mask[:, None, None, :]
        h = h + self.multi_head_attention(self.first_norm(h), mask=seen)
        h = h + self.down(jax.nn.gelu(self.up(self.second_norm(h)), approximate=False))
        return self.dense(self.last_norm(h))


class Convolutions(nnx.Module):
    """Zeros are put where a convolution or the mean reads, and the mask is shortened."""

    def __init__(self, workload: Workload, rngs: nnx.Rngs) -> None:
        width = workload.width
        self.first = nnx.Conv(workload.features, width, (5,), rngs=rngs)
        self.second = nnx.Conv(width, width, (4,), strides=2, rngs=rngs)
        self.third = nnx.Conv(width, 2 * width, (3,), rngs=rngs)
        self.fourth = nnx.Conv(2 * width, 2 * width, (3,), rngs=rngs)
        self.dense = nnx.Linear(2 * width, CLASSES, rngs=rngs)

    def __call__(self, x: Any, mask: Any) -> Any:
        quarter = None if mask is None else mask[:, ::2][:, 1::2]
        h = _only_real(jax.nn.relu(self.first(x)), mask)
        h = flax.linen.max_pool(jax.nn.relu(self.second(h)), (2,), (2,))
        h = _only_real(jax.nn.relu(self.third(_only_real(h, quarter))), quarter)
        h = _only_real(jax.nn.relu(self.fourth(h)), quarter)
        return self.dense(h.mean(1) if quarter is None else h.sum(1) / quarter.sum(1)[:, None])


class Tagger(nnx.Module):
    """`nnx.RNN` takes lengths; what it gives in the padding is left alone."""

    def __init__(self, workload: Workload, rngs: nnx.Rngs) -> None:
        width = workload.width
        self.embedding = nnx.Embed(VOCABULARY, width, rngs=rngs)
        self.forward, self.backward = (
            nnx.RNN(nnx.OptimizedLSTMCell(width, width, rngs=rngs), reverse=reverse, keep_order=True, rngs=False)
            for reverse in (False, True)
        )
        self.layer_normalization = nnx.LayerNorm(2 * width, epsilon=EPSILON, rngs=rngs)
        self.dense = nnx.Linear(2 * width, CLASSES, rngs=rngs)

    def __call__(self, ids: Any, mask: Any) -> Any:
        h = self.embedding(ids)
        zeros = jnp.zeros((len(h), h.shape[-1]), h.dtype)
        options = {"initial_carry": (zeros, zeros), "seq_lengths": None if mask is None else mask.sum(axis=1)}
        h = jnp.concatenate([rnn(h, **options) for rnn in (self.forward, self.backward)], axis=-1)
        return self.dense(self.layer_normalization(h))


MODELS = {"encoder": Encoder, "convolutions": Convolutions, "tagger": Tagger}


def rivals_at(task: Task) -> Iterator[Rival]:
    graph, _ = nnx.split(MODELS[task.name](task.workload, nnx.Rngs(0)))
    inputs, targets = jnp.asarray(task.inputs), jnp.asarray(task.targets)
    mask = None if task.is_full else jnp.asarray(task.mask)

    def logits(params: Any, batch: Any) -> Any:
        inputs, _, mask = batch
        return nnx.merge(graph, nnx.State(params))(inputs, mask)

    def loss(params: Any, batch: Any) -> Any:
        _, targets, mask = batch
        losses = optax.softmax_cross_entropy_with_integer_labels(logits(params, batch), targets)
        if mask is None or not task.workload.per_step:
            return losses.mean()
        return jnp.sum(jnp.where(mask, losses, 0)) / mask.sum()

    params = _renamed(make_params(task.name))
    yield Rival("Flax nnx", params, (inputs, targets, mask), logits, loss, task.only_real)


NAMES = {
    "gamma": "scale",
    "beta": "bias",
    "embeddings": "embedding",
    "position_embeddings": "embedding",
    "attention_output": "out",
}


def _renamed(params: Any) -> Any:
    """The parameters of jmask under the names of Flax; the two directions of the tagger are layers of their own."""
    if "recurrent_kernel" in params:
        hidden = {"kernel": params["recurrent_kernel"], "bias": params["bias"]}
        return {"cell": {"dense_i": {"kernel": params["kernel"]}, "dense_h": hidden}}
    params = {**params, **params.get("bidirectional", {})}
    params.pop("bidirectional", None)
    return {
        NAMES.get(name, name): _renamed(inner) if isinstance(inner, dict) else inner for name, inner in params.items()
    }


def _only_real(h: Any, mask: Any) -> Any:
    return h if mask is None else jnp.where(mask[..., None], h, 0)
