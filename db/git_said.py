"""What git's messages mean where a server would not give a repository, the same for whoever asks it.

git's messages are for people and change between releases; they are the only thing that it tells besides that it
failed. They are in English: see `db.github.git_environment`. Pure.
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


def has_moved(said: str) -> bool:
    """Tell whether git came to a redirect, which it was told not to follow."""
    return bool(_MOVED.search(said))


def is_denied(said: str) -> bool:
    """Tell whether the server wants another login than git had, if any."""
    return bool(_DENIED.search(said))


def is_hidden(said: str) -> bool:
    """Tell whether the repository is not there, or is private: servers do not tell which."""
    return is_denied(said) or bool(_MISSING.search(said))
