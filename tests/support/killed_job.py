"""A training for tests that kill it: `python killed_job.py FOLDER PLAN [KILL_AT [WHERE]]` prints a hash of its state.

WHERE is "step" (right after a step) or "save" (in the middle of writing a checkpoint). Each process keeps compiled
programs in the folder that `JAX_COMPILATION_CACHE_DIR` names.
"""

import hashlib
import os
import signal
import sys

import jax
import numpy as np
import optax

import jmask as jm
from jmask import data, train

PLANS = {
    "padded": lambda: data.padded(rows=4),
    "buckets": lambda: data.buckets(2, tokens=24),
    "packed": lambda: data.packed(row_length=12, rows=2),
}
ACCUMULATE, EVERY, EPOCHS = 3, 2, 3


def main(folder: str, plan: str, kill_at: int = 0, where: str = "step") -> str:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 11, 31)
    corpus = data.Ragged(
        words=[rng.integers(1, 20, n).astype(np.int32) for n in lengths],
        tags=[rng.integers(0, 3, n).astype(np.int32) for n in lengths],
    )
    batches = data.batches(corpus, PLANS[plan](), seed=1)
    model = jm.Sequential(
        [jm.Input((None,), "int32"), jm.layers.Embedding(20, 4), jm.layers.Dropout(0.1), jm.layers.Dense(3)]
    )

    def loss(params, batch, key):
        logits = model.apply(params, batch["words"], training=True, key=key)
        mean = jm.losses.softmax_cross_entropy_with_integer_labels(logits, batch["tags"], divide=False)
        return mean, {"accuracy": jm.metrics.accuracy(logits, batch["tags"])}

    step = train.step(loss, optax.adamw(1e-2), accumulate=ACCUMULATE, average=0.9, shapes=len(batches.shapes))
    state = step.init(model.init(jax.random.key(0)), jax.random.key(1))
    with train.Run(folder, every=EVERY, progress=False, tensorboard=False) as run:
        state, epochs = run.restore(state, batches, epochs=EPOCHS)
        start = int(state.step)
        for epoch in epochs:
            for batch in epoch:
                state, sums = step(state, batch)
                is_last = int(state.step) == kill_at
                if is_last and where == "step":
                    os.kill(os.getpid(), signal.SIGKILL)
                run.log(sums, state)
                if is_last and where == "save":  # which orbax has begun to write, in another thread
                    os.kill(os.getpid(), signal.SIGKILL)
            run.save(state)
    leaves = jax.tree.leaves(state.replace(key=jax.random.key_data(state.key)))
    digest = hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves)).hexdigest()
    return f"{start} {int(state.step)} {digest}"


if __name__ == "__main__":
    print(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:4]), *sys.argv[4:5]))
