"""The idiom that a user would write by hand, beside which the harness is set.

Optuna's `study.optimize` on sqlite, an eager PyTorch loop, MLflow's fluent calls on sqlite, one
process for each core. It is written as its tutorials write it, and for speed where that is free:
the data are tensors in memory, batches are slices of a permutation, one thread a process, metrics
are logged once an epoch in one call. Each process opens the same study.

    python tests/idiom.py FOLDER SHAPE TRIALS PROCESSES
"""

import multiprocessing
import sys
from itertools import pairwise
from pathlib import Path

SHAPES = {
    "784-100-50-10": {"data": "mnist", "epochs": 3, "batch": 100},
    "64-32-10": {"data": "digits", "epochs": 10, "batch": 32},
}


def arrays(shape):
    """The data that both sides train on: bytes of pixels and the classes."""
    if SHAPES[shape]["data"] == "mnist":
        from harness.registry.products import make

        data = make("dataset", "mnist")
        return data.x, data.y
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return x.astype("uint8"), y


def train(shape, rate, x, y, rows, log):
    """One trial; `rows` are those of training and of validation."""
    import torch

    sizes = [int(n) for n in shape.split("-")]
    batch = SHAPES[shape]["batch"]
    layers = []
    for i, o in pairwise(sizes):
        layers += [torch.nn.Linear(i, o), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(network.parameters(), lr=rate)
    loss_of = torch.nn.CrossEntropyLoss()
    training, validation = rows
    accuracy = 0.0
    for epoch in range(1, SHAPES[shape]["epochs"] + 1):
        total = 0.0
        order = training[torch.randperm(len(training))]
        for index in order.split(batch):
            optimizer.zero_grad()
            loss = loss_of(network(x[index]), y[index])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(index)
        with torch.no_grad():
            outputs = network(x[validation])
            valid_loss = loss_of(outputs, y[validation]).item()
            accuracy = (outputs.argmax(1) == y[validation]).float().mean().item()
        metrics = {
            "train/loss": total / len(training),
            "valid/loss": valid_loss,
            "valid/accuracy": accuracy,
        }
        log(metrics, epoch)
    return accuracy, network


def worker(folder, shape, trials):
    """One process: its share of the trials of the study."""
    import mlflow
    import optuna
    import torch

    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.set_experiment("idiom")
    pixels, classes = arrays(shape)
    x = torch.from_numpy(pixels).float() / float(pixels.max())
    y = torch.from_numpy(classes).long()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    cut = len(x) // 5
    rows = order[cut:], order[:cut]

    def objective(trial):
        rate = trial.suggest_float("rate", 0.03, 1.0, log=True)
        with mlflow.start_run(run_name=f"#{trial.number}"):
            mlflow.log_params({"rate": rate, "shape": shape, **SHAPES[shape]})
            accuracy, network = train(shape, rate, x, y, rows, mlflow.log_metrics)
            torch.save(network.state_dict(), Path(folder) / f"{trial.number}.pt")
            return accuracy

    study = optuna.load_study(study_name="idiom", storage=f"sqlite:///{folder}/optuna.db")
    study.optimize(objective, n_trials=trials)


def main():
    import mlflow
    import optuna

    folder, shape, trials, processes = sys.argv[1:]
    count = int(processes)
    optuna.create_study(
        study_name="idiom",
        storage=f"sqlite:///{folder}/optuna.db",
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=1),
    )
    # Two processes that open a fresh store together can destroy it.
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.set_experiment("idiom")
    context = multiprocessing.get_context("spawn")
    given = [folder, shape, int(trials) // count]
    processes = [context.Process(target=worker, args=given) for _ in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


if __name__ == "__main__":
    main()
