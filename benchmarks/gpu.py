"""What a GPU must show: attention, LSTMs and training steps, each right, and beside `jax.nn`, cuDNN and PyTorch.

python benchmarks/gpu.py --write            about ten minutes; prints as it goes, writes benchmarks/results/gpu.md
python benchmarks/gpu.py attention          one of exact, attention, recurrent, training
python benchmarks/gpu.py --small            whether it works, on any device

Needs jax, flax, optax and, for the rivals of that name, torch. A case that would begin after `--minutes` is left out.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args, get_type_hints

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs memory too
sys.path.insert(0, str(Path(__file__).parents[1]))  # jmask may not be installed there

import jax
from on_gpu import attention, exact, recurrent, training
from on_gpu.case import Case, measured, table
from timing import versions

import jmask as jm

RESULTS = Path(__file__).parent / "results" / "gpu.md"
SECTIONS = ("exact", "attention", "recurrent", "training")

METHOD = """\
Each rival is compared with the same computation in exactly multiplied float32 before it is timed; "error" is its
largest difference at a real step, as a part of the largest value. Times are medians over rounds, in turns (A B C, C B
A); a ratio is a rival's time over that of the first row: above 1, the first is faster. Products of float32 are in
whatever precision each library chooses by default. "Temporary" is what the compiled program says (JAX), or how far one
run raises the allocated memory (PyTorch). PyTorch's block masks and flat steps are made beforehand."""


def main(arguments: Sequence[str]) -> None:
    options = _options(arguments)
    end = time.monotonic() + 60 * options.minutes
    parts = [_heading(arguments)]
    print(parts[0], flush=True)
    for case in _cases(options):
        left_out = time.monotonic() > end
        parts.append(f"### {case.title}\n\nLeft out: no time." if left_out else table(case, measured(case)))
        print(f"\n{parts[-1]}", flush=True)
        if options.write:  # after each case, since the machine may be taken away
            RESULTS.write_text("\n\n".join(parts) + "\n")
    if any("| WRONG |" in part for part in parts):
        sys.exit("A rival computes something else.")


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    options.sections = options.sections or SECTIONS
    if unknown := set(options.sections) - set(SECTIONS):
        parser.error(f"no section is named {unknown.pop()!r}; there are {', '.join(SECTIONS)}.")
    return options


def _cases(options: argparse.Namespace) -> Iterator[Case]:
    modules = {"recurrent": recurrent, "training": training}
    for name in options.sections:
        if name == "exact":
            yield from exact.cases(_implementations())
        elif name == "attention":
            yield from attention.cases(attention.SMALL if options.small else attention.WORKS, _implementations())
        else:
            yield from modules[name].cases(modules[name].SMALL if options.small else modules[name].WORKS)


def _implementations() -> list[str | None]:
    """Those of `jm.ops.attention`, the default first."""
    hint = get_type_hints(jm.ops.attention)["implementation"]
    literals = [value for kind in (hint, *get_args(hint)) for value in get_args(kind)]
    return [None, *(value for value in literals if isinstance(value, str) and value != "auto")]


def _heading(arguments: Sequence[str]) -> str:
    device = jax.devices()[0]
    return (
        f"# On {device.device_kind}\n\n`{' '.join(['python benchmarks/gpu.py', *arguments])}`, "
        f"{versions('jax', 'flax', 'optax', 'torch')}.\n\n{METHOD}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
