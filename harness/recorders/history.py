"""The loss of every step, as one file."""

import io
from collections.abc import Callable

import numpy as np

from harness.recorders import Report, Trained
from harness.registry.decorators import recorder


@recorder()
def history() -> Callable[[Trained], Report]:
    """history.npz: step (n,) and loss (n,), the mean training loss of each step"""

    def record(trained: Trained) -> Report:
        losses = (
            np.concatenate([r.losses for r in trained.records]) if trained.records else np.zeros(0)
        )
        last = trained.records[-1].step if trained.records else 0
        file = io.BytesIO()
        np.savez_compressed(file, step=np.arange(last - len(losses) + 1, last + 1), loss=losses)
        return Report({}, {"history.npz": file.getvalue()})

    return record
