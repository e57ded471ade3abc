"""What is installed: versions, and where what no index has came from (PEP 610)."""

import json
import re
from importlib.metadata import Distribution, distributions
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import JsonValue

from runyard.api.addresses import without_logins
from runyard.api.model import JsonObject, as_object
from runyard.provenance.program import as_text


def packages(root: Path | None = None) -> tuple[dict[str, str], dict[str, str]]:
    """Look at each installed distribution.

    Args:
        root: the repository that is on record already; what is installed from it in place is known by it.

    Returns:
        By normalised name (PEP 503) the version, and for what came from elsewhere than an index `VERSION @ ADDRESS`,
        the address as pip freeze writes it; a folder inside the root by its path from there, such as `./libs/model`.
        Then, as `packages/NAME`, those whose content that does not tell, and why.

    """
    found: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for distribution in distributions():
        given = distribution.metadata["Name"]
        name = re.sub(r"[-_.]+", "-", given).lower() if given else ""
        # The first on the path is the one that is imported.
        if not name or name in found:
            continue
        address, why_unknown = _origin(distribution, root)
        found[name] = as_text(f"{distribution.version} @ {address}" if address else distribution.version)
        if why_unknown:
            left_out[f"packages/{name}"] = why_unknown
    return dict(sorted(found.items())), left_out


def requirements(versions: dict[str, str]) -> str:
    """Write packages for pip; what lies in a folder of that machine is a comment."""
    return "".join(f"{_requirement(name, version)}\n" for name, version in versions.items())


def _requirement(name: str, version: str) -> str:
    number, _, address = version.partition(" @ ")
    if not address:
        return f"{name}=={number}"
    is_folder = address.startswith((".", "file:")) and "#" not in address
    return f"# {name}=={number}, from {address}" if is_folder else f"{name} @ {address}"


def _origin(distribution: Distribution, root: Path | None) -> tuple[str | None, str | None]:
    """Return the address that a distribution was installed from, if any, and why that does not tell its content."""
    text = distribution.read_text("direct_url.json")
    if text is None:
        return None, None
    try:
        about = as_object(json.loads(text))
    except (ValueError, RecursionError):
        return None, "its direct_url.json is no JSON"
    address = without_logins(_text(about.get("url")))
    if "vcs_info" in about:
        vcs = as_object(about["vcs_info"])
        commit, folder = _text(vcs.get("commit_id")), _text(about.get("subdirectory"))
        place = f"{_text(vcs.get('vcs'))}+{address}@{commit}" + (f"#subdirectory={folder}" if folder else "")
        return place, None if commit else "its commit is not recorded"
    if "dir_info" in about:
        is_editable = as_object(about["dir_info"]).get("editable") is True
        inside = _inside(address, root)
        if inside and is_editable:
            return inside, None
        return inside or address, "installed from a folder: what was in it is not recorded"
    digest = _archive_digest(as_object(about.get("archive_info")))
    return (f"{address}#sha256={digest}", None) if digest else (address, "its archive's SHA-256 is not recorded")


def _inside(address: str, root: Path | None) -> str | None:
    parts = urlsplit(address)
    folder = Path(unquote(parts.path)).resolve()
    if root is None or parts.scheme != "file" or not folder.is_relative_to(root.resolve()):
        return None
    return f"./{folder.relative_to(root.resolve()).as_posix()}".removesuffix("/.")


def _archive_digest(about: JsonObject) -> str:
    old = _text(about.get("hash"))
    found = _text(as_object(about.get("hashes")).get("sha256"))
    return found or (old.removeprefix("sha256=") if old.startswith("sha256=") else "")


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""
