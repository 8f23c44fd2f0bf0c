"""Resident memory of one rival's training step, in a process of its own: for those whose compiler says nothing.

python benchmarks/rnn_memory.py "PyTorch padded" W1 lstm 0.35
"""

import ctypes
import gc
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import jax
from rivals import rivals_at
from rivals.task import WORKLOADS, CellKind, make_task

NUM_STEPS = 3


class Resident(NamedTuple):
    """In bytes.

    Attributes:
        step: how far `NUM_STEPS` training steps raise the resident memory above what a first one left behind.
        process: the peak of the whole process, imports and compiler included. (Not `ru_maxrss`: a new process has that
            of its parent.)
    """

    step: int
    process: int


def resident(name: str, workload: str, cell: CellKind, fill: float) -> Resident:
    """Asks a new process."""
    command = [sys.executable, __file__, name, workload, cell, str(fill)]
    return Resident(**json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def measure(name: str, workload: str, cell: CellKind, fill: float) -> Resident:
    task = make_task(WORKLOADS[workload], cell, "training", fill)
    (rival,) = (c for c in rivals_at(task, [name]) if c.name == name)
    jax.block_until_ready(rival.run())
    process = _status("VmHWM")
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = _status("VmRSS")
    for _ in range(NUM_STEPS):
        jax.block_until_ready(rival.run())
    return Resident(_status("VmHWM") - before, max(process, _status("VmHWM")))


def _status(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise OSError(f"/proc/self/status has no {field}; resident memory is measured on Linux alone.")
    return int(found[1]) * 1024


if __name__ == "__main__":
    rival, workload, cell, fill = sys.argv[1:]
    print(json.dumps(measure(rival, workload, "gru" if cell == "gru" else "lstm", float(fill))._asdict()))
