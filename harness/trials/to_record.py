"""From the outcome of a trial that has ended to its result, and to the run that is logged of it."""

from typing import Any

from harness.storage.records import Point, RunStatus, TrialRun
from harness.storage.result import TrialResult, TrialState
from harness.trials.live import params_of, points_of_epochs
from harness.trials.outcome import Outcome
from harness.trials.params import computed_from


def result_of(
    outcome: Outcome, params: dict[str, Any], pruned: bool = False, stopped_by: str = ""
) -> TrialResult:
    """What came of a trial.

    Parameters
    ----------
    outcome : Outcome
        The last one of the trial.
    params : dict
        What the search space has suggested.
    pruned : bool
        Whether the pruner has ended it.
    stopped_by : str
        Who has ended it; empty where nobody has.

    Returns
    -------
    TrialResult
        Ranked by its value alone. A driver adds what only it knows: identity, the values of other
        objectives, arm and yardstick.
    """
    state, reason = _end_of(outcome, pruned, stopped_by)
    value = outcome.value
    return TrialResult(
        state=state,
        reason=reason,
        value=value,
        values=[] if value is None else [value],
        epochs=_last_epoch(outcome),
        params=params,
        computed=computed_from(params, outcome.config),
        config=outcome.config.digest(),
        digest=outcome.digest,
        train_seconds=outcome.metrics.get("time/train_s"),
    )


def _end_of(outcome: Outcome, pruned: bool, stopped_by: str) -> tuple[TrialState, str]:
    """The state in which a trial has ended, and why."""
    if outcome.failure is not None:
        return outcome.failure, outcome.reason
    if outcome.refused:
        return TrialState.FAILED, outcome.refused
    if outcome.bad_step is not None:
        where = f"step {outcome.bad_step} (epoch {_last_epoch(outcome)})"
        return TrialState.DIVERGED, f"diverged: the loss was not finite at {where}"
    if pruned:
        return TrialState.PRUNED, ""
    if stopped_by:
        return TrialState.STOPPED, f"stopped by {stopped_by}"
    return TrialState.COMPLETE, ""


def _last_epoch(outcome: Outcome) -> int:
    return outcome.records[-1].epoch if outcome.records else 0


def to_run(id: str, name: str, outcome: Outcome, result: TrialResult) -> TrialRun:
    """The run that is logged of a trial.

    Parameters
    ----------
    id : str
        The id of the record, unique for ever.
    name : str
        What people read.
    outcome : Outcome
        The last one of the trial.
    result : TrialResult
        What came of it.
    """
    points, clock = _points(outcome)
    artifacts = {**outcome.artifacts, "config.json": outcome.config.to_json().encode()}
    if outcome.error:
        artifacts["traceback.txt"] = outcome.error.encode()
    return TrialRun(
        id=id,
        name=name,
        params=params_of(outcome, result.params),
        tags=_tags(outcome, result),
        metrics=points,
        artifacts=artifacts,
        status=_status(result.state),
        start_ms=outcome.start_ms,
        # The system's clock may have been set back since the trial began.
        end_ms=max(clock, outcome.end_ms),
        number=outcome.number,
        result=result,
    )


def _points(outcome: Outcome) -> tuple[list[Point], int]:
    """The points of all metrics, and the end of the last epoch."""
    points, clock = points_of_epochs(outcome)
    last = _last_epoch(outcome)
    end = outcome.end_ms
    points += [Point(key, value, last, end) for key, value in outcome.metrics.items()]
    if outcome.members:
        of_each = f"seeds/{outcome.config.metric['name']}"
        points += [Point(of_each, value, k, end) for k, value in enumerate(outcome.values)]
    return points, clock


def _tags(outcome: Outcome, result: TrialResult) -> dict[str, str]:
    """The tags that tell how the trial has ended."""
    tags = {
        **outcome.notes,
        "harness.config": result.config,
        "harness.state": str(result.state),
    }
    if result.state is TrialState.DIVERGED:
        tags["harness.bad_step"] = str(outcome.bad_step)
    if result.state is TrialState.PRUNED:
        tags["harness.pruned_epoch"] = str(result.epochs)
    if result.reason:
        tags["harness.reason"] = result.reason
    if result.is_ranked:
        tags["harness.value"] = repr(float(result.values[0]))
    return tags


def _status(state: TrialState) -> RunStatus:
    """The status that MLflow knows for a state."""
    if state in (TrialState.COMPLETE, TrialState.PRUNED):
        return RunStatus.FINISHED
    if state in (TrialState.STOPPED, TrialState.KILLED):
        return RunStatus.KILLED
    return RunStatus.FAILED
