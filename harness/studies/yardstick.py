"""What the values of a sweep are measured by, and that it stays the same."""

import hashlib
import inspect
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness import registry
from harness.config import Config
from harness.errors import UsageError
from harness.storage.records import TrialRun
from harness.trials.identity import data_digest


@dataclass(frozen=True)
class Yardstick:
    """What the value of a trial is measured by.

    Values that were measured otherwise have no place in one ranking.

    Attributes
    ----------
    spec : str
        The data set as the config names it.
    data : str
        The digest of its content; empty where it cannot be loaded.
    valid, split_seed : float, int
        Which rows are the validation part.
    metric : str
        The metric with its arguments.
    source : str
        The SHA-256 of the metric's function where it is a plugin, else empty.
    """

    spec: str
    data: str
    valid: float
    split_seed: int
    metric: str
    source: str

    @classmethod
    def of(cls, config: Config) -> "Yardstick":
        """The yardstick of a config, its data set read once in a process."""
        return cls(
            spec=config.data if isinstance(config.data, str) else registry.text(config.data),
            data=data_digest(config),
            valid=config.valid,
            split_seed=config.split_seed,
            metric=registry.text(config.metric),
            source=_source(config.metric["name"]),
        )


@cache
def _is_ours(origin: str) -> bool:
    """Whether a file belongs to this package."""
    return Path(origin).resolve().is_relative_to(Path(__file__).resolve().parents[1])


def _source(metric: str) -> str:
    """The SHA-256 of a metric's function, where it is not one of ours."""
    entry = registry.find("metric", metric)
    if _is_ours(entry.origin):
        return ""
    try:
        text = inspect.getsource(inspect.unwrap(entry.factory))
    except (OSError, TypeError):  # It was typed at a prompt.
        return ""
    return hashlib.sha256(text.encode()).hexdigest()


class Yardsticks:
    """The yardsticks of the trials of a sweep that have ended.

    Parameters
    ----------
    name : str
        The sweep.
    trials : list of TrialRun
        Those that have ended.
    """

    def __init__(self, name: str, trials: list[TrialRun]) -> None:
        self._name = name
        # Each with the number of the first trial that was measured by it.
        self._known: dict[Yardstick, int] = {}
        for trial in sorted(trials, key=lambda trial: trial.number or 0):
            if trial.result.yardstick and trial.result.value is not None:
                yardstick = Yardstick(**trial.result.yardstick)
                self._known.setdefault(yardstick, trial.number or 0)

    def check(self, now: Yardstick) -> None:
        """UsageError where data or metric have kept their name and changed their content."""
        for was, number in self._known.items():
            if now.data and was.spec == now.spec and was.data != now.data:
                self._refuse_data(was, number, now, "restore the data")
            if was.metric == now.metric and was.source != now.source:
                self._refuse_digest(
                    f"metric {was.metric}", number, was.source, now.source, "restore its source"
                )

    def check_first(self, before: Yardstick, now: Yardstick) -> None:
        """UsageError where the space measures otherwise than it did in all trials so far.

        Parameters
        ----------
        before : Yardstick
            Of the point by which every start of the sweep looks at its space, at the start before.
        now : Yardstick
            Of the same point, now.
        """
        self.check(now)
        if not self._known or not now.data:
            return
        first = min(self._known.values())
        if before.data != now.data and self._is_the_same("data", before):
            way_out = "restore the data"
            if before.spec != now.spec:
                way_out = f"go back from {now.spec}"
            self._refuse_data(before, first, now, way_out)
        for field in ("valid", "split_seed", "metric"):
            was = getattr(before, field)
            given = getattr(now, field)
            if was != given and self._is_the_same(field, before):
                raise UsageError(
                    f"all trials of sweep {self._name!r} must be measured alike, but trial "
                    f"#{first} had {field}={was}, and now it is {given}; change it back, or start "
                    "under another name"
                )

    def _is_the_same(self, field: str, as_in: Yardstick) -> bool:
        """Whether all trials had this; a space may suggest its data set or its validation part."""
        return all(getattr(known, field) == getattr(as_in, field) for known in self._known)

    def _refuse_data(self, was: Yardstick, number: int, now: Yardstick, way_out: str) -> None:
        self._refuse_digest(f"data set {was.spec}", number, was.data, now.data, way_out)

    def _refuse_digest(self, what: str, number: int, was: str, now: str, way_out: str) -> None:
        raise UsageError(
            f"all trials of sweep {self._name!r} must be measured alike, but the {what} had the "
            f"digest {was[:12] or 'none'} for trial #{number} and has {now[:12] or 'none'} now; "
            f"{way_out}, or start under another name"
        )
