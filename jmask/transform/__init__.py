"""Functions made into others.

`jm.vmap` traces a function of one sequence with a symbolic length, and runs its program on padded rows.
`jm.skip_padding` runs a function of padded batches on packed rows.
"""

from .errors import SymbolicLengthError as SymbolicLengthError
from .pointwise import explain as explain
from .pointwise import is_pointwise as is_pointwise
from .ragged_vmap import vmap as vmap
from .rules import def_vmap_rule as def_vmap_rule
from .skipping import skip_padding as skip_padding
