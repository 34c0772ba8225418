"""Seconds of a run, by what they were spent on."""

from collections.abc import Callable

from harness.recorders import Report, Trained
from harness.registry.decorators import recorder


@recorder()
def timing() -> Callable[[Trained], Report]:
    """time/train_s, time/evaluate_s, time/capture_s, time/step_us: a monotonic clock around each,
    summed over the epochs
    """

    def record(trained: Trained) -> Report:
        kinds = ("train_s", "evaluate_s", "capture_s")
        sums = {f"time/{k}": sum(r.seconds.get(k, 0.0) for r in trained.records) for k in kinds}
        steps = sum(len(r.losses) for r in trained.records)
        return Report({**sums, "time/step_us": 1e6 * sums["time/train_s"] / max(steps, 1)}, {})

    return record
