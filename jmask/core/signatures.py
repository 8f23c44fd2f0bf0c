"""Signatures as `help` shows them: `Masked | Float[Array, '... features']`, without the module paths of the classes."""

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import ArrayLike

_PATH = re.compile(r"\b(?:[a-z_]\w*\.)+(?=\w)")
_ARRAY_LIKE = typing.get_args(ArrayLike)


class _Short:
    """An annotation with a short text."""

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation

    def __repr__(self) -> str:
        return shown(self.annotation)


def shorten_signatures(namespace: Mapping[str, Any]) -> None:
    """Gives the public functions of a package signatures that read well in a terminal.

    `__annotations__` is left unchanged; only `inspect.signature` and `help` show the short form.

    Args:
        namespace: `globals()` of the package.
    """
    for name, function in namespace.items():
        if isinstance(function, types.FunctionType) and not name.startswith("_"):
            signature = inspect.signature(function)
            parameters = [p.replace(annotation=_short(p.annotation)) for p in signature.parameters.values()]
            result = _short(signature.return_annotation)
            shortened = signature.replace(parameters=parameters, return_annotation=result)
            function.__signature__ = shortened


def shown(annotation: Any) -> str:
    """The text of an annotation: classes by their bare names, a NumPy or JAX array as `Array`, each only once."""
    if annotation is None or annotation is type(None):
        return "None"
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        kinds = typing.get_args(annotation)
        texts = [shown(kind) for kind in kinds]
        if set(_ARRAY_LIKE) <= {*kinds}:
            like = {shown(kind) for kind in _ARRAY_LIKE}
            texts = ["ArrayLike" if kind is _ARRAY_LIKE[0] else text for kind, text in zip(kinds, texts, strict=True)]
            texts = [text for text in texts if text not in like]
        texts.sort(key="None".__eq__)  # last; the sort is stable
        return " | ".join(dict.fromkeys(texts))
    origin = typing.get_origin(annotation)
    if isinstance(origin, type) and origin is not Callable:
        return f"{origin.__name__}[{', '.join('...' if a is ... else shown(a) for a in typing.get_args(annotation))}]"
    if isinstance(annotation, type):
        annotation = "Array" if annotation is np.ndarray else annotation.__name__  # jaxtyping's has dtype and shape
    text = _PATH.sub("", annotation if isinstance(annotation, str) else inspect.formatannotation(annotation))
    return re.sub(r"(?<=\[)ndarray(?=,)", "Array", text)


def _short(annotation: Any) -> Any:
    return annotation if annotation is inspect.Parameter.empty or isinstance(annotation, _Short) else _Short(annotation)
