"""What is wrong with the records of a spool in MLflow, and how it is mended.

Each record should be there once, as it was written. What MLflow has lost, and what it does not have
as in the record, waits again and is sent.
"""

from functools import partial
from pathlib import Path

from harness.maintenance import contents, in_models
from harness.maintenance.contents import Difference
from harness.maintenance.folders import artifacts_of
from harness.maintenance.report import Report
from harness.maintenance.store import LoggedRecord, Places, Store
from harness.maintenance.sync import PROJECT, Senders, end, other_stores, says_running
from harness.maintenance.words import counted, waits
from harness.storage import artifacts
from harness.storage.findings import Finding
from harness.storage.records import Run, RunStatus
from harness.storage.spool import Spool
from harness.tracking.connect import place_of


def check(spool: Spool, places: Places, store: Store) -> list[Finding]:
    """Finds what MLflow has lost or changed of a spool, and a parent that nobody drives.

    Parameters
    ----------
    spool : Spool
        The records; whoever mends something holds its lock.
    places : Places
        Where they are in MLflow.
    store : Store
        The store that they should be in.
    """
    return [
        *_elsewhere(spool, places, store),
        *_lost(spool, places.lost, store),
        *(finding for logged in places.there for finding in _changed(spool, logged, store)),
        *_without_driver(spool),
    ]


def _elsewhere(spool: Spool, places: Places, store: Store) -> list[Finding]:
    findings = []
    for mark, count in places.elsewhere.items():
        where = place_of(mark, store.root)
        text = f"{count} of its runs are in {where}, which was not looked at"
        findings.append(Finding(spool.folder, text, is_harmless=True))
    return findings


def _lost(spool: Spool, lost: list[Run], store: Store) -> list[Finding]:
    if not lost:
        return []
    number = counted(len(lost), "record")
    plan = f"send {number} again that MLflow has lost"
    mend = partial(_let_wait, spool, lost, store.artifacts)
    mended = f"{number} that MLflow had lost {waits(len(lost))} again"
    return [Finding(spool.folder, plan, mend, mended)]


def _let_wait(spool: Spool, records: list[Run], artifacts: Path | None) -> None:
    """Lets records wait again, with what is left of their artifacts in the local store."""
    for record in records:
        # The spool has removed its own copies when they were sent.
        kept = artifacts_of(artifacts, spool.run_id(record.id))
        spool.mark_waiting(record.id, kept)


def _changed(spool: Spool, logged: LoggedRecord, store: Store) -> list[Finding]:
    """A run that is not what its record says, and its artifacts that are damaged."""
    record = logged.record
    findings = []
    if differences := contents.compare(record, logged.run, store.file):
        words = contents.sentence(differences)
        text = f"{record.name!r} is not in MLflow as in its record: {words}"
        if store.file is None:
            # MLflow itself changes neither params nor points.
            remedy = "delete that run, and train it again under another name"
            findings.append(Finding(spool.folder, f"{text}; {remedy}"))
        else:
            plan = f"{text}; it is to be sent again"
            mend = partial(_send_again, spool, logged, differences, store.file)
            findings.append(Finding(store.file, plan, mend, f"{text}; it waits again"))
    if store.artifacts is not None:
        # A run id that is damaged in the store leads to a folder where all artifacts are missing.
        folder = store.artifacts / logged.run.run_id / "artifacts"
        findings += artifacts.check(folder, record.checksums, record.name)
    return findings


def _send_again(
    spool: Spool, logged: LoggedRecord, differences: list[Difference], file: Path
) -> None:
    contents.prepare(logged.record, logged.run, differences, file)
    spool.mark_waiting(logged.record.id)


def _without_driver(spool: Spool) -> list[Finding]:
    parent = spool.parent()
    if parent is None or parent.status != RunStatus.RUNNING:
        return []
    # The lock of a driver that is alive could not be held here.
    gone = "its driver is gone without a word: it"
    mend = partial(end, spool)
    return [Finding(spool.folder, f"{gone} is to end as KILLED", mend, f"{gone} ends as KILLED")]


def send_waiting(
    spool: Spool, places: Places, store: Store, senders: Senders, report: Report
) -> None:
    """Sends what waits in a spool, unless this is a dry run, and says what came of it."""
    before = spool.waiting
    if not before:
        if says_running(spool.folder.parent) and not report.dry:
            senders.send(spool)
        return
    if places.elsewhere and not store.runs:
        # This store is an empty one, and the sweep should not be spread over two.
        stores = ", ".join(other_stores(spool, store.root))
        reason = f"its other runs are in {stores}; set MLFLOW_TRACKING_URI to that"
        report.bad(f"{counted(before, 'record')} {waits(before)}: {reason}")
        return
    if report.dry:
        report.to_repair(f"send {counted(before, 'record')} that {waits(before)}")
        return
    reason = senders.send(spool)
    sent = before - spool.waiting
    if sent:
        report.repaired(f"sent {counted(sent, 'record')} that waited")
    if spool.waiting:
        number = counted(spool.waiting, "record")
        report.bad(f"{number} {waits(spool.waiting)}: {reason}")


def send_models(spool: Spool, senders: Senders, report: Report) -> None:
    """Sends the models of a study that wait, unless this is a dry run, and says what came of it."""
    before = in_models.waiting(spool)
    if not before:
        return
    if report.dry:
        report.to_repair(f"send {counted(before, 'model')} that {waits(before)}")
        return
    reason = senders.send(spool)
    left = in_models.waiting(spool)
    if before > left:
        report.repaired(f"sent {counted(before - left, 'model')} that waited")
    if left:
        # A damaged one was told of before.
        report.bad(f"{counted(left, 'model')} {waits(left)}{': ' if reason else ''}{reason}")


def check_twins(spool: Spool, places: Places, senders: Senders) -> list[Finding]:
    """Finds the records that MLflow has more than once, as two clients can have created them."""
    parent = spool.parent()
    findings = []
    for record in places.twins:
        project = (parent or record).project or PROJECT
        mend = partial(senders.unite, project, record.id)
        plan = f"{record.id!r} is in MLflow more than once"
        mended = f"{record.id!r} was in MLflow more than once"
        findings.append(Finding(spool.folder, plan, mend, mended))
    return findings
