"""Compiled loops: what they compute is what passes of NumPy compute, and they compile once."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from siblings import quick, tried_each_time

from harness import Config, activation, elementwise, prepare, registry, segment
from harness.errors import UsageError
from harness.expressions import backend, compiled, fuse
from harness.expressions import compiling as compiling_now
from harness.maintenance.logged import environment_of
from harness.ops import debug
from harness.registry.products import make
from harness.studies.sweep import Sweep
from harness.testing.alone import drive_alone
from harness.tracking.recorded_run import recorded
from harness.trials.job import Job, Trial
from harness.trials.work import work

numba = pytest.importorskip("numba", reason="Numba has no wheel for this processor")

rng = np.random.default_rng(5)


def both(spec: str, z: np.ndarray, da: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Value and pullback of an activation."""
    value, pullback = make("activation", spec)
    a = np.empty_like(z)
    value(np, z, a)
    pulled = da.copy()
    pullback(np, z.copy(), a.copy(), pulled)
    return a, pulled


@pytest.mark.parametrize(
    "name", quick([e.name for e in registry.entries("activation")], tried_each_time)
)
def test_loops_agree_with_passes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The entries that tests of other files have registered are not meant.
    entry = registry.find("activation", name)
    if not entry.factory.__module__.startswith("harness.builtin"):
        pytest.skip("not built in")
    z = np.concatenate([rng.standard_normal(500) * 3, [0.0, -0.0, 80.0, -80.0, 1e-20]])
    z = z.astype(np.float32).reshape(5, -1)
    da = rng.standard_normal(z.shape).astype(np.float32)
    monkeypatch.setenv(backend.VARIABLE, "numba")
    loops = both(name, z, da)
    monkeypatch.setenv(backend.VARIABLE, "numpy")
    passes = both(name, z, da)
    np.testing.assert_allclose(loops[0], passes[0], rtol=3e-6, atol=1e-7)
    np.testing.assert_allclose(loops[1], passes[1], rtol=2e-5, atol=2e-6)


def test_the_sign_of_a_zero_is_a_zero_without_a_sign(compiling: list[str]) -> None:
    @activation("tested_sign")
    def tested(z: Any) -> Any:
        return np.sign(z)

    z = np.array([[-0.0, 0.0, np.nan, -np.inf, np.inf, -2.0]], np.float32)
    a, _ = both("tested_sign", z, np.ones_like(z))
    np.testing.assert_array_equal(a, np.sign(z))
    np.testing.assert_array_equal(np.signbit(a[:, :2]), [[False, False]])
    assert compiling


def test_a_hundred_values_of_a_hyperparameter_compile_once(compiling: list[str]) -> None:
    @activation("tested_bump")
    def bump(z, width=1.3):  # type: ignore[no-untyped-def]
        return np.exp(-((z / width) ** 2))

    z = rng.standard_normal((4, 50)).astype(np.float32)
    for width in np.linspace(0.31, 2.97, 100):
        a, pulled = both(f"tested_bump(width={width!r})".replace("np.float64", ""), z, z)
        exact = np.exp(-((z.astype(float) / width) ** 2))
        np.testing.assert_allclose(a, exact, rtol=1e-5, atol=1e-38)
        np.testing.assert_allclose(pulled, z * -2 * z / width**2 * exact, rtol=1e-4, atol=1e-7)
    assert len(set(compiling)) == 2  # the value and the pullback


@pytest.mark.parametrize("spec", ["gelu", "tanh", "silu(beta=1.3)", "mish"])
def test_bits_do_not_depend_on_the_place_of_a_value(spec: str, compiling: list[str]) -> None:
    numbers = (rng.standard_normal(700) * 4).astype(np.float32)
    whole, pulled = both(spec, numbers[None], numbers[None])
    for _ in range(300):
        start, stop = np.sort(rng.choice(701, 2, replace=False))
        part = numbers[None, start:stop].copy()
        a, da = both(spec, part, part)
        np.testing.assert_array_equal(a, whole[:, start:stop])
        np.testing.assert_array_equal(da, pulled[:, start:stop])
    assert compiling


RULES = [
    "sgd(0.1)",
    "momentum(0.1, 0.9)",
    "adam(0.01)",
    "adamw(0.01, weight_decay=0.1)",
    "lion(0.01, weight_decay=0.1)",
    "radam(0.01)",
    "nadam(0.01)",
    "rmsprop(0.01, centered=True)",
    "rprop",
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", quick(RULES, tried_each_time))
def test_rules_agree_with_passes(spec: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []
    for kernels in backend.BACKENDS:
        monkeypatch.setenv(backend.VARIABLE, kernels)
        driven = drive_alone(registry.canonical("update_rule", spec), (), np.dtype(dtype))
        gradients = np.random.default_rng(3).standard_normal((12, driven.theta.shape[-1]))
        for k, gradient in enumerate(gradients.astype(dtype)):
            driven.step(gradient, k / 12)
        ended.append(driven.theta.copy())
    tolerance = 2e-5 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(*ended, rtol=tolerance, atol=tolerance / 10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernels", backend.BACKENDS)
def test_without_a_scalar_the_weights_of_all_members_decay(
    dtype: str, kernels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @registry.update_rule("tested_decay")
    def tested() -> Any:
        def formula(g, *, theta, decays):  # type: ignore[no-untyped-def]
            return -0.5 * decays * theta

        return elementwise(formula)

    monkeypatch.setenv(backend.VARIABLE, kernels)
    driven = drive_alone("tested_decay", (3,), np.dtype(dtype))
    theta = driven.theta.copy()
    decays = np.arange(theta.shape[-1]) < driven.network.arena.decayed
    driven.step(np.zeros_like(theta))
    np.testing.assert_array_equal(driven.theta, theta - 0.5 * decays * theta)


@pytest.mark.parametrize(
    ("dtype", "function", "loops"),
    [
        ("float32", np.tanh, 1),
        ("float64", np.sqrt, 1),
        ("float64", np.sign, 1),
        ("float64", np.tanh, 0),  # that takes nearly all of the time, in a loop as in passes
    ],
)
def test_a_rule_is_a_loop_where_that_gains_enough(
    dtype: str, function: Any, loops: int, compiling: list[str]
) -> None:
    @registry.update_rule("tested_function")
    def tested(rate: registry.Scalar = 0.5) -> Any:
        def formula(g, *, rate):  # type: ignore[no-untyped-def]
            return -rate * function(g * g)

        return elementwise(formula, rate=rate)

    driven = drive_alone("tested_function", (), np.dtype(dtype))
    theta = driven.theta.copy()
    g = rng.standard_normal(theta.shape).astype(dtype)
    driven.step(g.copy())
    # The arrays of a formula are called x0, x1 and so on.
    assert sum("x0_" in source for source in compiling) == loops
    np.testing.assert_allclose(driven.theta, theta - 0.5 * function(g * g), atol=1e-6)


@pytest.mark.parametrize("name", ["p", "n", "i", "f", "s0", "row", "numbers", "start", "μ"])
def test_an_array_may_have_any_name(name: str, compiling: list[str]) -> None:
    """Those of the loop itself too."""
    scope: dict[str, Any] = {}
    exec(f"def step(g, {name}, *, rate):\n return -rate * ({name} + g), 0.5 * {name} + g", scope)
    formula = scope["step"]
    rule = f"named_{ord(name[0])}_{len(name)}"

    @registry.update_rule(rule)
    def tested(rate: registry.Scalar = 0.25) -> Any:
        return elementwise(formula, rate=rate)

    driven = drive_alone(rule, (), np.float32)
    theta = driven.theta.astype(float)
    v = np.zeros_like(theta)
    for _ in range(3):
        g = rng.standard_normal(theta.shape).astype(np.float32)
        theta -= 0.25 * (v + g)
        v = 0.5 * v + g
        driven.step(g)
    np.testing.assert_allclose(driven.theta, theta, rtol=1e-5, atol=1e-6)


def test_a_formula_is_what_it_says(compiling: list[str]) -> None:
    @registry.update_rule("tested_formula")
    def tested(rate: registry.Scalar = 0.25, decay: registry.Scalar = 0.5) -> Any:
        def formula(g, v, *, step, theta, decays, rate, decay):  # type: ignore[no-untyped-def]
            v = decay * v + g
            return -rate * v / step - 0.125 * decays * theta, v

        return elementwise(formula, rate=rate, decay=decay)

    driven = drive_alone("tested_formula", (), np.float32)
    theta = driven.theta.astype(float)
    decays = np.arange(theta.shape[-1]) < driven.network.arena.decayed
    v = np.zeros_like(theta)
    for step in range(1, 6):
        g = rng.standard_normal(theta.shape).astype(np.float32)
        v = 0.5 * v + g
        theta = theta - 0.25 * v / step - 0.125 * decays * theta
        driven.step(g)
    np.testing.assert_allclose(driven.theta, theta, rtol=1e-5)
    assert 0 < decays.sum() < decays.size
    # As it is called alone, and as the engine calls it, where the sum is taken in the same pass.
    assert len(set(compiling)) >= 1


@pytest.mark.parametrize("kernels", backend.BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_comes_in_one_array_may_go_out_in_another(
    kernels: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @registry.update_rule("tested_memory")
    def tested(rate: registry.Scalar = 0.5) -> Any:
        def formula(g, last, before, *, rate):  # type: ignore[no-untyped-def]
            return -rate * (g + 4 * last + 16 * before), g, last

        return elementwise(formula, rate=rate)

    monkeypatch.setenv(backend.VARIABLE, kernels)
    driven = drive_alone("tested_memory", (), np.dtype(dtype))
    driven.theta[...] = 0.0
    moved = []
    for g in (1.0, 2.0, 3.0):
        before = driven.theta.copy()
        driven.step(np.full(driven.theta.shape, g, dtype))
        moved.append((driven.theta - before).flat[0])
    assert moved == [-0.5, -(2 + 4) / 2, -(3 + 8 + 16) / 2]


@pytest.mark.parametrize("kernels", backend.BACKENDS)
def test_an_update_and_its_addition_are_one_pass(
    kernels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(backend.VARIABLE, kernels)
    monkeypatch.setattr(debug, "on", False)  # it would look between the update and its addition
    rule = make("update_rule", "momentum(0.25, 0.5)")
    arena = drive_alone(rule, (), np.float32).network.arena
    arena.value[...] = 1.0
    step = rule.fuse(arena, rule.init(arena))
    u = np.full_like(arena.value, 2.0)
    step(u)
    assert (u == -0.5).all()
    assert (arena.value == 0.5).all()
    u[...] = 2.0
    step(u)  # v = 0.5 * 2 + 2
    assert (u == -0.75).all()
    assert (arena.value == -0.25).all()


@pytest.mark.parametrize("lead", [(), (3,)])
@pytest.mark.parametrize("kernels", backend.BACKENDS)
@pytest.mark.parametrize(
    ("spec", "loops"),
    [
        ("compose(weight_decay(0.1), trace(0.5), clip_value(0.3), scale(-0.1))", 1),
        ("compose(l1(0.1), adam(0.01), decoupled_weight_decay(0.01))", 1),
        ("compose(clip_norm(0.5), weight_decay(0.1), momentum(0.1))", 1),
        ("compose(weight_decay(0.1), clip_norm(0.5), sgd(0.1))", 2),
        ("compose(sgd(0.1), centralize)", 1),
    ],
)
def test_formulas_beside_each_other_in_a_composition_are_one_loop(
    spec: str,
    loops: int,
    kernels: str,
    lead: tuple[int, ...],
    compiling: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(backend.VARIABLE, kernels)
    monkeypatch.setattr(debug, "on", False)  # it would look at each rule alone
    thetas = []
    for together in (True, False):
        rule = make("update_rule", spec)
        arena = drive_alone(rule, lead, np.float32).network.arena
        state = rule.init(arena)
        state["step"] = arena.scalar(0.0)
        arena.value[...] = np.linspace(-1, 1, arena.value.shape[-1])
        # The network has loaded them all already.
        compiled.loaded.clear()
        compiled.ready.clear()
        compiling.clear()
        step = rule.fuse(arena, state) if together else None
        assert not together or kernels == "numpy" or len(compiling) == loops
        for _ in range(3):
            state["step"] += 1
            u = np.sin(7 * arena.value)
            if step is not None:
                step(u)
            else:
                rule.update(u, arena, state)
                arena.value += u
        thetas.append(arena.value.copy())
    assert np.unique(thetas[0]).size > 10
    np.testing.assert_array_equal(*thetas)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        (lambda *, rate: rate, r"must take the gradient and its arrays by position"),
        (lambda g, v, *, rate: -rate * g, r"must return 2 values, the update first, got 1"),
        (lambda g, *, rate: -rate * g if g > 0 else g, r"the truth of an array of a formula"),
    ],
)
def test_formulas_that_are_refused(formula: Callable[..., Any], message: str) -> None:
    @registry.update_rule("tested_refused")
    def tested(rate: registry.Scalar = 0.25) -> Any:
        return elementwise(formula, rate=rate)

    with pytest.raises(UsageError, match=message):
        drive_alone("tested_refused").step(np.ones(40))


@pytest.mark.parametrize("lead", [(), (3,)])
def test_a_dense_layer_and_its_activation_are_one_call(
    lead: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole runs on both backends stay near each other, and exactly alike where nothing is exp."""
    config = Config(
        layers=["dense(16)", "relu", "dense(12)", "tanh", "dense(10)"],
        data="mnist14(rows=600)",
        batch=32,
        epochs=2,
        update="momentum(0.05)",
        film=None,
    )
    configs = [config.replace(seed=seed) for seed in range(lead[0])] if lead else [config]
    ended = {}
    for kernels in backend.BACKENDS:
        monkeypatch.setenv(backend.VARIABLE, kernels)
        if lead:
            states = segment(configs, prepare(config), epochs=2)[0]
        else:
            states = [segment(config, prepare(config), epochs=2)[0]]
        ended[kernels] = [state["theta"] for state in states]
    for one, other in zip(*ended.values(), strict=True):
        assert np.linalg.norm(one - other) <= 1e-4 * np.linalg.norm(other)


FUSED = ("identity", "relu", "elu", "gelu", "hard_swish", "selu", "silu", "softplus", "tanh")


@pytest.mark.parametrize("name", quick([e.name for e in registry.entries("activation")], FUSED))
def test_a_fused_layer_has_the_bits_of_its_two_layers(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slope that shares an exp with its value is computed in forward, for one."""
    monkeypatch.setenv(backend.VARIABLE, "numba")
    config = Config(
        layers=["dense(16)", name, "dense(10)"],
        data="mnist14(rows=100)",
        batch=32,
        epochs=1,
        update="sgd(0.05)",
        film=None,
    )
    data = prepare(config)
    together = segment(config, data, epochs=1)[0]["theta"]
    monkeypatch.setattr(fuse, "fuse", lambda *_: None)
    apart = segment(config, data, epochs=1)[0]["theta"]
    np.testing.assert_array_equal(together, apart)


def test_a_slope_with_a_function_of_its_own_is_computed_with_the_value(
    compiling: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debug, "on", False)  # it would look between the two layers
    config = Config(layers=["dense(4)", "silu", "dense(10)"], data="mnist14(rows=100)", film=None)
    segment(config, prepare(config), epochs=1)
    calls = [source.count("expit_f(") for source in compiling]
    assert sum(calls) == 1


@pytest.mark.parametrize(("name", "loops"), [("relu", 2), ("silu", 0)])
def test_in_float64_a_layer_is_a_loop_where_nothing_is_called(
    name: str, loops: int, compiling: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debug, "on", False)  # it would look between the two layers
    config = Config(
        layers=["dense(4)", name, "dense(10)"],
        data="mnist14(rows=100)",
        dtype="float64",
        film=None,
    )
    segment(config, prepare(config), epochs=1)
    fused = [source for source in compiling if "def kernel" in source and "row_step" in source]
    assert len(fused) == loops
    assert all("import float64 as f," in source for source in compiling)


def test_what_the_variable_may_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(backend.VARIABLE, "fast")
    with pytest.raises(UsageError, match="must be 'numba' or 'numpy', got 'fast'"):
        backend.kernels()
    monkeypatch.setenv(backend.VARIABLE, "numpy")
    assert backend.kernels() == backend.described() == "numpy"
    monkeypatch.delenv(backend.VARIABLE)
    assert backend.described().startswith(f"numba {numba.__version__} ")


_TRAIN = (
    "import warnings, numpy as np; warnings.simplefilter('ignore', UserWarning);"
    "from harness import make; value, _ = make('activation', 'softsign');"
    "z = np.ones((2, 3), 'f4'); a = z.copy(); value(np, z, a); print(float(a.sum()))"
)


def train(folder: Path) -> "subprocess.Popen[str]":
    environment = {**os.environ, compiling_now.VARIABLE: str(folder), backend.VARIABLE: "numba"}
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", _TRAIN]
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


def test_two_processes_compile_a_loop_once(tmp_path: Path) -> None:
    both = [train(tmp_path), train(tmp_path)]
    for process in both:
        out, err = process.communicate()
        assert (out, err, process.returncode) == ("3.0\n", "", 0)
    kept = [path.suffix for path in tmp_path.rglob("*") if path.is_file()]
    assert kept.count(".nbc") == kept.count(".nbi") == kept.count(".py") == 1


@pytest.mark.skipif(debug.on, reason="one such process is enough")
def test_a_folder_that_cannot_be_written_costs_a_message(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("a file stands where the folder would be")
    out, err = train(place).communicate()
    assert out == "3.0\n"
    assert "could not be kept in" in err
    assert "HARNESS_KERNEL_CACHE" in err


def test_a_job_takes_the_backend_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(backend.VARIABLE, "numpy")
    job = Job([Trial(0, Config(layers=["dense(10)"], data="mnist14(rows=200)", epochs=1))])
    job.finish = True
    assert job.kernels == "numpy"
    monkeypatch.setenv(backend.VARIABLE, "numba")
    (outcome,) = work(job)
    recorded = json.loads(outcome.artifacts["environment.json"])
    assert (outcome.refused, recorded["kernels"]) == ("", "numpy")
    # A worker without Numba refuses it in a sentence.
    monkeypatch.setattr(backend, "has_numba", lambda: False)
    (outcome,) = work(replace(job, kernels="numba"))
    assert "needs Numba, which is not installed in" in outcome.refused


def test_the_loops_of_four_versions_are_kept_and_gc_empties_all(tmp_path: Path) -> None:
    for k in range(6):
        (tmp_path / f"version{k}").mkdir()
        os.utime(tmp_path / f"version{k}", (k, k))
    assert train(tmp_path).communicate() == ("3.0\n", "")
    kept = sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("version"))
    assert kept == ["version3", "version4", "version5"]
    assert len(list(tmp_path.iterdir())) == compiled.VERSIONS
    command = [sys.executable, "-m", "harness", "gc", "--kernels", "--yes"]
    environment = {**os.environ, compiling_now.VARIABLE: str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert re.match("compiled loops: [45] files, ", done.stdout)
    assert "freed" in done.stdout
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_sweep_goes_on_with_the_backend_with_which_it_began(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def space(trial: Any) -> Config:
        rate = trial.suggest_float("rate", 0.1, 0.2)
        return Config(layers=["dense(10)"], data="mnist14(rows=200)", update=f"sgd({rate})")

    def trained_with(trials: int) -> list[str]:
        Sweep(space, "goes on", trials=trials).run()
        runs = [recorded(f"goes on#{number}") for number in range(trials)]
        return [environment_of(run)["kernels"].split()[0] for run in runs]

    monkeypatch.setenv(backend.VARIABLE, "numpy")
    assert trained_with(1) == ["numpy"]
    monkeypatch.setenv(backend.VARIABLE, "numba")
    assert trained_with(2) == ["numpy", "numpy"]
