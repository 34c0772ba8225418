"""The run that is logged of a trial that has ended."""

from typing import Any

from harness.escapes import escape_markdown
from harness.storage.records import TrialRun
from harness.trials.outcome import Outcome
from harness.trials.params import OURS, computed_from


def to_run(id: str, name: str, outcome: Outcome, params: dict[str, Any], state: str = "", **extra: Any) -> TrialRun:
    """The run that is logged of a trial: params, metrics per epoch, tags that tell the truth about how it ended."""
    clock = outcome.start_ms
    points = []
    for r in outcome.records:
        clock += round(1000 * sum(r.seconds.values()))
        points += [(k, v, r.epoch, clock) for k, v in r.metrics.items()]
        points += [(f"time/epoch_{k}", v, r.epoch, clock) for k, v in r.seconds.items()]
    last = outcome.records[-1].epoch if outcome.records else 0
    points += [(k, v, last, outcome.end_ms) for k, v in outcome.metrics.items()]
    if outcome.members:
        of_each = f"seeds/{outcome.config.metric['name']}"
        points += [(of_each, v, k, outcome.end_ms) for k, v in enumerate(outcome.values)]
    tags = {**outcome.notes, "harness.config": outcome.config.digest()}
    status, reason = "FINISHED", ""
    if outcome.failure:
        status, reason, state = "FAILED", outcome.reason, outcome.failure
        if state == "KILLED":
            status = "KILLED"
    elif outcome.refused:
        status, reason, state = "FAILED", outcome.refused, "FAILED"
    elif outcome.bad_step is not None:
        reason = f"diverged: the loss was not finite at step {outcome.bad_step} (epoch {last})"
        status, state = "FAILED", "DIVERGED"
        tags["harness.bad_step"] = str(outcome.bad_step)
    tags["harness.state"] = state or "COMPLETE"
    if state == "PRUNED":
        tags["harness.pruned_epoch"] = str(last)
    if reason:
        tags["harness.reason"] = reason
    # The system's clock may have been set back since the trial began
    end_ms = max(clock, outcome.end_ms)
    artifacts = {**outcome.artifacts, "config.json": outcome.config.to_json().encode()}
    if outcome.error:
        artifacts["traceback.txt"] = outcome.error.encode()
    ended: dict[str, Any] = {
        "value": outcome.value,
        "state": state or "COMPLETE",
        "reason": reason,
        "epochs": last,
        "params": params,
    }
    ended["computed"] = computed_from(params, outcome.config)
    values = extra.get("values", [outcome.value])
    if values and values[0] is not None and tags["harness.state"] == "COMPLETE":
        tags["harness.value"] = repr(float(values[0]))  # what it is ranked by
    ended |= {
        "config": outcome.config.digest(),
        "digest": outcome.digest,
        "train_s": outcome.metrics.get("time/train_s"),
    }
    return TrialRun(
        id=id,
        name=name,
        params={**{f"{OURS}{key}": value for key, value in outcome.config.flat().items()}, **params},
        tags=tags,
        metrics=points,
        artifacts=artifacts,
        status=status,
        start_ms=outcome.start_ms,
        end_ms=end_ms,
        number=outcome.number,
        description=reason and f"**{state}** {escape_markdown(reason)}",
        extra={**ended, **extra},
    )
