"""What a checkout must be before anything reads it: of bearable size, and closed in itself.

repo2docker reads `runtime.txt` and its like on the builder, outside any container. A repository whose
`runtime.txt` is a link to `/proc/self/environ` had the builder's environment printed into its build log.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from builder.errors import UserError

#: As many links as Linux follows in one path.
_MAX_HOPS = 40


class _LeavesCheckout(Exception):
    """A link leads out of the checkout."""


def validate_checkout(folder: Path, *, max_bytes: int, max_files: int) -> None:
    """Raise UserError when the checkout is too large, leaves itself, or has both binder folders.

    Its size and number of files (folders and links count) are those of the commit, submodules included, without
    `.git`. Links may lead anywhere inside the checkout, also to what does not exist. An absolute link, or one
    that passes through a place outside, is refused whatever it leads to: on the builder it is another file than
    in the image.
    """
    files = size = 0
    for entry in _entries(folder):
        files += 1
        info = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(info.st_mode):
            size += info.st_size
        if files > max_files:
            raise UserError(
                "too_many_files", f"The repository has more than {max_files:,} files, the limit here."
            )
        if size > max_bytes:
            raise UserError(
                "too_large",
                f"The repository's files take more than {max_bytes / 2**30:.3g} GiB, the limit here.",
            )
        _check_entry(folder, entry.path, info.st_mode)
    if (folder / "binder").is_dir() and (folder / ".binder").is_dir():
        raise UserError(
            "both_binder_folders",
            "The repository has both a binder/ and a .binder/ folder: keep one of them.",
        )


def _entries(folder: Path) -> Iterator["os.DirEntry[str]"]:
    """Yield what is below a folder, links not followed, `.git` left out."""
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
                "repository: link only to files inside it, with relative paths.",
            ) from None
    elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UserError(
            "special_file", f"{printable(os.path.relpath(path, folder))} is neither a file nor a folder."
        )


def _resolve(folder: Path, relative: str) -> None:
    """Walk a path inside the folder as the kernel would; _Escapes when any step of it is outside.

    Done by hand, because `Path.resolve` tells only where a path ends, not where it passes through.
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
                return  # a loop: nobody can open it
            here.pop()
            left += target.split("/")[::-1]


def printable(name: str) -> str:
    """Return a file's name, shortened, with control characters, bidirectional marks and broken bytes escaped."""
    text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in name)
    return text if len(text) <= 200 else text[:199] + "…"
