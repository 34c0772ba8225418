"""The saved views of the sweeps and comparisons that a writer writes, kept up to date."""

import contextlib
import urllib.request
from dataclasses import dataclass, field

from harness.storage.clock import now_ms
from harness.storage.records import ParentRun, TrialRun
from harness.tracking import saved_view
from harness.tracking.connect import failure_types, is_server
from harness.tracking.experiment import Experiment
from harness.tracking.saved_view import View

_PATIENCE_S = 2.0  # for a server that is asked for its version


@dataclass
class _Study:
    """A sweep or comparison, the parameters of its trials, and the steps of their images."""

    parent: ParentRun
    params: list[str] = field(default_factory=list)
    image_steps: list[int] = field(default_factory=list)


class Views:
    """Write the view of each study when it begins, and again when it has a new parameter.

    A view is a convenience: where it cannot be written, nothing is said and nothing is lost.

    Parameters
    ----------
    experiment
        Where the runs are, with the client.
    """

    def __init__(self, experiment: Experiment):
        self._experiment = experiment
        self._studies: dict[str, _Study] = {}  # by their run ids
        self._is_tried: bool | None = None

    def begin(self, parent: ParentRun, run_id: str) -> None:
        """Write the view of a study; one that goes on gets its parameters from its next trial."""
        if parent.kind == "run" or run_id in self._studies:
            return
        self._studies[run_id] = _Study(parent)
        self._save(run_id)

    def take(self, trial: TrialRun, parent_run_id: str | None) -> None:
        """Learn from a trial which parameters there are."""
        study = self._studies.get(parent_run_id or "")
        if study is None:
            return
        new = [name for name in trial.result.params if name not in study.params]
        if new:
            study.params += new
            self._save(parent_run_id or "")

    def end(self, run_id: str, image_steps: list[int]) -> None:
        """Show the images that trials of a study have got at its end, where there are any."""
        study = self._studies.get(run_id)
        if study is not None and image_steps:
            study.image_steps = image_steps
            self._save(run_id)

    def _save(self, run_id: str) -> None:
        with contextlib.suppress(*failure_types()):
            if not self._can_be_read():
                return
            study = self._studies[run_id]
            parent = study.parent
            is_comparison = parent.kind == "comparison"
            view = View(
                name=parent.name,
                run_id=run_id,
                metric=parent.objective.key,
                maximize=parent.objective.is_maximized,
                # Arms are grouped, and their seeds and points are no settings.
                params=[name for name in study.params if name not in ("arm", "seed", "point")],
                group="arm" if is_comparison else "",
                image_steps=study.image_steps,
            )
            saved_view.save(self._experiment.client, self._experiment.open(), view, now_ms())

    def _can_be_read(self) -> bool:
        """Whether the UI that shows the runs is of a version that reads our views."""
        if self._is_tried is None:
            self._is_tried = saved_view.is_tried(self._version())
        return self._is_tried

    def _version(self) -> str:
        uri = self._experiment.uri
        if not is_server(uri):
            import mlflow

            return mlflow.__version__
        address = f"{uri.rstrip('/')}/version"
        try:
            with urllib.request.urlopen(address, timeout=_PATIENCE_S) as answer:
                return answer.read(100).decode(errors="replace")
        except (OSError, ValueError):
            return ""
