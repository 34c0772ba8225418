"""The saved views of the sweeps and comparisons that a writer writes, kept up to date."""

import urllib.error
import urllib.request
from dataclasses import dataclass, field
from http import HTTPStatus

from harness.storage.clock import now_ms
from harness.storage.records import ParentRun, TrialRun
from harness.tracking import saved_view
from harness.tracking.connect import failures_passed_over, is_server
from harness.tracking.experiment import Experiment
from harness.tracking.known_mlflow import mlflow_version
from harness.tracking.saved_view import View

# Arms are grouped, and their seeds and points are no settings.
_NO_SETTINGS = ("arm", "seed", "point")


@dataclass
class _Study:
    """A sweep or comparison, the parameters of its trials, and the steps of their images."""

    parent: ParentRun
    params: list[str] = field(default_factory=list)
    image_steps: list[int] = field(default_factory=list)


class Views:
    """Write the view of each study when it begins, and again when it has a new parameter.

    The view of a study that goes on stays as it is until then.

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
        """Write the view of a study, unless it goes on with the one that it has."""
        if parent.kind == "run" or run_id in self._studies:
            return
        study = _Study(parent)
        self._studies[run_id] = study
        shown = self._shown(run_id)
        if shown is None:
            self._save(run_id)
        else:
            study.params += shown.params
            study.image_steps += shown.image_steps

    def take(self, trial: TrialRun, parent_run_id: str | None) -> None:
        """Learn from a trial which parameters there are."""
        study = self._studies.get(parent_run_id or "")
        if study is None:
            return
        known = (*study.params, *_NO_SETTINGS)
        new = [name for name in trial.result.params if name not in known]
        if new:
            study.params += new
            self._save(parent_run_id or "")

    def end(self, run_id: str, image_steps: list[int]) -> None:
        """Show the images that trials of a study have got at its end, where there are any."""
        study = self._studies.get(run_id)
        if study is not None and image_steps:
            study.image_steps = image_steps
            self._save(run_id)

    def _shown(self, run_id: str) -> saved_view.Shown | None:
        """What the view of a study shows, which earlier writers have learned; None for no view."""
        with failures_passed_over():
            client = self._experiment.client
            return saved_view.what_is_there(client, self._experiment.open(), run_id)
        return None

    def _save(self, run_id: str) -> None:
        with failures_passed_over():
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
                params=study.params,
                group="arm" if is_comparison else "",
                image_steps=study.image_steps,
            )
            saved_view.save(self._experiment.client, self._experiment.open(), view, now_ms())

    def _can_be_read(self) -> bool:
        """Whether the UI that shows the runs is of a version that reads our views."""
        if self._is_tried is None:
            version = self._version()
            if version is None:
                # A server that does not say it now is asked again for the next view.
                return False
            self._is_tried = saved_view.is_tried(version)
        return self._is_tried

    def _version(self) -> str | None:
        """The version of MLflow; "" where nobody can say it, None where a server does not now."""
        uri = self._experiment.uri
        if not is_server(uri):
            return mlflow_version()
        from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT

        address = f"{uri.rstrip('/')}/version"
        patience_s = MLFLOW_HTTP_REQUEST_TIMEOUT.get()
        try:
            with urllib.request.urlopen(address, timeout=patience_s) as answer:
                return answer.read(100).decode(errors="replace")
        except urllib.error.HTTPError as error:
            return "" if error.code < HTTPStatus.INTERNAL_SERVER_ERROR else None
        except ValueError:
            return ""
        except OSError:
            return None
