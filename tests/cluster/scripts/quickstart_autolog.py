"""The shortest MLflow script: an experiment of its own naming, autolog, and no run started by hand."""

import mlflow
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import train_test_split

mlflow.set_experiment("Quickstart autolog")
mlflow.sklearn.autolog()

data, target = load_diabetes(return_X_y=True)
train, test, train_target, test_target = train_test_split(data, target, random_state=0)
model = RandomForestRegressor(n_estimators=20, max_depth=6, random_state=0)
model.fit(train, train_target)
print("R²", model.score(test, test_target))
