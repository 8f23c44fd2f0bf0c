"""The affine map of an equation: einsum with a kernel, along any axes after the masked ones."""

import dataclasses
import itertools
import re
import string
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from ..core.arithmetic import in_front
from ..core.masked import Masked, fill, like
from .kinds import same_kind
from .linear import AnyArray, check_no_steps

_FORMS = {
    None: re.compile(r"([a-zA-Z]+),([a-zA-Z]+)->([a-zA-Z]+)"),
    "left": re.compile(r"\.{3}([a-zA-Z]+),([a-zA-Z]+)->\.{3}([a-zA-Z]+)"),
    "right": re.compile(r"([a-zA-Z]+)\.{3},([a-zA-Z]+)->([a-zA-Z]+)\.{3}"),
}


@same_kind
def einsum_dense(
    x: Masked | Num[AnyArray, "..."],
    kernel: Float[AnyArray, "..."],
    bias: Float[AnyArray, "..."] | None = None,
    *,
    equation: str,
) -> Masked | Num[Array, "..."]:
    """The affine map `einsum(equation, x, kernel) + bias` of every step.

    The mask keeps its meaning only if its axes do not change: they must come first in the inputs and, in the same
    order, in the outputs, and must not be in the kernel. Anything else raises, sums over steps included: take those
    first, with `jm.ops.sum(x, axis=1)`.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array, where any axis may be contracted.
        kernel: in the shape that the equation says.
        bias: an array that broadcasts against the outputs and has no time axis, or None.
        equation: `"abc,cd->abd"`, inputs and kernel to outputs, each letter an axis; `...` may begin or end both inputs
            and outputs.

    Returns:
        The outputs, with the mask of `x`. An empty row holds no real step and passes no gradient.

    Raises:
        ValueError: the equation has another form or rank, or moves, contracts or weights masked axes.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.ones((1, 2, 3)), [1])
    >>> jm.ops.einsum_dense(x, jnp.ones((3, 4, 5)), equation="btf,fhd->bthd").shape
    (1, 2, 4, 5)
    """
    terms = Subscripts.of(equation, x.ndim)
    if isinstance(x, Masked):
        _check_steps_stay(terms, x)
    y = jnp.einsum(str(terms), fill(x, 0), kernel)
    if bias is not None:
        check_no_steps(x, bias, y.ndim, "`bias` of `einsum_dense`")
        y = y + in_front(bias, y.ndim)
    return like(x, y)


@dataclasses.dataclass(frozen=True)
class Subscripts:
    """The letters of the axes, for inputs of one rank.

    Attributes:
        inputs: of the inputs; the axes of `...` have letters too.
        kernel: of the kernel.
        outputs: of the outputs.
        asked: the outputs whose sizes the user of a layer gives.
    """

    inputs: str
    kernel: str
    outputs: str
    asked: str

    @classmethod
    def of(cls, equation: str, ndim: int) -> "Subscripts":
        """The equation for inputs of rank `ndim`."""
        inputs, kernel, outputs, dots = parse(equation)
        num_dotted = ndim - len(inputs)
        if num_dotted < 0 or (num_dotted and not dots):
            raise ValueError(f"The equation {equation!r} does not fit inputs of rank {ndim}.")
        unused = (letter for letter in string.ascii_letters if letter not in inputs + kernel + outputs)
        dotted = "".join(itertools.islice(unused, num_dotted))
        if dots == "left":
            return cls(dotted + inputs, kernel, dotted + outputs, outputs)
        return cls(inputs + dotted, kernel, outputs + dotted, outputs[1:])

    def __str__(self) -> str:
        return f"{self.inputs},{self.kernel}->{self.outputs}"

    def sizes(self, shape: Sequence[int], output_shape: int | Sequence[int | None]) -> dict[str, int]:
        """The size of every letter, from the shape of the inputs and the given sizes."""
        asked = [output_shape] if isinstance(output_shape, int) else list(output_shape)
        if len(asked) != len(self.asked):
            raise ValueError(
                f"`output_shape` has a size, or None, for each of the axes {self.asked!r} of `{self}`; received "
                f"{output_shape!r}."
            )
        sizes = dict(zip(self.inputs, shape, strict=True))
        for letter, size in zip(self.asked, asked, strict=True):
            known = sizes.get(letter, size)
            if known is None:
                raise ValueError(f"`output_shape` must say the size of {letter!r} in `{self}`, which no input has.")
            if size not in (None, known):
                raise ValueError(
                    f"The size of {letter!r} in `{self}` is {known} in the inputs; `output_shape` says {size}."
                )
            sizes[letter] = known
        return sizes

    def kernel_shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape of the kernel."""
        return tuple(sizes[letter] for letter in self.kernel)

    def bias_shape(self, sizes: Mapping[str, int], bias_axes: str) -> tuple[int, ...]:
        """The shape of a bias along `bias_axes` that broadcasts against the outputs."""
        first = min(map(self.outputs.index, bias_axes), default=len(self.outputs))
        return tuple(sizes[letter] if letter in bias_axes else 1 for letter in self.outputs[first:])


def parse(equation: str) -> tuple[str, str, str, str | None]:
    """The letters of inputs, kernel and outputs, and the side on which inputs and outputs have `...`.

    Raises:
        ValueError: the equation has another form, a letter twice in one term, or a letter of unknown size.

    >>> parse("...ab,bc->...ac")
    ('ab', 'bc', 'ac', 'left')
    """
    found = [(side, match.groups()) for side, form in _FORMS.items() if (match := form.fullmatch(equation))]
    if not found:
        raise ValueError(
            "`equation` has the form 'ab,bc->ac', '...ab,bc->...ac' or 'ab...,bc->ac...', inputs and kernel to "
            f"outputs; received {equation!r}."
        )
    ((dots, terms),) = found
    inputs, kernel, outputs = terms
    twice = any(len(set(term)) < len(term) for term in terms)
    if twice or not set(outputs) <= set(inputs + kernel) or not set(kernel) <= set(inputs + outputs):
        raise ValueError(
            "In an `equation` a letter stands for one axis of a term; outputs have letters of the inputs or the "
            f"kernel, the kernel those of inputs or outputs; received {equation!r}."
        )
    return inputs, kernel, outputs, dots


def _check_steps_stay(equation: Subscripts, x: Masked) -> None:
    """Raises for an equation that moves, contracts or weights the axes of the mask."""
    steps = equation.inputs[: x.mask.ndim]
    if equation.outputs[: len(steps)] != steps or set(steps) & set(equation.kernel):
        raise ValueError(
            f"`einsum_dense` keeps the masked axes, here {steps!r} of values {x.shape}, in front and out of the "
            f"kernel; received `{equation}`. Sum over steps first, `jm.ops.sum(x, axis=...)`, or take padding for "
            "zeros, `x.fill(0)`."
        )
