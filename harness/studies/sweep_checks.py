"""What the options of a sweep must be."""

import contextlib
from typing import TYPE_CHECKING, Any

from harness import checks
from harness.errors import UsageError, argument
from harness.studies.enqueue import check_points
from harness.studies.labels import labels
from harness.studies.networks import check_models
from harness.studies.space import Skip, propose

if TYPE_CHECKING:
    from harness.studies.sweep import Sweep

WHOSE = ("all", "best", "none")  # trials that have a film, or their data as inputs


def check(sweep: "Sweep") -> None:
    """UsageError for options that cannot be."""
    for name in ("trials", "workers", "population", "seeds"):
        value = getattr(sweep, name)
        if name == "population" and value == "auto":
            continue
        setattr(sweep, name, checks.whole(argument(name), value, 1))
    sweep.seed = checks.whole(argument("seed"), sweep.seed, 0)
    _check_seconds("checkpoint", sweep.checkpoint, zero=True)
    if sweep.trial_timeout is not None:
        _check_seconds("trial_timeout", sweep.trial_timeout)
    if sweep.timeout is not None:
        _check_seconds("timeout", sweep.timeout)
    check_points(sweep.enqueue)
    if isinstance(sweep.objectives, str):
        raise UsageError(
            f"objectives must be a list such as ['accuracy', 'train_s'], got {sweep.objectives!r}"
        )
    for name in ("film", "inputs"):
        checks.one_of(argument(name), getattr(sweep, name), WHOSE)
    check_models(sweep.models, sweep.register)
    labels(sweep.tags, sweep.note)


def _check_seconds(name: str, value: Any, zero: bool = False) -> None:
    bound = "0 or more" if zero else "more than 0"
    checks.real(
        argument(name),
        value,
        lambda seconds: seconds > 0 or (zero and seconds == 0),
        f"must be a number of seconds, {bound}",
    )


def check_several(sweep: "Sweep", about: dict[str, Any]) -> None:
    """Several objectives: no pruner of Optuna takes them, and not every sampler."""
    import optuna

    if sweep.pruner:
        raise UsageError(
            f"a sweep with several objectives can have no pruner, got {sweep.pruner!r}; "
            "leave it out"
        )
    try:
        with contextlib.suppress(Skip):
            propose(sweep, optuna.create_study(**about).ask())
    except UsageError as error:
        if isinstance(error.__cause__, ValueError):
            raise UsageError(
                f"a sweep with several objectives needs a sampler for them, but {sweep.sampler!r} "
                f"says: {error.__cause__}; use TPESampler, NSGAIISampler or RandomSampler"
            ) from None
        raise
