"""For the interpreter that forks: all that the scripts of this folder import, and what MLflow finds out once."""

from importlib import import_module

from mlflow.utils.requirements_utils import warn_dependency_requirement_mismatches

for module in (
    *("torch", "torch.nn.parallel", "torch.distributed", "torch.utils.serialization.config"),
    *("sklearn.model_selection", "sklearn.datasets", "sklearn.metrics", "sklearn.linear_model"),
    *("mlflow.pytorch", "mlflow.transformers", "mlflow.pyfunc.scoring_server", "mlflow.types.responses"),
    *("transformers.models.bert.modeling_bert", "transformers.models.bert.tokenization_bert"),
    *("transformers.pipelines", "transformers.optimization", "pyarrow.pandas_compat", "sqlalchemy.dialects.sqlite"),
    # What a model's graph is made with.
    *("torch._dynamo", "torch.export._trace", "torch._export.passes", "torch._inductor.ir", "sympy.tensor.tensor"),
):
    import_module(module)
# The first time that a model's requirements are looked at, MLflow reads the files of each package that is installed.
warn_dependency_requirement_mismatches(["torch"])
