"""Layers: hyperparameters, parameters, and a call of `jmask.ops` or `jmask.rnn`."""

from .base import Layer as Layer
from .batch_normalization import BatchNormalization as BatchNormalization
from .bidirectional import Bidirectional as Bidirectional
from .cells import GRUCell as GRUCell
from .cells import LSTMCell as LSTMCell
from .cells import SimpleRNNCell as SimpleRNNCell
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
from .merge import Average as Average
from .merge import Concatenate as Concatenate
from .merge import Dot as Dot
from .merge import GlobalAveragePooling1D as GlobalAveragePooling1D
from .merge import Maximum as Maximum
from .merge import Minimum as Minimum
from .merge import Multiply as Multiply
from .merge import Subtract as Subtract
from .per_sequence import PerSequence as PerSequence
from .recurrent import RNN as RNN
from .reshaping import Cropping1D as Cropping1D
from .reshaping import Flatten as Flatten
from .reshaping import Permute as Permute
from .reshaping import RepeatVector as RepeatVector
from .reshaping import Reshape as Reshape
from .reshaping import UpSampling1D as UpSampling1D
from .reshaping import ZeroPadding1D as ZeroPadding1D
from .rnn_layers import GRU as GRU
from .rnn_layers import LSTM as LSTM
from .rnn_layers import SimpleRNN as SimpleRNN
from .stacked import StackedRNNCells as StackedRNNCells
from .time_distributed import TimeDistributed as TimeDistributed

_register_all(globals())
