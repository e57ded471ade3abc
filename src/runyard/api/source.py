"""The training's code in a git repository: where it is, which commit was trained, and how MLflow names both."""

from pydantic import Field

from runyard.api.model import Model
from runyard.api.rules import rule

# A branch may have moved between two attempts, or two workers; a commit's whole name is the same for all.
COMMIT = "^([0-9a-f]{40}|[0-9a-f]{64})$"

_ADDRESS = (
    "^(https?://[^/@[:space:]]+/[^[:space:]]+"
    "|ssh://([^/@:[:space:]]+@)?[^/@[:space:]]+/[^[:space:]]+"
    "|file:///[^[:space:]]+)$"
)
_IN_NO_NAME = "['~', '^', ':', '?', '*', '[', '@{', '..'].exists(c, self.contains(c))"

# MLflow's own names for them, as its UI shows them.
COMMIT_TAG = "mlflow.source.git.commit"
ADDRESS_TAG = "mlflow.source.git.repoURL"
_BRANCH_TAG = "mlflow.source.git.branch"


class Source(Model):
    """A folder of a git repository, as it was at one revision."""

    git: str = Field(
        max_length=1024,
        description="Address of the repository: https://HOST/PATH, ssh://git@HOST/PATH or file:///PATH. Without a "
        "password, which is for secretName.",
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    f"self.matches('{_ADDRESS}')",
                    "must be https://HOST/PATH, http://HOST/PATH, ssh://USER@HOST/PATH or file:///PATH, without a "
                    "password: that is for secretName",
                )
            ]
        },
    )
    revision: str | None = Field(
        None,
        min_length=1,
        max_length=255,
        description="Branch, tag or commit; default: the repository's own default branch. Each attempt looks up a "
        "branch anew, and says which commit it trained.",
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    f"!self.matches('^[-+/]|[[:space:]]') && !{_IN_NO_NAME}",
                    "must be the name of a branch, a tag or a commit; an expression, such as main~1, is none",
                )
            ]
        },
    )
    path: str | None = Field(
        None,
        min_length=1,
        max_length=1024,
        description="Folder in the repository that the command starts in; default: the repository's root.",
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "!self.startsWith('/') && !self.matches('(^|/)[.][.](/|$)')",
                    "must be a folder inside the repository, without a / at its beginning and without ..",
                )
            ]
        },
    )
    secret_name: str | None = Field(
        None,
        min_length=1,
        max_length=253,
        description="Secret that signs in to the repository: username and password, or ssh-privatekey and known_hosts. "
        "Only the container that fetches sees it. `runyard run` signs in as git on that machine does.",
    )


class ResolvedSource(Model):
    """The code that was fetched."""

    git: str = Field(description="Address of the repository.")
    commit: str = Field(description="Whole name of the commit.")
    branch: str | None = Field(None, description="The branch that it was the tip of, where one was asked for.")


def source_tags(source: ResolvedSource | None) -> dict[str, str]:
    """Return MLflow's tags for the code of a run."""
    if source is None:
        return {}
    tags = {COMMIT_TAG: source.commit, ADDRESS_TAG: source.git}
    return {**tags, _BRANCH_TAG: source.branch} if source.branch else tags
