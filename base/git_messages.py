"""What git's messages mean where a server would not give a repository, the same for whoever asks it.

git's messages are for people and change between releases; they are the only thing that it tells besides that it
failed. They are in English: see `base.git_environment.git_environment`. Pure.
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
    """Tell whether git came to a redirect, which it was told not to follow."""
    return bool(_MOVED.search(message))


def is_denied(message: str) -> bool:
    """Tell whether the server wants another login than git had, if any."""
    return bool(_DENIED.search(message))


def is_hidden(message: str) -> bool:
    """Tell whether the repository is not there, or is private: servers do not tell which."""
    return is_denied(message) or bool(_MISSING.search(message))
