"""The search space of a sweep: the config that it proposes for a trial, and what that will be
measured by.
"""

import hashlib
import inspect
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import registry
from harness.boundary import foreign
from harness.config import Config
from harness.errors import UsageError, in_words
from harness.storage.records import TrialRun
from harness.trials.identity import data_digest
from harness.trials.params import check_param

if TYPE_CHECKING:
    from harness.studies.sweep import Sweep

SKIPPED_IN_A_ROW = 1000  # so many points, and the space is taken to skip all of them


class Skip(Exception):
    """The space has raised optuna.TrialPruned: this point is not to be tried."""


def propose(sweep: "Sweep", trial: Any, taken: tuple[str, ...] = ()) -> Config:
    """The space's config for a trial; whatever the space does wrong is one sentence.

    Parameters
    ----------
    sweep: whose space it is.
    trial: Optuna's, or what answers as one.
    taken: names that the space must not suggest.

    Raises
    ------
    Skip: where the space raises optuna.TrialPruned.
    UsageError: where it raises anything else, or returns what is no config for a sweep.
    """
    from optuna import TrialPruned

    try:
        with foreign("the search space", UsageError):
            config = sweep.space(trial)
    except UsageError:
        raise
    except TrialPruned as pruned:
        raise Skip(str(pruned)) from None
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        frame = next((f for f in reversed(frames) if Path(f.filename) == sweep.script), frames[-1])
        raise UsageError(
            f"the search space must return a Config, but it raised {in_words(error)} "
            f"(file {frame.filename}, line {frame.lineno}); correct it, or start a changed space "
            f"under another name"
        ) from error
    if not isinstance(config, Config):
        raise UsageError(
            f"the search space must return a Config, got {type(config).__name__}; "
            f"return Config(...)"
        )
    for name in trial.params:
        check_param(name, taken)
    if config.valid == 0:
        raise UsageError(
            "a sweep needs a validation part to choose by, got valid=0; give a share "
            "such as valid=0.2"
        )
    changes: dict[str, Any] = {}
    if config.seed == 0 and sweep.seed and "seed" not in trial.params:
        changes["seed"] = sweep.seed
    if sweep.film == "none":
        changes["film"] = None
    return config.replace(**changes) if changes else config


@dataclass(frozen=True)
class Yardstick:
    """What the value of a trial is measured by. Values that were measured otherwise have no place
    in one ranking.

    Attributes
    ----------
    spec: the data set as the config names it.
    data: the digest of its content; empty where it cannot be loaded.
    valid, split_seed: which rows are the validation part.
    metric: the metric with its arguments.
    source: the SHA-256 of the metric's function where it is a plugin, else empty.
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


def _source(metric: str) -> str:
    entry = registry.find("metric", metric)
    if Path(entry.origin).resolve().is_relative_to(Path(__file__).resolve().parents[1]):
        return ""
    try:
        text = inspect.getsource(inspect.unwrap(entry.factory))
    except (OSError, TypeError):  # typed at a prompt
        return ""
    return hashlib.sha256(text.encode()).hexdigest()


class Yardsticks:
    """Those of the trials of a sweep that have ended.

    Parameters
    ----------
    name: of the sweep.
    trials: that have ended.
    """

    def __init__(self, name: str, trials: list[TrialRun]) -> None:
        self._name = name
        self._known: dict[Yardstick, int] = {}  # with the first trial that was measured by it
        for trial in sorted(trials, key=lambda t: t.number or 0):
            if trial.result.yardstick and trial.result.value is not None:
                self._known.setdefault(Yardstick(**trial.result.yardstick), trial.number or 0)

    def check(self, now: Yardstick) -> None:
        """UsageError where an earlier trial has been measured by the same names with another
        content.
        """
        for was, number in self._known.items():
            if now.data and was.spec == now.spec and was.data != now.data:
                self._refuse("data set", was.spec, number, was.data, now.data, "restore the data")
            if was.metric == now.metric and was.source != now.source:
                self._refuse(
                    "metric", was.metric, number, was.source, now.source, "restore its source"
                )

    def check_first(self, before: Yardstick | None, now: Yardstick) -> None:
        """UsageError where the space measures otherwise than it did in all trials so far.

        Parameters
        ---------- before: of the point by which every start of the sweep looks at its space, at the
        start before. now: of the same point.
        """
        self.check(now)
        if before is None or not self._known or not now.data:
            return
        if before.data != now.data and self._same("data", before):
            way_out = f"go back from {now.spec}" if before.spec != now.spec else "restore the data"
            self._refuse("data set", before.spec, self._first(), before.data, now.data, way_out)
        for field in ("valid", "split_seed", "metric"):
            was, given = getattr(before, field), getattr(now, field)
            if was != given and self._same(field, before):
                raise UsageError(
                    f"all trials of sweep {self._name!r} must be measured alike, but trial "
                    f"#{self._first()} had {field}={was}, and now it is {given}; change it back, "
                    f"or "
                    "start under another name"
                )

    def _same(self, field: str, as_in: Yardstick) -> bool:
        """Whether all trials had this; a space may suggest its data set or its validation part."""
        return all(getattr(each, field) == getattr(as_in, field) for each in self._known)

    def _first(self) -> int:
        return min(self._known.values())

    def _refuse(self, what: str, spec: str, number: int, was: str, now: str, way_out: str) -> None:
        shown = [digest[:12] or "none" for digest in (was, now)]
        raise UsageError(
            f"all trials of sweep {self._name!r} must be measured alike, but the {what} {spec} had "
            f"the digest "
            f"{shown[0]} for trial #{number} and has {shown[1]} now; {way_out}, or start under "
            f"another name"
        )
