"""Three newcomers: from Keras with data of their own, from Flax nnx with a module, from PyTorch with an LSTM.

What they write is what the pages say, and where they stopped once, pages and errors have been mended.
"""

import json
from pathlib import Path
from typing import Any

import jax
import nbformat
import numpy as np
import optax
import pytest
from flax import nnx

import jmask as jm
from jmask import data, train
from jmask.core.array_file import read_arrays, write_arrays
from jmask.testing import assert_close
from tests.support import torch_modules

L = jm.layers
NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "03_training_on_tpu.ipynb"


def test_from_keras_a_tagger_on_data_of_ones_own(tmp_path: Path, rng: Any) -> None:
    """JSON lines of words and tags, checkpoints, a crash, the best epoch, a saved model that tags a new sentence."""
    kinds = {"the": "DET", "a": "DET", "cat": "NOUN", "dog": "NOUN", "runs": "VERB", "sits": "VERB", "red": "ADJ"}
    with (tmp_path / "tagged.jsonl").open("w") as file:
        for length in rng.integers(1, 9, 60):
            words = rng.choice([*kinds], length).tolist()
            file.write(json.dumps({"words": words, "tags": [kinds[word] for word in words]}) + "\n")

    corpus = data.read_json_lines(tmp_path / "tagged.jsonl")
    words, tags = data.Vocabulary.of(corpus["words"]), data.Vocabulary.of(corpus["tags"], unknown=None)
    corpus = corpus.replace(words=words.encode(corpus["words"]), tags=tags.encode(corpus["tags"]))
    batches = data.batches(corpus[:48], data.packed(row_length=16, rows=4), seed=0)
    held_out = data.batches(corpus[48:], data.padded(rows=12), seed=0, epochs=1)
    lstm = L.LSTM(4, return_sequences=True, implementation="scan")
    model = jm.Sequential(
        [jm.Input((None,), "int32"), L.Embedding(len(words), 4), L.Bidirectional(lstm), L.Dense(len(tags))]
    )

    def loss(params: Any, batch: Any) -> Any:
        logits = model.apply(params, batch["words"])
        return jm.losses.softmax_cross_entropy_with_integer_labels(logits, batch["tags"], divide=False)

    @jax.jit
    def score(params: Any, batch: Any) -> Any:
        return jm.metrics.accuracy(model.apply(params, batch["words"]), batch["tags"])

    step = train.step(loss, optax.adam(5e-2))

    def go_on(folder: Path, crash_at: int | None = None) -> Any:
        with train.Run(folder, best="accuracy", every=3, progress=False) as run:
            state, epochs = run.restore(step.init(model.init(jax.random.key(0))), batches, epochs=5)
            for epoch in epochs:
                for batch in epoch:
                    state, sums = step(state, batch)
                    run.log(sums, state)
                    if int(state.step) == crash_at:
                        raise RuntimeError("killed")
                run.save(state, accuracy=sum(score(state.params, batch) for batch in held_out))
            return state, run.best()

    whole, _ = go_on(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="killed"):
        go_on(tmp_path / "killed", crash_at=8)
    resumed, best = go_on(tmp_path / "killed")
    jax.tree.map(np.testing.assert_array_equal, resumed.params, whole.params)

    jm.save(tmp_path / "tagger", model, best.params)
    loaded, params, _ = jm.load(tmp_path / "tagger")
    sentence = jm.pad_sequences([words.encode(["the", "red", "cat", "sits"])])
    found = jm.ops.argmax(loaded.apply(params, sentence), axis=-1)
    assert tags.decode(jm.unpad(found)[0]).tolist() == ["DET", "ADJ", "NOUN", "VERB"]


def test_from_flax_a_module_in_a_model_and_a_model_in_a_module(rng: Any) -> None:
    """Both are trained; what was learned goes back to where it came from."""
    series = [rng.normal(size=(length, 4)).astype("float32") for length in (3, 5, 1, 4)]
    x = jm.pad_sequences(series)
    y = jm.pad_sequences([steps[:, :1] * 2 for steps in series])
    block = nnx.Linear(4, 3, rngs=nnx.Rngs(0))
    model = jm.Sequential([jm.Input((None, 4)), L.PerSequence(block, name="block"), L.Dense(1)])

    def loss(params: Any, batch: Any) -> Any:
        return jm.losses.squared_error(model.apply(params, batch[0]), batch[1], divide=False)

    step = train.step(loss, optax.adam(0.1))
    state = step.init(model.init(jax.random.key(0)))
    losses = []
    for _ in range(15):
        state, sums = step(state, (x, y))
        losses.append(float(sums["loss"].value))
    assert losses[-1] < losses[0] / 2
    nnx.update(block, state.params["block"])
    alone = L.Dense(1).apply(state.params["dense"], block(series[0]))
    assert_close(jm.unpad(model.apply(state.params, x))[0], alone)

    encoder = jm.Sequential([jm.Input((None, 4)), L.GRU(3, return_sequences=True, implementation="scan")])

    class Net(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.encoder, self.head = jm.flax.to_nnx(encoder, rngs=rngs), nnx.Linear(3, 1, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            h = self.encoder(x)
            return h.with_values(self.head(h.fill(0)))

    @nnx.jit
    def train_step(net: Net, optimizer: nnx.Optimizer) -> Any:
        value, gradients = nnx.value_and_grad(lambda net: jm.losses.squared_error(net(x), y))(net)
        optimizer.update(net, gradients)
        return value

    net = Net(nnx.Rngs(0))
    optimizer = nnx.Optimizer(net, optax.adam(0.1), wrt=nnx.Param)
    losses = [float(train_step(net, optimizer)) for _ in range(15)]
    assert losses[-1] < losses[0] / 2
    params = nnx.to_pure_dict(nnx.state(net.encoder.params))
    assert_close(encoder.apply(params, x).fill(0), net.encoder(x).fill(0))
    rnn = nnx.RNN(nnx.OptimizedLSTMCell(4, 3, rngs=nnx.Rngs(1)))
    learned, _ = jm.flax.from_nnx(layer := L.LSTM(3, return_sequences=True, implementation="scan"), rnn)
    assert_close(jm.unpad(layer.apply(learned, x))[1], rnn(series[1][None])[0], precision="float32")


def test_from_pytorch_an_lstm_is_moved_over_and_fine_tuned(tmp_path: Path, rng: Any) -> None:
    """A safetensors file of an `nn.Embedding`, `nn.LSTM` and `nn.Linear`; then the cells of the notebook."""
    tensors = {"embedding.weight": rng.normal(size=(10, 6))}
    recurrent = torch_modules.draw_recurrent(rng, "LSTM", 6, 5, 1, 2)
    tensors |= {f"lstm.{name}": x for name, x in recurrent.items()}
    tensors |= {"fc.weight": rng.normal(size=(4, 10)), "fc.bias": rng.normal(size=4)}
    tensors = {name: x.astype("float32") for name, x in tensors.items()}
    write_arrays(tmp_path / "model.safetensors", tensors)

    model = jm.Sequential(
        [
            jm.Input((None,), "int32"),
            L.Embedding(10, 6),
            L.Bidirectional(L.LSTM(5, return_sequences=True, implementation="scan"), name="lstm"),
            L.Dense(4, name="fc"),
        ]
    )
    learned, _ = jm.from_torch(model, tmp_path / "model.safetensors")
    ids = [3, 1, 4]
    hidden = torch_modules.run_recurrent("LSTM", recurrent, tensors["embedding.weight"][ids], 1, 2)
    expected = hidden @ tensors["fc.weight"].T + tensors["fc.bias"]
    assert_close(jm.unpad(model.apply(learned, jm.pad_sequences([ids, [2]])))[0], expected, precision="float32")

    best = _fine_tune(model, learned, tmp_path / "run")
    write_arrays(tmp_path / "tuned.safetensors", jm.to_torch(model, best.params))
    tuned = read_arrays(tmp_path / "tuned.safetensors")
    assert {name: x.shape for name, x in tuned.items()} == {name: x.shape for name, x in tensors.items()}
    assert not np.array_equal(tuned["lstm.weight_ih_l0"], tensors["lstm.weight_ih_l0"])


def _fine_tune(model: Any, learned: Any, folder: Path) -> Any:
    """Runs the cells of the notebook up to its run, on one device, with less data, this model and these parameters."""
    source = "\n".join(cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code")
    source = source[source.index("import tempfile") : source.index("state = go_on(")]
    start, end = source.index("model = jm.Sequential("), source.index("def loss(")
    source = source[:start] + source[end:]
    for theirs, ours in {
        "jax.device_count()": "1",
        "corpus_of(800, 0), corpus_of(200, 1)": "corpus_of(60, 0), corpus_of(20, 1)",
        "step.init(model.init(key), key)": "step.init(learned, key)",
        "tempfile.mkdtemp()": "folder",
        "train.Run(folder, ": "train.Run(folder, progress=False, ",
    }.items():
        assert theirs in source
        source = source.replace(theirs, ours)
    namespace = {"model": model, "learned": learned, "folder": folder}
    exec(compile(source, str(NOTEBOOK), "exec"), namespace)
    return namespace["go_on"](epochs=2)
