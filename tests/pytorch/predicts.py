"""Print how many of the distributed example's pictures a logged model reads rightly, as a server would load it."""

import sys

import mlflow
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

pictures, digits = load_digits(return_X_y=True)
_, test, _, truth = train_test_split(pictures / 16, digits, test_size=0.25, stratify=digits, random_state=0)
found = mlflow.pyfunc.load_model(sys.argv[1]).predict(test.astype("float32"))
print((found.argmax(axis=1) == truth).mean())  # noqa: T201
