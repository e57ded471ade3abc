"""The other usual MLflow script: an experiment of its own naming, one run, everything logged by hand."""

import mlflow
from mlflow.models import infer_signature
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split

mlflow.set_experiment("Quickstart log")

flowers, species = load_iris(return_X_y=True)
train, test, train_species, test_species = train_test_split(flowers, species, random_state=0)
params = {"solver": "lbfgs", "max_iter": 500, "random_state": 0}

with mlflow.start_run():
    mlflow.log_params(params)
    model = LogisticRegression(**params).fit(train, train_species)
    predicted = model.predict(test)
    accuracy = accuracy_score(test_species, predicted)
    mlflow.log_metric("accuracy", accuracy)
    print("accuracy", accuracy, flush=True)
    mlflow.set_tag("purpose", "quickstart")
    mlflow.sklearn.log_model(model, name="iris", signature=infer_signature(test, predicted))
