"""Recorders: functions of what a training run left behind. record(trained) -> Report(metrics, artifacts)."""

import time
from dataclasses import dataclass
from typing import Any, NamedTuple

from harness import registry
from harness.config import Config
from harness.train import Data, Record, State


@dataclass(frozen=True)
class Trained:
    """A finished training run, in full: what every recorder reads."""

    config: Config
    data: Data
    state: State
    records: list[Record]


class Report(NamedTuple):
    """What a recorder adds to a run: numbers, and files by name."""

    metrics: dict[str, float]
    artifacts: dict[str, bytes]


from harness.recorders import film, health, history, timing  # noqa: E402, F401  they need Report


def report(trained: Trained) -> Report:
    """What all recorders of the config say; the seconds of each are in time/<name>_s."""
    metrics: dict[str, float] = {}
    artifacts: dict[str, bytes] = {}
    specs: list[Any] = [{"name": "timing"}, {"name": "history"}, *trained.config.recorders]
    if trained.config.film is not None:
        specs.append(trained.config.film)
    for spec in specs:
        begun = time.perf_counter()
        said = registry.make("recorder", spec)(trained)
        metrics |= said.metrics
        artifacts |= said.artifacts
        if spec["name"] not in ("timing", "history"):
            metrics[f"time/{spec['name']}_s"] = time.perf_counter() - begun
    return Report(metrics, artifacts)
