"""The names of lengths, and the symbolic sizes that stand for them while a function is traced."""

import contextlib
import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from jax import export

from .guard import Scope, install
from .sizes import RESERVED, holds, is_symbolic, names_first, names_in_rule

install()


@dataclasses.dataclass(frozen=True)
class Symbols:
    """The names of lengths in one call, and the symbolic sizes that they stand for.

    Attributes:
        own: by the user's name; a number where a constraint fixes it.
        outer: the sizes of enclosing traces, by the name that JAX writes.
        scope: the scope that they belong to.
        constraints: the constraints on them, e.g. `"t >= 3"`, in the user's names.
        most: their largest values, where known.
        variables: how JAX writes the lengths that no constraint fixes, by name.
    """

    own: dict[str, Any]
    outer: dict[str, Any]
    scope: Any
    constraints: tuple[str, ...]
    most: Mapping[str, int]
    variables: dict[str, str]

    def constrained(self, rule: str) -> "Symbols":
        """The same names with one more constraint."""
        return make_symbols(list(self.own), (*self.constraints, rule), self.most)


_active: ContextVar[tuple[Symbols, ...]] = ContextVar("jmask_vmap_symbols", default=())


def check_constraints(constraints: str | Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The constraints of one call of `jm.vmap`.

    Raises:
        ValueError: a constraint is not valid, or is about a length that the call does not have.
    """
    rules = [constraints] if isinstance(constraints, str) else list(constraints)
    for i, rule in enumerate(rules):
        try:
            unknown = sorted(names_in_rule(rule) - set(names)) if isinstance(rule, str) else []
            holds(rule, dict.fromkeys((*names, *unknown), 1))
        except Exception as error:
            raise ValueError(
                "A constraint of `jm.vmap` compares two sizes by `>=`, `<=` or `==`, e.g. 't >= 3' or "
                f"'mod(t, 2) == 0'; received {rule!r}."
            ) from error
        if unknown:
            known = ", ".join(map(repr, names)) or "none"
            raise ValueError(
                f"The constraint {rule!r} of `jm.vmap` is about a length {unknown[0]!r} that this call does not have; "
                f"it has {known}. Name lengths by `lengths=`."
            )
        rules[i] = names_first(rule)
    return tuple(rules)


def make_symbols(
    names: Sequence[str], constraints: Sequence[str] = (), most: Mapping[str, int] | None = None
) -> Symbols:
    """Symbolic sizes for these names, different from those of enclosing traces.

    Args:
        names: the names of the lengths.
        constraints: the constraints on them.
        most: their largest values, where known.

    Raises:
        ValueError: a name is not an identifier, or JAX cannot use a constraint.
    """
    around = _active.get()
    for name in names:
        if not name.isidentifier() or name in RESERVED:
            raise ValueError(f"`lengths` of `jm.vmap` are names such as 't'; received {name!r}.")
    renamed = {name: _rename(name, len(around)) for name in names}
    outer = {str(symbol): symbol for symbols in around for symbol in symbols.own.values() if is_symbolic(symbol)}
    rules = [re.sub(r"[A-Za-z_]\w*", lambda m: renamed.get(m[0], m[0]), rule) for rule in constraints]
    if not around:  # sizes of two scopes do not mix, so nested ones go without
        rules += [f"{renamed[name]} <= {size}" for name, size in (most or {}).items()]
    try:
        scope = _scope(tuple(rules)) if rules or not around else around[-1].scope
        found = export.symbolic_shape(", ".join(renamed.values()), scope=scope) if names else ()
    except (ValueError, NotImplementedError) as error:
        raise ValueError(f"JAX cannot use the constraints {list(constraints)} of `jm.vmap`. {error}") from error
    own = dict(zip(names, found, strict=True))
    variables = {name: renamed[name] for name in names if str(own[name]) == renamed[name]}
    return Symbols(own, outer, scope, tuple(constraints), most or {}, variables)


def _rename(name: str, depth: int) -> str:
    return f"{name}_{depth}" if depth else name


@functools.lru_cache(maxsize=256)
def _scope(rules: tuple[str, ...]) -> Scope:
    """One for each set of rules, so that JAX knows what it has traced before."""
    return Scope(rules)


@contextlib.contextmanager
def tracing(symbols: Symbols) -> Iterator[None]:
    """Context in which further calls of `jm.vmap` choose other names."""
    token = _active.set((*_active.get(), symbols))
    try:
        with symbols.scope.guarded():
            yield
    finally:
        _active.reset(token)
