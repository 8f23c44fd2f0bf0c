"""Draws the pictures of the pages into `docs/pictures/`, in seconds: `python docs/make_pictures.py`."""

import tempfile
from pathlib import Path

import jax
import numpy as np
import optax
from matplotlib.figure import Figure

import jmask as jm
from jmask import data, train

PICTURES = Path(__file__).parent / "pictures"


def model() -> jm.Model:
    """The graph of `models.md`."""
    inputs = jm.Input((None,), "int32")
    h = jm.layers.Embedding(10, 4, mask_zero=True)(inputs)
    h = jm.layers.Add()([h, jm.layers.Dense(4)(h)])
    return jm.Model(inputs, {"tags": jm.layers.Dense(3)(h), "topic": jm.layers.GlobalAveragePooling1D()(h)})


def batch() -> Figure:
    """A padded batch with two holes, and the same sequences in packed rows."""
    padded = jm.pad_sequences([np.arange(1.0, length + 1) for length in (7, 3, 16, 9, 0, 4, 1, 6)])
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    jm.show(padded.with_mask(padded.mask & ~np.isin(padded.values, (4, 11))), left)
    jm.show(jm.pack(jm.unpad(padded), row_length=16), right)
    return figure


def train_tagger(folder: str, plan: data.Plan) -> None:
    """Which word of a sentence is larger than 5? The task of `start.md`, with some of the tags wrong."""
    rng = np.random.default_rng(0)
    words = [rng.integers(1, 10, length) for length in rng.integers(1, 40, 500)]
    tags = [((sentence > 5) ^ (rng.random(len(sentence)) < 0.05)).astype("int32") for sentence in words]
    corpus = data.Ragged(words=words, tags=tags)
    batches, held_out = data.batches(corpus[:400], plan, seed=0), data.batches(corpus[400:], plan, seed=0, epochs=1)
    layers = [jm.layers.Embedding(10, 4), jm.layers.GRU(4, return_sequences=True), jm.layers.Dense(2)]
    tagger = jm.Sequential([jm.Input((None,), "int32"), *layers])

    def loss(params, batch):
        logits = tagger.apply(params, batch["words"])
        mean = jm.losses.softmax_cross_entropy_with_integer_labels(logits, batch["tags"], divide=False)
        return mean, {"accuracy": jm.metrics.accuracy(logits, batch["tags"])}

    def scores(state):
        sums = [loss(state.params, batch) for batch in held_out]
        return {"held_out_loss": sum(mean for mean, _ in sums), "accuracy": sum(more["accuracy"] for _, more in sums)}

    key = jax.random.key(0)
    options = {"epochs": 12, "key": key, "scores": scores, "progress": False}
    train.fit(loss, optax.adam(1e-2), tagger.init(key), batches, directory=folder, **options)


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    jm.draw(model()).save(PICTURES / "model.svg")
    batch().savefig(PICTURES / "batch.png", dpi=100)
    with tempfile.TemporaryDirectory() as folder:
        plans = {"packed": data.packed(row_length=128, rows=4), "padded": data.padded(rows=16)}
        for name, plan in plans.items():
            train_tagger(f"{folder}/{name}", plan)
        train.plot(*(f"{folder}/{name}" for name in plans)).savefig(PICTURES / "runs.png", dpi=100)


if __name__ == "__main__":
    main()
