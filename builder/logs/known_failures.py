"""What failed builds print, as data: one rule for each failure that we can explain.

The patterns come from real output of repo2docker, BuildKit, pip, uv and apt (`tests/unit/failures/`), those of
conda and R from what they are known to print. `builder/logs/diagnosis.py` tries the rules in this order; the first that
fits explains the build. So what hides behind other messages comes first: pip says "no matching distribution" also
when it could not reach its index.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum


class BuildPart(StrEnum):
    """In which part of a build the failing line stands."""

    OUTSIDE = "outside"
    """No build step: repo2docker itself, the engine, the reading of the Dockerfile. Steps cannot forge it."""
    BASE_IMAGE = "base image"
    """BuildKit asking a registry for the image of a FROM line."""
    STEP = "step"
    """A RUN, COPY or ADD."""
    PUSH = "push"
    """The image is built and on its way to the registry."""


ANYWHERE = frozenset(BuildPart)


@dataclass(frozen=True)
class Rule:
    """A failure: where it stands, what it looks like, and what to tell a person.

    `message` is a format string over the pattern's named groups, and `subject`: the step's command or image.
    `is_user_error`: whether the repository's owner is the one to mend it (else the build is tried again).
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
_TRUST = (
    "The certificate of a server was not trusted. Where a network intercepts TLS, the admin of this service sets "
    "REPO2HUB_EXTRA_CA_CERTS to its CA bundle."
)
_DENIED = (
    r"(?i)no basic auth credentials|unauthorized|denied|forbidden|authorization failed|insufficient_scope"
)
_BUSY = r"(?i)toomanyrequests|too many requests|status(?: code)?:? 5\d\d|50[0234] [A-Z]"
_NETWORK = (
    "The build could not reach {host}. If that name is right, the builder's network or DNS is at fault."
)

_ENGINE = "The container engine does not answer. `repo2hub doctor` on the builder says what to do."

# fmt: off
RULES: tuple[Rule, ...] = (
    # What is wrong with the builder
    _infra("engine_unavailable", "outside",
          r"Cannot connect to the Docker daemon|error during connect|Unavailable: |code = Unavailable"
          r"|docker commandline client must be installed|No such file or directory: 'docker'", _ENGINE),
    # It stopped while it was starting the step. What a step runs by a wrong name fails without a hook.
    _infra("engine_unavailable", "step", r"^runc run failed: [^\n]* error running hook", _ENGINE),
    _infra("buildx_missing", "outside", r"The buildx plugin must be installed",
          "The builder's docker client has no buildx plugin: install docker-buildx there."),
    _infra("no_space", "anywhere", r"(?i)no space left on device|disk quota exceeded",
          "The builder's disk is full: free space there, for instance by removing old images."),

    # The registry
    _infra("registry_denied", "push", _DENIED,
          "The registry refused the push of {subject}: the builder's credentials are missing or may not write."),
    _infra("tls_untrusted", "push, base image", _CERTIFICATE, _TRUST),
    _infra("registry_unavailable", "push", r"ERROR: (?P<error>[^\n]+)",
          "The image could not be pushed to the registry: {error}"),
    _infra("registry_unavailable", "base image", _BUSY,
          "The registry of the base image {subject} is overloaded or limits how often it may be asked."),
    _user("base_image_not_found", "base image",
          rf"{_DENIED}|not found|does not exist|manifest unknown|invalid reference",
          "The base image {subject} does not exist or is private: check the FROM line of the Dockerfile."),
    _infra("network_unavailable", "base image", r"dial tcp|\bhttps?://|timeout|EOF",
          "The registry of the base image {subject} cannot be reached. If the FROM line of the Dockerfile is "
          "right, the builder's network or DNS is at fault."),

    # The Dockerfile
    _user("dockerfile_syntax", "outside",
          r"dockerfile parse error (?:on )?line (?P<line>\d+): (?P<error>[^\n]+)",
          "The Dockerfile cannot be read: line {line}: {error}."),
    _user("dockerfile_syntax", "outside", r"Dockerfile cannot be empty|file with no instructions",
          "The Dockerfile is empty: it needs at least a FROM line."),
    _user("file_not_found", "anywhere",
          r"failed to (?:compute cache key|calculate checksum)[^\n]*?\"(?P<path>[^\"\n]+)\"[^\n]*not found",
          "The Dockerfile copies {path}, which is not in the repository, or .dockerignore leaves it out."),

    # What repo2docker says before it builds
    _user("both_binder_folders", "outside", r"contains both a 'binder' and a '\.binder'",
          "The repository has both a binder/ and a .binder/ folder: keep one of them."),
    _user("unsupported_buildpack", "outside", r"The legacy buildpack (?:has been|was) removed",
          "The Dockerfile starts from andrewosh/binder-base, which repo2docker gave up in 2020: use another base "
          "image, or an environment.yml or requirements.txt instead."),
    _user("unsupported_buildpack", "outside", r"Julia REQUIRE no longer supported",
          "Julia's REQUIRE file is not supported any more: describe the environment in Project.toml."),
    _user("no_buildpack", "outside", r"No environment specification found",
          "The repository has no file that describes its environment: add a requirements.txt, environment.yml "
          "or Dockerfile, for instance."),
    _user("environment_yml_invalid", "outside",
          r'^Error during build: (?P<context>while [^\n]+)\n\s+in "(?P<file>[^"\n]+)", line (?P<start>\d+)[^\n]*\n'
          r'(?P<error>[^\n]+)\n\s+in "[^"\n]+", line (?P<line>\d+)',
          "{file} is not valid YAML: line {line}: {error} ({context} that starts in line {start})."),
    _user("environment_yml_invalid", "outside",
          r'^Error during build: (?P<error>[^\n]+)\n\s+in "(?P<file>[^"\n]+)", line (?P<line>\d+)',
          "{file} is not valid YAML: line {line}: {error}."),
    _user("environment_yml_invalid", "outside", r"(?P<file>environment\.ya?ml) should contain a dictionary",
          "{file} must be a mapping with keys such as `dependencies:`, not a list or a single value."),
    _user("runtime_txt_invalid", "outside",
          r"^Error during build: (?P<error>Invalid version: [^\n]+|Invalid runtime\.txt[^\n]*"
          r"|Python version [^\n]+ is not supported!|R version [^\n]+ is not supported"
          r"|runtime\.txt version [^\n]+)",
          "runtime.txt asks for something that repo2docker does not have: {error}"),
    _infra("network_unavailable", "outside",
          r"^Error during build: (?:HTTPS?ConnectionPool\(host='(?P<host>[^']+)'|Failed to fetch available Julia)",
          "repo2docker could not reach {host} to prepare the build; the builder's network or DNS is at fault."),
    _user("configuration_invalid", "outside", r"^Error during build: (?P<error>(?!Command )[^\n]+)",
          "repo2docker cannot use this repository as it is: {error}"),

    # A step: what hides behind other messages
    _user("out_of_memory", "step",
          r"exit code: 137$|Killed signal terminated program|std::bad_alloc|^\s*MemoryError\b",
          "A step was killed because it used more memory than a build may have (REPO2HUB_BUILD_MEMORY_LIMIT)."),
    _infra("tls_untrusted", "step", _CERTIFICATE, _TRUST),
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
          "The build could not reach a server that it needs. If its address is right, the builder's network or "
          "DNS is at fault."),

    # A step: packages
    _user("requirements_syntax", "step",
          r"Invalid requirement: (?P<text>[^\n]+) \(from line (?P<line>\d+) of (?P<file>[^)\n]+)\)",
          "{file} line {line} is not a valid requirement: {text}."),
    _user("requirements_syntax", "step", r"Invalid requirement: (?P<text>[^\n]+)",
          "A package is asked for in a way that pip cannot read: {text}."),
    _user("requirements_syntax", "step", r"Couldn't parse requirement in `(?P<file>[^`\n]+)`[^\n]*"
          r"(?:\n\s*(?:cause: )?[^\n]*\n\s+(?P<text>\S[^\n]*))?",
          "{file} has a line that is not a valid requirement: {text}"),
    _user("package_not_found", "step",
          r"satisfies the requirement (?P<package>[^\s(]+)[^\n]*\(from versions: none\)",
          "There is no Python package {package}: check how its name is spelt."),
    _user("version_not_found", "step", r"satisfies the requirement (?P<package>[^\s(]+)",
          "No version of the Python package fits {package} and the image's Python."),
    _user("package_not_found", "step", r"(?P<package>\S+) was not found in the package registry",
          "There is no Python package {package}: check how its name is spelt."),
    _user("version_not_found", "step", r"[Bb]ecause there (?:is|are) no versions? of (?P<package>\S+)",
          "No version of the Python package fits {package} and the image's Python."),
    _user("dependency_conflict", "step",
          r"The conflict is caused by:\n\s*(?P<first>[^\n]+)\n\s*(?P<second>[^\n]+)",
          "The required packages contradict each other: {first}, but {second}."),
    _user("dependency_conflict", "step", r"\bBecause (?P<reason>[^\n]+?),? we can conclude",
          "The required packages contradict each other: {reason}."),
    _user("dependency_conflict", "step", r"ResolutionImpossible",
          "The required packages contradict each other: loosen their versions."),
    _user("package_not_found", "step",
          r"not available from current channels:\s+- (?P<package>\S+)"
          r"|nothing provides requested (?P<requested>\S+)|[└├]─ (?P<missing>\S+)[^\n]* does not exist",
          "There is no conda package {package}{requested}{missing} in the channels of environment.yml."),
    _user("dependency_conflict", "step",
          r"Could not solve for environment specs|UnsatisfiableError|nothing provides (?P<what>[^\n]+) needed by",
          "The packages of environment.yml contradict each other: loosen their versions."),
    _user("apt_package_not_found", "step",
          r"E: (?:Unable to locate package |Package '|Version '[^'\n]*' for ')(?P<package>[^\s']+)",
          "There is no Debian or Ubuntu package {package} for this base image: check how its name is spelt."),
    _user("package_not_found", "step", "package \u2018(?P<package>[^\u2019\\n]+)\u2019 is not available",
          "There is no R package {package} for this version of R: check how its name is spelt."),
    _user("package_build_failed", "step",
          r"Failed building wheel for (?P<package>\S+)|Failed to build `(?P<built>[^`\n]+)`"
          r"|trying to install package\.\s+\S+ (?P<installed>\S+)",
          "The package {package}{built}{installed} could not be built from its sources: the compilers and "
          "libraries that it needs go into apt.txt, or use a version that has a wheel."),
    _user("package_build_failed", "step",
          r"^\s*(?P<error>\w*(?:Error|Exception)\b[^\n]*)\n\s+\[end of output\]",
          "A Python package could not be prepared for installation: {error}"),

    # A step: whatever else its command did
    _infra("base_environment_failed", "step", r"exit code: (?P<code>\d+)",
          "repo2docker's own base environment could not be installed (exit code {code}): {last}",
          subject=r"install-base-env\.bash"),
    _user("postbuild_failed", "step", r"exit code: (?P<code>\d+)$",
          "postBuild ended with exit code {code}: {last}", subject=r"postBuild"),
    _user("command_failed", "step", r"exit code: (?P<code>\d+)$",
          "The command `{subject}` ended with exit code {code}: {last}"),
    _user("command_failed", "step", r"ERROR: (?:failed to solve: )?(?P<error>[^\n]+)",
          "A step of the build failed: {error}"),
)
# fmt: on
