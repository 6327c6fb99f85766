"""What the documents say is so: settings, commands and make targets exist, and none is left out."""

import re
import tomllib

import pytest
from click import Context

from builder.settings import BuilderSettings
from repo2hub.cli import main
from tests.conftest import ROOT
from webhook.settings import WebSettings

SETTINGS = (ROOT / "docs" / "settings.md").read_text()
DOCUMENTS = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "launcher/README.md",
    *(f"docs/{name}.md" for name in ("settings", "access", "github", "operations")),
    *(f"examples/{name}/README.md" for name in ("dockerspawner", "tljh", "kubernetes", "z2jh")),
]
SYSTEMD = ROOT / "examples" / "systemd"
SERVICES = sorted(path.name for path in SYSTEMD.glob("*.service"))
# Not for admins: `worker_name` has no reason to be changed, the errors are no setting.
INTERNAL = {"secret_file_errors", "worker_name"}


def extras(project: str) -> set[str]:
    declared = tomllib.loads((ROOT / project / "pyproject.toml").read_text())["project"]
    return set(declared["optional-dependencies"])


def unit_file(name: str) -> str:
    return (SYSTEMD / name).read_text()


def settings_in_the_table() -> set[str]:
    rows = [row.split("|")[1] for row in SETTINGS.splitlines() if row.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([A-Z][A-Z_]+)`", row)}


def test_the_table_of_settings_is_whole_and_true() -> None:
    fields = (set(WebSettings.model_fields) | set(BuilderSettings.model_fields)) - INTERNAL
    assert settings_in_the_table() == {name.upper() for name in fields}


def test_the_defaults_in_the_table_are_those_of_the_code() -> None:
    builder = BuilderSettings.model_fields
    assert f"`{builder['build_timeout'].default}`, `{builder['build_idle_timeout'].default}`" in SETTINGS
    web = WebSettings.model_fields
    assert f"`{web['host'].default}`, `{web['port'].default}`" in SETTINGS
    for name in ("image_prefix", "github_url", "auth"):
        assert f"`{web[name].default}`" in SETTINGS


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_that_a_document_names_exists(document: str) -> None:
    text = (ROOT / document).read_text()
    known = main.list_commands(Context(main))
    assert set(re.findall(r"(?:^|`|\$ )repo2hub ([a-z]+)", text, re.MULTILINE)) <= set(known)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= targets


@pytest.mark.parametrize("document", DOCUMENTS)
def test_nothing_is_installed_from_a_package_index_that_is_on_none(document: str) -> None:
    for arguments in re.findall(r"pip install ([^`\n]*)", (ROOT / document).read_text()):
        assert not re.search(r"(^|[\s'\"])repo2hub", arguments), arguments
        for project, wanted in re.findall(r"'\.(?:/(launcher))?\[([^]]*)\]'", arguments):
            assert set(wanted.split(",")) <= extras(project), arguments


def test_the_readme_says_why() -> None:
    assert "on no package index yet" in (ROOT / "README.md").read_text()


def test_the_launcher_leaves_a_hub_of_tljh_at_its_version() -> None:
    text = (ROOT / "examples" / "tljh" / "README.md").read_text()
    (arguments,) = re.findall(r"/opt/tljh/hub/bin/pip install (.*)", text)
    assert arguments.split() == ["'./launcher[docker]'", "'jupyterhub<6'"]


def test_the_builders_image_is_run_as_its_own_file_says() -> None:
    readme, file = (ROOT / "README.md").read_text(), (ROOT / "Dockerfile.builder").read_text()
    (said,) = re.findall(
        r"^docker buildx build -f Dockerfile.builder.*?(?=^```)", readme, re.MULTILINE | re.DOTALL
    )
    assert "".join(f"#   {line}\n" for line in said.splitlines()) in file


def test_every_upgrade_of_a_hub_keeps_its_own_values_and_version() -> None:
    """helm takes over the old values only where it is given none, and takes the newest chart unless told."""
    texts = [(ROOT / document).read_text() for document in DOCUMENTS]
    commands = [command for text in texts for command in re.findall(r"helm upgrade[^`\n]*", text)]
    assert commands
    for command in commands:
        options = re.findall(r" (--?[\w-]+) (<[^>]+>|\S+)", command)
        files = [value for option, value in options if option == "-f"]
        assert files == ["<your values>", "examples/z2jh/values.yaml"], command  # the later one wins
        assert {"-n", "--version"} <= {option for option, _ in options}, command


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_a_document_names_exists(document: str) -> None:
    text = (ROOT / document).read_text()
    pattern = r"`((?:[\w-]+/)+[\w-]+\.py|(?:machine|tests)/[\w-]+|[\w-]+\.lock|Dockerfile\.builder)`"
    named = set(re.findall(pattern, text))
    links = {target for target in re.findall(r"\]\((?!http)([^)#]+)\)", text)}
    here = (ROOT / document).parent  # links are meant from where they stand, names from the top
    missing = [link for link in sorted(links) if not (here / link).exists()]
    assert missing + [path for path in sorted(named) if not (ROOT / path).exists()] == []


def can_be_started(arguments: str) -> None:
    name, *options = arguments.split()
    command = main.get_command(Context(main), name)
    assert command is not None
    command.make_context(name, options)  # raises for an option or a value that it does not know


@pytest.mark.parametrize("unit", SERVICES)
@pytest.mark.parametrize("instance", ["webhook", "streams"])
def test_what_a_systemd_unit_starts_can_be_started(unit: str, instance: str) -> None:
    (started,) = re.findall(r"^ExecStart=/opt/repo2hub/bin/repo2hub (.*)$", unit_file(unit), re.MULTILINE)
    can_be_started(started.replace("%i", instance))


@pytest.mark.parametrize("timer", sorted(path.name for path in SYSTEMD.glob("*.timer")))
def test_a_timer_has_its_service_and_is_a_unit_that_can_be_enabled(timer: str) -> None:
    assert timer.replace(".timer", ".service") in SERVICES
    assert {"[Timer]", "[Install]"} < set(unit_file(timer).splitlines())


@pytest.mark.parametrize("unit", sorted(path.name for path in SYSTEMD.glob("*.socket")))
def test_a_socket_has_its_service_and_listens_where_nginx_and_the_default_expect_it(unit: str) -> None:
    assert re.sub(r"@\w+", "@", unit).replace(".socket", ".service") in SERVICES
    port = "8586" if "streams" in unit else "8585"
    assert f"ListenStream=127.0.0.1:{port}" in unit_file(unit).splitlines()
    assert f"http://127.0.0.1:{port}" in (ROOT / "docs" / "operations.md").read_text()


@pytest.mark.parametrize("unit", SERVICES)
def test_all_units_and_what_is_run_by_hand_work_on_the_same_settings(unit: str) -> None:
    given = r"^(?:User|Environment|EnvironmentFile)=[^-].*$"
    (by_hand,) = re.findall(
        r"^systemd-run (.*) /opt/repo2hub/bin/repo2hub (.*)$",
        (ROOT / "docs" / "operations.md").read_text().replace("\\\n", ""),
        re.MULTILINE,
    )
    can_be_started(by_hand[1])
    options = re.findall(r"-(p|E) (\S+)", by_hand[0])
    lines = {value if kind == "p" else f"Environment={value}" for kind, value in options}
    assert set(re.findall(given, unit_file(unit), re.MULTILINE)) == lines - {"SupplementaryGroups=docker"}
    # A web process alone needs no engine, and may be on a machine that has none.
    assert ("SupplementaryGroups=docker" in unit_file(unit)) == ("docker.service" in unit_file(unit))


@pytest.mark.parametrize("unit", SERVICES)
def test_no_unit_opens_the_data_folder_to_other_users_of_the_machine(unit: str) -> None:
    """systemd sets the mode at each start, to 0755 where the unit does not say."""
    text = unit_file(unit)
    assert ("StateDirectory=repo2hub\n" in text) == ("StateDirectoryMode=0700\n" in text)
