"""A small world around the real operator: API server, controllers, kubelet, MLflow and a clock, all in memory.

Read in this order: `clock` (time passes when told), `wire` (what can happen to a call), `apiserver`, `workloads`
(the Job controller and the kubelet), `mlflow`, `process` (one operator, made of its real parts), `world` (all of it,
and how it comes to rest), `truths` (what must hold), `test_machine` (the rules).
"""
