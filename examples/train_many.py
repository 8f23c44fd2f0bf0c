"""Trains a tagger on all devices of all processes: of one machine or of many, by the same program.

    python examples/train_many.py runs/many                                 # the devices of this machine
    python examples/train_many.py runs/many --join localhost:9000 2 0 &     # one of two processes,
    python examples/train_many.py runs/many --join localhost:9000 2 1       # and the other
    srun python examples/train_many.py runs/many --join                     # a launcher that JAX knows tells the rest

Started again, it goes on from the last checkpoint, on as many devices as there are then. docs/scale.md has recipes for
launchers.
"""

import argparse
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jmask as jm
from jmask import data, train


def tagged_numbers(count: int, seed: int) -> data.Ragged:
    """Sequences of digits; the tag of a digit is whether the two before it are smaller."""
    rng = np.random.default_rng(seed)
    digits = [rng.integers(1, 10, length) for length in rng.integers(1, 33, count)]
    before = [np.concatenate([[0, 0], sequence]) for sequence in digits]
    tags = [(row[2:] > row[1:-1]) & (row[2:] > row[:-2]) for row in before]
    return data.Ragged(words=digits, tags=[tag.astype(np.int32) for tag in tags])


def main(directory: str, epochs: int = 4, every: int = 20, sequences: int = 2000, devices: int | None = None) -> Any:
    """Trains, and returns the last state.

    Args:
        directory: of the run: checkpoints and logs; all processes see the same one.
        epochs: number of epochs in all, with those before a restart.
        every: a checkpoint after so many steps, besides that of each epoch.
        sequences: size of the corpus.
        devices: how many to use; None: all of them.
    """
    chosen = jax.devices()[:devices]
    mesh = jax.make_mesh((len(chosen),), ("data",), axis_types=(AxisType.Auto,), devices=chosen)
    rows, everywhere = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
    # Rows that do not follow from the number of devices: on others the same batches come, and the run can go on there.
    batches = data.batches(tagged_numbers(sequences, 0), data.packed(row_length=64, rows=16), seed=0, sharding=rows)
    held_out = data.batches(tagged_numbers(200, 1), data.padded(rows=40), seed=0, epochs=1, sharding=rows)

    model = jm.Sequential(
        [
            jm.Input((None,), "int32"),
            jm.layers.Embedding(10, 16),
            jm.layers.Conv1D(32, 3, padding="causal", activation="relu"),
            jm.layers.Dense(2),
        ]
    )

    def loss(params: Any, batch: Any) -> Any:
        logits = model.apply(params, batch["words"])
        return jm.losses.softmax_cross_entropy_with_integer_labels(logits, batch["tags"], divide=False)

    @jax.jit
    def score(params: Any, batch: Any) -> Any:
        return jm.metrics.accuracy(model.apply(params, batch["words"]), batch["tags"])

    step = train.step(loss, optax.adam(1e-2))
    begin = jax.jit(lambda key: step.init(model.init(key), jax.random.fold_in(key, 1)), out_shardings=everywhere)
    state = begin(jax.random.key(0))

    with train.Run(directory, best="accuracy", every=every) as run:
        state, remaining = run.restore(state, batches, epochs=epochs)
        for epoch in remaining:
            for batch in epoch:
                state, sums = step(state, batch)
                run.log(sums, state)
            if run.save(state, accuracy=sum(score(state.params, batch) for batch in held_out)):
                break
    return state


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument(
        "--join",
        nargs="*",
        metavar=("ADDRESS", "PROCESSES INDEX"),
        help="the other processes: the address of the first, their number, and which this is; nothing where the "
        "launcher tells JAX",
    )
    options = parser.parse_args()
    if options.join:
        address, count, index = options.join
        jax.distributed.initialize(address, int(count), int(index))
    elif options.join is not None:
        jax.distributed.initialize()
    main(options.directory, options.epochs)
