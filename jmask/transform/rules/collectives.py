"""Collectives over an axis of `jax.vmap` or of a mesh: what a row exchanges with those of other members."""

from collections.abc import Callable
from typing import Any

from ..equation import Equation, programs_in
from ..padded import Padded, select
from ..versions import body_of, may_vary_over, vary_over
from .reduction import IDENTITIES
from .registry import rule


def _axes(equation: Equation) -> tuple[Any, ...]:
    params = equation.params
    axes = params["axes"] if "axes" in params else params["axis_name"]
    return tuple(axes) if isinstance(axes, (tuple, list, frozenset, set)) else (axes,)


def _exchanges(equation: Equation) -> str:
    return f"exchanges arrays over {', '.join(map(repr, _axes(equation)))}"


def _collective(identity: Callable[[Any], Any]) -> Callable[..., list[Padded]]:
    def exchange(equation: Equation, *operands: Padded) -> list[Padded]:
        if equation.is_ragged:
            _check_lengths(equation)
        nonempty = equation.sizes.nonempty
        arrays = [x.array if nonempty is None else select(nonempty, x.array, identity(x.dtype)) for x in operands]
        results = equation.bind(*arrays)
        return equation.results(results if isinstance(results, (list, tuple)) else [results])

    exchange.__doc__ = "Of what each member of the axis has; a row that is not run has what changes nothing."
    return exchange


_GATHERS = ("all_gather", "all_gather_invariant", "all_to_all", "ppermute", "psum_scatter", "reduce_scatter")
_SUMS = ("psum", "psum2", "psum_invariant", *_GATHERS)
_NAMES = frozenset((*_SUMS, "pmax", "pmin"))
rule(*_SUMS, effect=_exchanges, always=True)(_collective(IDENTITIES["sum"]))
for _name in ("max", "min"):
    rule(f"p{_name}", effect=_exchanges, always=True)(_collective(IDENTITIES[_name]))


@rule("pvary", "pbroadcast", "pcast", effect=lambda _: None, always=True)
def vary_rule(equation: Equation, *operands: Padded) -> list[Padded]:
    """Marks an array as varying over mesh axes, unless the rows already vary over them."""
    axes = tuple(axis for axis in _axes(equation) if isinstance(axis, str))
    return equation.results(
        [vary_over(x.array, axes) for x in operands], has_safe_padding=all(x.has_safe_padding for x in operands)
    )


def exchanges(program: Any) -> bool:
    """Whether a program has a collective anywhere."""
    return any(
        eqn.primitive.name in _NAMES or any(map(exchanges, programs_in(eqn.params))) for eqn in body_of(program).eqns
    )


def _check_lengths(equation: Equation) -> None:
    sizes, axes = equation.sizes, _axes(equation)
    if not may_vary_over(tuple(sizes.lengths.values()), axes):
        return
    name, words = equation.name.removesuffix("_invariant"), ", ".join(map(repr, axes))
    shapes = ", ".join(str(tuple(var.aval.shape)) for var in equation.eqn.invars)
    raise NotImplementedError(
        f"`jm.vmap`: `{name}` over the axis {words} meets arrays of unknown lengths, of shape {shapes}, at "
        f"{equation.line}. The rows of other members of the axis have other lengths, so padding would meet real steps. "
        f"Exchange what has no steps, such as `jax.lax.psum(x.sum(0), {words})`, or exchange the results of `jm.vmap`."
    )
