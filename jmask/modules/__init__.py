"""What `PerSequence` runs: functions, and Flax and Equinox modules, each by its own rules."""

from .errors import explained as explained
from .function import Function as Function
from .library import module_of as module_of
from .library import runner_of as runner_of
