"""A network as what an MLflow model is made of: a program, its code, and what it needs."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.model import inference
from harness.model.estimator import Model
from harness.model.learned import Learned
from harness.model.lowering import Lowered, lower
from harness.model.saving import FORMAT, contents
from harness.ops import ops_for
from harness.storage.bundle import Bundle, pack
from harness.training.scoring import evaluate
from harness.version import version

# Programs that differ from the network by more are not trusted. Where it runs in passes on the
# processor they do not differ at all; compiled loops and another device have other last bits.
RELATIVE = 1e-4
ABSOLUTE = 1e-6
TRIED = 5  # rows in each of the two batches that a program is compared on


@dataclass(frozen=True)
class Label:
    """What the model of a run is to be.

    Attributes
    ----------
    record
        The id of the record of its run.
    digest
        The digest of its result.
    register
        The name that it is registered under; "" for none.
    """

    record: str
    digest: str
    register: str = ""


def exported(model: Model, sources: dict[str, str], label: Label) -> bytes:
    """A saved model that can also be served without the harness.

    Parameters
    ----------
    model
        The model.
    sources
        The sources of the plugins that are loaded, by name.
    label
        What the model of a run is to be.

    Returns
    -------
    bytes
        The file of the model, with its program, the code that runs it, what that needs, and an
        example. Where the network cannot be lowered the program is None, and the harness itself is
        what it needs.
    """
    learned = model._trained()
    about, arrays = contents(learned, model.history)
    lowered = _lowered(learned)
    needs = [f"numpy=={np.__version__}"]
    program = None
    if lowered is None:
        needs.append(f"harness=={version()}")
    else:
        program = lowered.spec
        arrays = {**arrays, **lowered.arrays}
        if any(step[0].startswith("scipy") for step in program["steps"]):
            import scipy

            needs.append(f"scipy=={scipy.__version__}")
    served: dict[str, Any] = {
        "program": program,
        "code": Path(inference.__file__).read_text(encoding="utf-8"),
        "requirements": needs,
        "needs": "harness",
        "sources": sources,
        **asdict(label),
    }
    return pack(FORMAT, Bundle({**about, **served}, arrays))


def _lowered(learned: Learned) -> Lowered | None:
    """The program of a network; None where there is none, or none that gives its answers."""
    try:
        lowered = lower(learned)
    except Exception:
        # A plugin may raise anything where its arrays record what it does. It has trained, so that
        # the harness can run it.
        return None
    program = inference.Program(lowered.spec, lowered.arrays)
    random = np.random.default_rng(0)
    for _ in range(2):
        x = random.standard_normal((TRIED, learned.schema.inputs)).astype(learned.config.dtype)
        if not np.allclose(
            program.in_batches(x), _answers(learned, x), RELATIVE, ABSOLUTE, equal_nan=True
        ):
            return None
    return lowered


def _answers(learned: Learned, x: np.ndarray) -> np.ndarray:
    """The predictions (N, K) of the network itself for scaled features (N, I)."""
    config = learned.config
    ops = ops_for(config.device)
    no_targets = ops.zeros((len(x), learned.schema.outputs), np.dtype(config.dtype))
    with learned.evaluation() as network, ops.quiet():
        predictions, _ = evaluate(network, ops.asarray(x), no_targets, config.eval_batch)
    return predictions
