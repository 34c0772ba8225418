"""What every recorder must do, held against a network that has been trained."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness import registry
from harness.recorders import Report, Trained
from harness.storage.paths import safe_path
from harness.testing.datasets import trained_on
from harness.testing.measures import different, not_finite
from harness.testing.rules import walk
from harness.testing.suite import Check, Subject, Suite


@dataclass(frozen=True)
class _Recorder:
    """A recorder, what it reads, and a copy of that."""

    record: Callable[[Trained], Report]
    trained: Trained
    kept: dict[str, np.ndarray]


def recorder(suite: Suite, subject: Subject) -> None:
    """The checks of a recorder."""
    trained = trained_on("mnist14(rows=500)", film="film(frames=3)")
    record = registry.make("recorder", subject.spec)
    # Copies from before the first call of the recorder.
    kept = {path: array.copy() for path, array in _arrays(trained)}
    suite.run(_CHECKS, _Recorder(record, trained, kept))


def _arrays(trained: Trained) -> list[tuple[str, np.ndarray]]:
    return [(path, value) for path, value in walk(trained.state) if isinstance(value, np.ndarray)]


def _is_no_report(bench: _Recorder) -> int:
    # A Report is a pair, and a plain pair is accepted.
    metrics, artifacts = bench.record(bench.trained)
    wrong = sum(not isinstance(name, str) or np.ndim(v) != 0 for name, v in metrics.items())
    return wrong + sum(
        not isinstance(content, bytes) or not safe_path(path) for path, content in artifacts.items()
    )


def _not_finite(bench: _Recorder) -> float:
    metrics = bench.record(bench.trained).metrics
    return not_finite(*map(float, metrics.values()))


def _writes_to_state(bench: _Recorder) -> float:
    """What the checks before this one, which call the recorder, have changed."""
    return sum(different(array, bench.kept[path]) for path, array in _arrays(bench.trained))


_CHECKS = (
    Check(
        "is a Report",
        "record(trained) must return Report(metrics: numbers by name, artifacts: bytes by path)",
        _is_no_report,
    ),
    Check("finite numbers", "of a network that trains well", _not_finite),
    Check(
        "training is not written",
        "what a recorder reads belongs to the next recorder too",
        _writes_to_state,
    ),
)
