"""The state of a network in training by name, so that it can be written down, restored and
compared.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.engine.network import Network
from harness.errors import UsageError
from harness.training.scoring import host

State = dict[str, Any]  # named arrays and whole numbers: everything that the next segment needs


@dataclass
class Record:
    """One epoch of one network. `losses` are the mean losses of its steps, each over the rows that
    it has; `bad_step` the first step that was not finite.
    """

    epoch: int
    step: int
    metrics: dict[str, float]
    losses: np.ndarray
    seconds: dict[str, float] = field(default_factory=dict, compare=False)
    bad_step: int | None = None


# State: flat names -> arrays, so that it is an .npz when written down
# ---------------------------------------------------
def named_state(network: Network) -> dict[str, Any]:
    """All arrays of a network by name, the network's own buffers."""
    named = {"theta": network.arena.value}

    def walk(prefix: str, state: dict[str, Any]) -> None:
        for k, v in state.items():
            if isinstance(v, dict):
                walk(f"{prefix}{k}/", v)
            else:
                named[prefix + k] = v

    walk("rule/", network.rule_state)
    walk("layer/", network.layer_state)
    walk("frozen/", network.frozen)
    return named


def restore(network: Network, state: State) -> None:
    """Writes a state's arrays into a network's buffers; UsageError where the state is of another
    network.
    """
    for name, target in named_state(network).items():
        if name in state and np.shape(state[name]) == target.shape:
            target[...] = network.arena.xp.asarray(state[name])
        elif not (name.endswith("/step") and name.count("/") > 1):
            # A composition's inner step is the outer one
            raise UsageError(
                f"the state does not fit the network: {name!r} is {np.shape(state.get(name, ()))}, "
                f"must be {target.shape}"
            )


def digest(state: State, records: list[Record]) -> str:
    """SHA-256 of a result, 16 hexadecimal digits: the bytes of the weights and every metric,
    without the seconds.

    Equal digests are identical results, of which nobody had to keep the weights.
    """
    theta = state["theta"]
    # One NaN for all
    sha = hashlib.sha256(np.where(np.isnan(theta), theta.dtype.type(np.nan), theta).tobytes())
    sha.update(
        repr([(r.epoch, r.step, r.bad_step, sorted(r.metrics.items())) for r in records]).encode()
    )
    return sha.hexdigest()[:16]


def fresh() -> State:
    return {"epoch": 0, "step": 0, "stopped": 0, "waited": 0, "film/steps": [], "film/frames": []}


def arrays_of(network: Network, alone: bool, p: int) -> State:
    return {k: np.array(host(v) if alone else host(v[p])) for k, v in named_state(network).items()}


def array_names(state: State) -> list[str]:
    return [k for k in state if k == "theta" or k.startswith(("rule/", "layer/", "frozen/"))]
