"""Whether a checkout's `.git` goes into the build.

Its bytes differ between two clones of the same commit, and whatever comes after a COPY of it is built again
(measured: 48.7 s instead of 1.3 s). So it goes, unless a file of the repository says that it is needed.
"""

import re
import shutil
import subprocess
from pathlib import Path

from builder.source.git_access import LOCAL_ENVIRONMENT

#: Where a package says how it gets its version.
_PACKAGE_FILES = (
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "requirements.txt",
    "environment.yml",
    "environment.yaml",
)
#: What runs commands while the image is built or started.
_COMMAND_FILES = ("Dockerfile", "postBuild", "start")
_MAX_BYTES = 1_000_000

# Tools that read a version from the history.
_VERSION_TOOLS = re.compile(
    rb"(?i)setuptools[_-](?:scm|git|git[_-]versioning|vcs)|versioneer|hatch[_-]vcs|\bpbr\b|dunamai|versioningit"
    rb"|(?:poetry|uv|hatch|pdm)-dynamic-versioning|flit[_-]scm|source\s*=\s*[\"']scm[\"']|[\"']git[\"'\s]"
)
# Commands that work on a repository; `git clone` and `apt-get install git` do without ours.
_GIT_COMMANDS = re.compile(
    rb"\bgit\s+(?:-[cC]\s+\S+\s+|-\S+\s+){0,8}(?:archive|branch|checkout|describe|diff|fetch|lfs|log|ls-files|ls-tree|merge|pull|remote"
    rb"|reset|restore|rev-list|rev-parse|shortlog|show|show-ref|status|submodule|switch|tag|worktree)\b"
    rb"|(?<![\w/])(?:\./)?\.git(?:/|\s|$|[\"'])"
)


def drop_git(folder: Path) -> bool:
    """Remove `.git`, and those of submodules, from a checkout unless it is needed; return whether it was removed.

    It is needed when a file at the root, in binder/ or in .binder/ says so:

    - pyproject.toml, setup.py, setup.cfg, requirements.txt or environment.yml names a tool that takes the version
      from the history: setuptools_scm, setuptools-git, versioneer, hatch-vcs, pbr, dunamai,
      poetry-dynamic-versioning and their like; or setup.py calls git itself;
    - Dockerfile, postBuild or start runs a git command on the repository, or names `.git`.

    A `.git` that stays is shallow and without tags, knows the remote's URL and no credentials, and has lost what
    differs between clones for no reason (the index's file times, logs).
    """
    if _needs_git(folder):
        _make_reproducible(folder / ".git")
        return False
    # Only submodules have a .git further down: git refuses to check one out from a commit.
    below = folder.rglob(".git") if (folder / ".gitmodules").exists() else [folder / ".git"]
    for entry in list(below):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)
    return True


def _needs_git(folder: Path) -> bool:
    places = [folder, *(folder / name for name in ("binder", ".binder"))]
    return any(
        _VERSION_TOOLS.search(_read(place / name)) for place in places for name in _PACKAGE_FILES
    ) or any(_GIT_COMMANDS.search(_read(place / name)) for place in places for name in _COMMAND_FILES)


def _read(path: Path) -> bytes:
    """Return the beginning of a regular file; nothing of anything else."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(_MAX_BYTES)


def _make_reproducible(git: Path) -> None:
    for name in ("FETCH_HEAD", "ORIG_HEAD"):
        (git / name).unlink(missing_ok=True)
    shutil.rmtree(git / "logs", ignore_errors=True)
    # An index made from the commit alone has no file times in it; git looks at the files again when it is used.
    subprocess.run(
        ["git", "read-tree", "HEAD"], cwd=git.parent, env=LOCAL_ENVIRONMENT, check=True, timeout=300
    )
