"""What `jm.vmap` costs: a function of one sequence, against the same written for a padded batch, masks and all.

python benchmarks/vmap.py                     prints the tables; takes some minutes
python benchmarks/vmap.py --write             writes them to benchmarks/results/vmap.md as well
python benchmarks/vmap.py --functions Conv1D --rounds 3 --repeats 1     a short run

Before they are timed, outputs and gradients of `jm.vmap` are compared with those of the model written by hand; the run
fails if they differ.
"""

import argparse
import functools
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import by_hand
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from timing import Timing, compiled, publish, race

import jmask as jm

RESULTS = Path(__file__).parent / "results" / "vmap.md"
BATCH, STEPS, FEATURES = 32, 128, 64
HEADS, TAGS, KERNEL = 4, 16, 5
MODES = ("forward", "gradient")

METHOD = f"""\
{BATCH} rows of up to {STEPS} steps, padded on the right, half of them real; {FEATURES} features; float32. `jm.vmap` and
`jax.vmap` are given one function of one sequence. "By hand" is the same model written for the padded batch: it masks
softmax, means, the input of the convolution and the state of the scan, and gives zeros in the padding, as `jm.vmap`
does; unlike `jm.vmap` it trusts padding to be free of NaN. `jax.vmap` has no masks: its results are wrong wherever
steps meet. Gradients are those of the sum of squares, with respect to parameters and inputs.
Times are medians over rounds, in turns (A B C, C B A), of the medians of each turn; those of tracing and compiling are
medians from empty caches, in turns as well. Aim: at most 1.10 times by hand."""


def normalise(params: Any, x: Any) -> Any:
    return (x - x.mean(0)) * lax.rsqrt(x.var(0) + 1e-6) * params["gamma"] + params["beta"]


def normalise_by_hand(params: Any, x: Any, mask: Any) -> Any:
    real, count = mask[..., None], mask.sum(1)[:, None, None]
    centred = jnp.where(real, x - jnp.where(real, x, 0).sum(1, keepdims=True) / count, 0)
    variance = jnp.square(centred).sum(1, keepdims=True) / count
    return jnp.where(real, centred * lax.rsqrt(variance + 1e-6) * params["gamma"] + params["beta"], 0)


def attention(params: Any, x: Any) -> Any:
    query, key, value = (x @ params[name] for name in ("query", "key", "value"))
    return jax.nn.softmax(query @ key.T / FEATURES**0.5) @ value


def attention_by_hand(params: Any, x: Any, mask: Any) -> Any:
    query, key, value = (x @ params[name] for name in ("query", "key", "value"))
    scores = jnp.einsum("bqf,bkf->bqk", query, key) / FEATURES**0.5
    weights = jax.nn.softmax(jnp.where(mask[:, None], scores, -1e30))
    return jnp.where(mask[..., None], weights @ value, 0)


def lstm(params: Any, x: Any, reverse: bool = False) -> Any:
    projected = x @ params["kernel"] + params["bias"]

    def step(state: Any, z: Any) -> Any:
        hidden, cell = state
        i, f, g, o = jnp.split(z + hidden @ params["recurrent_kernel"], 4)
        cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
        return (hidden, cell), hidden

    zeros = jnp.zeros_like(projected[0, :FEATURES])
    return lax.scan(step, (zeros, zeros), projected, reverse=reverse)[1]


def conv(params: Any, x: Any) -> Any:
    found = lax.conv_general_dilated(x[None], params["kernel"], (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))
    return found[0] + params["bias"]


def conv_by_hand(params: Any, x: Any, mask: Any) -> Any:
    real = mask[..., None]
    x = jnp.where(real, x, 0)
    found = lax.conv_general_dilated(x, params["kernel"], (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))
    return jnp.where(real, found + params["bias"], 0)


def encoder(params: Any, x: Any) -> Any:
    h = by_hand.layer_norm(params["first_norm"], x)
    query, key, value = (_heads(h @ params[name]) for name in ("query", "key", "value"))
    weights = jax.nn.softmax(jnp.einsum("qhf,khf->hqk", query, key) / (FEATURES / HEADS) ** 0.5)
    x = x + jnp.einsum("hqk,khf->qhf", weights, value).reshape(x.shape) @ params["output"]
    return x + _mlp(params, by_hand.layer_norm(params["second_norm"], x))


def encoder_by_hand(params: Any, x: Any, mask: Any) -> Any:
    h = by_hand.layer_norm(params["first_norm"], x)
    query, key, value = (_heads(h @ params[name]) for name in ("query", "key", "value"))
    scores = jnp.einsum("bqhf,bkhf->bhqk", query, key) / (FEATURES / HEADS) ** 0.5
    weights = jax.nn.softmax(jnp.where(mask[:, None, None], scores, -1e30))
    x = x + jnp.einsum("bhqk,bkhf->bqhf", weights, value).reshape(x.shape) @ params["output"]
    return jnp.where(mask[..., None], x + _mlp(params, by_hand.layer_norm(params["second_norm"], x)), 0)


def _heads(x: Any) -> Any:
    return x.reshape(*x.shape[:-1], HEADS, FEATURES // HEADS)


def _mlp(params: Any, x: Any) -> Any:
    return jax.nn.gelu(x @ params["up"]) @ params["down"]


def tagger(params: Any, x: Any) -> Any:
    h = jnp.concatenate([lstm(params["forward"], x), lstm(params["backward"], x, reverse=True)], axis=-1)
    return by_hand.layer_norm(params["norm"], h) @ params["tags"]


def tagger_by_hand(params: Any, x: Any, mask: Any) -> Any:
    forward = by_hand.lstm(params["forward"], x, mask, reverse=False)
    backward = by_hand.lstm(params["backward"], x, mask, reverse=True)
    h = jnp.concatenate([forward, backward], axis=-1)
    return jnp.where(mask[..., None], by_hand.layer_norm(params["norm"], h) @ params["tags"], 0)


_NORM = {"gamma": (FEATURES,), "beta": (FEATURES,)}
_NORMS = {"first_norm": _NORM, "second_norm": _NORM}
_ATTENTION = dict.fromkeys(("query", "key", "value"), (FEATURES, FEATURES))
_LSTM = {"kernel": (FEATURES, 4 * FEATURES), "recurrent_kernel": (FEATURES, 4 * FEATURES), "bias": (4 * FEATURES,)}
_MLP = {"up": (FEATURES, 4 * FEATURES), "down": (4 * FEATURES, FEATURES)}

SHAPES: dict[str, Any] = {
    "Mean-variance normalise": _NORM,
    "Softmax attention": _ATTENTION,
    "LSTM": _LSTM,
    "Conv1D": {"kernel": (KERNEL, FEATURES, FEATURES), "bias": (FEATURES,)},
    "Transformer encoder block": _ATTENTION | _MLP | {"output": (FEATURES, FEATURES)} | _NORMS,
    "BiLSTM tagger": {
        "forward": _LSTM,
        "backward": _LSTM,
        "norm": {"gamma": (2 * FEATURES,), "beta": (2 * FEATURES,)},
        "tags": (2 * FEATURES, TAGS),
    },
}
_lstm_by_hand = functools.partial(by_hand.lstm, reverse=False)
_FUNCTIONS = (normalise, attention, lstm, conv, encoder, tagger)
_ALL_BY_HAND = (normalise_by_hand, attention_by_hand, _lstm_by_hand, conv_by_hand, encoder_by_hand, tagger_by_hand)
ONE = dict(zip(SHAPES, _FUNCTIONS, strict=True))
BY_HAND = dict(zip(SHAPES, _ALL_BY_HAND, strict=True))


def rivals(name: str, mode: str) -> dict[str, Callable[..., Any]]:
    """Functions of parameters, values and mask, which give values with zeros in the padding, or gradients."""
    one = ONE[name]

    def with_jmask(params: Any, values: Any, mask: Any) -> Any:
        return jm.vmap(one, in_axes=(None, 0))(params, jm.masked(values, mask)).values

    def with_jax(params: Any, values: Any, mask: Any) -> Any:
        return jax.vmap(one, in_axes=(None, 0))(params, values)

    functions = {"by hand": BY_HAND[name], "jm.vmap": with_jmask, "jax.vmap": with_jax}
    return functions if mode == "forward" else {who: _gradient(function) for who, function in functions.items()}


def _gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    return jax.grad(lambda params, values, mask: jnp.square(function(params, values, mask)).sum(), argnums=(0, 1))


def make_arguments(name: str) -> tuple[Any, Any, Any]:
    """Parameters, values with numbers in their padding, and a mask of which half is True."""
    rng = np.random.default_rng(0)
    shapes, structure = jax.tree.flatten(SHAPES[name], is_leaf=lambda x: isinstance(x, tuple))
    leaves = [rng.normal(size=shape) / FEATURES**0.5 for shape in shapes]
    lengths = rng.permutation(np.linspace(1, STEPS - 1, BATCH).round().astype(int))
    values = rng.normal(size=(BATCH, STEPS, FEATURES))
    params, values = jax.tree.map(jnp.float32, (structure.unflatten(leaves), values))
    return params, values, jnp.arange(STEPS) < lengths[:, None]


def measure(name: str, mode: str, options: argparse.Namespace) -> dict[str, Timing]:
    """Compares what the rivals compute, then races them."""
    arguments = make_arguments(name)
    functions = {who: (function, *arguments) for who, function in rivals(name, mode).items()}
    timed = compiled(functions, repeats=options.repeats)
    expected, found = timed[0].run(), timed[1].run()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-4), expected, found)
    timings = race(timed, rounds=options.rounds, seconds_a_turn=options.seconds)
    return {timing.name: timing for timing in timings}


EAGER: dict[str, Callable[..., Any]] = {
    "sum": jnp.sum,
    "normalise": lambda x: (x - x.mean()) / jnp.sqrt(x.var() + 1e-3),
    "softmax": jax.nn.softmax,
    "ReLU and sum": lambda x: jax.nn.relu(2 * x).sum(),
}


def eager(repeats: int) -> Iterator[str]:
    """Markdown: a call outside `jax.jit` after the first ones, in milliseconds; the best of several."""
    x = jm.from_lengths(jnp.linspace(1.0, 2.0, 32).reshape(8, 4), [4, 2, 1, 3, 4, 4, 4, 0])
    yield "## Calls outside `jax.jit`"
    yield "Small functions of 8 sequences of up to 4 numbers. Aim: at most 3 times `jax.vmap`, and nothing compiled.\n"
    lines = ["| | | jm.vmap, ms | jax.vmap, ms | jm.vmap / jax.vmap |", "|---|---|--:|--:|--:|"]
    for name, fn in EAGER.items():
        rivals: tuple[Callable[..., Any], ...] = (
            lambda v, fn=fn: jm.vmap(fn)(x.with_values(v)),
            lambda v, fn=fn: jax.vmap(fn)(v),
        )
        for mode in MODES:
            ours, theirs = (_best(run if mode == "forward" else _slope(run), x.values, repeats) for run in rivals)
            lines.append(f"| {name} | {mode} | {ours * 1e3:.2f} | {theirs * 1e3:.2f} | {ours / theirs:.1f} |")
    yield "\n".join(lines)


def _slope(run: Callable[..., Any]) -> Callable[..., Any]:
    return jax.grad(lambda v: jnp.square(jax.tree.leaves(run(v))[0]).sum())


def _best(run: Callable[..., Any], values: Any, repeats: int) -> float:
    times = []
    for _ in range(2 + 10 * repeats):
        start = time.perf_counter()
        jax.block_until_ready(run(values))
        times.append(time.perf_counter() - start)
    return min(times)


def tables(cases: dict[tuple[str, str], dict[str, Timing]]) -> Iterator[str]:
    """Markdown: what running takes, and what tracing and compiling take, in milliseconds."""
    yield "## Running"
    yield _table(cases, {"run": ".2f"})
    yield "## Tracing (and lowering), and compiling"
    yield _table(cases, {"trace": ".0f", "compile": ".0f"})


def _table(cases: dict[tuple[str, str], dict[str, Timing]], columns: dict[str, str]) -> str:
    heads = ("{}: by hand, ms", "jm.vmap, ms", "jax.vmap, ms", "jm.vmap / by hand", "jm.vmap / jax.vmap")
    named = [head.format(column) for column in columns for head in heads]
    lines = ["| | | " + " | ".join(named) + " |", "|---|---|" + "--:|" * len(named)]
    for (name, mode), case in cases.items():
        cells = [name, mode]
        for column, form in columns.items():
            times = {who: getattr(timing, column) for who, timing in case.items()}
            cells += [format(seconds * 1e3, form) for seconds in times.values()]
            cells += [f"{times['jm.vmap'] / times[other]:.2f}" for other in ("by hand", "jax.vmap")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    options = _options(arguments)
    cases = {}
    for name in options.functions:
        for mode in MODES:
            cases[name, mode] = measure(name, mode, options)
            times = ", ".join(f"{who} {timing.run * 1e3:.2f} ms" for who, timing in cases[name, mode].items())
            print(f"{name}, {mode}: {times}", file=sys.stderr, flush=True)
    report = "\n\n".join([_heading(arguments), *tables(cases), *eager(options.repeats)]) + "\n"
    publish(report, RESULTS, write=options.write)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--functions", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--rounds", type=int, default=51)
    parser.add_argument("--seconds", type=float, default=0.05, help="of a rival's turn, at least")
    parser.add_argument("--repeats", type=int, default=3, help="times that each is traced and compiled")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args(arguments)


def _heading(arguments: Sequence[str]) -> str:
    versions = f"Python {platform.python_version()}, jax {jax.__version__}"
    command = " ".join(["python benchmarks/vmap.py", *(repr(a) if " " in a else a for a in arguments)])
    return (
        "# What `jm.vmap` costs\n\n"
        f"`{command}`, {os.cpu_count()} CPU cores, {jax.default_backend()}, {versions}, "
        f"load {os.getloadavg()[0]:.1f}.\n\n{METHOD}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
