"""The graph builder: nodes, models built from them, and their summary tables."""

from .inputs import Input as Input
from .model import Model as Model
from .model import trace as trace
from .node import Node as Node
from .sequential import Sequential as Sequential
from .summary import summarize as summarize
