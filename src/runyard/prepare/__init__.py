"""The program that fetches a training's source and datasets: in a pod before the training, on a laptop as well."""
