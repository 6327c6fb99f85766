"""Interpret a repository's name: its server, its URL, and the key that all spellings share.

Pure: a name cannot become another address, another protocol or a command.
"""

GITHUB = "gh"
"""The provider of repositories at the configured GitHub, named `org/name`."""
GIT = "git"
"""The provider of repositories on any other git server, named by the address that they are cloned from."""


def is_at_github(full_name: str) -> bool:
    """Return whether a repository is at the configured GitHub: `org/name` is, an address is not."""
    return "://" not in full_name


def provider_of(full_name: str) -> str:
    """Return the provider of a repository."""
    return GITHUB if is_at_github(full_name) else GIT


def name_key(full_name: str) -> str:
    """Return the form of a name that all its spellings share: names at GitHub are case-insensitive.

    The path of an address may be case-sensitive; its host was lowercased when it was parsed.
    """
    return full_name.lower() if is_at_github(full_name) else full_name
