"""Layers: hyperparameters, parameters, and a call of `jmask.ops` or `jmask.rnn`."""

from .base import Layer as Layer
from .bidirectional import Bidirectional as Bidirectional
from .cells import GRUCell as GRUCell
from .cells import LSTMCell as LSTMCell
from .cells import SimpleRNNCell as SimpleRNNCell
from .config import register_all as _register_all
from .convolution import Conv1D as Conv1D
from .convolution import Conv1DTranspose as Conv1DTranspose
from .convolution import DepthwiseConv1D as DepthwiseConv1D
from .convolution import SeparableConv1D as SeparableConv1D
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
from .per_sequence import PerSequence as PerSequence
from .pooling import AveragePooling1D as AveragePooling1D
from .pooling import GlobalAveragePooling1D as GlobalAveragePooling1D
from .pooling import GlobalMaxPooling1D as GlobalMaxPooling1D
from .pooling import MaxPooling1D as MaxPooling1D
from .recurrent import RNN as RNN
from .rnn_layers import GRU as GRU
from .rnn_layers import LSTM as LSTM
from .rnn_layers import SimpleRNN as SimpleRNN
from .stacked import StackedRNNCells as StackedRNNCells

_register_all(globals())
