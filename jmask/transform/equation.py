"""One equation of a traced program, as a rule sees it."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
from jax.extend import source_info_util

from .padded import Padded
from .sizes import Sizes
from .versions import body_of, vary_alike


@dataclasses.dataclass(frozen=True, eq=False)
class Equation:
    """One equation, and the sizes of the row on which it runs.

    Attributes:
        eqn: the equation of the jaxpr.
        sizes: the values of its symbolic sizes.
        run_program: runs a program inside the equation.
        around: the equation that contains this one.
    """

    eqn: Any
    sizes: Sizes
    run_program: Callable[..., list[Padded]]
    around: "Equation | None" = None

    @property
    def name(self) -> str:
        """Name of the primitive."""
        return self.eqn.primitive.name

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of the equation, with symbolic sizes."""
        return self.eqn.params

    @property
    def line(self) -> str:
        """Where the user's code makes this equation: file, line and function."""
        own = source_info_util.summarize(self.eqn.source_info)
        return own or (self.around.line if self.around else "a line that JAX has not kept")

    @property
    def out_shapes(self) -> list[tuple[Any, ...]]:
        """The shapes of the results, with symbolic sizes."""
        return [tuple(var.aval.shape) for var in self.eqn.outvars]

    @property
    def is_ragged(self) -> bool:
        """Whether any size in the equation depends on a length."""
        return _mentions(self.eqn, self.sizes)

    @property
    def has_inexact_results(self) -> bool:
        """Whether any result can have a gradient."""
        return any(jax.numpy.issubdtype(var.aval.dtype, jax.numpy.inexact) for var in self.eqn.outvars)

    def run(self, program: Any, sizes: Sizes, operands: Sequence[Padded]) -> list[Padded]:
        """The results of a program inside the equation."""
        return self.run_program(program, sizes, operands, self)

    def bind(self, *arrays: Any, **changed: Any) -> Any:
        """The primitive on padded arrays, with padded sizes in its parameters; `changed` replaces some of them.

        Returns:
            An array, or a list of arrays if the primitive has several results.
        """
        if any(isinstance(array, Padded) for array in arrays):
            raise TypeError(
                f"`equation.bind` of `{self.name}` takes arrays: of an operand `x.array`, or `x.fill(value)`."
            )
        params = {name: self.sizes.padded_sizes(value) for name, value in self.params.items()}
        return self.eqn.primitive.bind(*vary_alike(arrays), **params | changed)

    def result(self, array: Any, *, has_safe_padding: bool = False, index: int = 0) -> Padded:
        """A result of the equation."""
        return Padded(array, self.out_shapes[index], self.sizes, has_safe_padding)

    def results(self, arrays: Sequence[Any], *, has_safe_padding: bool = False) -> list[Padded]:
        """All results of the equation."""
        return [
            self.result(array, has_safe_padding=has_safe_padding, index=index) for index, array in enumerate(arrays)
        ]


def programs_in(params: dict[str, Any]) -> Iterator[Any]:
    """The jaxprs in the parameters of an equation."""
    for value in params.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if hasattr(item, "eqns") or hasattr(item, "jaxpr"):
                yield item


def _mentions(eqn: Any, sizes: Sizes) -> bool:
    dims = [dim for var in (*eqn.invars, *eqn.outvars) for dim in getattr(var.aval, "shape", ())]
    if any(map(sizes.is_ragged, dims)) or any(_in_param(value, sizes) for value in eqn.params.values()):
        return True
    return any(_mentions(inner, sizes) for program in programs_in(eqn.params) for inner in body_of(program).eqns)


def _in_param(value: Any, sizes: Sizes) -> bool:
    if isinstance(value, (tuple, list)):
        return any(_in_param(item, sizes) for item in value)
    return sizes.is_ragged(value)
