"""Networks that are kept, and their models in MLflow: what gc, doctor and sync do about them."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stores import disconnect

from harness import Config, load_model, mlp
from harness.maintenance import gc
from harness.maintenance.doctor import doctor
from harness.maintenance.sync import sync
from harness.storage.networks import NetworkFolder
from harness.storage.spool import Spool
from harness.studies.books import folder_of
from harness.studies.networks import export_again
from harness.studies.result import Result
from harness.studies.sweep import Sweep
from harness.tracking.connect import client_for, store_uri
from harness.tracking.model import models_of

NAME = "kept well"
RATES = [0.01, 0.5, 0.1]


def space(trial: Any) -> Config:
    rate = trial.suggest_categorical("rate", RATES)
    layers = mlp([196, 8, 10])
    return Config(
        data="mnist14(rows=300)", layers=layers, update=f"sgd({rate})", epochs=1, film=None
    )


def sweep() -> Sweep:
    points = [{"rate": rate} for rate in RATES]
    return Sweep(space, NAME, trials=3, enqueue=points, sampler="RandomSampler")


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Result]]:
    """A root with a sweep that has finished, to be copied."""
    root = tmp_path_factory.mktemp("swept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_ROOT", str(root))
        result = sweep().run()
        disconnect()
        yield root, result


@pytest.fixture
def study(swept: tuple[Path, Result], root: Path) -> Path:
    """The folder of a copy of the sweep, in a root of its own."""
    shutil.copytree(swept[0] / "mlruns", root / "mlruns")
    assert doctor(say=_quiet)  # the store follows its move
    return folder_of("sweep", NAME)


def _quiet(line: str) -> None:
    pass


def models() -> list[Any]:
    client = client_for(store_uri())
    (experiment,) = client.search_experiments(filter_string="name = 'harness'")
    runs = client.search_runs([experiment.experiment_id])
    found = []
    for run in runs:
        found += models_of(client, experiment.experiment_id, run.info.run_id)
    return found


def said(command: Callable[..., bool], **options: Any) -> tuple[bool, str]:
    lines: list[str] = []
    return command(say=lines.append, **options), "\n".join(lines)


def test_what_networks_take_is_told(study: Path) -> None:
    (usage,) = (each for each in gc.usage() if each.name == NAME)
    (kept,) = (study / "networks").glob("*.npz")
    assert usage.networks == kept.stat().st_size > 1000
    (models,) = (each for each in gc.usage() if each.name == "(models)")
    files = [path for path in (study.parents[1] / "artifacts/models").rglob("*") if path.is_file()]
    assert models.networks == sum(path.stat().st_size for path in files) > kept.stat().st_size


def test_networks_that_no_trial_needs_can_go(study: Path, swept: tuple[Path, Result]) -> None:
    best = swept[1].best
    assert best is not None
    networks = NetworkFolder(study)
    network = networks.read(best.result.digest)
    assert network is not None
    assert gc.old_networks() == []
    (beaten, *_) = (run for run in swept[1].trials if run.number != best.number)
    networks.keep(beaten.result.digest, network)
    networks.keep("0123456789abcdef", network)
    # A crash may have come between a network that was handed over and the record of its trial.
    networks.give("nobody", best.result.digest, export_again(network, "nobody", "0" * 16))
    old = gc.old_networks(say=_quiet)
    assert {path.stem for path in old[:2]} == {beaten.result.digest, "0123456789abcdef"}
    assert old[2:] == networks.waiting()
    assert gc.delete(old) > 2 * len(network)
    assert load_model(f"{NAME}#{best.number}").config.digest() == best.result.config


@pytest.mark.parametrize("how", ["files", "all of it"])
def test_a_model_that_mlflow_has_lost_is_logged_again(
    study: Path, swept: tuple[Path, Result], how: str
) -> None:
    before = models()
    assert len(before) == 2  # of the best trial and of the sweep
    lost = before[0]
    if how == "files":
        shutil.rmtree(lost.artifact_location)
    else:
        client_for(store_uri()).delete_logged_model(lost.model_id)
    is_well, text = said(doctor, dry=True)
    assert not is_well
    assert f"to repair: {NAME}: log 1 model again that MLflow has lost" in text
    assert len(models()) == (2 if how == "files" else 1)
    is_well, text = said(doctor)
    assert is_well
    assert re.search(rf"repaired: {NAME}: 1 model that MLflow had lost, made again", text)
    assert re.search(rf"repaired: {NAME}: sent 1 model that waited", text)
    after = models()
    assert {model.source_run_id for model in after} == {model.source_run_id for model in before}
    assert all((Path(model.artifact_location) / "MLmodel").is_file() for model in after)
    assert said(doctor)[0]
    assert "all is well" in said(doctor, dry=True)[1]


def test_sync_sends_models_too(study: Path) -> None:
    client_for(store_uri()).delete_logged_model(models()[0].model_id)
    is_done, text = said(sync)
    assert is_done
    assert f"{NAME}: 1 model sent" in text
    assert len(models()) == 2
    assert f"{NAME}:" not in said(sync)[1]


def test_without_its_network_a_model_that_is_lost_is_told(
    study: Path, swept: tuple[Path, Result]
) -> None:
    for model in models():
        client_for(store_uri()).delete_logged_model(model.model_id)
    for path in (study / "networks").glob("*.npz"):
        os.remove(path)
    is_well, text = said(doctor)
    assert is_well
    assert f"note: {NAME}: MLflow has lost 2 models, whose networks are not kept" in text
    # Starting the sweep again trains the best one once more, and makes its models.
    sweep().run()
    assert said(sync)[0]
    assert len(models()) == 2
    assert len(Spool(study / "spool")) == 4
