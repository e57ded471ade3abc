"""Every text that a training can say, in several scripts and beyond the basic plane."""

import os
import sys

import mlflow

with mlflow.start_run(run_name="прогон 🚀"):
    mlflow.log_param("größe", os.environ["PARAM_NAME"])
    mlflow.log_metric("genauigkeit/ä", 0.5)
    mlflow.set_tag("メモ", sys.argv[1])
    # With the last words in one stream: containerd keeps no order between two.
    print("名前", os.environ["PARAM_NAME"], sys.argv[1], os.environ["GREETING"], file=sys.stderr)
sys.exit("конец: 失敗 💥")
