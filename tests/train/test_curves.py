"""The curves of runs are the numbers of their logs, each in the panel of its name."""

import io

import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask import train
from jmask.train.records import Table

BATCHES = [jm.from_lengths(jnp.ones((2, 4)), lengths) for lengths in ([4, 1], [3, 2], [0, 1])]
ROWS = [
    {"epoch": 1, "step": 5, "seconds": 2.5, "train_loss": 0.9, "train_f1": 0.1, "f1": 0.2, "held_out_loss": 1.1},
    {"epoch": 2, "step": 9, "seconds": 4.0, "train_loss": "nan", "train_f1": 0.3, "f1": 0.4, "held_out_loss": "inf"},
    {"epoch": 3, "step": 13, "seconds": 7.0, "train_loss": 0.5, "train_f1": 0.6, "f1": "", "other": 7.0},
]


def log(folder, rows=ROWS):
    folder.mkdir(parents=True)
    table = Table(folder / "log.csv")
    for row in rows:
        table.add(row)
    return folder


def curves(axes):
    """The lines of a panel, as pairs of numbers; those of the legend have none."""
    return [np.column_stack(line.get_data()).tolist() for line in axes.lines if len(line.get_xdata())]


def panels(figure):
    figure.savefig(io.BytesIO(), format="png")
    return {axes.get_title(): axes for axes in figure.axes}


def names(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_run_that_was_killed_and_went_on_is_one_line(tmp_path):
    def go(epochs):
        with train.Run(tmp_path, progress=False, tensorboard=False) as run:
            state, left = run.restore({"w": np.zeros(1)}, BATCHES, epochs=epochs)
            for epoch in left:
                for batch in epoch:
                    run.log({"loss": jm.metrics.mean(batch * (epoch.number + 1.0))})
                run.save(state, held_out_loss=epoch.number + 0.5)
            return panels(train.plot(run))

    go(2)
    Table(tmp_path / "log.csv").add({"epoch": 4, "step": 12, "train_loss": 99.0})  # of a process that saved no more
    found = go(4)
    steps = [3.0, 6.0, 9.0, 12.0]
    training, held_out = [[x, float(i + 1)] for i, x in enumerate(steps)], [[x, i + 0.5] for i, x in enumerate(steps)]
    assert curves(found["loss"]) == [training, held_out]
    assert names(found["loss"]) == ["train_loss", "held_out_loss"]
    real = sum(int(batch.mask.sum()) for batch in BATCHES)
    (padding,) = curves(found["share of padding"])
    np.testing.assert_allclose(padding, [[x, 1 - real / 24] for x in steps], atol=1e-4)  # the log has four digits
    ((*speeds,),) = curves(found["real tokens a second"])
    assert all(speed > 0 for _, speed in speeds)


@pytest.mark.parametrize("x", ["step", "epoch", "seconds"])
def test_scores_stand_beside_the_sums_of_their_names_and_gaps_stay(tmp_path, x):
    found = panels(train.plot(log(tmp_path / "run"), x=x))
    assert list(found) == ["loss", "f1", "other"]
    places = [float(row[x]) for row in ROWS]
    nan = float("nan")
    loss = [[0.9, nan, 0.5], [1.1, nan, nan]]
    np.testing.assert_array_equal(curves(found["loss"]), [list(zip(places, line, strict=True)) for line in loss])
    f1 = [[0.1, 0.3, 0.6], [0.2, 0.4, nan]]
    np.testing.assert_array_equal(curves(found["f1"]), [list(zip(places, line, strict=True)) for line in f1])
    assert found["loss"].get_xlabel().startswith(x)


def test_of_several_runs_each_has_a_colour(tmp_path):
    first, second = log(tmp_path / "a" / "run"), log(tmp_path / "b" / "run", ROWS[:1])
    (new := tmp_path / "new" / "checkpoints").mkdir(parents=True)
    figure = train.plot(first, second, new.parent)
    found = panels(figure)
    lines = [line for line in found["f1"].lines if len(line.get_xdata())]
    assert [line.get_color() for line in lines] == ["C0", "C0", "C1", "C1"]
    assert [line.get_linestyle() for line in lines] == ["--", "-", "--", "-"]
    assert names(found["f1"]) == ["train_f1", "f1"]
    (legend,) = figure.legends
    labels = [str(first), str(second), f"{new.parent} (no epoch is over yet)"]  # the names alone would be alike
    assert [text.get_text() for text in legend.get_texts()] == labels
    assert len(curves(found["other"])) == 1


@pytest.mark.parametrize("has_log", [True, False])
def test_a_run_without_a_finished_epoch_says_so(tmp_path, has_log):
    (tmp_path / "checkpoints").mkdir()
    if has_log:
        (tmp_path / "log.csv").write_text("\n")
    figure = train.plot(tmp_path)
    assert [text.get_text() for text in figure.texts] == ["no epoch is over yet"]
    assert not panels(figure)


def test_a_loss_that_was_never_finite_says_so(tmp_path):
    found = panels(train.plot(log(tmp_path / "run", [ROWS[1]])))
    assert [text.get_text() for text in found["loss"].texts] == ["no finite number"]
    assert not found["f1"].texts


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r'train\.plot\("runs/tagger"\)'):
        train.plot()
    with pytest.raises(FileNotFoundError, match=r"'.*nowhere' has no `log\.csv`; name the folder of a `train\.Run`"):
        train.plot(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="`x` is 'step', 'epoch', 'seconds'; received 'time'"):
        train.plot(tmp_path, x="time")
    with pytest.raises(TypeError, match=r"each an argument of its own, `plot\(\*folders\)`; received a list"):
        train.plot([tmp_path])
    (tmp_path / "log.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"is no log of a run: its columns are a, b\."):
        train.plot(tmp_path)
