"""What jmask costs around the arithmetic: its graph against a model written by hand, its padding against Keras.

python benchmarks/overhead.py                    prints the tables
python benchmarks/overhead.py --write            writes them to benchmarks/results/overhead.md as well
python benchmarks/overhead.py columns --write    one of padding, columns and graph, to results/overhead_columns.md

`columns` wants pyarrow, polars, pandas, awkward, datasets and torch, and leaves out what is not there.
"""

import importlib
import itertools
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"

import by_hand
import jax
import jax.numpy as jnp
import keras
import numpy as np
from timing import Timed, compiled, publish, race, table

import jmask as jm

RESULTS = Path(__file__).parent / "results" / "overhead.md"
NUM_SEQUENCES = 100_000


def graph() -> str:
    """Does a model of layers cost more than the same model written by hand with masks?"""
    model = jm.Sequential(
        [
            jm.layers.Embedding(2_000, 64),
            jm.layers.Bidirectional(jm.layers.LSTM(64, return_sequences=True)),
            jm.layers.LayerNormalization(),
            jm.layers.Dense(2),
        ]
    )
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(3.5, 0.6, 32).astype(int), 1, 128)
    x = jm.from_lengths(jnp.asarray(rng.integers(1, 2_000, (32, 128))), lengths)
    params = model.init(jax.random.key(0), x)

    def loss(params: Any, x: jm.Masked) -> jax.Array:
        return jm.ops.mean(jm.as_masked(model.apply(params, x)) ** 2)  # pyright: ignore[reportReturnType]

    forward = {"by hand": (by_hand.tagger, params, x.values, x.mask), "jmask": (model.apply, params, x)}
    gradient = {
        "by hand": (jax.grad(by_hand.loss), params, x.values, x.mask),
        "jmask": (jax.grad(loss), params, x),
    }
    parts = [
        "## The graph: a BiLSTM tagger, against the same written by hand",
        GRAPH_NOTE.format(fill=lengths.mean() / 128),
    ]
    for title, functions in (("Forward", forward), ("Gradient", gradient)):
        rivals = compiled(functions)
        _check_equal([rival.run() for rival in rivals])
        parts += [f"### {title}", table(race(rivals, rounds=31))]
    return "\n\n".join(parts)


GRAPH_NOTE = """\
32 rows of 128 steps, {fill:.0%} of them real, 64 units. Tracing and compiling: medians of 7, in turns, from empty
caches. Both give the same numbers, and both guard every layer against NaN in the padding."""


def _check_equal(results: list[Any]) -> None:
    """Both rivals do the same work; the padding of logits may hold anything."""
    by_hand, with_jmask = results
    if isinstance(with_jmask, jm.Masked):
        by_hand, with_jmask = with_jmask.with_values(by_hand).fill(0), with_jmask.fill(0)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), by_hand, with_jmask)


def padding() -> str:
    """Does `jm.pad_sequences`, which makes a mask too and checks every number, take longer than Keras without?"""
    parts = ["## `pad_sequences`: CPU time to pad, against Keras", PADDING_NOTE]
    for title, make, read in PADDING_CASES:
        sequences, options = make(np.random.default_rng(0))
        rivals = [
            Timed("Keras", _keras_padding(sequences, options)),
            Timed("jmask", lambda s=sequences, o=options: jm.pad_sequences(s, o.get("maxlen"), truncating="post")),
            Timed("reading alone", lambda s=sequences, r=read: r(s)),
        ]
        parts += [f"### {title}", table(race(rivals, clock=time.process_time))]
    return "\n\n".join(parts)


PADDING_NOTE = f"""\
{NUM_SEQUENCES:,} sequences, their lengths lognormal (sigma 0.8) within 4 to 400 steps; post padding. Keras is told the
dtype and makes no mask; jmask finds the dtype, refuses what does not fit it, and makes the mask. "Reading alone" is a
bound for both: `sum` of each list, or `np.concatenate` of the arrays, with nothing padded."""


def _token_arrays(rng: np.random.Generator, *, median: float, dtype: str) -> list[np.ndarray]:
    return [rng.integers(0, 30_000, length).astype(dtype) for length in _lengths(rng, median, NUM_SEQUENCES)]


def _lengths(rng: np.random.Generator, median: float, count: int) -> np.ndarray:
    return np.clip(rng.lognormal(np.log(median), 0.8, count).astype(int), 4, 400)


def _token_lists(rng: np.random.Generator, *, median: float, **options: Any) -> tuple[list[list[int]], dict[str, Any]]:
    return [row.tolist() for row in _token_arrays(rng, median=median, dtype="int64")], {"dtype": "int32", **options}


def _vectors(rng: np.random.Generator, dtype: str) -> tuple[list[np.ndarray], dict[str, Any]]:
    rows = [rng.normal(size=(length, 16)).astype(dtype) for length in _lengths(rng, 33, NUM_SEQUENCES // 10)]
    return rows, {"dtype": "float32"}


def _keras_padding(sequences: list[Any], options: dict[str, Any]) -> Callable[[], np.ndarray]:
    return lambda: keras.utils.pad_sequences(sequences, padding="post", truncating="post", **options)


def _sum_each(rows: list[list[int]]) -> int:
    return sum(map(sum, rows))


PADDING_CASES = [
    ("Lists of integers, 12 steps (median)", lambda rng: _token_lists(rng, median=12), _sum_each),
    ("Lists of integers, 33 steps", lambda rng: _token_lists(rng, median=33), _sum_each),
    ("Lists of integers, 33 steps, `maxlen=40`", lambda rng: _token_lists(rng, median=33, maxlen=40), _sum_each),
    (
        "Arrays of int64, 33 steps",
        lambda rng: (_token_arrays(rng, median=33, dtype="int64"), {"dtype": "int32"}),
        np.concatenate,
    ),
    (
        "Arrays of int32, 33 steps",
        lambda rng: (_token_arrays(rng, median=33, dtype="int32"), {"dtype": "int32"}),
        np.concatenate,
    ),
    ("A tenth as many arrays of 33 float32 vectors (16)", lambda rng: _vectors(rng, "float32"), np.concatenate),
    ("A tenth as many arrays of 33 float64 vectors (16)", lambda rng: _vectors(rng, "float64"), np.concatenate),
]


def columns() -> str:
    """How much faster are values and offsets of other libraries than the lists that they can be made into?"""
    parts = ["## `pad_sequences` of columns: CPU time, against lists of Python numbers", COLUMNS_NOTE]
    for median in (12, 33):
        rng = np.random.default_rng(0)
        lengths = _lengths(rng, median, NUM_ROWS)
        flat, offsets = rng.integers(0, 30_000, lengths.sum()), np.append(0, np.cumsum(lengths))
        rows = [flat[begin:end].tolist() for begin, end in itertools.pairwise(offsets)]
        expected = jm.pad_sequences(rows)
        lists: list[Timed] = [Timed("lists", lambda rows=rows: jm.pad_sequences(rows))]
        others = []
        for name, (make, as_lists) in COLUMNS.items():
            try:
                column = make(flat, offsets)
            except ImportError:
                continue
            padded = jm.pad_sequences(column)
            np.testing.assert_array_equal(padded.values, expected.values)
            np.testing.assert_array_equal(padded.mask, expected.mask)
            if not others:
                make_lists = lambda c=column, f=as_lists: jm.pad_sequences(f(c))  # noqa: E731
                lists.insert(0, Timed(f"{name}, by way of lists", make_lists))
            others.append(Timed(name, lambda c=column: jm.pad_sequences(c)))
        title = f"### {NUM_ROWS:,} sequences of {median} steps (median), {len(flat):,} in all"
        parts += [title, table(race([*lists, *others], rounds=5, clock=time.process_time))]
    return "\n\n".join(parts)


COLUMNS_NOTE = """\
Lengths lognormal (sigma 0.8) within 4 to 400 steps, values int64, which become int32. "By way of lists" is what one did
before: `column.to_pylist()`, then `pad_sequences` of the lists; "lists" are there already. All results are
checked. What is left is mostly the work of the kernel, which has to fetch each page of the padded array."""
NUM_ROWS = 300_000


def _arrow(flat: np.ndarray, offsets: np.ndarray) -> Any:
    pyarrow = importlib.import_module("pyarrow")
    return pyarrow.ListArray.from_arrays(pyarrow.array(offsets, "int32"), pyarrow.array(flat))


def _chunks(flat: np.ndarray, offsets: np.ndarray) -> Any:
    column = _arrow(flat, offsets)
    return importlib.import_module("pyarrow").chunked_array([column[: NUM_ROWS // 2], column[NUM_ROWS // 2 :]])


def _pandas(flat: np.ndarray, offsets: np.ndarray) -> Any:
    pandas = importlib.import_module("pandas")
    return pandas.Series(pandas.arrays.ArrowExtensionArray(_arrow(flat, offsets)))


def _datasets(flat: np.ndarray, offsets: np.ndarray) -> Any:
    table = importlib.import_module("pyarrow").table({"ids": _arrow(flat, offsets)})
    return importlib.import_module("datasets").Dataset(table)["ids"]


def _jagged(flat: np.ndarray, offsets: np.ndarray) -> Any:
    torch = importlib.import_module("torch")
    return torch.nested.nested_tensor_from_jagged(torch.from_numpy(flat), torch.from_numpy(offsets))


COLUMNS: dict[str, tuple[Callable[[np.ndarray, np.ndarray], Any], Callable[[Any], list]]] = {
    "pyarrow ListArray": (_arrow, lambda column: column.to_pylist()),
    "pyarrow ChunkedArray": (_chunks, lambda column: column.to_pylist()),
    "polars Series": (lambda f, o: importlib.import_module("polars").from_arrow(_arrow(f, o)), lambda c: c.to_list()),
    "pandas Series of Arrow lists": (_pandas, lambda column: column.tolist()),
    "column of `datasets`": (_datasets, lambda column: column[:]),
    "awkward Array": (
        lambda flat, offsets: importlib.import_module("awkward").unflatten(flat, np.diff(offsets)),
        lambda array: array.to_list(),
    ),
    "torch nested tensor, jagged": (_jagged, lambda tensor: [row.tolist() for row in tensor.unbind()]),
}


def main(arguments: list[str]) -> None:
    unknown = set(arguments) - {"--write", *SECTIONS}
    if unknown:
        sys.exit(f"Unknown arguments: {' '.join(sorted(unknown))}.\n{__doc__}")
    names = [name for name in SECTIONS if name in arguments]
    report = "\n\n".join([_heading(arguments), *(SECTIONS[name]() for name in names or SECTIONS)]) + "\n"
    results = RESULTS.with_name("_".join([RESULTS.stem, *names]) + RESULTS.suffix)
    publish(report, results, write="--write" in arguments)


def _heading(arguments: list[str]) -> str:
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}, jax {jax.__version__}"
    return (
        "# What jmask costs around the arithmetic\n\n"
        f"`python benchmarks/overhead.py {' '.join(arguments)}`, {os.cpu_count()} CPU cores, {versions}, "
        f"Keras {keras.__version__}. Medians; a ratio below 1 is faster than the first row."
    )


SECTIONS = {"padding": padding, "columns": columns, "graph": graph}

if __name__ == "__main__":
    main(sys.argv[1:])
