"""The store of MLflow as the doctor sees it, and where it has the records of a spool."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from harness.storage.records import Run, RunStatus
from harness.storage.spool import Spool
from harness.tracking.connect import artifacts_folder, mark, sqlite_file
from harness.tracking.reader import KnownRun


class Store:
    """The store that records are sent to.

    Parameters
    ----------
    root : Path or None
        The folder that holds mlruns/; None where it is looked for from here.
    runs : list of KnownRun
        All runs in it, those deleted in the UI too.
    is_usable : bool
        Whether it is whole and answers, or is still to be made.

    Attributes
    ----------
    root, runs, is_usable
        The parameters.
    artifacts : Path or None
        The local folder of artifacts; None where a server has them.
    file : Path or None
        The sqlite file; None for another kind of store.
    mark : str
        What spools remember of it.
    by_run_id : dict of str to KnownRun
        Its runs, by the ids that MLflow gives.
    by_record : dict of str to list of KnownRun
        Its runs, by the ids of the records that they say they are.
    """

    def __init__(self, root: Path | None, runs: list[KnownRun], is_usable: bool = True) -> None:
        self.root = root
        self.runs = runs
        self.is_usable = is_usable
        self.artifacts = artifacts_folder(root)
        self.file = sqlite_file(root)
        self.mark = mark(root)
        self.by_run_id = {run.run_id: run for run in runs}
        self.by_record: dict[str, list[KnownRun]] = {}
        for run in runs:
            self.by_record.setdefault(run.id, []).append(run)


class LoggedRecord(NamedTuple):
    """A record, and the run in MLflow that it is."""

    record: Run
    run: KnownRun


@dataclass
class Places:
    """Where the records of a spool are in MLflow.

    Attributes
    ----------
    there : list of LoggedRecord
        What the store has.
    lost : list of Run
        What it had, and has no more.
    twins : list of Run
        What it has more than once.
    elsewhere : Counter of str
        How many are in another store, by the marks of those.
    """

    there: list[LoggedRecord] = field(default_factory=list)
    lost: list[Run] = field(default_factory=list)
    twins: list[Run] = field(default_factory=list)
    elsewhere: Counter[str] = field(default_factory=Counter)


def places_of(spool: Spool, store: Store) -> Places:
    """Looks for all records of a spool in a store."""
    places = Places()
    for record in spool.sound():
        runs = _runs_of(record, spool, store)
        alive = [run for run in runs if not run.deleted]
        if len(alive) > 1:
            places.twins.append(record)
        # What was deleted in the UI stays deleted.
        is_deleted = bool(runs) and not alive
        if is_deleted or not spool.is_logged(record.id):
            continue
        logged_in = spool.store(record.id)
        if logged_in not in ("", store.mark):
            places.elsewhere[logged_in] += 1
        elif all(run.status == RunStatus.RUNNING for run in alive):
            # There is none, or the end of it is not there.
            places.lost.append(record)
        else:
            places.there.append(LoggedRecord(record, alive[0]))
    return places


def _runs_of(record: Run, spool: Spool, store: Store) -> list[KnownRun]:
    """The runs of a record; the one that its mark names first, whatever the store says of it."""
    runs = store.by_record.get(record.id, [])
    marked = store.by_run_id.get(spool.run_id(record.id) or "")
    if marked is None:
        return runs
    return [marked, *(run for run in runs if run is not marked)]
