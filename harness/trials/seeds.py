"""A trial of several seeds: one config trained with each of them, whose value is their mean.

What is made of a network (its film, its weights, its history) is that of the first seed. Numbers of
an epoch are means over all seeds; a network that has stopped early counts with its last numbers.
"""

import math
import statistics
from dataclasses import dataclass, field
from typing import Any

from harness.config import Config
from harness.training.state import Record, State

_OF = "seed {}/{}"  # how the state of a further seed is named in a checkpoint
_EPOCHS = "seeds/epochs"


@dataclass
class Member:
    """One network of a trial of several seeds.

    Attributes
    ----------
    state : State or None
        What `segment` goes on from; None before the first step, and where nobody needs it any
        more.
    records : list of Record
        Of its own epochs.
    """

    state: State | None = None
    records: list[Record] = field(default_factory=list)


def configs_of(config: Config, seeds: int) -> list[Config]:
    """One config per seed: the given one, then copies with the next seeds and no film."""
    others = [config.replace(seed=config.seed + k, film=None) for k in range(1, seeds)]
    return [config, *others]


def mean_records(members: list[Member]) -> list[Record]:
    """One record an epoch for all networks of a trial.

    It has the mean of the metrics and norms, the sum of the seconds, the end of the last network,
    and the losses of the first.
    """
    longest = max(len(member.records) for member in members)
    return [_mean(members, epoch) for epoch in range(longest)]


def _mean(members: list[Member], epoch: int) -> Record:
    reached = [m.records[min(epoch, len(m.records) - 1)] for m in members if m.records]
    trained = [m.records[epoch] for m in members if len(m.records) > epoch]
    first = trained[0]
    metrics = {
        key: statistics.fmean(r.metrics.get(key, math.nan) for r in reached)
        for key in first.metrics
    }
    optim = {
        key: statistics.fmean(r.optim.get(key, math.nan) for r in trained) for key in first.optim
    }
    seconds = {key: sum(r.seconds.get(key, 0.0) for r in trained) for key in first.seconds}
    bad = next((r.bad_step for r in trained if r.bad_step is not None), None)
    # They are trained one after the other, or together.
    ended_ms = max(r.ended_ms for r in trained)
    return Record(first.epoch, first.step, metrics, first.losses, seconds, bad, optim, ended_ms)


def packed(members: list[Member]) -> tuple[State, list[Record]]:
    """The members as one state and one list of records, as a checkpoint holds them."""
    state: dict[str, Any] = dict(members[0].state or {})
    for k, member in enumerate(members[1:], 1):
        state |= {_OF.format(k, name): value for name, value in (member.state or {}).items()}
    state[_EPOCHS] = [len(member.records) for member in members]
    return state, [record for member in members for record in member.records]


def unpacked(state: State, records: list[Record]) -> list[Member]:
    """The members of what `packed` has made."""
    counts = state[_EPOCHS]
    members = []
    at = 0
    for k, count in enumerate(counts):
        start = _OF.format(k, "")
        if k:
            own = {n.removeprefix(start): v for n, v in state.items() if n.startswith(start)}
        else:
            own = {n: v for n, v in state.items() if not n.startswith("seed ") and n != _EPOCHS}
        members.append(Member(own, records[at : at + count]))
        at += count
    return members
