"""Batches, training, saving, the proof and the picture, on a tiny model."""

import random
import sys
import warnings

import jax
import matplotlib.figure  # noqa: F401 - its own warnings are not those of a plot
import numpy as np
import pytest

from jmask.demo import plot, saving
from jmask.demo.batches import Data, Example, batches, bucket, encode, pad
from jmask.demo.errors import DemoError
from jmask.demo.tagger import build_model, make_predict, predict
from jmask.demo.text import Sentence
from jmask.demo.training import train
from jmask.demo.vocabulary import Vocabulary, make_vocabulary, split

UNITS = 5


class Silent:
    """Counts what it is told."""

    def __init__(self):
        self.steps, self.epochs = 0, 0

    def step(self, epoch, loss, f1):
        self.steps += 1

    def epoch(self, epoch):
        self.epochs += 1


def make_sentences(number=37, seed=3):
    """A word is X exactly behind "the": what a lookup cannot know."""
    rng, sentences = random.Random(seed), []
    for _ in range(number):
        words = [rng.choice(["the", "if", "for", "new", "a"]) for _ in range(rng.choice([3, 11]))]
        tags = ["X" if before == "the" else "O" for before in ["", *words[:-1]]]
        sentences.append(Sentence(tuple(words), tuple(tags)))
    return sentences


@pytest.fixture(scope="module")
def data():
    sides = split(make_sentences(), seed=0)
    vocabulary = make_vocabulary(sides.train, ["O", "X"])
    return Data(encode(sides.train, vocabulary), encode(sides.test, vocabulary), vocabulary)


@pytest.fixture(scope="module")
def trained(data):
    model, watcher = build_model(len(data.vocabulary), 2, UNITS), Silent()
    params, history = train(model, data, make_predict(model), epochs=2, seed=0, watcher=watcher)
    assert (watcher.steps, watcher.epochs) == (2 * -(-len(data.train) // 16), 2)
    return model, params, history


def test_every_example_is_in_one_batch_and_missing_rows_are_empty(data):
    rows = batches(data.train, 8, random.Random(0))
    assert {batch.words.shape for batch in rows} == {(8, 64)}
    received = [tuple(line[: len(line)]) for batch in rows for line in real_lines(batch.words)]
    assert sorted(line for line in received if line) == sorted(tuple(example.words) for example in data.train)


def real_lines(x):
    return [values[mask].tolist() for values, mask in zip(np.asarray(x.values), np.asarray(x.mask), strict=True)]


def test_groups_are_of_similar_length():
    examples = [Example([0] * length, [0] * length) for length in [9, 1, 5, 2, 8]]
    assert bucket(examples, 2) == [[1, 3], [2, 4], [0]]


@pytest.mark.slow
def test_training_lowers_the_loss(trained):
    history = trained[2]
    assert np.mean(history[1].losses) < np.mean(history[0].losses)
    assert all(0 <= epoch.test_f1 <= 100 for epoch in history)


@pytest.mark.slow
def test_predictions_come_in_the_order_of_the_examples(trained, data):
    model, params, _ = trained
    predictor = make_predict(model)
    together = predict(predictor, params, data.test)
    assert together == [predict(predictor, params, [example])[0] for example in data.test]
    assert predict(predictor, params, [Example([], [])]) == [[]]
    assert predict(predictor, params, []) == []


@pytest.mark.slow
def test_a_saved_tagger_comes_back(trained, data, tmp_path):
    model, params, _ = trained
    saving.save(tmp_path / "deep" / "tagger", saving.Tagger(model, params, data.vocabulary))
    loaded = saving.load(tmp_path / "deep" / "tagger")
    assert loaded.vocabulary == data.vocabulary
    assert loaded.model.to_config() == model.to_config()
    jax.tree.map(np.testing.assert_array_equal, loaded.params, params)
    words = pad(data.test).words
    np.testing.assert_array_equal(make_predict(loaded.model)(loaded.params, words), make_predict(model)(params, words))
    saving.save(tmp_path / "deep" / "tagger", loaded)  # an older tagger is replaced


@pytest.mark.slow
@pytest.mark.parametrize("place", ["parameters", "description", "rename"])
def test_a_save_that_is_cut_leaves_the_older_tagger(trained, data, tmp_path, monkeypatch, place):
    import orbax.checkpoint

    def cut(*arguments, **options):
        raise KeyboardInterrupt

    older = saving.Tagger(trained[0], trained[1], data.vocabulary)
    newer = saving.Tagger(
        trained[0],
        jax.tree.map(lambda leaf: leaf + 1, older.params),
        Vocabulary(older.vocabulary.words[::-1], older.vocabulary.tags),
    )
    saving.save(tmp_path, older)
    patches = {
        "parameters": (orbax.checkpoint.StandardCheckpointer, "save"),
        "description": (saving.json, "dump"),
        "rename": (saving.Path, "replace"),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*patches[place], cut)
        with pytest.raises(KeyboardInterrupt):
            saving.save(tmp_path, newer)
    for expected in (older, newer):
        loaded = saving.load(tmp_path)
        assert loaded.vocabulary == expected.vocabulary
        jax.tree.map(np.testing.assert_array_equal, loaded.params, expected.params)
        saving.save(tmp_path, newer)
    assert len(list(tmp_path.iterdir())) == 2  # nothing is left of the cut one


def test_a_first_save_that_was_cut_is_no_obstacle(tmp_path):
    (tmp_path / "params-1.orbax-checkpoint-tmp").mkdir()
    (tmp_path / saving.UNFINISHED).write_text("{")
    assert saving.prepare(tmp_path) == tmp_path
    with pytest.raises(DemoError, match="holds no tagger"):
        saving.load(tmp_path)


def test_folders_that_cannot_be_saved_into_are_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DemoError, match="is not empty and holds no tagger"):
        saving.prepare(tmp_path)
    with pytest.raises(DemoError, match="cannot make this folder"):
        saving.prepare(tmp_path / "file")


def test_damaged_taggers_are_refused(trained, data, tmp_path):
    with pytest.raises(DemoError, match="holds no tagger; make one with --save"):
        saving.load(tmp_path)
    saving.save(tmp_path, saving.Tagger(trained[0], trained[1], data.vocabulary))
    description = (tmp_path / saving.DESCRIPTION).read_text()
    for damaged, message in {
        description[:40]: "is damaged",
        description.replace('"words"', '"wrds"'): "is damaged .KeyError",
        description.replace('"format": 2', '"format": 1'): "was saved in format 1; this jmask reads 2",
        description.replace('"params-1"', '"../params-1"'): "no folder of parameters is called",
        "[]": "is damaged .TypeError",
    }.items():
        (tmp_path / saving.DESCRIPTION).write_text(damaged)
        with pytest.raises(DemoError, match=message):
            saving.load(tmp_path)
    (tmp_path / saving.DESCRIPTION).write_text(description)
    (tmp_path / "params-1").rename(tmp_path / "elsewhere")
    with pytest.raises(DemoError, match="is damaged"):
        saving.load(tmp_path)


@pytest.mark.slow
def test_the_plot_is_a_png(trained, data, tmp_path):
    path = tmp_path / "training.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot.draw(path, trained[2], 50.0, [[0, 1, 1], [0]], data.vocabulary)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_pictures_that_cannot_be_drawn_are_refused_early(tmp_path, monkeypatch):
    with pytest.raises(DemoError, match=r"must end in \.png"):
        plot.prepare(tmp_path / "training")
    with pytest.raises(DemoError, match="there is no folder"):
        plot.prepare(tmp_path / "missing" / "training.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(DemoError, match="is a folder"):
        plot.prepare(tmp_path / "folder.png")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(DemoError, match=r'pip install "jmask\[demo\]"'):
        plot.prepare(tmp_path / "training.png")
