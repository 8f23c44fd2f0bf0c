"""What an untrained tagger predicts for packed and for padded sentences, its folder, and the picture."""

import re
import sys

import jax
import matplotlib.figure  # noqa: F401 - its own warnings are not those of a plot
import numpy as np
import optax
import pytest

import jmask as jm
from jmask import train
from jmask.data import Ragged, Vocabulary
from jmask.demo import plot, saving, training
from jmask.demo.corpus import Vocabularies
from jmask.demo.errors import DemoError
from jmask.demo.tagger import build_model, make_evaluate, make_predict, tag_texts

VOCABULARIES = Vocabularies(Vocabulary(("<unk>", *"abcd"), "<unk>"), Vocabulary(("O", "X")))
RNG = np.random.default_rng(3)
WORDS = [RNG.integers(0, 5, length, dtype=np.int32) for length in (7, 1, 2, 11, 3)]
CORPUS = Ragged(words=WORDS, tags=[words % 2 for words in WORDS])


@pytest.fixture(scope="module")
def batches():
    return training.make_batches(CORPUS, CORPUS, seed=0)


@pytest.fixture(scope="module")
def model():
    return build_model(5, 2, units=3)


@pytest.fixture(scope="module")
def params(model, batches):
    return model.init(jax.random.key(0), batches.words)


@pytest.fixture(scope="module")
def predictions(model, params, batches):
    predictions, sums = make_evaluate(model, 2)(params, batches.test)
    hits = sum(int(((found == 1) & (words % 2 == 1)).sum()) for found, words in zip(predictions, WORDS, strict=True))
    assert (sums.hits.item(), sums.actual.item()) == (hits, sum(int((words % 2).sum()) for words in WORDS))
    return predictions


def test_predictions_are_those_of_each_sentence_in_the_order_of_the_corpus(model, params, predictions):
    predict = make_predict(model)
    padded = list(tag_texts(predict, params, [*WORDS, np.zeros(0, np.int32)], rows=7))
    assert [tags.tolist() for tags in padded] == [*(tags.tolist() for tags in predictions), []]
    assert [next(tag_texts(predict, params, [words], rows=7)).tolist() for words in WORDS] == [
        tags.tolist() for tags in predictions
    ]


def test_rows_hold_the_longest_sentence():
    long = Ragged(words=[[0] * 403], tags=[[0] * 403])
    batches = training.make_batches(CORPUS, long, seed=0)
    assert batches.words.shape == next(iter(batches.test))["words"].shape == (training.ROWS, 403)


def test_a_saved_tagger_comes_back(model, params, tmp_path):
    directory = tmp_path / "deep" / "tagger"
    run = saving.make_folder(directory, VOCABULARIES, resume=True)
    assert run.is_dir()
    with pytest.raises(DemoError, match="holds no tagger; finish its run with --resume"):
        saving.load_tagger(directory)
    saving.save_tagger(directory, model, params)
    loaded = saving.load_tagger(directory)
    assert loaded.vocabularies == VOCABULARIES
    assert loaded.model.to_config() == model.to_config()
    jax.tree.map(np.testing.assert_array_equal, loaded.params, params)
    assert saving.make_folder(directory, VOCABULARIES, resume=True) == run


def test_folders_that_cannot_be_saved_into_are_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    for resume in (True, False):
        with pytest.raises(DemoError, match="is not empty and holds no run"):
            saving.make_folder(tmp_path, VOCABULARIES, resume=resume)
    with pytest.raises(DemoError, match="cannot make this folder"):
        saving.make_folder(tmp_path / "file", VOCABULARIES, resume=False)
    saving.make_folder(tmp_path / "run", VOCABULARIES, resume=False)
    with pytest.raises(DemoError, match="holds a run; go on with it by --resume, or name a new folder"):
        saving.make_folder(tmp_path / "run", VOCABULARIES, resume=False)
    with pytest.raises(DemoError, match="on other data or with another --seed"):
        saving.make_folder(tmp_path / "run", VOCABULARIES._replace(tags=Vocabulary(("O", "Y"))), resume=True)


def test_damaged_taggers_are_refused(model, params, tmp_path):
    with pytest.raises(DemoError, match="holds no tagger; make one: --save"):
        saving.load_tagger(tmp_path)
    saving.make_folder(tmp_path / "it", VOCABULARIES, resume=False)
    saving.save_tagger(tmp_path / "it", model, params)
    for file in (saving.VOCABULARIES, "model.json"):
        text = (tmp_path / "it" / file).read_text()
        (tmp_path / "it" / file).write_text(text[:40])
        with pytest.raises(DemoError, match="is damaged"):
            saving.load_tagger(tmp_path / "it")
        (tmp_path / "it" / file).write_text(text)


def test_a_run_on_other_sentences_is_not_gone_on_with(model, params, batches, tmp_path):
    state = train.step(lambda params, batch: jm.losses.Mean(0.0, 0.0), optax.sgd(0.1)).init(params)
    with train.Run(tmp_path / "run", progress=False) as run:
        state, _ = run.restore(state, batches.train, epochs=1)
        run.save(state)
    other = training.make_batches(CORPUS[1:], CORPUS, seed=0)
    message = re.escape(f"{tmp_path}: cannot go on with this run, name a new folder")
    with train.Run(tmp_path / "run", progress=False) as run, pytest.raises(DemoError, match=message):
        training._restored(run, state, other.train, epochs=1)


def test_the_plot_is_a_png(batches, predictions, tmp_path):
    log = [{"epoch": 1.0, "train_loss": 0.3, "train_f1": 0.4, "held_out_f1": 0.5}]
    path = tmp_path / "training.png"
    plot.draw_training(path, log, 0.5, batches.test, predictions, VOCABULARIES.tags)
    assert path.read_bytes().startswith(b"\x89PNG")
    tags, ids = plot._rows(batches.test, predictions)
    for number, row in enumerate(next(iter(batches.test))["row"].values[: len(WORDS)], start=1):
        assert tags[ids == number].tolist() == predictions[row].tolist()
    assert np.isnan(tags[ids == 0]).all()


def test_pictures_that_cannot_be_drawn_are_refused_early(tmp_path, monkeypatch):
    with pytest.raises(DemoError, match=r"must end in \.png"):
        plot.check_plot_path(tmp_path / "training")
    with pytest.raises(DemoError, match="there is no folder"):
        plot.check_plot_path(tmp_path / "missing" / "training.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(DemoError, match="is a folder"):
        plot.check_plot_path(tmp_path / "folder.png")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(DemoError, match=r'pip install "jmask\[plot\]"'):
        plot.check_plot_path(tmp_path / "training.png")
