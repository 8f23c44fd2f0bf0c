"""Pictures of models: boxes and links, their places, and how they are written as SVG and Mermaid."""

from .picture import Drawing as Drawing
from .picture import draw as draw
