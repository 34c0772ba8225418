"""`harness stop`: asks the driver of a study to end one of its trials, or to stop.

The request is a file in the folder of the study (`storage.stops`), which its driver looks for
between segments. So it works from any process that sees the folder, and needs no server.
"""

import getpass
import json
import re
import socket
from pathlib import Path
from typing import NamedTuple

from harness.errors import UsageError
from harness.maintenance.folders import is_run_id, spool_of
from harness.storage import journal
from harness.storage.formats import Damaged
from harness.storage.lock import is_held
from harness.storage.records import TrialRun
from harness.storage.spool import Spool
from harness.storage.stops import Stop, Stops
from harness.studies.books import folder_of
from harness.studies.stopping import FOLDER
from harness.studies.study import JOURNAL

_KINDS = ("sweep", "comparison")
_NUMBERED = re.compile(r"(?P<name>.+?)\s*#(?P<number>\d{1,9})", re.DOTALL)


class Target(NamedTuple):
    """What is to be stopped.

    Attributes
    ----------
    kind : str
        Of the study: "sweep" or "comparison".
    name : str
        The study.
    folder : Path
        Its folder.
    number : int or None
        The trial; None for the whole study.
    """

    kind: str
    name: str
    folder: Path
    number: int | None = None

    @property
    def study(self) -> str:
        """The study in words."""
        return f"{self.kind} {self.name!r}"

    @property
    def is_running(self) -> bool:
        """Whether somebody drives the study now."""
        return is_held(self.folder / "lock")


def stop(reference: str, root: Path | None = None) -> str:
    """Asks for the end of a trial, or of the work on a sweep or comparison.

    Parameters
    ----------
    reference : str
        "SWEEP#7" for a trial, the name of a sweep or comparison, or the run id of one of these.
    root : Path, optional
        The folder that holds mlruns/; looked for from here by default.

    Returns
    -------
    str
        What happens now, in one sentence.

    Raises
    ------
    UsageError
        If there is no such trial or study, or it has ended.
    """
    target = _target(reference, root)
    number = target.number
    if number is not None:
        _check_in_training(target, number)
    elif not target.is_running:
        raise UsageError(
            f"only what is running can be stopped, and {target.study} is not; harness results "
            "lists what there is"
        )
    by = f"{_user()} on {socket.gethostname()}"
    Stops(target.folder / FOLDER).request(Stop(number, by))
    if number is None:
        return f"{target.study} stops after the present segments; the same command goes on with it"
    if target.is_running:
        return f"trial #{number} of {target.study} ends after its present segment"
    return f"{target.study} is not running; its trial #{number} ends when somebody goes on with it"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # The user of a container may have no name.
        return "somebody"


# References ---------------------------------------------------------------------------------------


def _target(reference: str, root: Path | None) -> Target:
    """What a reference names; UsageError where that is nothing."""
    # A name may have a # itself, so the whole reference is looked for first.
    if target := _study_called(reference, root):
        return target
    parts = _NUMBERED.fullmatch(reference)
    if parts and (target := _study_called(parts["name"], root)):
        return target._replace(number=int(parts["number"]))
    if is_run_id(reference):
        return _target_of_run(reference, root)
    raise UsageError(
        "what is to be stopped is named as in 'my sweep', 'my sweep#7' or by a run id, but there "
        f"is none for {reference!r}; harness results lists what there is"
    )


def _study_called(name: str, root: Path | None) -> Target | None:
    """A study by its name; of a sweep and a comparison of one name the one that is running."""
    targets = [Target(kind, name, folder_of(kind, name, root)) for kind in _KINDS]
    there = [target for target in targets if spool_of(target.folder).is_dir()]
    running = [target for target in there if target.is_running]
    return next(iter([*running, *there]), None)


def _target_of_run(run_id: str, root: Path | None) -> Target:
    """The study or the trial that has become a run in MLflow."""
    from harness.tracking.reader import reading

    with reading(root) as reader:
        run = next(reader.runs(f"attributes.run_id = '{run_id}'"), None)
        if run is None:
            raise UsageError(
                f"there is no run {run_id} in MLflow; harness results lists what there is"
            )
        parent = run
        if run.kind == "trial":
            parent = reader.run(run.tags["mlflow.parentRunId"])
    # The name in MLflow may have been changed there; the id of the record has the one from here.
    name = parent.id.removeprefix(f"{parent.kind}/").rpartition("/")[0]
    target = Target(parent.kind, name, folder_of(parent.kind, name, root))
    if parent.kind not in _KINDS or not spool_of(target.folder).is_dir():
        raise UsageError(
            f"{run_id} must be the run of a sweep, a comparison or one of their trials below this "
            f"mlruns/, but it is {run.name!r}, a {run.kind or 'run of something else'}; name one "
            "as in 'my sweep#7'"
        )
    if run.kind == "trial":
        return target._replace(number=int(run.tags["harness.number"]))
    return target


# Trials -------------------------------------------------------------------------------------------


def _check_in_training(target: Target, number: int) -> None:
    """UsageError for a trial that has ended, or that has never begun."""
    # Its driver may be writing there, so that nothing is cleaned up.
    spool = Spool(spool_of(target.folder), clean=False)
    for run in spool.sound():
        if isinstance(run, TrialRun) and run.number == number:
            raise UsageError(
                f"only what is in training can be stopped, but trial #{number} of {target.study} "
                f"has ended as {run.result.state}"
            )
    begun = _begun(target, spool)
    if number >= begun:
        last = "none yet"
        if begun:
            last = f"#{begun - 1} at most"
        raise UsageError(
            f"only what is in training can be stopped, but {target.study} has no trial #{number} "
            f"in training; the last one is {last}"
        )


def _begun(target: Target, spool: Spool) -> int:
    """The number after that of the last trial that may be in training."""
    if target.kind == "sweep":
        file = target.folder / JOURNAL
        try:
            return journal.read(file).trials_created()
        except FileNotFoundError:
            return 0
        except Damaged as error:
            raise UsageError(
                f"{file} must be as it was written, but {error}; see what is wrong with harness "
                "doctor"
            ) from None
    parent = spool.parent()
    if parent is None:
        return 0
    arms = len(json.loads(parent.tags["harness.arms"]))
    seeds = len(parent.tags["harness.seeds"].split(","))
    return arms * (seeds + int(parent.tags["harness.points"]))
