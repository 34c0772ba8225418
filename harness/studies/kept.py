"""Studies as their folders have them: read again from their records, also while they run."""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.storage.lock import is_held
from harness.storage.ranking import Objective
from harness.storage.records import ParentRun, RunStatus, TrialRun
from harness.storage.spool import Spool
from harness.studies.books import ENVIRONMENT, folder_of
from harness.studies.compared import examples_of, value_of
from harness.studies.comparison import Comparison
from harness.studies.objectives import recorded_objectives
from harness.studies.result import Result
from harness.studies.study import JOURNAL, storage
from harness.trials.fingerprint import fingerprint
from harness.trials.params import OURS

KINDS = ("sweep", "comparison")


def study_called(name: str, root: Path | None = None) -> Path:
    """The folder of the sweep or comparison of this name.

    Raises
    ------
    UsageError
        If there is none.
    """
    for kind in KINDS:
        folder = folder_of(kind, name, root)
        if (folder / "spool").is_dir():
            return folder
    raise UsageError(
        f"there is no sweep or comparison {name!r} here; harness results lists what there is"
    )


@dataclass(frozen=True)
class KeptStudy:
    """The records of a study.

    Attributes
    ----------
    folder : Path
        Its folder below mlruns/.
    spool : Spool
        What they were read from.
    parent : ParentRun
        The run of the study.
    runs : list of TrialRun
        Its trials, in the order in which they have ended.
    """

    folder: Path
    spool: Spool
    parent: ParentRun
    runs: list[TrialRun]

    @property
    def is_finished(self) -> bool:
        """Whether it has come to its end."""
        return self.parent.status == RunStatus.FINISHED

    @property
    def note(self) -> str:
        """Why it has not come to its end, in a sentence; "" where it has."""
        if self.is_finished:
            return ""
        if is_held(self.folder / "lock"):
            return "It was still running when this report was made."
        return "It was stopped before its end; the command that started it goes on with it."


def read_study(folder: Path) -> KeptStudy:
    """The records of the study in a folder; nothing is changed there.

    Raises
    ------
    UsageError
        If it has begun nothing yet.
    """
    spool = Spool(folder / "spool", clean=False)
    parent = spool.parent()
    if parent is None:
        raise UsageError(
            f"the study in {folder} must have begun, but it has no record yet; wait for its first "
            "trial"
        )
    runs = [record for record in spool.sound() if isinstance(record, TrialRun)]
    return KeptStudy(folder, spool, parent, runs)


def environment_of(study: KeptStudy, artifacts: Path | None) -> dict[str, Any]:
    """What a study was trained under; the environment of this process where that is not at hand.

    Parameters
    ----------
    study : KeptStudy
        The study.
    artifacts : Path or None
        The folder with what MLflow has of its run, where that is on this machine.
    """
    for folder in (study.parent.files, artifacts):
        if folder is not None and (folder / ENVIRONMENT).is_file():
            kept: dict[str, Any] = json.loads((folder / ENVIRONMENT).read_bytes())
            return kept
    return fingerprint()


# Sweeps -------------------------------------------------------------------------------------------


def result_of(study: KeptStudy) -> Result:
    """How a sweep stands.

    Raises
    ------
    UsageError
        If nobody knows its metric here, which is that of a plugin.
    """
    objectives: list[Objective] = recorded_objectives(study.parent.params)
    return Result(study.parent.name, study.runs, objectives, study.is_finished, study.note)


def optuna_study_of(study: KeptStudy) -> Any:
    """Optuna's study of a sweep, to be looked at; None where its journal is gone."""
    import optuna

    file = study.folder / JOURNAL
    if not file.is_file():
        return None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        # Choices may be lists, since the journal can write them.
        warnings.filterwarnings("ignore", "Choices for a categorical distribution", UserWarning)
        return optuna.load_study(study_name=study.parent.name, storage=storage(file, to_read=True))


# Comparisons --------------------------------------------------------------------------------------


def comparison_of(study: KeptStudy) -> tuple[Comparison, list[TrialRun]]:
    """How a comparison stands, and the networks that it compares.

    Its tags say which arms and seeds it had when it was started last. Of two networks with the same
    place, which are of different versions of an arm, the newer one counts.
    """
    tags = study.parent.tags
    arms: list[str] = json.loads(tags["harness.arms"])
    seeds = [int(seed) for seed in tags["harness.seeds"].split(", ")]
    metric = tags["harness.metric"]
    direction = tags["harness.direction"]
    found = Comparison(study.parent.name, metric, direction, seeds)
    compared: list[TrialRun] = []
    for arm in arms:
        runs = [run for run in study.runs if run.result.arm == arm]
        points = _by_place(runs, "point")
        if points:
            _fill_in_tuning(found, arm, points)
        own = _by_place([run for run in runs if _is_set_as(run, found.settings.get(arm))], "seed")
        found.values[arm] = [value_of(own.get(seed)) for seed in seeds]
        networks = [own[seed] for seed in seeds if seed in own]
        found.notes[arm] = _notes(networks or list(points.values()))
        compared += networks
    found.examples = examples_of(study.runs)
    return found, compared


def _by_place(runs: list[TrialRun], kind: str) -> dict[int, TrialRun]:
    """The networks by their seed or point, in its order; the newest of each."""
    placed = {int(run.result.params[kind]): run for run in runs if kind in run.result.params}
    return dict(sorted(placed.items()))


def _fill_in_tuning(comparison: Comparison, arm: str, points: dict[int, TrialRun]) -> None:
    """Puts the values of an arm's points into a comparison, and the setting of the best one."""
    values = [value_of(run) for run in points.values()]
    comparison.tuning[arm] = values
    known = [value for value in values if value is not None]
    if known:
        best = max(known) if comparison.direction == "maximize" else min(known)
        comparison.settings[arm] = _suggested(list(points.values())[values.index(best)])


def _suggested(run: TrialRun) -> dict[str, Any]:
    """What a network of a comparison was set to by its space."""
    places = ("arm", "point", "seed")
    return {name: value for name, value in run.result.params.items() if name not in places}


def _is_set_as(run: TrialRun, setting: dict[str, Any] | None) -> bool:
    """Whether a network has the setting that its arm was tuned to, if it was tuned."""
    return setting is None or _suggested(run) == setting


def _notes(runs: list[TrialRun]) -> str:
    """What there is to say of the networks of an arm, once each."""
    notes = [run.result.reason or run.tags.get("harness.note", "") for run in runs]
    notes += [_computed(run) for run in runs if "seed" in run.result.params]
    return "; ".join(dict.fromkeys(note for note in notes if note))


def _computed(run: TrialRun) -> str:
    """Where the space computes with what it suggests: nobody shall take it for a setting."""
    suggested = _suggested(run)
    names = [name for name in run.result.computed if name in suggested]
    if not names:
        return ""
    update = run.params.get(f"{OURS}update")
    return f"the space computes with {', '.join(names)}: its update rule is {update}"
