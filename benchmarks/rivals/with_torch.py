"""PyTorch's `nn.LSTM`: packed, padded, and padded to the longest of each of four buckets of rows."""

import dataclasses
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from .task import Rival, Task

NUM_BUCKETS = 4


@dataclasses.dataclass(frozen=True)
class Batch:
    """`real` is the mask `(batch, time, 1)`, None if there is no padding; `packed_targets` are packed beforehand."""

    x: torch.Tensor
    lengths: torch.Tensor
    real: torch.Tensor | None
    targets: torch.Tensor
    packed_targets: torch.Tensor

    @property
    def num_rows(self) -> int:
        """Of a bucket."""
        return -(-len(self.lengths) // NUM_BUCKETS)


def rivals_at(task: Task) -> Iterator[Rival]:
    if task.cell != "lstm":
        return
    torch.set_num_threads(os.cpu_count() or 1)
    lstm = _lstm(task)
    batch = _batch(task)
    for name, outputs, errors in (
        ("packed", _packed_outputs, _packed_errors),
        ("padded", _padded_outputs, _padded_errors),
        ("buckets", _bucket_outputs, _bucket_errors),
    ):
        run = _inference(lstm, batch, outputs) if task.mode == "inference" else _training(lstm, batch, errors, task)
        yield Rival(f"PyTorch {name}", run, read=_read)


def _lstm(task: Task) -> torch.nn.LSTM:
    """Gates are in the order i, f, g, o, as in jmask; of its two biases one is enough."""
    lstm = torch.nn.LSTM(task.workload.features, task.workload.units, batch_first=True)
    kernel, recurrent_kernel, bias = map(torch.tensor, task.weights)
    values = {"weight_ih_l0": kernel.T, "weight_hh_l0": recurrent_kernel.T, "bias_ih_l0": bias}
    lstm.load_state_dict(values | {"bias_hh_l0": torch.zeros_like(bias)})
    return lstm


def _batch(task: Task) -> Batch:
    lengths, targets = torch.tensor(task.lengths), torch.tensor(task.targets)
    real = None if task.is_full else torch.tensor(task.mask)[..., None]
    x = torch.tensor(task.x, requires_grad=task.mode == "training")
    return Batch(x, lengths, real, targets, _pack(targets, lengths).data)


def _inference(lstm: torch.nn.LSTM, batch: Batch, outputs: Callable) -> Callable[[], Any]:
    @torch.inference_mode()
    def run() -> dict[str, Any]:
        return {"outputs": outputs(lstm, batch)}

    return run


def _training(lstm: torch.nn.LSTM, batch: Batch, errors: Callable, task: Task) -> Callable[[], Any]:
    num_errors = task.tokens * task.workload.units
    names = ("inputs", "kernel", "recurrent_kernel", "bias")
    parameters = dict(lstm.named_parameters())
    leaves = (batch.x, *(parameters[name] for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0")))

    def run() -> dict[str, Any]:
        loss = torch.stack([error.square().sum() for error in errors(lstm, batch)]).sum() / num_errors
        gradients = torch.autograd.grad(loss, leaves)
        return {"loss": loss.detach(), **dict(zip(names, gradients, strict=True))}

    return run


def _read(result: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: (array.T if "kernel" in name else array).numpy() for name, array in result.items()}


def _masked(values: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
    return values if real is None else torch.where(real, values, 0)


def _padded_outputs(lstm: torch.nn.LSTM, batch: Batch) -> torch.Tensor:
    return _masked(lstm(batch.x)[0], batch.real)


def _padded_errors(lstm: torch.nn.LSTM, batch: Batch) -> Iterator[torch.Tensor]:
    yield _masked(lstm(batch.x)[0] - batch.targets, batch.real)


def _pack(x: torch.Tensor, lengths: torch.Tensor) -> PackedSequence:
    return pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)


def _packed_outputs(lstm: torch.nn.LSTM, batch: Batch) -> torch.Tensor:
    packed = lstm(_pack(batch.x, batch.lengths))[0]
    return pad_packed_sequence(packed, batch_first=True, total_length=batch.x.shape[1])[0]


def _packed_errors(lstm: torch.nn.LSTM, batch: Batch) -> Iterator[torch.Tensor]:
    """Taken on the packed steps, which spares it the way back to a padded batch."""
    yield lstm(_pack(batch.x, batch.lengths))[0].data - batch.packed_targets


def _buckets(batch: Batch, *arrays: torch.Tensor | None) -> Iterator[tuple[torch.Tensor, list[Any]]]:
    """The rows of each bucket, and the arrays for them, trimmed to the longest of the bucket."""
    order = batch.lengths.argsort(descending=True)
    ordered = [
        [None] * NUM_BUCKETS if array is None else array.index_select(0, order).split(batch.num_rows)
        for array in arrays
    ]
    for rows, *parts in zip(order.split(batch.num_rows), *ordered, strict=True):
        longest = int(batch.lengths[rows[0]])
        yield rows, [None if part is None else part[:, :longest] for part in parts]


def _bucket_outputs(lstm: torch.nn.LSTM, batch: Batch) -> torch.Tensor:
    outputs = batch.x.new_zeros(*batch.x.shape[:2], lstm.hidden_size)
    for rows, (x, real) in _buckets(batch, batch.x, batch.real):
        outputs[rows, : x.shape[1]] = _masked(lstm(x)[0], real)
    return outputs


def _bucket_errors(lstm: torch.nn.LSTM, batch: Batch) -> Iterator[torch.Tensor]:
    for _, (x, real, targets) in _buckets(batch, batch.x, batch.real, batch.targets):
        yield _masked(lstm(x)[0] - targets, real)
