"""A real Kubernetes cluster for the tests, also where no container registry can be reached."""
