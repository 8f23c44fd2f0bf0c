"""Layers: hyperparameters, parameters, and a call of `jmask.ops` or `jmask.rnn`."""

from ..core.public_names import listing as _listing
from ..protocol.config import register_serializable as _register_serializable
from ..protocol.layer import Layer as Layer
from .activations import ELU as ELU
from .activations import Activation as Activation
from .activations import LeakyReLU as LeakyReLU
from .activations import PReLU as PReLU
from .activations import ReLU as ReLU
from .activations import Softmax as Softmax
from .activity_regularization import ActivityRegularization as ActivityRegularization
from .attention import AdditiveAttention as AdditiveAttention
from .attention import Attention as Attention
from .batch_normalization import BatchNormalization as BatchNormalization
from .bidirectional import Bidirectional as Bidirectional
from .cells import GRUCell as GRUCell
from .cells import LSTMCell as LSTMCell
from .cells import SimpleRNNCell as SimpleRNNCell
from .conv_lstm import ConvLSTM1D as ConvLSTM1D
from .conv_lstm import ConvLSTM1DCell as ConvLSTM1DCell
from .convolution import Conv1D as Conv1D
from .convolution import Conv1DTranspose as Conv1DTranspose
from .convolution import DepthwiseConv1D as DepthwiseConv1D
from .convolution import SeparableConv1D as SeparableConv1D
from .core import Dense as Dense
from .core import EinsumDense as EinsumDense
from .core import Embedding as Embedding
from .core import Identity as Identity
from .core import Lambda as Lambda
from .core import Masking as Masking
from .crf import CRF as CRF
from .merge import Add as Add
from .merge import Average as Average
from .merge import Concatenate as Concatenate
from .merge import Dot as Dot
from .merge import Maximum as Maximum
from .merge import Minimum as Minimum
from .merge import Multiply as Multiply
from .merge import Subtract as Subtract
from .multi_head import GroupQueryAttention as GroupQueryAttention
from .multi_head import MultiHeadAttention as MultiHeadAttention
from .normalization import GroupNormalization as GroupNormalization
from .normalization import LayerNormalization as LayerNormalization
from .normalization import RMSNormalization as RMSNormalization
from .normalization import UnitNormalization as UnitNormalization
from .per_sequence import PerSequence as PerSequence
from .pooling import AveragePooling1D as AveragePooling1D
from .pooling import GlobalAveragePooling1D as GlobalAveragePooling1D
from .pooling import GlobalMaxPooling1D as GlobalMaxPooling1D
from .pooling import MaxPooling1D as MaxPooling1D
from .positions import PositionEmbedding as PositionEmbedding
from .positions import RotaryEmbedding as RotaryEmbedding
from .positions import SinePositionEncoding as SinePositionEncoding
from .recurrent import RNN as RNN
from .regularization import AlphaDropout as AlphaDropout
from .regularization import Dropout as Dropout
from .regularization import GaussianDropout as GaussianDropout
from .regularization import GaussianNoise as GaussianNoise
from .regularization import SpatialDropout1D as SpatialDropout1D
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

for _layer in list(globals().values()):
    if isinstance(_layer, type) and issubclass(_layer, Layer) and _layer is not Layer:
        _register_serializable(_layer)
del _layer

__dir__ = _listing(globals())
