"""Decide whether a checkout's `.git` becomes part of the build.

Its bytes differ between two clones of the same commit, so every step after a COPY of it runs again (measured:
48.7 s instead of 1.3 s). It is removed unless a file of the repository needs it.
"""

import re
import shutil
import subprocess
from pathlib import Path

from builder.source.git_access import LOCAL_ENVIRONMENT

# Files that say how a package gets its version.
_PACKAGE_FILES = (
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "requirements.txt",
    "environment.yml",
    "environment.yaml",
)
# Files whose commands run while the image is built or started.
_COMMAND_FILES = ("Dockerfile", "postBuild", "start")
_MAX_BYTES = 1_000_000

# Tools that read a version from the history.
_VERSION_TOOLS = re.compile(
    rb"(?i)setuptools[_-](?:scm|git|git[_-]versioning|vcs)|versioneer|hatch[_-]vcs|\bpbr\b|dunamai|versioningit"
    rb"|(?:poetry|uv|hatch|pdm)-dynamic-versioning|flit[_-]scm|source\s*=\s*[\"']scm[\"']|[\"']git[\"'\s]"
)
# Commands that work on the checkout; `git clone` and `apt-get install git` do not need ours.
_GIT_COMMANDS = re.compile(
    rb"\bgit\s+(?:-[cC]\s+\S+\s+|-\S+\s+){0,8}(?:archive|branch|checkout|describe|diff|fetch|lfs|log|ls-files|ls-tree|merge|pull|remote"
    rb"|reset|restore|rev-list|rev-parse|shortlog|show|show-ref|status|submodule|switch|tag|worktree)\b"
    rb"|(?<![\w/])(?:\./)?\.git(?:/|\s|$|[\"'])"
)


def drop_git(folder: Path) -> bool:
    """Remove `.git`, also of submodules, from a checkout unless it is needed; return whether it was removed.

    It is needed when one of these files at the root, in binder/ or in .binder/ uses it:

    - pyproject.toml, setup.py, setup.cfg, requirements.txt or environment.yml names a tool that reads the
      version from the history, such as setuptools_scm, versioneer or hatch-vcs, or setup.py calls git itself;
    - Dockerfile, postBuild or start runs a git command on the checkout, or names `.git`.

    A `.git` that stays is shallow, has no tags, the remote's URL and no credentials. What differs between clones
    for no reason (the index's file times, logs) is removed from it.
    """
    if _needs_git(folder):
        _make_reproducible(folder / ".git")
        return False
    # Only submodules have a .git in a subfolder: git refuses to check one out from a commit.
    below = folder.rglob(".git") if (folder / ".gitmodules").exists() else [folder / ".git"]
    for entry in list(below):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)
    return True


def _needs_git(folder: Path) -> bool:
    folders = [folder, *(folder / name for name in ("binder", ".binder"))]
    return any(
        _VERSION_TOOLS.search(_read(parent / name)) for parent in folders for name in _PACKAGE_FILES
    ) or any(_GIT_COMMANDS.search(_read(parent / name)) for parent in folders for name in _COMMAND_FILES)


def _read(path: Path) -> bytes:
    """Return the start of a regular file; empty for anything else."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(_MAX_BYTES)


def _make_reproducible(git: Path) -> None:
    for name in ("FETCH_HEAD", "ORIG_HEAD"):
        (git / name).unlink(missing_ok=True)
    shutil.rmtree(git / "logs", ignore_errors=True)
    # An index made from the commit alone has no file times; git reads the files again when it is used.
    subprocess.run(
        ["git", "read-tree", "HEAD"], cwd=git.parent, env=LOCAL_ENVIRONMENT, check=True, timeout=300
    )
