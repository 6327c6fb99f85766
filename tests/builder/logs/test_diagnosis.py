"""The one line that explains a failure, from the outputs of real failed builds.

`failures/*.txt` are what repo2docker printed with --json-logs, trimmed, with paths and addresses replaced.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.buildpacks.repo2docker import parse_line
from builder.errors import BuildError, InfrastructureError, UserError
from builder.logs.diagnosis import diagnose
from db.status import Reason

FAILURES = Path(__file__).parent / "failures"
USER, INFRASTRUCTURE = True, False

# For each output: the cause, whose it is, and what the message must name.
EXPECTED = {
    "apt_not_found": ("apt_package_not_found", USER, "nosuchpackage-apt-xyz"),
    "base_image_denied": ("base_image_not_found", USER, "registry.example/nosuch:1"),
    "base_image_missing": ("base_image_not_found", USER, "registry.example/nosuch:1"),
    "base_image_not_found": ("network_unavailable", INFRASTRUCTURE, "repo2hub-nosuch:1"),
    "both_binder": ("both_binder_folders", USER, ".binder/"),
    "command_failed": (
        "command_failed",
        USER,
        "`echo compiling && exit 7` failed with exit code 7: compiling",
    ),
    "command_not_found": ("command_failed", USER, "nosuchcommand: not found"),
    "conflict_pip": ("dependency_conflict", USER, "urllib3==1.20, but requests 2.31.0 depends on urllib3<3"),
    "conflict_uv": (
        "dependency_conflict",
        USER,
        "flask>=3.0.0 depends on jinja2>=3.1.2 and you require jinja2<3.",
    ),
    "copy_missing": ("file_not_found", USER, "nosuch.txt"),
    "dockerfile_empty": ("dockerfile_syntax", USER, "empty"),
    "dockerfile_syntax": ("dockerfile_syntax", USER, "line 2: unknown instruction: RNU"),
    "engine_no_space": ("no_space", INFRASTRUCTURE, "no disk space left"),
    "engine_stopped": ("engine_unavailable", INFRASTRUCTURE, "repo2hub doctor"),
    "engine_stopping": ("engine_unavailable", INFRASTRUCTURE, "repo2hub doctor"),
    "engine_unavailable": ("engine_unavailable", INFRASTRUCTURE, "repo2hub doctor"),
    "environment_yml_indent": (
        "environment_yml_invalid",
        USER,
        "found '<block mapping start>' in line 5 (while parsing",
    ),
    "environment_yml_list": ("environment_yml_invalid", USER, "environment.yml must be a mapping"),
    "environment_yml_syntax": ("environment_yml_invalid", USER, "starts in line 3"),
    "killed": ("out_of_memory", USER, "REPO2HUB_BUILD_MEMORY_LIMIT"),
    "legacy": ("unsupported_buildpack", USER, "andrewosh/binder-base"),
    "metadata_failed_pip": ("package_build_failed", USER, "ImportError: cannot import name 'Feature'"),
    "network_git": ("network_unavailable", INFRASTRUCTURE, "nosuchhost.invalid"),
    "network_name": ("network_unavailable", INFRASTRUCTURE, "DNS"),
    "network_pip": ("network_unavailable", INFRASTRUCTURE, "DNS"),
    "no_buildpack": ("no_buildpack", USER, "requirements.txt"),
    "package_not_found_pip": ("package_not_found", USER, "nosuchpackage-repo2hub-xyz"),
    "package_not_found_uv": ("package_not_found", USER, "nosuchpackage-repo2hub-xyz"),
    "postbuild_df": ("postbuild_failed", USER, "postBuild failed with exit code 3"),
    "python_version_pip": ("version_not_found", USER, "numpy==2.5.0"),
    "registry_denied": ("registry_denied", INFRASTRUCTURE, "registry.example/repo2hub"),
    "registry_name": ("registry_unavailable", INFRASTRUCTURE, "no such host"),
    "registry_unavailable": ("registry_unavailable", INFRASTRUCTURE, "connection refused"),
    "require_julia": ("unsupported_buildpack", USER, "Project.toml"),
    "requirement_arg_pip": ("requirements_syntax", USER, "'numpy=1.2'"),
    "requirements_syntax_pip": (
        "requirements_syntax",
        USER,
        "requirements.txt has an invalid requirement in line 2",
    ),
    "requirements_syntax_uv": ("requirements_syntax", USER, "this is not a requirement"),
    "runtime_invalid": ("runtime_txt_invalid", USER, "'x.y.z'"),
    "setup_py": ("package_build_failed", USER, "RuntimeError: setup broken"),
    "standard_no_wget": ("base_environment_failed", INFRASTRUCTURE, "exit code 2"),
    "tls_pip": ("tls_untrusted", INFRASTRUCTURE, "REPO2HUB_EXTRA_CA_CERTS"),
    "version_not_found_pip": ("version_not_found", USER, "numpy==99.0"),
    "version_not_found_uv": ("version_not_found", USER, "numpy==99.0"),
    "wheel_build": ("package_build_failed", USER, "pycrypto"),
}

# What could not be made to happen here: conda's channels and R's mirrors are out of reach, and newer engines
# word the same failures differently. Written after those tools' own messages.
WRITTEN = {
    "conda, package": (
        "#9 8.1 PackagesNotFoundError: The following packages are not available from current channels:\n"
        "#9 8.1 \n#9 8.1   - nosuchpackage\n#9 ERROR: executor failed running [/bin/sh -c mamba]: exit code: 1",
        ("package_not_found", USER, "nosuchpackage"),
    ),
    "mamba, package": (
        "#9 8.1 error    libmamba Could not solve for environment specs\n"
        "#9 8.1 └─ nosuchpackage =* * does not exist (perhaps a typo or a missing channel).\n"
        "#9 ERROR: executor failed running [/bin/sh -c mamba]: exit code: 1",
        ("package_not_found", USER, "nosuchpackage"),
    ),
    "mamba, conflict": (
        "#9 8.1 error    libmamba Could not solve for environment specs\n"
        "#9 ERROR: executor failed running [/bin/sh -c mamba]: exit code: 1",
        ("dependency_conflict", USER, "environment.yml"),
    ),
    "R, package": (
        "#9 8.1 package \u2018nosuch\u2019 is not available for this version of R\n"
        "#9 ERROR: executor failed running [/bin/sh -c Rscript]: exit code: 1",
        ("package_not_found", USER, "nosuch"),
    ),
    "newer BuildKit, command": (
        '#9 0.1 hello\n#9 ERROR: process "/bin/sh -c exit 7" did not complete successfully: exit code: 7',
        ("command_failed", USER, "`exit 7` failed with exit code 7: hello"),
    ),
    "newer BuildKit, killed": (
        '#9 ERROR: process "/bin/sh -c x" did not complete successfully: exit code: 137',
        ("out_of_memory", USER, "memory"),
    ),
    "newer BuildKit, COPY": (
        '#9 ERROR: failed to calculate checksum of ref abc::def: "/nosuch.txt": not found',
        ("file_not_found", USER, "/nosuch.txt"),
    ),
    "newer BuildKit, Dockerfile": (
        "ERROR: failed to build: failed to solve: dockerfile parse error on line 2: unknown instruction: RNU",
        ("dockerfile_syntax", USER, "line 2: unknown instruction: RNU"),
    ),
    "docker hub, private image": (
        "#3 [internal] load metadata for registry.example/org/private:1\n"
        "#3 ERROR: pull access denied, repository does not exist or may require authorization: "
        "server message: insufficient_scope: authorization failed",
        ("base_image_not_found", USER, "registry.example/org/private:1"),
    ),
    "docker hub, rate limit": (
        "#3 [internal] load metadata for registry.example/org/image:1\n"
        "#3 ERROR: toomanyrequests: You have reached your pull rate limit.",
        ("registry_unavailable", INFRASTRUCTURE, "limits"),
    ),
    "no buildx": (
        "Error during build: The buildx plugin must be installed",
        ("buildx_missing", INFRASTRUCTURE, "docker-buildx"),
    ),
    "R snapshots out of reach": (
        "Error during build: HTTPSConnectionPool(host='packages.example', port=443): Max retries exceeded",
        ("network_unavailable", INFRASTRUCTURE, "packages.example"),
    ),
    "repo2docker refuses": (
        "Error during build: Found invalid package name A in apt.txt",
        ("configuration_invalid", USER, "Found invalid package name A in apt.txt"),
    ),
    "signal": ("Picked Local content provider.", ("unknown", INFRASTRUCTURE, "signal 9")),
}


def check(error: BuildError, expected: tuple[str, bool, str]) -> None:
    cause, is_user_error, named = expected
    assert (error.cause, isinstance(error, UserError)) == (cause, is_user_error)
    assert named in error.message
    for unwanted in ("\n", "Traceback", "CalledProcessError", "/venv/", "{", "}"):
        assert unwanted not in error.message
    assert len(error.message) < 500


@pytest.mark.parametrize("path", sorted(FAILURES.glob("*.txt")), ids=lambda path: path.stem)
def test_a_real_failure_is_explained_in_one_line(path: Path) -> None:
    lines = [parse_line(line) for line in path.read_text().splitlines()]
    check(diagnose(lines, 1), EXPECTED[path.stem])


def test_every_expected_failure_has_its_output() -> None:
    assert {path.stem for path in FAILURES.glob("*.txt")} == EXPECTED.keys()


@pytest.mark.parametrize("name", WRITTEN)
def test_a_failure_of_another_tool_is_explained_in_one_line(name: str) -> None:
    text, expected = WRITTEN[name]
    check(diagnose(text.split("\n"), -9 if name == "signal" else 1), expected)


def test_another_step_does_not_explain_the_failing_one() -> None:
    lines = [
        "#4 0.1 ERROR: No matching distribution found for innocent",
        "#4 0.1 ERROR: Could not find a version that satisfies the requirement innocent (from versions: none)",
        "#5 0.2 nothing to say",
        "#5 ERROR: executor failed running [/bin/sh -c guilty]: exit code: 3",
    ]
    assert diagnose(lines, 1).message == "The command `guilty` failed with exit code 3: nothing to say"


def test_a_step_cannot_pass_for_the_engine() -> None:
    lines = [
        "#5 0.2 Cannot connect to the Docker daemon at unix:///var/run/docker.sock.",
        "#5 0.2 Error during build: The buildx plugin must be installed",
        "#5 ERROR: executor failed running [/bin/sh -c echo]: exit code: 1",
    ]
    assert diagnose(lines, 1).cause == "command_failed"


def test_memory_has_its_own_reason() -> None:
    error = diagnose(["#9 0.1 x", "#9 ERROR: executor failed running [x]: exit code: 137"], 1)
    assert isinstance(error, UserError) and (error.cause, error.reason) == (
        "out_of_memory",
        Reason.MEMORY_LIMIT,
    )


def test_a_users_error_is_final_and_any_other_is_retried() -> None:
    user = diagnose(["Error during build: Found invalid package name A in apt.txt"], 1)
    other = diagnose(["The buildx plugin must be installed"], 1)
    assert isinstance(user, UserError) and user.reason is Reason.USER_ERROR
    assert isinstance(other, InfrastructureError) and other.reason is Reason.INFRASTRUCTURE


@pytest.mark.parametrize(
    "unit", ["(from versions", "Because ", "└─ x", 'while a\n in "', "E: ", "x Error ", "#5 ERROR:"]
)
def test_a_hostile_log_is_read_in_time(unit: str) -> None:
    lines = [unit * 5000] * 500 + ["#5 ERROR: x"]
    assert len(diagnose(["#5 0.1 " + line for line in lines], 1).message) < 1000


@given(st.lists(st.text()), st.integers(-20, 260))
def test_nothing_makes_it_raise(lines: list[str], code: int) -> None:
    assert diagnose(lines, code).message
