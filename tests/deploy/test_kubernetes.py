"""deploy/kubernetes is what Kubernetes takes, runs what the Procfile runs, and gives each process what it needs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from crmsync.needs import WITHHELD, needs, secrets
from crmsync.settings import Settings
from crmsync.supervisor import parse_procfile
from tests.builders import private_pem

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "deploy" / "kubernetes"
SCHEMAS: dict[str, Any] = json.loads((Path(__file__).parent / "schemas" / "kubernetes.json").read_text())
PROCFILE = parse_procfile((ROOT / "Procfile").read_text())
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(FOLDER.glob("*.yaml")):
        if path.name != "kustomization.yaml":
            yield from ((path.name, each) for each in yaml.safe_load_all(path.read_text()) if each)


ALL = list(manifests())
IDS = [f"{file}-{each['kind']}-{each['metadata']['name']}" for file, each in ALL]
BY_NAME = {(each["kind"], each["metadata"]["name"]): each for _, each in ALL}
PODS = {
    each["metadata"]["name"].removeprefix("crmsync-"): each["spec"]["template"]["spec"]
    for _, each in ALL
    if each["kind"] in ("Deployment", "Job")
}
PROCESS = {"migrate": "release"}  # else the name is the Procfile's


def container(pod: str) -> dict[str, Any]:
    (found,) = PODS[pod]["containers"]
    return dict(found)


# -- the form


@pytest.mark.parametrize("manifest", [each for _, each in ALL], ids=IDS)
def test_kubernetes_takes_it(manifest: dict[str, Any]) -> None:
    group = manifest["apiVersion"].replace(".networking.k8s.io", "").partition("/")
    name = f"{group[0].removesuffix('.k8s.io')}-{group[2]}" if group[2] else group[0]
    schema = {**SCHEMAS["kinds"][f"{manifest['kind'].lower()}-{name}"], "$defs": SCHEMAS["$defs"]}

    assert [
        f"{'.'.join(map(str, each.path))}: {each.message}"
        for each in Draft202012Validator(schema).iter_errors(manifest)
    ] == []


@pytest.mark.parametrize("manifest", [each for _, each in ALL], ids=IDS)
def test_it_says_to_which_namespace_it_belongs(manifest: dict[str, Any]) -> None:
    assert manifest["metadata"].get("namespace", manifest["metadata"]["name"]) == "crmsync"


def test_the_kustomization_names_files_that_are_there_and_leaves_out_what_is_a_choice() -> None:
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}

    assert set(KUSTOMIZATION["resources"]) == files - {"secrets.example.yaml", "flower.yaml"}


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl")
def test_kubectl_builds_it() -> None:
    built = subprocess.run(["kubectl", "kustomize", FOLDER], capture_output=True, text=True, check=False)
    if "not found" in built.stderr and "kustomize" in built.stderr.splitlines()[0]:
        pytest.skip("this kubectl has no kustomize")

    assert built.returncode == 0, built.stderr
    (image,) = KUSTOMIZATION["images"]
    images = re.findall(r"image: (\S+)", built.stdout)
    assert set(images) == {f"{image['newName']}:{image['newTag']}"}


# -- what runs


@pytest.mark.parametrize("pod", PODS)
def test_a_pod_runs_the_command_of_the_procfile(pod: str) -> None:
    command = container(pod)["command"]

    assert command[:2] == ["sh", "-c"]
    assert command[2].removeprefix("exec ") == PROCFILE[PROCESS.get(pod, pod)]


def test_every_process_has_a_pod() -> None:
    assert {PROCESS.get(pod, pod) for pod in PODS} == set(PROCFILE)


def selected(thing: dict[str, Any], labels: dict[str, str]) -> bool:
    return thing.items() <= labels.items()


def test_services_budgets_and_policies_choose_pods_that_there_are() -> None:
    labels = [
        each["spec"]["template"]["metadata"]["labels"] for _, each in ALL if each["kind"] in ("Deployment", "Job")
    ]
    for (kind, name), each in BY_NAME.items():
        chosen = {
            "Service": lambda spec: spec["selector"],
            "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
            "NetworkPolicy": lambda spec: spec["podSelector"].get("matchLabels", {}),
            "Deployment": lambda spec: spec["selector"]["matchLabels"],
        }.get(kind)
        if chosen:
            assert any(selected(chosen(each["spec"]), known) for known in labels), name


def test_probes_and_services_name_ports_that_the_receiver_opens() -> None:
    ports = {each["name"]: each["containerPort"] for each in container("web")["ports"]}
    settings = Settings.from_env(environment("web"))

    assert ports == {"doors": settings.port, "private": settings.admin_port}
    for name in ("crmsync-web", "crmsync-private"):
        assert {each["targetPort"] for each in BY_NAME["Service", name]["spec"]["ports"]} <= set(ports)
    assert [path["path"] for path in doors()] == ["/webhook/"]


def doors() -> list[dict[str, Any]]:
    (rule,) = BY_NAME["Ingress", "crmsync"]["spec"]["rules"]
    assert {path["backend"]["service"]["name"] for path in rule["http"]["paths"]} == {"crmsync-web"}
    return list(rule["http"]["paths"])


def test_a_receiver_is_not_taken_away_because_no_worker_is_left() -> None:
    """It keeps webhooks meanwhile; /readyz tells people."""
    probes = [container("web")[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")]

    assert probes == ["/healthz"] * 3


def test_a_worker_may_finish_its_step_and_a_receiver_its_requests() -> None:
    from crmsync.web import serving

    assert PODS["worker"]["terminationGracePeriodSeconds"] >= 45  # as in docker-compose.yml
    assert PODS["web"]["terminationGracePeriodSeconds"] > serving.graceful_timeout + 5


# -- what each may


@pytest.mark.parametrize("pod", PODS)
def test_a_pod_has_no_privileges_and_writes_its_volumes_only(pod: str) -> None:
    closed = container(pod)["securityContext"]
    spec = PODS[pod]

    assert closed == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert {tuple(volume) for volume in spec["volumes"]} == {("name", "emptyDir")}
    assert f"useradd --uid {spec['securityContext']['runAsUser']} " in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("pod", PODS)
def test_kubernetes_adds_no_variables_that_look_like_settings(pod: str) -> None:
    """A Service crmsync-web would become CRMSYNC_WEB_PORT and the like."""
    assert PODS[pod]["enableServiceLinks"] is False


def environment(pod: str) -> dict[str, str]:
    """What the process sees, with the example's secrets; the last source of a name wins."""
    made: dict[str, str] = {}
    for source in container(pod)["envFrom"]:
        kind, reference = next(iter(source.items()))
        found = BY_NAME[{"configMapRef": "ConfigMap", "secretRef": "Secret"}[kind], reference["name"]]
        made |= found.get("data") or found["stringData"]
    made |= {each["name"]: each["value"] for each in container(pod).get("env", [])}
    if made.get("SF_PRIVATE_KEY", WITHHELD) != WITHHELD:
        made["SF_PRIVATE_KEY"] = private_pem()
    return made


@pytest.mark.parametrize("pod", PODS)
def test_a_pod_starts_with_its_variables_and_carries_only_the_secrets_that_it_needs(pod: str) -> None:
    given = environment(pod)
    carried = {name for name, value in given.items() if name in secrets() and value != WITHHELD}

    settings = Settings.from_env(given)
    assert carried <= needs()[PROCESS.get(pod, pod)]
    assert set(settings.systems) == {"salesforce", "s4hana", "zoho_books"}


def test_what_is_withheld_is_what_the_secrets_hold_and_none_is_real() -> None:
    withheld = BY_NAME["ConfigMap", "crmsync-withheld"]["data"]
    secrets = {
        name: value
        for (kind, _), each in BY_NAME.items()
        if kind == "Secret"
        for name, value in each["stringData"].items()
    }

    assert set(withheld.values()) == {WITHHELD}
    assert set(secrets) - set(withheld) == {"DATABASE_URL", "REDIS_URL"}  # nothing starts without the one or the other
    assert set(withheld) <= set(secrets)
    assert all("REPLACE" in value for value in secrets.values())


def test_only_workers_reach_the_vendors_and_nobody_comes_in_but_to_the_receiver() -> None:
    policies = {name: each["spec"] for (kind, name), each in BY_NAME.items() if kind == "NetworkPolicy"}
    outward = [
        name
        for name, spec in policies.items()
        if any({"port": 443} in rule.get("ports", []) for rule in spec.get("egress", []))
    ]
    inward = {
        spec["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        for spec in policies.values()
        if spec.get("ingress")
    }

    assert policies["crmsync-nothing"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert [policies[name]["podSelector"]["matchLabels"] for name in outward] == [
        {"app.kubernetes.io/component": "worker"}
    ]
    assert inward == {"web"}
