"""Traces a function of one sequence, once for sequences of every length."""

import contextlib
import dataclasses
import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import jax
from jax import export

from ..masked import Masked
from .errors import explain_refusal
from .reads import reads
from .sizes import RESERVED

_SCOPE = export.SymbolicScope()


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


@dataclasses.dataclass(frozen=True)
class Symbols:
    """The names of lengths in one call, and the symbolic sizes that they stand for.

    Attributes:
        own: by name, as the user says it.
        outer: of the traces around this one, by name as JAX writes it.
        scope: what they belong to.
        constraints: what holds for them, e.g. `"t >= 3"`, in the names that JAX writes.
    """

    own: dict[str, Any]
    outer: dict[str, Any]
    scope: Any
    constraints: tuple[str, ...]


_FLAGS = (  # that a trace depends on
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_numpy_dtype_promotion",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
)

_active: ContextVar[tuple[Symbols, ...]] = ContextVar("jmask_vmap_symbols", default=())


def make_symbols(names: Sequence[str], constraints: Sequence[str]) -> Symbols:
    """Symbolic sizes for these names, different from those of the traces around this one.

    Raises:
        ValueError: a name that is no identifier, or a constraint that JAX cannot read.
    """
    around = _active.get()
    for name in names:
        if not name.isidentifier() or name in RESERVED:
            raise ValueError(f"`lengths` of `jm.vmap` are names such as 't'; received {name!r}.")
    suffix = f"_{len(around)}" if around else ""
    renamed = {name: name + suffix for name in names}
    outer = {str(symbol): symbol for symbols in around for symbol in symbols.own.values()}
    rules = tuple(re.sub(r"[A-Za-z_]\w*", lambda m: renamed.get(m[0], m[0]), rule) for rule in constraints)
    scope = around[-1].scope if around else _SCOPE
    if rules:
        scope = export.SymbolicScope(rules)
    found = export.symbolic_shape(", ".join(renamed.values()), scope=scope) if names else ()
    return Symbols(dict(zip(names, found, strict=True)), outer, scope, rules)


@contextlib.contextmanager
def tracing(symbols: Symbols) -> Iterator[None]:
    """Inside, further calls of `jm.vmap` choose other names."""
    token = _active.set((*_active.get(), symbols))
    try:
        yield
    finally:
        _active.reset(token)


_programs: weakref.WeakKeyDictionary[Any, dict[Any, Program]] = weakref.WeakKeyDictionary()


def trace(fn: Callable[..., Any], structure: Any, specs: Sequence[Any], symbols: Symbols) -> Program:
    """The program of `fn` on one sequence.

    It is kept for the next call with these shapes if nothing that `fn` reads can have changed unseen (see `reads`).

    Args:
        fn: the function of one sequence.
        structure: of its arguments, `(args, kwargs)`.
        specs: the leaves of its arguments, abstractly, with symbolic sizes.
        symbols: their names.

    Returns:
        The program.

    Raises:
        SymbolicLengthError: the function asks for a length as a Python number.
    """
    read = reads(fn)
    kept = {} if read is None else _programs.setdefault(fn, {})
    flags = tuple(getattr(jax.config, flag) for flag in _FLAGS)
    avals = tuple((tuple(spec.shape), spec.dtype, getattr(spec, "weak_type", False)) for spec in specs)
    key = (structure, avals, symbols.constraints, flags, read, jax.sharding.get_abstract_mesh())
    if key not in kept:
        program = _trace(fn, structure, specs, symbols)
        if read is None or program.jaxpr.consts:
            return program
        kept[key] = program
    return kept[key]


def _trace(fn: Callable[..., Any], structure: Any, specs: Sequence[Any], symbols: Symbols) -> Program:
    found: dict[str, Any] = {}

    def flat(*leaves: Any) -> list[Any]:
        args, kwargs = structure.unflatten(leaves)
        results, found["structure"] = jax.tree.flatten(fn(*args, **kwargs), is_leaf=lambda x: isinstance(x, Masked))
        found["has_mask"] = tuple(isinstance(x, Masked) for x in results)
        return [part for x in results for part in ((x.values, x.mask) if isinstance(x, Masked) else (x,))]

    try:
        with tracing(symbols):
            jaxpr = jax.make_jaxpr(flat)(*specs)
    except Exception as error:
        explained = explain_refusal(error, symbols.own)
        if explained is error:
            if len(symbols.own) > 1:
                error.add_note(
                    f"`jm.vmap`: the lengths {', '.join(symbols.own)} may differ. If they are equal, give them one "
                    'name: `jm.vmap(fn, lengths="t")`.'
                )
            raise
        raise explained from error
    return Program(jaxpr, found["structure"], found["has_mask"])
