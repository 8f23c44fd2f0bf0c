"""The commands from outside: what they print, and their exit codes."""

import io
import os
import re
import signal
import subprocess
import sys

import jax
import pytest

from jmask.demo import cli, commands, proof
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
        "epoch   1",
        "always O",
        "lookup",
        "BiLSTM",
        "macro F1",
        "Y[/]",
        "Padding is",
    ]:
        assert words in out
    assert out.count("epoch  ") == 1
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
    code, out, err = run(capsys, "--data", corpus, "--save", saved, "--seed", 8, "--resume")
    assert (code, out) == (2, "")
    assert err.startswith(f"jmask: error: {saved}: ")
    assert "name a new folder" in err


TRAIN = """
import os, signal, sys
from jmask import train
from jmask.demo import cli, commands, proof, tagger, training

commands.build_model = lambda words, tags: tagger.build_model(words, tags, 5)
commands.prove = lambda *_, **__: proof.Proof([], 0, 0)
training.ROW_LENGTH, training.SAVE_EVERY = 4, 2
step_of_death, log = int(sys.argv[1]), train.Run.log

def log_and_die(run, sums, state):
    log(run, sums, state)
    if int(state.step) == step_of_death:
        os.kill(os.getpid(), signal.SIGKILL)

train.Run.log = log_and_die
sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_run_goes_on_to_the_same_parameters(corpus, tmp_path, capsys):
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "programs")}

    def train(step_of_death, name, *options):
        arguments = [str(step_of_death), "--data", corpus, "--epochs", "3", "--save", tmp_path / name, *options]
        return subprocess.run(
            [sys.executable, "-c", TRAIN, *arguments], env=environment, capture_output=True, text=True
        )

    def parameters(name):
        (file,) = (tmp_path / name).glob("arrays-*.safetensors")
        return file.read_bytes()

    whole = train(-1, "whole")
    assert whole.returncode == 0, whole.stderr
    assert "kept in" in whole.stdout
    assert any((tmp_path / "programs").iterdir())
    num_steps = int(re.search(r"(\d+) steps an epoch", whole.stdout)[1])
    assert num_steps >= 3
    # While a checkpoint is being written, and in the middle of an epoch, after the last checkpoint.
    for step in (num_steps + 2, 2 * num_steps + 1):
        assert train(step, f"killed{step}").returncode == -signal.SIGKILL
        assert run(capsys, "tag", tmp_path / f"killed{step}", "a")[0] == 2
        resumed = train(-1, f"killed{step}", "--resume")
        assert resumed.returncode == 0, resumed.stderr
        assert "restored step" in resumed.stdout
        assert parameters(f"killed{step}") == parameters("whole")


@pytest.mark.slow
def test_a_failed_proof_gives_exit_code_1(corpus, capsys, monkeypatch):
    failed = proof.Proof([proof.Comparison("in a batch", True, 0, 0.5, 0.0)], num_sentences=1, num_words=3)
    monkeypatch.setattr(commands, "prove", lambda *arguments, **options: failed)
    monkeypatch.setattr(
        commands, "train_tagger", lambda model, batches, *_, **__: model.init(jax.random.key(0), batches.words)
    )
    code, out, _ = run(capsys, "--data", corpus, "--epochs", 1)
    assert code == 1
    assert "The proof fails" in out


def test_ctrl_c_is_saved_and_gives_exit_code_130(corpus, tmp_path, capsys, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "train_tagger", interrupted)
    assert run(capsys, "--data", corpus)[::2] == (130, "jmask: interrupted\n")
    assert run(capsys, "--data", corpus, "--save", tmp_path / "it")[::2] == (
        130,
        "jmask: interrupted; --resume goes on\n",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "missing.conll"], "missing.conll: there is no such file"),
        (["--save", "{file}"], "cannot make this folder"),
        (["--resume"], "the folder of --save DIR; name it"),
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
