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


# What a run has of its own beside what recorders say
_OF_A_RUN = ("config.json", "environment.json", "traceback.txt")


def _apart(name: str, said: Report, trained: Trained, metrics: dict[str, float], artifacts: dict[str, bytes]) -> None:
    """PluginError where a recorder would take the place of what another one, or training itself, has noted."""
    noted = {key for record in trained.records for key in record.metrics}
    for kind, own, taken in (
        ("metric", said.metrics, {*metrics, *noted}),
        ("artifact", said.artifacts, {*artifacts, *_OF_A_RUN}),
    ):
        if twice := sorted(taken.intersection(own)):
            raise PluginError(
                f"the recorder {name!r} must leave the {kind} {twice[0]!r} alone, which is noted already; "
                "give its own another name"
            )


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
        _apart(spec["name"], said, trained, metrics, artifacts)
        metrics |= said.metrics
        artifacts |= said.artifacts
        if spec["name"] not in ("timing", "history"):
            metrics[f"time/{spec['name']}_s"] = time.perf_counter() - begun
    return Report(metrics, artifacts)
