"""How to fix a failed build, by its cause, and who can do it.

The causes are those that builders write (`builder/logs/known_failures.py` and the errors of `builder/`); a test
checks that each has its advice. An unknown cause, from a newer builder, gets the advice of its reason.
"""

from enum import StrEnum
from typing import NamedTuple

from db.models import Build
from db.status import Reason, Status


class FixedBy(StrEnum):
    """Who can fix it."""

    OWNER = "repository owner"
    ADMIN = "admin"
    NOBODY = "nobody"


class Advice(NamedTuple):
    """Who can fix a build, and how."""

    who: FixedBy
    text: str


def _owner(text: str) -> Advice:
    return Advice(FixedBy.OWNER, text)


def _admin(text: str) -> Advice:
    return Advice(FixedBy.ADMIN, text)


_SPELLING = "Check the package name, correct it in the file that lists it, and push."
_RULE = "Change the repository as the message says, and push."

ADVICE: dict[str, Advice] = {
    # Packages
    "package_not_found": _owner(_SPELLING),
    "apt_package_not_found": _owner(
        f"{_SPELLING} Package names differ between releases of Debian and Ubuntu."
    ),
    "version_not_found": _owner(
        "Require a version that supports this Python, or change the Python version in runtime.txt or "
        "environment.yml. Then push."
    ),
    "dependency_conflict": _owner(
        "Relax or remove one of these version constraints, test it locally, and push."
    ),
    "package_build_failed": _owner(
        "Use a version that has a wheel, or add the required compilers and libraries to apt.txt. Then push."
    ),
    "requirements_syntax": _owner(
        "Fix that line and push. Write one requirement per line, such as numpy==2.1."
    ),
    # Files of the repository
    "dockerfile_syntax": _owner(
        "Fix that line of the Dockerfile and push. `docker build .` shows the same error."
    ),
    "file_not_found": _owner("Add the file to the repository, or remove it from .dockerignore. Then push."),
    "environment_yml_invalid": _owner("Fix that line and push. Check the indentation."),
    "runtime_txt_invalid": _owner("Use a version that repo2docker supports, such as python-3.12, and push."),
    "configuration_invalid": _owner("Fix what repo2docker reports, and push."),
    "both_binder_folders": _owner("Delete one of the two folders, or merge them. Then push."),
    "unsupported_buildpack": _owner(
        "Describe the environment in a file that repo2docker supports, and push."
    ),
    "no_buildpack": _owner("Add a requirements.txt or environment.yml, even an empty one, and push."),
    "postbuild_failed": _owner(
        "Run postBuild locally, fix the error in the last lines of the log, and push."
    ),
    "command_failed": _owner("Fix the error in the last lines of the failed step, and push."),
    "base_image_not_found": _owner("Use a public image in the FROM line of the Dockerfile, and push."),
    # The commit and its checkout
    "commit_not_found": _owner(
        "The commit no longer exists on GitHub, usually after a force push. Build the branch."
    ),
    "repository_not_found": _owner(
        "Check the spelling. If the repository is private, ask an admin to give this service a token with access."
    ),
    "repository_moved": _owner("Build the repository under its new name or URL."),
    "host_not_allowed": _admin("To allow this server, add it to REPO2HUB_GIT_HOSTS of the builder too."),
    "submodule_not_found": _owner(
        "Point the submodule to an existing commit of a public repository, and push."
    ),
    "submodule_unreachable": _owner("Check the URL of the submodule. If it is correct, rebuild later."),
    "checkout_refused": _owner(_RULE),
    "checkout_failed": _owner(_RULE),
    "special_file": _owner(_RULE),
    "symlink_outside": _owner(_RULE),
    "too_large": _owner("Move large files out of the repository, download them when needed, and push."),
    "too_many_files": _owner("Move data files out of the repository, download them when needed, and push."),
    # Limits
    "out_of_memory": _owner(
        "Install fewer packages, or packages that need no compiling. An admin can raise "
        "REPO2HUB_BUILD_MEMORY_LIMIT."
    ),
    "time_limit": _owner("Speed up the slowest step. An admin can raise REPO2HUB_BUILD_TIMEOUT."),
    "idle_limit": _owner(
        "Check whether the last step waits for input or for a server, and let it print its progress. An admin can "
        "raise REPO2HUB_BUILD_IDLE_TIMEOUT."
    ),
    # The builder and its environment
    "no_space": _admin("Free disk space on the builder: repo2hub prune --yes"),
    "engine_unavailable": _admin(
        "Start the container engine on the builder. `repo2hub doctor` shows what is wrong."
    ),
    "engine_failed": _admin("Check the log of the container engine on the builder."),
    "buildx_missing": _admin("Install docker-buildx on the builder."),
    "memory_limit_unenforceable": _admin(
        "Change the builder as the message says, or unset REPO2HUB_BUILD_MEMORY_LIMIT."
    ),
    "base_image_unusable": _admin("Check REPO2HUB_BASE_IMAGE, and that the builder can pull it."),
    "base_environment_failed": _admin(
        "Check that the builder can reach conda's servers, or set REPO2HUB_BUILDPACKS=uv,standard."
    ),
    "registry_denied": _admin("Log in on the builder with an account that may push: docker login"),
    "registry_unavailable": _admin("Check that the registry is reachable from the builder, then rebuild."),
    "tls_untrusted": _admin(
        "Set REPO2HUB_EXTRA_CA_CERTS of the builder to the CA bundle of your network, and restart it."
    ),
    "network_unavailable": _admin("Check the network and DNS of the builder, then rebuild."),
    "github_unreachable": _admin(
        "Check the builder's connection to GitHub and GitHub's status page, then rebuild."
    ),
    "fetch_failed": _admin(
        "Check the builder's connection to GitHub and the output of git in its log, then rebuild."
    ),
    "token_refused": _admin("Set REPO2HUB_GITHUB_TOKEN to a valid token with read access to the repository."),
    "unknown": _admin("Check the log below and the log of the builder."),
    "internal_error": _admin("Check the log of the builder, and report the error."),
    "lost": _admin(
        "Check the builder: it crashed or lost its connection on every attempt, often for lack of memory."
    ),
}

_BY_REASON = {
    Reason.USER_ERROR: _owner("Fix the error in the last lines of the log, and push."),
    Reason.TIME_LIMIT: ADVICE["time_limit"],
    Reason.MEMORY_LIMIT: ADVICE["out_of_memory"],
    Reason.INFRASTRUCTURE: ADVICE["unknown"],
    Reason.LOST: ADVICE["lost"],
}


def advice(build: Build) -> Advice | None:
    """Return how to fix a build that failed or is being retried; None if there is nothing to fix."""
    if build.status is Status.QUEUED and build.cause:
        return Advice(FixedBy.NOBODY, "No action needed; the build is retried automatically.")
    if build.status is not Status.FAILED or build.reason is None:
        return None
    return ADVICE.get(build.cause or "") or _BY_REASON.get(build.reason)
