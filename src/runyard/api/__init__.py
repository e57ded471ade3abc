"""The TrainingRun resource: its types, its schema, and the rules that say what its outcome is.

Nothing in here talks to anything: the operator and the local runner share these decisions.
"""
