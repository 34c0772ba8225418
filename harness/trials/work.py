"""The work itself: a worker trains the configs of a job and says what became of them."""

import json
import socket
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from harness import registry
from harness.boundary import foreign
from harness.config import Config
from harness.errors import UsageError
from harness.recorders import Trained, report
from harness.storage.clock import now_ms
from harness.storage.result import TrialState
from harness.storage.secrets import mask
from harness.training.advice import advice
from harness.training.course import early_stop
from harness.training.prepare import prepare
from harness.training.prepared import Data
from harness.training.segment import segment
from harness.training.state import digest
from harness.trials.blas import one_blas_thread
from harness.trials.clock import monotonic
from harness.trials.deadline import deadline, why
from harness.trials.fingerprint import fingerprint
from harness.trials.job import Job, member
from harness.trials.outcome import Outcome, direction
from harness.trials.seeds import Member, configs_of, mean_records


def work(job: Job, last_words: Callable[[str], None] | None = None) -> list[Outcome]:
    """Trains the job's configs, as a population if there are several. Raises for nothing a plugin
    or a config does.

    A trial that fails has no records, though a segment before may have had some: how far it came
    depends on the clock. last_words: this is a worker, which may be ended for a trial that does not
    come back (`deadline`).
    """
    begun = now_ms()
    outcomes = [
        Outcome(n, c, start_ms=begun) for n, c in zip(job.numbers, job.configs, strict=True)
    ]
    spent = sum(sum(r.seconds.values()) for of in job.records or [] for r in of)
    left = None if job.timeout is None else max(0.001, job.timeout * len(outcomes) - spent)
    try:
        one_blas_thread()
        for reference in job.plugins:
            registry.load_plugin(reference)
        with foreign("a plugin"), deadline(left, last_words):
            _train(job, outcomes)
    except Exception as error:
        if len(outcomes) > 1:  # each alone, so that one of them fails alone
            return [
                outcome
                for p in range(len(outcomes))
                for outcome in work(member(job, p), last_words)
            ]
        outcomes[0].ended = True
        if isinstance(error, UsageError):
            outcomes[0].refused = mask(str(error))
            if isinstance(error.__cause__, MemoryError):
                outcomes[0].failure = TrialState.OUT_OF_MEMORY
                outcomes[0].reason = outcomes[0].refused
        else:
            outcomes[0].error = mask(traceback.format_exc())  # it may quote a tracking URI
            failure, reason = why(error, job.timeout)
            outcomes[0].failure = failure
            outcomes[0].reason = mask(reason)
    for outcome in outcomes:
        outcome.end_ms = now_ms()
        if job.seeds > 1:  # also of a trial that fails: `verify` trains as many
            outcome.notes["harness.seeds"] = str(job.seeds)
        if outcome.ended and job.finish:  # of the process that has trained it
            outcome.artifacts["environment.json"] = json.dumps(
                fingerprint(outcome.config.names()), indent=1
            ).encode()
        if outcome.ended and not job.keep_state:
            outcome.state = None
            for one in outcome.members:
                one.state = None
    return outcomes


_pace: dict[tuple[str, int], float] = {}  # the shape and size of a population -> seconds an epoch


def _train(job: Job, outcomes: list[Outcome]) -> None:
    data = prepare(job.configs[0])
    if job.digest and data.source.digest != job.digest:
        raise UsageError(
            f"data must stay as they were at the start, and a worker must have the data that the "
            f"driver has, but "
            f"{data.source.name!r} has digest {data.source.digest[:12]} on {socket.gethostname()} "
            f"now and had "
            f"{job.digest[:12]} at the driver; restore the data or copy them there"
        )
    networks = _networks(job)
    key = job.configs[0].shape_key(), len(outcomes) * job.seeds

    def advance(epochs: int | None) -> float:
        """Trains on; the seconds of an epoch."""
        begun = monotonic()
        trained = 0
        for together in _batches(job, networks):
            trained = max(trained, _advance(together, data, epochs))
        return (monotonic() - begun) / max(1, trained)

    if networks[0].state is None or job.epochs != 0:
        if job.seconds is None or job.epochs is not None:
            advance(job.epochs)
        elif key in _pace:
            advance(max(1, int(job.seconds / _pace[key])))
        else:  # nobody knows yet how long an epoch of this shape takes
            _pace[key] = advance(1)
            more = min(int(job.seconds / _pace[key]), job.configs[0].epochs) - 1
            if more > 0:
                advance(more)
    for p, outcome in enumerate(outcomes):
        own = networks[p * job.seeds : (p + 1) * job.seeds]
        _stands(outcome, [Member(each.state, each.records) for each in own], job)
        if outcome.ended and job.finish:
            _finish(outcome, data, job.beat)


@dataclass
class _Network(Member):
    """A network of a job: with its config."""

    config: Config = field(kw_only=True)


def _networks(job: Job) -> list[_Network]:
    """The networks of a job as they stand, those of one trial after each other."""
    found: list[_Network] = []
    for p, config in enumerate(job.configs):
        state = job.states[p] if job.states else None
        records = job.records[p] if job.records else []
        members = [Member(state, records)]
        if job.seeds > 1:
            members = job.members[p] if job.members else [Member() for _ in range(job.seeds)]
        for own, one in zip(configs_of(config, job.seeds), members, strict=True):
            found.append(_Network(one.state, one.records, config=own))
    return found


def _batches(job: Job, networks: list[_Network]) -> list[list[_Network]]:
    """The networks that are trained as one batched computation: all trials, and of their seeds as
    many as pay.
    """
    if job.seeds == 1:
        return [networks]
    # A first seed may have a film, which the others do not have
    shapes: dict[str, list[_Network]] = {}
    for network in networks:
        shapes.setdefault(network.config.shape_key(), []).append(network)
    size = max(1, job.together)
    return [of[at : at + size] for of in shapes.values() for at in range(0, len(of), size)]


def _advance(networks: list[_Network], data: Data, epochs: int | None) -> int:
    """Trains networks of one shape on; how many epochs that was."""
    if len(networks) == 1:
        (alone,) = networks
        alone.state, fresh = segment(alone.config, data, alone.state, epochs)
        alone.records = [*alone.records, *fresh]
        return len(fresh)
    configs = [each.config for each in networks]
    states = None if networks[0].state is None else [each.state for each in networks]
    made, records = segment(configs, data, states, epochs)
    for network, state, fresh in zip(networks, made, records, strict=True):
        network.state = state
        network.records = [*network.records, *fresh]
    return max(map(len, records))


def _stands(outcome: Outcome, members: list[Member], job: Job) -> None:
    """Writes into an outcome how its networks stand, and whether the trial has ended with that."""
    first = members[0]
    outcome.state, outcome.records = first.state, first.records
    if len(members) > 1:
        outcome.members, outcome.records = members, mean_records(members)
    states = [member.state for member in members if member.state is not None]
    whole = all(state["stopped"] or state["epoch"] >= outcome.config.epochs for state in states)
    # One that has diverged decides the end of its trial
    outcome.ended = whole or job.epochs == 0 or outcome.bad_step is not None


def _finish(outcome: Outcome, data: Data, beat: float | None) -> None:
    assert outcome.state is not None
    config, value = outcome.config, outcome.value
    if beat is not None and (
        value is None or (value <= beat if direction(config) == "maximize" else value >= beat)
    ):
        config = config.replace(film=None)  # a film that nobody is going to keep
    said = report(Trained(config, data, outcome.state, outcome.records))
    outcome.metrics, outcome.artifacts = said.metrics, said.artifacts
    poor = advice(config, data, outcome.state, outcome.records)
    if poor is not None:
        outcome.notes["harness.note"] = poor.note
        outcome.notes["harness.advice"] = poor.sentence
    if early := early_stop(config, outcome.state, outcome.records):
        outcome.notes["harness.stopped"] = early
    if outcome.no_value:
        outcome.notes["harness.note"] = outcome.no_value
    if len(data.y_valid):
        outcome.notes["harness.valid_examples"] = str(len(data.y_valid))
    outcome.notes["harness.data_digest"] = data.source.digest
    outcome.notes["harness.scale"] = data.fitted.scale
    own = outcome.members[0].records if outcome.members else outcome.records
    outcome.digest = outcome.notes["harness.digest"] = digest(outcome.state, own)
