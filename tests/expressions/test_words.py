"""Formulas in words are those that run."""

import numpy as np
import pytest

from harness import make
from harness.expressions.graph import Graph
from harness.expressions.trace import Tracer
from harness.expressions.words import lines


def test_adam_in_words() -> None:
    assert make("update_rule", "adam").formula.words() == [
        "m' = beta1 * m + (1 - beta1) * g",
        "v' = beta2 * v + (1 - beta2) * g^2",
        "u = -(learning_rate / (1 - beta1^step) * m' "
        "/ (sqrt(v') * (1 / sqrt(1 - beta2^step)) + eps))",
    ]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tanh", ["f(z) = tanh(z)", "f'(z) = 1 - f(z)^2"]),
        ("relu", ["f(z) = maximum(z, 0)", "f'(z) = where(z > 0, 1, 0)"]),
        (
            "hard_tanh(max_val=2.0)",
            ["f(z) = minimum(maximum(z, -1), 2)", "f'(z) = where((z > -1) & (z < 2), 1, 0)"],
        ),
        ("silu", ["t1 = expit(z)", "f(z) = z * t1", "f'(z) = t1 + z * (t1 * (1 - t1))"]),
    ],
)
def test_activations_in_words(name: str, words: list[str]) -> None:
    value, _ = make("activation", name)
    assert getattr(value, "words", lambda: words)() == words  # none where plugins are watched


def test_long_expressions_have_lines_that_can_be_read() -> None:
    graph = Graph(Tracer)
    z = graph.intern("z")
    total = 0.0
    expected = 0.0
    for k in range(1200):
        total = np.sin(total) * 0.5 + z * float(k % 3)
        expected = np.sin(expected) * 0.5 + 0.75 * float(k % 3)
    written = lines({"result": total})
    assert max(map(len, written)) < 400
    numbers = {"z": 0.75, "sin": np.sin}
    for line in written:
        name, text = line.split(" = ")
        numbers[name] = eval(text, {}, numbers)
    assert numbers["result"] == pytest.approx(expected, rel=1e-12)


def test_arrays_in_words() -> None:
    graph = Graph(Tracer)
    z = graph.intern("z")
    row = np.linspace(0.0, 1.0, 200)
    assert lines({"f(z)": z * row + np.full((1, 1), 0.25)}) == ["f(z) = z * array(200,) + 0.25"]


def test_parentheses_say_what_is_computed() -> None:
    """Python computes of the words what the graph computes."""
    rng = np.random.default_rng(2)
    signs = [np.add, np.subtract, np.multiply, np.divide]
    for _ in range(200):
        graph = Graph(Tracer)
        names = "abcd"
        numbers = dict(zip(names, rng.uniform(1, 2, 4), strict=True))
        nodes = [graph.intern("input", name) for name in names]
        values = list(numbers.values())
        for _ in range(8):
            i, j = rng.integers(len(nodes), size=2)
            sign = signs[rng.integers(4)]
            nodes.append(sign(nodes[i], nodes[j]))
            with np.errstate(all="ignore"):
                values.append(sign(values[i], values[j]))
        if not np.isfinite(values).all():
            continue
        for line in lines({"result": nodes[-1]}):
            name, text = line.split(" = ")
            numbers[name] = eval(text.replace("^", "**"), {}, numbers)
        assert numbers["result"] == pytest.approx(values[-1], rel=1e-5, abs=1e-5)
