"""LSTMs over padded batches: jmask's engine and scan, cuDNN through `jax.experimental.rnn`, and PyTorch's cuDNN."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import rnn as cudnn
from rivals.task import WORKLOADS, Mode, Task, make_task

import jmask as jm

from .case import Case, Rival, in_jax, in_torch

TOLERANCE = 2e-2  # products are of TF32 by default, and a recurrence adds them up
NAMES = ("outputs", "inputs", "kernel", "recurrent_kernel", "bias")
SMALL: list[tuple[str, Mode, float]] = [("tiny", "training", 0.5), ("tiny", "inference", 1.0)]
WORKS: list[tuple[str, Mode, float]] = [
    ("W2", "training", 0.35),
    ("W3", "training", 0.35),
    ("W2", "training", 1.0),
    ("W3", "training", 1.0),
    ("W2", "inference", 0.35),
    ("W1", "training", 0.35),
]


def cases(works: list[tuple[str, Mode, float]]) -> Iterator[Case]:
    """One case for each workload, mode and fill."""
    for name, mode, fill in works:
        task = make_task(WORKLOADS[name], "lstm", mode, fill)
        size = task.workload
        shape = f"batch {size.batch}, {size.time} steps, {size.features} features, {size.units} units"
        yield Case(
            f"LSTM {name}, {shape}, float32, {fill:.0%} real, {mode}",
            lambda t=task: _expected(t),
            TOLERANCE,
            _makers(task),
        )


def _makers(task: Task) -> Mapping[str, Callable[[], Rival]]:
    def jmask(implementation: Any) -> Callable[..., Any]:
        return lambda x, *weights: _jmask(task, implementation, x, *weights)

    named = {
        "jmask": jmask("auto"),
        "jmask, 'xla'": jmask("xla"),
        "jmask, 'scan'": jmask("scan"),
        "jax.experimental.rnn, cuDNN": lambda *args: _cudnn(task, *args),
    }
    makers = {name: lambda n=name, f=function: _in_jax(task, n, f) for name, function in named.items()}
    return makers | {
        "PyTorch, packed": lambda: _in_torch(task, "PyTorch, packed", is_packed=True),
        "PyTorch, padded": lambda: _in_torch(task, "PyTorch, padded", is_packed=False),
    }


def _expected(task: Task) -> Mapping[str, np.ndarray]:
    """By the scan, exactly multiplied."""
    with jax.default_matmul_precision("highest"):
        results = jax.jit(_results(task, lambda *args: _jmask(task, "scan", *args)))(*_arguments(task))
    return _read(task, results)


def _arguments(task: Task) -> tuple[Any, ...]:
    return tuple(map(jnp.asarray, (task.targets, task.x, *task.weights)))


def _results(task: Task, lstm: Callable[..., Any]) -> Callable[..., Any]:
    """The outputs; for training also the gradients by inputs and weights, `targets` being those of the outputs."""

    def run(targets: Any, *args: Any) -> Any:
        if task.mode == "inference":
            return (lstm(*args),)
        outputs, backward = jax.vjp(lstm, *args)
        return (outputs, *backward(targets))

    return run


def _read(task: Task, results: Any) -> Mapping[str, np.ndarray]:
    arrays = [np.asarray(x) for x in results]
    return {
        name: array[task.mask] if name in ("outputs", "inputs") else array
        for name, array in zip(NAMES, arrays, strict=False)
    }


def _in_jax(task: Task, name: str, lstm: Callable[..., Any]) -> Rival:
    return in_jax(name, _results(task, lstm), _arguments(task), lambda results: _read(task, results))


def _jmask(task: Task, implementation: Any, x: Any, *weights: Any) -> Any:
    batch = x if task.is_full else jm.masked(x, jnp.asarray(task.mask))
    outputs = jm.rnn.lstm(jm.rnn.LSTMParams(*weights), batch, return_state=False, implementation=implementation)
    return jm.as_masked(outputs).values


def _cudnn(task: Task, x: Any, kernel: Any, recurrent_kernel: Any, bias: Any) -> Any:
    """The gates are in the same order; of its two biases one is enough. Right padding alone."""
    size = task.workload
    state = jnp.zeros((1, size.batch, size.units))
    weights = jnp.concatenate([kernel.T.ravel(), recurrent_kernel.T.ravel(), bias, jnp.zeros_like(bias)])
    sizes = {"input_size": size.features, "hidden_size": size.units, "num_layers": 1}
    lengths = jnp.asarray(task.lengths, jnp.int32)
    told = {"dropout": 0.0, "bidirectional": False}
    outputs, *_ = cudnn.lstm(x, state, state, weights, lengths, **sizes, **told)
    return jnp.where(jnp.asarray(task.mask)[..., None], outputs, 0)


def _in_torch(task: Task, name: str, *, is_packed: bool) -> Rival:
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    device = "cuda" if torch.cuda.is_available() else "cpu"
    lstm = torch.nn.LSTM(task.workload.features, task.workload.units, batch_first=True).to(device)
    kernel, recurrent_kernel, bias = (torch.tensor(weight) for weight in task.weights)
    values = {"weight_ih_l0": kernel.T, "weight_hh_l0": recurrent_kernel.T, "bias_ih_l0": bias}
    lstm.load_state_dict(values | {"bias_hh_l0": torch.zeros_like(bias)})
    x, targets = (torch.tensor(array).to(device) for array in (task.x, task.targets))
    lengths, real = torch.tensor(task.lengths), torch.tensor(task.mask).to(device)[..., None]
    x.requires_grad_(task.mode == "training")
    leaves = (x, lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0)

    def outputs() -> Any:
        if not is_packed:
            return torch.where(real, lstm(x)[0], 0)
        packed = lstm(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))[0]
        return pad_packed_sequence(packed, batch_first=True, total_length=x.shape[1])[0]

    def run() -> Any:
        if task.mode == "inference":
            with torch.inference_mode():
                return (outputs(),)
        y = outputs()
        return (y, *torch.autograd.grad(y, leaves, targets))

    def read(results: Any) -> Any:
        arrays = [x.detach().cpu() for x in results]
        return _read(task, [x.T if i in (2, 3) else x for i, x in enumerate(arrays)])

    return in_torch(name, run, read)
