"""A run in a folder: restores, logs and saves. The loop stays the user's."""

import datetime
import warnings
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal

import jax

from ..core.checks import checked_option
from ..losses.accumulator import Sums
from .checkpoints import Checkpoints, OtherRunError
from .epochs import Epochs, RunEpoch, source_of
from .folder_lock import FolderLock
from .folders import folder_of
from .interrupts import Interrupts
from .judge import Judge, why_none_is_best
from .options import check_run_options, checked_every
from .progress import now
from .run_log import RunLog
from .state import shape_of_leaf
from .totals import score_as_number

_NOWHERE = {"epoch": 0, "step": 0, "place": None}


class Run:
    """A training run in a folder: it restores what was saved there, logs and saves; the loop stays yours.

    The folder gets `checkpoints/` (by orbax, in the background; one that is cut short is never seen), `log.csv` with a
    row an epoch, and TensorBoard's files. Ctrl-C, or the SIGTERM of a scheduler, ends the epoch after the running step;
    the `save` that follows saves the state and the position in the middle of the epoch, and returns True. A second
    Ctrl-C ends the process at once.

    With several processes, each makes a `Run` in the same folder; the first one writes the log and shows the progress.
    A SIGTERM of any of them ends the epoch of all after the same step; Ctrl-C is an error there.

    Args:
        directory: the folder, on a file system; it is made if it is missing.
        best: the name of the score that decides which checkpoint is the best, which is kept: a score given to `save`,
            or a sum of the training, such as `"train_loss"` for `loss`.
        mode: whether the best score is the largest, "max", or the smallest, "min".
        patience: `save` returns True after this many scores in a row that are no better than the best; None: never.
        keep: how many of the last checkpoints stay, at least 1.
        every: how often `log` saves within an epoch: a number of steps, or a `datetime.timedelta`, which several
            processes may not use, since their clocks differ; None: never.
        tensorboard: whether to write files for TensorBoard, by tensorboardX; None: if it is installed.
        progress: whether to show the progress: a bar in a terminal, elsewhere a line an epoch.
        console: the `rich.console.Console` that shows it; None: standard output.

    Raises:
        ValueError: an option is out of range, or the folder is an address, such as that of a bucket.
        OSError: the folder cannot be made.
        ImportError: tensorboardX is wanted and missing.

    >>> import jax, numpy as np, optax, tempfile, jmask as jm
    >>> from jmask import train
    >>> batches = [jm.pad_sequences([[1.0, 2.0], [3.0]])] * 3
    >>> def loss(params, batch):
    ...     return jm.losses.squared_error(batch * params["w"], batch, divide=False)
    >>> step = train.step(loss, optax.sgd(0.01))
    >>> with tempfile.TemporaryDirectory() as folder, train.Run(folder, progress=False) as run:
    ...     state, epochs = run.restore(step.init({"w": np.float32(0)}), batches, epochs=2)
    ...     for epoch in epochs:
    ...         for batch in epoch:
    ...             state, sums = step(state, batch)
    ...             run.log(sums)
    ...         if run.save(state):
    ...             break
    >>> int(state.step)
    6
    """

    def __init__(
        self,
        directory: Any,
        *,
        best: str | None = None,
        mode: Literal["max", "min"] = "max",
        patience: int | None = None,
        keep: int = 2,
        every: int | datetime.timedelta | None = None,
        tensorboard: bool | None = None,
        progress: bool = True,
        console: Any = None,
    ) -> None:
        check_run_options(best, mode, patience, keep)
        self.directory = folder_of(directory, "Run")
        self._judge = Judge(best, mode, patience)
        self._every = checked_every(every)
        self._checkpoints = Checkpoints(self.directory / "checkpoints", keep)
        self._log, self._interrupts = RunLog(self.directory, tensorboard, progress, console), Interrupts()
        self._lock = FolderLock(self.directory)
        self._epochs: Epochs | None = None
        self._like: Any = None
        self._logged: Any = None  # the newest state that `log` saw
        self._fingerprint: str | None = None
        self._steps = self._saved_at = 0
        self._seconds, self._began, self._saved_time = 0.0, now(), now()

    def __enter__(self) -> "Run":
        self._interrupts.watch()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if self.interrupted and self._logged is not None and self._steps > self._saved_at and kind is None:
                self._checkpoint(self._logged)
            if self.interrupted:
                self._log.line(f"{self.interrupted}: stopped; run again to go on from the last checkpoint.")
            self._checkpoints.close()
        except OSError:
            if kind is None:  # or the user's own error would be hidden
                raise
        finally:
            self._interrupts.release()
            self._log.close()
            self._lock.release()

    @property
    def interrupted(self) -> str | None:
        """What asked the run to stop, such as "Ctrl-C"; None if nothing did."""
        return self._interrupts.received

    def restore(
        self, state: Any, batches: Any, *, epochs: int | None = None, steps_per_epoch: int | None = None
    ) -> tuple[Any, Epochs]:
        """The newest state that was saved, and the epochs that are left, from the batch on that comes next.

        A checkpoint that cannot be read is passed over, with a line that says so, for the one before.

        Args:
            state: the state of a new run, `step.init(params, key)`; a restored one gets its structure and shardings.
            batches: what `data.batches` returns, whose position is saved as epoch and step; a dataset of grain, whose
                iterator saves its own state; a list, or anything that can be iterated again and again and gives the
                same batches each time, of which a resumed epoch skips those that were seen; or a function of the epoch
                that returns such a thing.
            epochs: number of epochs in all, with those before the restart; None: as many as the batches know, or
                without end.
            steps_per_epoch: number of batches that make an epoch, for data without end.

        Returns:
            The state, and an iterable of epochs, each of which is an iterable of batches, with its `number` from 0. It
            ends early if patience was over, or with Ctrl-C.

        Raises:
            OtherRunError: the checkpoint is of another model, or of other data; it is a ValueError.
            ValueError: no checkpoint can be read, or a number is out of range.
            TypeError: the batches can be iterated only once, or are no batches, or a number is no integer.
            RuntimeError: another process is writing into the folder.
        """
        epochs = checked_option("epochs", epochs, 0)
        source = source_of(batches, checked_option("steps_per_epoch", steps_per_epoch, 1))
        known = getattr(batches, "epochs", None)
        if known is not None and epochs is not None and epochs > known:
            raise ValueError(f"`Run.restore`: the batches have {known} epochs; received `epochs={epochs}`.")
        fingerprint: Any = getattr(batches, "fingerprint", lambda: None)
        self._fingerprint = fingerprint()
        self._like = jax.tree.map(shape_of_leaf, state)
        self._lock.take()
        state, position = self._restored(state)
        epochs = known if epochs is None else epochs
        self._epochs = Epochs(source, epochs, position, self._begin_epoch, self._log.meter.see, self._should_stop)
        self._log.start(self._steps)
        return state, self._epochs

    def log(self, sums: Mapping[str, Sums], state: Any = None) -> None:
        """Takes note of a step: adds up its sums, moves the bar, and saves where `every` says so.

        It does not wait for the device, except every few steps.

        Args:
            sums: what the step returned, sums by name.
            state: the state after the step, which `every` needs to save it.

        Raises:
            TypeError: the sums are no sums, or `every` was given and no state.
        """
        time = now()
        self._steps += 1
        self._logged = state
        self._log.step(sums, self._steps, self._epochs.step if self._epochs else self._steps, time)
        if self._every is not None and self._every(self._steps - self._saved_at, time - self._saved_time):
            if state is None:
                raise TypeError("`Run.log`: `every` saves the state, so pass it: `run.log(sums, state)`.")
            self._checkpoint(state)

    def save(self, state: Any, **scores: Any) -> bool:
        """Saves the state and the position in the data, and logs an epoch; call it after each epoch.

        Args:
            state: the state.
            **scores: numbers or sums by name, such as `f1=sum(score(state.params, batch) for batch in held_out)`.

        Returns:
            True if the run should stop: patience is over, or Ctrl-C has come. After Ctrl-C in the middle of an epoch
            the scores are ignored, since the epoch goes on when the run is resumed.

        Raises:
            ValueError: the score that decides is missing.
            OSError: this checkpoint or the one before could not be written, such as on a full disk; the last good one
                stays.
            RuntimeError: another process is writing into the folder.
        """
        self._log.meter.pause()
        self._lock.take()
        if hasattr(state, "step"):
            self._steps = int(state.step)
        if self.interrupted and self._epochs is not None and not self._epochs.is_between:
            self._checkpoint(state)
            return True
        numbers = {name: score_as_number(name, score) for name, score in scores.items()}
        trained = {f"train_{name}": value for name, value in self._log.totals.values().items()}
        place = {"number": self._checkpoints.next_number(), "step": self._steps}
        self._judge.judge(trained | numbers, place, is_scored=bool(scores))
        number = self._steps if self._epochs is None else self._epochs.number + (not self._epochs.is_between)
        self._log.epoch(number, self._steps, self._elapsed(), trained, numbers)
        self._checkpoint(state)
        return self._should_stop()

    def best(self, state: Any = None) -> Any:
        """The state with the best score so far.

        Args:
            state: a state of the same kind; None: that given to `restore`.

        Returns:
            The state; the newest one if the run has no score that decides. If it has one and no checkpoint was scored
            so far, or each score was NaN, the newest one as well, with a warning.

        Raises:
            FileNotFoundError: nothing has been saved.
            OtherRunError: the checkpoint is of another model; it is a ValueError.
            ValueError: no state is known.

        `jm.save("tagger", model, run.best().params)` keeps the model alone.
        """
        like = self._like if state is None else state
        if like is None:
            raise ValueError("`Run.best`: pass a state of the same kind, `run.best(step.init(params, key))`.")
        self._checkpoints.check()
        numbers = self._checkpoints.numbers
        if not numbers:
            raise FileNotFoundError(f"`Run.best`: nothing has been saved in {str(self.directory)!r} yet: `run.save`.")
        judge = self._checkpoints.meta(numbers[-1])["judge"]
        if reason := why_none_is_best(judge):
            warnings.warn(f"`Run.best`: {reason}. This is the newest state of {str(self.directory)!r}.", stacklevel=2)
        number = numbers[-1] if judge["best"] is None else judge["best"]["number"]
        return self._checkpoints.state(number, self._checkpoints.meta(number), like)

    def _restored(self, state: Any) -> tuple[Any, dict[str, Any]]:
        """The newest state that can be read, and where it was in the data."""
        errors: dict[int, Exception] = {}
        for number in reversed(self._checkpoints.numbers):
            try:
                meta = self._checkpoints.meta(number)
                self._check_data(meta)
                state = self._checkpoints.state(number, meta, state)
            except OtherRunError:
                raise
            except Exception as error:  # whatever orbax says of a damaged file
                errors[number] = error
                self._log.line(f"checkpoint {number} cannot be read ({type(error).__name__}); trying the one before.")
            else:
                self._go_on(meta)
                return state, meta["position"] or _NOWHERE
        if errors:
            error = next(iter(errors.values()))
            raise ValueError(
                f"`Run.restore`: no checkpoint in {str(self.directory)!r} can be read ({type(error).__name__}: "
                f"{error!s:.200}). Move the folder away to start again."
            ) from error
        return state, _NOWHERE

    def _check_data(self, meta: dict[str, Any]) -> None:
        saved = meta["fingerprint"]
        if saved != self._fingerprint and meta["position"] is not None:
            raise OtherRunError(
                f"`Run.restore`: the checkpoint in {str(self.directory)!r} is of other data, another plan or another "
                f"seed (fingerprint {saved}, and that of the batches is {self._fingerprint}), so its position means "
                "nothing in them. Name another folder for this run, `train.Run('runs/other')`, or use what it had."
            )

    def _go_on(self, meta: dict[str, Any]) -> None:
        self._steps = self._saved_at = meta["steps"]
        self._seconds = meta["seconds"]
        if not self._judge.from_json(meta["judge"]) and meta["judge"]["best"]:
            self._log.line(f"the best was chosen by {meta['judge']['by'][0]!r} so far; beginning anew.")
        self._checkpoints.best = self._judge.number
        self._log.totals.from_json(meta["sums"])
        place = meta["position"] or _NOWHERE
        self._log.line(f"restored step {self._steps}: epoch {place['epoch'] + 1}, {place['step']} batches of it done.")

    def _begin_epoch(self, epoch: RunEpoch) -> None:
        num_epochs = self._epochs.num_epochs if self._epochs else None
        self._log.bar.begin(epoch.number, num_epochs, epoch.num_steps, epoch.first_step)

    def _should_stop(self) -> bool:
        return self._interrupts.ask() is not None or self._judge.is_over

    def _checkpoint(self, state: Any) -> None:
        meta = {
            "steps": self._steps,
            "position": None if self._epochs is None else self._epochs.position,
            "fingerprint": self._fingerprint,
            "judge": self._judge.to_json(),
            "sums": self._log.totals.to_json(),
            "seconds": self._elapsed(),
        }
        self._checkpoints.best = self._judge.number
        self._checkpoints.save(state, meta, self._steps)
        self._saved_at, self._saved_time = self._steps, now()

    def _elapsed(self) -> float:
        return self._seconds + now() - self._began
