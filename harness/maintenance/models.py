"""The trained networks of runs: those that a study keeps in its folder, and those of MLflow."""

import os
from pathlib import Path

from harness.errors import UsageError
from harness.maintenance.folders import spool_of
from harness.model import Model, load_saved, model_in
from harness.model.saving import SUFFIX, file_of
from harness.storage.networks import NetworkFolder
from harness.storage.records import TrialRun
from harness.storage.spool import Spool
from harness.studies.books import folder_of

KINDS = ("sweep", "comparison")


class UnknownRun(UsageError):
    """There is no run of this name."""


def load_model(path: str | os.PathLike[str]) -> Model:
    """The model that was saved at a path, or the network of a run.

    It predicts and trains on to the same bits. Plugins that it uses must be loaded before.

    Parameters
    ----------
    path
        The path as it was given to `Model.save`, with .npz or without; or a run: its run id, its
        name, or "first sweep#23". A sweep or a comparison stands for its best network.

    Returns
    -------
    Model
        The model, without the frames of its film.

    Raises
    ------
    UsageError
        For a file that is missing, damaged or of another version, for a run whose network was not
        kept, and for names that no plugin has registered.
    """
    text = os.fspath(path)
    if not isinstance(path, str) or is_saved_model(text):
        return load_saved(path)
    return model_in(network_of_run(text), f"the network of {text!r}")


def is_saved_model(text: str) -> bool:
    """Whether a text is the path of a saved model, and not a run."""
    return os.sep in text or text.endswith(SUFFIX) or file_of(text).is_file()


def network_of_run(reference: str) -> bytes:
    """The file of the network of a run; UsageError where it was not kept."""
    network = find_network(reference)
    if network is None:
        raise UsageError(
            f"the network of {reference!r} was not kept: a sweep keeps that of its best trial, or "
            "all of them with --models all (models='all' in Python); train it again with harness "
            f"run --config {reference!r} --save PATH"
        )
    return network


def find_network(reference: str) -> bytes | None:
    """The file of the network of a run; None where it was not kept.

    What a study keeps in its folder comes first, as it needs no server; then what MLflow has.

    Raises
    ------
    UnknownRun
        If there is no such run.
    """
    network = _kept(reference)
    if network is not None:
        return network
    from harness.tracking.model import network_of

    try:
        return network_of(reference)
    except UsageError as error:
        raise UnknownRun(f"there is no {file_of(reference)}, and no such run: {error}") from None


def _kept(reference: str) -> bytes | None:
    """The network of a trial that lies in the folder of its study."""
    name, mark, number = reference.rpartition("#")
    if not mark or not number.isdigit():
        return None
    for kind in KINDS:
        folder = folder_of(kind, name.strip())
        trial = _trial(spool_of(folder), int(number))
        if trial is not None and trial.result.digest:
            return NetworkFolder(folder).read(trial.result.digest)
    return None


def _trial(folder: Path, number: int) -> TrialRun | None:
    """The trial of a number in a spool."""
    if not folder.is_dir():
        return None
    for run in Spool(folder, clean=False).records():
        if isinstance(run, TrialRun) and run.number == number:
            return run
    return None
