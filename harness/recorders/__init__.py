"""Recorders: functions of what a training run left behind. record(trained) -> Report(metrics, artifacts)."""

import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from harness import registry
from harness.config import Config
from harness.errors import PluginError
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


def _sound(name: str, said: Any) -> Report:
    """What a recorder returned; PluginError where the books could not hold it, since that would end a whole sweep."""
    wrong = (
        None if isinstance(said, tuple) and len(said) == 2 and all(isinstance(d, dict) for d in said) else repr(said)
    )
    if wrong is None:
        numbers, files = said
        for key, value in numbers.items():
            if not isinstance(key, str) or np.ndim(value) != 0 or np.asarray(value).dtype.kind not in "biuf":
                wrong = f"the metric {key!r} is a {type(value).__name__}"
        for path, data in files.items():
            if not isinstance(path, str) or not isinstance(data, bytes):
                wrong = f"the artifact {path!r} is a {type(data).__name__}"
    if wrong is not None:
        raise PluginError(
            f"the recorder {name!r} must return Report(metrics: numbers by name, artifacts: bytes by path), got "
            f"{wrong}; text.encode() makes bytes, float(x) a number"
        )
    return Report(*said)


def report(trained: Trained) -> Report:
    """What all recorders of the config say; the seconds of each are in time/<name>_s."""
    metrics: dict[str, float] = {}
    artifacts: dict[str, bytes] = {}
    specs: list[Any] = [{"name": "timing"}, {"name": "history"}, *trained.config.recorders]
    if trained.config.film is not None:
        specs.append(trained.config.film)
    for spec in specs:
        begun = time.perf_counter()
        said = _sound(spec["name"], registry.make("recorder", spec)(trained))
        metrics |= said.metrics
        artifacts |= said.artifacts
        if spec["name"] not in ("timing", "history"):
            metrics[f"time/{spec['name']}_s"] = time.perf_counter() - begun
    return Report(metrics, artifacts)
