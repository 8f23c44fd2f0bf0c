"""`draw`: a picture of a model, with the paths of values and of masks."""

import dataclasses
import functools
import pathlib
from typing import Any

from .diagram import Diagram, diagram
from .mermaid import mermaid
from .svg import svg


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A picture of a model; a notebook shows it by itself.

    Attributes:
        diagram: its boxes and links.
    """

    diagram: Diagram

    @functools.cached_property
    def svg(self) -> str:
        """The picture as a standalone SVG."""
        return svg(self.diagram)

    @functools.cached_property
    def mermaid(self) -> str:
        """The picture as Mermaid code, for a Markdown block of that language."""
        return mermaid(self.diagram)

    def save(self, file: str | pathlib.Path) -> None:
        """Writes the picture to a file.

        Args:
            file: the file name; `.svg` for a picture, `.mmd` for Mermaid, `.md` for Mermaid in a Markdown block.

        Raises:
            ValueError: the name has another ending.
        """
        file = pathlib.Path(file)
        writers = {
            ".svg": lambda: self.svg,
            ".mmd": lambda: self.mermaid,
            ".md": lambda: f"```mermaid\n{self.mermaid}\n```",
        }
        if file.suffix.lower() not in writers:
            raise ValueError(
                f"A drawing is saved as `.svg`, `.mmd` or `.md`; received {str(file)!r}. A browser or Inkscape turns "
                "an SVG into other formats."
            )
        file.write_text(writers[file.suffix.lower()]() + "\n", encoding="utf-8")

    def _repr_svg_(self) -> str:
        return self.svg

    def __str__(self) -> str:
        return self.mermaid

    def __repr__(self) -> str:
        return f"Drawing({self.diagram.title}: {len(self.diagram.boxes)} boxes, {len(self.diagram.links)} links)"


def draw(model: Any, *inputs: Any, expand_nested: bool = False) -> Drawing:
    """Draws the calls of a model; solid lines are values, dashed ones masks, and a cross is where a mask is lost.

    Args:
        model: a `jm.Model`, or a `jm.Sequential`.
        *inputs: examples, to see the shapes and masks that follow from these; needed for a `Sequential` that does
            not begin with an `Input`.
        expand_nested: whether to draw the inside of models that are layers of the model.

    Returns:
        A `Drawing` with `svg`, `mermaid` and `save("model.svg")`.

    Raises:
        ValueError: the shapes of a `Sequential` are not known.

    >>> import jmask as jm
    >>> x = jm.Input((None,), "int32", name="ids")
    >>> print(jm.draw(jm.Model(x, jm.layers.Embedding(9, 4, mask_zero=True)(x))))
    flowchart TD
      n0(["ids<br/>int32<br/>(batch, time)"])
      n1("embedding<br/>Embedding<br/>(batch, time, 4)<br/>mask made")
      n2(["output"])
      n0 --> n1
      n1 --> n2
      n1 -.-> n2
      style n1 stroke:#168740,stroke-width:2px
      linkStyle 2 stroke:#0d8476,stroke-width:2px
    """
    return Drawing(diagram(model.graph(*inputs), expand_nested=expand_nested))
