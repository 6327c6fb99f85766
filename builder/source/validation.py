"""Validate a checkout before anything reads it: its size, and that no link leaves it.

repo2docker reads `runtime.txt` and similar files on the builder, outside any container. With `runtime.txt` as a
link to `/proc/self/environ`, the builder's environment would be printed into the build log.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from builder.errors import BOTH_BINDER_FOLDERS, UserError

_MAX_HOPS = 40  # links that Linux follows in one path


class _LeavesCheckout(Exception):
    """A link leads out of the checkout."""


def validate_checkout(folder: Path, *, max_bytes: int, max_files: int) -> None:
    """Raise UserError if the checkout is too large, has a link that leaves it, or has both binder folders.

    Size and number of files (folders and links count) include submodules, without `.git`. Links may lead anywhere
    inside the checkout, also to nothing. A link that is absolute or passes through a folder outside is refused
    wherever it ends: on the builder it is another file than in the image.
    """
    files = size = 0
    for entry in _entries(folder):
        files += 1
        info = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(info.st_mode):
            size += info.st_size
        if files > max_files:
            raise UserError(
                "too_many_files",
                f"The repository has more than {max_files:,} files, the limit of this service. Move data out of "
                "it.",
            )
        if size > max_bytes:
            raise UserError(
                "too_large",
                f"The repository is larger than {max_bytes / 2**30:.3g} GiB, the limit of this service. Move "
                "data out of it.",
            )
        _check_entry(folder, entry.path, info.st_mode)
    if (folder / "binder").is_dir() and (folder / ".binder").is_dir():
        raise UserError(
            "both_binder_folders",
            BOTH_BINDER_FOLDERS,
        )


def _entries(folder: Path) -> Iterator["os.DirEntry[str]"]:
    """Yield everything below a folder except `.git`; links are not followed."""
    waiting = [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.name == ".git":
                    continue
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)


def _check_entry(folder: Path, path: str, mode: int) -> None:
    if stat.S_ISLNK(mode):
        relative = os.path.relpath(path, folder)
        try:
            _resolve(folder, relative)
        except _LeavesCheckout:
            raise UserError(
                "symlink_outside",
                f"{printable(relative)} is a symbolic link to {printable(os.readlink(path))}, outside the "
                "repository. Use a relative link to a file inside it.",
            ) from None
    elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UserError(
            "special_file",
            f"{printable(os.path.relpath(path, folder))} is neither a file nor a folder. Remove it.",
        )


def _resolve(folder: Path, relative: str) -> None:
    """Walk a path inside the folder as the kernel would. Raises _LeavesCheckout if any step is outside.

    `Path.resolve` would return only where the path ends, not where it passes through.
    """
    left = relative.split("/")[::-1]
    here: list[str] = []
    hops = 0
    while left:
        name = left.pop()
        if name in ("", "."):
            continue
        if name == "..":
            if not here:
                raise _LeavesCheckout
            here.pop()
            continue
        here.append(name)
        path = os.path.join(folder, *here)
        if os.path.islink(path):
            hops += 1
            target = os.readlink(path)
            if target.startswith("/"):
                raise _LeavesCheckout
            if hops > _MAX_HOPS:
                return  # a loop, which cannot be opened
            here.pop()
            left += target.split("/")[::-1]


def printable(name: str) -> str:
    """Return a file name, shortened, with control characters, bidirectional marks and invalid bytes escaped."""
    text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in name)
    return text if len(text) <= 200 else text[:199] + "…"
