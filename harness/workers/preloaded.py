"""What the template of local workers has in memory, so that each of them has it from the start.

Only the template imports this module. Importing it is all that the template does.
"""

import contextlib
import ctypes
import json
import os
import signal

# The template ends with the driver, and its copies end with it.
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG

import numpy as np  # noqa: E402
from distributed import Nanny, Worker  # noqa: E402, F401
from imageio.plugins import pillow, pyav  # noqa: E402, F401

from harness import garbage  # noqa: E402
from harness.errors import UsageError  # noqa: E402
from harness.expressions import float32  # noqa: E402, F401
from harness.expressions.written import step_counter  # noqa: E402
from harness.pictures import files  # noqa: E402, F401
from harness.recorders import told  # noqa: E402, F401
from harness.trials.blas import one_blas_thread  # noqa: E402
from harness.workers import remote  # noqa: E402
from harness.workers.template import BEFORE, set_environment  # noqa: E402

set_environment(json.loads(os.environ.pop(BEFORE, "{}")))
remote.package_digest()
# Where it cannot be arranged, each trial says so.
with contextlib.suppress(UsageError):
    one_blas_thread()
# Numba reads most of itself when the first loop is loaded. Each network needs this one.
step_counter(np, 1, np.empty((), np.float32), np.zeros(1, np.float32))
# The collector would write into the memory that the copies share, and so copy it for each of them.
garbage.set_aside()
