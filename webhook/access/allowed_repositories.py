"""Which repositories this service builds: REPO2HUB_ALLOWED_REPOSITORIES and REPO2HUB_BANNED_REPOSITORIES."""

from fnmatch import fnmatchcase

from webhook.http.errors import HttpError
from webhook.settings import WebSettings


def check_allowed(full_name: str, settings: WebSettings) -> None:
    """Raise HttpError 403 unless the settings allow a repository."""
    if code := refusal(full_name, settings):
        message = f"This service does not build {full_name}. Ask an admin to allow the repository."
        raise HttpError(403, code, message)


def refusal(full_name: str, settings: WebSettings) -> str | None:
    """Return why the settings do not allow a repository: repository_banned or repository_not_allowed; else None.

    The patterns are globs in lower case, and names are compared in lower case, as GitHub does. A ban wins. Without
    allowed patterns every repository is allowed that is not banned.
    """
    name = full_name.lower()
    if any(fnmatchcase(name, pattern) for pattern in settings.banned_repositories):
        return "repository_banned"
    allowed = settings.allowed_repositories
    if allowed and not any(fnmatchcase(name, pattern) for pattern in allowed):
        return "repository_not_allowed"
    return None
