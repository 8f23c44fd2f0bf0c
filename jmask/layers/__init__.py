"""Layers: hyperparameters, parameters, and a call of `jmask.ops` or `jmask.rnn`."""

from .activations import ELU as ELU
from .activations import Activation as Activation
from .activations import LeakyReLU as LeakyReLU
from .activations import PReLU as PReLU
from .activations import ReLU as ReLU
from .activations import Softmax as Softmax
from .base import Layer as Layer
from .bidirectional import Bidirectional as Bidirectional
from .cells import GRUCell as GRUCell
from .cells import LSTMCell as LSTMCell
from .cells import SimpleRNNCell as SimpleRNNCell
from .config import register_all as _register_all
from .core import Dense as Dense
from .core import EinsumDense as EinsumDense
from .core import Embedding as Embedding
from .core import Identity as Identity
from .core import Lambda as Lambda
from .core import Masking as Masking
from .merge import Add as Add
from .merge import Concatenate as Concatenate
from .merge import GlobalAveragePooling1D as GlobalAveragePooling1D
from .normalization import GroupNormalization as GroupNormalization
from .normalization import LayerNormalization as LayerNormalization
from .normalization import RMSNormalization as RMSNormalization
from .normalization import UnitNormalization as UnitNormalization
from .per_sequence import PerSequence as PerSequence
from .recurrent import RNN as RNN
from .regularization import AlphaDropout as AlphaDropout
from .regularization import Dropout as Dropout
from .regularization import GaussianDropout as GaussianDropout
from .regularization import GaussianNoise as GaussianNoise
from .regularization import SpatialDropout1D as SpatialDropout1D
from .rnn_layers import GRU as GRU
from .rnn_layers import LSTM as LSTM
from .rnn_layers import SimpleRNN as SimpleRNN
from .stacked import StackedRNNCells as StackedRNNCells

_register_all(globals())
