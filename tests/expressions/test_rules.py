"""The rules of simplification: each fires on its examples, and changes no more than it says."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import pytest

from harness.expressions import derive, simplify
from harness.expressions.graph import Graph, number, reachable
from harness.expressions.simplify import Rule
from harness.expressions.trace import Tracer
from harness.expressions.words import lines

RULES = {rule.name: rule for rule in (*simplify.RULES, *derive.PRODUCTS)}

# Computing ----------------------------------------------------------------------------------------


def points(dtype: type) -> np.ndarray:
    """Kinks, zeros of both signs, denormals, the ends of the range, infinities, NaN and others."""
    kind = np.finfo(dtype)
    rng = np.random.default_rng(6)
    sizes = [
        *(0.0, 0.5, 1.0, 2.0, 3.0, 1e-8, 1e-3, 20.0, 89.0, 1e3, np.inf),
        *(kind.smallest_subnormal, kind.smallest_subnormal * 1000, kind.smallest_normal),
        *(kind.smallest_normal**0.5, kind.max**0.3, kind.max**0.5, kind.max / 3, kind.max),
        *(10 ** rng.uniform(-4, 4, 12)),
    ]
    return np.array([*sizes, *np.negative(sizes), np.nan], dtype)


def traced(f: Callable[..., Any]) -> tuple[Any, Any]:
    """The value and the slope of f(z, y) as nodes, or numbers."""
    graph = Graph(Tracer)
    value = number(f(graph.intern("z"), graph.intern("input", "y")))
    return value, derive.slope_of(derive.left(value))


def computed(root: Any, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A node, computed one operation after the other as the graph says."""
    if not isinstance(root, Tracer):
        return np.full_like(z, root)
    values: dict[int, np.ndarray] = {}

    def full(argument: Any) -> np.ndarray:
        """An operand as an array: NumPy has shortcuts where an exponent is one number."""
        if isinstance(argument, Tracer):
            return values[argument.index]
        dtype = bool if isinstance(argument, bool) else z.dtype
        return np.full(z.shape, argument, dtype)

    for node in reachable(root):
        if node.op in ("z", "input"):
            values[node.index] = z if node.op == "z" else y
        else:
            function = np.where if node.op == "where" else simplify.ufunc_of(np, node.op)
            with np.errstate(all="ignore"):
                values[node.index] = function(*map(full, node.args))
    return values[root.index]


def use(monkeypatch: pytest.MonkeyPatch, rules: Iterable[Rule]) -> None:
    """Simplify and derive by these rules alone."""
    products = {rule.name for rule in derive.PRODUCTS}
    rules = list(rules)
    values = [rule for rule in rules if rule.name not in products]
    monkeypatch.setattr(simplify, "rules_of", simplify.by_operation(values))
    monkeypatch.setattr(derive, "PRODUCTS", [rule for rule in rules if rule.name in products])


# What a rule may change ---------------------------------------------------------------------------
Agrees = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def bits(z: np.ndarray, ours: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """All bits are the same, or both are NaN."""
    integer = f"i{z.itemsize}"
    return (ours.view(integer) == plain.view(integer)) | (np.isnan(ours) & np.isnan(plain))


def but_for_zeros(z: np.ndarray, ours: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """All is the same but for the sign of zeros."""
    return bits(z, ours, plain) | ((ours == 0) & (plain == 0))


def but_for_nan(z: np.ndarray, ours: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """All is the same but where there would be a NaN, and but for the sign of zeros."""
    return but_for_zeros(z, ours, plain) | np.isnan(plain)


def nearly(z: np.ndarray, ours: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """All but the last bits is the same, where neither z nor its powers are extreme."""
    ordinary = (np.abs(z) > 1e-5) & (np.abs(z) < 1e5)
    tolerance = 16 * np.finfo(z.dtype).eps
    with np.errstate(all="ignore"):
        return ~ordinary | np.isclose(ours, plain, rtol=tolerance, atol=0.0, equal_nan=True)


class Example(NamedTuple):
    """An expression on which a rule fires.

    Attributes
    ----------
    expression
        f(z, y), where y is another array.
    words
        What becomes of it and of its slope.
    """

    expression: Callable[..., Any]
    words: list[str]


# For each rule how much stays the same, and examples which together have each of its operations
EXAMPLES: dict[str, tuple[Agrees, list[Example]]] = {
    "where(c, x, x) -> x": (
        bits,
        [
            Example(
                lambda z, y: np.where(z > y, np.sin(z), np.sin(z)),
                ["f(z) = sin(z)", "f'(z) = cos(z)"],
            ),
            Example(
                lambda z, y: np.where(z > y, 2.0, 2.0) * z,
                ["f(z) = 2 * z", "f'(z) = 2"],
            ),
        ],
    ),
    "where(True, x, y) -> x": (
        bits,
        [
            Example(lambda z, y: np.where(True, z, y), ["f(z) = z", "f'(z) = 1"]),
            Example(lambda z, y: np.where(False, y, z * z), ["f(z) = z^2", "f'(z) = 2 * z"]),
        ],
    ),
    "x + 0 -> x": (
        but_for_zeros,
        [
            Example(
                lambda z, y: np.sin(z) + 0.0,
                ["f(z) = sin(z)", "f'(z) = cos(z)"],
            ),
            Example(
                lambda z, y: np.abs(z) - 0.0,
                ["f(z) = absolute(z)", "f'(z) = where(z > 0, 1, -1)"],
            ),
        ],
    ),
    "0 + x -> x": (
        but_for_zeros,
        [
            Example(lambda z, y: 0.0 + np.sin(z), ["f(z) = sin(z)", "f'(z) = cos(z)"]),
            Example(
                lambda z, y: 0.0 - np.abs(z),
                ["f(z) = -absolute(z)", "f'(z) = -where(z > 0, 1, -1)"],
            ),
        ],
    ),
    "x + -y -> x - y": (
        bits,
        [
            Example(lambda z, y: y + -z, ["f(z) = y - z", "f'(z) = -1"]),
            Example(
                lambda z, y: y * z - -np.abs(z),
                ["f(z) = y * z + absolute(z)", "f'(z) = y + where(z > 0, 1, -1)"],
            ),
        ],
    ),
    "-(-x) -> x": (
        bits,
        [
            Example(
                lambda z, y: np.negative(-np.abs(z)),
                ["f(z) = absolute(z)", "f'(z) = where(z > 0, 1, -1)"],
            ),
        ],
    ),
    "-x * y -> -(x * y)": (
        bits,
        [
            Example(lambda z, y: -z * y, ["f(z) = -(z * y)", "f'(z) = -y"]),
            Example(lambda z, y: -y / z, ["t1 = y / z", "f(z) = -t1", "f'(z) = t1 / z"]),
        ],
    ),
    "x * -y -> -(x * y)": (
        bits,
        [
            Example(lambda z, y: y * -z, ["f(z) = -(y * z)", "f'(z) = -y"]),
            Example(lambda z, y: y / -z, ["t1 = y / z", "f(z) = -t1", "f'(z) = t1 / z"]),
            Example(
                lambda z, y: np.abs(z) * -1.0,
                ["f(z) = -absolute(z)", "f'(z) = -where(z > 0, 1, -1)"],
            ),
        ],
    ),
    "x * 1 -> x": (
        bits,
        [
            Example(lambda z, y: z * 1.0, ["f(z) = z", "f'(z) = 1"]),
            Example(
                lambda z, y: np.abs(z) / 1.0,
                ["f(z) = absolute(z)", "f'(z) = where(z > 0, 1, -1)"],
            ),
            Example(lambda z, y: np.sin(z) ** 1.0, ["f(z) = sin(z)", "f'(z) = cos(z)"]),
        ],
    ),
    "1 * x -> x": (
        bits,
        [
            Example(
                lambda z, y: 1.0 * np.abs(z),
                ["f(z) = absolute(z)", "f'(z) = where(z > 0, 1, -1)"],
            ),
            Example(lambda z, y: -1.0 * np.sin(z), ["f(z) = -sin(z)", "f'(z) = -cos(z)"]),
        ],
    ),
    "x * x -> x^2": (
        bits,
        [Example(lambda z, y: z * z, ["f(z) = z^2", "f'(z) = 2 * z"])],
    ),
    "x^0.5 -> sqrt(x)": (
        nearly,
        [Example(lambda z, y: z**0.5, ["f(z) = sqrt(z)", "f'(z) = 0.5 / f(z)"])],
    ),
    "x^3 -> x^2 * x": (
        nearly,
        [
            Example(lambda z, y: z**2.0, ["f(z) = z^2", "f'(z) = 2 * z"]),
            Example(lambda z, y: z**3.0, ["f(z) = z^2 * z", "f'(z) = 2 * z * z + z^2"]),
            Example(
                lambda z, y: z**6.0,
                ["t1 = z^2 * z", "f(z) = t1^2", "f'(z) = 2 * t1 * (2 * z * z + z^2)"],
            ),
            Example(lambda z, y: z**-1.0, ["f(z) = 1 / z", "f'(z) = -(f(z) / z)"]),
            Example(
                lambda z, y: z**-5.0,
                [
                    "t1 = (z^2)^2 * z",
                    "f(z) = 1 / t1",
                    "f'(z) = -(f(z) * (2 * z^2 * (2 * z) * z + (z^2)^2) / t1)",
                ],
            ),
        ],
    ),
    "0 * y -> 0, in a slope": (
        but_for_nan,
        [
            Example(
                lambda z, y: z + y * np.sign(z),
                ["f(z) = z + y * sign(z)", "f'(z) = 1"],
            ),
            Example(
                lambda z, y: z + np.exp(1000.0 * np.sign(z)),
                ["f(z) = z + exp(1000 * sign(z))", "f'(z) = 1"],
            ),
        ],
    ),
    "-x * y -> -(x * y), in a slope": (
        bits,
        [
            Example(
                lambda z, y: np.cos(np.sin(z)),
                ["t1 = sin(z)", "f(z) = cos(t1)", "f'(z) = -(sin(t1) * cos(z))"],
            ),
        ],
    ),
    "where(c, x, 0) * y -> where(c, x * y, 0), in a slope": (
        but_for_nan,
        [
            Example(
                lambda z, y: np.sqrt(np.maximum(z, 0.0)),
                ["f(z) = sqrt(maximum(z, 0))", "f'(z) = where(z > 0, 0.5 / f(z), 0)"],
            ),
            Example(
                lambda z, y: np.minimum(z, 0.0) * y,
                ["f(z) = minimum(z, 0) * y", "f'(z) = where(z <= 0, y, 0)"],
            ),
        ],
    ),
    "x * exp(z) -> where(x == 0, 0, x * exp(z)), in a slope": (
        but_for_nan,
        [
            Example(
                lambda z, y: (z * y) * np.exp(z),
                [
                    "t1 = z * y",
                    "t2 = exp(z)",
                    "f(z) = t1 * t2",
                    "f'(z) = where(y == 0, 0, y * t2) + where(t1 == 0, 0, f(z))",
                ],
            ),
            Example(
                lambda z, y: np.exp(z) * np.exp(z * z),
                [
                    "t1 = exp(z)",
                    "t2 = exp(z^2)",
                    "t3 = 2 * z",
                    "t4 = t2 * t3",
                    "t5 = t1 == 0",
                    "f(z) = t1 * t2",
                    "f'(z) = where(t5 | (t2 == 0), 0, f(z)) "
                    "+ where(t3 == 0, 0, where((t4 == 0) | t5, 0, t4 * t1))",
                ],
            ),
        ],
    ),
}

# The tests ----------------------------------------------------------------------------------------


def test_each_rule_has_examples_and_a_reason() -> None:
    assert list(EXAMPLES) == list(RULES)
    assert len(RULES) == len(simplify.RULES) + len(derive.PRODUCTS)
    for rule in RULES.values():
        assert rule.reason.endswith("."), rule.name


@pytest.mark.parametrize("name", RULES)
def test_a_rule_fires_on_its_examples(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fired = []

    def noting(op: str, *operands: Any) -> Any:
        simpler = RULES[name].rewrite(op, *operands)
        if simpler is not None:
            fired.append(op)
        return simpler

    noted = RULES[name]._replace(rewrite=noting)
    use(monkeypatch, [noted if rule.name == name else rule for rule in RULES.values()])
    before = 0
    for expression, words in EXAMPLES[name][1]:
        value, slope = traced(expression)
        assert lines({"f(z)": value, "f'(z)": slope}) == words
        assert len(fired) > before, words
        before = len(fired)
    assert set(fired) == set(RULES[name].ops)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_changes_what_it_says_and_nothing_else(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    agrees, examples = EXAMPLES[name]
    changed = 0
    for expression, words in examples:
        with_rule = traced(expression)
        with monkeypatch.context() as patch:
            use(patch, [rule for rule in RULES.values() if rule.name != name])
            without_rule = traced(expression)
        for dtype in (np.float32, np.float64):
            z, y = np.meshgrid(points(dtype), points(dtype))
            for ours, plain in zip(with_rule, without_rule, strict=True):
                a = computed(ours, z, y)
                b = computed(plain, z, y)
                wrong = ~agrees(z, a, b)
                assert not wrong.any(), (words, z[wrong], y[wrong], a[wrong], b[wrong])
                changed += np.sum(~bits(z, a, b))
    assert (changed > 0) == (RULES[name].changes != "")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_small_powers_are_right_over_the_whole_range(dtype: type) -> None:
    kind = np.finfo(dtype)
    z = points(dtype)
    for power in (-6, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6):
        ours = computed(traced(lambda z, y, power=power: z ** float(power))[0], z, z)
        with np.errstate(all="ignore"):
            exact = z.astype(np.longdouble) ** power
            rounded = exact.astype(dtype)
            size = np.abs(exact)
            normal = (size >= kind.smallest_normal * 4) & (size <= kind.max / 4)
            normal |= ~np.isfinite(exact) | (z == 0)
            np.testing.assert_allclose(ours[normal], rounded[normal], rtol=4 * kind.eps, atol=0)
            # Beyond, it may be 0 or infinite a little early.
            np.testing.assert_array_less(np.abs(ours[size < kind.smallest_normal]), 1e-37)
            np.testing.assert_array_less(1e37, np.abs(ours[size > kind.max]))


def test_zeros_of_two_signs_stay_apart() -> None:
    """They are equal numbers, and not the same branch."""
    z = np.array([-1.0, 1.0])
    value, _ = traced(lambda z, y: 1.0 / np.where(z > 0.0, 0.0, -0.0))
    np.testing.assert_array_equal(computed(value, z, z), [-np.inf, np.inf])
