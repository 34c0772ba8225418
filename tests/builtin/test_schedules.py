"""Schedules: exact ends, values by the formula and against PyTorch, nested ones as specs, and what
is refused.
"""

import math
from typing import Any

import numpy as np
import pytest

from harness import registry
from harness.builtin.layers import mlp
from harness.builtin.schedules import constant, cosine, linear, one_cycle, piecewise, warmup
from harness.config import Config
from harness.errors import UsageError
from harness.testing.conformance import assert_conforms
from harness.training.prepare import prepare
from harness.training.segment import segment


def at(spec: Any, *fractions: float) -> list[float]:
    schedule = registry.make("schedule", spec)
    return [schedule(t) for t in fractions]


ENDS = [  # numbers that no sum of others gives exactly
    ("constant(0.1)", 0.1, 0.1),
    ("linear(0.3, 0.1)", 0.3, 0.1),
    ("linear(0.1, 0.7)", 0.1, 0.7),
    ("linear(0.7)", 0.7, 0.0),
    ("polynomial(0.3, 0.1, power=3.0)", 0.3, 0.1),
    ("exponential(0.3, 0.0007)", 0.3, 0.0007),
    ("cosine(0.3, 0.1)", 0.3, 0.1),
    ("cosine(0.3, 0.1, cycles=7, stretch=1.3)", 0.3, 0.1),
    ("inverse_sqrt(0.3)", 0.3, 0.3 / math.sqrt(11)),
    ("step(0.3, factor=0.5)", 0.3, 0.3 * 0.25),
    ("piecewise(0.3, 0.2, 0.1)", 0.3, 0.1),
    ("piecewise(linear(0.3, 0.7), cosine(0.7, 0.1), at=[0.3])", 0.3, 0.1),
    ("warmup(0.3)", 0.0, 0.3),
    ("warmup(cosine(0.3, 0.1), share=0.3, start=0.2)", 0.2, 0.1),
    ("one_cycle(0.7)", 0.7 / 25.0, 0.7 / 25.0 / 1e4),
]


@pytest.mark.parametrize(("spec", "first", "last"), ENDS)
def test_ends_are_exact(spec: str, first: float, last: float) -> None:
    assert at(spec, 0.0, 1.0) == [first, last]


def test_every_schedule_is_here() -> None:
    names = {registry.canonical("schedule", spec)["name"] for spec, _, _ in ENDS}
    assert names == {e.name for e in registry.entries("schedule") if "schedules" in e.origin}


@pytest.mark.parametrize("spec", [spec for spec, _, _ in ENDS])
def test_conformance(spec: str) -> None:
    assert_conforms("schedule", **registry.canonical("schedule", spec))


@pytest.mark.parametrize(
    ("spec", "expected"),  # at 0, 1/4, 1/2, 3/4, 1
    [
        (constant(2.0), [2.0] * 5),
        (linear(1.0, 3.0), [1.0, 1.5, 2.0, 2.5, 3.0]),
        ("polynomial(1.0, power=2.0)", [1.0, 0.5625, 0.25, 0.0625, 0.0]),
        ("polynomial(1.0, 3.0)", [1.0, 1.5, 2.0, 2.5, 3.0]),
        ("exponential(16.0, 1.0)", [16.0, 8.0, 4.0, 2.0, 1.0]),
        ("inverse_sqrt(1.0, timescale=0.25)", [1.0, 0.5**0.5, 3**-0.5, 0.5, 5**-0.5]),
        (cosine(2.0), [2.0, 1 + 0.5**0.5, 1.0, 1 - 0.5**0.5, 0.0]),
        ("cosine(2.0, cycles=2)", [2.0, 1.0, 2.0, 1.0, 0.0]),
        ("cosine(2.0, cycles=2, stretch=3.0)", [2.0, 2.0, 1.5, 0.5, 0.0]),
        ("step(1.0, at=[0.25, 0.75])", [1.0, 0.1, 0.1, 0.01, 0.01]),
        ("step(1.0, at=0.5)", [1.0, 1.0, 0.1, 0.1, 0.1]),
        (piecewise(3.0, 2.0, 1.0, at=[0.25, 0.75]), [3.0, 2.0, 2.0, 1.0, 1.0]),
        (piecewise(3.0, 1.0), [3.0, 3.0, 1.0, 1.0, 1.0]),
        (piecewise(linear(0.0, 1.0), linear(1.0), at=[0.25]), [0.0, 1.0, 2 / 3, 1 / 3, 0.0]),
        (piecewise(lambda t: 4 * t, 9.0), [0.0, 2.0, 9.0, 9.0, 9.0]),
        (warmup(linear(1.0), share=0.5), [0.0, 0.5, 1.0, 0.5, 0.0]),
        (warmup(2.0, 0.5, start=1.0), [1.0, 1.5, 2.0, 2.0, 2.0]),
        (one_cycle(1.0, 0.5, 4.0, 2.0), [0.25, 0.625, 1.0, 0.5625, 0.125]),
    ],
)
def test_by_hand(spec: Any, expected: list[float]) -> None:
    np.testing.assert_allclose(
        at(spec, 0.0, 0.25, 0.5, 0.75, 1.0), expected, rtol=1e-14, atol=1e-16
    )


def test_transformer() -> None:
    """warmup around inverse_sqrt is min(k / w, sqrt(w / k)) of Vaswani et al., w the share of the
    warm-up.
    """
    w = 0.2
    found = at(
        f"warmup(inverse_sqrt(3.0, {w / (1 - w)}), {w})", *(t := np.linspace(0.01, 1.0, 100))
    )
    np.testing.assert_allclose(found, 3.0 * np.minimum(t / w, np.sqrt(w / t)), rtol=1e-13)


STEPS = 40


@pytest.mark.parametrize(
    ("spec", "name", "options", "planned"),  # planned: how many of our steps make a whole run
    [
        (
            "linear(0.1, 0.01)",
            "LinearLR",
            {"start_factor": 1.0, "end_factor": 0.1, "total_iters": STEPS},
            STEPS,
        ),
        ("polynomial(0.1, power=3.0)", "PolynomialLR", {"total_iters": STEPS, "power": 3.0}, STEPS),
        ("polynomial(0.1)", "PolynomialLR", {"total_iters": STEPS}, STEPS),
        (f"exponential(0.1, {0.1 * 0.9**STEPS!r})", "ExponentialLR", {"gamma": 0.9}, STEPS),
        ("cosine(0.1, 0.01)", "CosineAnnealingLR", {"T_max": STEPS, "eta_min": 0.01}, STEPS),
        (
            "cosine(0.1, 0.01, cycles=4)",
            "CosineAnnealingWarmRestarts",
            {"T_0": 10, "eta_min": 0.01},
            STEPS,
        ),
        (
            "cosine(0.1, cycles=3, stretch=2.0)",
            "CosineAnnealingWarmRestarts",
            {"T_0": 6, "T_mult": 2},
            42,
        ),
        ("step(0.1)", "MultiStepLR", {"milestones": [20, 30]}, STEPS),
        (
            "step(0.1, 0.5, at=[0.1, 0.85])",
            "MultiStepLR",
            {"milestones": [4, 34], "gamma": 0.5},
            STEPS,
        ),
        ("step(0.1, 0.3, at=[0.25, 0.5, 0.75])", "StepLR", {"step_size": 10, "gamma": 0.3}, STEPS),
        ("constant(0.1)", "ConstantLR", {"factor": 1.0}, STEPS),
        (
            "warmup(0.1, share=0.25, start=0.01)",
            "LinearLR",
            {"start_factor": 0.1, "total_iters": 10},
            STEPS,
        ),
        # theirs ends at its last step, and rises for pct_start * total - 1 steps
        (
            "one_cycle(0.1, pct_start=0.25)",
            "OneCycleLR",
            {"max_lr": 0.1, "total_steps": 41, "pct_start": 11 / 41},
            STEPS,
        ),
    ],
)
def test_pytorch(spec: str, name: str, options: dict[str, Any], planned: int) -> None:
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not among the dependencies; with it installed this runs"
    )
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    schedule = getattr(torch.optim.lr_scheduler, name)(optimizer, **options)
    theirs = []
    for _ in range(STEPS):
        theirs.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    np.testing.assert_allclose(at(spec, *(k / planned for k in range(STEPS))), theirs, rtol=1e-12)


def test_nested_specs_are_data() -> None:
    """A schedule within a schedule is a plain dict, comes back from JSON and from its own text, and
    is checked.
    """
    given = warmup(piecewise(cosine(0.5, cycles=2), 0.01, at=[0.9]), share=0.05)
    config = Config(layers=mlp([196, 5, 10]), update={"name": "sgd", "learning_rate": given})
    cos = {"name": "cosine", "start": 0.5, "cycles": 2}
    inner = {"name": "piecewise", "parts": [cos, 0.01], "at": [0.9]}
    spec = {"name": "warmup", "after": inner, "share": 0.05}
    assert config.update == {"name": "sgd", "learning_rate": spec}
    assert Config.from_json(config.to_json()) == config
    assert registry.canonical("schedule", registry.text(spec)) == spec
    for wrong in ("warmup(cosin(0.5))", "piecewise(0.1, cosin(0.5))"):
        with pytest.raises(UsageError, match="unknown schedule 'cosin'; did you mean 'cosine'"):
            registry.canonical("schedule", wrong)


def test_members_with_schedules_of_their_own() -> None:
    """Three learning rates, two of them nested schedules: one population, each row as alone; the
    scalar is seen.
    """
    rates = ["warmup(cosine(0.5))", "piecewise(linear(0.0, 0.3), 0.1, at=[0.5])", 0.2]
    small: dict[str, Any] = {
        "layers": mlp([196, 7, 10]),
        "data": "mnist14(rows=200)",
        "batch": 20,
        "epochs": 2,
        "film": None,
    }
    configs = [Config(**small, update={"name": "adam", "learning_rate": rate}) for rate in rates]
    assert len({c.shape_key() for c in configs}) == 1
    data = prepare(configs[0])
    states, _ = segment(configs, data)
    for config, together in zip(configs, states, strict=True):
        alone, _ = segment(config, data)
        np.testing.assert_array_equal(alone["theta"], together["theta"])
    last = 15 / 16  # of 16 steps
    seen = [float(each["rule/learning_rate"][0]) for each in states]
    np.testing.assert_allclose(seen, [at(rates[0], last)[0], 0.1, 0.2], rtol=1e-6)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("constant('fast')", "constant: value must be a finite number, got 'fast'"),
        ("linear(True)", "linear: start must be a finite number, got True"),
        (
            {"name": "linear", "start": float("nan")},
            "linear: start must be a finite number, got nan",
        ),
        (
            "polynomial(0.1, power=0.0)",
            "polynomial: power must be a finite number above 0, got 0.0",
        ),
        ("exponential(0.1, 0.0)", "exponential: end must be a finite number above 0, got 0.0"),
        (
            "inverse_sqrt(0.1, timescale=-1)",
            "inverse_sqrt: timescale must be a finite number above 0, got -1",
        ),
        ("cosine(0.1, cycles=0)", "cosine: cycles must be a whole number of at least 1, got 0"),
        ("cosine(0.1, cycles=2.0)", "cosine: cycles must be a whole number of at least 1, got 2.0"),
        ("step(0.1, at=[0.5, 0.5])", r"step: at must be increasing fractions .* got \[0.5, 0.5\]"),
        (
            "step(0.1, at=[1.0])",
            r"step: at must be increasing fractions .* between 0 and 1, got "
            r"\[1.0\]",
        ),
        ("piecewise()", "piecewise: give at least one part"),
        (
            "piecewise(0.1, 0.2, at=[0.1, 0.2])",
            r"one fraction fewer than there are parts \(2\), "
            r"got \[0.1, 0.2\]",
        ),
        ("piecewise(0.1, 0.2, at=[5])", "piecewise: at must be increasing fractions"),
        ("warmup(0.1, share=1.0)", r"warmup: share must be a fraction .* between 0 and 1, got 1.0"),
        (
            "one_cycle(0.1, pct_start=30)",
            r"one_cycle: pct_start must be a fraction .* between 0 "
            r"and 1, got 30",
        ),
        (
            "one_cycle(0.1, div_factor=0)",
            "one_cycle: div_factor must be a finite number above 0, got 0",
        ),
        ("warmup()", "missing a required argument: 'after'"),
    ],
)
def test_refused(spec: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        registry.make("schedule", spec)
