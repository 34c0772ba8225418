"""One trial from its config to what is logged of it: the pure work of a worker, and the run that the driver writes."""

import hashlib
import json
import math
import os
import socket
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from harness import registry
from harness.advice import advice
from harness.boundary import foreign
from harness.config import SETTINGS, Config
from harness.data import load_for
from harness.environment import fingerprint, plugin_hashes
from harness.errors import UsageError
from harness.escapes import encodable
from harness.failures import deadline, why
from harness.recorders import Trained, report
from harness.seeds import Member, configs_of, mean_records
from harness.spool import TrialRun, mask, now_ms
from harness.tracking import escape_markdown
from harness.train import Data, Record, State, decided, digest, early_stop, prepare, resolved, segment

# What the params of a config begin with in MLflow; what a space suggests keeps its own name
OURS = "config."

# Multiplications in a training step at most -> members of a population
POPULATIONS = ((300_000, 8), (3_000_000, 4))


@dataclass
class Job:
    """Work for one worker: configs of one shape, where they stand, and how many epochs to go.

    epochs: None is all that are left, 0 trains nothing and only records (for a trial that is pruned). `records` are of
    the epochs before. A worker loads `plugins` first. keep_state=False: the state of a trial that has ended (its
    weights and the snapshots of its film) stays where it is, since nobody asks for it. seconds: come back at the end
    of the epoch after which so many have been trained, for a checkpoint. timeout: seconds that a trial may take in all.
    beat: only a trial with a better value has its film encoded. digest: that of the data, as the driver has it.
    seeds: networks of each trial, which go on from `members` instead of states and records. together: how many of
    these are trained as one batched computation at most.
    """

    numbers: list[int]
    configs: list[Config]
    states: list[State] | None = None
    epochs: int | None = None
    finish: bool = True
    plugins: list[str] = field(default_factory=list)
    records: list[list[Record]] | None = None
    keep_state: bool = True
    seconds: float | None = None
    timeout: float | None = None
    beat: float | None = None
    digest: str = ""
    seeds: int = 1
    together: int = 1
    members: list[list[Member]] | None = None


@dataclass
class Outcome:
    """What became of one trial in a segment. `ended`: no further segment is due. `error`: the traceback of what was
    raised, and `failure` what that makes of the trial. `digest`: of its result. `members`: the networks of a trial of
    several seeds; then `state` is the first one's, and `records` are their means."""

    number: int
    config: Config
    records: list[Record] = field(default_factory=list)
    state: State | None = None
    members: list[Member] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    ended: bool = False
    error: str = ""
    reason: str = ""  # the error in one sentence
    failure: str = ""  # FAILED, TIMED_OUT, OUT_OF_MEMORY, DISK_FULL, KILLED; empty where nothing was raised
    refused: str = ""  # bad input: one sentence
    digest: str = ""
    start_ms: int = 0
    end_ms: int = 0

    @property
    def bad_step(self) -> int | None:
        return next((r.bad_step for r in self.records if r.bad_step is not None), None)

    @property
    def value(self) -> float | None:
        """The primary metric: at the last epoch, or at the best where the config selects it. None if it has none.

        A network whose metric is not finite at the last epoch has none, whatever an earlier epoch says.
        Of several seeds it is the mean of their values.
        """
        values = self.values
        if not values or self.bad_step is not None or not all(map(math.isfinite, values)):
            return None
        return statistics.fmean(values)

    @property
    def values(self) -> list[float]:
        """The primary metric of each network, which may not be finite; empty where one has none."""
        of_each = [member.records for member in self.members] or [self.records]
        values = [_value(self.config, records) for records in of_each]
        return [value for value in values if value is not None] if None not in values else []

    @property
    def no_value(self) -> str:
        """Why a network that was trained to its end has no value all the same; "" where that is not so."""
        if not self.records or self.bad_step is not None or self.value is not None:
            return ""
        key = f"valid/{self.config.metric['name']}"
        last = self.records[-1]
        return f"{key} is {last.metrics[key]} at its last epoch, {last.epoch}" if key in last.metrics else ""


def _value(config: Config, records: list[Record]) -> float | None:
    key = f"valid/{config.metric['name']}"
    values = [r.metrics[key] for r in records if key in r.metrics]
    if not values or config.select == "last" or not math.isfinite(values[-1]):
        return values[-1] if values else None
    finite = [value for value in values if math.isfinite(value)]
    return max(finite) if direction(config) == "maximize" else min(finite)


def population_that_pays(config: Config, inputs: int = 784) -> int:
    """How many networks of this shape to train as one batched computation: the least that gains most of what there is.

    Measured (docs/benchmarks.md): what decides is how much there is to multiply in a step, beside what NumPy takes for
    each call. inputs: features of the data, for a config whose sizes do not say it.
    """
    if config.batch == "full":
        return 1
    width, products = config.inputs or inputs, 0
    for units in _units(config.layers):
        width, products = units, products + config.batch * width * units
    return next((members for most, members in POPULATIONS if products <= most), 1)


def _units(value: Any) -> Iterator[int]:
    """The units of all layers in a config's specs, those within others too, from input to output."""
    if isinstance(value, dict) and isinstance(value.get("units"), int):
        yield value["units"]
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _units(each)


def direction(config: Config) -> str:
    """Whether the config's metric is to "maximize" or to "minimize"."""
    return registry.find("metric", config.metric["name"]).options["direction"]


def identity(config: Config, seeds: int = 1) -> str:
    """SHA-256 of all that decides a trial's result, 16 hexadecimal digits: its config, its data and the plugins.

    The config counts as its data has resolved it, so that a rule of "auto" that changes makes another identity.
    """
    plugins = sorted(plugin_hashes(config.names()).values())
    try:
        settings = resolved(config)
    except Exception:  # which the trial will say; the data set may be a plugin's
        settings = config.settings()
    content: list[Any] = [SETTINGS, settings, plugins]
    if seeds > 1:
        content.append(seeds)
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def announce(config: Config, announced: set[str], bar: Any) -> None:
    """Says once what a config's data has decided, such as which columns of texts became features.

    announced: what has been said, to which this is added. bar: of tqdm, above which it is written.
    """
    try:
        text = decided(config)
    except UsageError:  # which the trial will say
        return
    if text and text not in announced:
        announced.add(text)
        bar.write(text, file=sys.stderr)


def data_digest(config: Config) -> str:
    """The digest of a config's data set as it was when the sweep or comparison began; empty where it cannot be loaded,
    which a trial will say."""
    key = json.dumps([config.data, config.missing], sort_keys=True)
    try:
        if key not in _digests:
            _digests[key] = load_for(config.data, config.missing).digest
    except Exception:
        return ""
    return _digests[key]


_digests: dict[str, str] = {}  # of the data sets of the sweep or comparison that runs in this process


def begin_with_data_as_they_are() -> None:
    """Called at the start of a sweep or comparison: from here on, data that change refuse to be trained on."""
    _digests.clear()


def work(job: Job, last_words: Callable[[str], None] | None = None) -> list[Outcome]:
    """Trains the job's configs, as a population if there are several. Raises for nothing a plugin or a config does.

    A trial that fails has no records, though a segment before may have had some: how far it came depends on the clock.
    last_words: this is a worker, which may be ended for a trial that does not come back (`deadline`).
    """
    begun = now_ms()
    outcomes = [Outcome(n, c, start_ms=begun) for n, c in zip(job.numbers, job.configs, strict=True)]
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
            return [outcome for p in range(len(outcomes)) for outcome in work(member(job, p), last_words)]
        outcomes[0].ended = True
        if isinstance(error, UsageError):
            outcomes[0].refused = mask(str(error))
            if isinstance(error.__cause__, MemoryError):
                outcomes[0].failure, outcomes[0].reason = "OUT_OF_MEMORY", outcomes[0].refused
        else:
            outcomes[0].error = mask(traceback.format_exc())  # it may quote a tracking URI
            failure, reason = why(error, job.timeout)
            outcomes[0].failure, outcomes[0].reason = failure, mask(reason)
    for outcome in outcomes:
        outcome.end_ms = now_ms()
        if job.seeds > 1:  # also of a trial that fails: `verify` trains as many
            outcome.notes["harness.seeds"] = str(job.seeds)
        if outcome.ended and job.finish:  # of the process that has trained it
            outcome.artifacts["environment.json"] = json.dumps(fingerprint(outcome.config.names()), indent=1).encode()
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
            f"data must stay as they were at the start, and a worker must have the data that the driver has, but "
            f"{data.source.name!r} has digest {data.source.digest[:12]} on {socket.gethostname()} now and had "
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
        for own, member in zip(configs_of(config, job.seeds), members, strict=True):
            found.append(_Network(member.state, member.records, config=own))
    return found


def _batches(job: Job, networks: list[_Network]) -> list[list[_Network]]:
    """The networks that are trained as one batched computation: all trials, and of their seeds as many as pay."""
    if job.seeds == 1:
        return [networks]
    shapes: dict[str, list[_Network]] = {}  # a first seed may have a film, which the others do not have
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


def member(job: Job, p: int) -> Job:
    """One trial of a job."""

    def of(values: list[Any] | None) -> list[Any] | None:
        return None if values is None else [values[p]]

    return replace(
        job,
        numbers=[job.numbers[p]],
        configs=[job.configs[p]],
        states=of(job.states),
        records=of(job.records),
        members=of(job.members),
    )


@cache
def one_blas_thread() -> None:
    """Sees to it, once in a process, that BLAS runs one thread: how many there are decides the last bits of results."""
    try:
        from threadpoolctl import threadpool_info, threadpool_limits
    except ImportError:
        counts = [int(os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or 0)]
    else:
        threadpool_limits(1, "blas")
        counts = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    if any(count != 1 for count in counts):
        raise UsageError(
            f"BLAS must run one thread a process, or results depend on the machine, but it runs {max(counts)}; "
            "set OMP_NUM_THREADS=1"
        )


def _finish(outcome: Outcome, data: Data, beat: float | None) -> None:
    assert outcome.state is not None
    config, value = outcome.config, outcome.value
    if beat is not None and (value is None or (value <= beat if direction(config) == "maximize" else value >= beat)):
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


def to_run(id: str, name: str, outcome: Outcome, params: dict[str, Any], state: str = "", **extra: Any) -> TrialRun:
    """The run that is logged of a trial: params, metrics per epoch, tags that tell the truth about how it ended."""
    clock = outcome.start_ms
    points = []
    for r in outcome.records:
        clock += round(1000 * sum(r.seconds.values()))
        points += [(k, v, r.epoch, clock) for k, v in r.metrics.items()]
        points += [(f"time/epoch_{k}", v, r.epoch, clock) for k, v in r.seconds.items()]
    last = outcome.records[-1].epoch if outcome.records else 0
    points += [(k, v, last, outcome.end_ms) for k, v in outcome.metrics.items()]
    if outcome.members:
        of_each = f"seeds/{outcome.config.metric['name']}"
        points += [(of_each, v, k, outcome.end_ms) for k, v in enumerate(outcome.values)]
    tags = {**outcome.notes, "harness.config": outcome.config.digest()}
    status, reason = "FINISHED", ""
    if outcome.failure:
        status, reason, state = "FAILED", outcome.reason, outcome.failure
        if state == "KILLED":
            status = "KILLED"
    elif outcome.refused:
        status, reason, state = "FAILED", outcome.refused, "FAILED"
    elif outcome.bad_step is not None:
        reason = f"diverged: the loss was not finite at step {outcome.bad_step} (epoch {last})"
        status, state = "FAILED", "DIVERGED"
        tags["harness.bad_step"] = str(outcome.bad_step)
    tags["harness.state"] = state or "COMPLETE"
    if state == "PRUNED":
        tags["harness.pruned_epoch"] = str(last)
    if reason:
        tags["harness.reason"] = reason
    # The system's clock may have been set back since the trial began
    end_ms = max(clock, outcome.end_ms)
    artifacts = {**outcome.artifacts, "config.json": outcome.config.to_json().encode()}
    if outcome.error:
        artifacts["traceback.txt"] = outcome.error.encode()
    ended: dict[str, Any] = {
        "value": outcome.value,
        "state": state or "COMPLETE",
        "reason": reason,
        "epochs": last,
        "params": params,
    }
    ended["computed"] = computed_from(params, outcome.config)
    values = extra.get("values", [outcome.value])
    if values and values[0] is not None and tags["harness.state"] == "COMPLETE":
        tags["harness.value"] = repr(float(values[0]))  # what it is ranked by
    ended |= {
        "config": outcome.config.digest(),
        "digest": outcome.digest,
        "train_s": outcome.metrics.get("time/train_s"),
    }
    return TrialRun(
        id=id,
        name=name,
        params={**{f"{OURS}{key}": value for key, value in outcome.config.flat().items()}, **params},
        tags=tags,
        metrics=points,
        artifacts=artifacts,
        status=status,
        start_ms=outcome.start_ms,
        end_ms=end_ms,
        number=outcome.number,
        description=reason and f"**{state}** {escape_markdown(reason)}",
        extra={**ended, **extra},
    )


def name_of(number: int, params: dict[str, Any]) -> str:
    """'relu lr=0.05 #12': words as they are, numbers with their name."""
    parts = [value if isinstance(value, str) else f"{key}={shown(value)}" for key, value in params.items()]
    return " ".join([*parts, f"#{number}"])


def shown(value: Any) -> str:
    """A suggested value as one writes it: 0.0512, 784, 10 for a list of sizes, adam(learning_rate=0.001) for a spec.

    Typed back it is the same value: a number has all the digits that it needs.
    """
    if isinstance(value, float):
        return repr(float(value))
    return registry.text(value) if isinstance(value, dict | list | tuple) else str(value)


def check_param(name: str, taken: tuple[str, ...] = ()) -> None:
    """UsageError for the name of a suggested value that would not stay apart from what the harness keeps."""
    if encodable(name) != name:
        raise UsageError(f"the search space must suggest values under names that are text, got {name!r}; correct it")
    if name.startswith(OURS) or name in taken:
        kept = f"the names that begin with {OURS!r}" if name.startswith(OURS) else repr(name)
        raise UsageError(
            f"the search space must leave {kept} to the harness, which keeps its own there, but suggests {name!r}; "
            "call it something else"
        )


def computed_from(params: dict[str, Any], config: Config) -> list[str]:
    """The suggested numbers that are not in the config as they are: the space computes with them."""
    held = set(_numbers(json.loads(config.to_json())))
    return [
        name
        for name, value in params.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and float(value) not in held
    ]


def _numbers(value: Any) -> Iterator[float]:
    """All numbers in a piece of JSON."""
    if isinstance(value, int | float):
        yield float(value)
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _numbers(each)


def monotonic() -> float:
    """Seconds for durations."""
    return time.perf_counter()
