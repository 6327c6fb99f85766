"""A bare repository of the git server, written by program."""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

#: Author and committer of every commit, so that the same files give the same hashes.
_IDENTITY = "Ada Lovelace"
_EMAIL = "ada@example.org"
_FIRST_DATE = datetime(2026, 1, 1, tzinfo=UTC)


class BareRepository:
    """A repository of the git server, written with git's plumbing. It ignores the machine's git configuration."""

    def __init__(self, path: Path, full_name: str, url: str) -> None:
        self.path = path
        self.full_name = full_name
        self.url = url
        self._git(
            "init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(path), inside=False
        )
        # As on GitHub, any object can be fetched, reachable or not.
        self._git("config", "uploadpack.allowAnySHA1InWant", "true")
        self._git("config", "uploadpack.allowFilter", "true")
        # Tests need trees that git refuses to write by default.
        self._git("config", "core.protectNTFS", "false")

    def commit(
        self,
        files: Mapping[str, str | bytes | None],
        *,
        message: str = "Change files",
        branch: str = "main",
        parents: tuple[str, ...] | None = None,
        executable: frozenset[str] = frozenset(),
        links: Mapping[str, str] | None = None,
        submodules: Mapping[str, str] | None = None,
        when: datetime = _FIRST_DATE,
    ) -> str:
        """Add a commit to a branch and return its hash.

        `files` replace those of the first parent (None removes a file); `links` maps paths to targets,
        `submodules` paths to commits. `parents` is the branch's head by default; () makes a root commit. The
        same arguments give the same hash.
        """
        if parents is None:
            head = self.head(branch)
            parents = (head,) if head else ()
        with tempfile.TemporaryDirectory(prefix="repo2hub-git-") as folder:
            env = {"GIT_INDEX_FILE": os.path.join(folder, "index")}
            if parents:
                self._git("read-tree", parents[0], env=env)
            entries = [self._entry(path, content, executable) for path, content in files.items()]
            entries += [f"120000 {self._blob(to.encode())}\t{path}" for path, to in (links or {}).items()]
            entries += [f"160000 {commit}\t{path}" for path, commit in (submodules or {}).items()]
            self._git("update-index", "--index-info", env=env, data="\n".join([*entries, ""]).encode())
            tree = self._git("write-tree", env=env)
        stamp = f"{int(when.timestamp())} +0000"
        env = {"GIT_AUTHOR_DATE": stamp, "GIT_COMMITTER_DATE": stamp}
        flags = [flag for parent in parents for flag in ("-p", parent)]
        commit = self._git("commit-tree", tree, *flags, "-F", "-", env=env, data=message.encode())
        self.branch(branch, commit)
        return commit

    def branch(self, name: str, commit: str) -> None:
        """Create a branch or move it, like a force push."""
        self._git("update-ref", f"refs/heads/{name}", commit)

    def tag(self, name: str, *, commit: str | None = None, annotated: bool = False) -> str:
        """Tag a commit (by default the head of main) and return the hash of the tag's ref."""
        target = commit or self._git("rev-parse", "refs/heads/main")
        if annotated:
            date = f"{int(_FIRST_DATE.timestamp())} +0000"
            text = (
                f"object {target}\ntype commit\ntag {name}\ntagger {_IDENTITY} <{_EMAIL}> {date}\n\n{name}\n"
            )
            target = self._git("mktag", data=text.encode())
        self._git("update-ref", f"refs/tags/{name}", target)
        return target

    def delete_ref(self, ref: str) -> None:
        """Delete a full ref, such as refs/heads/topic."""
        self._git("update-ref", "-d", ref)

    def set_ref(self, ref: str, commit: str) -> None:
        """Create or move a full ref, such as refs/pull/1/head."""
        self._git("update-ref", ref, commit)

    def head(self, branch: str = "main") -> str | None:
        """Return the commit of a branch, or None if the branch does not exist."""
        return self._git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}") or None

    def _entry(self, path: str, content: str | bytes | None, executable: frozenset[str]) -> str:
        if content is None:
            return f"0 {'0' * 40}\t{path}"
        data = content.encode() if isinstance(content, str) else content
        return f"{'100755' if path in executable else '100644'} {self._blob(data)}\t{path}"

    def _blob(self, data: bytes) -> str:
        return self._git("hash-object", "-w", "--stdin", data=data)

    def _git(
        self, *arguments: str, env: Mapping[str, str] | None = None, data: bytes = b"", inside: bool = True
    ) -> str:
        argv = ["git", *(["--git-dir", str(self.path)] if inside else []), *arguments]
        done = subprocess.run(
            argv, input=data, env=git_environment() | dict(env or {}), capture_output=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"git {arguments[0]}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode().strip()


def git_environment() -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_AUTHOR_NAME": _IDENTITY,
        "GIT_AUTHOR_EMAIL": _EMAIL,
        "GIT_COMMITTER_NAME": _IDENTITY,
        "GIT_COMMITTER_EMAIL": _EMAIL,
    }
