"""Pictures of models, boxes and links as SVG and Mermaid, and of batches."""

from .batch_picture import show as show
from .picture import Drawing as Drawing
from .picture import draw as draw
