"""What a second device costs: gradients on a mesh of 8 virtual devices, and on one of them, beside the best there is.

python benchmarks/scale.py              prints the tables; takes some minutes
python benchmarks/scale.py --write      writes them to benchmarks/results/scale.md as well
python benchmarks/scale.py --models lstm --rounds 5     a short run

Each round times every program once, every other round in reverse order; a process of its own, which sees one device,
takes its turns with the others.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={1 if '--alone' in sys.argv else 8} "
os.environ["XLA_FLAGS"] += "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from timing import publish

import jmask as jm

RESULTS = Path(__file__).parent / "results" / "scale.md"
ROWS, TIME, FEATURES, UNITS, HEADS = 64, 128, 32, 64, 4
MODELS = ("lstm", "gru", "simple_rnn", "attention")
TARGETS = {"mesh": 0.95, "one": 0.97}  # of the speed

METHOD = """\
Gradients of a sum of squares with respect to inputs and weights; {rows} rows of {time} steps, {real:.0%} of them real,
{units} units. CPU time of the process, medians over {rounds} rounds; a ratio is the median over the rounds of the other
program's time over jmask's, so 1.00 is the same speed. Wanted: {mesh} on the mesh, {one} on one device. "Alone" is a
process that sees one device, with as many threads; the `shard_map` beside it is one over one device."""


def main(arguments: Sequence[str]) -> None:
    options = _options(arguments)
    if options.alone:
        _serve(*_gradient(options.models[0], "auto"))
        return
    real = float(_batch().mask.mean())
    method = METHOD.format(rows=ROWS, time=TIME, units=UNITS, real=real, rounds=options.rounds, **TARGETS)
    lines = [
        "| | mesh of 8, ms | `shard_map` / it | plain program / it | one of 8, ms | `shard_map` / it | alone / it |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for model in options.models:
        lines.append(_row(model, options.rounds))
        print(lines[-1], file=sys.stderr, flush=True)
    publish("\n\n".join([_heading(arguments), method, "\n".join(lines)]) + "\n", RESULTS, write=options.write)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--rounds", type=int, default=51)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _row(model: str, rounds: int) -> str:
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    gradient, (weights, x) = _gradient(model, "auto")
    divided = jax.device_put(weights, NamedSharding(mesh, P())), jax.device_put(x, NamedSharding(mesh, P("data")))
    plain = {"attention": "xla"}.get(model, "scan")
    mapped = jax.shard_map(
        lambda weights, x: _summed(*gradient(weights, x)),
        mesh=mesh,
        in_specs=(P(), P("data")),
        out_specs=(P(), P("data")),
        check_vma=False,  # so that the sum over devices is the one below, and none besides
    )
    with _alone(model) as alone:
        programs = {
            "mesh": _timed(gradient, *divided),
            "shard_map": _timed(mapped, *divided),
            "plain": _timed(_gradient(model, plain)[0], *divided),
            "one": _timed(gradient, weights, x),
            "engine": _timed(_on_one(gradient), weights, x),
            "alone": alone.seconds,
        }
        seconds = _race(programs, rounds)
    median = {name: statistics.median(times) for name, times in seconds.items()}

    def ratio(other: str, own: str) -> str:
        return f"{statistics.median(b / a for a, b in zip(seconds[own], seconds[other], strict=True)):.2f}"

    mesh_ms, one_ms = (f"{1e3 * median[name]:.1f}" for name in ("mesh", "one"))
    on_mesh, on_one = (
        (ratio("shard_map", "mesh"), ratio("plain", "mesh")),
        (ratio("engine", "one"), ratio("alone", "one")),
    )
    cells = (mesh_ms, *on_mesh, one_ms, *on_one)
    return f"| {model} | {' | '.join(cells)} |"


def _on_one(gradient: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Under a `shard_map` over one device, where nothing has to be divided."""
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:1])
    return jax.shard_map(gradient, mesh=mesh, in_specs=P(), out_specs=P(), check_vma=False)


def _summed(by_weight: Any, by_inputs: Any) -> Any:
    return jax.lax.psum(by_weight, "data"), by_inputs


def _race(programs: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(rounds):
        for name in programs if turn % 2 else reversed(list(programs)):
            seconds[name].append(programs[name]())
    return seconds


def _batch() -> jm.Masked:
    rng = np.random.default_rng(0)
    lengths = np.clip((rng.exponential(0.33, ROWS) * TIME).astype(int), 1, TIME)
    return jm.from_lengths(jnp.asarray(rng.normal(size=(ROWS, TIME, FEATURES)), jnp.float32), jnp.asarray(lengths))


def _gradient(model: str, implementation: Any) -> tuple[Callable[[Any, Any], Any], tuple[Any, Any]]:
    """`(weights, x) -> (weights, inputs)`, the gradients, and its arguments."""
    x = _batch()
    if model == "attention":
        weights = {name: _drawn(FEATURES, HEADS, UNITS // HEADS) for name in ("query", "key", "value")}
    else:
        name, gates = {"lstm": ("LSTMParams", 4), "gru": ("GRUParams", 3), "simple_rnn": ("SimpleRNNParams", 1)}[model]
        bias = jnp.zeros((2, gates * UNITS) if model == "gru" else gates * UNITS)
        weights = getattr(jm.rnn, name)(_drawn(FEATURES, gates * UNITS), _drawn(UNITS, gates * UNITS), bias)

    def loss(weights: Any, values: Any, x: jm.Masked) -> Any:
        y: Any
        inputs = x.with_values(values)
        if model == "attention":
            q, k, v = (inputs.with_values(jnp.einsum("btf,fhd->bthd", inputs.fill(0), w)) for w in weights.values())
            y = jm.ops.attention(
                q, key=k, value=v, implementation="blocks" if implementation == "auto" else implementation
            )
        else:
            y = getattr(jm.rnn, model)(weights, inputs, return_state=False, implementation=implementation)
        return jnp.square(y.fill(0)).sum()

    return lambda weights, x: jax.grad(loss, (0, 1))(weights, x.values, x), (weights, x)


def _drawn(*shape: int) -> jax.Array:
    return 0.1 * jax.random.normal(jax.random.key(sum(shape)), shape)


def _timed(function: Callable[..., Any], *args: Any) -> Callable[[], float]:
    """The CPU seconds of a run of the compiled function, which has run once before."""
    program = jax.jit(function).lower(*args).compile()
    jax.block_until_ready(program(*args))

    def seconds() -> float:
        start = time.process_time()
        jax.block_until_ready(program(*args))
        return time.process_time() - start

    return seconds


class _alone:  # noqa: N801  (a context manager, used as a function)
    """A process that sees one device and runs a program when asked to."""

    def __init__(self, model: str) -> None:
        command = [sys.executable, __file__, "--alone", "--models", model]
        threads = {"NPROC": "8"}  # as many as XLA starts for 8 devices
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, env=os.environ | threads, **pipes)

    def __enter__(self) -> "_alone":
        return self

    def __exit__(self, *_: Any) -> None:
        self._process.communicate()

    def seconds(self) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


def _serve(function: Callable[..., Any], args: Any) -> None:
    seconds = _timed(function, *args)
    for _ in sys.stdin:
        print(seconds(), flush=True)


def _heading(arguments: Sequence[str]) -> str:
    command = " ".join(["python benchmarks/scale.py", *arguments])
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}, jax {jax.__version__}"
    load = f"{os.cpu_count()} CPU cores, load {os.getloadavg()[0]:.1f}"
    return f"# A second device\n\n`{command}`, {load}, {versions}."


if __name__ == "__main__":
    main(sys.argv[1:])
