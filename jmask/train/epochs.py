"""Epochs of batches that continue where a checkpoint was: at an epoch and a step in it."""

import base64
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NoReturn

Position = dict[str, Any]

TWO_LOOPS = "Each epoch has batches: `for epoch in epochs: for batch in epoch: state, sums = step(state, batch)`."


class Source:
    """Batches of one kind: how an epoch of them begins, and what has to be saved to go on in its middle."""

    def __init__(self, batches: Any) -> None:
        self.batches = batches

    def num_steps(self, epoch: int) -> int | None:
        """The number of batches of an epoch, or None if only iterating tells."""
        return None

    def epoch(self, number: int, step: int, saved: Any) -> Iterator[Any]:
        """The batches of an epoch from a step on; `saved` is what `place` returned there, or None."""
        raise NotImplementedError

    def place(self) -> Any:
        """What has to be saved beside epoch and step, as JSON."""
        return None


class _Planned(Source):
    """What `data.batches` returns: its position is the epoch and the step."""

    def num_steps(self, epoch: int) -> int:
        return self.batches.num_steps(epoch)

    def epoch(self, number: int, step: int, saved: Any) -> Iterator[Any]:
        return iter(self.batches.epoch(number, step))


class _Stateful(Source):
    """What has iterators that save their own state, as those of grain."""

    def __init__(self, batches: Any, steps_per_epoch: int | None) -> None:
        super().__init__(batches)
        self.steps = steps_per_epoch
        self.iterator: Any = None

    def num_steps(self, epoch: int) -> int | None:
        return self.steps

    def epoch(self, number: int, step: int, saved: Any) -> Iterator[Any]:
        # Without a number of steps, an epoch is all there is, and the next one begins anew.
        is_new = self.iterator is None or self.steps is None
        iterator: Any = iter(self.batches) if is_new else self.iterator
        self.iterator = iterator
        if is_new and saved is not None:
            iterator.set_state(_decoded(saved))
        yield from iterator if self.steps is None else itertools.islice(iterator, self.steps - step)

    def place(self) -> Any:
        return None if self.iterator is None else _encoded(self.iterator.get_state())


class _Plain(Source):
    """A list, or what can be iterated again and again, or a function of the epoch that returns such a thing."""

    def __init__(self, batches: Any, steps_per_epoch: int | None) -> None:
        super().__init__(batches)
        self.steps = steps_per_epoch

    def num_steps(self, epoch: int) -> int | None:
        if self.steps is not None or callable(self.batches):
            return self.steps
        return len(self.batches) if hasattr(self.batches, "__len__") else None

    def epoch(self, number: int, step: int, saved: Any) -> Iterator[Any]:
        batches: Any = self.batches(number) if callable(self.batches) else self.batches
        return itertools.islice(iter(batches), step, self.steps)


def source_of(batches: Any, steps_per_epoch: int | None) -> Source:
    """The source that fits; raises if batches cannot be repeated."""
    if hasattr(batches, "columns") and hasattr(batches, "lengths"):
        raise TypeError(
            "`Run.restore`: a corpus has rows and no batches yet. Make them: "
            "`data.batches(corpus, data.padded(rows=32), seed=0)`."
        )
    if isinstance(batches, Mapping):
        raise TypeError(
            f"`Run.restore`: the batches of an epoch are wanted; received one {type(batches).__name__}. If it is the "
            "only batch, pass a list of it, `[batch]`."
        )
    if all(hasattr(batches, name) for name in ("num_steps", "epoch", "fingerprint")):
        if steps_per_epoch is not None:
            raise ValueError("`Run.restore`: `steps_per_epoch` is for batches that do not know it themselves.")
        return _Planned(batches)
    is_once = isinstance(batches, Iterator)
    if is_once and not hasattr(batches, "set_state"):
        raise TypeError(
            "`Run.restore`: an iterator gives its batches once, and cannot go on where a checkpoint was; received "
            f"{type(batches).__name__}. Pass `data.batches(...)`, a dataset of grain, a list, or a function of the "
            "epoch that returns the batches: `run.restore(state, lambda epoch: make_batches(seed=epoch), epochs=20)`."
        )
    if is_once and steps_per_epoch is None:
        raise TypeError(
            "`Run.restore`: an iterator gives its batches once, so it has one epoch, or one without end; received "
            f"{type(batches).__name__}. Pass the dataset itself, `batches` instead of `iter(batches)`, or say how many "
            "batches make an epoch: `run.restore(state, iterator, epochs=20, steps_per_epoch=1000)`."
        )
    # Grain documents `get_state` of the iterators of both of its classes; a look at an iterator would start threads.
    modules = {base.__module__.partition(".")[0] for base in type(batches).__mro__}
    if is_once or "grain" in modules:
        return _Stateful(batches, steps_per_epoch)
    if callable(batches) or isinstance(batches, Iterable):
        return _Plain(batches, steps_per_epoch)
    raise TypeError(
        "`Run.restore`: batches are what `data.batches` returns, a dataset of grain, an iterable or a function of the "
        f"epoch; received {type(batches).__name__}."
    )


class RunEpoch:
    """One epoch, or what is left of it: iterate it once.

    Attributes:
        number: its number, from 0.
        num_steps: the number of its batches, or None if unknown.
        first_step: how many of them came before.
    """

    def __init__(self, number: int, num_steps: int | None, first_step: int, batches: Iterator[Any]) -> None:
        self.number, self.num_steps, self.first_step, self._batches = number, num_steps, first_step, batches

    def __iter__(self) -> Iterator[Any]:
        return self._batches

    def __getitem__(self, index: Any) -> NoReturn:
        """Raises: who asks an epoch for a column has taken it for a batch."""
        raise TypeError(f"An epoch is no batch; received the index {index!r}. {TWO_LOOPS}")

    def __repr__(self) -> str:
        return f"RunEpoch(number={self.number}, num_steps={self.num_steps}, first_step={self.first_step})"


class Epochs:
    """The epochs that are left, which note where they are.

    Args:
        source: the batches.
        num_epochs: number of epochs in all; None: without end.
        position: where to begin, what `position` was.
        on_epoch: called with each epoch before it begins.
        on_batch: called with each batch before it is given out.
        should_stop: asked before each batch and epoch.
    """

    def __init__(
        self,
        source: Source,
        num_epochs: int | None,
        position: Position,
        on_epoch: Callable[[RunEpoch], None],
        on_batch: Callable[[Any], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self.source, self.num_epochs = source, num_epochs
        self.number, self.step, self._saved = position["epoch"], position["step"], position["place"]
        self._on_epoch, self._on_batch, self._should_stop = on_epoch, on_batch, should_stop
        self._is_inside = False

    @property
    def position(self) -> Position:
        """Where the run is: the epoch, the batches of it that were given out, and the state of their iterator."""
        place = self.source.place() if self._is_inside else self._saved
        return {"epoch": self.number, "step": self.step, "place": place}

    @property
    def is_between(self) -> bool:
        """Whether no epoch is half done."""
        return not self.step

    def __iter__(self) -> Iterator[RunEpoch]:
        while (self.num_epochs is None or self.number < self.num_epochs) and not self._should_stop():
            number = self.number
            epoch = RunEpoch(number, self.source.num_steps(number), self.step, self._batches())
            self._on_epoch(epoch)
            yield epoch
            if self.number == number and not self._should_stop():  # the user's loop has left it by `break`
                self._finish()

    def _batches(self) -> Iterator[Any]:
        for batch in self.source.epoch(self.number, self.step, self._saved):
            self.step, self._is_inside = self.step + 1, True
            self._on_batch(batch)
            yield batch
            if self._should_stop():
                return
        if not self.step:
            raise ValueError(
                f"`Run.restore`: epoch {self.number} has no batches. Is the data empty, or an iterator at its end? "
                "Pass the dataset, not its iterator."
            )
        self._finish()

    def _finish(self) -> None:
        """The epoch is over; an iterator that goes on through epochs goes on from here."""
        is_one = isinstance(self.source, _Stateful) and self.source.steps is not None
        self._saved = self.source.place() if is_one else None
        self.number, self.step, self._is_inside = self.number + 1, 0, False


def _encoded(state: Any) -> Any:
    return {"bytes": base64.b64encode(state).decode()} if isinstance(state, bytes) else {"json": state}


def _decoded(saved: Any) -> Any:
    return base64.b64decode(saved["bytes"]) if "bytes" in saved else saved["json"]
