"""Metrics: frozen pytrees of sums over real steps, merged with `+` or `psum` and divided once by `.value`."""

from ..core.public_names import listing as _listing
from ..core.signatures import shorten_signatures as _shorten_signatures
from .confusion import confusion_matrix as confusion_matrix
from .confusion import f1_score as f1_score
from .confusion import precision as precision
from .confusion import recall as recall
from .entities import entity_f1 as entity_f1
from .means import accuracy as accuracy
from .means import mean as mean
from .means import mean_absolute_error as mean_absolute_error
from .means import mean_squared_error as mean_squared_error
from .means import perplexity as perplexity
from .means import root_mean_squared_error as root_mean_squared_error
from .means import top_k_accuracy as top_k_accuracy
from .r2 import r2_score as r2_score
from .roc import auc as auc
from .sequences import edit_distance as edit_distance
from .sequences import exact_match as exact_match
from .sequences import word_error_rate as word_error_rate

_shorten_signatures(globals())
__dir__ = _listing(globals())
