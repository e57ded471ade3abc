"""Code by git itself: one revision, as shallow as the server lets it be."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runyard.api.addresses import without_logins
from runyard.api.outcome import Reason
from runyard.api.source import COMMIT, ResolvedSource, Source
from runyard.prepare.failures import Unprepared

# The files of a Secret, as Kubernetes' types basic-auth and ssh-auth name them.
_USERNAME, _PASSWORD, _KEY, _KNOWN_HOSTS = "username", "password", "ssh-privatekey", "known_hosts"

# What a part of a commit's name could be; no server looks it up.
_PART_OF_A_COMMIT = re.compile("[0-9a-f]{7,63}")
# What git, ssh and curl say of what would be so again.
_PERMANENT = re.compile(
    r"repository .*not found|does not appear to be a git repository|not a git repository|no such repository"
    r"|authentication failed|could not read (username|password)|permission denied|host key verification failed"
    r"|returned error: 4(0[0134]|10)\b|couldn't find remote ref|error in libcrypto|invalid format"
    r"|ssl certificate problem|certificate verification failed|transport .* not allowed|not valid: is this a git",
    re.IGNORECASE,
)
_SAYS_NOTHING = re.compile(r"^(hint:|warning:|remote:\s*$|Please make sure|and the repository exists|Cloning into)")
_PREFIX = re.compile(r"^(fatal|error|ERROR): ")
_GENERIC = "Could not read from remote repository"
_SETTINGS = (
    # A server that falls silent is left, and asked again.
    *("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60"),
    *("-c", "advice.detachedHead=false"),
)
# A repository on a volume belongs to whoever put it there; git's other half does not see the settings of this one.
_ON_A_VOLUME = ("-c", "remote.origin.uploadpack=git -c 'safe.directory=*' upload-pack")
_SSH = "ssh -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=15"
# Where a repository is, as a hook of another one would have it; and what would print requests.
_FOREIGN = re.compile("GIT_(DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|COMMON_DIR|PREFIX|NAMESPACE|TRACE|CURL_VERBOSE)")


def fetch(source: Source, folder: Path, credentials: Path | None, environment: Mapping[str, str]) -> ResolvedSource:
    """Check the revision out into a folder of its own, and say which commit it is.

    Args:
        source: what is asked for.
        folder: where the code goes.
        credentials: the folder of a Secret's files; None: git signs in as it does by itself.
        environment: the process's.

    Raises:
        Unprepared: SourceUnavailable, in git's own words.

    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    repository = _Repository(source.git, folder, *_signed_in(source.git, credentials, environment))
    repository.git("init", "--quiet")
    repository.git("remote", "add", "origin", source.git)
    ref, commit = repository.located(source.revision)
    branch = ref.removeprefix("refs/heads/") if ref and ref.startswith("refs/heads/") else None
    commit = repository.fetched(ref, commit)
    if branch:
        repository.git("symbolic-ref", "HEAD", f"refs/heads/{branch}")
        repository.git("reset", "--quiet", "--hard", commit)
    else:
        repository.git("checkout", "--quiet", "--detach", commit)
    if source.path and not (folder / source.path).is_dir():
        raise _unavailable(f"{source.git} has no folder {source.path} at commit {commit}", is_permanent=True)
    return ResolvedSource(git=source.git, commit=commit, branch=branch)


@dataclass(frozen=True)
class _Repository:
    """A repository on this machine, and how git reaches the one that it comes from."""

    address: str
    folder: Path
    settings: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)

    def git(self, *words: str) -> str:
        """Run git; return what it printed.

        Raises:
            Unprepared: git failed.

        """
        command = ["git", *_SETTINGS, *self.settings, *words]
        try:
            done = subprocess.run(  # noqa: S603 the words are ours, and names that the resource's rules have passed
                command,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
        except FileNotFoundError:
            raise _unavailable("there is no program git here: install it", is_permanent=True) from None
        except ValueError as error:  # a name with a zero byte in it is no argument
            raise _unavailable(str(error), is_permanent=True) from error
        said = without_logins(done.stderr)
        sys.stderr.write(said)
        if done.returncode:
            raise _unavailable(_sentence(said), is_permanent=bool(_PERMANENT.search(said)))
        return done.stdout

    def located(self, revision: str | None) -> tuple[str | None, str]:
        """Return the name and the commit of a branch or a tag; of a commit, or of what may be one, no name."""
        if revision and re.fullmatch(COMMIT, revision):
            return None, revision
        names = ["HEAD"] if revision is None else [f"{place}{revision}" for place in ("refs/tags/", "refs/heads/")]
        if revision and revision.startswith("refs/"):
            names = [revision]
        there: dict[str, str] = {}
        for line in self.git("ls-remote", "--symref", "origin", *names).splitlines():
            what, _, name = line.partition("\t")
            if what.startswith("ref: refs/") and name == "HEAD":
                names = [what.removeprefix("ref: "), "HEAD"]
            elif not what.startswith("ref: "):  # a name of the server's that is no ref could be one of git's options
                there[name] = what
        if revision is None and "HEAD" in there:
            there.setdefault(names[0], there["HEAD"])
        # As git has it, a tag comes before a branch of its name.
        for name in names:
            if name in there:
                return name, there[name]
        if revision and _PART_OF_A_COMMIT.fullmatch(revision):
            return None, revision
        missing = f"has no branch, tag or commit {revision}" if revision else "has no default branch: name a revision"
        raise _unavailable(f"{self.address} {missing}", is_permanent=True)

    def fetched(self, ref: str | None, commit: str) -> str:
        """Bring one commit here; return its whole name."""
        if ref or re.fullmatch(COMMIT, commit):
            try:
                self.git("fetch", "--quiet", "--no-tags", "--depth=1", "origin", ref or commit)
                return self.git("rev-parse", "--verify", "FETCH_HEAD^{commit}").strip()
            except Unprepared as error:
                if error.is_permanent and "remote ref" not in str(error):
                    raise
                # The server may give out no single commits, or no shallow copies.
                sys.stderr.write("the one revision cannot be had alone: fetching all\n")
        self.git("fetch", "--quiet", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*")
        try:
            return self.git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}").strip()
        except Unprepared:
            missing = f"{self.address} has no branch, tag or commit {commit}"
            raise _unavailable(missing, is_permanent=True) from None


def _signed_in(
    address: str, credentials: Path | None, environment: Mapping[str, str]
) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Return git's settings and environment; what is secret stays in its files, which git's helpers read."""
    kept = {name: value for name, value in environment.items() if not _FOREIGN.match(name)}
    kept |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "http:https:ssh:file"}
    kept.setdefault("GIT_SSH_COMMAND", _SSH)
    scheme, _, rest = address.partition("://")
    if scheme == "file":
        return _ON_A_VOLUME, kept
    if credentials is None:
        return (), kept
    if scheme == "ssh":
        key, hosts = _needed(credentials, scheme, _KEY, _KNOWN_HOSTS)
        options = f"-F none -o IdentitiesOnly=yes -i {key} -o StrictHostKeyChecking=yes -o UserKnownHostsFile={hosts}"
        return (), kept | {"GIT_SSH_COMMAND": f"{_SSH} {options}"}
    username, password = _needed(credentials, scheme, _USERNAME, _PASSWORD)
    # A host that the server sends us to is not told: the helper is for this one alone.
    host = f"{scheme}://{rest.partition('/')[0]}"
    told = f'"username=%s\\npassword=%s\\n" "$(cat {username})" "$(cat {password})"'
    helper = f'!f() {{ test "$1" = get && printf {told}; }}; f'
    return ("-c", "credential.helper=", "-c", f"credential.{host}.helper={helper}"), kept


def _needed(credentials: Path, scheme: str, *names: str) -> list[str]:
    missing = [name for name in names if not (credentials / name).is_file()]
    if missing:
        message = f"the Secret of source.secretName has no {' and no '.join(missing)}, which {scheme} needs"
        raise _unavailable(message, is_permanent=True)
    return [shlex.quote(str(credentials / name)) for name in names]


def _sentence(said: str) -> str:
    """Return what git, or ssh on its behalf, says is wrong."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and not _SAYS_NOTHING.match(line.strip())]
    wrong = [line for line in lines if _PREFIX.match(line)] or lines
    if not wrong:
        return "git failed without a word"
    place = lines.index(wrong[-1])
    # Of a connection by ssh git only says that there is none, and ssh said before why.
    chosen = lines[place - 1] if _GENERIC in wrong[-1] and place else wrong[-1]
    return _PREFIX.sub("", chosen)


def _unavailable(message: str, *, is_permanent: bool) -> Unprepared:
    return Unprepared(Reason.SOURCE_UNAVAILABLE, message, is_permanent=is_permanent)
