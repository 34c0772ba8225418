"""What is said of a trial while it is in training, and read back where it is trained again.

The first points that are durable are the true ones. A trial that goes on after a crash comes to the
same metrics, but its epochs take other times; so their records take over the seconds and the ends
of the first time, and with them the timestamps of all points.
"""

from typing import Any

import numpy as np

from harness.storage.live import LiveTrial
from harness.storage.records import Point
from harness.training.state import Record
from harness.trials.outcome import Outcome
from harness.trials.params import OURS

_SECONDS = "time/epoch_"  # what the names of the seconds of an epoch begin with


def to_live(
    id: str, name: str, outcome: Outcome, params: dict[str, Any], tags: dict[str, str]
) -> LiveTrial:
    """What its run says of a trial while it is in training.

    Parameters
    ----------
    id, name : str
        Those that its record will have.
    outcome : Outcome
        How it stands.
    params : dict
        What the search space has suggested.
    tags : dict
        Those that all trials of the study have.
    """
    tags = {**tags, **outcome.notes, "harness.config": outcome.config.digest()}
    if outcome.members:
        tags["harness.seeds"] = str(len(outcome.members))
    run_params = params_of(outcome, params)
    return LiveTrial(outcome.number, id, name, run_params, tags, outcome.start_ms)


def params_of(outcome: Outcome, params: dict[str, Any]) -> dict[str, Any]:
    """The params of a run: those of the config, and what was suggested."""
    config = {f"{OURS}{key}": value for key, value in outcome.config.flat().items()}
    if outcome.parameters is not None:
        config[f"{OURS}parameters"] = outcome.parameters
    return {**config, **params}


def points_of_epochs(outcome: Outcome) -> tuple[list[Point], int]:
    """The points of all epochs, each with the time of its end, and the end of the last one."""
    points: list[Point] = []
    clock = outcome.start_ms
    for record in outcome.records:
        # The system's clock may have been set back meanwhile.
        clock = max(clock, record.ended_ms)
        measured = {**record.metrics, **record.optim}
        points += [Point(key, value, record.epoch, clock) for key, value in measured.items()]
        for key, value in record.seconds.items():
            # Without a film nothing is captured, and the curve would be constant.
            if key != "capture_s" or outcome.config.film is not None:
                points.append(Point(f"{_SECONDS}{key}", value, record.epoch, clock))
    return points, clock


def records_of(points: list[Point]) -> dict[int, Record]:
    """From points of epochs back to the epochs.

    Parameters
    ----------
    points : list of Point
        What `points_of_epochs` has made of a trial from its first epoch on.

    Returns
    -------
    dict of Record
        By their epochs, without losses and steps.
    """
    records: dict[int, Record] = {}
    for point in points:
        fresh = Record(point.step, 0, {}, np.empty(0), ended_ms=point.time_ms)
        record = records.setdefault(point.step, fresh)
        if point.key.startswith(_SECONDS):
            record.seconds[point.key.removeprefix(_SECONDS)] = point.value
        elif "/" in point.key:
            # These are "train/loss", "valid/accuracy" and their like.
            record.metrics[point.key] = point.value
        else:
            record.optim[point.key] = point.value
    return records
