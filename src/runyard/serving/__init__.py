"""Serving a registered model: one version of it, by MLflow's own scoring server, in a cluster or on this machine.

version = versions.find("http://mlflow:5000", "heart@champion")
wanted = objects.Serving(version, tracking_uri="http://runyard-mlflow.runyard.svc:5000")
rollout.serve(Cluster(namespace="team"), wanted, Deadline(300))
"""
