"""The manifests of examples/kubernetes: against Kubernetes' own schemas, and against our own settings.

Nothing here is a cluster: that a scheduler takes them and a network enforces them is not shown.
"""

import ipaddress
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from base.settings import SharedSettings
from builder.settings import BuilderSettings
from tests.conftest import ROOT
from webhook.settings import WebSettings

FOLDER = ROOT / "examples" / "kubernetes"
FILES = sorted(path for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
VERSION = "1.32"
"""Of Kubernetes. Sidecars (restartPolicy of an init container) are on by default from 1.29."""

Document = dict[str, Any]


def documents(*paths: Path) -> list[Document]:
    return [document for path in paths for document in yaml.safe_load_all(path.read_text()) if document]


def named(kind: str, name: str) -> Document:
    (found,) = [d for d in documents(*FILES) if (d["kind"], d["metadata"]["name"]) == (kind, name)]
    return found


def container(name: str) -> Document:
    pod = named("Deployment", f"repo2hub-{name}")["spec"]["template"]["spec"]
    (found,) = [one for one in pod["containers"] if one["name"] == name]
    return found


def environment(name: str) -> dict[str, str]:
    """Return the variables that a container gets, those of secrets with the examples' values."""
    pod = named("Deployment", f"repo2hub-{name}")["spec"]["template"]["spec"]
    found = service_links() if pod.get("enableServiceLinks", True) else {}
    for source in container(name)["envFrom"]:
        if "configMapRef" in source:
            found |= named("ConfigMap", source["configMapRef"]["name"])["data"]
        else:
            found |= named("Secret", source["secretRef"]["name"])["stringData"]
    for variable in container(name)["env"]:
        found[variable["name"]] = variable.get("value", "of-a-secret-or-field")
    return found


def service_links() -> dict[str, str]:
    """Return the variables by which Kubernetes tells a namespace's pods of its Services, as Docker once did."""
    found: dict[str, str] = {}
    for service in (document for document in documents(*FILES) if document["kind"] == "Service"):
        name = service["metadata"]["name"].upper().replace("-", "_")
        port = service["spec"]["ports"][0]["port"]
        found[f"{name}_SERVICE_HOST"] = "10.0.0.1"
        found[f"{name}_PORT"] = f"tcp://10.0.0.1:{port}"
    return found


def test_no_pod_is_told_of_services_by_names_of_our_settings() -> None:
    assert "REPO2HUB_PORT" in service_links(), "that of the Service which the hub's configuration names"
    pods = [one["spec"]["template"]["spec"] for one in documents(*FILES) if one["kind"] == "Deployment"]
    assert [pod["enableServiceLinks"] for pod in pods] == [False] * len(pods)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_resource_is_what_kubernetes_knows(path: Path) -> None:
    import kubernetes_validate  # here, because it compiles grammars for seconds

    found = documents(path)
    assert found
    for document in found:
        kubernetes_validate.validate(document, VERSION, strict=True)


def test_a_misspelt_field_would_be_found() -> None:
    import kubernetes_validate

    wrong = named("Service", "repo2hub")
    wrong["spec"]["selectors"] = wrong["spec"].pop("selector")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


def test_kustomize_names_every_file() -> None:
    (listed,) = documents(FOLDER / "kustomization.yaml")
    files = {path.name for path in FILES} - {"secret.example.yaml"} | {"secret.yaml"}
    assert set(listed["resources"]) == files
    images = {image["name"] for image in listed["images"]}
    assert images == {container("web")["image"], container("builder")["image"]}


@pytest.mark.parametrize(("name", "settings"), [("web", WebSettings), ("builder", BuilderSettings)])
def test_the_processes_take_their_settings(
    name: str, settings: type[SharedSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in [one for one in os.environ if one.startswith("REPO2HUB_")]:
        monkeypatch.delenv(variable)
    variables = environment(name)
    if name == "web":
        variables["REPO2HUB_HOST"] = "0.0.0.0"  # of the image
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    loaded = settings.load()
    assert loaded.database.startswith("postgresql+psycopg://")
    fields = WebSettings.model_fields.keys() | BuilderSettings.model_fields.keys()
    ours = {name.removeprefix("REPO2HUB_").lower() for name in variables if name.startswith("REPO2HUB_")}
    assert ours <= fields


def test_web_and_builder_name_images_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = named("ConfigMap", "repo2hub")["data"]
    for variable, value in shared.items():
        monkeypatch.setenv(variable, value)
    image = SharedSettings.load().image_name("org/repo", "0" * 40)
    (values,) = documents(ROOT / "examples" / "z2jh" / "values.yaml")
    (profile,) = values["singleuser"]["profileList"]
    rule = profile["profile_options"]["image"]["unlisted_choice"]["validation_regex"]
    assert re.match(rule, image)


def test_probes_ask_where_the_service_is() -> None:
    web = container("web")
    base = environment("web")["REPO2HUB_BASE_URL"]
    for probe in ("startupProbe", "readinessProbe"):
        assert web[probe]["httpGet"] == {"path": f"{base}health", "port": "http"}
    (port,) = web["ports"]
    assert port["containerPort"] == WebSettings.model_fields["port"].default
    service = named("Service", "repo2hub")["spec"]
    template = named("Deployment", "repo2hub-web")["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= template.items()
    assert template["hub.jupyter.org/network-access-hub"] == "true"


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fd00:ec2::254", "10.0.0.1", "172.17.0.1", "192.168.1.1", "100.64.0.1", "127.0.0.1"],
)
def test_builds_reach_neither_the_metadata_service_nor_private_addresses(address: str) -> None:
    where = ipaddress.ip_address(address)
    policy = named("NetworkPolicy", "repo2hub-builder")["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert not policy["ingress"]
    blocks = [to["ipBlock"] for rule in policy["egress"] for to in rule["to"] if "ipBlock" in to]
    assert len(blocks) == 2
    (block,) = (block for block in blocks if where in ipaddress.ip_network(block["cidr"]))
    assert any(where in ipaddress.ip_network(network) for network in block["except"])
    # What is open besides is named by pod and port.
    named_rules = [rule for rule in policy["egress"] if not any("ipBlock" in to for to in rule["to"])]
    assert {port["port"] for rule in named_rules for port in rule["ports"]} == {53, 5432}


def test_only_the_engine_is_privileged() -> None:
    pod = named("Deployment", "repo2hub-builder")["spec"]["template"]["spec"]
    (engine,) = pod["initContainers"]
    assert engine["securityContext"] == {"privileged": True}
    assert not any("tcp://" in argument for argument in engine["args"])
    web = named("Deployment", "repo2hub-web")["spec"]["template"]["spec"]
    for one in (*pod["containers"], *web["containers"], *web["initContainers"]):
        assert one["securityContext"]["allowPrivilegeEscalation"] is False
        assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    sockets = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert environment("builder")["DOCKER_HOST"].removeprefix("unix://").rpartition("/")[0] in sockets
