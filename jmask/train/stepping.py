"""The training step: `(state, batch) -> (state, sums)`, pure and jitted."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ..core.lazy import LazyModule
from ..losses.accumulator import Mean, Sums
from ..transform.skipping import FRACTIONS
from ..transform.skipping_errors import checked_fractions
from .compilation import Shapes
from .epochs import TWO_LOOPS
from .loss_function import LossFunction
from .microbatch import BatchGradients, Differentiation, as_before, chosen, summed_dtype
from .placement import Programs, on_the_mesh_of
from .precision import DynamicScale, LossScale, checked_compute_dtype, checked_loss_scale
from .state import State, owned

optax: Any = LazyModule("optax")


def step(
    loss: Callable[..., Any],
    optimizer: Any,
    *,
    accumulate: int = 1,
    split: int = 1,
    average: float | None = None,
    compute_dtype: Any = None,
    loss_scale: LossScale = None,
    skip_padding: bool | Iterable[float] = False,
    shapes: int = 1,
) -> "Step":
    """Makes a training step: the gradients of a loss, added up over batches, divided once, and given to an optimizer.

    Args:
        loss: `loss(params, batch)`; it may ask for `key`, a PRNG key of its own for each step, and for `statistics`,
            the running statistics of the model, by these names. It returns its sum and count, a `jm.losses.Mean` (such
            as a loss of `jm.losses` with `divide=False`), or `(mean, metrics)` with a dict of metrics by name; if it
            takes statistics, the new ones come last, `(mean, statistics)` or `(mean, metrics, statistics)`.
        optimizer: a gradient transformation of optax. Its schedules count updates; clipping sees the divided
            gradients.
        accumulate: number of successive batches for each update. Gradients and counts are added up in the state, so
            the update is that of all their steps in one batch, however unequal the batches are.
        split: number of parts, cut along the first axis of every array in a batch, that go through the loss one after
            the other, in one `jax.lax.scan`. This saves memory; the gradients are those of the whole batch.
        average: the decay of the exponential average of the parameters, between 0 and 1, such as 0.999; it is that of
            `optax.ema`, with its correction of the start. `state.average` is the average. None keeps no average.
        compute_dtype: the dtype that the floats of the parameters have in the loss, such as "bfloat16". The batch
            stays as it is, since it also holds targets and weights; inputs of floats need a cast in the loss,
            `model.apply(params, batch["frames"].astype("bfloat16"))`, or JAX computes in float32. The parameters in
            the state, gradient sums and losses stay in float32. None changes nothing.
        loss_scale: a factor of the loss while gradients are computed, for float16: a number, "dynamic" or a
            `train.DynamicScale`. A batch whose gradients are not finite is skipped, and `sums["skipped"]` counts it.
        skip_padding: whether loss and gradients run on packed rows inside the program, so that padding takes no time:
            `jm.skip_padding` says what may be in the loss then. True compiles for the fractions of rows that it has by
            default; or the fractions. Each part of a `split` is packed by itself.
        shapes: how many shapes of batches will come; more of them warn once, since each shape is compiled.

    Returns:
        A `Step`. `step.init(params, key)` makes the state; `step(state, batch)` returns the new state and the sums of
        the batch, `{"loss": ..., **metrics}`.

    A batch without any real step changes nothing but `state.step`. Sums are those of one batch, before the update.

    Raises:
        TypeError: the loss takes or returns something else; a plain number is refused, since means of batches do not
            add up.
        ValueError: an option is out of range, or `split` does not divide the rows of a batch.

    >>> import jax, jax.numpy as jnp, optax, jmask as jm
    >>> from jmask import train
    >>> model = jm.Sequential([jm.Input((None,), "int32"), jm.layers.Embedding(9, 4), jm.layers.Dense(2)])
    >>> def loss(params, batch):
    ...     return jm.losses.squared_error(model.apply(params, batch), jnp.ones((2, 3, 2)), divide=False)
    >>> step = train.step(loss, optax.sgd(0.1))
    >>> state = step.init(model.init(jax.random.key(0)))
    >>> state, sums = step(state, jm.pad_sequences([[3, 4, 5], [6]]))
    >>> int(state.step), float(sums["loss"].count)
    (1, 4.0)
    """
    for name, number in (("accumulate", accumulate), ("split", split), ("shapes", shapes)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"`train.step`: `{name}` is a whole number from 1 on; received {number!r:.80}.")
    if average is not None and not 0 <= average < 1:
        raise ValueError(
            f"`train.step`: `average` is the decay, at least 0 and below 1, such as 0.999; received {average!r}."
        )
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise TypeError(
            "`train.step`: the optimizer is a gradient transformation of optax, such as `optax.adam(1e-3)`; received "
            f"{optimizer!r:.80}."
        )
    function, dtype = LossFunction(loss), checked_compute_dtype(compute_dtype)
    asked: Any = FRACTIONS if skip_padding is True else skip_padding
    fractions = None if asked is False else checked_fractions(asked)
    differentiate = Differentiation(function, dtype, split, fractions)
    return Step(function, differentiate, optimizer, accumulate, average, checked_loss_scale(loss_scale), Shapes(shapes))


class Step:
    """A training step, as `train.step` makes it.

    `step.init(params, key)` makes the state and `step(state, batch)` returns the next one and the sums of the batch.
    """

    def __init__(
        self,
        loss: LossFunction,
        differentiate: Differentiation,
        optimizer: Any,
        accumulate: int,
        decay: float | None,
        loss_scale: float | DynamicScale | None,
        shapes: Shapes,
    ) -> None:
        self._loss, self._differentiate, self._optimizer = loss, differentiate, optimizer
        self._accumulate, self._decay, self._loss_scale, self._shapes = accumulate, decay, loss_scale, shapes
        self._programs = Programs(self._next)

    def init(self, params: Any, key: Any = None, *, statistics: Any = None) -> State:
        """Makes the first state.

        Args:
            params: the parameters; they are copied, since a step donates its state.
            key: a PRNG key, which the key of each step is made from; needed if the loss takes `key`.
            statistics: the running statistics, `model.init_state(x)`; needed if the loss takes `statistics`.

        Returns:
            The state before the first step. Arrays keep their shardings, as they do from step to step. Where parameters
            are divided over a mesh, what mirrors them is divided alike, and all else is put on each of its devices.

        Raises:
            TypeError: a parameter is not a float, or is no array.
            ValueError: the loss needs a key or statistics, or takes no statistics.
        """
        needs = self._loss.takes
        if "key" in needs and key is None:
            raise ValueError("`step.init`: the loss takes `key`; pass one: `step.init(params, jax.random.key(0))`.")
        if ("statistics" in needs) != (statistics is not None):
            raise ValueError(
                "`step.init`: the loss takes `statistics`; pass them: `statistics=model.init_state(x)`."
                if statistics is None
                else "`step.init`: the loss takes no `statistics`, so they would never change; write "
                "`loss(params, batch, statistics)`, and return the new ones last."
            )
        _check_floats(params)
        params = owned(params)
        pending = None
        if self._accumulate > 1:
            gradients = jax.tree.map(lambda leaf: jnp.zeros_like(leaf, summed_dtype(leaf)), params)
            pending = {"gradients": gradients, "count": jnp.zeros(())}
        state = State(
            step=jnp.zeros((), jnp.int32),
            updates=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=owned(self._optimizer.init(params)),
            statistics=owned(statistics),
            key=owned(key),
            average=None if self._decay is None else owned(params),
            pending=pending,
            loss_scale=owned(self._loss_scale.start()) if isinstance(self._loss_scale, DynamicScale) else None,
        )
        return on_the_mesh_of(params, state)

    def __call__(self, state: State, batch: Any) -> tuple[State, dict[str, Sums]]:
        """The next state, and the sums of a batch.

        Args:
            state: the state, whose memory the new one takes: do not use it again.
            batch: what the loss takes, a pytree of arrays and `Masked`.

        Returns:
            The state after the batch, and its sums: `"loss"`, the metrics, and `"skipped"` where the loss is scaled.

        Raises:
            TypeError: the batch holds strings or other objects, or is an epoch or a dataset, or the state is none.
            ValueError: the state has been given to a step before; or the loss takes no packed rows, or the like.
        """
        if not isinstance(state, State):
            raise TypeError(
                "`step(state, batch)` takes the state first, as `step.init(params)` makes it and each step returns it; "
                f"received a {type(state).__name__}."
            )
        try:
            return self._programs.of(state)(state, batch)
        except TypeError:
            _refuse_many(batch)
            _refuse_objects(batch)
            raise
        except (RuntimeError, ValueError):
            _refuse_donated(state)
            raise

    def lower(self, state: State, batch: Any) -> Any:
        """The lowered program of the step, as `jax.jit(f).lower` gives it: `.compile()` shows its costs.

        Args:
            state: the state, or its shapes.
            batch: a batch, or its shapes.

        Returns:
            A `jax.stages.Lowered`.
        """
        return self._programs.of(state).lower(state, batch)

    def _next(self, state: State, batch: Any) -> tuple[State, dict[str, Sums]]:
        self._shapes.add(batch)
        key = None if state.key is None else jax.random.fold_in(state.key, state.step)
        rule = self._loss_scale if isinstance(self._loss_scale, DynamicScale) else None
        scale = self._loss_scale if rule is None else state.loss_scale["scale"]
        found = self._differentiate(state.params, batch, key, state.statistics, scale)
        sums = found.sums
        if scale is not None:
            skipped = 1 - found.is_finite.astype(jnp.float32)
            sums = {**sums, "skipped": Mean(skipped, jnp.ones_like(skipped))}
        new = self._changed(state, found)
        new = new.replace(
            step=state.step + 1,
            statistics=found.statistics,
            loss_scale=None if rule is None else rule.next(state.loss_scale, found.is_finite),
        )
        return new, sums

    def _changed(self, state: State, found: BatchGradients) -> State:
        """The state with these gradients: used at once, or added to the pending ones until there are enough."""
        if self._accumulate == 1:
            return chosen(found.count != 0, self._updated(state, found.gradients, found.count), state)
        gradients = jax.tree.map(jnp.add, state.pending["gradients"], found.gradients)
        count = state.pending["count"] + found.count

        def update(state: State) -> State:
            updated = self._updated(state, gradients, count)
            return updated.replace(pending=jax.tree.map(jnp.zeros_like, state.pending))

        def wait(state: State) -> State:
            return state.replace(pending={"gradients": gradients, "count": count})

        is_due = (state.step + 1) % self._accumulate == 0
        return jax.lax.cond(is_due & (count != 0), update, wait, state)

    def _updated(self, state: State, gradients: Any, count: Any) -> State:
        """The state after an update of the optimizer."""
        divisor = jnp.where(count == 0, 1, count)
        gradients = jax.tree.map(
            lambda total, leaf: (total / divisor.astype(total.dtype)).astype(leaf.dtype), gradients, state.params
        )
        changes, opt_state = self._optimizer.update(gradients, state.opt_state, state.params)
        params = as_before(state.params, optax.apply_updates(state.params, changes), "parameters")
        updates = state.updates + 1
        average = state.average
        if self._decay is not None:
            # What `optax.ema` divides by, put into the size of the step, so that the average is kept corrected.
            size = (1 - self._decay) / (1 - self._decay ** updates.astype(jnp.float32))
            average = as_before(average, optax.incremental_update(params, average, size), "averaged parameters")
        opt_state = as_before(state.opt_state, opt_state, "an optimizer state")
        return state.replace(params=params, opt_state=opt_state, updates=updates, average=average)


def _check_floats(params: Any) -> None:
    """Raises for what no gradient exists of, such as the counters and keys beside the parameters of a module."""
    for path, leaf in jax.tree.leaves_with_path(params):
        dtype = getattr(leaf, "dtype", None) or np.asarray(leaf).dtype
        if not jnp.issubdtype(dtype, jnp.inexact):
            raise TypeError(
                f"`step.init`: parameters are floats, since the loss is differentiated by them; params"
                f"{jax.tree_util.keystr(path)} is {dtype}. Leave out what is not trained: of a module of Flax NNX, "
                "`graph, params, rest = nnx.split(module, nnx.Param, ...)`, and in the loss "
                "`nnx.merge(graph, params, rest)`."
            )


def _refuse_donated(state: State) -> None:
    """Raises for a state whose memory another step has taken."""
    arrays = [x for x in jax.tree.leaves(state) if isinstance(x, jax.Array) and not isinstance(x, Tracer)]
    if any(array.is_deleted() for array in arrays):
        raise ValueError(
            "`train.step`: this state has been given to a step, which took its memory; go on with the one that it "
            "returned, `state, sums = step(state, batch)`. To keep one, copy it: `jax.tree.map(jnp.copy, state)`."
        ) from None


def _refuse_many(batch: Any) -> None:
    """Raises for what holds batches: an epoch, epochs, or a dataset."""
    is_leaf = jax.tree.structure(batch) == jax.tree.structure(0)
    if is_leaf and hasattr(batch, "__iter__") and not hasattr(batch, "dtype") and not isinstance(batch, (str, bytes)):
        raise TypeError(
            f"`step(state, batch)` takes one batch; received a {type(batch).__name__}. {TWO_LOOPS} Without a run: "
            "`for batch in batches: state, sums = step(state, batch)`."
        )


def _refuse_objects(batch: Any) -> None:
    """Raises for a batch that JAX cannot take, and says how its strings become numbers."""
    for path, leaf in jax.tree.leaves_with_path(batch):
        if getattr(getattr(leaf, "dtype", None), "kind", "") in ("O", "U", "S", "T") or isinstance(leaf, (str, bytes)):
            raise TypeError(
                f"`train.step`: batch{jax.tree_util.keystr(path)} holds strings or other objects, where numbers are "
                "needed. Encode the column before batches are made, `numbers = data.Vocabulary.of(corpus['words'])` "
                "and `corpus = corpus.replace(words=numbers.encode(corpus['words']))`, or leave it out, "
                "`corpus.replace(words=None)`."
            )
