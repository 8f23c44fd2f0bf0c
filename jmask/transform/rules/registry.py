"""The table of rules, by the name of the primitive."""

from collections.abc import Callable, Iterable
from typing import Any

from ..equation import Equation
from . import elementwise

Effect = Callable[[Equation], str | None]

_rules: dict[str, Callable] = {}
_effects: dict[str, Effect] = {}
_always: set[str] = set()
_of_users: dict[str, Callable] = {}


def rule(*primitives: str, effect: Effect, always: bool = False) -> Callable[[Callable], Callable]:
    """Makes a function the rule of these primitives.

    Args:
        *primitives: their names.
        effect: a function of an equation that says what it does to the steps, for `jm.explain`: a few words, or None if
            each step of the result comes from the same step of the operands.
        always: whether the rule also applies to equations without any ragged axis.
    """

    def register(function: Callable) -> Callable:
        for name in primitives:
            _rules[name], _effects[name] = function, effect
        _always.update(primitives if always else ())
        return function

    return register


def along(words: str, axes: Callable[[Equation], Iterable[int]]) -> Effect:
    """The effect of a primitive that mixes steps if one of these axes of its first operand is ragged."""

    def effect(equation: Equation) -> str | None:
        shape = equation.eqn.invars[0].aval.shape
        found = [shape[axis] for axis in axes(equation) if equation.sizes.is_ragged(shape[axis])]
        return f"{words} {', '.join(map(str, found))}" if found else None

    return effect


def nothing(_: Equation) -> None:
    """The effect of a primitive that leaves every step where it is."""


def rule_for(equation: Equation) -> Callable[..., Any]:
    """The rule of an equation's primitive.

    Raises:
        NotImplementedError: there is none.
    """
    if equation.name in _rules:
        return _rules[equation.name]
    if elementwise.is_elementwise(equation):
        return elementwise.elementwise_rule
    raise NotImplementedError(
        f"`jm.vmap` has no rule for the primitive `{equation.name}`, which meets an axis of unknown length at "
        f"{equation.line}. Write what it computes by other functions, or give it a rule: "
        f"`jm.def_vmap_rule({equation.name!r}, rule)`."
    )


def has_rule_always(equation: Equation) -> bool:
    """Whether the rule of an equation is called even if no axis is ragged."""
    return equation.name in _always


def effect_of(equation: Equation) -> str | None:
    """What an equation does to the steps, in a few words; None if it treats each step alone."""
    if equation.name in _effects:
        return _effects[equation.name](equation)
    return None if elementwise.is_elementwise(equation) else "does something unknown"


def def_vmap_rule(primitive: Any, rule: Callable[..., Any]) -> None:
    """Tells `jm.vmap` how to run a primitive on padded rows: a Pallas or FFI call, or your own primitive.

    The rule is called only where the shape of an operand or result, or a parameter, has a size that depends on a
    length. It sees one padded row, in which the real entries of an axis come first. It receives

    - `equation`: with `equation.params` (symbolic sizes in them) and `equation.bind(*arrays, **changed)`, which runs
      the primitive itself on padded arrays, with padded sizes instead of symbolic ones;
    - `*operands`: each with `array` (padded), `shape` (symbolic), `size(axis)` (the true size, an int or an int32
      scalar), `valid()` (which entries are real) and `fill(value, axes=None)` (the array with `value` in its padding,
      along these axes or along all).

    It returns an array (a list of arrays for several results) of the padded shape, whose first entries along every
    ragged axis are those that the primitive would have given without padding; the rest may be anything.

    All rows run at once, so `equation.bind` needs the primitive's batching rule, as `jax.vmap` does; gradients need its
    differentiation rules, or a rule written in `jax.numpy`. A primitive that works entry by entry needs no rule: its
    batching rule shows it.

    Args:
        primitive: a primitive, or its name.
        rule: `rule(equation, *operands)`; it replaces an earlier one.

    Raises:
        TypeError: `primitive` is neither, or `rule` is not a function.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> total = jax.extend.core.Primitive("total")
    >>> _ = total.def_impl(lambda x: x.sum(0)), total.def_abstract_eval(
    ...     lambda x: jax.core.ShapedArray(x.shape[1:], x.dtype))
    >>> _ = jax.interpreters.mlir.register_lowering(
    ...     total, jax.interpreters.mlir.lower_fun(lambda x: x.sum(0), multiple_results=False))
    >>> jax.interpreters.batching.primitive_batchers[total] = lambda args, axes: (
    ...     total.bind(jnp.moveaxis(args[0], axes[0], 1)), 0)
    >>> jm.def_vmap_rule(total, lambda equation, x: equation.bind(x.fill(0, axes=[0])))
    >>> jm.vmap(total.bind)(jm.pad_sequences([[1, 2, 3], [4]])).tolist()
    [6, 4]
    """
    name = getattr(primitive, "name", primitive)
    if not isinstance(name, str):
        raise TypeError(
            f"`def_vmap_rule` takes a `jax.extend.core.Primitive` or the name of one (not its `bind`); received "
            f"{primitive!r}."
        )
    if not callable(rule):
        raise TypeError(f"The rule of `{name}` must be a function `rule(equation, *operands)`; received {rule!r}.")
    _rules[name], _effects[name] = rule, lambda equation: "has a rule of its own"
    _of_users[name] = rule


def rules_of_users() -> tuple[tuple[str, Callable[..., Any]], ...]:
    """The rules given to `def_vmap_rule` so far."""
    return tuple(_of_users.items())
