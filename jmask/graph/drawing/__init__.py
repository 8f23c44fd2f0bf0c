"""Pictures of models: boxes and links, their places, and how they are written as SVG and Mermaid."""

from .diagram import Diagram as Diagram
from .diagram import diagram as diagram
from .mermaid import mermaid as mermaid
from .svg import svg as svg
