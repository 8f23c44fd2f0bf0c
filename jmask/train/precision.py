"""Mixed precision: the computation in fewer bits, and a loss that is scaled so that small gradients survive."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class DynamicScale:
    """How the scale of the loss follows the gradients: it grows while they are finite, and shrinks when they are not.

    Attributes:
        initial: the first scale, above 0.
        growth: the scale is multiplied by this after `interval` finite steps in a row, at least 1.
        interval: number of finite steps before the scale grows, at least 1.
        backoff: the scale is multiplied by this after a step with a gradient that is not finite, between 0 and 1.
        smallest: the scale never falls below this, above 0.

    >>> from jmask import train
    >>> train.DynamicScale(initial=1024.0).initial
    1024.0
    """

    _: dataclasses.KW_ONLY
    initial: float = 2.0**15
    growth: float = 2.0
    interval: int = 2000
    backoff: float = 0.5
    smallest: float = 1.0

    def __post_init__(self) -> None:
        fits = self.initial > 0 and self.growth >= 1 and self.interval >= 1 and 0 < self.backoff < 1
        if not (fits and self.smallest > 0):
            raise ValueError(
                "`DynamicScale`: `initial` and `smallest` are above 0, `growth` and `interval` at least 1, `backoff` "
                f"between 0 and 1; received {self}."
            )

    def start(self) -> dict[str, np.ndarray]:
        """The first state."""
        return {"scale": np.asarray(self.initial, np.float32), "finite_steps": np.asarray(0, np.int32)}

    def next(self, state: dict[str, Any], is_finite: Any) -> dict[str, Any]:
        """The state after a step."""
        steps = jnp.where(is_finite, state["finite_steps"] + 1, 0)
        grows = steps >= self.interval
        grown = jnp.where(grows, state["scale"] * self.growth, state["scale"])
        grown = jnp.where(jnp.isfinite(grown), grown, state["scale"])
        shrunk = jnp.maximum(state["scale"] * self.backoff, self.smallest)
        return {"scale": jnp.where(is_finite, grown, shrunk), "finite_steps": jnp.where(grows, 0, steps)}


LossScale = int | float | Literal["dynamic"] | DynamicScale | None


def checked_loss_scale(given: LossScale) -> float | DynamicScale | None:
    """A number, a rule, or None."""
    if isinstance(given, str) and given == "dynamic":
        return DynamicScale()
    if given is None or isinstance(given, DynamicScale):
        return given
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not (0 < given < float("inf")):
        raise ValueError(
            "`train.step`: `loss_scale` is a number above 0, 'dynamic' or a `train.DynamicScale`; received "
            f"{given!r:.80}."
        )
    return float(given)


def checked_compute_dtype(given: Any) -> Any:
    """A float dtype, or None."""
    if given is None:
        return None
    try:
        dtype = jnp.dtype(given)
    except TypeError:
        dtype = None
    if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(
            f"`train.step`: `compute_dtype` is a dtype of floats, such as 'bfloat16'; received {given!r:.80}."
        )
    return dtype


def cast_floats(tree: Any, dtype: Any) -> Any:
    """A tree with its floats in another dtype; a tree as it is if `dtype` is None."""

    def cast(leaf: Any) -> Any:
        return leaf.astype(dtype) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating) else leaf

    return tree if dtype is None else jax.tree.map(cast, tree)


def all_finite(tree: Any) -> Any:
    """Whether no number of a tree is NaN or infinite."""
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)] or [jnp.array(True)]).all()
