"""Checkpoints in a folder: written by orbax, asynchronous and atomic; the last few stay, and the best."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from ..core.lazy import LazyModule
from .state import owned

ocp: Any = LazyModule("orbax.checkpoint", "train")


class OtherRunError(ValueError):
    """A checkpoint is of another model, of other data or of another plan: its folder belongs to another run.

    >>> from jmask import train
    >>> issubclass(train.OtherRunError, ValueError)
    True
    """


class Checkpoints:
    """The checkpoints of a run, numbered 1, 2, ... in the order they were saved.

    Args:
        directory: their folder.
        keep: how many of the last ones stay.
    """

    def __init__(self, directory: Path, keep: int) -> None:
        self.directory, self.keep = directory, keep
        self.best: int | None = None  # the number of the best, which stays as well
        self._pending: tuple[int, int] | None = None
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise type(error)(
                error.errno, f"`Run`: cannot make the folder {str(directory)!r} ({error.strerror}); name another"
            ) from error
        options = ocp.CheckpointManagerOptions(
            preservation_policy=self, enable_async_checkpointing=True, cleanup_tmp_directories=True
        )
        self._manager = ocp.CheckpointManager(directory, options=options)
        self._last = max(self.numbers, default=0)

    @property
    def numbers(self) -> list[int]:
        """The numbers of all complete checkpoints, in order."""
        return sorted(self._manager.all_steps())

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Which checkpoints stay; orbax asks for it after each save."""
        numbers = [checkpoint.step for checkpoint in checkpoints]
        return [number in numbers[-self.keep :] or number == self.best for number in numbers]

    def next_number(self) -> int:
        """The number of the next checkpoint."""
        return self._last + 1

    def save(self, state: Any, meta: dict[str, Any], step: int) -> None:
        """Begins to write a checkpoint; the state may be donated as soon as this returns."""
        self.check()
        arrays, description = _described(state)
        if any(_is_on_cpu(leaf) for leaf in jax.tree.leaves(arrays)):
            arrays = owned(arrays)  # orbax would read the memory of the state itself, which the next step takes
        self._last += 1
        self._pending = (self._last, step)
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(arrays), run=ocp.args.JsonSave({**meta, "leaves": description})
        )
        try:
            self._manager.save(self._last, args=args, force=True)
        except Exception as error:
            raise self._failure(error) from error

    def check(self) -> None:
        """Waits for the checkpoint being written; raises if it could not be."""
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._failure(error) from error
        self._pending = None

    def meta(self, number: int) -> dict[str, Any]:
        """What was saved beside a state."""
        return self._manager.restore(number, args=ocp.args.Composite(run=ocp.args.JsonRestore()))["run"]

    def state(self, number: int, meta: dict[str, Any], like: Any) -> Any:
        """The state of a checkpoint.

        Args:
            number: which.
            meta: what was saved beside it.
            like: a state, or its shapes (not those of keys), whose structure and shardings the result has.

        Raises:
            OtherRunError: the checkpoint is of another model.
        """
        wanted, description = _described(like)
        _check_alike(self.directory, meta["leaves"], description)
        wanted = {
            name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding) for name, leaf in wanted.items()
        }
        found = self._manager.restore(number, args=ocp.args.Composite(state=ocp.args.StandardRestore(wanted)))["state"]
        leaves = [_restored(name, leaf, found) for name, leaf in _named(like)]
        return jax.tree.structure(like).unflatten(leaves)

    def close(self) -> None:
        """Waits for what is being written, and lets go."""
        try:
            self.check()
        finally:
            self._manager.close()

    def _failure(self, error: Exception) -> OSError:
        number, step = self._pending or (self._last, 0)
        whole = [each for each in self.numbers if each < number]
        last = f"the last good one is {self.directory / str(whole[-1])}" if whole else "there is no earlier one"
        return OSError(
            f"`Run`: the checkpoint of step {step} could not be written ({type(error).__name__}: "
            f"{_first_line(error)}); {last}. Make room, and run again: `run.restore` goes on from there."
        )


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _named(tree: Any) -> list[tuple[str, Any]]:
    """The leaves by names such as `params.dense.kernel`, all different."""
    named, seen = [], set()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = jax.tree_util.keystr(path, simple=True, separator=".").replace("/", "|") or "leaf"
        while name in seen:
            name += "_"
        seen.add(name)
        named.append((name, leaf if hasattr(leaf, "sharding") else jnp.asarray(leaf)))
    return named


def _is_on_cpu(leaf: Any) -> bool:
    """Whether its memory is that of the host, whatever the default device is."""
    return not isinstance(leaf, jax.Array) or any(device.platform == "cpu" for device in leaf.devices())


def _described(tree: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """The arrays that orbax can hold, by name, and the dtype and shape of every leaf.

    Orbax holds neither typed keys, whose numbers are saved instead, nor arrays of size 0, which their shape describes.
    """
    arrays, description = {}, {}
    for name, leaf in _named(tree):
        description[name] = f"{leaf.dtype}{list(leaf.shape)}"
        if _is_key(leaf):
            description[name] = f"key of {jax.random.key_impl(leaf)}{list(leaf.shape)}"
            leaf = jax.random.key_data(leaf)
        if leaf.size:
            arrays[name] = leaf
    return arrays, description


def _restored(name: str, like: Any, found: dict[str, Any]) -> Any:
    if _is_key(like):
        return jax.random.wrap_key_data(found[name], impl=jax.random.key_impl(like))
    return found[name] if name in found else jnp.zeros(like.shape, like.dtype, device=like.sharding)


def _check_alike(directory: Path, saved: dict[str, str], wanted: dict[str, str]) -> None:
    if saved == wanted:
        return
    lines = [
        f"{name}: {saved.get(name, 'nothing')} saved, {wanted.get(name, 'nothing')} in the state"
        for name in dict.fromkeys([*wanted, *saved])
        if saved.get(name) != wanted.get(name)
    ]
    more = f"\n  and {len(lines) - 5} more" if len(lines) > 5 else ""
    raise OtherRunError(
        f"`Run.restore`: the checkpoint in {str(directory)!r} is of another model, optimizer or step:\n  "
        + "\n  ".join(lines[:5])
        + f"{more}\nName another folder for this run, `train.Run('runs/other')`, or build what was saved."
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
