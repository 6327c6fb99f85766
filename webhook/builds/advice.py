"""What to do about a failed build, by its cause: words for people, and who can do it.

The causes are those that builders write (`builder/logs/known_failures.py`, `builder/errors.py` and what raises them); a
test holds this table against them. A cause that is not known here, of a newer builder, gets its reason's advice.
"""

from enum import StrEnum
from typing import NamedTuple

from db.models import Build
from db.status import Reason, Status


class FixedBy(StrEnum):
    """Who can mend it."""

    OWNER = "in the repository"
    ADMIN = "by an admin of this service"
    NOBODY = "by waiting"


class Advice(NamedTuple):
    """What to do and who can."""

    who: FixedBy
    text: str


def _owner(text: str) -> Advice:
    return Advice(FixedBy.OWNER, text)


def _admin(text: str) -> Advice:
    return Advice(FixedBy.ADMIN, text)


_SPELLING = "Look the name up where it is published, mend it in the file that asks for it, and push."
_RULE = "Change the repository so that it keeps to that rule, and push."
_TRUST = "Set REPO2HUB_EXTRA_CA_CERTS of the builder to the CA bundle of the network, and start it again."

ADVICE: dict[str, Advice] = {
    # Packages
    "package_not_found": _owner(_SPELLING),
    "apt_package_not_found": _owner(
        _SPELLING + " Package names differ between releases of Debian and Ubuntu."
    ),
    "version_not_found": _owner(
        "Ask for a version that exists for this Python, or change the Python in runtime.txt or environment.yml; "
        "then push."
    ),
    "dependency_conflict": _owner(
        "Loosen or drop one of the versions named, solve the environment once on your own machine, and push."
    ),
    "package_build_failed": _owner(
        "Choose a version that has a wheel, or add the compilers and libraries it needs to apt.txt, and push."
    ),
    "requirements_syntax": _owner("Mend that line, and push. One requirement a line, such as numpy==2.1."),
    # Files of the repository
    "dockerfile_syntax": _owner(
        "Mend that line of the Dockerfile, and push. `docker build .` finds the same error."
    ),
    "file_not_found": _owner("Add the file to the repository, or take it out of .dockerignore, and push."),
    "environment_yml_invalid": _owner("Mend that line, and push. In YAML the indentation counts."),
    "runtime_txt_invalid": _owner("Write a version that repo2docker knows, such as python-3.12, and push."),
    "configuration_invalid": _owner("Change what repo2docker names, and push."),
    "both_binder_folders": _owner("Delete or merge one of the two folders, and push."),
    "unsupported_buildpack": _owner(
        "Describe the environment in a file that repo2docker still reads, and push."
    ),
    "no_buildpack": _owner("Add a requirements.txt or an environment.yml, even an empty one, and push."),
    "postbuild_failed": _owner("Run postBuild on your own machine, mend what its last lines say, and push."),
    "command_failed": _owner(
        "The step that failed is open in the log below. Mend what its last lines say, and push."
    ),
    "base_image_not_found": _owner("Name a public image in the FROM line of the Dockerfile, and push."),
    # The commit and its checkout
    "commit_not_found": _owner(
        "The commit is gone from GitHub, as after a forced push. Build the branch instead."
    ),
    "repository_not_found": _owner(
        "Check the repository's name. A private one needs a token of this service that may read it: ask an admin."
    ),
    "repository_moved": _owner("Ask for the repository by its new name or address."),
    "host_not_allowed": _admin(
        "Name the server in REPO2HUB_GIT_HOSTS of the builder too, if people may have repositories built from it."
    ),
    "submodule_not_found": _owner(
        "Point the submodule to a public repository and a commit that exists, and push."
    ),
    "submodule_unreachable": _owner("Check the submodule's address. If it is right, build again later."),
    "checkout_refused": _owner(_RULE),
    "checkout_failed": _owner(_RULE),
    "special_file": _owner(_RULE),
    "symlink_outside": _owner(_RULE),
    "too_large": _owner("Move large data out of the repository, and fetch it when it is needed; then push."),
    "too_many_files": _owner("Move data out of the repository, and fetch it when it is needed; then push."),
    # Limits
    "out_of_memory": _owner(
        "Install less at once, or packages that need no compiling; an admin can raise REPO2HUB_BUILD_MEMORY_LIMIT."
    ),
    "time_limit": _owner(
        "Make the slowest step of the timeline shorter; an admin can raise REPO2HUB_BUILD_TIMEOUT."
    ),
    "idle_limit": _owner(
        "A step went silent, often because it asked a question or waited for a server. Let it print as it goes; "
        "an admin can raise REPO2HUB_BUILD_IDLE_TIMEOUT."
    ),
    # The builder and what is around it
    "no_space": _admin("Free space on the builder: old images and the engine's build cache take the most."),
    "engine_unavailable": _admin(
        "Start the container engine; `repo2hub doctor` on the builder says what is wrong."
    ),
    "engine_failed": _admin("Look at the container engine's own log on the builder."),
    "buildx_missing": _admin("Install docker-buildx on the builder."),
    "memory_limit_unenforceable": _admin(
        "Give the builder's engine the rights that the message names, or lift the limit."
    ),
    "base_image_unusable": _admin("Check REPO2HUB_BASE_IMAGE: the builder must be able to pull it."),
    "base_environment_failed": _admin(
        "repo2docker's base needs conda's servers: check the builder's network, or set "
        "REPO2HUB_BUILDPACKS=uv,standard."
    ),
    "registry_denied": _admin(
        "Log the builder in to the registry (`docker login`) as somebody who may write there."
    ),
    "registry_unavailable": _admin("Check that the registry answers, then build again."),
    "tls_untrusted": _admin(_TRUST),
    "network_unavailable": _admin("Check the builder's network and DNS, then build again."),
    "github_unreachable": _admin(
        "Check the builder's way to GitHub, and GitHub's own status page; then build again."
    ),
    "fetch_failed": _admin(
        "Check the builder's way to GitHub; its log says what git printed. Then build again."
    ),
    "token_refused": _admin("Give REPO2HUB_GITHUB_TOKEN a token that is valid and may read the repository."),
    "internal_error": _admin("Look at the builder's log, and report what it says."),
    "lost": _admin(
        "Look at the builder: it died or was cut off, each time. Out of memory is the usual reason."
    ),
}

_BY_REASON = {
    Reason.USER_ERROR: _owner("Mend what the last lines of the log say, and push."),
    Reason.TIME_LIMIT: ADVICE["time_limit"],
    Reason.MEMORY_LIMIT: ADVICE["out_of_memory"],
    Reason.INFRASTRUCTURE: _admin(
        "Something around the build failed: the log below and the builder's own say what."
    ),
    Reason.LOST: ADVICE["lost"],
}


def advice(build: Build) -> Advice | None:
    """Return what to do about a build that failed or will be tried again; None where there is nothing to mend."""
    if build.status is Status.QUEUED and build.cause:
        return Advice(FixedBy.NOBODY, "Nothing needs to be done: it is tried again by itself.")
    if build.status is not Status.FAILED or build.reason is None:
        return None
    return ADVICE.get(build.cause or "") or _BY_REASON.get(build.reason)
