"""What `jm.vmap` says of a function that it cannot trace with symbolic lengths."""

import linecache
import traceback
from typing import Any

from .remedies import remedy_for

_NOT_THE_USER = ("jmask", "jax", "jaxlib", "numpy", "jaxtyping", "beartype")
_OF_SYMBOLS = ("InconclusiveDimensionOperation", "UnexpectedDimVar")
_IN_MESSAGES = (
    "symbolic",
    "non-constant",
    "_DimExpr",
    "floordiv(",
    "DimExpr",
    "InconclusiveDimensionOperation",
    "mod(",
)


_REMEDY_OF_ALL = (
    "`jax.lax.scan` or `jax.lax.fori_loop` for a loop over steps, `jnp.where` or `jax.lax.cond` for an `if`, "
    "`x.shape[0]` for `len(x)`; where the function needs a smallest length, say so: "
    '`jm.vmap(fn, constraints=["t >= 3"])`.'
)


class SymbolicLengthError(TypeError):
    """The function asks for the length of its sequence as a Python number, which it is not while it is traced."""


def explain_refusal(error: Exception, lengths: Any) -> Exception:
    """The error to raise in place of one that came out of tracing.

    Args:
        error: what was raised.
        lengths: the names of the lengths, for the message.

    Returns:
        A `SymbolicLengthError` if the symbolic lengths are to blame, a `ValueError` if a Flax module is that cannot
        change in the trace, else the error itself.
    """
    text = str(error)
    if type(error).__name__ == "TraceContextError":
        return ValueError(
            "`jm.vmap`: a Flax module that was made outside of the function cannot change in it: it counts the numbers "
            "that it draws, or gathers statistics. Hand the module itself to a layer, "
            "`jm.layers.PerSequence(module).apply({}, x, training=True, key=key)`: that runs a copy, and gives each "
            f"sequence a key of its own. For inference `module.eval()` may be enough. Flax says: {text}"
        )
    if type(error).__name__ not in _OF_SYMBOLS and not any(word in text for word in _IN_MESSAGES):
        return error
    names = ", ".join(f"`{name}`" for name in lengths)
    return SymbolicLengthError(
        f"`jm.vmap` runs the function once for sequences of every length, so their lengths ({names}) are unknown in "
        f"it, and Python cannot compare them, count with them or loop over them. This line does:\n{_line(error)}\n"
        f"JAX says: {text.splitlines()[0]}\nRemedies: {remedy_for(_line(error), text) or _REMEDY_OF_ALL}"
    )


def _line(error: Exception) -> str:
    frames = [(frame, number) for frame, number in traceback.walk_tb(error.__traceback__)]
    mine = [(f, n) for f, n in frames if f.f_globals.get("__name__", "").partition(".")[0] not in _NOT_THE_USER]
    frame, number = (mine or frames)[-1]
    code = frame.f_code
    source = linecache.getline(code.co_filename, number).strip()
    return f"  {code.co_filename}:{number}, in {code.co_name}\n    {source}"
