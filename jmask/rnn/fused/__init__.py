"""The fused engine behind `jm.rnn.lstm`, `jm.rnn.gru` and `jm.rnn.simple_rnn`."""

from .cells import FusedGRU as FusedGRU
from .cells import FusedGRUResetBefore as FusedGRUResetBefore
from .cells import FusedLSTM as FusedLSTM
from .cells import FusedSimpleRNN as FusedSimpleRNN
from .cells import Weights as Weights
from .engine import recur as recur
from .passes import Options as Options
from .passes import Rows as Rows
