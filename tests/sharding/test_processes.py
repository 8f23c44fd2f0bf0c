"""Real processes on this machine, which hold other rows and lengths, or nothing, and run out at other times."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "support" / "one_of_many.py"
SECONDS = 240


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_processes_agree(count):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={4 // count} --xla_backend_optimization_level=0",
        "PYTHONPATH": os.pathsep.join([str(PROGRAM.parents[2]), os.environ.get("PYTHONPATH", "")]),
    }
    started = [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), address, str(count), str(i)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(count)
    ]
    try:
        outputs = [process.communicate(timeout=SECONDS)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    for i, (process, output) in enumerate(zip(started, outputs, strict=True)):
        assert process.returncode == 0, output
        assert f"done {i}" in output
