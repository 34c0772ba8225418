"""What draws the pictures at the end of a study, all of it imported.

The template of local workers imports this module while the driver of the study reads its data, so
that the worker that draws does not have to.
"""

from harness.pictures import style

# It comes first, since it imports matplotlib in less time than others do.
style.load()

import optuna.visualization.matplotlib  # noqa: E402, F401

from harness.model import pictures  # noqa: E402, F401
from harness.studies import films, step_images, sweep_pictures  # noqa: E402, F401
