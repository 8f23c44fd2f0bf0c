"""The wrapper of all step losses: it turns a loss on plain arrays into one on sequences with masks."""

import functools
import inspect
import re
import textwrap
from collections.abc import Callable
from inspect import Parameter
from typing import Any, TypeVar

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Num

from ..core.masked import Masked
from ..ops.linear import AnyArray, check_float
from .accumulator import Mean, value_of
from .labels import Range, check_ignore_index, outside
from .ranges import range_of
from .reduce import Reduction, check_reduction, reduce
from .signatures import AnyLoss
from .steps import align

F = TypeVar("F", bound=Callable[..., Any])


def _options(
    *,
    sample_weight: Masked | Num[AnyArray, "..."] | Bool[AnyArray, "..."] | None = None,
    mask: Any = None,
    reduction: Reduction = "steps",
    divide: bool = True,
    ignore_index: int | None = None,
) -> None:
    """The options of every loss, for their signatures."""


*_OPTIONS, _IGNORE_INDEX = inspect.signature(_options).parameters.values()


OPTIONS = """\
sample_weight: `(batch,)` for sequences or `(batch, time)` for steps, an array or a `Masked`: the loss of a step
    is multiplied by its weight. For the sequences of packed rows it is `(num_sequences,)`. Bools are a mask
    instead: a step that is False does not count.
mask: replaces the mask of the predictions; `jm.NO_MASK` removes it.
reduction: `"steps"`: the sum of the weighted losses divided by the number of real steps, whatever their
    weights; `"sequences"`: the mean over the steps of each sequence, then the mean over the sequences that have
    a step; `"weights"`: the sum of the weighted losses divided by the sum of the weights; `"sum"`: the sum;
    None: the weighted losses, `(batch, time)`.
divide: False returns a `jm.losses.Mean`, a sum and its count, to be added up over batches and devices.
"""
# The line that stands for them in the docstring of a loss; `help` shows the options themselves instead.
PLACEHOLDER = re.compile(r"^( *)\*\*options: `sample_weight`, `mask`, `reduction` and `divide`, .*\n", re.MULTILINE)


def with_options(function: F) -> F:
    """Writes the shared options into the docstring of a loss."""
    function.__doc__ = PLACEHOLDER.sub(lambda line: textwrap.indent(OPTIONS, line[1]), function.__doc__ or "")
    return function


@with_options
def masked_loss(function: Callable[..., Any]) -> AnyLoss:
    """Makes a loss that knows nothing of masks, such as one from optax, count real steps only.

    The result is called as `loss(predictions, targets, **options)`. A step counts if predictions, targets and weights
    are all real there; in packed rows, if they belong to the same sequence. At all other steps the function sees 1 (0
    for integers), so padded values cannot reach the loss, and their gradients are exactly 0. Narrower floats are
    converted to float32. If the function gives a loss for each entry of a step, such as the squared error of several
    features, these are averaged. Optax losses of ids, decisions or signs check their targets and have an
    `ignore_index`, as those of `jm.losses` do.

    Not every real step of the predictions needs a target. But targets that are real where the predictions are padding
    give a `jm.NotCountedWarning`, or a `jm.NotCountedError` under `jm.strict()`, if both masks are concrete; so does a
    mean of nothing at all. Under `jax.jit` this cannot be detected; use `divide=False` there, whose sums have
    `.is_empty` and `.value_or(...)`.

    Args:
        function: takes arrays of predictions and targets, and options by name; returns a loss for each step, or for
            each entry of a step.

    Returns:
        A function with the arguments below, and the options of `function` by name. It returns an array in the dtype of
        the predictions; for `reduction=None` a `Masked`, 0 at padded steps, if an input is one; for `divide=False` a
        `jm.losses.Mean`. If no step is real, the loss and all gradients are 0.

    Arguments of the result:
        predictions: floats, `(batch, time, ...)`, a `Masked` or an array, whose steps are all real.
        targets: a `Masked` with its own mask, or an array.
        **options: `sample_weight`, `mask`, `reduction` and `divide`, which every loss has: see `jm.losses.masked_loss`.

    Raises:
        TypeError: the function takes fewer than two arguments; the predictions are not floats, or the function does not
            have an option (at the call).
        ValueError: shapes do not fit, or `reduction` is unknown (at the call).
        NotCountedError: labels without a prediction, or no real step, under `jm.strict()` (at the call).

    >>> import jax.numpy as jnp, jmask as jm, optax
    >>> x = jm.from_lengths(jnp.array([[3.0, 1.0, jnp.nan], [5.0, jnp.nan, jnp.nan]]), [2, 1])
    >>> loss = jm.losses.masked_loss(optax.l2_loss)
    >>> float(loss(x, jnp.ones((2, 3)))), float(loss(x, jnp.ones((2, 3)), reduction="sequences"))
    (3.3333332538604736, 4.5)
    """
    return _masked_loss(function, range_of(function))


def of_labels(label_range: Range) -> Callable[[Callable[..., Any]], Any]:
    """`masked_loss` for a loss that knows its valid targets, and therefore has the option `ignore_index` too.

    An invalid target raises an error if it is concrete. If it is traced, the loss and its gradients are NaN, since
    they would otherwise be silently wrong.
    """
    return functools.partial(_masked_loss, label_range=label_range)


def _masked_loss(function: Callable[..., Any], label_range: Range | None) -> Any:
    name = name_of(function)
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) < 2:
        raise TypeError(f"`{name}` must take predictions and targets, `{name}(predictions, targets)`, to be a loss.")
    own = parameters[2:]
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
        _check_order(name, found, true)
        if label_range is None:
            losses = function(found, true, **options)
        else:
            low, high = label_range(name, found, true)
            wrong = outside(name, steps.labels, steps.mask, low, high)
            if wrong is None:
                losses = function(found, true, **options)
            else:
                losses = function(found, jnp.where(wrong, low, true).astype(true.dtype), **options)
                losses *= jnp.where(wrong, jnp.nan, 1).astype(losses.dtype)  # and their gradients, too
        return divided(name, reduce(steps, steps.per_step(losses), reduction), steps.dtype, divide)

    with_options(loss)
    loss.__signature__ = _signature(function, more)  # pyright: ignore[reportAttributeAccessIssue]
    return loss


def name_of(function: Any) -> str:
    """The name for error messages; a partial object has the name of its function."""
    if isinstance(function, functools.partial):
        return name_of(function.func)
    return getattr(function, "__name__", type(function).__name__)


def divided(name: str, reduced: Any, dtype: Any, divide: bool = True) -> Any:
    """The result of `reduce` as a loss returns it."""
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
    """The signature of the function, with `Masked` inputs and the shared options added."""
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


def _check_order(name: str, found: Any, true: Any) -> None:
    """Raises unless predictions are floats; says so if they have come second, as in Keras."""
    if not jnp.issubdtype(found.dtype, jnp.inexact) and jnp.issubdtype(true.dtype, jnp.inexact):
        raise TypeError(
            f"`{name}` takes predictions first and targets second, as optax does; received {found.dtype} and "
            f"{true.dtype}. Write `{name}(predictions, targets)`."
        )
    check_float(found, name)
