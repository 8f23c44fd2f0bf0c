"""Pure functions on `Masked` and arrays: padding never enters a result."""

from .attention import additive_attention as additive_attention
from .attention import attention as attention
from .dropout import dropout as dropout
from .linear import dense as dense
from .linear import embed as embed
from .merge import add as add
from .merge import concatenate as concatenate
from .moments import std as std
from .moments import var as var
from .multi_head import multi_head_attention as multi_head_attention
from .normalise import layer_norm as layer_norm
from .positions import position_embedding as position_embedding
from .positions import positions as positions
from .positions import rotary as rotary
from .positions import sine_position_encoding as sine_position_encoding
from .reduce import all as all
from .reduce import any as any
from .reduce import max as max
from .reduce import mean as mean
from .reduce import mean_pool as mean_pool
from .reduce import min as min
from .reduce import prod as prod
from .reduce import sum as sum
from .softmax import softmax as softmax
from .time import flip as flip
