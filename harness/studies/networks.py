"""The trained networks that a study keeps, and what becomes of them at its end.

While the study goes on each network that is the best so far lies in its folder before Optuna is
told. At the end it is handed over for MLflow, as the model of its trial's run and of the parent's.
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness import checks, registry
from harness.config import Config
from harness.errors import UsageError, argument
from harness.escapes import printable
from harness.storage.files import DiskError
from harness.storage.networks import NetworkFolder
from harness.storage.records import ParentRun, TrialRun
from harness.storage.root import find_root
from harness.trials.job import Job, Trial
from harness.trials.outcome import Outcome
from harness.trials.work import work
from harness.workers.errands import Ask, Errand

if TYPE_CHECKING:
    from harness.model import Model
    from harness.model.export import Label

MODELS = ("best", "all", "none")

ConfigOf = Callable[[TrialRun], Config | None]


def check_models(models: str, register: str | None) -> None:
    """UsageError for options that cannot be."""
    if models not in MODELS:
        allowed = ", ".join(map(repr, MODELS))
        raise UsageError(f"{argument('models')} must be one of {allowed}, got {models!r}")
    if register is None:
        return
    checks.line(argument("register"), register)
    if models == "none":
        raise UsageError(
            f"{argument('register')} needs a network that is kept, but {argument('models')} is "
            "'none'; leave one of them out"
        )
    if "/" in register or ":" in register:
        raise UsageError(
            f"{argument('register')} must be a name without / and :, as MLflow wants it, got "
            f"{register!r}; rename it"
        )


class Networks:
    """The networks of one study.

    Parameters
    ----------
    models : str
        Whose to keep: "best", "all" or "none".
    folder : Path
        The folder of the study.
    register : str or None
        The name under which the best one is registered in MLflow.
    """

    def __init__(self, models: str, folder: Path, register: str | None = None) -> None:
        self.models = models
        self.register = register or ""
        self._folder = NetworkFolder(folder)
        self._newest = ""  # the digest of the best network that was kept last

    @property
    def are_wanted(self) -> bool:
        """Whether any network is kept."""
        return self.models != "none"

    # While the study goes on ----------------------------------------------------------------------

    def keep(self, run: TrialRun, outcome: Outcome, is_best: Callable[[TrialRun], bool]) -> None:
        """Makes the network of a trial durable, if it is one of those that are kept.

        Parameters
        ----------
        run : TrialRun
            The record of the trial.
        outcome : Outcome
            The trial, which has ended.
        is_best : callable
            Whether a trial is the best so far.
        """
        if not outcome.network or not run.result.is_ranked:
            return
        if self.models == "all" or is_best(run):
            self._keep(run, outcome.network)
            self._newest = run.result.digest
        # It may be large, and the trial's record lives on.
        outcome.network = b""

    def settle(self, run: TrialRun) -> None:
        """Removes the network that a trial has beaten, now that its record is durable."""
        if self.models == "best" and self._newest and run.result.digest == self._newest:
            self._folder.keep_only([self._newest])
            self._newest = ""

    def _keep(self, run: TrialRun, network: bytes) -> None:
        try:
            self._folder.keep(run.result.digest, network)
        except DiskError as error:
            # The end of the study trains it once more.
            _say(f"the network of {run.name!r} is not kept: {error}")

    # At its end -----------------------------------------------------------------------------------

    def chosen(self, ranked: Iterable[TrialRun]) -> list[TrialRun]:
        """Those of the ranked trials, the best first, whose networks are kept."""
        if not self.are_wanted:
            return []
        runs = list(ranked)
        return runs if self.models == "all" else runs[:1]

    def are_complete(self, ranked: Iterable[TrialRun], parent: ParentRun) -> bool:
        """Whether the networks to keep are there, and were handed over before."""
        runs = self.chosen(ranked)
        for run in runs:
            digest = run.result.digest
            if not self._folder.is_given(run.id, digest) or self._folder.read(digest) is None:
                return False
        if not runs:
            return True
        return self._folder.is_given(self._parent_key(parent), runs[0].result.digest)

    def _parent_key(self, parent: ParentRun) -> str:
        # Registered under another name it is handed over once more.
        return f"{parent.id} {self.register}".strip()

    def hand_over(
        self,
        ranked: Iterable[TrialRun],
        parent: ParentRun,
        config_of: ConfigOf,
        errand: Ask = Errand,
    ) -> Callable[[], None]:
        """Begins to hand the networks that are kept over for MLflow; what is lost is trained again.

        Parameters
        ----------
        ranked : iterable of TrialRun
            The trials, the best first.
        parent : ParentRun
            The run of the study, which gets the best one too.
        config_of : callable
            The config of a trial, None where it is not known any more.
        errand : Ask
            Who makes the models: a worker that has trained has loaded all that this takes.

        Returns
        -------
        callable
            Ends it. What it hands over is not there before.
        """
        runs = self.chosen(ranked)
        first = self._begun(runs[:1], parent, config_of, errand)

        def end() -> None:
            for making in first:
                self._give(making)
            # There may be hundreds of others, so they are made one after the other.
            for run in runs[1:]:
                for making in self._begun([run], None, config_of, errand):
                    self._give(making)

        return end

    def _begun(
        self,
        runs: list[TrialRun],
        parent: ParentRun | None,
        config_of: ConfigOf,
        errand: Ask,
    ) -> list["_Making"]:
        """Begins the models of trials; of a trial whose models were handed over there is none.

        Parameters
        ----------
        runs : list of TrialRun
            The trials.
        parent : ParentRun or None
            A run that gets the same network.
        config_of : callable
            The config of a trial.
        errand : Ask
            Who makes them.
        """
        from harness.model.export import Label

        begun = []
        for run in runs:
            network = self._read_or_train(run, config_of)
            if network is None:
                continue
            digest = run.result.digest
            labels = {run.id: Label(run.id, digest)}
            if parent is not None:
                labels[self._parent_key(parent)] = Label(parent.id, digest, self.register)
            missing = {
                key: label
                for key, label in labels.items()
                if not self._folder.is_given(key, label.digest)
            }
            if missing:
                models = errand(_models, network, _sources(), list(missing.values()))
                begun.append(_Making(missing, models))
        return begun

    def _give(self, making: "_Making") -> None:
        """Hands models over, once they are made."""
        try:
            models = making.models.value()
        except UsageError as error:
            _say(f"no model is made for MLflow: {error}")
            return
        for (key, label), model in zip(making.labels.items(), models, strict=True):
            self._folder.give(key, label.digest, model)

    def _read_or_train(self, run: TrialRun, config_of: ConfigOf) -> bytes | None:
        """The network of a trial; None, and a sentence, where there is none any more."""
        network = self._folder.read(run.result.digest)
        if network is not None:
            return network
        config = config_of(run)
        if config is None or config.digest() != run.result.config:
            _say(f"the network of {run.name!r} is lost, and its config is not the one it had")
            return None
        _say(f"the network of {run.name!r} is lost, so it is trained again")
        (outcome,) = work(Job([Trial(run.number or 0, config)], networks=True))
        if outcome.digest != run.result.digest:
            _say(
                f"the network of {run.name!r} is lost: trained again it has the digest "
                f"{outcome.digest or 'of none'}, and it had {run.result.digest}"
            )
            return None
        self._keep(run, outcome.network)
        return outcome.network


class _Making(NamedTuple):
    """A network of which models are being made.

    Attributes
    ----------
    labels : dict of Label
        What each is to be, by the key of the run that gets it.
    models : Errand
        Their files, in the same order.
    """

    labels: dict[str, "Label"]
    models: Errand[list[bytes]]


def _models(network: bytes, sources: dict[str, str], labels: "list[Label]") -> list[bytes]:
    """A network that is kept, as what MLflow gets for each of these labels.

    Parameters
    ----------
    network : bytes
        Its file.
    sources : dict of str
        The sources of the plugins that are loaded, by name.
    labels : list of Label
        What each is to be.

    Raises
    ------
    UsageError
        Where it has a plugin that is not loaded.
    """
    from harness.model import model_in
    from harness.model.export import exported

    model = model_in(network, "the network that was kept")
    return [exported(model, sources, label) for label in labels]


def hand_over_single(run: TrialRun, model: "Model", register: str | None) -> None:
    """Hands the network of a run that stands alone over for MLflow.

    Parameters
    ----------
    run : TrialRun
        Its record.
    model : Model
        The trained network.
    register : str or None
        The name under which it is registered.
    """
    from harness.model.export import Label, exported

    folder = NetworkFolder(find_root() / "mlruns" / "runs")
    label = Label(run.id, run.result.digest, register or "")
    folder.give(run.id, label.digest, exported(model, _sources(), label))


def export_again(network: bytes, record: str, digest: str) -> bytes:
    """A network that is kept, once more as the model of the run of a record.

    Parameters
    ----------
    network : bytes
        Its file.
    record : str
        The id of the record.
    digest : str
        That of its result.

    Raises
    ------
    UsageError
        Where it has a plugin that is not loaded.
    """
    from harness.model.export import Label

    (model,) = _models(network, _sources(), [Label(record, digest)])
    return model


def _sources() -> dict[str, str]:
    """The sources of the plugins that are loaded, by name."""
    return {name: source.decode() for name, source in registry.sources().items()}


def _say(sentence: str) -> None:
    print(printable(sentence), file=sys.stderr)
