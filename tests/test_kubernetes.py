"""The Kubernetes manifests: true to their schemas, and to the services, as written and as kustomize renders them."""

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from schemas.event import Event
from stack import tools
from stack.places import ROOT
from stack.processes import SERVICES

KUBERNETES = ROOT / "ops" / "kubernetes"
VERSION = "1.34"
Manifest = dict[str, Any]


def objects(text: str) -> Iterator[Manifest]:
    yield from (found for found in yaml.safe_load_all(text) if found)


def written() -> Iterator[tuple[Path, Manifest]]:
    for file in sorted(KUBERNETES.rglob("*.yaml")):
        for found in objects(file.read_text()):
            if found["kind"] != "Kustomization":
                yield file, found


@pytest.fixture(scope="module")
def rendered() -> list[Manifest]:
    command = [*tools.kustomize(), str(KUBERNETES / "overlays" / "production")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return list(objects(ended.stdout))


def test_every_manifest_is_true_to_its_schema() -> None:
    checked = [check(found) for _, found in written()]

    assert len(checked) > 15


@pytest.mark.parametrize("kind", ["Deployment", "Job", "ScaledObject"])
def test_a_manifest_that_is_not_is_seen(kind: str) -> None:
    found = next(found for _, found in written() if found["kind"] == kind)
    found["spec"]["replicaz"] = 3

    with pytest.raises((kubernetes_validate.ValidationError, jsonschema.ValidationError), match="replicaz"):
        check(found)


def check(found: Manifest) -> str:
    if schema := OF_OTHERS.get(found["kind"]):
        jsonschema.validate(found, schema)
    else:
        kubernetes_validate.validate(found, VERSION, strict=True)
    return str(found["kind"])


def schema(version: str, spec: dict[str, Any]) -> dict[str, Any]:
    """As strict as Kubernetes is with its own kinds."""
    whole = {
        "apiVersion": {"const": version},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": {"type": "object", "additionalProperties": False, **spec},
    }
    return {"type": "object", "additionalProperties": False, "required": list(whole), "properties": whole}


WORD, COUNT = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0}
NAMED = {"type": "object", "required": ["name"], "properties": {"name": WORD}, "additionalProperties": False}
TRIGGER = {
    "type": "object",
    "required": ["type", "metadata"],
    "additionalProperties": False,
    "properties": {
        "type": {"const": "kafka"},
        "authenticationRef": NAMED,
        "metadata": {
            "type": "object",
            "required": ["consumerGroup", "lagThreshold"],
            "additionalProperties": WORD,  # KEDA takes text only: a bare number is refused
            "oneOf": [{"required": ["bootstrapServers"]}, {"required": ["bootstrapServersFromEnv"]}],
        },
    },
}
OF_OTHERS = {
    "ScaledObject": schema(
        "keda.sh/v1alpha1",
        {
            "required": ["scaleTargetRef", "triggers"],
            "properties": {
                "scaleTargetRef": NAMED,
                "minReplicaCount": COUNT,
                "maxReplicaCount": COUNT,
                "cooldownPeriod": COUNT,
                "triggers": {"type": "array", "minItems": 1, "items": TRIGGER},
            },
        },
    ),
    "TriggerAuthentication": schema(
        "keda.sh/v1alpha1",
        {
            "required": ["secretTargetRef"],
            "properties": {
                "secretTargetRef": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["parameter", "name", "key"],
                        "additionalProperties": False,
                        "properties": {"parameter": WORD, "name": WORD, "key": WORD},
                    },
                }
            },
        },
    ),
    "PodMonitor": schema(
        "monitoring.coreos.com/v1",
        {
            "required": ["selector", "podMetricsEndpoints"],
            "properties": {"selector": {"type": "object"}, "podMetricsEndpoints": {"type": "array"}},
        },
    ),
}
"""What is used of kinds that others define: KEDA 2 and the Prometheus operator."""


# -- as rendered --------------------------------------------------------------------------------------------


def of(found: Iterable[Manifest], kind: str, component: str | None = None) -> dict[str, Manifest]:
    return {
        one["metadata"]["name"]: one
        for one in found
        if one["kind"] == kind
        and component in (None, one["metadata"].get("labels", {}).get("app.kubernetes.io/component"))
    }


@pytest.mark.slow
def test_what_kustomize_renders_is_true_to_the_schemas_too(rendered: list[Manifest]) -> None:
    assert len([check(found) for found in rendered]) > 45


@pytest.mark.slow
def test_every_service_has_its_api_its_worker_and_its_preparation(rendered: list[Manifest]) -> None:
    for role in ("api", "worker"):
        deployments = of(rendered, "Deployment", role)
        assert set(deployments) == {f"{name}-{role}" for name in SERVICES}
        for name, found in deployments.items():
            (container,) = found["spec"]["template"]["spec"]["containers"]
            assert container["args"][:3] == ["run", "--role", role]
            assert name.removesuffix(f"-{role}") in container["image"]
            paths = {container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")}
            assert paths == {"/healthz", "/readyz"}
    assert set(of(rendered, "Job")) == {f"{name}-prepare" for name in SERVICES}


@pytest.mark.slow
def test_everything_runs_as_nobody_on_a_file_system_it_cannot_write(rendered: list[Manifest]) -> None:
    pods = [found["spec"]["template"]["spec"] for found in rendered if found["kind"] in ("Deployment", "Job")]

    assert len(pods) == 3 * len(SERVICES)
    for pod in pods:
        assert (pod["securityContext"]["runAsNonRoot"], pod["automountServiceAccountToken"]) == (True, False)
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            bare = {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["securityContext"] == bare
            assert set(container["resources"]) == {"requests", "limits"}


@pytest.mark.slow
def test_what_refers_to_something_refers_to_what_is_there(rendered: list[Manifest]) -> None:
    deployments = of(rendered, "Deployment")
    for found in of(rendered, "HorizontalPodAutoscaler").values():
        assert found["spec"]["scaleTargetRef"]["name"] in deployments
    for name, found in of(rendered, "ScaledObject").items():
        service = name.removesuffix("-worker")
        assert (found["spec"]["scaleTargetRef"]["name"], service) == (
            name,
            found["spec"]["triggers"][0]["metadata"]["consumerGroup"],
        )
        assert found["spec"]["maxReplicaCount"] <= Event.partitions  # more would have nothing to read
    for kind in ("PodDisruptionBudget", "Service"):
        for name, found in of(rendered, kind).items():
            selector = found["spec"]["selector"]
            wanted = selector.get("matchLabels", selector)
            labels = deployments[name]["spec"]["template"]["metadata"]["labels"]
            assert wanted.items() <= labels.items(), name
    (settings,) = (name for name in of(rendered, "ConfigMap"))
    for found in rendered:
        if found["kind"] in ("Deployment", "Job"):
            service = found["metadata"]["labels"]["app.kubernetes.io/name"]
            sources = found["spec"]["template"]["spec"]["containers"][0]["envFrom"]
            assert [source["configMapRef"]["name"] for source in sources if "configMapRef" in source] == [settings]
            secrets = [source["secretRef"]["name"] for source in sources if "secretRef" in source]
            owner = [f"{service}-owner"] if found["kind"] == "Job" else []
            assert secrets == [service, *owner, "tandem"]


@pytest.mark.slow
def test_no_service_may_talk_to_another_and_none_holds_a_secret_in_its_manifest(rendered: list[Manifest]) -> None:
    policies = of(rendered, "NetworkPolicy")

    assert policies["tandem-nothing"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for found in policies.values():
        for rule in found["spec"].get("ingress", ()):
            assert all(set(origin) == {"namespaceSelector"} for origin in rule["from"]), found
    assert of(rendered, "Secret") == {}
    (settings,) = of(rendered, "ConfigMap").values()
    assert [name for name in settings["data"] if "PASSWORD" in name or "SECRET" in name or "DATABASE" in name] == []
