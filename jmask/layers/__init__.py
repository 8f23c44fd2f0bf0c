"""Layers: hyperparameters, parameters, and a call of `jmask.ops` or `jmask.rnn`."""

from .base import Layer as Layer
from .config import register_all as _register_all
from .core import Activation as Activation
from .core import Dense as Dense
from .core import Dropout as Dropout
from .core import Embedding as Embedding
from .core import Lambda as Lambda
from .core import LayerNormalization as LayerNormalization
from .core import Masking as Masking
from .core import Softmax as Softmax
from .merge import Add as Add
from .merge import Concatenate as Concatenate
from .merge import GlobalAveragePooling1D as GlobalAveragePooling1D
from .recurrent import LSTM as LSTM
from .recurrent import RNN as RNN
from .recurrent import Bidirectional as Bidirectional

_register_all(globals())
