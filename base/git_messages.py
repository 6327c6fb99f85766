"""Classify git's messages when a server refuses a repository. Pure.

Apart from its exit status, git explains a failure only in messages, which change between releases. They are in
English because of `base.git_environment.git_environment`.
"""

import re

_MOVED = re.compile(r"returned error: 30[1278]|unable to update url base from redirection")
_DENIED = re.compile(
    r"(?i)authentication failed|could not read (?:username|password)|returned error: 40[13]|access denied"
)
_MISSING = re.compile(
    r"(?i)not found|does not exist|not exported|returned error: (?:404|451)"
    r"|does not appear to be a git repository"
)


def is_redirect(message: str) -> bool:
    """Return whether git got a redirect, which it does not follow."""
    return bool(_MOVED.search(message))


def is_denied(message: str) -> bool:
    """Return whether the server requires a login, or rejected it."""
    return bool(_DENIED.search(message))


def is_hidden(message: str) -> bool:
    """Return whether the repository is missing or private; servers do not say which."""
    return is_denied(message) or bool(_MISSING.search(message))
