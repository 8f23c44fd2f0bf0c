"""jmask: one step for all plans; nothing in the models or the loss says which one it is."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jmask as jm

from .task import BLOCKS, HEADS, Rival, Task

L = jm.layers


def make_model(task: Task) -> Any:
    width = task.workload.width
    ids = jm.Input((None,), "int32")
    h = L.Embedding(task.vocabulary, width, name="embedding")(ids)
    if task.name == "bilstm":
        h = L.Bidirectional(L.LSTM(width, return_sequences=True), name="bidirectional")(h)
        h = L.LayerNormalization(name="last_norm")(h)
    elif task.name == "transformer":
        h = h + L.PositionEmbedding(task.longest, name="position_embedding")(h)
        for block in range(BLOCKS):
            y = L.LayerNormalization(name=f"first_norm_{block}")(h)
            h = h + L.MultiHeadAttention(HEADS, width // HEADS, name=f"attention_{block}")(y, y)
            y = L.LayerNormalization(name=f"second_norm_{block}")(h)
            y = L.Dense(4 * width, activation="gelu", name=f"up_{block}")(y)
            h = h + L.Dense(width, name=f"down_{block}")(y)
        h = L.LayerNormalization(name="last_norm")(h)
    else:
        h = L.Conv1D(width, 3, padding="same", activation="relu", name="conv")(h)
        h = L.BatchNormalization(momentum=0.9, name="batch_norm")(h)
        h = L.GRU(width, name="gru")(h)
    return jm.Model(ids, L.Dense(task.classes, name="dense")(h))


def make_params(task: Task) -> Any:
    """From which all rivals take theirs."""
    return make_model(task).init(jax.random.key(0), jax.ShapeDtypeStruct((2, task.longest), "int32"))


def make_loss(task: Task) -> Callable[..., Any]:
    model = make_model(task)
    cross_entropy = functools.partial(jm.losses.softmax_cross_entropy_with_integer_labels, divide=False)

    def tagger_loss(params: Any, batch: Any) -> Any:
        return cross_entropy(model.apply(params, batch["inputs"]), batch["targets"])

    def classifier_loss(params: Any, batch: Any, statistics: Any) -> Any:
        logits, statistics = model.apply_with_state(params, statistics, batch["inputs"], training=True)
        return cross_entropy(logits, batch["targets"]), statistics

    return tagger_loss if task.workload.per_step else classifier_loss


def rate_by_step(steps: int, rate: float) -> Callable[[Any], Any]:
    """0 in the first epoch, so that its mean loss is that of the initial parameters in every library."""
    return lambda count: jnp.where(count < steps, 0.0, rate)


def make_rival(task: Task, name: str, plan: jm.data.Plan, rate: float) -> Rival:
    corpus = jm.data.Ragged(inputs=task.inputs, targets=task.targets)
    batches = jm.data.batches(corpus, plan, seed=0)
    steps, shapes = batches.num_steps(0), batches.shapes
    step = jm.train.step(make_loss(task), optax.adam(rate_by_step(steps, rate)), shapes=len(shapes))
    model, inputs = make_model(task), jax.ShapeDtypeStruct((2, task.longest), "int32")
    statistics = None if task.workload.per_step else model.init_state(inputs)
    state = step.init(make_params(task), statistics=statistics)

    def run(epoch: int) -> float:
        nonlocal state
        sums = []
        for batch in batches.epoch(epoch):
            state, of_batch = step(state, batch)
            sums.append(of_batch["loss"])
        totals = np.array([(mean.total, mean.count) for mean in jax.device_get(sums)], np.float64).sum(axis=0)
        return totals[0] / totals[1]

    return Rival(name, run, lambda: (model, state), steps, len(shapes))


def plans_of(task: Task) -> dict[str, jm.data.Plan]:
    workload, data = task.workload, jm.data
    options = {"max_segments": workload.max_segments} if workload.max_segments else {}
    return {
        "jmask packed": data.packed(row_length=workload.row_length, rows=workload.rows, **options),
        "jmask, 4 buckets": data.buckets(4, tokens=workload.tokens),
    }


def makers_at(task: Task, rate: float) -> Iterator[tuple[str, Callable[[], Rival]]]:
    for name, plan in plans_of(task).items():
        yield name, functools.partial(make_rival, task, name, plan, rate)


def describe(task: Task) -> Iterator[tuple[str, list[str]]]:
    """For each plan: shapes, padding, steps an epoch, and how uniform the order is."""
    corpus = jm.data.Ragged(inputs=task.inputs, targets=task.targets)
    for name, plan in plans_of(task).items():
        of = plan.describe(corpus)
        order = [f"{of.excess_icc:.2f}", f"{of.partner_repeat:.2f}"]
        yield name, [", ".join(of.shapes), f"{of.padding:.1%}", str(of.steps), *order]
