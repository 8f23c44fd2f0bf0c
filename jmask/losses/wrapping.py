"""The one wrapper: a loss of each step becomes a loss of sequences with masks."""

import functools
import inspect
from collections.abc import Callable
from inspect import Parameter
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Num

from ..core.masked import Masked
from ..ops.linear import AnyArray, check_float
from .accumulator import Mean, value_of
from .labels import Range, check_ignore_index, outside
from .ranges import range_of
from .reduce import Reduction, check_reduction, reduce
from .steps import align


def _options(
    *,
    sample_weight: Masked | Num[AnyArray, "..."] | Bool[AnyArray, "..."] | None = None,
    mask: Any = None,
    reduction: Reduction = "steps",
    divide: bool = True,
    ignore_index: int | None = None,
) -> None:
    """The options of losses, for their signatures."""


*_OPTIONS, _IGNORE_INDEX = inspect.signature(_options).parameters.values()


def masked_loss(function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a loss that knows nothing of masks, such as those of optax, count real steps only.

    The result is called as `loss(predictions, targets, *, sample_weight=None, mask=None, reduction="steps",
    divide=True, **options)`.

    A step counts where predictions, targets and weights are all real; of packed rows, where they belong to the same
    sequence. The function sees 1 (0 if integer) at all other steps, so nothing that stands there reaches the loss, and
    their gradient is exactly 0. It sees float32 where the data are narrower. A loss that the function gives for each
    entry of a step, such as a squared error of several features, is averaged over the entries. Losses of optax that
    take ids, decisions or signs refuse others and have an `ignore_index`, as those of `jm.losses` do.

    - `predictions`: floats, `(batch, time, ...)`, a `Masked` or an array, in which all steps are real.
    - `targets`: a `Masked` with a mask of its own, or an array.
    - `sample_weight`: `(batch,)` for sequences or `(batch, time)` for steps: the loss of a step is multiplied by it.
      May be a `Masked`. Bools do not weigh: they are a mask, and a step that is False counts nowhere.
    - `mask`: overrides the mask of the predictions; `jm.NO_MASK` removes it.
    - `reduction`: `"steps"`: the sum of the losses over the number of real steps, whatever their weights are, so that
      a weight scales the part of its step in the gradient, and a step of weight 0 still counts; `"sequences"`: the
      mean over the steps of each sequence, also of each one in a packed row, and of these the mean over the sequences
      that have a step (of one axis alone, `(batch,)` or `(time,)`, each entry counts as one); `"weights"`: the sum
      over the sum of the weights, to which a weight of 0 adds nothing; `"sum"`: the sum; None: the weighted losses,
      `(batch, time)`.
    - `divide`: False gives a `jm.losses.Mean` that is not divided yet, to be added up over batches and devices.
    - `options`: those of the function.

    Not every real step of the predictions needs a target. But targets that are real where the predictions are padding
    give a `jm.NotCountedWarning`, or a `jm.NotCountedError` under `jm.strict()`, where both masks are concrete; and so
    does a mean of nothing at all. Under `jax.jit` nobody can see it: there `divide=False` gives sums with
    `.is_empty` and `.value_or(...)`.

    Args:
        function: takes arrays of predictions and targets, and options by name; gives a loss for each step, or for each
            entry of a step.

    Returns:
        A function of `Masked` or arrays. It returns an array of the dtype of the predictions; of `reduction=None`, a
        `Masked` with 0 at padded steps if an input was one. Without any real step the loss is 0, and so are all
        gradients.

    Raises:
        TypeError: predictions that are not floats, or an option that the function does not have.
        ValueError: shapes that do not fit one another, or another word for `reduction`.
        NotCountedError: labels without a prediction, or no real step, under `jm.strict()`.

    >>> import jax.numpy as jnp, jmask as jm, optax
    >>> x = jm.from_lengths(jnp.array([[3.0, 1.0, jnp.nan], [5.0, jnp.nan, jnp.nan]]), [2, 1])
    >>> loss = jm.losses.masked_loss(optax.l2_loss)
    >>> float(loss(x, jnp.ones((2, 3)))), float(loss(x, jnp.ones((2, 3)), reduction="sequences"))
    (3.3333332538604736, 4.5)
    """
    return _masked_loss(function, range_of(function))


def of_labels(label_range: Range) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`masked_loss` for a loss that knows which targets there are, and so has the option `ignore_index` too.

    A target outside raises an error where it is concrete. Where it is traced, the loss is NaN, and so are its
    gradients: they would be wrong in silence.
    """
    return functools.partial(_masked_loss, label_range=label_range)


def _masked_loss(function: Callable[..., Any], label_range: Range | None) -> Callable[..., Any]:
    name = name_of(function)
    own = list(inspect.signature(function).parameters.values())[2:]
    more = own if label_range is None else [_IGNORE_INDEX, *own]

    @functools.wraps(function)
    def loss(
        predictions: Any,
        targets: Any,
        *,
        sample_weight: Any = None,
        mask: Any = None,
        reduction: Reduction = "steps",
        divide: bool = True,
        **options: Any,
    ) -> Any:
        _check_options(name, options, more)
        check_reduction(name, reduction, divide)
        labels: dict[str, Any] = {}
        if label_range is not None:
            labels = {"labels": True, "ignore_index": check_ignore_index(name, options.pop("ignore_index", None))}
        steps = align(name, (predictions, targets), sample_weight, mask, **labels)
        found, true = steps.values
        check_float(found, name)
        if label_range is None:
            losses = function(found, true, **options)
        else:
            low, high = label_range(name, found, true)
            wrong = outside(name, steps.labels, steps.mask, low, high)
            if wrong is None:
                losses = function(found, true, **options)
            else:
                losses = function(found, jnp.where(wrong, low, true).astype(true.dtype), **options)
                losses *= jnp.where(wrong, jnp.nan, 1).astype(losses.dtype)  # of gradients, too
        return divided(name, reduce(steps, steps.per_step(losses), reduction), steps.dtype, divide)

    loss.__signature__ = _signature(function, more)  # pyright: ignore[reportAttributeAccessIssue]
    return loss


def name_of(function: Any) -> str:
    """What errors call it; a partial object has the name of its function."""
    if isinstance(function, functools.partial):
        return name_of(function.func)
    return getattr(function, "__name__", type(function).__name__)


def divided(name: str, reduced: Any, dtype: Any, divide: bool = True) -> Any:
    """What `reduce` gives, as a loss returns it."""
    if not isinstance(reduced, Mean):
        return reduced.astype(dtype)
    return value_of(reduced, name).astype(dtype) if divide else reduced


def _check_options(name: str, options: dict[str, Any], known: list[Parameter]) -> None:
    names = {parameter.name for parameter in known}
    if options.keys() <= names or any(parameter.kind is Parameter.VAR_KEYWORD for parameter in known):
        return
    unknown = ", ".join(f"`{key}`" for key in sorted(options.keys() - names))
    has = ", ".join(f"`{parameter.name}`" for parameter in (*_OPTIONS, *known))
    raise TypeError(f"`{name}` has no option {unknown}; it has {has}.")


def _signature(function: Callable, more: list[Parameter]) -> inspect.Signature:
    """That of the function, for `Masked` too, with our options beside its own."""
    first, second = list(inspect.signature(function).parameters.values())[:2]
    inputs = [
        Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, annotation=Masked | _annotation(parameter))
        for name, parameter in (("predictions", first), ("targets", second))
    ]
    keep = (Parameter.KEYWORD_ONLY, Parameter.VAR_KEYWORD)
    own = [p if p.kind in keep else p.replace(kind=Parameter.KEYWORD_ONLY) for p in more]
    options = sorted((*_OPTIONS, *own), key=lambda parameter: parameter.kind)
    return inspect.Signature([*inputs, *options], return_annotation=Array | Masked | Mean)


def _annotation(parameter: Parameter) -> Any:
    return ArrayLike if parameter.annotation in (Parameter.empty, Any) else parameter.annotation
