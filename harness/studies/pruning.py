"""Pruning: verdicts that depend on the study alone, so that no interruption changes them.

Optuna's pruners write notes into the study while they judge (the rungs of successive halving), and
some keep what they have estimated in memory. An interruption between such a note and the verdict
would make the next judgement of the same epoch another one. So a pruner is asked on a copy of
itself, with a storage that collects what it notes; then one line of the journal holds the verdict
with everything that follows from it, and the study is brought into line with that.
"""

import copy
from dataclasses import asdict, dataclass
from typing import Any

from harness.studies.study import SHOWN

VERDICT = "verdict"  # the user attribute of a trial that holds its last verdict


@dataclass(frozen=True)
class Verdict:
    """What a pruner has said of a trial after an epoch.

    Attributes
    ----------
    identity : str
        Of the config that was judged; what is known of another config under the same number does
        not count.
    epoch : int
        The epoch after which it was judged.
    value : float
        Of the metric at that epoch.
    cut : bool
        Whether the trial ends there.
    notes : dict
        The system attributes that the pruner has set for the trial.
    """

    identity: str
    epoch: int
    value: float
    cut: bool
    notes: dict[str, Any]


class _Noting:
    """A storage that collects what a pruner notes, and else answers as the real one does.

    Parameters
    ----------
    storage : optuna.storages.BaseStorage
        The real one.
    shown : dict
        Trials as the pruner shall see them, in place of those in the storage, by number.
    """

    def __init__(self, storage: Any, shown: dict[int, Any]) -> None:
        self._real = storage
        self._shown = shown
        self.notes: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.notes[key] = value

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Any = None) -> list[Any]:
        trials = self._real.get_all_trials(study_id, deepcopy=False, states=states)
        return [self._shown.get(each.number) or _as_judged(each) for each in trials]


def _as_judged(trial: Any) -> Any:
    """A trial without the values that no pruner has asked for, since those depend on the clock."""
    if SHOWN not in trial.user_attrs or VERDICT in trial.user_attrs:
        return trial
    judged = copy.copy(trial)
    judged.intermediate_values = {}
    return judged


class Judge:
    """Asks the pruner of a study about its trials.

    Parameters
    ----------
    study : optuna.Study
        The study with its pruner.
    """

    def __init__(self, study: Any) -> None:
        self._study = study
        self._outdated: set[int] = set()  # trials that begin again with another config

    def last(self, number: int, identity: str) -> Verdict | None:
        """The last verdict on a trial, or None; what follows from it is in the study afterwards."""
        known = self._frozen(number).user_attrs.get(VERDICT)
        if known is None:
            return None
        if known["identity"] != identity:
            self._outdated.add(number)
            return None
        verdict = Verdict(**known)
        self._carry_out(number, verdict)
        return verdict

    def verdict(self, number: int, identity: str, epoch: int, value: float) -> Verdict:
        """Asks whether a trial shall end after an epoch, and writes down what was said."""
        frozen = self._frozen(number)
        before = (
            {} if number in self._outdated else frozen.user_attrs.get(VERDICT, {}).get("notes", {})
        )
        shown = {each: self._without_notes(each) for each in self._outdated}
        judged = shown.setdefault(number, copy.copy(frozen))
        earlier = {k: v for k, v in _as_judged(frozen).intermediate_values.items() if k < epoch}
        judged.intermediate_values = {**earlier, epoch: value}
        noting = _Noting(self._study._storage, shown)
        study = copy.copy(self._study)
        study._storage = noting
        cut = bool(copy.deepcopy(self._study.pruner).prune(study, judged))
        verdict = Verdict(identity, epoch, value, cut, {**before, **noting.notes})
        self._study._storage.set_trial_user_attr(frozen._trial_id, VERDICT, asdict(verdict))
        self._outdated.discard(number)
        self._carry_out(number, verdict)
        return verdict

    def report(self, number: int, epoch: int, value: float) -> None:
        """Tells the study a value that no verdict is asked about, that of a trial's last epoch."""
        frozen = self._frozen(number)
        if frozen.intermediate_values.get(epoch) != value:
            self._study._storage.set_trial_intermediate_value(frozen._trial_id, epoch, value)

    def _carry_out(self, number: int, verdict: Verdict) -> None:
        self.report(number, verdict.epoch, verdict.value)
        frozen = self._frozen(number)
        for key, value in verdict.notes.items():
            if frozen.system_attrs.get(key) != value:
                self._study._storage.set_trial_system_attr(frozen._trial_id, key, value)

    def _without_notes(self, number: int) -> Any:
        trial = copy.copy(self._frozen(number))
        noted = trial.user_attrs[VERDICT]["notes"]
        trial.system_attrs = {k: v for k, v in trial.system_attrs.items() if k not in noted}
        return trial

    def _frozen(self, number: int) -> Any:
        return self._study.get_trials(deepcopy=False)[number]
