"""Repeating a run from what it says of itself, and saying whether the same came of it.

`receipt` reads what is known of a run; `on_machine` and `in_cluster` repeat it and compare every metric.
"""

from runyard.api.repetition import Verdict
from runyard.reproduction.code import CodeMissing, NoSuchFolder, NotAFolders, restored
from runyard.reproduction.code_diff import CodeDiff, NoCodeDiff, code_diff
from runyard.reproduction.manifests import WrongChange, again, changes_of, derived_name
from runyard.reproduction.receipts import Gap, Receipt, RecordedCode, Where, read_off, receipt
from runyard.reproduction.repeating import Machine, NoSuchMetric, Terms, in_cluster, on_machine
from runyard.reproduction.verdicts import Pair, Reproduction, matched, relative

__all__ = [
    "CodeDiff",
    "CodeMissing",
    "Gap",
    "Machine",
    "NoCodeDiff",
    "NoSuchFolder",
    "NoSuchMetric",
    "NotAFolders",
    "Pair",
    "Receipt",
    "RecordedCode",
    "Reproduction",
    "Terms",
    "Verdict",
    "Where",
    "WrongChange",
    "again",
    "changes_of",
    "code_diff",
    "derived_name",
    "in_cluster",
    "matched",
    "on_machine",
    "read_off",
    "receipt",
    "relative",
    "restored",
]
