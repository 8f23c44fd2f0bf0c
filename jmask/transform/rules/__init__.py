"""What each JAX primitive does on padded rows: one file for each family of rules.

A rule is a function of an `Equation` and its operands, each a `Padded`; it returns arrays of the padded shapes (or
`Padded`) whose first entries along a ragged axis are those that the primitive has on the sequence alone. The decorator
`registry.rule` names its primitives. Primitives that work entry by entry need no rule: `elementwise` recognises them.
"""

from . import callbacks as callbacks
from . import calls as calls
from . import collectives as collectives
from . import contraction as contraction
from . import control as control
from . import cumulative as cumulative
from . import fourier as fourier
from . import indexing as indexing
from . import linalg as linalg
from . import moving as moving
from . import randomness as randomness
from . import reduction as reduction
from . import shaping as shaping
from . import solvers as solvers
from . import sorting as sorting
from . import windows as windows
from .collectives import exchanges as exchanges
from .registry import def_vmap_rule as def_vmap_rule
from .registry import effect_of as effect_of
from .registry import has_rule_always as has_rule_always
from .registry import rule_for as rule_for
from .registry import rules_of_users as rules_of_users
