"""Tells whether two traces of functions are one program: it writes a program down as something to compare."""

import dataclasses
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import Literal

from .versions import bind_as_is, body_of, constants_of

_MOST_NUMBERS = 256  # of a constant within a program, which are compared one by one
_RULES = {  # by primitive: functions that JAX makes anew at each trace, and that matter for derivatives alone
    "custom_jvp_call": ("jvp_jaxpr_fun", "jvp_jaxpr_thunk"),
    "custom_vjp_call": ("fwd_jaxpr_thunk", "bwd", "out_trees"),
    "custom_vjp_call_jaxpr": ("fwd_jaxpr_thunk", "bwd", "out_trees"),
}
_SAID_TWICE = frozenset(("computation", "debug_info"))  # parameters that others say as well, or that change nothing


class UnknownError(Exception):
    """Something of which nobody can say whether it is the same at the next trace."""


def describe(program: Any, *, with_derivatives: bool) -> Hashable:
    """A description of a program: two programs whose descriptions are equal compute the same of equal constants.

    Args:
        program: a jaxpr.
        with_derivatives: whether their derivatives are the same, too.

    Raises:
        UnknownError: the program calls functions, or has constants within, that cannot be compared.
    """
    return _Writer(with_derivatives).program(program)


@dataclasses.dataclass(frozen=True)
class _Writer:
    with_derivatives: bool
    around: tuple[Hashable, ...] = ()  # functions whose derivatives are being written down

    def program(self, program: Any) -> Hashable:
        body = body_of(program)
        numbers: dict[Any, int] = {}

        def defined(variables: Sequence[Any]) -> tuple[Any, ...]:
            for var in variables:
                numbers[var] = len(numbers)
            return tuple(var.aval for var in variables)

        def used(atom: Any) -> Hashable:
            return (self.value(atom.val), atom.aval) if isinstance(atom, Literal) else numbers[atom]

        inputs = (defined(body.constvars), defined(body.invars))
        lines = []
        for eqn in body.eqns:
            operands = tuple(map(used, eqn.invars))
            params = self.params(eqn)
            lines.append((eqn.primitive, operands, params, defined(eqn.outvars)))
        return inputs, tuple(lines), tuple(map(used, body.outvars))

    def params(self, eqn: Any) -> Hashable:
        name = eqn.primitive.name
        if "callback" in name:
            raise UnknownError
        rules = _RULES.get(name, ())
        params = [
            (key, self.value(value)) for key, value in eqn.params.items() if key not in rules and key not in _SAID_TWICE
        ]
        described = tuple(sorted(params, key=lambda pair: pair[0]))
        if not rules or not self.with_derivatives:
            return described
        if described in self.around:  # the derivative of a ReLU contains a ReLU
            return described, self.around.index(described)
        inside = dataclasses.replace(self, around=(*self.around, described))
        return described, inside.program(_derivatives(eqn))

    def value(self, value: Any) -> Hashable:
        if isinstance(value, (tuple, list)):
            return type(value), tuple(map(self.value, value))
        if isinstance(value, dict):
            return tuple(sorted((key, self.value(item)) for key, item in value.items()))
        if hasattr(value, "eqns") or hasattr(value, "jaxpr"):
            return self.program(value), tuple(map(_array, constants_of(value)))
        if isinstance(value, (np.ndarray, np.generic, jax.Array)):
            return _array(value)
        if isinstance(value, (bool, int, float, complex)):
            return type(value), repr(value)  # 1, 1.0 and True are equal, 0.0 and -0.0 too
        try:
            hash(value)
        except TypeError as error:
            raise UnknownError from error
        return value


def _array(value: Any) -> Hashable:
    if isinstance(value, jax.core.Tracer) or np.size(value) > _MOST_NUMBERS or not hasattr(value, "dtype"):
        raise UnknownError
    if jax.numpy.issubdtype(value.dtype, jax.dtypes.extended):
        raise UnknownError
    array = np.asarray(value)
    return type(value), array.dtype, array.shape, array.tobytes()


def _derivatives(eqn: Any) -> Any:
    """The program of a function with derivatives of its own, and of these."""
    specs = [jax.ShapeDtypeStruct(var.aval.shape, var.aval.dtype) for var in eqn.invars]
    moving = [i for i, spec in enumerate(specs) if jax.numpy.issubdtype(spec.dtype, np.inexact)]

    def function_of(fixed: Sequence[Any]) -> Callable[..., Any]:
        def function(*some: Any) -> list[Any]:
            mixed = list(fixed)
            for i, value in zip(moving, some, strict=True):
                mixed[i] = value
            results = bind_as_is(eqn, mixed)
            return [x for x in results if jax.numpy.issubdtype(x.dtype, np.inexact)]

        return function

    def both(operands: Sequence[Any], directions: Sequence[Any]) -> Any:
        function, some = function_of(operands), [operands[i] for i in moving]
        if eqn.primitive.name == "custom_jvp_call":
            return jax.jvp(function, some, directions)
        results, pull = jax.vjp(function, *some)
        return results, pull([jax.numpy.ones_like(x) for x in results]), jax.tree.leaves(pull)

    try:
        return jax.make_jaxpr(both)(specs, [specs[i] for i in moving])
    except Exception as error:  # whatever the user's rule says
        raise UnknownError from error
