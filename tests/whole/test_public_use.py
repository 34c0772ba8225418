"""What a user of the public face does with it where no room has a test of its own for that."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness

ROOT = Path(__file__).parents[2]


def test_a_rule_around_another_and_an_initializer_of_ones_own() -> None:
    """The annotations RuleSpec and InitSpec say that an argument is read as a spec."""

    @harness.initializer()
    def halves() -> Any:
        return lambda rng, shape, fan_in, fan_out: np.full(shape, 0.5)

    @harness.layer()
    def shifted(init: harness.InitSpec = "halves") -> Any:
        def bind(ctx: Any, I: int) -> Any:
            b, db = ctx.param("b", (1, I), init)

            def forward(x: Any, train: bool) -> Any:
                y = x + b

                def backward(dy: Any) -> Any:
                    np.sum(dy, axis=-2, keepdims=True, out=db)
                    return dy

                return y, backward

            return forward, I

        return bind

    @harness.update_rule()
    def halved(rule: harness.RuleSpec = "sgd(0.1)") -> harness.Rule:
        inner = harness.make("update_rule", rule)

        def update(u: Any, arena: Any, state: Any) -> None:
            inner.update(u, arena, state)
            np.multiply(u, 0.5, out=u)

        return harness.Rule(inner.init, update)

    x = np.random.default_rng(0).normal(size=(40, 3))
    y = x @ [[1.0], [2.0], [3.0]]
    settings: dict[str, Any] = {"loss": "squared_error", "metric": "rmse", "epochs": 2, "batch": 8}
    settings |= {"valid": 0.0, "film": None, "device": "cpu", "recorders": [], "split_seed": 3}
    layers = ["shifted(init=halves)", "dense(1)"]
    ours = harness.Model(layers=layers, update="halved(rule=sgd(0.2))", **settings).fit(x, y)
    same = harness.Model(layers=layers, update="sgd(0.1)", **settings).fit(x, y)
    for name, value in same.weights.items():
        np.testing.assert_array_equal(ours.weights[name], value)
    untouched = harness.Model(layers=["shifted", "dense(1)"], update="sgd(1e-30)", **settings)
    np.testing.assert_array_equal(untouched.fit(x, y).weights["0/b"], np.full((1, 3), 0.5))


def test_a_film_from_its_settings() -> None:
    settings = harness.film_settings("square")
    steps = harness.film_steps(100, every=settings.pop("every"))
    assert steps == tuple(range(0, 101, 4))
    settings.pop("fps")
    settings.pop("caption")  # it belongs to the films of runs
    weights = np.random.default_rng(0).normal(size=(len(steps), 196, 9)).astype(np.float32)
    pictures = harness.frames(weights, (14, 14), **settings)
    assert pictures.dtype == np.uint8
    assert pictures.shape == (len(steps), 84, 84)
    with pytest.raises(harness.UsageError, match="chosen by one of frames, every and steps"):
        harness.film_steps(100, every=2, frames=3)


SCRIPT = """
import sys
import harness

with harness.plain_end(__file__):
    if sys.argv[1] == "interrupted":
        raise KeyboardInterrupt
    harness.Config(layers=['dense(2)'], epochs=0)
"""


@pytest.mark.parametrize(("how", "code"), [("wrong", 2), ("interrupted", 130)])
def test_a_script_ends_with_a_sentence(how: str, code: int, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), how],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    (line,) = done.stderr.splitlines()
    if how == "wrong":
        assert line.startswith("Error: epochs must be a whole number of at least 1, got 0")
    else:
        assert line.startswith("stopped; go on with: ")
        assert line.endswith("script.py interrupted")


def test_what_a_block_raises_reaches_whoever_has_imported_its_script(tmp_path: Path) -> None:
    with pytest.raises(harness.UsageError, match="mine"), harness.plain_end(tmp_path / "other.py"):
        raise harness.UsageError("mine")
    with pytest.raises(KeyboardInterrupt), harness.plain_end(None):
        raise KeyboardInterrupt


def test_the_test_part_is_a_table_of_its_own() -> None:
    x = np.arange(12.0).reshape(6, 2)
    y = np.arange(6) % 2
    data = harness.data.from_arrays("parts", x[:4], y[:4], x[4:], y[4:])
    assert data.test_table().what == "parts: the test part"
    np.testing.assert_array_equal(data.test_table().values, data.x_test)
    np.testing.assert_array_equal(data.table([1, 3]).values, data.x[[1, 3]])
