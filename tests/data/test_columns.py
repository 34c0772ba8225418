"""What a column is has been decided where the network learned: its name, its texts, its marks, in
every later table.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from harness import Config, Model, mlp
from harness.cli import main
from harness.data import from_arrays, load, with_validation
from harness.data.reading import read_table
from harness.errors import UsageError
from harness.trials.identity import begin_with_data_as_they_are, data_digest, identity

ROWS = 40
Y = np.array(["p", "q"] * 20)
TEXTS: dict[str, list[Any]] = {
    "truths": ["True", "False", "maybe", "True"] * 10,
    "dates": ["2020-01", "2020-02", "unknown", "unknown"] * 10,
    "decimal commas": ["1,5", "2,5", "small", "large"] * 10,
    "codes": ["01", "1", "x", "02"] * 10,
}


def table(texts: Any) -> pd.DataFrame:
    return pd.DataFrame({"number": np.random.default_rng(0).normal(size=ROWS) * 3, "text": texts})


def net(**more: Any) -> Model:
    config: dict[str, Any] = {
        "layers": mlp([None, 4, 2]),
        "batch": 8,
        "film": None,
        "valid": 0.0,
        "epochs": 2,
    }
    return Model(**{**config, **more})


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("named", [True, False])
def test_a_row_alone_is_read_as_in_the_table_that_it_comes_from(kind, named):
    x = table(TEXTS[kind])
    given = x if named else x.to_numpy(dtype=object)
    network = net().fit(given, Y)
    together = network.predict_proba(given)
    alone = np.concatenate([network.predict_proba(given[k : k + 1]) for k in range(ROWS)])
    np.testing.assert_allclose(alone, together, rtol=1e-5)


def test_truth_values_and_dates_find_the_texts_of_a_category():
    for values in ([True, False] * 20, list(pd.to_datetime(["2020-01-01", "2020-01-02"] * 20))):
        network = net().fit(table(pd.Categorical(values)), Y)
        assert network.score(table(values), Y) == network.score(table(pd.Categorical(values)), Y)
        np.testing.assert_array_equal(
            network.predict_proba(table(values)),
            network.predict_proba(table(pd.Categorical(values))),
        )
        first = network.predict_proba(table(values))
        other = network.predict_proba(table(values[1:] + values[:1]))
        assert (first != other).any()  # the two texts are told apart


@pytest.mark.parametrize("kind", TEXTS)
def test_other_parts_are_read_as_the_training_part(kind, tmp_path):
    x = table(TEXTS[kind])
    some = slice(0, ROWS, 4)
    made = from_arrays("mine", x, Y, x[some], Y[some])
    assert (made.x_test == made.x[some]).all()
    assert made.texts is not None
    assert set(made.texts[1] or ()) == set(TEXTS[kind])
    joined = with_validation(from_arrays("mine", x, Y), x[some], Y[some])
    assert (joined.x[ROWS:] == made.x[some]).all()
    assert joined.texts == made.texts
    x.assign(y=Y).to_csv(tmp_path / "train.csv", index=False)
    x[some].assign(y=Y[some]).to_csv(tmp_path / "other.csv", index=False)
    other = str(tmp_path / "other.csv")
    read = load(str(tmp_path / "train.csv"), label="y", test=other, valid=other)
    assert read.texts == made.texts
    assert (read.x_test == made.x_test).all()
    assert (read.x[ROWS:] == made.x_test).all()


NAMES = {
    "of pandas": [0, 1, 2],
    "numbers": [5, 6, 7],
    "mixed": ["a", 3, 4.5],
    "MultiIndex": pd.MultiIndex.from_tuples([("u", 1), ("u", 2), ("v", 1)]),
}


@pytest.mark.parametrize("kind", NAMES)
def test_columns_of_names_of_any_type_are_found_by_them(kind):
    x = pd.DataFrame(np.random.default_rng(0).normal(size=(ROWS, 3)) * [1, 10, 100]).set_axis(
        NAMES[kind], axis=1
    )
    network = net().fit(x, Y)
    expected = network.predict_proba(x)
    assert (network.predict_proba(x.iloc[:, [2, 0, 1]]) == expected).all()
    assert (network.predict_proba(x.to_numpy()) == expected).all()
    other = from_arrays("mine", x, Y, x.iloc[:, [2, 0, 1]], Y)
    assert (other.x_test == other.x).all()


def test_columns_of_one_name_are_refused_whatever_its_type():
    x = np.zeros((ROWS, 2))
    for names in ([0, 0], ["a", "a"], [3, "3"], [np.nan, np.nan]):
        with pytest.raises(UsageError, match="names of the columns must differ"):
            read_table(pd.DataFrame(x, columns=names), "x")


def test_lists_of_masked_rows_and_of_large_numbers_keep_what_they_say():
    rows = [np.ma.masked_equal([1.0, -999.0], -999.0)] * ROWS
    with pytest.raises(UsageError, match="missing"):
        net().fit(rows, Y)
    assert np.isnan(read_table(rows, "x").values[:, 1]).all()
    large = [2**63 + 1, 2**63 + 2, -1, -1] * 10
    assert len(from_arrays("mine", np.ones((ROWS, 1)), large).classes) == 3
    with pytest.raises(UsageError, match="inf in row 0, column 'a'"):
        net().fit(pd.DataFrame({"a": [10**400] * ROWS}, dtype=object), Y)


@pytest.mark.parametrize("labels", [pd.date_range("2020", periods=ROWS), np.arange(ROWS) * 1j])
def test_labels_that_are_neither_numbers_nor_texts_are_refused_in_files_too(labels, tmp_path):
    with pytest.raises(UsageError, match="labels must be whole numbers, truth values or strings"):
        from_arrays("mine", np.ones((ROWS, 1)), labels)
    if labels.dtype.kind != "c":
        pd.DataFrame({"a": 1.0, "y": labels}).to_parquet(tmp_path / "a.parquet")
        with pytest.raises(UsageError, match="labels must be"):
            load(str(tmp_path / "a.parquet"), label="y")


def test_numbers_with_commas_are_no_classes(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a;y\n" + "".join(f"{k};{k},5\n" for k in range(ROWS)))
    with pytest.raises(UsageError, match=r'labels must be classes or numbers, got .*decimal=","'):
        load(str(path), label="y")
    assert load(str(path), label="y", decimal=",").task == "regression"
    assert len(load(str(path), label="y", task="classification").classes) == ROWS


def test_a_question_mark_among_numbers_is_an_empty_cell_and_among_texts_a_text(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a, b, y\n" + "1, u, p\n?, ?, q\n3, v, p\n" * 10)
    with pytest.raises(UsageError, match=r"x is missing .* row 1, column 'a'"):
        load(str(path), label="y")
    made = load(str(path), label="y", missing="mean")
    assert made.texts == (None, ("?", "u", "v"))
    assert np.isnan(made.x[1, 0])
    assert made.classes == ("p", "q")
    assert any("'?' in a" in note for note in made.notes)


def test_blanks_after_commas_and_utf_16_are_no_part_of_a_cell(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b,y\n" + "1, u, p\n2, v, q\n" * 10)
    assert load(str(path), label="y").classes == ("p", "q")
    path.write_text("a,b,y\n" + "1, u,p\n2,v,q\n" * 10)  # not everywhere: it is written
    assert load(str(path), label="y").texts == (None, (" u", "v"))
    path.write_text("a,b,y\n" + "1,u,p\n2,v,q\n" * 10, encoding="utf-16")
    made = load(str(path), label="y")
    assert made.classes == ("p", "q")
    assert made.notes == ("the text is UTF-16",)


def test_the_table_that_is_predicted_may_be_written_otherwise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = table(["u", "v"] * 20).assign(y=Y)
    x.to_csv("train.csv", index=False)
    x.to_csv("other.csv", index=False, sep=";", decimal=",")
    x.assign(y=None).to_csv("blank.csv", index=False)
    run = CliRunner().invoke
    asked = [
        "run",
        "--data",
        "train.csv",
        "--label",
        "y",
        "--batch",
        "8",
        "--epochs",
        "1",
        "--save",
        "m",
        "--no-log",
    ]
    assert run(main, asked).exit_code == 0
    expected = run(main, ["predict", "m", "train.csv"]).stdout
    assert run(main, ["predict", "m", "other.csv", "--decimal", ","]).stdout == expected
    # Where there are labels they stand before the predictions, and these have none.
    unlabelled = run(main, ["predict", "m", "blank.csv"]).stdout
    assert unlabelled.split() == [line.split(",")[-1] for line in expected.split()]
    refused = run(main, ["predict", "m", "other.csv"])
    assert refused.exit_code == 2
    assert "--decimal ," in refused.output
    assert "drop" not in refused.output


def test_a_changed_file_is_noticed_though_its_size_and_time_are_as_before(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_text("a,y\n" + "1,p\n2,q\n" * 10)
    config = Config(layers=["dense(2)"], data={"name": "csv", "path": str(path), "label": "y"})
    begin_with_data_as_they_are()
    before = identity(config), data_digest(config)
    stat = path.stat()
    path.write_text("a,y\n" + "3,p\n2,q\n" * 10)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert identity(config) != before[0]
    assert data_digest(config) == before[1], (
        "a sweep in progress keeps to the data that it began with"
    )
    begin_with_data_as_they_are()
    assert data_digest(config) != before[1]


def test_columns_to_leave_out_and_their_number_are_checked(tmp_path):
    path: Path = tmp_path / "a.csv"
    path.write_text("a,b,y\n" + "1,u,p\n2,v,q\n" * 10)
    assert load(str(path), label="y", drop=None).features == ("a", "b")
    for wrong in ({"drop": 3}, {"max_texts": "many"}, {"max_texts": 0}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            load(str(path), label="y", **wrong)
