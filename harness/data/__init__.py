"""Data sets: arrays and files of users become a Dataset, which is split, encoded and scaled.

    data = load("mnist")
    data = load("my.csv", label="species")
    train_rows, valid_rows = split(data, valid=0.3, seed=1)

A value walks through the files of this folder in this order:

paths, csv_format, table_files    a file on disk becomes a pandas table
frames, columns, reading          arrays and tables become a Table of numbers and texts (table)
labels, task, targets             y is read, is classification or regression, becomes numbers
missing                           what is missing, and what is put in its place
arrays, tables, npz, idx          each way to a data set: arrays, csv and parquet, npz, IDX folders
assemble, dataset, dataset_checks table and targets become a Dataset, which is checked
validation, weights               what a user brings beside the training part
loading                           load: from a path or a name to a Dataset
splitting                         the rows to train on, and those for validation
encoding, scaling, fitted         features are encoded and scaled as the training part decides

Training makes batches of the result. Plugins and users import the names below; everything else in
this folder is private and may move.
"""

# Importing these files registers their data sets.
from harness.data import idx, npz, tables  # noqa: F401
from harness.data.arrays import from_arrays
from harness.data.dataset import Dataset
from harness.data.loading import load
from harness.data.splitting import split
from harness.data.targets import indicator
from harness.data.validation import with_validation
from harness.data.weights import with_weights

__all__ = [
    "Dataset",
    "from_arrays",
    "indicator",
    "load",
    "split",
    "with_validation",
    "with_weights",
]
