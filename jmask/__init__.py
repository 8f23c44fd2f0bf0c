"""jmask: a JAX library in which a mask is data."""

from . import data as data
from . import flax as flax
from . import layers as layers
from . import losses as losses
from . import metrics as metrics
from . import ops as ops
from . import rnn as rnn
from . import sharding as sharding
from . import testing as testing
from . import train as train
from .core.constructors import as_masked as as_masked
from .core.constructors import from_segment_ids as from_segment_ids
from .core.constructors import masked as masked
from .core.errors import MaskDroppedError as MaskDroppedError
from .core.errors import MaskDroppedWarning as MaskDroppedWarning
from .core.errors import NotCountedError as NotCountedError
from .core.errors import NotCountedWarning as NotCountedWarning
from .core.errors import strict as strict
from .core.explicit_mask import NO_MASK as NO_MASK
from .core.masked import Masked as Masked
from .core.public_names import listing as _listing
from .core.step_order import left_align as left_align
from .data.flattened import from_cu_seqlens as from_cu_seqlens
from .data.flattened import from_position_ids as from_position_ids
from .data.given_masks import from_attention_mask as from_attention_mask
from .data.given_masks import from_lengths as from_lengths
from .data.given_masks import to_attention_mask as to_attention_mask
from .data.nan_padding import from_nan_padding as from_nan_padding
from .data.packing import pack as pack
from .data.packing import unpack as unpack
from .data.packing import unpack_batch as unpack_batch
from .data.padding import pad_sequences as pad_sequences
from .data.padding import unpad as unpad
from .drawing import draw as draw
from .drawing import show as show
from .graph import Input as Input
from .graph import Model as Model
from .graph import Sequential as Sequential
from .graph import summarize as summarize
from .graph import trace as trace
from .keras import from_keras as from_keras
from .protocol.config import from_config as from_config
from .protocol.config import register_serializable as register_serializable
from .protocol.config import to_config as to_config
from .protocol.layer import Layer as Layer
from .torch import from_torch as from_torch
from .torch import to_torch as to_torch
from .train.saving import load as load
from .train.saving import save as save
from .transform import SymbolicLengthError as SymbolicLengthError
from .transform import def_vmap_rule as def_vmap_rule
from .transform import explain as explain
from .transform import is_pointwise as is_pointwise
from .transform import skip_padding as skip_padding
from .transform import vmap as vmap

__version__ = "0.1.0"
__dir__ = _listing(
    globals(), packages=("data", "flax", "layers", "losses", "metrics", "ops", "rnn", "sharding", "testing", "train")
)
