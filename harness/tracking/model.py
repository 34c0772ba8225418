"""MLflow models: a network that waits in a study's folder becomes a model of its run.

A model is a pyfunc "from code": one file of code and one .npz, nothing pickled. It answers wherever
MLflow and NumPy are, without the harness (`harness.model.inference` is its code).
"""

import contextlib
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from harness.storage import files
from harness.storage.bundle import unpack
from harness.storage.formats import Damaged, OtherVersion
from harness.storage.networks import FORMAT, NetworkFolder
from harness.storage.spool import Spool
from harness.tracking import model_folder
from harness.tracking.connect import is_server
from harness.tracking.experiment import Experiment
from harness.tracking.known_mlflow import entities_of, is_plain
from harness.tracking.model_folder import NETWORK
from harness.tracking.reader import reading
from harness.tracking.recorded_run import run_called

NAME = "model"  # of the model of a run, as in runs:/RUN/model
ALIAS = "best"
_COMPARE = "warn_dependency_requirement_mismatches"  # MLflow's name of what compares versions
_DIGEST = "harness.network"  # the tag of a model by which it is found again


def log_waiting(experiment: Experiment, spool: Spool) -> None:
    """Sends the networks of a study that wait, as far as their runs are in MLflow.

    It may be repeated: a model that is there already is not logged again.
    """
    for path in NetworkFolder(spool.folder.parent).waiting():
        data = path.read_bytes()
        try:
            about, _ = unpack(FORMAT, data, path)
        except (Damaged, OtherVersion):
            # `harness doctor` tells of it, and the next start of the study makes it again.
            continue
        run_id = spool.run_id(about["record"])
        if run_id is not None:
            log_model(experiment.client, run_id, data, about)
            files.remove(path)


def log_model(client: Any, run_id: str, data: bytes, about: dict[str, Any]) -> str:
    """Make a network the model of a run, and register it where that is asked for.

    Parameters
    ----------
    client
        The MlflowClient.
    run_id
        The run, which has ended.
    data
        The file of the network.
    about
        The JSON in it.

    Returns
    -------
    str
        The id of the model.
    """
    digest = about["digest"]
    experiment_id = client.get_run(run_id).info.experiment_id
    model_id = _whole_model(client, experiment_id, run_id, digest)
    if model_id is None:
        made = client.create_logged_model(
            experiment_id, name=NAME, source_run_id=run_id, tags={_DIGEST: digest}
        )
        model_id = made.model_id
        _send_files(client, data, about, run_id, made)
        client.finalize_logged_model(model_id, "READY")
        client.log_outputs(run_id, [entities_of(client).LoggedModelOutput(model_id, 0)])
    if about["register"]:
        _register(client, about["register"], model_id, run_id)
    return str(model_id)


def _send_files(client: Any, data: bytes, about: dict[str, Any], run_id: str, made: Any) -> None:
    """Send the files of a model, which are written at once where MLflow's own way is known."""
    place = Path(made.artifact_location)
    # MLflow lets a model bring along what uv has locked here.
    if is_plain(client) and place.is_absolute() and not Path("uv.lock").exists():
        model_folder.write_plainly(place, data, about, run_id=run_id, model_id=made.model_id)
        return
    with tempfile.TemporaryDirectory() as temporary:
        _save_model(Path(temporary), data, about, run_id, made)
        client.log_model_artifacts(made.model_id, str(Path(temporary, "model")))


def models_of(client: Any, experiment_id: str, run_id: str) -> Iterator[Any]:
    """Give the models of a run, the newest first."""
    models = _all_models(client, experiment_id)
    yield from (model for model in models if model.source_run_id == run_id)


class Owed(NamedTuple):
    """A network that a run of MLflow should have as its model.

    Attributes
    ----------
    record : str
        The id of the record of the run.
    run_id : str
        The run.
    digest : str
        That of the result whose network it is.
    """

    record: str
    run_id: str
    digest: str


def lost_models(owed: Iterable[Owed], root: Path | None = None) -> list[Owed]:
    """Return what MLflow does not have as a whole model, though the run of it is there.

    Parameters
    ----------
    owed
        What was sent.
    root
        The folder that holds mlruns/; None to look for it from here.
    """
    from mlflow.exceptions import MlflowException

    lost = []
    with reading(root) as reader:
        client = reader.client
        models = [model for each in reader.experiments for model in _all_models(client, each)]
        known = {(model.source_run_id, model.tags.get(_DIGEST)): model for model in models}
        for each in owed:
            model = known.get((each.run_id, each.digest))
            if model is not None and _has_files(client, model):
                continue
            # Nobody misses the model of a run that was deleted.
            with contextlib.suppress(MlflowException):
                if not reader.run(each.run_id).deleted:
                    lost.append(each)
    return lost


def _has_files(client: Any, model: Any) -> bool:
    """Whether a model is complete, and its files are there as far as this machine can see."""
    if str(model.status) != "READY":
        return False
    if is_server(client.tracking_uri):
        return True
    folder = Path(model.artifact_location.removeprefix("file://"))
    return not folder.is_absolute() or (folder / "artifacts" / NETWORK).is_file()


def runs_with_network_of(client: Any, run_id: str) -> list[str]:
    """Return the ids of the runs that have the network of a run as their model, with the run's own.

    The network of the best trial is that of its sweep, too.

    Parameters
    ----------
    client
        The MlflowClient.
    run_id
        The run.
    """
    experiment_id = client.get_run(run_id).info.experiment_id
    models = list(_all_models(client, experiment_id))
    digests = {model.tags.get(_DIGEST) for model in models if model.source_run_id == run_id}
    equal = [model.source_run_id for model in models if model.tags.get(_DIGEST) in digests]
    return list(dict.fromkeys([run_id, *equal]))


def _all_models(client: Any, experiment_id: str) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_logged_models(
            [experiment_id], filter_string=f"name = '{NAME}'", page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def network_of(reference: str, root: Path | None = None) -> bytes | None:
    """Return the file of the network that MLflow has of a run; None where it has none.

    Parameters
    ----------
    reference
        A run id, the name of a run, of a sweep or of a comparison, or "SWEEP#12".
    root
        The folder that holds mlruns/; None to look for it from here.

    Raises
    ------
    UsageError
        If there is no such run.
    """
    with reading(root) as reader:
        run = run_called(reader, reference)
        parent = run.tags.get("mlflow.parentRunId")
        original = run.tags.get("harness.duplicate_of")
        if original and parent:
            run = reader.trial(parent, original.removeprefix("#")) or run
        experiment_id = reader.client.get_run(run.run_id).info.experiment_id
        return _network_of_run(reader.client, experiment_id, run.run_id)


def _network_of_run(client: Any, experiment_id: str, run_id: str) -> bytes | None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    for model in models_of(client, experiment_id, run_id):
        if str(model.status) != "READY":
            continue
        repository = get_artifact_repository(
            model.artifact_location, tracking_uri=client.tracking_uri
        )
        with tempfile.TemporaryDirectory() as folder:
            return Path(repository.download_artifacts(f"artifacts/{NETWORK}", folder)).read_bytes()
    return None


def _whole_model(client: Any, experiment_id: str, run_id: str, digest: str) -> str | None:
    """Return the model that a run has of this network; one that is half sent is deleted."""
    for model in models_of(client, experiment_id, run_id):
        if model.tags.get(_DIGEST) == digest:
            if _has_files(client, model):
                return str(model.model_id)
            client.delete_logged_model(model.model_id)
    return None


def _register(client: Any, name: str, model_id: str, run_id: str) -> None:
    """Make a model the newest version of a registered one, with the alias "best"."""
    from mlflow.exceptions import MlflowException

    with contextlib.suppress(MlflowException):  # There may be one of this name.
        client.create_registered_model(name)
    versions = client.search_model_versions(f"name = '{name}'")
    version = next((known for known in versions if known.model_id == model_id), None)
    if version is None:
        # A store of its own would look the id up where MLflow looks by itself, which is elsewhere.
        source = f"models:/{model_id}"
        if not is_server(client.tracking_uri):
            source = client.get_logged_model(model_id).artifact_location
        version = client.create_model_version(name, source, run_id=run_id, model_id=model_id)
    client.set_registered_model_alias(name, ALIAS, version.version)


# The folder of a model ----------------------------------------------------------------------------


def _save_model(folder: Path, data: bytes, about: dict[str, Any], run_id: str, made: Any) -> None:
    """Let MLflow make the folder of a model, without what it warns of at its own classes.

    Parameters
    ----------
    folder
        A temporary folder; the model goes into the folder "model" in it.
    data
        The file of the network.
    about
        The JSON in it.
    run_id
        The run.
    made
        The model, as MLflow has created it.
    """
    from mlflow.models import Model, ModelSignature

    model_folder.write_parts(folder, folder, data, about)
    artifacts = {"network": str(folder / NETWORK)}
    if about["sources"]:
        artifacts["plugins"] = str(folder / model_folder.PLUGINS)
    with warnings.catch_warnings(), _without_comparing_versions():
        warnings.simplefilter("ignore")
        import mlflow.pyfunc

        mlflow.pyfunc.save_model(
            path=str(folder / "model"),
            python_model=str(folder / model_folder.CODE),
            artifacts=artifacts,
            signature=ModelSignature.from_dict(model_folder.signature_of(about)),
            input_example=model_folder.example_of(about),
            pip_requirements=model_folder.requirements_of(about),
            mlflow_model=Model(
                artifact_path=made.artifact_location,
                run_id=run_id,
                model_uuid=made.model_id,
                model_id=made.model_id,
            ),
        )


@contextlib.contextmanager
def _without_comparing_versions() -> Iterator[None]:
    """Keep MLflow from reading what every installed package says of itself, for two seconds.

    It would warn of requirements that are not installed, and these are pinned to what is.
    """
    from mlflow.utils import environment

    compare = getattr(environment, _COMPARE, None)
    if compare is not None:
        setattr(environment, _COMPARE, lambda requirements: None)
    try:
        yield
    finally:
        if compare is not None:
            setattr(environment, _COMPARE, compare)
