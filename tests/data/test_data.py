"""Data sets: what is shipped, what a Dataset promises, what load finds."""

import hashlib
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from refusals import refusal

import harness.data
from harness import registry
from harness.builtin import datasets as builtin
from harness.data import Dataset, from_arrays, load

X = np.arange(24, dtype=np.float32).reshape(6, 4)
Y = np.array([0, 1, 2, 0, 1, 2])


def test_every_public_name_is_explained():
    assert set(harness.data.__all__) >= {"Dataset", "from_arrays", "load", "split"}
    for name in harness.data.__all__:
        assert getattr(harness.data, name).__doc__, name


# What is shipped ----------------------------------------------------------------------------------


def test_mnist_is_mnist():
    data = load("mnist")
    assert (data.x.shape, data.x.dtype, data.y.shape, data.y.dtype) == (
        (60000, 784),
        np.uint8,
        (60000,),
        np.int64,
    )
    assert data.x_test is not None
    assert data.y_test is not None
    assert (data.x_test.shape, data.y_test.shape) == ((10000, 784), (10000,))
    assert data.classes == tuple("0123456789")
    assert (data.shape, data.task) == ((28, 28), "classification")
    assert data.y[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    assert data.y_test[:8].tolist() == [7, 2, 1, 0, 4, 1, 4, 9]
    assert np.bincount(data.y).tolist() == [
        5923,
        6742,
        5958,
        6131,
        5842,
        5421,
        5918,
        6265,
        5851,
        5949,
    ]
    # The published mean and standard deviation of the training pixels are 0.1307 and 0.3081.
    mean = data.x.mean() / 255
    assert mean == pytest.approx(0.1307, abs=5e-5)
    squares = (
        np.bincount(data.x.ravel(), minlength=256) @ (np.arange(256.0) / 255) ** 2 / data.x.size
    )
    assert np.sqrt(squares - mean**2) == pytest.approx(0.3081, abs=5e-5)
    # The files as published, not as compressed here.
    header = bytes.fromhex("00000803 0000ea60 0000001c 0000001c")
    published = "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    assert hashlib.sha256(header + data.x.tobytes()).hexdigest() == published
    assert data.digest == "7b3bf0dd4207df8c0966946cc9ae1be2edd7b754b2788d05d0b437712d6eab58"


def test_rows_of_mnist_are_its_first_rows():
    data = load("mnist")
    few = load("mnist", rows=100)
    np.testing.assert_array_equal(few.x, data.x[:100])
    np.testing.assert_array_equal(few.y, data.y[:100])
    np.testing.assert_array_equal(few.y_test, data.y_test)
    for bad in (0, -1, 60001, 1.5, True, "all"):
        with refusal("in [1, 60000]", repr(bad)):
            load("mnist", rows=bad)


@pytest.mark.parametrize("file", sorted(builtin.SHA256))
def test_a_flipped_byte_is_refused(file, tmp_path, monkeypatch):
    shutil.copytree(builtin.FOLDER, tmp_path / "mnist")
    raw = bytearray((tmp_path / "mnist" / file).read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / "mnist" / file).write_bytes(raw)
    monkeypatch.setattr(builtin, "FOLDER", tmp_path / "mnist")
    with refusal(file, "SHA-256", "reinstall"):
        builtin.mnist()
    (tmp_path / "mnist" / file).unlink()
    with refusal(file, "reinstall"):
        builtin.mnist()


def test_mnist14_is_mnist_pooled():
    data = load("mnist14")
    full = load("mnist")
    assert data.x_test is not None
    assert full.x_test is not None
    assert (data.x.shape, data.x_test.shape, data.shape) == ((2000, 196), (1000, 196), (14, 14))
    one = full.x[7].reshape(28, 28).astype(int)
    for r, c in ((3, 5), (7, 7), (10, 6)):
        mean = one[2 * r : 2 * r + 2, 2 * c : 2 * c + 2].mean()
        assert data.x[7].reshape(14, 14)[r, c] == int(mean + 0.5)
    np.testing.assert_array_equal(data.y, full.y[:2000])


def test_friedman1_is_its_formula():
    data = load("friedman1(rows=4000, seed=3)")
    assert (data.x.shape, data.y.shape, data.x.dtype, data.y.dtype) == (
        (4000, 10),
        (4000, 1),
        np.float32,
        np.float32,
    )
    assert (data.task, data.classes) == ("regression", ())
    a, b, c, d, e = data.x.T[:5].astype(float)
    noise = data.y[:, 0] - (10 * np.sin(np.pi * a * b) + 20 * (c - 0.5) ** 2 + 10 * d + 5 * e)
    assert abs(noise.mean()) < 0.06
    assert noise.std() == pytest.approx(1, abs=0.05)
    assert (
        builtin.friedman1(seed=3).digest
        == builtin.friedman1(seed=3).digest
        != builtin.friedman1(seed=4).digest
    )
    with refusal("seed", "-1"):
        builtin.friedman1(seed=-1)


# The Dataset --------------------------------------------------------------------------------------


def test_arrays_are_read_only_and_the_callers_stay_writeable():
    x = X.copy()
    data = Dataset("toy", x, Y, tuple("rst"), x_test=x, y_test=Y)
    for made in (data, from_arrays("toy", x, Y, x, Y), pickle.loads(pickle.dumps(data))):
        for array in (made.x, made.y, made.x_test, made.y_test):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0
    x[0, 0] = 5
    with pytest.raises(AttributeError):
        data.x = x  # type: ignore[misc]


def test_the_digest_knows_content_and_not_the_name():
    base = from_arrays("a", X, Y, X, Y, classes=["r", "s", "t"])
    assert base.digest == from_arrays("b", X.copy(), Y, X, Y, classes=["r", "s", "t"]).digest
    assert base.digest == pickle.loads(pickle.dumps(base)).digest
    other = X.copy()
    other[5, 3] = -1
    digests = {
        base.digest,
        from_arrays("a", other, Y, X, Y, classes=["r", "s", "t"]).digest,
        from_arrays("a", X, Y[::-1], X, Y, classes=["r", "s", "t"]).digest,
        from_arrays("a", X, Y, other, Y, classes=["r", "s", "t"]).digest,
        from_arrays("a", X, Y, X, Y[::-1], classes=["r", "s", "t"]).digest,
        from_arrays("a", X, Y, classes=["r", "s", "t"]).digest,
        from_arrays("a", X, Y, X, Y, classes=["r", "s", "u"]).digest,
        from_arrays("a", X.astype(float), Y, X, Y, classes=["r", "s", "t"]).digest,
        from_arrays("a", X.reshape(6, 2, 2)[:, :, :1], Y).digest,
    }
    assert len(digests) == 9


@pytest.mark.parametrize(
    ("y", "classes", "labels"),
    [
        ([7, -3, 7, 10, -3, 10], ("-3", "7", "10"), [1, 0, 1, 2, 0, 2]),
        (["b", "a", "b", "c", "a", "c"], ("a", "b", "c"), [1, 0, 1, 2, 0, 2]),
        ([2.0, 1.0, 2.0, 1.0, 1.0, 2.0], ("1", "2"), [1, 0, 1, 0, 0, 1]),
        ([True, False, True, False, False, True], ("False", "True"), [1, 0, 1, 0, 0, 1]),
        (np.array(["b", "a", "b", "a", "a", "b"], dtype=object), ("a", "b"), [1, 0, 1, 0, 0, 1]),
        (np.array([[1], [0], [1], [0], [0], [1]]), ("0", "1"), [1, 0, 1, 0, 0, 1]),
    ],
)
def test_labels_become_consecutive(y, classes, labels):
    data = from_arrays("toy", X, y, X[:2], np.asarray(y)[:2])
    assert (data.classes, data.y.tolist(), data.task) == (classes, labels, "classification")
    assert data.y_test is not None
    assert (data.y.dtype, data.y_test.dtype, data.y_test.tolist()) == (
        np.int64,
        np.int64,
        labels[:2],
    )


def test_fractions_are_a_regression():
    y = np.array([0.5, 1, 2, 3, 4, 5])
    data = from_arrays("toy", X, y)
    assert (data.task, data.y.shape, data.y.dtype, data.classes) == (
        "regression",
        (6, 1),
        np.float64,
        (),
    )
    assert from_arrays("toy", X, np.stack([y, y], 1).astype(np.float32)).y.shape == (6, 2)
    whole = from_arrays("toy", X, Y, task="regression")
    assert whole.y.tolist() == [[0], [1], [2], [0], [1], [2]]
    assert from_arrays("toy", X, [0.5, 1.5, 0.5, 1.5, 1.5, 0.5], task="classification").classes == (
        "0.5",
        "1.5",
    )


def test_features_keep_their_value_and_become_a_known_type():
    def kind(x: np.ndarray, **options: object) -> np.dtype:
        data = from_arrays("toy", x, Y, **options)  # type: ignore[arg-type]
        np.testing.assert_array_equal(data.x, x.reshape(6, -1))
        assert data.x.flags.c_contiguous
        return data.x.dtype

    whole = X.astype(np.int64)
    assert kind(X) == np.float32
    assert kind(X.astype(">f8")) == np.float64
    assert kind(X.astype(np.float16)) == np.float32
    assert kind(np.asfortranarray(X)) == np.float32
    assert kind(X.astype(np.uint8)) == np.uint8
    assert kind(whole) == np.float32
    assert kind(whole, shape=(2, 2)) == np.uint8
    assert kind(-whole, shape=(2, 2)) == np.float32
    # 2**24 + 1 is the first whole number that float32 lacks
    assert kind(whole + 2**24) == np.float64
    assert kind(whole > 3) == np.float32
    assert from_arrays("toy", whole.reshape(6, 2, 2), Y).shape == (2, 2)
    assert from_arrays("toy", whole.reshape(6, 2, 1, 2), Y).x.shape == (6, 4)


def spoiled(row: int, column: int, value: float) -> np.ndarray:
    x = X.copy()
    x[row, column] = value
    return x


@pytest.mark.parametrize(
    ("words", "make"),
    [
        (("nan", "row 4", "column 2"), lambda: from_arrays("toy", spoiled(4, 2, np.nan), Y)),
        (
            ("-inf", "row 1", "'size'"),
            lambda: from_arrays("toy", spoiled(1, 0, -np.inf), Y, features=["size", *"abc"]),
        ),
        (("x_test", "nan", "row 0"), lambda: from_arrays("toy", X, Y, spoiled(0, 0, np.nan), Y)),
        (("y", "nan", "row 2"), lambda: from_arrays("toy", X, [0, 1, np.nan, 0, 1, 2])),
        (("y", "inf", "row 2"), lambda: from_arrays("toy", X, [0.5, 1, np.inf, 0, 1, 2])),
        (("(rows, features)", "(6,)", "reshape"), lambda: from_arrays("toy", X[:, 0], Y)),
        (("6 rows", "5"), lambda: from_arrays("toy", X, Y[:5])),
        (("at least one row", "(0, 4)"), lambda: from_arrays("toy", X[:0], Y[:0])),
        (("at least one", "(6, 0)"), lambda: from_arrays("toy", X[:, :0], Y)),
        (("two classes", "'1'"), lambda: from_arrays("toy", X, np.ones(6, int))),
        (
            ("two classes", "'s'"),
            lambda: from_arrays("toy", X, np.ones(6, int), classes=["r", "s"]),
        ),
        (
            ("0..2", "-1", "row 3"),
            lambda: from_arrays("toy", X, [0, 1, 2, -1, 1, 2], classes=["r", "s", "t"]),
        ),
        (("0..1", "got 2", "row 2"), lambda: from_arrays("toy", X, Y, classes=["r", "s"])),
        (
            ("y_test", "0..2", "got 3"),
            lambda: from_arrays("toy", X, Y, X, Y + 1, classes=["r", "s", "t"]),
        ),
        (("differ",), lambda: from_arrays("toy", X, Y, classes=["r", "s", "s"])),
        (
            ("positions", "<U1"),
            lambda: from_arrays("toy", X, list("rstrst"), classes=["r", "s", "t"]),
        ),
        (
            ("classes of the training", "'9'", "test row 1"),
            lambda: from_arrays("toy", X, Y, X[:2], [0, 9]),
        ),
        (("(4,)", "(3,)"), lambda: from_arrays("toy", X, Y, X[:, :3], Y)),
        (("both x_test and y_test",), lambda: from_arrays("toy", X, Y, X)),
        (
            ("y_test", "(1,)", "(2,)"),
            lambda: from_arrays("toy", X, Y / 2, X, np.ones((6, 2)) / 2, task="regression"),
        ),
        (("shape (3, 3)", "4"), lambda: from_arrays("toy", X, Y, shape=(3, 3))),
        (("(rows, cols)", "7"), lambda: from_arrays("toy", X, Y, shape=7)),  # type: ignore[arg-type]
        (("4 features", "got 1"), lambda: from_arrays("toy", X, Y, features=["one"])),
        (("numbers", "<U1"), lambda: from_arrays("toy", np.array([list("abcd")] * 6), Y)),
        (("one length",), lambda: from_arrays("toy", [[1, 2], [3]], [0, 1])),
        (("argmax",), lambda: from_arrays("toy", X, np.eye(6, 3, dtype=int))),
        (
            ("regression needs numbers",),
            lambda: from_arrays("toy", X, list("rstrst"), task="regression"),
        ),
        (("task", "'sorting'"), lambda: from_arrays("toy", X, Y, task="sorting")),
        (
            ("60 different whole numbers", 'task="regression"'),
            lambda: from_arrays("toy", np.ones((60, 2)), np.arange(60)),
        ),
        (("int64", "float64"), lambda: Dataset("toy", X, Y.astype(float), ("r", "s", "t"))),
        (("int64", "int32"), lambda: Dataset("toy", X, Y.astype(np.int32), ("r", "s", "t"))),
        (
            ("uint8, float32 or float64", "int64"),
            lambda: Dataset("toy", X.astype(int), Y, ("r", "s", "t")),
        ),
    ],
)
def test_bad_arrays_are_refused(words: tuple[str, ...], make: Callable[[], Dataset]):
    with refusal("toy", *words):
        make()


# load ---------------------------------------------------------------------------------------------


def test_load_caches_until_the_file_changes(tmp_path):
    assert load("mnist14") is load({"name": "mnist14"}) is load("mnist14()")
    assert load("mnist14") is load(load("mnist14"))
    path = tmp_path / "toy.npz"
    np.savez(path, x=X, y=Y)
    first = load(path)
    assert load(str(path)) is first is load(f'npz(path="{path}")')
    stat = path.stat()
    np.savez(path, x=X + 1, y=Y)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert load(path).x[0, 0] == 1


def test_relative_paths_belong_to_their_folder(tmp_path, monkeypatch):
    for name, x in (("one", X), ("two", X + 1)):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "toy.npz", x=x, y=Y)
        os.utime(tmp_path / name / "toy.npz", ns=(10**18, 10**18))
        monkeypatch.chdir(tmp_path / name)
        assert load("toy.npz").x[0, 0] == x[0, 0]


def test_a_registered_name_wins_over_a_folder(tmp_path, monkeypatch):
    (tmp_path / "mnist14").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load("mnist14").shape == (14, 14)


def test_load_refuses_what_it_does_not_know(tmp_path):
    (tmp_path / "toy.txt").write_text("1 2 3")
    for spec in (str(tmp_path / "toy.txt"), tmp_path / "toy.txt", "no/such/folder"):
        with refusal(".npz, .csv or .parquet", Path(spec).name):
            load(spec)
    with refusal("'mnits'", "did you mean 'mnist'"):
        load("mnits")
    with refusal("'row'", "did you mean 'rows'"):
        load("mnist(row=3)")
    with refusal("loaded already", "rows"):
        load(load("mnist14"), rows=3)
    with refusal("got 3"):
        load(3)


def test_a_registered_data_set(monkeypatch):
    registry.load_entry_points()  # once in a process: not into the copy that goes with this test

    @registry.dataset("toy")
    def toy(shift: float = 0.0) -> Dataset:
        return from_arrays("toy", X + shift, Y)

    @registry.dataset("broken")
    def broken() -> Callable[[], None]:
        return lambda: None

    assert load("toy(shift=2)").x[0, 0] == 2
    assert load("toy", shift=3).x[0, 0] == 3
    with refusal("'broken'", "must return", "from_arrays"):
        load("broken")
