"""Seconds of a run, by what they were spent on."""

from collections.abc import Callable

from harness.recorders.report import Report, Trained
from harness.registry.decorators import recorder

_KINDS: tuple[str, ...] = ("train_s", "evaluate_s")


@recorder()
def timing() -> Callable[[Trained], Report]:
    """time/train_s, time/evaluate_s, time/capture_s, time/step_us, summed over the epochs

    Each is measured with a monotonic clock; time/capture_s is that of a film; time/step_us is the
    mean of a training step.
    """

    def record(trained: Trained) -> Report:
        kinds = _KINDS
        if trained.config.film is not None:
            kinds += ("capture_s",)
        metrics = {f"time/{kind}": _total(trained, kind) for kind in kinds}
        steps = sum(len(epoch.losses) for epoch in trained.records)
        # There is no step where the first epoch has not ended.
        metrics["time/step_us"] = 1e6 * metrics["time/train_s"] / max(steps, 1)
        return Report(metrics, {})

    return record


def _total(trained: Trained, kind: str) -> float:
    return sum(epoch.seconds.get(kind, 0.0) for epoch in trained.records)
