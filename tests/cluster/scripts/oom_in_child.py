"""A training whose child process takes memory until it is killed; the training itself only notices and fails."""

import subprocess
import sys

import mlflow

TAKES = "taken = []\nwhile True: taken.append(b'\\x01' * 2**24)"

with mlflow.start_run():
    print("allocating in a child", flush=True)
    subprocess.run([sys.executable, "-c", TAKES], check=True)
