"""The MLflow experiment that the runs of a project belong to."""

import contextlib
from typing import Any, cast

from harness.tracking.connect import client_for, failures_passed_over
from harness.tracking.known_mlflow import entities_of, is_local
from harness.tracking.local_client import LocalClient


class Experiment:
    """An experiment of a store or a server, which is connected to when it is first needed.

    Parameters
    ----------
    uri
        The address of the store, with credentials if it needs some.
    name
        The name of the experiment, which is that of the project.
    artifacts
        The folder where artifacts go; None if the server decides.

    Attributes
    ----------
    client : MlflowClient or LocalClient or None
        Made by the first call of `open`, which may find a database down.
    """

    def __init__(self, uri: str, name: str, artifacts: str | None = None):
        self.uri = uri
        self.name = name
        self.artifacts = artifacts
        self.client: Any = None
        self._id: str | None = None

    def open(self) -> str:
        """Return the id of the experiment, which is created or restored if need be."""
        if self._id is None:
            if self.client is None:
                is_plain = is_local(self.uri)
                self.client = LocalClient(self.uri) if is_plain else client_for(self.uri)
            self._id = self._find_or_create()
        return self._id

    def together(self) -> contextlib.AbstractContextManager[None]:
        """Make one transaction of the calls in a block, where the client can."""
        together = getattr(self.client, "together", contextlib.nullcontext)
        return cast("contextlib.AbstractContextManager[None]", together())

    @property
    def entities(self) -> Any:
        """The module with the entities that the client takes."""
        return entities_of(self.client)

    def forget(self) -> None:
        """Look the experiment up anew the next time."""
        self._id = None

    def _find_or_create(self) -> str:
        entity = self.client.get_experiment_by_name(self.name)
        if entity is None:
            # Another process may create it at the same time. If so this call fails, and the next
            # one finds it.
            with failures_passed_over():
                self.client.create_experiment(self.name, artifact_location=self.artifacts)
            entity = self.client.get_experiment_by_name(self.name)
            if entity is None:
                raise OSError(f"the experiment {self.name!r} cannot be created")
        elif entity.lifecycle_stage == "deleted":
            self.client.restore_experiment(entity.experiment_id)
        return entity.experiment_id
