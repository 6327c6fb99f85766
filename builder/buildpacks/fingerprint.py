"""What of a commit can change its environment, as one hash.

Two commits with the same fingerprint differ at most in files that no part of the build reads: notebooks, data,
text. The rules are repo2docker's own (which files it looks at, and when it needs the whole repository), read from
its build packs. In doubt everything counts: a fingerprint that changes too often costs time, one that does not
change when it should gives people the wrong environment. What is not pinned is not captured.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Scope = Literal["files", "tree"]

#: Looked for in binder/ or .binder/, where there is one, else at the root.
ENVIRONMENT_FILES = (
    "environment.yml",
    "environment.yaml",
    "requirements.txt",
    "requirements3.txt",
    "Pipfile",
    "Pipfile.lock",
    "runtime.txt",
    "apt.txt",
    "install.R",
    "Project.toml",
    "JuliaProject.toml",
    "Manifest.toml",
    "JuliaManifest.toml",
    "REQUIRE",
    "default.nix",
    "postBuild",
    "start",
    ".dockerignore",
    ".containerignore",
)
#: Counted only where there is no binder folder.
ROOT_FILES = ("setup.py", "setup.cfg", "pyproject.toml", "DESCRIPTION", "uv.lock", ".python-version")
#: With a Dockerfile nothing else describes the environment.
DOCKERFILE_FILES = ("Dockerfile", ".dockerignore", "Dockerfile.dockerignore")

_MAX_PEEK = 4 * 2**20
# Files whose mere presence lets the build run code that can read anything.
_TREE_FILES = ("postBuild", "default.nix")
_TREE_ROOT_FILES = ("setup.py", "DESCRIPTION")

_DOCKERFILE_READS = re.compile(rb"(?im)^[ \t]*(?:COPY|ADD|ONBUILD)\b|--mount=")
# What follows an option of pip, or stands alone in a line, and is no URL.
_LOCAL = rb"""(?:(?:-[rcef]|--(?:requirement|constraint|editable|find-links)\b)[=\s]*+(?!(?:git\+)?https?:)
    | \.{0,2}/ | \.(?:[\s\[\],"']|$))"""
_PATH = rb"""[\w.-]+/[^:\s]*(?:[\s"']|$)"""
_LOCAL_REQUIREMENT = re.compile(rb"(?mx) ^[ \t]*+(?:" + _LOCAL + rb"|" + _PATH + rb") | \bfile:")
# In environment.yml a list has an entry in each line, or all between brackets.
_LOCAL_YAML = re.compile(rb"(?mx) (?:^[ \t]*+-[ \t]++|[\[,][ \t]*+)[\"']?" + _LOCAL + rb"|\bfile:")
_YAML_PATH = re.compile(rb"(?m)^[ \t]*+-[ \t]++[\"']?" + _PATH)
_LOCAL_PATH = re.compile(rb"""(?m)["']?\b(?:path|editable)\b["']?\s*[:=]|^uuid\s*=""")
_R_READS = re.compile(
    rb"source\s*\(|renv::|\binstall\s*\(|install_local|load_all|install_deps|\bread[._]\w|readLines|readRDS|\bfile\s*\("
    rb"|list\.files|\./|DESCRIPTION"
)
# For a file with this name, what in it makes the whole repository count.
_NEEDS_TREE = {
    "requirements.txt": _LOCAL_REQUIREMENT,
    "requirements3.txt": _LOCAL_REQUIREMENT,
    "environment.yml": _LOCAL_YAML,
    "environment.yaml": _LOCAL_YAML,
    "Pipfile": _LOCAL_PATH,
    "Pipfile.lock": _LOCAL_PATH,
    "Project.toml": _LOCAL_PATH,
    "JuliaProject.toml": _LOCAL_PATH,
    "Manifest.toml": re.compile(rb"(?m)^[ \t]*path[ \t]*="),
    "JuliaManifest.toml": re.compile(rb"(?m)^[ \t]*path[ \t]*="),
    "install.R": _R_READS,
    "Dockerfile": _DOCKERFILE_READS,
}


@dataclass(frozen=True)
class Fingerprint:
    """`value`: hexadecimal SHA-256. `scope`: whether only the environment's files went in, or the whole tree."""

    value: str
    scope: Scope


def fingerprint(folder: Path, recipe: str) -> Fingerprint:
    """Return the fingerprint of a vetted checkout, equal for every clone of a commit.

    It is made of paths, contents, link targets and executable bits; `recipe` stands for all that changes the
    result besides the repository. `.git` never counts.
    """
    names = _environment_files(folder)
    scope: Scope = "tree" if _needs_tree(folder, names) else "files"
    digest = hashlib.sha256(f"repo2hub fingerprint 1\0{recipe}\0{scope}\0".encode())
    for path in sorted(_tree_files(folder)) if scope == "tree" else names:
        for part in _file_parts(folder, path, follow=scope == "files"):
            digest.update(b"%d:" % len(part) + part)
    return Fingerprint(digest.hexdigest(), scope)


def _environment_files(folder: Path) -> list[str]:
    """Return the paths of the files that describe the environment, sorted."""
    binder = next((name for name in ("binder", ".binder") if (folder / name).is_dir()), "")
    if (folder / binder / "Dockerfile").is_file():
        # The build context is the repository's root, also for a Dockerfile in binder/.
        wanted = {os.path.join(binder, name) for name in DOCKERFILE_FILES} | {".dockerignore"}
    else:
        wanted = {os.path.join(binder, name) for name in ENVIRONMENT_FILES}
        wanted |= {".gitmodules"} | (set(ROOT_FILES) if not binder else set())
    return sorted(path for path in wanted if (folder / path).is_file())


def _needs_tree(folder: Path, names: list[str]) -> bool:
    return any(_file_needs_tree(folder / name, name) for name in names)


def _file_needs_tree(path: Path, name: str) -> bool:
    if path.name in _TREE_FILES or name in _TREE_ROOT_FILES:
        return True
    content = _read_start(path)
    if name == "pyproject.toml":
        # Without a build system it only configures tools, unless uv installs from it.
        return re.search(rb"(?m)^[ \t]*\[[ \t]*[\"']?project\b", content) is not None
    if path.suffix in (".yml", ".yaml") and _YAML_PATH.search(content.partition(b"pip:")[2]):
        return True  # before "pip:" it would be a channel, such as conda-forge/label/dev
    pattern = _NEEDS_TREE.get(path.name)
    return pattern is not None and pattern.search(content) is not None


def _read_start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAX_PEEK)


def _tree_files(folder: Path) -> Iterator[str]:
    """Yield the paths of all files and links, relative to the folder."""
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != ".git"]
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        for name in (*files, *links):
            if name != ".git":
                yield os.path.relpath(os.path.join(place, name), folder)


def _file_parts(folder: Path, path: str, *, follow: bool) -> Iterator[bytes]:
    """Yield a file's path, kind and content (a link's target, unless it is followed)."""
    full = folder / path
    yield os.fsencode(path)
    if full.is_symlink() and not follow:
        yield b"link"
        yield os.fsencode(os.readlink(full))
        return
    with full.open("rb") as file:
        yield b"executable" if os.fstat(file.fileno()).st_mode & 0o100 else b"file"
        yield hashlib.file_digest(file, "sha256").digest()
