"""The report of a sweep or comparison, made again from what is kept of it."""

from harness.storage.records import TrialRun
from harness.studies.films import film_name, films_of_arms
from harness.studies.gallery import Gallery, about, comparison_artifacts, sweep_artifacts
from harness.studies.kept import (
    KeptStudy,
    comparison_of,
    environment_of,
    optuna_study_of,
    read_study,
    result_of,
    study_called,
)
from harness.workers.errands import Errand


def report_of(name: str) -> bytes:
    """The report of a sweep or comparison as it stands now: one HTML file.

    Nothing is changed, so that the study may run meanwhile.

    Parameters
    ----------
    name : str
        The sweep or comparison.

    Raises
    ------
    UsageError
        If there is none, or it has begun nothing yet.
    """
    study = read_study(study_called(name))
    gallery = Gallery(study.spool, study.folder)
    environment = environment_of(study, gallery.artifacts_of(study.parent))
    said = about(study.parent, environment, study.note)
    if study.parent.kind == "sweep":
        artifacts = sweep_artifacts(gallery, result_of(study), optuna_study_of(study), said)
    else:
        comparison, runs = comparison_of(study)
        films = Errand(_films_of, study, runs)
        artifacts = comparison_artifacts(comparison, runs, films, said)
    return artifacts["report.html"]


def _films_of(study: KeptStudy, runs: list[TrialRun]) -> dict[str, bytes]:
    """The films of the first seed of each arm side by side, where all have one."""
    names: dict[str, str] = {}
    for run in runs:
        names.setdefault(run.result.arm, film_name(run.result.arm, run.result.identity))
    return films_of_arms(study.folder / "films", names)
