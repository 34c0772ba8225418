"""The score of a run on the test part: logged once, and marked as looked at."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from harness.tracking.model import runs_with_network_of
from harness.tracking.reader import reading
from harness.tracking.recorded_run import run_called

SEEN = "harness.test_seen"  # the tag that says when somebody has looked first


def now() -> str:
    """Return the time as the tag has it."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def look(reference: str, scores: Mapping[str, float], root: Path | None = None) -> str:
    """Log the scores of a run on the test part, unless somebody has looked at it before.

    A look at the network of a sweep is one at that of its best trial, and the other way round.

    Parameters
    ----------
    reference
        A run id, the name of a run, of a sweep or of a comparison, or "SWEEP#12".
    scores
        The scores by name, "test/accuracy".
    root
        The folder that holds mlruns/; None to look for it from here.

    Returns
    -------
    str
        When somebody has looked at it first; "" if that is now.

    Raises
    ------
    UsageError
        If there is no such run.
    """
    with reading(root) as reader:
        run_ids = runs_with_network_of(reader.client, run_called(reader, reference).run_id)
        runs = [reader.client.get_run(run_id) for run_id in run_ids]
        looks = [run.data.tags[SEEN] for run in runs if SEEN in run.data.tags]
        if looks:
            return min(looks)
        # What was deleted in the UI takes no tags any more.
        active = [run.info.run_id for run in runs if run.info.lifecycle_stage == "active"]
        # The mark comes first: a look that was not logged is a look all the same.
        for run_id in active:
            reader.client.set_tag(run_id, SEEN, now())
        for run_id in active:
            for name, value in scores.items():
                reader.client.log_metric(run_id, name, value)
    return ""
