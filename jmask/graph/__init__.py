"""The graph builder: nodes, models made of them, and their tables."""

from .model import Model as Model
from .model import trace as trace
from .node import Input as Input
from .node import Node as Node
from .sequential import Sequential as Sequential
from .summary import summarize as summarize
