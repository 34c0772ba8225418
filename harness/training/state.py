"""The state of a network in training, by name: to be written down, restored and compared."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.engine.network import Network
from harness.errors import UsageError

# Named arrays and whole numbers: everything that the next segment needs. The names are flat, so
# that a state is an .npz when it is written down.
State = dict[str, Any]

_ARRAYS = ("rule/", "layer/", "frozen/")  # what the names of arrays other than theta begin with


@dataclass
class Record:
    """One epoch of one network.

    Attributes
    ----------
    epoch, step
        How many are done after it, of the whole run.
    metrics
        By name, such as "valid/accuracy".
    losses
        The mean loss of each of its steps, over the rows that the step has.
    seconds
        What it took, by activity; two records that differ in this alone are equal.
    bad_step
        The first step that was not finite; None where all were.
    optim
        How its last step has moved the weights, by name: "gradient_norm", "update_norm" and, where
        it follows a schedule, "learning_rate". They are no part of the digest of a result.
    ended_ms
        When it ended, in ms since 1970; 0 where nobody knows. It is not compared either.
    """

    epoch: int
    step: int
    metrics: dict[str, float]
    losses: np.ndarray
    seconds: dict[str, float] = field(default_factory=dict, compare=False)
    bad_step: int | None = None
    optim: dict[str, float] = field(default_factory=dict)
    ended_ms: int = field(default=0, compare=False)


def fresh() -> State:
    """Return the state of a network that has not begun, without its arrays."""
    return {"epoch": 0, "step": 0, "stopped": 0, "waited": 0, "film/steps": [], "film/frames": []}


def array_names(state: State) -> list[str]:
    """Return which entries of a state are arrays of the network."""
    return [name for name in state if name == "theta" or name.startswith(_ARRAYS)]


def named_state(network: Network) -> dict[str, Any]:
    """Return all arrays of a network by name; they are the network's own buffers."""
    named = {"theta": network.arena.value}

    def walk(prefix: str, state: dict[str, Any]) -> None:
        for name, value in state.items():
            if isinstance(value, dict):
                walk(f"{prefix}{name}/", value)
            else:
                named[prefix + name] = value

    walk("rule/", network.rule_state)
    walk("layer/", network.layer_state)
    walk("frozen/", network.frozen)
    return named


def arrays_of(network: Network, index: tuple[int, ...] = ()) -> State:
    """Return copies of a network's arrays on the host; of member p alone for index (p,)."""
    named = named_state(network)
    return {name: np.array(host(array[index])) for name, array in named.items()}


def host(array: Any) -> np.ndarray:
    """Return an array of any device on the host, not copied where it is there."""
    if hasattr(array, "get"):
        return array.get()
    return array


def restore(network: Network, state: State) -> None:
    """Write a state's arrays into a network's buffers.

    Raises
    ------
    UsageError
        If the state is that of another network.
    """
    for name, target in named_state(network).items():
        if name in state and np.shape(state[name]) == target.shape:
            target[...] = network.arena.xp.asarray(state[name])
        # Rules within a composition share its step, so a step of their own may be missing.
        elif not (name.endswith("/step") and name.count("/") > 1):
            raise UsageError(
                f"the state does not fit the network: {name!r} is {np.shape(state.get(name, ()))}, "
                f"must be {target.shape}"
            )


def digest(state: State, records: list[Record]) -> str:
    """Return the SHA-256 of a result, 16 hexadecimal digits.

    It is taken of the bytes of the weights and of every metric, without the seconds. Equal digests
    are identical results, of which nobody had to keep the weights.
    """
    theta = state["theta"]
    # Which NaN it is depends on how it came about, so that all of them count as one.
    same = np.where(np.isnan(theta), theta.dtype.type(np.nan), theta)
    sha = hashlib.sha256(same.tobytes())
    course = [(r.epoch, r.step, r.bad_step, sorted(r.metrics.items())) for r in records]
    sha.update(repr(course).encode())
    return sha.hexdigest()[:16]
