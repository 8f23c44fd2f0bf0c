"""Pictures of models: boxes and links, their layout, and their output as SVG and Mermaid."""

from .picture import Drawing as Drawing
from .picture import draw as draw
