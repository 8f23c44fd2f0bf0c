"""Reads ragged data and masks of other libraries through their own interfaces; none of these libraries is required."""

from .finding import find_items as find_items
from .finding import find_lists as find_lists
from .finding import refuse_lists as refuse_lists
from .flat import Flat as Flat
from .flat import FlatSteps as FlatSteps
from .marks import Marked as Marked
from .marks import as_host_array as as_host_array
from .marks import find_marks as find_marks
from .marks import prefix_of as prefix_of
from .marks import refuse_marks as refuse_marks
from .nested import Leaf as Leaf
from .nested import Lists as Lists
from .nested import flat_steps as flat_steps
from .nested import flatten_lists as flatten_lists
from .tensors import host_array as host_array
