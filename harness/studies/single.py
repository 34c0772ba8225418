"""One run that stands alone: it is logged by the process that has trained it."""

from harness.storage.files import make_folder
from harness.storage.lock import file_lock
from harness.storage.records import TrialRun
from harness.storage.root import find_root
from harness.storage.spool import Spool
from harness.studies.labels import NO_LABELS, Labels, with_note
from harness.studies.origin import origin_tags
from harness.studies.plugin_files import plugin_files


def log_single(run: TrialRun, project: str = "harness", labels: Labels = NO_LABELS) -> str | None:
    """Spools and logs one run that stands alone.

    Parameters
    ----------
    run : TrialRun
        Its record.
    project : str
        The MLflow experiment.
    labels : Labels
        The user's tags and note.

    Returns
    -------
    str or None
        Its run id; None where MLflow cannot be reached, so that it waits in the spool.
    """
    from harness.tracking.writer import open_tracker

    folder = find_root() / "mlruns" / "runs"
    files, tags = plugin_files({})
    run.artifacts = {**files, **run.artifacts}
    run.tags = {**labels.tags, **origin_tags(None), **tags, **run.tags}
    run.description = with_note(labels.note, run.description)
    run.project = project
    make_folder(folder)
    with file_lock(folder / "lock"):
        spool = Spool(folder / "spool")
        # Written before anything that may refuse, so that a network that has been trained is kept.
        spool.write(run)
        open_tracker(None, project).catch_up(spool)
        return spool.run_id(run.id)
