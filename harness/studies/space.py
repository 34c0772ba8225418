"""The search space of a sweep, and the config that it proposes for a trial."""

import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.boundary import foreign
from harness.config import Config
from harness.errors import UsageError, in_words
from harness.trials.params import check_param

if TYPE_CHECKING:
    from harness.studies.sweep import Sweep

SKIPPED_IN_A_ROW = 1000  # so many points, and the space is taken to skip all of them


class Skip(Exception):
    """A space raises it for a point that is not to be tried; optuna.TrialPruned does the same."""


def propose(sweep: "Sweep", trial: Any, taken: tuple[str, ...] = ()) -> Config:
    """The space's config for a trial; whatever the space does wrong is one sentence.

    Parameters
    ----------
    sweep : Sweep
        The sweep whose space it is.
    trial : optuna.Trial
        The trial.
    taken : tuple of str
        Names that the space must not suggest.

    Raises
    ------
    Skip
        The space has raised it, or optuna.TrialPruned.
    UsageError
        It has raised anything else, or returned what is no config for a sweep.
    """
    from optuna import TrialPruned

    try:
        with foreign("the search space", UsageError):
            config = sweep.space(trial)
    except (UsageError, Skip):
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
