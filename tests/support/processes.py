"""Starts programs that are several processes of one job, on this machine."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 240  # after which a job is taken to hang


def start(program: str | Path, count: int, devices: int, arguments: Sequence[Sequence[str]], **variables: str):
    """Starts the processes of a job; `program ADDRESS COUNT INDEX` is followed by the arguments of each."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        **variables,
    }
    return [
        subprocess.Popen(
            [sys.executable, str(program), address, str(count), str(i), *arguments[i]],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(count)
    ]


def outputs_of(job: Sequence[subprocess.Popen]) -> list[str]:
    """What all of them print; none outlives this."""
    try:
        return [process.communicate(timeout=SECONDS)[0] for process in job]
    finally:
        for process in job:
            process.kill()
