"""The models of a study in MLflow: those that wait, and those that MLflow has lost."""

from functools import partial
from pathlib import Path

from harness.errors import UsageError
from harness.maintenance.words import counted
from harness.storage.findings import Finding
from harness.storage.networks import NetworkFolder
from harness.storage.records import Run, TrialRun
from harness.storage.spool import Spool
from harness.tracking.connect import mark
from harness.tracking.model import Owed, lost_models


def check(spool: Spool, root: Path | None) -> list[Finding]:
    """Finds the models of a study that MLflow had, and has no more.

    Those whose network is kept wait again when the finding is mended, and are to be sent then.

    Parameters
    ----------
    spool : Spool
        The records of the study.
    root : Path or None
        The folder that holds mlruns/; None where it is looked for from here.
    """
    networks = NetworkFolder(spool.folder.parent)
    lost = lost_of(spool, root)
    kept = [owed for owed in lost if networks.read(owed.digest) is not None]
    findings = []
    if kept:
        number = counted(len(kept), "model")
        mend = partial(let_wait, spool, kept)
        plan = f"log {number} again that MLflow has lost, from the networks that are kept"
        mended = f"{number} that MLflow had lost, made again from the networks that are kept"
        findings.append(Finding(spool.folder, plan, mend, mended))
    if len(kept) < len(lost):
        number = counted(len(lost) - len(kept), "model")
        # Mostly a better network has taken the place of theirs since.
        text = (
            f"MLflow has lost {number}, whose networks are not kept; starting the same study again "
            "makes those that it wants"
        )
        findings.append(Finding(spool.folder, text, is_harmless=True))
    return findings


def lost_of(spool: Spool, root: Path | None) -> list[Owed]:
    """The models of a study that were sent to the store in use, and are not there."""
    owed = [each for each in _sent(spool) if spool.store(each.record) in ("", mark(root))]
    return lost_models(owed, root) if owed else []


def _sent(spool: Spool) -> list[Owed]:
    """The models of a study that were sent, of its trials and of itself."""
    parent = spool.parent()
    if parent is None:
        return []  # the network of a run that stands alone is kept in MLflow only
    networks = NetworkFolder(spool.folder.parent)
    if not networks.has_given:
        return []
    sent = []
    for run in spool.sound():
        if not isinstance(run, TrialRun):
            continue
        records: list[Run] = [run, parent]
        for record in records:
            run_id = spool.run_id(record.id)
            if run_id is not None and networks.is_sent(record.id, run.result.digest):
                sent.append(Owed(record.id, run_id, run.result.digest))
    return sent


def let_wait(spool: Spool, lost: list[Owed]) -> None:
    """Makes models again of the networks that are kept, so that they wait to be sent.

    Raises
    ------
    UsageError
        Where a network has a plugin that is not loaded.
    """
    from harness.studies.networks import export_again  # it imports all that trains

    networks = NetworkFolder(spool.folder.parent)
    for owed in lost:
        network = networks.read(owed.digest)
        if network is not None:
            data = export_again(network, owed.record, owed.digest)
            networks.give(owed.record, owed.digest, data)


def send_lost(spool: Spool, root: Path | None) -> str:
    """Lets the models that MLflow has lost wait again; why that cannot be, empty where it can."""
    try:
        lost = lost_of(spool, root)
    except UsageError:
        return ""  # the store cannot be asked, which is said where something waits
    try:
        let_wait(spool, lost)
    except UsageError as error:
        return str(error)
    return ""


def waiting(spool: Spool) -> int:
    """How many models wait to be sent."""
    return len(NetworkFolder(spool.folder.parent).waiting())
