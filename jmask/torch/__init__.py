"""Weights that PyTorch has learned, for layers of jmask, and back. PyTorch itself is not needed."""

from .weights import from_torch as from_torch
from .weights import to_torch as to_torch
