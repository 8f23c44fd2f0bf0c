"""A user's loss: what it asks for by name, and what it may return."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..losses.accumulator import Mean, Sums

_BY_NAME = ("key", "statistics")
_REMEDY = (
    "A loss of jmask returns its sums with `divide=False`: `jm.losses.squared_error(outputs, targets, divide=False)`. "
    "Losses of steps that you computed yourself: `jm.metrics.mean(losses)`. Sums of your own: "
    "`jm.losses.Mean(total, count)`"
)


class LossParts(NamedTuple):
    """What a loss gave for a batch.

    Attributes:
        mean: the loss, undivided.
        sums: metrics by name.
        statistics: the new running statistics, or None.
    """

    mean: Mean
    sums: dict[str, Sums]
    statistics: Any


class LossFunction:
    """Calls a loss with what its signature asks for, and checks what it returns."""

    def __init__(self, function: Callable[..., Any]) -> None:
        if not callable(function):
            raise TypeError(f"`train.step`: the loss is a function `loss(params, batch)`; received {function!r:.80}.")
        self.function = function
        parameters = list(inspect.signature(function).parameters.values())
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        rest = [p for p in parameters if p not in positional[:2]]
        unknown = [
            p.name
            for p in rest
            if p.name not in _BY_NAME and p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
        if len(positional) < 2 or unknown or {p.name for p in positional[:2]} & set(_BY_NAME):
            raise TypeError(
                "`train.step`: a loss takes the parameters and a batch, and may ask for `key` and `statistics` by "
                f"these names, `loss(params, batch, key, statistics)`; received `loss{inspect.signature(function)}`. "
                "Bind other arguments by `functools.partial`."
            )
        self.takes = {p.name for p in rest} & set(_BY_NAME)

    def __call__(self, params: Any, batch: Any, key: Any, statistics: Any) -> LossParts:
        """The sums of a batch."""
        options = {"key": key, "statistics": statistics}
        returned = self.function(params, batch, **{name: options[name] for name in self.takes})
        parts = returned if isinstance(returned, tuple) else (returned,)
        new = None
        if "statistics" in self.takes:
            if len(parts) not in (2, 3):
                raise TypeError(
                    "`train.step`: a loss that takes `statistics` returns the new ones last, `return mean, statistics` "
                    f"or `return mean, metrics, statistics`; received {_kinds(parts)}."
                )
            *parts, new = parts
        if len(parts) not in (1, 2):
            raise TypeError(
                "`train.step`: a loss returns a `jm.losses.Mean`, or this and a dict of metrics, `return mean, "
                f"{{'accuracy': jm.metrics.accuracy(logits, targets)}}`; received {_kinds(parts)}. New running "
                "statistics are returned by a loss that has a parameter `statistics`."
            )
        mean = _checked_mean(parts[0])
        return LossParts(mean, _checked_sums(parts[1]) if len(parts) == 2 else {}, new)


def _checked_mean(mean: Any) -> Mean:
    if type(mean) is not Mean:
        raise TypeError(
            "`train.step`: a loss returns its sum and its count, a `jm.losses.Mean`, which are divided once; a number "
            f"would give the steps of short batches more weight than those of long ones. Received {_kind(mean)}. "
            f"{_REMEDY}."
        )
    shapes = jnp.shape(mean.total), jnp.shape(mean.count)
    if shapes != ((), ()):
        raise ValueError(
            "`train.step`: the total and the count of the loss are single numbers; received shapes "
            f"{shapes[0]} and {shapes[1]}. Sum them: `jm.losses.Mean(total.sum(), count.sum())`."
        )
    return Mean(jnp.asarray(mean.total), jnp.asarray(mean.count))


def _checked_sums(sums: Any) -> dict[str, Sums]:
    if not isinstance(sums, Mapping) or not all(isinstance(name, str) for name in sums):
        raise TypeError(
            "`train.step`: metrics are a dict by name, `return mean, {'accuracy': jm.metrics.accuracy(logits, "
            f"targets)}}`; received {_kind(sums)}."
        )
    for name, value in sums.items():
        if not isinstance(value, Sums):
            raise TypeError(
                f"`train.step`: metrics are sums, as `jm.metrics` and losses with `divide=False` return them, so that "
                f"batches add up; received {_kind(value)} for {name!r}. {_REMEDY}."
            )
    if taken := sorted({"loss", "skipped"} & set(sums)):
        raise ValueError(f"`train.step`: the step itself gives the sums {taken}; choose other names for the metrics.")
    return dict(sums)


def _kinds(parts: Any) -> str:
    return f"({', '.join(map(_kind, parts))})"


def _kind(value: Any) -> str:
    """What a value is, in short."""
    if isinstance(value, (jax.Array, float, int)) and not isinstance(value, bool):
        return f"a number or array, {jnp.result_type(value).name}{list(jnp.shape(value))}"
    return f"a {type(value).__name__}"
