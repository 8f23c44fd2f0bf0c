"""Flax, `nnx` inside one `jax.jit`: padded to the longest, and four buckets; masks by hand."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from .task import BLOCKS, EPSILON, HEADS, Padded, Rival, Task, padded
from .with_jmask import make_params, rate_by_step


class Bilstm(nnx.Module):
    def __init__(self, task: Task, rngs: nnx.Rngs) -> None:
        width = task.workload.width
        self.embedding = nnx.Embed(task.vocabulary, width, rngs=rngs)
        self.forward, self.backward = (
            nnx.RNN(nnx.OptimizedLSTMCell(width, width, rngs=rngs), reverse=reverse, keep_order=True, rngs=False)
            for reverse in (False, True)
        )
        self.last_norm = nnx.LayerNorm(2 * width, epsilon=EPSILON, rngs=rngs)
        self.dense = nnx.Linear(2 * width, task.classes, rngs=rngs)

    def __call__(self, ids: Any, mask: Any) -> Any:
        h = self.embedding(ids)
        zeros = jnp.zeros((len(h), h.shape[-1]), h.dtype)
        options = {"initial_carry": (zeros, zeros), "seq_lengths": mask.sum(axis=1)}
        h = jnp.concatenate([rnn(h, **options) for rnn in (self.forward, self.backward)], axis=-1)
        return self.dense(self.last_norm(h))


class Transformer(nnx.Module):
    def __init__(self, task: Task, rngs: nnx.Rngs) -> None:
        width = task.workload.width
        self.embedding = nnx.Embed(task.vocabulary, width, rngs=rngs)
        self.position_embedding = nnx.Embed(task.longest, width, rngs=rngs)
        for block in range(BLOCKS):
            for norm in ("first_norm", "second_norm"):
                setattr(self, f"{norm}_{block}", nnx.LayerNorm(width, epsilon=EPSILON, rngs=rngs))
            setattr(self, f"attention_{block}", nnx.MultiHeadAttention(HEADS, width, decode=False, rngs=rngs))
            setattr(self, f"up_{block}", nnx.Linear(width, 4 * width, rngs=rngs))
            setattr(self, f"down_{block}", nnx.Linear(4 * width, width, rngs=rngs))
        self.last_norm = nnx.LayerNorm(width, epsilon=EPSILON, rngs=rngs)
        self.dense = nnx.Linear(width, task.classes, rngs=rngs)

    def __call__(self, ids: Any, mask: Any) -> Any:
        h = self.embedding(ids) + self.position_embedding.embedding[...][: ids.shape[1]]
        for block in range(BLOCKS):
            y = getattr(self, f"first_norm_{block}")(h)
            h = h + getattr(self, f"attention_{block}")(y, mask=mask[:, None, None, :])
            y = getattr(self, f"up_{block}")(getattr(self, f"second_norm_{block}")(h))
            h = h + getattr(self, f"down_{block}")(jax.nn.gelu(y, approximate=False))
        return self.dense(self.last_norm(h))


class Classifier(nnx.Module):
    """The convolution reads zeros in the padding; the normalisation takes the mask, the GRU the lengths."""

    def __init__(self, task: Task, rngs: nnx.Rngs) -> None:
        width = task.workload.width
        self.embedding = nnx.Embed(task.vocabulary, width, rngs=rngs)
        self.conv = nnx.Conv(width, width, (3,), rngs=rngs)
        self.batch_norm = nnx.BatchNorm(width, momentum=0.9, epsilon=EPSILON, rngs=rngs)
        self.gru = nnx.RNN(nnx.GRUCell(width, width, rngs=rngs), return_carry=True, rngs=False)
        self.dense = nnx.Linear(width, task.classes, rngs=rngs)

    def __call__(self, ids: Any, mask: Any) -> Any:
        h = jnp.where(mask[..., None], self.embedding(ids), 0)
        h = self.batch_norm(jax.nn.relu(self.conv(h)), mask=mask[..., None])
        zeros = jnp.zeros((len(h), h.shape[-1]), h.dtype)
        return self.dense(self.gru(h, initial_carry=zeros, seq_lengths=mask.sum(axis=1))[0])


MODELS = {"bilstm": Bilstm, "transformer": Transformer, "classifier": Classifier}


def make_rival(task: Task, name: str, rows: Padded, rate: float) -> Rival:
    optimizer = optax.adam(rate_by_step(rows.steps, rate))
    graph, _, rest = nnx.split(MODELS[task.name](task, nnx.Rngs(0)), nnx.Param, ...)

    def loss(params: Any, rest: Any, inputs: Any, targets: Any, mask: Any) -> Any:
        model = nnx.merge(graph, nnx.State(params), rest, copy=True)
        losses = optax.softmax_cross_entropy_with_integer_labels(model(inputs, mask), targets)
        counts = mask if task.workload.per_step else mask.any(axis=1)
        total, count = jnp.sum(jnp.where(counts, losses, 0)), counts.sum()
        return total / count, (total, count, nnx.split(model, nnx.Param, ...)[2])

    @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(params: Any, moments: Any, rest: Any, *batch: Any) -> Any:
        (_, (total, count, rest)), gradients = jax.value_and_grad(loss, has_aux=True)(params, rest, *batch)
        updates, moments = optimizer.update(gradients, moments, params)
        return optax.apply_updates(params, updates), moments, rest, (total, count)

    params = jax.tree.map(jnp.array, _renamed(make_params(task)))
    state = params, optimizer.init(params), rest

    def run(epoch: int) -> float:
        nonlocal state
        sums = []
        for chosen in rows.order(epoch):
            *state, of_batch = step(*state, *rows.batch(chosen))
            sums.append(of_batch)
        total, count = np.array(jax.device_get(sums), np.float64).sum(axis=0)
        return total / count

    return Rival(name, run, lambda: None, rows.steps, len(rows.rows))


def makers_at(task: Task, rate: float) -> Iterator[tuple[str, Callable[[], Rival]]]:
    for name, number in (("Flax, longest", 1), ("Flax, 4 buckets", 4)):
        yield name, functools.partial(make_rival, task, name, padded(task, number), rate)


NAMES = {
    "gamma": "scale",
    "beta": "bias",
    "embeddings": "embedding",
    "position_embeddings": "embedding",
    "attention_output": "out",
}


def _renamed(params: Any) -> Any:
    """The parameters of jmask under the names of Flax, whose directions of the BiLSTM are layers of their own."""
    if "recurrent_kernel" in params:
        return {"cell": _lstm(params) if params["bias"].ndim == 1 else _gru(params)}
    params = {**params, **params.get("bidirectional", {})}
    params.pop("bidirectional", None)
    return {
        NAMES.get(name, name): _renamed(inner) if isinstance(inner, dict) else inner for name, inner in params.items()
    }


def _lstm(params: Any) -> Any:
    hidden = {"kernel": params["recurrent_kernel"], "bias": params["bias"]}
    return {"dense_i": {"kernel": params["kernel"]}, "dense_h": hidden}


def _gru(params: Any) -> Any:
    """Gates in the order r, z, n, and one bias, which is exact while that of the candidate is 0, and so at first."""

    def reordered(gates: Any) -> Any:
        z, r, n = jnp.split(gates, 3, axis=-1)
        return jnp.concatenate([r, z, n], axis=-1)

    kernel, recurrent, bias = (reordered(params[name]) for name in ("kernel", "recurrent_kernel", "bias"))
    return {"dense_i": {"kernel": kernel, "bias": bias.sum(axis=0)}, "dense_h": {"kernel": recurrent}}
