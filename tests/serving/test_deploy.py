"""Deployment files, read offline: by Kubernetes' schemas, and by the rules that they must keep."""

import json
import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from serving.gateway_metrics import Metrics
from serving.gateway_settings import Settings

DEPLOY = Path(__file__).resolve().parents[2] / "serving" / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
OBJECTS = [
    (path.name, body)
    for path in MANIFESTS
    for body in yaml.safe_load_all(path.read_text())
    if body is not None
]
BY_NAME = {(body["kind"], body["metadata"]["name"]): body for _, body in OBJECTS}
PODS = [body["spec"]["template"]["spec"] for _, body in OBJECTS if body["kind"] == "Deployment"]
CONTAINERS = [container for pod in PODS for container in pod["containers"]]
RULES = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())
EXPRESSIONS = [rule for group in RULES["groups"] for rule in group["rules"]]


@pytest.mark.parametrize(("name", "body"), OBJECTS)
def test_objects_keep_kubernetes_schemas(name, body):
    version = kubernetes_validate.latest_version()
    kubernetes_validate.validate(body, version, strict=True)


def test_the_schemas_are_looked_at():
    broken = json.loads(json.dumps(BY_NAME["Deployment", "gateway"]))
    broken["spec"]["replicaz"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, kubernetes_validate.latest_version(), strict=True)


def test_what_there_is():
    kinds = {kind for kind, _ in BY_NAME}
    for app in ("gateway", "model-server"):
        for kind in (
            *("Deployment", "Service", "PodDisruptionBudget"),
            *("HorizontalPodAutoscaler", "NetworkPolicy"),
        ):
            assert (kind, app) in BY_NAME
    assert "Ingress" not in kinds  # it differs from cluster to cluster; see docs/serving.md


def test_no_container_is_root_or_writes():
    for pod in PODS:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
    for container in CONTAINERS:
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        writable = {m["name"] for m in container["volumeMounts"] if not m.get("readOnly")}
        assert writable == {"tmp"}


def test_containers_are_probed_limited_and_pinned():
    for container in CONTAINERS:
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)
        assert "memory" in container["resources"]["limits"]
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        tag = container["image"].rpartition(":")[2]
        assert re.fullmatch(r"v?\d+\.\d+.*", tag)
        ports = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            action = container[probe].get("httpGet") or container[probe]["tcpSocket"]
            assert action["port"] in ports


def test_selectors_find_their_pods():
    for (kind, name), body in BY_NAME.items():
        if kind == "Deployment":
            wanted = body["spec"]["selector"]["matchLabels"]
            labels = body["spec"]["template"]["metadata"]["labels"]
            assert wanted.items() <= labels.items()
            assert BY_NAME["Service", name]["spec"]["selector"] == wanted
            budget = BY_NAME["PodDisruptionBudget", name]["spec"]
            assert budget["selector"]["matchLabels"] == wanted
            assert budget["minAvailable"] < body["spec"]["replicas"]
            target = BY_NAME["HorizontalPodAutoscaler", name]["spec"]["scaleTargetRef"]
            assert target["name"] == name


def test_the_network_is_shut_but_for_what_is_named():
    nobody = BY_NAME["NetworkPolicy", "nobody"]["spec"]
    assert nobody == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    server = BY_NAME["NetworkPolicy", "model-server"]["spec"]
    assert server["egress"] == []
    [grpc] = [rule for rule in server["ingress"] if rule["ports"][0]["port"] == 8500]
    assert grpc["from"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "gateway"}}}]


def test_the_pod_ends_after_its_requests():
    pod = BY_NAME["Deployment", "gateway"]["spec"]["template"]["spec"]
    limits = settings().limits
    assert pod["terminationGracePeriodSeconds"] > limits.drain + limits.finish


def settings():
    return Settings.model_validate(yaml.safe_load((DEPLOY / "settings.yaml").read_text()))


def test_the_settings_are_the_gateways_and_deny():
    made = settings()
    assert made.access.keys is not None
    assert made.model.ca is not None
    assert made.model.certificate is not None
    assert made.page is False
    mounts = {
        mount["mountPath"]
        for mount in BY_NAME["Deployment", "gateway"]["spec"]["template"]["spec"]["containers"][0][
            "volumeMounts"
        ]
    }
    for path in (made.access.keys, made.model.ca, made.model.folder, made.seen.secret):
        assert {str(path), str(path.parent)} & mounts


def known_metrics():
    """Names that the gateway exposes, and those that rules record."""
    names = {rule["record"] for rule in EXPRESSIONS if "record" in rule}
    for family in Metrics().registry.collect():
        names |= {family.name, f"{family.name}_bucket", f"{family.name}_total"}
    return names


def used_metrics(expression):
    return set(re.findall(r"\bgateway_\w+", expression))


def test_alerts_ask_for_metrics_that_exist_and_say_what_to_do():
    known = known_metrics()
    for rule in EXPRESSIONS:
        assert used_metrics(rule["expr"])
        assert used_metrics(rule["expr"]) <= known
        assert rule["expr"].count("(") == rule["expr"].count(")")
        if "alert" in rule:
            assert {"summary", "remedy"} <= set(rule["annotations"])
            assert rule["labels"]["severity"] in ("page", "ticket")


def test_the_dashboard_and_the_autoscaler_ask_for_metrics_that_exist():
    known = known_metrics()
    board = json.loads((DEPLOY / "grafana/dashboards/ssrec.json").read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids) == 8
    for panel in board["panels"]:
        for target in panel["targets"]:
            assert used_metrics(target["expr"])
            assert used_metrics(target["expr"]) <= known
    for (kind, _), body in BY_NAME.items():
        if kind == "HorizontalPodAutoscaler":
            for metric in body["spec"]["metrics"]:
                part = metric.get("object") or metric.get("pods")
                if part:
                    assert part["metric"]["name"] in known


def test_compose_is_shut_and_its_files_exist():
    body = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = body["services"]
    assert set(services) == {"model-server", "gateway", "prometheus", "grafana"}
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:")
        for network in service["networks"]:
            assert network in body["networks"]
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (DEPLOY / source).exists()
    assert "ports" not in services["model-server"]
    assert body["networks"]["model"] == {"internal": True}
    assert (DEPLOY / services["gateway"]["build"]["context"] / "pyproject.toml").exists()


def test_the_image_is_not_root_and_installs_by_hash():
    text = (DEPLOY / "Dockerfile").read_text()
    assert text.count("--require-hashes") == text.count("pip install") == 2
    users = re.findall(r"^USER (\S+)", text, re.MULTILINE)
    assert users == ["65532:65532"]
    assert text.rindex("USER") < text.rindex("ENTRYPOINT")
    assert "ADD " not in text
    assert "curl" not in text


def test_prometheus_scrapes_what_compose_starts():
    body = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    for job in body["scrape_configs"]:
        [target] = job["static_configs"][0]["targets"]
        assert target.partition(":")[0] in services
    assert all((DEPLOY / "prometheus" / name).exists() for name in body["rule_files"])
