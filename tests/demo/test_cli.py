"""The commands from outside: what they print, and their exit codes."""

import io
import re
import sys

import jax
import pytest

from jmask.demo import cli, commands, proof
from jmask.demo.batches import pad
from jmask.demo.tagger import build_model

CORPUS = "\n\n".join(
    "\n".join(
        f"{word}\t{tag}"
        for word, tag in [("the", "O"), (noun, "X"), (verb, "O"), ("[b]", mark)][: 2 + (number + 1) % 2 * 2]
    )
    for number, (noun, verb, mark) in enumerate(
        (noun, verb, mark) for noun in ["if", "for", "while"] for verb in ["runs", "ends"] for mark in ["Y[/]", "O"]
    )
)


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """A file with three tags, one of which looks like rich's markup; and a tiny model."""
    monkeypatch.setattr(commands, "build_model", lambda words, tags: build_model(words, tags, 5))
    path = tmp_path / "corpus.conll"
    path.write_text(CORPUS)
    return path


def run(capsys, *arguments):
    code = cli.main(list(map(str, arguments)))
    return code, *capsys.readouterr()


@pytest.mark.slow
def test_train_save_plot_and_tag(corpus, tmp_path, capsys, monkeypatch):
    saved, picture = tmp_path / "tagger", tmp_path / "training.png"
    code, out, err = run(capsys, "--data", corpus, "--save", saved, "--plot", picture, "--epochs", 1, "--seed", 7)
    assert code == 0
    assert err == ""
    for words in [
        "The data",
        "mask's way",
        "epoch  1",
        "always O",
        "lookup",
        "BiLSTM",
        "macro F1",
        "Y[/]",
        "Padding is",
    ]:
        assert words in out
    assert out.count("epoch ") == 1
    assert picture.stat().st_size > 0

    code, out, err = run(capsys, "tag", saved, "the if runs", "", "--conll")
    assert (code, err) == (0, "")
    assert [line.split("\t")[0] for line in out.splitlines()] == ["the", "if", "runs", "", ""]
    monkeypatch.setattr(sys, "stdin", io.StringIO("the  if runs\nthe [end]"))
    code, out, err = run(capsys, "tag", saved)
    assert (code, err) == (0, "")
    first, second = out.splitlines()
    assert re.sub(r"`|/\S+", "", first) == "the  if runs"
    assert re.sub(r"`|/\S+", "", second) == "the [end]"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"the\xff"), encoding="utf-8"))
    assert run(capsys, "tag", saved) == (2, "", "jmask: error: the standard input is not utf-8 text\n")


@pytest.mark.slow
def test_a_failed_proof_gives_exit_code_1(corpus, capsys, monkeypatch):
    failed = proof.Proof([proof.Comparison("in a batch", True, 0, 0.5, 0.0)], num_sentences=1, num_words=3)
    monkeypatch.setattr(commands, "prove", lambda *arguments, **options: failed)
    monkeypatch.setattr(
        commands, "train", lambda model, data, *_, **__: (model.init(jax.random.key(0), pad(data.test).words), [])
    )
    code, out, _ = run(capsys, "--data", corpus, "--epochs", 1)
    assert code == 1
    assert "The proof fails" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "missing.conll"], "missing.conll: there is no such file"),
        (["--save", "{file}"], "cannot make this folder"),
        (["--plot", "missing/training.png"], "there is no folder missing"),
        (["tag", "missing"], "missing: holds no tagger"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    code, out, err = run(capsys, *(argument.format(file=tmp_path / "file") for argument in arguments))
    assert (code, out) == (2, "")
    assert err.startswith("jmask: error: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "must be at least 1"),
        (["--epochs", "many"], "must be a whole number"),
        (["--seed", "-1"], "--seed"),
        (["--sed", "1"], "unrecognized arguments"),
        (["extra"], "unrecognized arguments"),
        (["tag"], "DIR"),
    ],
)
def test_bad_options_give_exit_code_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as exit:
        cli.main(arguments)
    assert exit.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["tag", "--help"]])
def test_help(arguments, capsys):
    with pytest.raises(SystemExit) as exit:
        cli.main(arguments)
    assert exit.value.code == 0
    assert "python -m jmask tag" in capsys.readouterr().out


def test_an_interrupt_is_no_traceback(capsys, monkeypatch):
    def interrupt(**options):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "demonstrate", interrupt)
    assert cli.main([]) == 130
    assert capsys.readouterr().err == "jmask: interrupted\n"
