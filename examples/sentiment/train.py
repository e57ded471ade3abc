"""Tell praise from complaint: a BERT text classifier, from scratch or fine-tuned, as one MLflow run.

Where the run goes is left to the environment: MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME. Where the run has a
checkpoint already, as a retry's has under `tracking.run: Assigned`, the training goes on from it.
"""

import argparse
import contextlib
import logging
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import mlflow
import pandas as pd
import torch
import transformers
from huggingface_hub import ModelCard
from mlflow.models import infer_signature
from sklearn import metrics
from sklearn.model_selection import train_test_split

DATA = Path(__file__).parent / "reviews.csv"
SCRATCH = "scratch"
LAYERS = 2
LONGEST = 128  # tokens of a sentence; what is beyond is cut off
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CHECKPOINT = "checkpoint_epoch"
# Left to itself, MLflow finds a model's requirements by loading it in a new interpreter, and adds torchvision.
REQUIREMENTS = [f"{package}=={version(package)}" for package in ("torch", "transformers", "pandas")]


class Reviews(NamedTuple):
    """The sentences, divided once: columns `text` and `label`."""

    train: pd.DataFrame
    test: pd.DataFrame
    labels: list[str]


class Classifier(NamedTuple):
    """What is trained, and what makes its numbers of a text."""

    model: transformers.PreTrainedModel
    tokenizer: transformers.PreTrainedTokenizerBase


class Judgement(NamedTuple):
    """What a model makes of sentences whose labels it is not told: the mean loss, and a row for each."""

    loss: float
    rows: pd.DataFrame

    @property
    def accuracy(self) -> float:
        """The share of sentences that are taken for what they are."""
        return float(metrics.accuracy_score(self.rows["label"], self.rows["predicted"]))


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


def table(text: str) -> Path:
    """Parse the name of a table with texts and at least two labels, of each enough to divide."""
    try:
        rows = pd.read_csv(text, dtype=str)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else f"not a table in CSV: {error}"
        raise argparse.ArgumentTypeError(f"{text!r} cannot be read: {why}") from error
    if not {"text", "label"} <= {*rows.columns}:
        raise argparse.ArgumentTypeError(f"{text!r} has no columns `text` and `label`; it has {', '.join(rows)}")
    if rows[["text", "label"]].isna().to_numpy().any():
        raise argparse.ArgumentTypeError(f"{text!r} has a row without a text or a label")
    counts = rows["label"].value_counts()
    fewest = 4
    if len(counts) < len("ab") or counts.min() < fewest:
        raise argparse.ArgumentTypeError(f"{text!r} needs two labels or more, and {fewest} rows or more of each")
    return Path(text)


def parse_arguments() -> argparse.Namespace:
    """Read the model and its parameters from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    whence = f"{SCRATCH}: a small BERT that knows nothing yet; else a model of the hub, or a folder with one"
    parser.add_argument("--model", default=SCRATCH, help=whence)
    parser.add_argument("--revision", help="commit of the hub's model; None: the newest")
    parser.add_argument("--layers", type=integer(1, 24), help=f"of a model from {SCRATCH}; None: {LAYERS}")
    parser.add_argument("--epochs", type=integer(1), default=12, help="how often all sentences are gone through")
    parser.add_argument("--batch-size", type=integer(1), default=32, help="sentences a step")
    parser.add_argument("--learning-rate", type=above_zero, default=3e-3, help="of AdamW, at its highest")
    parser.add_argument("--seed", type=integer(0), default=0, help="of the data's division, the weights and the order")
    parser.add_argument("--data", type=table, default=DATA, help="a table in CSV with columns `text` and `label`")
    found = parser.parse_args()
    if found.model == SCRATCH:
        if found.revision:
            parser.error(f"argument --revision: a model from {SCRATCH} has none; name one of the hub's with --model")
        found.layers = found.layers or LAYERS
    elif found.layers:
        parser.error(f"argument --layers: only a model from {SCRATCH} can be given layers; leave it out")
    return found


def load_reviews(file: Path, seed: int) -> Reviews:
    """Load the sentences, and put a quarter of them aside."""
    rows = pd.read_csv(file, dtype=str)[["text", "label"]]
    train, test = train_test_split(rows, test_size=0.25, stratify=rows["label"], random_state=seed)
    return Reviews(train, test, sorted(rows["label"].unique()))


def from_scratch(reviews: Reviews, layers: int) -> Classifier:
    """Make a BERT with weights drawn by chance, whose words are those that are trained on."""
    words = {word for text in reviews.train["text"] for word in re.findall(r"\w+|[^\w\s]", text.lower())}
    letters = {letter for word in words for letter in word}
    # A word that is not among them is put together of its letters.
    tokens = dict.fromkeys([*SPECIAL, *sorted(words | letters), *sorted(f"##{letter}" for letter in letters)])
    tokenizer = transformers.BertTokenizer(vocab={token: place for place, token in enumerate(tokens)})
    config = transformers.BertConfig(
        vocab_size=len(tokens),
        hidden_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=LONGEST,
        pad_token_id=0,
        initializer_range=0.06,  # for so narrow a model BERT's own 0.02 is too little to begin to learn from
        **named(reviews.labels),
    )
    return Classifier(transformers.AutoModelForSequenceClassification.from_config(config), tokenizer)


def pretrained(name: str, revision: str | None, labels: list[str]) -> Classifier:
    """Load a model of the hub or of a folder, with a new last layer for these labels.

    Raises:
        SystemExit: there is none, or the hub does not answer.

    """
    try:
        return Classifier(
            transformers.AutoModelForSequenceClassification.from_pretrained(
                name, revision=revision, ignore_mismatched_sizes=True, **named(labels)
            ),
            transformers.AutoTokenizer.from_pretrained(name, revision=revision),
        )
    except (OSError, ValueError) as error:
        said = str(error).splitlines()[0].rstrip(".")
        sys.exit(
            f"train.py: the model {name!r} cannot be loaded: {said}: "
            "examples/sentiment/README.md says how to train without the hub"
        )


def named(labels: list[str]) -> dict[str, dict[int, str] | dict[str, int]]:
    """Return what a model's configuration says of its labels."""
    return {"id2label": dict(enumerate(labels)), "label2id": {label: place for place, label in enumerate(labels)}}


def batches(classifier: Classifier, rows: pd.DataFrame, size: int) -> Iterator[dict[str, torch.Tensor]]:
    """Yield the rows in their order as a model takes them: tensors of `size` sentences, padded to the longest."""
    places = rows["label"].map(classifier.model.config.label2id)
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        batch = classifier.tokenizer(
            [*rows["text"][part]], padding=True, truncation=True, max_length=LONGEST, return_tensors="pt"
        )
        batch["labels"] = torch.tensor([*places[part]])
        yield dict(batch.to(classifier.model.device))


def judge(classifier: Classifier, rows: pd.DataFrame) -> Judgement:
    """Let the model say what it takes each sentence for, and how sure it is."""
    classifier.model.eval()
    logits, losses = [], []
    with torch.inference_mode():
        for batch in batches(classifier, rows, 64):
            found = classifier.model(**batch)
            logits.append(found.logits.float().cpu())
            losses.append(float(found.loss) * len(batch["labels"]))
    confidence, place = torch.cat(logits).softmax(dim=1).max(dim=1)
    predicted = [classifier.model.config.id2label[found] for found in place.tolist()]
    return Judgement(sum(losses) / len(rows), rows.assign(predicted=predicted, confidence=confidence.tolist()))


class Training:
    """A model on its way: everything that the next epoch depends on."""

    def __init__(self, classifier: Classifier, reviews: Reviews, arguments: argparse.Namespace) -> None:
        self.classifier, self.rows, self.arguments = classifier, reviews.train, arguments
        self.epoch = 0
        steps = arguments.epochs * math.ceil(len(reviews.train) / arguments.batch_size)
        self.optimizer = torch.optim.AdamW(classifier.model.parameters(), lr=arguments.learning_rate, fused=True)
        self.schedule = transformers.get_linear_schedule_with_warmup(self.optimizer, steps // 10, steps)

    def advance(self) -> float:
        """Train for an epoch; return the mean loss."""
        self.epoch += 1
        model, size = self.classifier.model.train(), self.arguments.batch_size
        # Order and dropout hang on seed and epoch alone, and so need not be kept.
        seed(self.arguments.seed, self.epoch)
        order = self.rows.iloc[torch.randperm(len(self.rows)).tolist()]
        losses = []
        for batch in batches(self.classifier, order, size):
            loss = model(**batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            self.optimizer.step()
            self.schedule.step()
            self.optimizer.zero_grad()
            losses.append(loss.detach() * len(batch["labels"]))
        return float(sum(losses)) / len(order)

    def keep(self) -> None:
        """Put into the run what the next attempt would go on from.

        The tag is written when the file is there in full, and the one before stays until then: whenever an attempt is
        killed, the tag names a whole checkpoint.
        """
        parts = {"model": self.classifier.model, "optimizer": self.optimizer, "schedule": self.schedule}
        with TemporaryDirectory() as folder:
            file = Path(folder, Path(place(self.epoch)).name)
            torch.save({name: part.state_dict() for name, part in parts.items()}, file)
            mlflow.log_artifact(str(file), str(Path(place(self.epoch)).parent))
        mlflow.set_tag(CHECKPOINT, self.epoch)

    def resume(self, run: mlflow.ActiveRun) -> None:
        """Go on from the run's checkpoint, if it has one."""
        self.epoch = int(run.data.tags.get(CHECKPOINT, 0))
        if not self.epoch:
            return
        with TemporaryDirectory() as folder:
            file = mlflow.artifacts.download_artifacts(
                run_id=run.info.run_id, artifact_path=place(self.epoch), dst_path=folder
            )
            kept = torch.load(file, map_location=self.classifier.model.device, weights_only=True)
        self.classifier.model.load_state_dict(kept["model"])
        self.optimizer.load_state_dict(kept["optimizer"])
        self.schedule.load_state_dict(kept["schedule"])
        print(f"goes on after epoch {self.epoch}", flush=True)


def place(epoch: int) -> str:
    """Return a checkpoint's artifact; of two, each takes the place of the one before the last."""
    return f"checkpoints/{('even', 'odd')[epoch % 2]}.pt"


def seed(of_all: int, epoch: int) -> None:
    """Begin an epoch's random numbers; epoch 0 is the weights'."""
    torch.manual_seed(of_all * 2**31 + epoch)


def log_model(classifier: Classifier, rows: pd.DataFrame) -> None:
    """Log the model as a pipeline from texts to a label and its score."""
    examples = [*rows["text"].head(3)]
    classifier.model.cpu()
    pipeline = transformers.pipeline("text-classification", model=classifier.model, tokenizer=classifier.tokenizer)
    mlflow.transformers.log_model(
        pipeline,
        name="model",
        signature=infer_signature(examples, pd.DataFrame(pipeline(examples))),
        input_example=examples,
        pip_requirements=REQUIREMENTS,
        # Without one MLflow asks the hub for it.
        model_card=ModelCard("---\nlibrary_name: transformers\n---\nSee examples/sentiment of Runyard."),
    )


def train(arguments: argparse.Namespace) -> None:
    """Train one model, or the rest of it, and log everything about it."""
    reviews = load_reviews(arguments.data, arguments.seed)
    seed(arguments.seed, 0)
    classifier = (
        from_scratch(reviews, arguments.layers)
        if arguments.model == SCRATCH
        else pretrained(arguments.model, arguments.revision, reviews.labels)
    )
    classifier.model.to("cuda" if torch.cuda.is_available() else "cpu")
    # Without a name: a run that goes on has one.
    with mlflow.start_run() as run:
        given = {name: value for name, value in vars(arguments).items() if value is not None and name != "data"}
        mlflow.log_params({**given, "weights": classifier.model.num_parameters()})
        training = Training(classifier, reviews, arguments)
        training.resume(run)
        while training.epoch < arguments.epochs:
            loss = training.advance()
            found = judge(classifier, reviews.test)
            epoch = {"train_loss": loss, "val_loss": found.loss, "val_accuracy": found.accuracy}
            mlflow.log_metrics(epoch, step=training.epoch)
            # Flushed line by line: a log is read while it grows, and only what was written outlives a pod.
            print(f"epoch {training.epoch}:", *(f"{name} {value:.4f}" for name, value in epoch.items()), flush=True)
            training.keep()

        found = judge(classifier, reviews.test)
        truth, predicted = found.rows["label"], found.rows["predicted"]
        scores = metrics.precision_recall_fscore_support(truth, predicted, average="macro", zero_division=0)
        final = dict(zip(("precision", "recall", "f1_score"), map(float, scores[:3]), strict=True))
        mlflow.log_metrics({"accuracy": found.accuracy, **final})
        mlflow.log_text(found.rows.to_csv(index=False), "predictions.csv")
        log_model(classifier, reviews.test)
    print(
        f"{arguments.model}: trained on {len(reviews.train)} sentences, judged on {len(reviews.test)}, "
        f"accuracy {found.accuracy:.4f}, run {run.info.run_id}"
    )


def main() -> None:
    """Train the model that the command line asks for."""
    arguments = parse_arguments()
    # The same numbers from attempt to attempt.
    torch.use_deterministic_algorithms(mode=True)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Sentences as short as these are tokenized sooner by one thread than by many.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # MLflow prints two lines of links at the end of each run; it and transformers warn of what is meant here.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    for name in ("mlflow.utils.environment", "mlflow.transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    train(arguments)


if __name__ == "__main__":
    main()
