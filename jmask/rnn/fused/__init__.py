"""The fused engine behind `jm.rnn.lstm`, `jm.rnn.gru` and `jm.rnn.simple_rnn`."""

from .cells import GRU as GRU
from .cells import LSTM as LSTM
from .cells import FusedCell as FusedCell
from .cells import GRUResetBefore as GRUResetBefore
from .cells import SimpleRNN as SimpleRNN
from .cells import Weights as Weights
from .engine import Options as Options
from .engine import Rows as Rows
from .engine import recur as recur
from .sharding import is_known as is_known
from .sharding import is_laid_out as is_laid_out
from .sharding import over_devices as over_devices
