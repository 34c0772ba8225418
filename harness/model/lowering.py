"""Lowering: what a trained network does with a batch, recorded as a list of calls of NumPy.

The layers are bound once more, over arrays that note down each call they take part in. So whatever
is written in NumPy can be recorded, layers and activations of plugins too. What cannot, such as an
`if` on a value, raises NotLowerable; and a caller compares the program with the network before it
trusts it (`harness.model.export`).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.model.learned import Learned
from harness.model.recording import Tape
from harness.ops import ops_for


@dataclass(frozen=True)
class Lowered:
    """A network as a program that `harness.model.inference` runs.

    Attributes
    ----------
    spec
        The program, as JSON.
    arrays
        The arrays that it begins with, by name: the parameters, and what the layers have made.
    """

    spec: dict[str, Any]
    arrays: dict[str, np.ndarray]


def lower(learned: Learned) -> Lowered:
    """The program of a network with the weights that are shown.

    Raises
    ------
    NotLowerable
        Where it does something that cannot be recorded.
    """
    tape = Tape()
    rows = learned.config.eval_batch
    with learned.evaluation() as network:
        ops = ops_for(learned.config.device)
        arena = network.arena
        trained = {name: arena.view(arena.value, name) for name in arena.slices}
        value, frozen, states = (
            tape.named({name: np.array(ops.to_host(array)) for name, array in arrays.items()})
            for arrays in (trained, network.frozen, network.layer_state)
        )
        plan = network.plan
        grad = {name: tape.blank(np.empty_like(array)) for name, array in value.items()}
        operations = tape.operations()
        shared = replace(plan.shared, ops=operations, frozen=frozen, states=states)
        parameters: Any = _Parameters(value, grad)
        bound = replace(plan, shared=shared).bind(parameters, rows)
    x = tape.blank(np.zeros((rows, learned.schema.inputs), plan.shared.dtype))
    given = tape.reference(x)
    tape.mark_input(x)
    y, _ = bound.forward(x, False)
    answers = tape.reference(bound.predict(y))
    spec = {
        "batch": list(x.shape),
        "dtype": x.dtype.name,
        "registers": tape.registers(),
        "steps": tape.steps,
        "input": given,
        "output": answers,
    }
    return Lowered(spec, tape.contents())


@dataclass(frozen=True)
class _Parameters:
    """An arena whose parameters are arrays of their own, by name."""

    value: dict[str, Any]
    grad: dict[str, Any]

    def view(self, arrays: dict[str, Any], path: str) -> Any:
        """The parameter at a path."""
        return arrays[path]
