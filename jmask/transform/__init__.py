"""`jm.vmap`: a function of one sequence is traced with a symbolic length, and its program run on padded rows."""

from .errors import SymbolicLengthError as SymbolicLengthError
from .explain import explain as explain
from .explain import is_pointwise as is_pointwise
from .rules import def_vmap_rule as def_vmap_rule
from .vmap import vmap as vmap
