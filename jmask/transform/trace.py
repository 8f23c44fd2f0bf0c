"""Traces a function of one sequence, once for sequences of every length."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend import source_info_util

from ..core.masked import Masked
from .equation import programs_in
from .errors import SymbolicLengthError, explain_refusal
from .sizes import is_symbolic
from .symbols import Symbols, tracing
from .versions import body_of

_MOST_TRIED = 9  # as the smallest length, to give a remedy in an error


@dataclasses.dataclass(frozen=True)
class Program:
    """A traced function.

    Attributes:
        jaxpr: its program, from flat arguments to flat results.
        structure: the results, as a pytree whose leaves are arrays and `Masked`.
        has_mask: for each leaf, whether it is a `Masked`; its mask then follows its values.
    """

    jaxpr: Any
    structure: Any
    has_mask: tuple[bool, ...]


def trace_program(
    fn: Callable[..., Any], structure: Any, specs_of: Callable[[Symbols], Sequence[Any]], symbols: Symbols
) -> Program:
    """The program of `fn` on one sequence.

    It is traced again at every call, so that nothing is stale.

    Args:
        fn: the function of one sequence.
        structure: the structure of its arguments, `(args, kwargs)`.
        specs_of: gives the abstract leaves of its arguments, with symbolic sizes.
        symbols: their names.

    Returns:
        The program.

    Raises:
        SymbolicLengthError: the function asks for a length as a Python number.
    """
    try:
        return _trace(fn, structure, specs_of(symbols), symbols)
    except Exception as error:
        explained = explain_refusal(error, symbols.own)
        if isinstance(explained, SymbolicLengthError):
            for advice in _advice(fn, structure, specs_of, symbols):
                explained.add_note(advice)
        elif len(symbols.own) > 1:
            error.add_note(
                f"`jm.vmap`: the lengths {', '.join(symbols.own)} may differ. If they are equal, give them one "
                'name: `jm.vmap(fn, lengths="t")`.'
            )
        if explained is error:
            raise
        raise explained from error


def _trace(fn: Callable[..., Any], structure: Any, specs: Sequence[Any], symbols: Symbols) -> Program:
    found: dict[str, Any] = {}

    def flat(*leaves: Any) -> list[Any]:
        args, kwargs = structure.unflatten(leaves)
        results, found["structure"] = jax.tree.flatten(fn(*args, **kwargs), is_leaf=lambda x: isinstance(x, Masked))
        found["has_mask"] = tuple(isinstance(x, Masked) for x in results)
        return [part for x in results for part in ((x.values, x.mask) if isinstance(x, Masked) else (x,))]

    with tracing(symbols):
        jaxpr = jax.make_jaxpr(flat)(*specs)
    _check_reshapes(jaxpr.jaxpr)
    return Program(jaxpr, found["structure"], found["has_mask"])


def _check_reshapes(body: Any) -> None:
    """Raises for a reshape that would lose entries of some sequences; JAX allows it if it cannot compare sizes."""
    for eqn in body.eqns:
        if eqn.primitive.name == "reshape":
            old, new = (tuple(var.aval.shape) for var in (eqn.invars[0], eqn.outvars[0]))
            if any(map(is_symbolic, (*old, *new))) and math.prod(old) != math.prod(new):
                place = source_info_util.summarize(eqn.source_info)
                raise SymbolicLengthError(
                    f"`jm.vmap`: a reshape from {_text(old)} to {_text(new)} is none for some lengths: numbers would "
                    f"be left over; it stands at {place}. Say for which lengths the "
                    'function is: `jm.vmap(fn, constraints=["mod(t, 2) == 0"])`.'
                )
        for program in programs_in(eqn.params):
            _check_reshapes(body_of(program))


def _text(shape: tuple[Any, ...]) -> str:
    return f"({', '.join(map(str, shape))})"


def _advice(fn: Any, structure: Any, specs_of: Any, symbols: Symbols) -> list[str]:
    """The smallest length that the function needs, if it works with one."""
    if len(symbols.variables) == 1 and not symbols.outer:
        (name,) = symbols.variables
        for least in range(2, _MOST_TRIED):
            rule = f"{name} >= {least}"
            try:
                stricter = symbols.constrained(rule)
                _trace(fn, structure, specs_of(stricter), stricter)
            except Exception:  # whatever it raises for such lengths
                continue
            return [
                f"`jm.vmap`: it works for sequences of {least} steps and more, `jm.vmap(fn, constraints=[{rule!r}])`; "
                "shorter ones then count as empty."
            ]
    return []


def try_trace(fn: Callable[..., Any], structure: Any, specs: Sequence[Any], symbols: Symbols) -> Program | None:
    """The program of `fn`, None if it has none for these arguments."""
    try:
        return _trace(fn, structure, specs, symbols)
    except Exception:  # whatever it raises for an empty sequence
        return None
