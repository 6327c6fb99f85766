"""Hash the files of a commit that can change its environment.

Two commits with the same fingerprint differ only in files that no part of the build reads, such as notebooks and
data. The rules are repo2docker's own: which files it reads, and when it needs the whole repository. In doubt
everything counts: a fingerprint that changes too often costs time, one that changes too seldom gives users the
wrong environment. Unpinned versions are not captured.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

# In binder/ or .binder/ if there is one, else at the root.
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
# Only without a binder folder.
ROOT_FILES = ("setup.py", "setup.cfg", "pyproject.toml", "DESCRIPTION", "uv.lock", ".python-version")
# With a Dockerfile, nothing else describes the environment.
DOCKERFILE_FILES = ("Dockerfile", ".dockerignore", "Dockerfile.dockerignore")

_MAX_PEEK = 4 * 2**20
# With these files the build runs code that can read anything.
_TREE_FILES = ("postBuild", "default.nix")
_TREE_ROOT_FILES = ("setup.py", "DESCRIPTION")

_DOCKERFILE_READS = re.compile(rb"(?im)^[ \t]*(?:COPY|ADD|ONBUILD)\b|--mount=")
# The value of a pip option, or a whole line, that is no URL.
_LOCAL = rb"""(?:(?:-[rcef]|--(?:requirement|constraint|editable|find-links)\b)[=\s]*+(?!(?:git\+)?https?:)
    | \.{0,2}/ | \.(?:[\s\[\],"']|$))"""
_PATH = rb"""[\w.-]+/[^:\s]*(?:[\s"']|$)"""
_LOCAL_REQUIREMENT = re.compile(rb"(?mx) ^[ \t]*+(?:" + _LOCAL + rb"|" + _PATH + rb") | \bfile:")
# A list in environment.yml has one entry a line, or all between brackets.
_LOCAL_YAML = re.compile(rb"(?mx) (?:^[ \t]*+-[ \t]++|[\[,][ \t]*+)[\"']?" + _LOCAL + rb"|\bfile:")
_YAML_PATH = re.compile(rb"(?m)^[ \t]*+-[ \t]++[\"']?" + _PATH)
_LOCAL_PATH = re.compile(rb"""(?m)["']?\b(?:path|editable)\b["']?\s*[:=]|^uuid\s*=""")
_R_READS = re.compile(
    rb"source\s*\(|renv::|\binstall\s*\(|install_local|load_all|install_deps|\bread[._]\w|readLines|readRDS|\bfile\s*\("
    rb"|list\.files|\./|DESCRIPTION"
)
# For each file name, the pattern in its content that makes the whole repository count.
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


def compute_fingerprint(folder: Path, recipe: str) -> str:
    """Return a hexadecimal SHA-256 that is equal for every clone of a commit. The checkout must be validated.

    It covers paths, contents, link targets and executable bits, of the environment's files alone or of the whole
    tree without `.git`; and `recipe`, which stands for everything else that changes an image.
    """
    names = _environment_files(folder)
    scope = "tree" if _needs_tree(folder, names) else "files"
    digest = hashlib.sha256(f"repo2hub fingerprint 1\0{recipe}\0{scope}\0".encode())
    for path in sorted(_tree_files(folder)) if scope == "tree" else names:
        for part in _file_parts(folder, path, follow=scope == "files"):
            digest.update(b"%d:" % len(part) + part)
    return digest.hexdigest()


def _environment_files(folder: Path) -> list[str]:
    """Return the paths of the files that describe the environment, sorted."""
    binder = next((name for name in ("binder", ".binder") if (folder / name).is_dir()), "")
    if (folder / binder / "Dockerfile").is_file():
        # The build context is always the repository's root.
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
        # Without [project] it only configures tools.
        return re.search(rb"(?m)^[ \t]*\[[ \t]*[\"']?project\b", content) is not None
    if path.suffix in (".yml", ".yaml") and _YAML_PATH.search(content.partition(b"pip:")[2]):
        return True  # before "pip:" it would be a channel such as conda-forge/label/dev
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
