"""What masks cost around the model: padding on the host, measured against Keras.

python benchmarks/overhead.py            prints the tables
python benchmarks/overhead.py --write    writes them to benchmarks/results/overhead.md as well
"""

import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import numpy as np
from timing import Rival, race, table

import jmask as jm

RESULTS = Path(__file__).parent / "results" / "overhead.md"
NUM_SEQUENCES = 100_000


def padding() -> str:
    """Does `jm.pad_sequences`, which makes a mask too and checks every number, take longer than Keras without?"""
    parts = ["## `pad_sequences`: time to pad, against Keras", PADDING_NOTE]
    for title, make, read in PADDING_CASES:
        sequences, options = make(np.random.default_rng(0))
        rivals = [
            Rival("Keras", _keras_padding(sequences, options)),
            Rival("jmask", lambda s=sequences, o=options: jm.pad_sequences(s, o.get("maxlen"))),
            Rival("reading alone", lambda s=sequences, r=read: r(s)),
        ]
        parts += [f"### {title}", table(race(rivals))]
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


def main(arguments: list[str]) -> None:
    unknown = set(arguments) - {"--write"}
    if unknown:
        sys.exit(f"Unknown arguments: {' '.join(sorted(unknown))}.\n{__doc__}")
    report = "\n\n".join([_heading(arguments), *(section() for section in SECTIONS)]) + "\n"
    print(report)
    if "--write" in arguments:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(report)


def _heading(arguments: list[str]) -> str:
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}, jax {jax.__version__}"
    return (
        "# What masks cost around the model\n\n"
        f"`python benchmarks/overhead.py {' '.join(arguments)}`, {os.cpu_count()} CPU cores, {versions}, "
        f"Keras {keras.__version__}. Medians; a ratio below 1 is faster than the first row."
    )


SECTIONS = [padding]

if __name__ == "__main__":
    main(sys.argv[1:])
