"""`examples/train_many.py` as one of several processes, for tests that stop it.

python training_of_many.py ADDRESS COUNT INDEX FOLDER [SIGNAL STEP WHERE]

prints the steps it began and ended with, and a hash of its state. The process of index 1 sends itself the signal at a
step: "before" it is logged, or "after", when a checkpoint of it is being written. From then on a step takes long enough
for the processes to settle when to stop.
"""

import hashlib
import importlib.util
import os
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jmask import train

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_many.py"
EPOCHS, EVERY, SEQUENCES = 4, 3, 240


def example() -> Any:
    """The example as a module."""
    specification: Any = importlib.util.spec_from_file_location("train_many", EXAMPLE)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def main(folder: str, number: int = 0, at: int = 1 << 30, where: str = "before") -> str:
    """What is printed."""
    log, restore, first = train.Run.log, train.Run.restore, []

    def restored(run, state, *args, **options):
        state, epochs = restore(run, state, *args, **options)
        first.append(int(state.step))
        return state, epochs

    def logged(run, sums, state):
        signalled = jax.process_index() == 1 and int(state.step) == at
        if signalled and where == "before":
            os.kill(os.getpid(), number)
        log(run, sums, state)
        if signalled and where == "after":
            os.kill(os.getpid(), number)
        if state.step >= at:
            time.sleep(0.5)

    train.Run.log, train.Run.restore = logged, restored
    state = example().main(folder, EPOCHS, EVERY, SEQUENCES)
    leaves = jax.tree.leaves(state.replace(key=jax.random.key_data(state.key)))
    digest = hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves)).hexdigest()
    return f"{first[0]} {int(state.step)} {digest}"


if __name__ == "__main__":
    address, count, index, folder, *stop = sys.argv[1:]
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, int(count), int(index))
    print(main(folder, *map(int, stop[:2]), *stop[2:]))
