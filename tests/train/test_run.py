"""A run: position, best and patience, log, Ctrl-C, and what goes wrong, which never costs the last good checkpoint."""

import csv
import datetime
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from rich.console import Console

import jmask as jm
from jmask import data, train
from jmask.train.interrupts import Interrupts
from jmask.train.totals import Totals

LENGTHS = [3, 1, 4, 1, 5, 9, 2, 6, 5]
CORPUS = data.Ragged(x=[np.arange(n, dtype=np.float32) / 9 for n in LENGTHS])


def loss(params, batch):
    mean = jm.losses.squared_error(batch["x"] * params["w"], batch["x"] * 0 + 1, divide=False)
    return mean, {"mean": jm.metrics.mean(batch["x"])}


STEP = train.step(loss, optax.adam(0.1), shapes=99)


def new(step=STEP):
    return step.init({"w": np.float32(2), "empty": np.zeros((0, 3), np.float32)})


def batches(epochs=None, seed=0):
    return data.batches(CORPUS, data.packed(row_length=9, rows=1), seed=seed, epochs=epochs)


def run_of(folder, **options):
    return train.Run(folder, **{"progress": False, "tensorboard": False} | options)


def go(run, source, *, epochs=3, until=None, scores=None, log_state=False, **options):
    """The loop of the docs; leaves without any goodbye after so many steps, as a killed process does."""
    state, left = run.restore(new(), source, epochs=epochs, **options)
    seen = []
    for epoch in left:
        for batch in epoch:
            state, sums = STEP(state, batch)
            seen.append((epoch.number, float(batch["x"].values.sum())))
            run.log(sums, state if log_state else None)
            if int(state.step) == until:
                return state, seen
        if run.save(state, **(scores(epoch.number) if scores else {})):
            break
    return state, seen


def rows(folder):
    with (folder / "log.csv").open() as file:
        return list(csv.DictReader(file))


def numbers(folder):
    return sorted(int(name) for name in os.listdir(folder / "checkpoints"))


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


class Sentences:
    """A plain iterable."""

    def __iter__(self):
        return (jax.tree.map(np.copy, batch) for batch in batches().epoch(0))


def by_epoch(epoch):
    return batches().epoch(epoch)


ONE_THREAD = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
SOURCES = {
    "planned": (batches, {}),
    "grain": (lambda: grain.MapDataset.source(list(Sentences())).shuffle(seed=3).to_iter_dataset(ONE_THREAD), {}),
    "endless": (
        lambda: grain.MapDataset.source(list(Sentences())).shuffle(seed=3).repeat().to_iter_dataset(ONE_THREAD),
        {"steps_per_epoch": 3},
    ),
    "iterable": (Sentences, {}),
    "function": (lambda: by_epoch, {}),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_run_goes_on_where_it_was(tmp_path, name):
    make, options = SOURCES[name]
    with run_of(tmp_path / "whole") as run:
        state, seen = go(run, make(), **options)
    assert [number for number, _ in seen] == sorted(number for number, _ in seen)
    assert {number for number, _ in seen} == {0, 1, 2}
    first = [number for number, _ in seen].count(0)
    every = first // 2 + 1
    run = run_of(tmp_path / "cut", every=every)
    go(run, make(), until=first + every, log_state=True, **options)
    run._checkpoints.check()
    del run  # as if killed
    with run_of(tmp_path / "cut") as run:
        again, rest = go(run, make(), **options)
    assert rest == seen[first + every :]
    assert_same(again, state)
    whole, cut = rows(tmp_path / "whole"), rows(tmp_path / "cut")
    assert [row["step"] for row in cut] == [row["step"] for row in whole]
    assert [row["train_loss"] for row in cut] == [row["train_loss"] for row in whole]  # sums were saved, to the bit
    assert [row["epoch"] for row in cut] == ["1", "2", "3"]


def test_best_patience_and_what_is_kept(tmp_path):
    values = [0.5, 0.9, 0.1, float("nan"), 0.95]
    with run_of(tmp_path, best="f1", patience=2, keep=1) as run:
        state, seen = go(run, batches(), epochs=9, scores=lambda n: {"f1": jm.losses.Mean(np.float32(values[n]), 1.0)})
    assert {number for number, _ in seen} == {0, 1, 2, 3}
    assert numbers(tmp_path) == [2, 4]
    with run_of(tmp_path, best="f1", patience=2) as run:
        again, left = run.restore(new(), batches(), epochs=9)
        assert list(left) == []  # patience is over
        best = run.best()
        assert_same(again, state)
    assert int(best.step) == [number for number, _ in seen].index(2)
    assert [float(row["f1"]) for row in rows(tmp_path)][:3] == pytest.approx(values[:3])


def test_nothing_is_the_best_where_all_scores_are_nan(tmp_path):
    with run_of(tmp_path, best="f1") as run:
        state, left = run.restore(new(), batches(), epochs=2)
        run._checkpoint(state)
        with pytest.warns(
            UserWarning, match="best by 'f1', since of its scores none was given yet. This is the newest"
        ):
            assert_same(run.best(), state)
        for epoch in left:
            for batch in epoch:
                state, _ = STEP(state, batch)
            run.save(state, f1=float("nan"))
        with pytest.warns(UserWarning, match="of its scores all 2 that were given are NaN"):
            assert_same(run.best(), state)


def test_keys_come_back(tmp_path):
    with run_of(tmp_path) as run:
        first = {"key": jax.random.key(3, impl="rbg"), "raw": jax.random.PRNGKey(4)}
        state, _ = run.restore(first, batches())
        run.save(state)
        best = run.best()
    assert best["key"].dtype == first["key"].dtype
    assert_same(jax.random.key_data(best["key"]), jax.random.key_data(first["key"]))
    assert_same(best["raw"], first["raw"])


def test_the_smallest_sum_of_the_training_may_decide(tmp_path):
    with run_of(tmp_path, best="train_loss", mode="min", patience=1) as run:
        state, _ = go(run, batches(), epochs=2)
        assert_same(run.best(), state)


def test_sums_are_exact_and_wait_for_nobody(monkeypatch):
    totals, fetched = Totals(), []
    monkeypatch.setattr(jax, "device_get", lambda tree: fetched.append(len(tree)) or tree)
    for _ in range(50):
        totals.add({"loss": jm.losses.Mean(np.float32(16777216.0), np.float32(1)), "a": jm.losses.Mean(1.0, 0.0)})
    assert fetched == [14, 14, 14]
    assert float(totals.total()["loss"].total) == 50 * 16777216.0
    assert totals.values()["loss"] == 16777216.0
    assert np.isnan(totals.values()["a"])
    with pytest.raises(TypeError, match=r"received \{'loss': 'float'\}. A number of your own"):
        totals.add({"loss": 0.5})


def test_sums_of_a_checkpoint_stand_for_themselves_until_others_come():
    whole, first, second = Totals(), Totals(), Totals()
    sums = [{"loss": jm.losses.Mean(np.float32(number), np.float32(3))} for number in (1, 6)]
    for each in sums:
        whole.add(each)
    first.add(sums[0])
    second.from_json(json.loads(json.dumps(first.to_json())))
    assert second.values() == first.values() == {"loss": 1 / 3}
    assert second.to_json() == first.to_json()
    second.add(sums[1])
    assert second.values() == whole.values() == {"loss": 7 / 6}
    assert second.to_json() == whole.to_json()
    second.reset()
    assert second.values() == {}


def test_ctrl_c_saves_in_the_middle_of_an_epoch(tmp_path):
    text = io.StringIO()
    with run_of(tmp_path / "whole") as run:
        state, seen = go(run, batches())
    with run_of(tmp_path / "cut", best="f1", progress=True, console=Console(file=text)) as run:
        cut, left = run.restore(new(), batches(), epochs=3)
        for epoch in left:
            for batch in epoch:
                cut, sums = STEP(cut, batch)
                run.log(sums)
                if int(cut.step) == 2:
                    os.kill(os.getpid(), signal.SIGINT)
            assert run.save(cut, f1=0.5)
            break
        assert run.interrupted == "Ctrl-C"
        assert int(cut.step) == 2
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert "Ctrl-C: stopped" in text.getvalue()
    assert rows_or_none(tmp_path / "cut") == []
    with run_of(tmp_path / "cut") as run:
        again, rest = go(run, batches())
    assert rest == seen[2:]
    assert_same(again, state)


@pytest.mark.parametrize("before", [signal.default_int_handler, signal.SIG_IGN])  # in the background it is ignored
def test_a_second_ctrl_c_ends_at_once(before):
    found = signal.signal(signal.SIGINT, before)
    try:
        interrupts = Interrupts()
        interrupts.watch()
        signal.raise_signal(signal.SIGINT)
        assert interrupts.received == "Ctrl-C"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        interrupts.release()
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, found)


def test_ctrl_c_while_a_checkpoint_is_being_written(tmp_path, monkeypatch):
    with run_of(tmp_path / "whole") as run:
        state, _ = go(run, batches())
    folder = tmp_path / "cut" / "checkpoints"
    with run_of(tmp_path / "cut") as run:
        save = run._checkpoints._manager.save

        def interrupted(number, **options):
            save(number, **options)
            if number == 2:  # which is being written in another thread
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(run._checkpoints._manager, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            go(run, batches())
    shutil.copytree(folder / "1", folder / "3.orbax-checkpoint-tmp")  # what is left where the process ends with it
    with run_of(tmp_path / "cut") as run:
        again, rest = go(run, batches())
    assert len(rest) < int(state.step)
    assert_same(again, state)
    assert numbers(tmp_path / "cut") == [2, 3]


def test_a_run_goes_on_with_a_corpus_read_from_its_files(tmp_path):
    with run_of(tmp_path / "whole") as run:
        state, seen = go(run, batches())
    with run_of(tmp_path / "cut", every=1) as run:
        go(run, batches(), until=3, log_state=True)
    CORPUS.save(tmp_path / "corpus")
    mapped = data.batches(data.Ragged.load(tmp_path / "corpus"), data.packed(row_length=9, rows=1), seed=0)
    with run_of(tmp_path / "cut") as run:
        again, rest = go(run, mapped)
    assert rest == seen[3:]
    assert_same(again, state)


def rows_or_none(folder):
    return rows(folder) if (folder / "log.csv").exists() else []


def test_ctrl_c_without_a_save_behind_it(tmp_path):
    with run_of(tmp_path) as run:
        state, left = run.restore(new(), batches(), epochs=3)
        for epoch in left:
            for batch in epoch:
                state, sums = STEP(state, batch)
                run.log(sums, state)
                signal.raise_signal(signal.SIGTERM)
        assert run.interrupted == "SIGTERM"
    with run_of(tmp_path) as run:
        assert int(run.restore(new(), batches(), epochs=3)[0].step) == 1


def test_a_terminal_gets_a_bar_and_a_file_a_line_an_epoch(tmp_path):
    plain, terminal = io.StringIO(), io.StringIO()
    with run_of(tmp_path / "a", progress=True, console=Console(file=plain, width=150)) as run:
        go(run, batches(), epochs=2, scores=lambda _: {"f1": 0.5})
    lines = plain.getvalue().splitlines()
    assert len(lines) == 2
    for text in ("epoch   2  step ", "loss 0.", "mean 0.", "f1 0.5", " tokens/s", "padding 0.0%"):
        assert text in lines[1]
    console = Console(file=terminal, force_terminal=True, width=150)
    with run_of(tmp_path / "b", progress=True, console=console) as run:
        go(run, batches(), epochs=1)
    assert "epoch 1/1" in terminal.getvalue()
    assert "compiling" in terminal.getvalue()


def test_tensorboard_has_what_the_file_has(tmp_path):
    with run_of(tmp_path, tensorboard=True) as run:
        go(run, batches(), epochs=1, scores=lambda _: {"f1": 0.25})
    (file,) = (tmp_path / "tensorboard").iterdir()
    written = file.read_bytes()
    for name in (b"train/loss", b"score/f1", b"speed/padding"):
        assert name in written


def damage(folder):
    shutil.rmtree(folder / "checkpoints" / str(numbers(folder)[-1]) / "state")


def test_a_damaged_checkpoint_is_passed_over(tmp_path):
    text = io.StringIO()
    with run_of(tmp_path) as run:
        go(run, batches(), epochs=2)
    damage(tmp_path)
    with run_of(tmp_path, progress=True, console=Console(file=text)) as run:
        _, left = run.restore(new(), batches(), epochs=2)
        assert [epoch.number for epoch in left] == [1]
    assert "checkpoint 2 cannot be read" in text.getvalue()
    shutil.rmtree(tmp_path / "checkpoints" / "1" / "run")
    with run_of(tmp_path) as run, pytest.raises(ValueError, match=r"no checkpoint in .* can be read.*Move the folder"):
        run.restore(new(), batches(), epochs=2)


def test_a_checkpoint_of_another_run(tmp_path):
    with run_of(tmp_path) as run:
        go(run, batches(), epochs=1)
    saved = numbers(tmp_path)
    with run_of(tmp_path) as run:
        other = train.step(loss, optax.sgd(0.1), average=0.9).init({"w": np.zeros(3, np.float32)})
        with pytest.raises(
            train.OtherRunError, match=r"(?s)another model.*params.empty: float32\[0, 3\] saved, nothing in the"
        ):
            run.restore(other, batches())
        with pytest.raises(ValueError, match=r"of other data, another plan or another seed.*Name another folder"):
            run.restore(new(), batches(seed=1))
        with pytest.raises(train.OtherRunError, match=r"that of the batches is None"):
            run.restore(new(), list(batches().epoch(0)))
    assert numbers(tmp_path) == saved


def test_scores_of_another_name_do_not_compare(tmp_path):
    """A run goes on with another `best=`: its old best, 0.9 of `f1`, is no loss."""
    text = io.StringIO()
    with run_of(tmp_path, best="f1") as run:
        go(run, batches(), epochs=1, scores=lambda number: {"f1": 0.9})
    with run_of(tmp_path, best="cost", mode="min", progress=True, console=Console(file=text)) as run:
        go(run, batches(), epochs=3, scores=lambda number: {"cost": number})
        assert int(run.best(new()).step) == 8
    assert "the best was chosen by 'f1' so far; beginning anew." in text.getvalue()


HOLDER = """
import sys, pathlib
from jmask.train.folder_lock import FolderLock
lock = FolderLock(pathlib.Path(sys.argv[1]))
lock.take()
print("held", flush=True)
sys.stdin.read()
"""


def test_one_run_at_a_time_writes_into_a_folder(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with run_of(tmp_path) as run, pytest.raises(RuntimeError, match=f"process {other.pid} on .* is writing into"):
            go(run, batches(), epochs=1)
        other.kill()  # which lets the lock go
        other.wait()
    with run_of(tmp_path) as run:
        go(run, batches(), epochs=1)


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path, rng):
    """A limit to the size of files is what a process can have of a full disk."""
    states = [{"w": jnp.asarray(rng.normal(size=100_000), "float32")} for _ in range(3)]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    run = run_of(tmp_path)
    run.save(states[0])
    run._checkpoints.check()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        run.save(states[1])  # it is written in the background, so the second time tells
        with pytest.raises(OSError, match=r"of step 0 could not be written.*the last good one is .*/1\. Make room"):
            run.save(states[2])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with run_of(tmp_path) as run:
        assert_same(run.restore(states[1], batches(), epochs=1)[0], states[0])
        run.save(states[2])
    with run_of(tmp_path) as run:
        assert_same(run.restore(states[1], batches(), epochs=1)[0], states[2])


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda folder: run_of(folder, patience=3), ValueError, "`train.Run\\(directory, best='f1', patience=3\\)`"),
        (lambda folder: run_of(folder, keep=0), ValueError, "`keep` is a whole number from 1 on"),
        (lambda folder: run_of(folder, mode="largest"), ValueError, "`mode` is 'max' or 'min'"),
        (lambda folder: run_of(folder, every=0.5), ValueError, r"`datetime.timedelta\(minutes=10\)`; received 0.5"),
        (lambda folder: run_of("/dev/null/run"), OSError, "cannot make the folder '/dev/null/run/checkpoints'"),
        (lambda folder: run_of(folder).restore(new(), iter([])), TypeError, "gives its batches once.*lambda epoch"),
        (lambda folder: run_of(folder).restore(new(), iter(batches())), TypeError, "`batches` instead of `iter"),
        (lambda folder: run_of(folder).restore(new(), CORPUS), TypeError, r"no batches yet.*: `data.batches\(corpus, "),
        (lambda folder: run_of(folder).restore(new(), {"x": 1}), TypeError, r"received one dict.*`\[batch\]`"),
        (lambda folder: run_of(folder).restore(new(), batches(), epochs=1.5), TypeError, "`epochs` .*received 1.5"),
        (lambda folder: run_of(folder).restore(new(), [1], steps_per_epoch=0), ValueError, "`steps_per_epoch` .* 1"),
        (lambda folder: run_of(folder).restore(new(), 5), TypeError, "batches are what `data.batches` returns.*int"),
        (lambda folder: run_of(folder).restore(new(), batches(epochs=2), epochs=3), ValueError, "have 2 epochs"),
        (lambda folder: go(run_of(folder), []), ValueError, "epoch 0 has no batches"),
        (lambda folder: go(run_of(folder, best="f1"), batches(), scores=lambda _: {"f2": 1}), ValueError, "f1=..."),
        (
            lambda folder: go(run_of(folder), batches(), scores=lambda _: {"f1": "a"}),
            TypeError,
            "received 'a' for 'f1'",
        ),
        (lambda folder: go(run_of(folder, every=1), batches()), TypeError, r"`run.log\(sums, state\)`"),
        (lambda folder: run_of(folder).best(), ValueError, r"`run.best\(step.init\(params, key\)\)`"),
        (lambda folder: run_of(folder).best(new()), FileNotFoundError, "nothing has been saved"),
    ],
)
def test_what_is_refused(tmp_path, make, kind, text):
    with pytest.raises(kind, match=text):
        make(tmp_path)


def test_epochs_are_not_taken_for_batches(tmp_path):
    with run_of(tmp_path) as run:
        state, epochs = run.restore(new(), batches(), epochs=1)
        epoch = next(iter(epochs))
    two_loops = "for epoch in epochs: for batch in epoch: state, sums = step"
    for many in (epochs, epoch, batches()):
        with pytest.raises(TypeError, match=f"takes one batch; received a {type(many).__name__}.*{two_loops}"):
            STEP(state, many)
    with pytest.raises(TypeError, match=f"An epoch is no batch; received the index 'words'. .*{two_loops}"):
        epoch["words"]


def test_time_decides_as_well(tmp_path):
    with run_of(tmp_path, every=datetime.timedelta(microseconds=1), keep=9) as run:
        go(run, batches(), until=3, log_state=True)
    assert numbers(tmp_path) == [1, 2, 3]


@pytest.mark.parametrize("address", ["gs://bucket/runs", "s3:/bucket/runs"])
def test_a_bucket_is_no_folder(address):
    with pytest.raises(ValueError, match="`Run`: the folder is on a file system"):
        train.Run(address)
    with pytest.raises(ValueError, match=r"`jm\.save`: the folder is on a file system"):
        jm.save(address, jm.layers.Dense(2), {})
    with pytest.raises(ValueError, match=r"`jm\.load`: the folder is on a file system"):
        jm.load(address)


def test_clocks_of_several_processes_are_not_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match=r"`every` must be a number of steps; .* Pass for example `every=1000`"):
        train.Run(tmp_path, every=datetime.timedelta(minutes=1))
