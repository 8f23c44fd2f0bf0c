"""PyTorch: rows sorted into batches of their own widths, and, for recurrent networks, `PackedSequence`."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_sequence

from .task import BLOCKS, EPSILON, HEADS, Rival, Task
from .with_jmask import make_params

torch.set_num_threads(1)  # as XLA here


class Bilstm(nn.Module):
    def __init__(self, task: Task) -> None:
        super().__init__()
        width = task.workload.width
        self.embedding = nn.Embedding(task.vocabulary, width)
        self.lstm = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.last_norm, self.dense = nn.LayerNorm(2 * width, EPSILON), nn.Linear(2 * width, task.classes)

    def forward(self, ids: Any, lengths: Any) -> Any:
        """The real steps, packed."""
        h = pack_padded_sequence(self.embedding(ids), lengths, batch_first=True, enforce_sorted=False)
        return self.dense(self.last_norm(self.lstm(h)[0].data))


class Transformer(nn.Module):
    def __init__(self, task: Task) -> None:
        super().__init__()
        width = task.workload.width
        self.embedding = nn.Embedding(task.vocabulary, width)
        self.position_embedding = nn.Embedding(task.longest, width)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, HEADS, 4 * width, 0.0, "gelu", EPSILON, batch_first=True, norm_first=True)
            for _ in range(BLOCKS)
        )
        self.last_norm, self.dense = nn.LayerNorm(width, EPSILON), nn.Linear(width, task.classes)

    def forward(self, ids: Any, lengths: Any) -> Any:
        """All steps."""
        h = self.embedding(ids) + self.position_embedding.weight[: ids.shape[1]]
        padding = torch.arange(ids.shape[1]) >= lengths[:, None]
        for block in self.blocks:
            h = block(h, src_key_padding_mask=padding)
        return self.dense(self.last_norm(h))


class Classifier(nn.Module):
    """The convolution reads zeros in the padding; the normalisation sees the packed steps alone."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        width = task.workload.width
        self.embedding = nn.Embedding(task.vocabulary, width, padding_idx=0)
        self.conv = nn.Conv1d(width, width, 3, padding="same")
        self.batch_norm = nn.BatchNorm1d(width, EPSILON, momentum=0.1)
        self.gru, self.dense = nn.GRU(width, width, batch_first=True), nn.Linear(width, task.classes)

    def forward(self, ids: Any, lengths: Any) -> Any:
        h = torch.relu(self.conv(self.embedding(ids).transpose(1, 2))).transpose(1, 2)
        h = pack_padded_sequence(h, lengths, batch_first=True, enforce_sorted=False)
        h = PackedSequence(self.batch_norm(h.data), *h[1:])
        return self.dense(self.gru(h)[1][0])


MODELS = {"bilstm": Bilstm, "transformer": Transformer, "classifier": Classifier}


def make_rival(task: Task, name: str, rate: float, *, is_sorted: bool) -> Rival:
    model = MODELS[task.name](task)
    model.load_state_dict(_renamed(make_params(task), model.state_dict()))
    optimizer = torch.optim.Adam(model.parameters(), rate)
    inputs = [torch.tensor(ids, dtype=torch.int64) for ids in task.inputs]
    per_step = task.workload.per_step
    targets = [torch.tensor(of, dtype=torch.int64) for of in task.targets]
    lengths, batch = torch.tensor(task.lengths), task.workload.batch

    def batches(epoch: int) -> list[np.ndarray]:
        rng = np.random.default_rng(epoch)
        order = rng.permutation(len(inputs))
        if is_sorted:
            order = order[np.argsort(task.lengths[order], kind="stable")]
        chosen = [order[start : start + batch] for start in range(0, len(order), batch)]
        rng.shuffle(chosen)
        return chosen

    def logits_and_targets(rows: np.ndarray) -> tuple[Any, Any]:
        """In one layout: sequences, packed steps, or the real steps of padded rows."""
        of_rows = lengths[rows]
        logits = model(pad_sequence([inputs[row] for row in rows], batch_first=True), of_rows)
        if not per_step:
            return logits, torch.stack([targets[row] for row in rows])
        padded = pad_sequence([targets[row] for row in rows], batch_first=True)
        if logits.ndim == 2:
            return logits, pack_padded_sequence(padded, of_rows, batch_first=True, enforce_sorted=False).data
        real = torch.arange(padded.shape[1]) < of_rows[:, None]
        return logits[real], padded[real]

    def run(epoch: int) -> float:
        for group in optimizer.param_groups:
            group["lr"] = rate if epoch else 0.0
        total = torch.zeros(())
        for rows in batches(epoch):
            logits, classes = logits_and_targets(rows)
            loss = nn.functional.cross_entropy(logits, classes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(classes)
        return float(total) / (task.tokens if per_step else len(inputs))

    return Rival(name, run, lambda: model, -(-len(inputs) // batch), 0)


def makers_at(task: Task, rate: float) -> Iterator[tuple[str, Callable[[], Rival]]]:
    yield "PyTorch, sorted", functools.partial(make_rival, task, "PyTorch, sorted", rate, is_sorted=True)
    if task.name != "transformer":
        yield "PyTorch, shuffled", functools.partial(make_rival, task, "PyTorch, shuffled", rate, is_sorted=False)


def _renamed(params: Any, state: dict[str, Any]) -> dict[str, Any]:
    """The state of a model with the parameters of jmask; statistics and padding rows stay as they are."""
    found: dict[str, Any] = {}
    for name, of in params.items():
        if name in ("embedding", "position_embedding"):
            found[f"{name}.weight"] = next(iter(of.values()))
        elif "norm" in name:
            found |= {f"{_place(name)}.weight": of["gamma"], f"{_place(name)}.bias": of["beta"]}
        elif name == "bidirectional":
            found |= _recurrent("lstm", of["forward"], "ifgo") | _recurrent("lstm", of["backward"], "ifgo", "_reverse")
        elif name == "gru":
            found |= _recurrent("gru", of, "zrn")
        elif name.startswith("attention"):
            found |= _attention(f"{_place(name)}.", of)
        else:  # dense layers and convolutions
            found |= {f"{_place(name)}.weight": np.asarray(of["kernel"]).T, f"{_place(name)}.bias": of["bias"]}
    if "conv.weight" in found:
        found["embedding.weight"] = np.concatenate(
            [np.zeros((1, len(found["conv.bias"]))), found["embedding.weight"][1:]]
        )
    missing = {name for name in state if name not in found and not name.startswith("batch_norm.")}
    if missing:
        raise KeyError(f"parameters of jmask lack {missing}")
    return state | {name: torch.tensor(np.array(value, np.float32)) for name, value in found.items()}


PLACES = {
    "first_norm": "norm1",
    "second_norm": "norm2",
    "attention": "self_attn",
    "up": "linear1",
    "down": "linear2",
}


def _place(name: str) -> str:
    kind, _, block = name.rpartition("_")
    return f"blocks.{block}.{PLACES[kind]}" if kind in PLACES else name


def _recurrent(name: str, params: Any, gates: str, suffix: str = "") -> dict[str, Any]:
    """PyTorch has the gates of a GRU in the order r, z, n, and two biases everywhere."""

    def in_order(kernel: Any) -> np.ndarray:
        parts = dict(zip(gates, np.split(np.asarray(kernel), len(gates), axis=-1), strict=True))
        return np.concatenate([parts[gate] for gate in ("rzn" if gates == "zrn" else gates)], axis=-1)

    bias = in_order(params["bias"])
    biases = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
    values = {
        "weight_ih": in_order(params["kernel"]).T,
        "weight_hh": in_order(params["recurrent_kernel"]).T,
        "bias_ih": biases[0],
        "bias_hh": biases[1],
    }
    return {f"{name}.{key}_l0{suffix}": value for key, value in values.items()}


def _attention(place: str, params: Any) -> dict[str, Any]:
    kernels = [np.asarray(params[of]["kernel"]) for of in ("query", "key", "value")]
    width = len(kernels[0])
    return {
        f"{place}in_proj_weight": np.concatenate([kernel.reshape(width, width).T for kernel in kernels]),
        f"{place}in_proj_bias": np.concatenate([np.ravel(params[of]["bias"]) for of in ("query", "key", "value")]),
        f"{place}out_proj.weight": np.asarray(params["attention_output"]["kernel"]).reshape(width, width).T,
        f"{place}out_proj.bias": params["attention_output"]["bias"],
    }
