"""jmask: a JAX library in which a mask is data."""

from . import layers as layers
from . import losses as losses
from . import metrics as metrics
from . import ops as ops
from . import rnn as rnn
from . import testing as testing
from .errors import MaskDroppedError as MaskDroppedError
from .errors import MaskDroppedWarning as MaskDroppedWarning
from .errors import NotCountedError as NotCountedError
from .errors import NotCountedWarning as NotCountedWarning
from .errors import strict as strict
from .graph import Drawing as Drawing
from .graph import Input as Input
from .graph import Model as Model
from .graph import Node as Node
from .graph import Sequential as Sequential
from .graph import draw as draw
from .graph import summarize as summarize
from .graph import trace as trace
from .keras import from_keras as from_keras
from .layers.arguments import NO_MASK as NO_MASK
from .layers.base import Layer as Layer
from .layers.config import from_config as from_config
from .layers.config import register as register
from .layers.config import to_config as to_config
from .masked import Masked as Masked
from .masked import as_masked as as_masked
from .masked import from_segments as from_segments
from .masked import masked as masked
from .packing import pack as pack
from .packing import unpack as unpack
from .packing import unpack_batch as unpack_batch
from .padding import from_attention_mask as from_attention_mask
from .padding import from_lengths as from_lengths
from .padding import pad_sequences as pad_sequences
from .padding import to_attention_mask as to_attention_mask
from .padding import unpad as unpad
from .step_order import StepOrder as StepOrder
from .step_order import compact as compact
from .transform import SymbolicLengthError as SymbolicLengthError
from .transform import def_vmap_rule as def_vmap_rule
from .transform import explain as explain
from .transform import is_pointwise as is_pointwise
from .transform import vmap as vmap

__version__ = "0.1.0"
