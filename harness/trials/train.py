"""How the networks of a job are trained, together where there are several."""

import socket
from dataclasses import dataclass, field

from harness.config import Config
from harness.errors import UsageError
from harness.training.prepare import prepare
from harness.training.prepared import Data
from harness.training.segment import segment
from harness.trials.clock import monotonic
from harness.trials.finish import finish, keep_network
from harness.trials.job import Job, Trial
from harness.trials.outcome import Outcome
from harness.trials.seeds import Member, configs_of, mean_records
from harness.trials.still import still_of

# The shape and size of a population -> seconds an epoch, as this process has measured it.
_pace: dict[tuple[str, int], float] = {}


def train(job: Job, outcomes: list[Outcome]) -> None:
    """Trains the networks of a job as far as it says, and writes into the outcomes how they stand.

    Parameters
    ----------
    job : Job
        What is trained.
    outcomes : list of Outcome
        One for each trial, in their order.
    """
    data = prepare(job.config)
    _check_data(job, data)
    networks = [network for trial in job.trials for network in _networks_of(trial, job.seeds)]
    begun = monotonic()
    if networks[0].state is None or job.epochs != 0:
        _advance(job, networks, data)
    took = monotonic() - begun
    for place, outcome in enumerate(outcomes):
        own = networks[place * job.seeds : (place + 1) * job.seeds]
        outcome.took = took
        _write_down(outcome, own, job.epochs)
        if job.watched and not outcome.ended and outcome.state is not None:
            outcome.still = still_of(outcome.config, data, outcome.state)
        if outcome.ended and job.finish:
            finish(outcome, data, job.beat)
            # What a pruner has ended early is not ranked.
            if job.networks and job.epochs != 0:
                keep_network(outcome, data, job.least)


def _check_data(job: Job, data: Data) -> None:
    """UsageError where the data are not those that the driver has."""
    digest = data.source.digest
    if job.digest and digest != job.digest:
        raise UsageError(
            "data must stay as they were at the start, and a worker must have the data that the "
            f"driver has, but {data.source.name!r} has digest {digest[:12]} on "
            f"{socket.gethostname()} now and had {job.digest[:12]} at the driver; restore the data "
            "or copy them there"
        )


@dataclass
class _Network(Member):
    """A network of a job: with its config."""

    config: Config = field(kw_only=True)


def _networks_of(trial: Trial, seeds: int) -> list[_Network]:
    """The networks of a trial as they stand."""
    members = trial.members
    if seeds == 1:
        members = [Member(trial.state, trial.records)]
    elif not members:
        members = [Member() for _ in range(seeds)]
    configs = configs_of(trial.config, seeds)
    return [
        _Network(member.state, member.records, config=config)
        for config, member in zip(configs, members, strict=True)
    ]


def _advance(job: Job, networks: list[_Network], data: Data) -> None:
    """Trains networks on by so many epochs, or by about so many seconds where that is less."""
    epochs = job.config.epochs if job.epochs is None else job.epochs
    if job.seconds is None or epochs == 0:
        _train_epochs(job, networks, data, epochs)
        return
    key = job.config.shape_key(), len(networks)
    trained = 0
    if key not in _pace:
        # Nobody knows yet how long an epoch of this shape takes.
        trained = 1
        _pace[key] = _train_epochs(job, networks, data, 1)
    more = min(epochs, max(1, int(job.seconds / _pace[key]))) - trained
    if more > 0:
        # The first epoch of a process takes longer, and a machine may become slower.
        _pace[key] = _train_epochs(job, networks, data, more)


def _train_epochs(job: Job, networks: list[_Network], data: Data, epochs: int) -> float:
    """Trains networks on; the seconds of an epoch."""
    begun = monotonic()
    trained = 0
    for together in _batches(job, networks):
        trained = max(trained, _train_together(together, data, epochs))
    return (monotonic() - begun) / max(1, trained)


def _batches(job: Job, networks: list[_Network]) -> list[list[_Network]]:
    """The networks that are trained as one batched computation.

    These are all trials, or of several seeds as many networks as pay.
    """
    if job.seeds == 1:
        return [networks]
    # A first seed may have a film, which the others do not have.
    shapes: dict[str, list[_Network]] = {}
    for network in networks:
        shapes.setdefault(network.config.shape_key(), []).append(network)
    size = max(1, job.together)
    return [group[at : at + size] for group in shapes.values() for at in range(0, len(group), size)]


def _train_together(networks: list[_Network], data: Data, epochs: int) -> int:
    """Trains networks of one shape on; how many epochs that was."""
    if len(networks) == 1:
        (alone,) = networks
        alone.state, records = segment(alone.config, data, alone.state, epochs)
        alone.records = [*alone.records, *records]
        return len(records)
    configs = [network.config for network in networks]
    states = None
    if networks[0].state is not None:
        states = [network.state for network in networks]
    new_states, records_of_each = segment(configs, data, states, epochs)
    for network, state, records in zip(networks, new_states, records_of_each, strict=True):
        network.state = state
        network.records = [*network.records, *records]
    return max(map(len, records_of_each))


def _write_down(outcome: Outcome, networks: list[_Network], epochs: int | None) -> None:
    """Writes into an outcome how its networks stand, and whether the trial has ended with that.

    Parameters
    ----------
    outcome : Outcome
        Of the trial.
    networks : list of _Network
        Those of the trial.
    epochs : int or None
        How many epochs they were to be trained.
    """
    first = networks[0]
    outcome.state = first.state
    outcome.records = first.records
    if len(networks) > 1:
        outcome.members = [Member(network.state, network.records) for network in networks]
        outcome.records = mean_records(outcome.members)
    states = [network.state for network in networks if network.state is not None]
    are_whole = all(state["stopped"] or state["epoch"] >= outcome.config.epochs for state in states)
    is_cut = epochs == 0
    if epochs is not None and outcome.bad_step is not None:
        # A network that has diverged decides the end of its trial, but not where a clock decides
        # how many epochs the others are trained until then.
        is_cut = True
    outcome.ended = are_whole or is_cut
