"""What a training on this machine depends on besides its manifest, which names an image that is not used here."""

import platform
from pathlib import Path

from runyard.api.trainingrun import TrainingRunSpec
from runyard.errors import ProvenanceUnavailable, RunyardError
from runyard.provenance.code import find_code
from runyard.provenance.fingerprints import Recipe, fingerprint
from runyard.provenance.packages import packages


class Unknown(RunyardError):
    """Nothing tells whether another training here would be of the same code."""


def surroundings(spec: TrainingRunSpec, folder: Path) -> str:
    """Return the fingerprint of Python, its packages and, where the manifest has no source, the folder's code.

    Args:
        spec: of the training.
        folder: in which it starts.

    Raises:
        Unknown: the code of the folder is in no git repository, or git cannot tell what was changed in it.

    """
    commit = diff = root = None
    if spec.source is None:
        try:
            code = find_code(folder)
        except ProvenanceUnavailable as error:
            raise Unknown(str(error)) from error
        if code is None or code.commit is None:
            raise Unknown(f"the code in {folder} is in no commit of git: commit it, or name it in spec.source")
        if code.left_out:
            raise Unknown(f"git does not tell all that was changed in {code.root}: {', '.join(code.left_out)}")
        commit, diff, root = code.commit, code.diff_digest, code.root
    installed, left_out = packages(root)
    return fingerprint(
        Recipe(
            commit=commit,
            diff=diff,
            python=platform.python_version(),
            packages=installed,
            command=(str(folder.absolute().relative_to(root.resolve())),) if root and _is_in(folder, root) else (),
            left_out=tuple(left_out),
        )
    )


def _is_in(folder: Path, root: Path) -> bool:
    return folder.absolute().is_relative_to(root.resolve())
