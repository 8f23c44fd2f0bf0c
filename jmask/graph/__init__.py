"""The graph builder: nodes, models built from them, and their summary tables."""

from .. import layers as _layers  # noqa: F401 - which `from_config` finds by their names
from ..protocol.config import from_config as from_config
from .inputs import Input as Input
from .model import Model as Model
from .model import trace as trace
from .node import Node as Node
from .sequential import Sequential as Sequential
from .summary import summarize as summarize
