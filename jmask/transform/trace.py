"""Traces a function of one sequence, once for sequences of every length."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax

from ..masked import Masked
from .errors import SymbolicLengthError, explain_refusal
from .symbols import Symbols, tracing

_MOST_TRIED = 9  # as the smallest length, for the sake of an error's remedy


@dataclasses.dataclass(frozen=True)
class Program:
    """A traced function.

    Attributes:
        jaxpr: its program, from flat arguments to flat results.
        structure: the results, as a pytree whose leaves are arrays and `Masked`.
        has_mask: of each leaf, whether it is a `Masked`; its mask then follows its values.
    """

    jaxpr: Any
    structure: Any
    has_mask: tuple[bool, ...]


def trace(
    fn: Callable[..., Any], structure: Any, specs_of: Callable[[Symbols], Sequence[Any]], symbols: Symbols
) -> Program:
    """The program of `fn` on one sequence.

    It is traced anew at every call, so that nothing of it is stale.

    Args:
        fn: the function of one sequence.
        structure: of its arguments, `(args, kwargs)`.
        specs_of: gives the leaves of its arguments, abstractly, with symbolic sizes.
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
    return Program(jaxpr, found["structure"], found["has_mask"])


def _advice(fn: Any, structure: Any, specs_of: Any, symbols: Symbols) -> list[str]:
    """The smallest length that the function needs, if it works with one."""
    if len(symbols.variables) == 1 and not symbols.outer:
        (name,) = symbols.variables
        for least in range(2, _MOST_TRIED):
            rule = f"{name} >= {least}"
            try:
                stricter = symbols.constrained(rule)
                _trace(fn, structure, specs_of(stricter), stricter)
            except Exception:  # whatever it says for such lengths
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
    except Exception:  # whatever it says of an empty sequence
        return None
