"""The loss of every step, as one file."""

import io
from collections.abc import Callable

import numpy as np

from harness.recorders.report import Report, Trained
from harness.registry.decorators import recorder


@recorder()
def history() -> Callable[[Trained], Report]:
    """history.npz: step (n,) and loss (n,), the mean training loss of each step"""

    def record(trained: Trained) -> Report:
        losses = np.zeros(0)
        last = 0
        if trained.records:
            losses = np.concatenate([epoch.losses for epoch in trained.records])
            last = trained.records[-1].step
        # A run that goes on from another one does not begin with step 1.
        steps = np.arange(last - len(losses) + 1, last + 1)
        file = io.BytesIO()
        np.savez_compressed(file, step=steps, loss=losses)
        return Report({}, {"history.npz": file.getvalue()})

    return record
