"""The failures that we can explain, as data: one rule for each.

The patterns come from real output of repo2docker, BuildKit, pip, uv and apt (`tests/builder/logs/failures/`),
those of conda and R from their documentation. `builder.logs.diagnosis` applies the first rule that matches, so
the order counts: pip, for example, prints "no matching distribution" also when it cannot reach its index.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum

from builder.errors import BOTH_BINDER_FOLDERS, ENGINE_UNAVAILABLE, TLS_UNTRUSTED, no_space_error


class BuildPart(StrEnum):
    """The part of a build that failed."""

    OUTSIDE = "outside"
    """No build step: repo2docker itself, the engine, parsing the Dockerfile. Steps cannot forge it."""
    BASE_IMAGE = "base image"
    """BuildKit resolving the image of a FROM line."""
    STEP = "step"
    """A RUN, COPY or ADD instruction."""
    PUSH = "push"
    """BuildKit pushing the image."""


ANYWHERE = frozenset(BuildPart)


@dataclass(frozen=True)
class Rule:
    """A failure: in which part it occurs, which output it has, and how to explain it.

    `message` is a format string with the pattern's named groups, `subject` (the step's command or image) and
    `last` (the step's last line). `is_user_error`: whether the repository's owner can fix it; if not, the build
    is retried.
    """

    cause: str
    is_user_error: bool
    where: frozenset[BuildPart]
    pattern: re.Pattern[str]
    message: str
    subject: re.Pattern[str] = field(default=re.compile(""))


def _user(cause: str, where: str, pattern: str, message: str, *, subject: str = "") -> Rule:
    return Rule(cause, True, _parse_parts(where), re.compile(pattern, re.M), message, re.compile(subject))


def _infra(cause: str, where: str, pattern: str, message: str, *, subject: str = "") -> Rule:
    return Rule(cause, False, _parse_parts(where), re.compile(pattern, re.M), message, re.compile(subject))


def _parse_parts(where: str) -> frozenset[BuildPart]:
    return ANYWHERE if where == "anywhere" else frozenset(BuildPart(place) for place in where.split(", "))


_CERTIFICATE = (
    r"(?i)certificate[_ ]verify[_ ]failed|x509: certificate|SSL certificate problem|invalid peer certificate"
)
_DENIED = (
    r"(?i)no basic auth credentials|unauthorized|denied|forbidden|authorization failed|insufficient_scope"
)
_BUSY = r"(?i)toomanyrequests|too many requests|status(?: code)?:? 5\d\d|50[0234] [A-Z]"
_NETWORK = "The build cannot reach {host}. If the name is correct, check the builder's network and DNS."

# fmt: off
RULES: tuple[Rule, ...] = (
    # The builder
    _infra("engine_unavailable", "outside",
          r"Cannot connect to the Docker daemon|error during connect|Unavailable: |code = Unavailable"
          r"|docker commandline client must be installed|No such file or directory: 'docker'", ENGINE_UNAVAILABLE),
    # The engine stopped while it was starting the step. A wrong command name fails without a hook.
    _infra("engine_unavailable", "step", r"^runc run failed: [^\n]* error running hook", ENGINE_UNAVAILABLE),
    _infra("buildx_missing", "outside", r"The buildx plugin must be installed",
          "The builder's docker client has no buildx plugin. An admin can install docker-buildx on the builder."),
    _infra("no_space", "anywhere", r"(?i)no space left on device|disk quota exceeded",
          no_space_error().message),

    # The registry
    _infra("registry_denied", "push", _DENIED,
          "The registry denied the push of {subject}. Log in on the builder with an account that may push: "
          "docker login"),
    _infra("tls_untrusted", "push, base image", _CERTIFICATE, TLS_UNTRUSTED),
    _infra("registry_unavailable", "push", r"ERROR: (?P<error>[^\n]+)",
          "The image was built but could not be pushed to the registry: {error}"),
    _infra("registry_unavailable", "base image", _BUSY,
          "The registry of the base image {subject} is overloaded or limits pulls."),
    _user("base_image_not_found", "base image",
          rf"{_DENIED}|not found|does not exist|manifest unknown|invalid reference",
          "Base image {subject} not found, or it is private. Fix the FROM line of the Dockerfile."),
    _infra("network_unavailable", "base image", r"dial tcp|\bhttps?://|timeout|EOF",
          "Cannot reach the registry of the base image {subject}. If the FROM line of the Dockerfile is "
          "correct, check the builder's network and DNS."),

    # The Dockerfile
    _user("dockerfile_syntax", "outside",
          r"dockerfile parse error (?:on )?line (?P<line>\d+): (?P<error>[^\n]+)",
          "The Dockerfile has a syntax error in line {line}: {error}."),
    _user("dockerfile_syntax", "outside", r"Dockerfile cannot be empty|file with no instructions",
          "The Dockerfile is empty. Add at least a FROM line."),
    _user("file_not_found", "anywhere",
          r"failed to (?:compute cache key|calculate checksum)[^\n]*?\"(?P<path>[^\"\n]+)\"[^\n]*not found",
          "The Dockerfile copies {path}, which is missing from the repository or excluded by .dockerignore."),

    # repo2docker, before it builds
    _user("both_binder_folders", "outside", r"contains both a 'binder' and a '\.binder'",
          BOTH_BINDER_FOLDERS),
    _user("unsupported_buildpack", "outside", r"The legacy buildpack (?:has been|was) removed",
          "The Dockerfile starts from andrewosh/binder-base, which repo2docker no longer supports. Use "
          "another base image, or an environment.yml or requirements.txt."),
    _user("unsupported_buildpack", "outside", r"Julia REQUIRE no longer supported",
          "repo2docker no longer supports Julia's REQUIRE file. Describe the environment in Project.toml."),
    _user("no_buildpack", "outside", r"No environment specification found",
          "The repository has no file that describes its environment. Add, for example, a requirements.txt, "
          "environment.yml or Dockerfile."),
    _user("environment_yml_invalid", "outside",
          r'^Error during build: (?P<context>while [^\n]+)\n\s+in "(?P<file>[^"\n]+)", line (?P<start>\d+)[^\n]*\n'
          r'(?P<error>[^\n]+)\n\s+in "[^"\n]+", line (?P<line>\d+)',
          "{file} is not valid YAML: {error} in line {line} ({context} that starts in line {start})."),
    _user("environment_yml_invalid", "outside",
          r'^Error during build: (?P<error>[^\n]+)\n\s+in "(?P<file>[^"\n]+)", line (?P<line>\d+)',
          "{file} is not valid YAML: {error} in line {line}."),
    _user("environment_yml_invalid", "outside", r"(?P<file>environment\.ya?ml) should contain a dictionary",
          "{file} must be a mapping with keys such as `dependencies:`, not a list or a single value."),
    _user("runtime_txt_invalid", "outside",
          r"^Error during build: (?P<error>Invalid version: [^\n]+|Invalid runtime\.txt[^\n]*"
          r"|Python version [^\n]+ is not supported!|R version [^\n]+ is not supported"
          r"|runtime\.txt version [^\n]+)",
          "runtime.txt names a version that repo2docker does not support: {error}"),
    _infra("network_unavailable", "outside",
          r"^Error during build: (?:HTTPS?ConnectionPool\(host='(?P<host>[^']+)'|Failed to fetch available Julia)",
          "repo2docker cannot reach {host}, which it needs to prepare the build. Check the builder's network "
          "and DNS."),
    _user("configuration_invalid", "outside", r"^Error during build: (?P<error>(?!Command )[^\n]+)",
          "repo2docker cannot build this repository: {error}"),

    # A step: causes that other messages hide
    _user("out_of_memory", "step",
          r"exit code: 137$|Killed signal terminated program|std::bad_alloc|^\s*MemoryError\b",
          "A step was killed because it exceeded the memory limit of builds (REPO2HUB_BUILD_MEMORY_LIMIT)."),
    _infra("tls_untrusted", "step", _CERTIFICATE, TLS_UNTRUSTED),
    _infra("network_unavailable", "step",
          r"(?i:could not resolve host(?:name)?:? \[?|temporary failure resolving '"
          r"|unable to resolve host address .)"
          r"(?:https?://)?(?P<host>[\w.-]+)",
          _NETWORK),
    _infra("network_unavailable", "step",
          r"(?:curl: \(\d+\)|wget:)[^\n]*connect to (?P<host>[\w.-]+)",
          _NETWORK),
    _infra("network_unavailable", "step",
          r"Retry\(total=0[^\n]*broken by|(?:gaierror|URLError)[^\n]*(?:Name or service|Temporary failure)"
          r"|dns error|failed to lookup address|CondaHTTPError|^E: Failed to fetch|HTTP error 5\d\d",
          "The build cannot reach a server that it needs. If its address is correct, check the builder's "
          "network and DNS."),

    # A step: packages
    _user("requirements_syntax", "step",
          r"Invalid requirement: (?P<text>[^\n]+) \(from line (?P<line>\d+) of (?P<file>[^)\n]+)\)",
          "{file} has an invalid requirement in line {line}: {text}."),
    _user("requirements_syntax", "step", r"Invalid requirement: (?P<text>[^\n]+)",
          "pip cannot parse this requirement: {text}."),
    _user("requirements_syntax", "step", r"Couldn't parse requirement in `(?P<file>[^`\n]+)`[^\n]*"
          r"(?:\n\s*(?:cause: )?[^\n]*\n\s+(?P<text>\S[^\n]*))?",
          "{file} has an invalid requirement: {text}"),
    _user("package_not_found", "step",
          r"satisfies the requirement (?P<package>[^\s(]+)[^\n]*\(from versions: none\)",
          "Python package {package} not found. Check its spelling."),
    _user("version_not_found", "step", r"satisfies the requirement (?P<package>[^\s(]+)",
          "No version matches {package} for the image's Python. Change the required version, or the Python "
          "version."),
    _user("package_not_found", "step", r"(?P<package>\S+) was not found in the package registry",
          "Python package {package} not found. Check its spelling."),
    _user("version_not_found", "step", r"[Bb]ecause there (?:is|are) no versions? of (?P<package>\S+)",
          "No version matches {package} for the image's Python. Change the required version, or the Python "
          "version."),
    _user("dependency_conflict", "step",
          r"The conflict is caused by:\n\s*(?P<first>[^\n]+)\n\s*(?P<second>[^\n]+)",
          "The required packages conflict: {first}, but {second}."),
    _user("dependency_conflict", "step", r"\bBecause (?P<reason>[^\n]+?),? we can conclude",
          "The required packages conflict: {reason}."),
    _user("dependency_conflict", "step", r"ResolutionImpossible",
          "The required packages conflict. Loosen their version constraints."),
    _user("package_not_found", "step",
          r"not available from current channels:\s+- (?P<package>\S+)"
          r"|nothing provides requested (?P<requested>\S+)|[└├]─ (?P<missing>\S+)[^\n]* does not exist",
          "Conda package {package}{requested}{missing} not found in the channels of environment.yml."),
    _user("dependency_conflict", "step",
          r"Could not solve for environment specs|UnsatisfiableError|nothing provides (?P<what>[^\n]+) needed by",
          "The packages of environment.yml conflict. Loosen their version constraints."),
    _user("apt_package_not_found", "step",
          r"E: (?:Unable to locate package |Package '|Version '[^'\n]*' for ')(?P<package>[^\s']+)",
          "Debian or Ubuntu package {package} not found for this base image. Check its spelling."),
    _user("package_not_found", "step", "package \u2018(?P<package>[^\u2019\\n]+)\u2019 is not available",
          "R package {package} not found for this version of R. Check its spelling."),
    _user("package_build_failed", "step",
          r"Failed building wheel for (?P<package>\S+)|Failed to build `(?P<built>[^`\n]+)`"
          r"|trying to install package\.\s+\S+ (?P<installed>\S+)",
          "Package {package}{built}{installed} could not be built from source. Add the compilers and "
          "libraries that it needs to apt.txt, or use a version that has a wheel."),
    _user("package_build_failed", "step",
          r"^\s*(?P<error>\w*(?:Error|Exception)\b[^\n]*)\n\s+\[end of output\]",
          "The build of a Python package failed: {error}"),

    # A step: any other error of its command
    _infra("base_environment_failed", "step", r"exit code: (?P<code>\d+)",
          "The installation of repo2docker's base environment failed with exit code {code}: {last}",
          subject=r"install-base-env\.bash"),
    _user("postbuild_failed", "step", r"exit code: (?P<code>\d+)$",
          "postBuild failed with exit code {code}: {last}", subject=r"postBuild"),
    _user("command_failed", "step", r"exit code: (?P<code>\d+)$",
          "The command `{subject}` failed with exit code {code}: {last}"),
    _user("command_failed", "step", r"ERROR: (?:failed to solve: )?(?P<error>[^\n]+)",
          "A build step failed: {error}"),
)
# fmt: on
