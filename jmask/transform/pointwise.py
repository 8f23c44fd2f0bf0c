"""What a function does to the steps of its sequence: which equations treat each step alone, which mix steps."""

import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
from jax import export

from ..core.masked import Masked
from .equation import Equation, programs_in
from .rules import effect_of
from .sizes import Sizes, is_symbolic
from .symbols import Symbols, make_symbols
from .trace import Program, trace_program
from .versions import body_of


@dataclasses.dataclass(frozen=True)
class Line:
    """One equation.

    Attributes:
        depth: how deeply it is nested in inner functions.
        primitive: its name.
        shapes: the shapes of its results.
        effect: what it does to the steps; None if it treats each alone.
        place: where the user's code creates it.
        is_call: whether the next lines, one level deeper, say what it does.
    """

    depth: int
    primitive: str
    shapes: str
    effect: str | None
    place: str
    is_call: bool

    @property
    def words(self) -> str:
        """What it does, in words."""
        return self.effect or ("calls" if self.is_call else "pointwise")


def explain(fn: Callable[..., Any], *specs: Any) -> None:
    """Prints where a function of one sequence mixes steps.

    Each line is an equation of its program: the primitive, the shapes of its results, whether it treats each step alone
    ("pointwise"), reduces over them, moves them or counts them, and where it comes from in the code. Equations inside
    calls are indented.

    Args:
        fn: a function of one or more sequences, as for `jm.vmap`.
        *specs: its arguments: `jm.Input((None, 8))` for a sequence of vectors (named sizes, `jm.Input(("words", 8))`,
            for several lengths), a `Masked` batch as an example, or plain arrays and abstract arrays.

    Raises:
        SymbolicLengthError: the function asks for a length as a Python number.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.explain(lambda x: x / x.sum(), jm.Input((None,)))
    <lambda>(float32[time])
      reduce_sum  float32[]      reduces over time  ...
      div         float32[time]  pointwise          ...
    returns float32[time]; it mixes steps
    """
    program, symbols = _program(fn, specs)
    arguments = ", ".join(str(_text(var)) for var in program.jaxpr.jaxpr.invars)
    lines = list(_lines(program.jaxpr, _sizes(symbols), 0))
    rows = [("  " * line.depth + line.primitive, line.shapes, line.words) for line in lines]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    text = [f"{getattr(fn, '__name__', type(fn).__name__)}({arguments})"]
    for line, row in zip(lines, rows, strict=True):
        cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        text.append(f"  {cells}  {line.place}")
    results = ", ".join(f"{aval.dtype}[{','.join(map(str, aval.shape))}]" for aval in program.jaxpr.out_avals)
    verdict = "treats each step alone" if _is_pointwise(program, symbols) else "mixes steps"
    text.append(f"returns {results}; it {verdict}\n")
    sys.stdout.write("\n".join(text))


def is_pointwise(fn: Callable[..., Any], *specs: Any) -> bool:
    """Whether a function provably treats each step alone, so that it may be applied to padded data directly.

    The proof is that of `explain`: no equation mixes, moves or counts steps, and each result has the steps of the
    arguments in its first axis. A function that mixes steps and then undoes it is not proved pointwise.

    Args:
        fn: a function of one sequence, or of several of one length.
        *specs: its arguments, as for `explain`.

    Returns:
        True if it is proved.

    Raises:
        SymbolicLengthError: the function asks for a length as a Python number.

    >>> import jax, jmask as jm
    >>> jm.is_pointwise(jax.nn.gelu, jm.Input((None, 8))), jm.is_pointwise(jax.numpy.sort, jm.Input((None,)))
    (True, False)
    """
    program, symbols = _program(fn, specs)
    return _is_pointwise(program, symbols)


def keeps_mask(fn: Callable[..., Any], arguments: Sequence[Any]) -> bool:
    """Whether a function of batches provably treats each entry under the mask alone.

    Args:
        fn: a function of arrays, one for each of the arguments.
        arguments: `Masked`, whose masks have one shape, and arrays.

    Returns:
        True if every result has the axes of the mask in front and no equation mixes entries along them. Arrays with
        these axes in front may have one entry for each entry of the mask, or be the same for all.
    """
    masked = [x for x in arguments if isinstance(x, Masked)]
    if not masked or len({tuple(x.mask.shape) for x in masked}) > 1:
        return False
    names = [f"m{axis}" for axis in range(masked[0].mask.ndim)]
    symbols = make_symbols(names)
    front, mask = tuple(symbols.own.values()), masked[0].mask
    fits = [isinstance(x, Masked) or tuple(x.shape[: mask.ndim]) == tuple(mask.shape) for x in arguments]
    readings = [[isinstance(x, Masked) for x in arguments], fits]

    def is_proved(has_front: list[bool]) -> bool:
        shapes = [(*front, *x.shape[len(front) :]) if f else x.shape for x, f in zip(arguments, has_front, strict=True)]
        specs = [jax.ShapeDtypeStruct(shape, x.dtype) for shape, x in zip(shapes, arguments, strict=True)]
        try:
            program = trace_program(fn, jax.tree.structure((tuple(specs), {})), lambda _: specs, symbols)
        except Exception:  # a function that cannot be traced with symbols is not proved
            return False
        return _is_pointwise(program, symbols, front)

    return any(map(is_proved, readings[: 1 if readings[0] == fits else 2]))


def _program(fn: Callable[..., Any], specs: Sequence[Any]) -> tuple[Program, Symbols]:
    leaves, structure = jax.tree.flatten((specs, {}), is_leaf=lambda x: isinstance(x, Masked) or hasattr(x, "spec"))
    shapes = [_row_shape(leaf) for leaf in leaves]
    symbols = make_symbols(list(dict.fromkeys(dim for shape in shapes for dim in shape if isinstance(dim, str))))

    def rows(symbols: Symbols) -> list[jax.ShapeDtypeStruct]:
        named = [tuple(symbols.own.get(dim, dim) for dim in shape) for shape in shapes]
        return [jax.ShapeDtypeStruct(shape, leaf.dtype) for shape, leaf in zip(named, leaves, strict=True)]

    return trace_program(fn, structure, rows, symbols), symbols


def _row_shape(leaf: Any) -> tuple[Any, ...]:
    """The shape of one argument for one sequence, with names instead of lengths."""
    if isinstance(leaf, Masked):
        return ("time", *leaf.shape[2:])
    if hasattr(leaf, "spec"):
        return tuple(str(dim) if export.is_symbolic_dim(dim) else dim for dim in leaf.spec.shape[1:])
    return tuple(leaf.shape)


def _sizes(symbols: Symbols) -> Sizes:
    own = {str(symbol): 1 for symbol in symbols.own.values()}
    return Sizes(own, own, symbols.outer)


def _lines(program: Any, sizes: Sizes, depth: int, around: Equation | None = None) -> Iterator[Line]:
    for eqn in body_of(program).eqns:
        equation = Equation(eqn, sizes, _refuse, around)
        effect = effect_of(equation) if equation.is_ragged else None
        programs = list(programs_in(eqn.params)) if effect is None else []
        shapes = " ".join(map(_text, eqn.outvars))
        yield Line(depth, equation.name, shapes, effect, equation.line, is_call=bool(programs))
        for inner in programs:
            yield from _lines(inner, sizes, depth + 1, equation)


def _is_pointwise(program: Program, symbols: Symbols, front: tuple[Any, ...] | None = None) -> bool:
    if front is None:
        front = tuple(symbols.own.values())
        if len(front) != 1:
            return False
    for aval in program.jaxpr.out_avals:
        if tuple(aval.shape[: len(front)]) != front or any(map(is_symbolic, aval.shape[len(front) :])):
            return False
    return all(line.effect is None for line in _lines(program.jaxpr, _sizes(symbols), 0))


def _refuse(*_: Any) -> Any:
    raise TypeError("An equation is explained here, not run.")


def _text(var: Any) -> str:
    return f"{var.aval.dtype}[{','.join(map(str, var.aval.shape))}]"
