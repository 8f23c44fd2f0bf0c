"""What the doors from other libraries share: which layer takes which arrays, and whether all have found their place."""

from .checks import NORMALIZATIONS as NORMALIZATIONS
from .checks import check_complete as check_complete
from .checks import check_epsilon as check_epsilon
from .checks import check_shapes as check_shapes
from .checks import unused as unused
from .library import Library as Library
from .places import LayerPlace as LayerPlace
from .places import branch_at as branch_at
from .places import find_places as find_places
from .places import layers_of as layers_of
from .places import put_at as put_at
from .tensors import Tensors as Tensors
from .tensors import shortened as shortened
