"""Gradients of sums: of one batch, or of its parts one after the other."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..losses.accumulator import Sums
from ..transform import skip_padding
from .loss_function import LossFunction
from .precision import all_finite, cast_floats


class BatchGradients(NamedTuple):
    """What a batch adds.

    Attributes:
        gradients: of the total of the loss, not divided, in at least float32.
        count: what to divide them by, in the end.
        statistics: the new running statistics, or None.
        is_finite: whether the gradients are; where they are not, they and the count are 0.
        sums: the loss and the metrics.
    """

    gradients: Any
    count: Any
    statistics: Any
    is_finite: Any
    sums: dict[str, Sums]


class Differentiation:
    """The gradients of a loss with respect to the parameters.

    Args:
        loss: the loss.
        compute_dtype: what the floats of the parameters are cast to, or None.
        split: number of parts of a batch.
        fractions: of the rows, for `jm.skip_padding`; None: padded batches are computed as they are.
    """

    def __init__(
        self, loss: LossFunction, compute_dtype: Any, split: int, fractions: tuple[float, ...] | None = None
    ) -> None:
        self.loss, self.dtype, self.split = loss, compute_dtype, split
        # Gradients included, so that all of it is in the branch; the optimizer has nothing to do with padding.
        self._gradients = self._whole if fractions is None else skip_padding(self._whole, fractions=fractions)

    def __call__(self, params: Any, batch: Any, key: Any, statistics: Any, scale: Any) -> BatchGradients:
        """The gradients of a batch, whose parts go through one `jax.lax.scan` if there are several."""
        if self.split == 1:
            return self._gradients(params, batch, key, statistics, scale)
        parts = self._parts(batch)

        def add(carry: Any, part: Any) -> Any:
            number, batch = part
            gradients, count, statistics, is_finite = carry
            own = None if key is None else jax.random.fold_in(key, number)
            new = self._gradients(params, batch, own, statistics, scale)
            gradients = jax.tree.map(jnp.add, gradients, new.gradients)
            return (gradients, count + new.count, new.statistics, is_finite & new.is_finite), new.sums

        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, summed_dtype(leaf)), params)
        carry = (zeros, jnp.zeros(()), statistics, jnp.array(True))
        total, sums = jax.lax.scan(add, carry, (jnp.arange(self.split), parts))
        return BatchGradients(*total, sums=jax.tree.map(lambda leaf: leaf.sum(0), sums))

    def _whole(self, params: Any, batch: Any, key: Any, statistics: Any, scale: Any) -> BatchGradients:
        def objective(params: Any) -> Any:
            found = self.loss(cast_floats(params, self.dtype), batch, key, statistics)
            if scale is None:
                return found.mean.total, found
            # Divided here already: undivided sums are large, and this is for dtypes that overflow.
            return found.mean.total * (scale / _at_least_something(found.mean.count)), found

        gradients, (mean, sums, new) = jax.grad(objective, has_aux=True)(params)
        gradients = cast_to_sum(gradients)
        count, is_finite = jnp.asarray(mean.count, jnp.zeros(()).dtype), jnp.array(True)
        if scale is not None:
            is_finite = all_finite(gradients)
            factor = _at_least_something(count) / scale
            gradients = jax.tree.map(lambda leaf: jnp.where(is_finite, leaf * factor.astype(leaf.dtype), 0), gradients)
            count = jnp.where(is_finite, count, 0)
        statistics = chosen(count != 0, as_before(statistics, new, "statistics"), statistics)
        return BatchGradients(gradients, count, statistics, is_finite, {"loss": mean, **sums})

    def _parts(self, batch: Any) -> Any:
        shapes = [leaf.shape for leaf in jax.tree.leaves(batch)]
        rows = {shape[0] if shape else 1 for shape in shapes}
        if len(rows) != 1 or next(iter(rows)) % self.split:
            raise ValueError(
                f"`train.step`: `split={self.split}` cuts every array of a batch into parts along its first axis, the "
                f"rows, so all have equally many, a multiple of {self.split}; received shapes {shapes}. Let batches "
                "have another number of rows, or accumulate over batches, whatever they hold: `accumulate=`."
            )
        return jax.tree.map(lambda leaf: leaf.reshape(self.split, leaf.shape[0] // self.split, *leaf.shape[1:]), batch)


def summed_dtype(leaf: Any) -> Any:
    """The dtype that the gradients of a parameter are added up in."""
    return jnp.promote_types(leaf.dtype, jnp.float32)


def cast_to_sum(gradients: Any) -> Any:
    """Gradients in the dtype that they are added up in."""
    return jax.tree.map(lambda leaf: leaf.astype(summed_dtype(leaf)), gradients)


def chosen(condition: Any, tree: Any, other: Any) -> Any:
    """`tree` where the condition holds, or `other`."""
    return jax.tree.map(lambda new, old: old if new is old else jnp.where(condition, new, old), tree, other)


def as_before(old: Any, new: Any, what: str) -> Any:
    """A new tree in the dtypes of the old one, which has to have its structure and shapes."""
    if jax.tree.structure(old) != jax.tree.structure(new) or _shapes(old) != _shapes(new):
        raise ValueError(
            f"`train.step`: a step gives {what} of the structure and shapes it was given, so that the next step can "
            f"go on; given {jax.tree.map(jnp.shape, old)}, and got {jax.tree.map(jnp.shape, new)}."
        )
    return jax.tree.map(lambda before, now: jnp.asarray(now).astype(before.dtype), old, new)


def _shapes(tree: Any) -> list[tuple[int, ...]]:
    return [jnp.shape(leaf) for leaf in jax.tree.leaves(tree)]


def _at_least_something(count: Any) -> Any:
    """A count to divide by, which is not 0."""
    count = jax.lax.stop_gradient(jnp.asarray(count, jnp.zeros(()).dtype))
    return jnp.where(count == 0, 1, count)
