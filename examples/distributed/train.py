"""Tell handwritten digits apart: a small network, trained by several workers together, as one MLflow run.

Workers find each other by RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, which a TrainingRun with `workers` sets, and
torchrun too; without them there is one. Where the run goes is left to the environment: MLFLOW_TRACKING_URI and
MLFLOW_EXPERIMENT_NAME.
"""

import argparse
import contextlib
import logging
import math
import os
import time
from collections.abc import Callable
from datetime import timedelta
from importlib.metadata import version
from typing import NamedTuple

import mlflow
import torch
from mlflow.models import infer_signature
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

PICTURES = 1347  # that are trained with: three quarters of scikit-learn's digits
# Left to itself, MLflow finds a model's requirements by loading it in a new interpreter, which takes seconds.
REQUIREMENTS = [f"{package}=={version(package)}" for package in ("torch", "numpy")]


class Digits(NamedTuple):
    """Pictures of 8 x 8 pixels, a row each, from 0 to 1; and which digits they are."""

    train: torch.Tensor
    train_digits: torch.Tensor
    test: torch.Tensor
    test_digits: torch.Tensor


def integer(minimum: int, maximum: int = 2**32 - 1) -> Callable[[str], int]:
    """Give the argparse type of a whole number: what is wrong with it ends in the usage error."""

    def parse(text: str) -> int:
        if not text.strip().isdecimal() or not minimum <= int(text) <= maximum:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {minimum} to {maximum}")
        return int(text)

    return parse


def above_zero(text: str) -> float:
    """Parse a number above 0."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")


def parse_arguments() -> argparse.Namespace:
    """Read the parameters from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--epochs", type=integer(1), default=20, help="how often all pictures are gone through")
    parser.add_argument("--hidden", type=integer(1), default=64, help="neurons between picture and digit")
    whole = "pictures a step, of all workers together"
    parser.add_argument("--batch-size", type=integer(1, PICTURES), default=64, help=whole)
    parser.add_argument("--learning-rate", type=above_zero, default=0.005, help="of Adam")
    parser.add_argument("--seed", type=integer(0), default=0, help="of the data's division, the weights and the order")
    parser.add_argument("--timeout", type=integer(1), default=300, help="seconds that a worker waits for the others")
    found = parser.parse_args()
    workers = int(os.environ.get("WORLD_SIZE", "1"))
    if found.batch_size % workers:
        parser.error(f"argument --batch-size: {workers} workers cannot share {found.batch_size} pictures evenly")
    return found


def join(timeout: timedelta) -> None:
    """Meet the other workers."""
    if "WORLD_SIZE" in os.environ:
        distributed.init_process_group("gloo", timeout=timeout)
    else:
        distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)


def load(seed: int) -> Digits:
    """Load the pictures, and put a quarter of them aside: the same for every worker."""
    pictures, digits = load_digits(return_X_y=True)
    parts = train_test_split(pictures / 16, digits, train_size=PICTURES, stratify=digits, random_state=seed)
    train, test, train_digits, test_digits = map(torch.from_numpy, parts)
    return Digits(train.float(), train_digits, test.float(), test_digits)


def advance(
    model: DistributedDataParallel, optimizer: torch.optim.Optimizer, digits: Digits, order: torch.Tensor, size: int
) -> float:
    """Train for an epoch; return the mean loss over all workers' pictures.

    Of each batch a worker takes its share, and the model has the mean of all gradients: that is the whole batch's, for
    all shares are of one size. The pictures that are left at the end fill no batch, and wait for another epoch's order.
    """
    rank, workers = distributed.get_rank(), distributed.get_world_size()
    losses = torch.zeros(1)
    steps = len(order) // size
    for batch in order[: steps * size].split(size):
        mine = batch[rank::workers]
        loss = torch.nn.functional.cross_entropy(model(digits.train[mine]), digits.train_digits[mine])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses += loss.detach()
    distributed.all_reduce(losses)
    return float(losses / steps / workers)


def accuracy(model: torch.nn.Module, digits: Digits) -> float:
    """Return the share of the pictures put aside that are read rightly."""
    with torch.inference_mode():
        return float((model(digits.test).argmax(dim=1) == digits.test_digits).float().mean())


def log_model(model: torch.nn.Module, digits: Digits) -> None:
    """Log the model as a graph, which is data: a pickle would be a program to run."""
    examples = digits.test[:3]
    mlflow.pytorch.log_model(
        model.eval(),
        name="model",
        signature=infer_signature(examples.numpy(), model(examples).detach().numpy()),
        input_example=examples.numpy(),
        serialization_format="pt2",
        pip_requirements=REQUIREMENTS,
    )


def train(arguments: argparse.Namespace, run_id: str) -> None:
    """Train the share of one worker; the first logs what all have in common, each how long it took."""
    rank, workers = distributed.get_rank(), distributed.get_world_size()
    digits = load(arguments.seed)
    torch.manual_seed(arguments.seed)
    layers = (torch.nn.Linear(64, arguments.hidden), torch.nn.ReLU(), torch.nn.Linear(arguments.hidden, 10))
    model = DistributedDataParallel(torch.nn.Sequential(*layers))
    optimizer = torch.optim.Adam(model.parameters(), lr=arguments.learning_rate)
    if not rank:
        mlflow.log_params({**vars(arguments), "workers": workers})
    for epoch in range(1, arguments.epochs + 1):
        begun = time.monotonic()
        order = torch.randperm(len(digits.train))
        loss = advance(model, optimizer, digits, order, arguments.batch_size)
        mlflow.log_metric(f"seconds/rank_{rank}", time.monotonic() - begun, step=epoch, run_id=run_id)
        if not rank:
            found = {"train_loss": loss, "val_accuracy": accuracy(model.module, digits)}
            mlflow.log_metrics(found, step=epoch)
            # Flushed line by line: a log is read while it grows, and only what was written outlives a pod.
            print(f"epoch {epoch}:", *(f"{name} {value:.4f}" for name, value in found.items()), flush=True)
    if not rank:
        mlflow.log_metric("accuracy", accuracy(model.module, digits))
        log_model(model.module, digits)
    # All have succeeded, or none: a worker that went before could not be trained with again.
    distributed.barrier()
    print(f"worker {rank} of {workers}: trained on {len(digits.train)} pictures, run {run_id}", flush=True)


def main() -> None:
    """Train what the command line asks for, together with the other workers, in the run of the first."""
    arguments = parse_arguments()
    # MLflow prints two lines of links at the end of each run and a warning for each model if pip is absent.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    torch.use_deterministic_algorithms(mode=True)
    join(timedelta(seconds=arguments.timeout))
    is_first = distributed.get_rank() == 0
    with mlflow.start_run() if is_first else contextlib.nullcontext() as run:
        # The others end no run: whoever ends it first would do so for all.
        shared = [run.info.run_id if run else None]
        distributed.broadcast_object_list(shared)
        train(arguments, str(shared[0]))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
