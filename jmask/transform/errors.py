"""The errors of `jm.vmap` for a function that it cannot trace with symbolic lengths."""

import contextlib
import linecache
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from types import FrameType

from .remedies import remedy_for

_NOT_THE_USER = ("jmask", "jax", "jaxlib", "numpy", "jaxtyping", "beartype", "contextlib", "functools")
_OF_SYMBOLS = ("InconclusiveDimensionOperation", "UnexpectedDimVar")
_IN_MESSAGES = (
    "dim_as_value",
    "symbolic",
    "Symbolic",
    "non-constant",
    "_DimExpr",
    "DimExpr",
    "floordiv(",
    "mod(",
    "min(",
    "max(",
    "shape polymorphism",
    "expected a sequence of integers or a single integer",
)
_OF_TRACERS = (
    "ConcretizationTypeError",
    "TracerArrayConversionError",
    "TracerBoolConversionError",
    "TracerIntegerConversionError",
)

# By a word in the error that tracing raises.
_REMEDIES = {
    "only integers, slices": (
        "An index that depends on the length is an array: `x[jnp.asarray(x.shape[0] // 2)]` for `x[x.shape[0] // 2]`."
    ),
    "has no callable": "Compute with `jax.numpy` instead of NumPy: `jnp.sqrt(x.shape[0])` for `np.sqrt(x.shape[0])`.",
    "float()": (
        "For a number with which to compute, take `jnp.asarray(x.shape[0], float)`; `x.shape[0] / 2` and "
        "`jnp.sqrt(x.shape[0])` work as they are."
    ),
    "must be real number": (
        "Compute with `jax.numpy` instead of `math`: `jnp.sqrt(x.shape[0])` for `math.sqrt(x.shape[0])`."
    ),
    "cannot be interpreted as an integer": (
        "`jnp.arange(x.shape[0])` instead of `np.arange(x.shape[0])` or `range(x.shape[0])`; `jax.lax.fori_loop(0, "
        "x.shape[0], body, start)` for a loop."
    ),
    "requires a constant": (
        "`jax.lax.scan(f, start, jnp.arange(x.shape[0]))` instead of `length=x.shape[0]`; `x.shape[0]` instead of "
        "`len(x)` and `int(x.shape[0])`."
    ),
    "got incompatible shapes": (
        "These sizes are not equal for all lengths. Is a table too short, `table[: x.shape[0]]` of 10 rows for "
        'sequences of up to 12 steps? Lengthen it, or say `jm.vmap(fn, constraints=["t <= 10"])`.'
    ),
    "expected a sequence of integers": "`jnp.zeros(x.shape[0])` instead of `np.zeros(x.shape[0])`.",
    "jnp.squeeze with axis=None": "Name the axis: `jnp.squeeze(x[None], 0)`.",
    "dim_as_value": "Call `jm.vmap` outside of `jax.ensure_compile_time_eval()`, which cannot compute with lengths.",
}
_REMEDY_OF_ALL = (
    "For an `if`, compare an array, `jnp.where(jnp.asarray(x.shape[0]) > 3, a, b)` or `jax.lax.cond(jnp.asarray("
    "x.shape[0]) > 3, f, g)`; for a loop over steps, `jax.lax.scan(f, start, x)` or `jax.lax.fori_loop(0, x.shape[0], "
    'f, start)`; where the function needs a smallest length, say so: `jm.vmap(fn, constraints=["t >= 3"])`.'
)
_NOTE_ON_TRACERS = (
    "`jm.vmap` traces the function, as `jax.jit` does: numbers that are computed from arrays, or from a length and "
    "floats, such as `x.shape[0] / 2` and `x.shape[0] + 1.0`, are arrays in it. Compute with `jax.numpy` instead of "
    "NumPy, and choose by `jnp.where`. Whole numbers stay sizes: `x.shape[0] // 2`, `jnp.arange(x.shape[0] + 1)`."
)


class SymbolicLengthError(TypeError):
    """The function needs the length of its sequence as a Python number, which it is not during tracing."""


def refuse_question(question: str) -> SymbolicLengthError:
    """The error for a question about a length whose answer differs between lengths."""
    frames = [(frame, number) for frame, number in traceback.walk_stack(sys._getframe(1))]
    return SymbolicLengthError(
        "`jm.vmap` runs the function once for sequences of every length, so Python cannot choose a branch by the "
        f"length. This line asks for {question}, which is not the same for all lengths:\n{_line(frames[::-1])}\n"
        f"Remedies: {_REMEDY_OF_ALL}"
    )


def explain_refusal(error: Exception, lengths: Iterable[str]) -> Exception:
    """The error to raise instead of one that tracing raised.

    Args:
        error: what was raised.
        lengths: the names of the lengths, for the message.

    Returns:
        A `SymbolicLengthError` if the symbolic lengths are to blame, a `ValueError` if the cause is a Flax module that
        cannot change in the trace, otherwise the error itself.
    """
    text, frames = str(error), list(traceback.walk_tb(error.__traceback__))
    if isinstance(error, SymbolicLengthError):
        return error
    if type(error).__name__ == "TraceContextError":
        return ValueError(
            "`jm.vmap`: a Flax module that was made outside of the function cannot change in it: it counts the numbers "
            "that it draws, or gathers statistics. Hand the module itself to a layer, "
            "`jm.layers.PerSequence(module).apply({}, x, training=True, key=key)`: that runs a copy, and gives each "
            f"sequence a key of its own. For inference `module.eval()` may be enough. Flax says: {text}"
        )
    line = _line(frames)
    if type(error).__name__ == "TracerBoolConversionError" and re.search(r"\b(np|numpy)\.arange\(", line):
        text = f"cannot be interpreted as an integer: a length, by NumPy. {text}"
    elif type(error).__name__ in _OF_TRACERS:
        error.add_note(_NOTE_ON_TRACERS)
        return error
    elif not _is_of_symbols(error, lengths):
        return error
    names = ", ".join(f"`{name}`" for name in lengths)
    known = remedy_for(line, text)
    remedy = "".join(f"{remedy} " for word, remedy in _REMEDIES.items() if word in text and not known)
    return SymbolicLengthError(
        f"`jm.vmap` runs the function once for sequences of every length, so their lengths ({names}) are unknown in "
        f"it, and Python cannot compare them, count with them or loop over them. This line does:\n"
        f"{line}\n"
        f"JAX says: {text.splitlines()[0]}\nRemedies: {known or remedy + _REMEDY_OF_ALL}"
    )


def _is_of_symbols(error: Exception, lengths: Iterable[str]) -> bool:
    text = str(error)
    if type(error).__name__ in _OF_SYMBOLS or any(word in text for word in _IN_MESSAGES):
        return True
    is_index = isinstance(error, IndexError) and "only integers, slices" in text
    return is_index and any(re.search(rf"Got .*\b{name}\b", text) for name in lengths)


@contextlib.contextmanager
def explained_lengths(lengths: Iterable[str]) -> Iterator[None]:
    """Context in which a derivative rule is traced; its errors about symbolic lengths are explained."""
    try:
        yield
    except Exception as error:
        found = explain_refusal(error, lengths)
        if found is error:
            raise
        raise found from error


def _line(frames: list[tuple[FrameType, int]]) -> str:
    """The user's line among the frames of a call, the outermost frame first."""
    mine = [(f, n) for f, n in frames if f.f_globals.get("__name__", "").partition(".")[0] not in _NOT_THE_USER]
    frame, number = (mine or frames)[-1]
    code = frame.f_code
    source = linecache.getline(code.co_filename, number).strip()
    return f"  {code.co_filename}:{number}, in {code.co_name}\n    {source}"
