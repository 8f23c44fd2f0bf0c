"""Pure functions on `Masked` and arrays: padding never enters a result."""

from .conv import conv as conv
from .conv import conv_transpose as conv_transpose
from .conv import depthwise_conv as depthwise_conv
from .conv import separable_conv as separable_conv
from .dropout import dropout as dropout
from .linear import dense as dense
from .linear import embed as embed
from .merge import add as add
from .merge import concatenate as concatenate
from .moments import std as std
from .moments import var as var
from .normalise import layer_norm as layer_norm
from .pool import average_pool as average_pool
from .pool import global_max_pool as global_max_pool
from .pool import max_pool as max_pool
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
