"""The files of `cluster/`, and their rules of safety: functions that return what a file breaks, one line each."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "cluster"
LAUNCHER = ("aws.yaml", "gcp.yaml", "on_premises.yaml")
KUBERNETES = tuple(
    f"kubernetes/{name}.yaml" for name in ("ray_cluster", "ray_cluster_fault_tolerant", "ray_job")
)
POLICY = "kubernetes/network_policy.yaml"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
TOKEN_FILE = "~/.ray/auth_token"
PART_OF = "app.kubernetes.io/part-of"

# Who names a version, and how: each pattern's group is compared with the constraints file.
VERSIONS = {
    "ray": r"(?:\bray==|rayVersion: \"|\bRay )(\d+\.\d+\.\d+)",
    "torch": r"\btorch(?:==| )(\d+\.\d+\.\d+)",
    "python": r"(?i)\bpython[: ]?(?=\d)(\d+\.\d+)",
    "invrec": r"/invrec:(\d+\.\d+\.\d+)",
}
SECRETS = {
    "an access key of AWS": r"\bA(?:KIA|SIA)[0-9A-Z]{16}\b",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a key of a service account": r'"private_key(?:_id)?"',
    "a token": r"\b[0-9a-fA-F]{32,}\b",
    "a secret in plain text": r"(?i)(?:token|password|secret|api_?key)[\"']? *[:=] *[\"']?[A-Za-z0-9+/_-]{8,}",
}


def read(name: str) -> str:
    """Text of a file of `cluster/`."""
    return (FOLDER / name).read_text("utf-8")


def documents(text: str) -> list[dict[str, Any]]:
    """The YAML documents of a text."""
    return list(yaml.safe_load_all(text))


def pinned_versions() -> dict[str, str]:
    """Versions by name: all of constraints.txt, the Python it was tested on, and this project's own."""
    text = (ROOT / "constraints.txt").read_text("utf-8")
    versions = dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))
    python = re.search(r"tested together, on Python ([\d.]+\d)", text)
    own = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert python is not None
    assert own is not None
    return {**versions, "python": python[1], "invrec": own[1]}


def versions_named(text: str) -> dict[str, set[str]]:
    """Versions that a file names, by what they are of."""
    return {name: found for name, pattern in VERSIONS.items() if (found := set(re.findall(pattern, text)))}


def version_faults(text: str) -> list[str]:
    """Versions of a file that are not those that were tested together."""
    tested = pinned_versions()
    return [
        f"{name} {version}: constraints.txt has {tested[name]}"
        for name, versions in versions_named(text).items()
        for version in sorted(versions - {tested[name]})
    ]


def secret_faults(text: str) -> list[str]:
    """What looks like a credential."""
    return [
        f"{what}: {found[0][:12]}..."
        for what, pattern in SECRETS.items()
        if (found := re.search(pattern, text))
    ]


def header(text: str) -> str:
    """The comment that a file opens with, without the marks of comments."""
    lines = text.removeprefix("#!/usr/bin/env bash\n").splitlines()
    end = next((index for index, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[:end])


def start_commands(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """Words of `ray start` by role, "head" or "worker", as a shell splits them."""
    found = {}
    for role in ("head", "worker"):
        commands = [c for c in config[f"{role}_start_ray_commands"] if "ray start" in c]
        assert len(commands) == 1, f"{len(commands)} starts of a {role}"
        found[role] = shlex.split(commands[0])
    return found


def launcher_faults(config: Mapping[str, Any]) -> list[str]:
    """Breaches of a launcher file: authentication, the dashboard's address, what leaves the user's machine."""
    faults = []
    for role, words in start_commands(config).items():
        if "RAY_AUTH_MODE=token" not in words[: words.index("ray")]:
            faults.append(f"the {role} starts without token authentication")
    faults += dashboard_faults(start_commands(config)["head"])
    if config["file_mounts"].get(TOKEN_FILE) != TOKEN_FILE:
        faults.append("the token is not copied from the user's own file")
    if f"chmod 600 {TOKEN_FILE}" not in config["setup_commands"]:
        faults.append("others on a machine may read the token")
    faults += [
        f"{source} leaves the user's machine"
        for source in config["file_mounts"].values()
        if source != TOKEN_FILE and (source.startswith((".", "~", "/")) or "*" in source)
    ]
    if config["auth"]["ssh_user"] == "root":
        faults.append("Ray runs as root")
    if config["provider"].get("gcp_credentials"):
        faults.append("credentials are copied to the head")
    return faults


def dashboard_faults(words: Sequence[str]) -> list[str]:
    """An address of the dashboard, in a `ray start`, that others reach. The job API is a part of the dashboard."""
    options = " ".join(words).replace("=", " ").split()
    given = "--dashboard-host" in options
    # Without the option, Ray's own default: loopback.
    host = options[options.index("--dashboard-host") + 1] if given else LOOPBACK[0]
    return [] if host in LOOPBACK else [f"the dashboard listens on {host}"]


def ray_clusters(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Specifications of the Ray clusters of a document."""
    if document["kind"] == "RayCluster":
        yield document["spec"]
    elif document["kind"] == "RayJob":
        yield document["spec"]["rayClusterSpec"]


def pod_templates(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name and template of every pod that a document makes."""
    for cluster in ray_clusters(document):
        yield "head", cluster["headGroupSpec"]["template"]
        for group in cluster["workerGroupSpecs"]:
            yield group["groupName"], group["template"]
    if "submitterPodTemplate" in document.get("spec", {}):
        yield "submitter", document["spec"]["submitterPodTemplate"]
    if document["kind"] in ("Deployment", "StatefulSet", "Job"):
        yield document["metadata"]["name"], document["spec"]["template"]


def kubernetes_faults(document: Mapping[str, Any], policy: Mapping[str, Any]) -> list[str]:
    """Breaches of a Kubernetes document: authentication, who reaches Ray, what a container may do.

    Args:
        document: the document.
        policy: the NetworkPolicy beside it.
    """
    faults = []
    kind, spec = document["kind"], document.get("spec", {})
    if kind == "Secret":
        faults.append("a Secret is written out")
    if kind == "Ingress" or spec.get("type", "ClusterIP") != "ClusterIP":
        faults.append(f"a {kind} that outsiders reach")
    for cluster in ray_clusters(document):
        faults += ray_cluster_faults(cluster)
    for name, template in pod_templates(document):
        faults += [f"{name}: {fault}" for fault in pod_faults(template["spec"])]
        if (
            template["metadata"]["labels"].get(PART_OF)
            != policy["spec"]["podSelector"]["matchLabels"][PART_OF]
        ):
            faults.append(f"{name}: no network policy holds for it")
    return faults


def ray_cluster_faults(spec: Mapping[str, Any]) -> list[str]:
    """Breaches of what KubeRay makes of a specification beside its pods."""
    faults = []
    head = spec["headGroupSpec"]
    if spec.get("authOptions", {}).get("mode") != "token":
        faults.append("no token authentication")
    if head.get("serviceType") != "ClusterIP" or head.get("enableIngress"):
        faults.append("outsiders reach the head")
    faults += [
        f"autoscaler: {fault}"
        for fault in container_faults({"image": "as:head", **spec.get("autoscalerOptions", {})})
    ]
    password = spec.get("gcsFaultToleranceOptions", {}).get("redisPassword")
    if "gcsFaultToleranceOptions" in spec and "secretKeyRef" not in (password or {}).get("valueFrom", {}):
        faults.append("Redis has no password, or one in plain text")
    return faults


def pod_faults(spec: Mapping[str, Any]) -> list[str]:
    """Breaches of a PodSpec."""
    faults = []
    security = spec.get("securityContext", {})
    if security.get("runAsNonRoot") is not True or security.get("runAsUser", 0) == 0:
        faults.append("runs as root")
    if security.get("seccompProfile") != {"type": "RuntimeDefault"}:
        faults.append("no seccomp profile")
    faults += [f"{field} is on" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    faults += ["a folder of the node" for volume in spec.get("volumes", []) if "hostPath" in volume]
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        faults += [f"{container['name']}: {fault}" for fault in container_faults(container)]
    return faults


def container_faults(container: Mapping[str, Any]) -> list[str]:
    """Breaches of a container: its rights, its bounds, its image and the secrets in its environment."""
    faults = []
    security = container.get("securityContext", {})
    if security.get("allowPrivilegeEscalation") is not False or security.get("privileged"):
        faults.append("may become privileged")
    if security.get("capabilities", {}).get("drop") != ["ALL"]:
        faults.append("keeps capabilities")
    if {"cpu", "memory"} - set(container.get("resources", {}).get("limits", {})):
        faults.append("no limits")
    tag = container["image"].rpartition("/")[2].partition(":")[2]
    if tag in ("", "latest"):
        faults.append("an image without a version")
    faults += [
        f"{variable['name']} in plain text"
        for variable in container.get("env", [])
        if re.search(r"TOKEN|PASSWORD|SECRET|KEY", variable["name"]) and "valueFrom" not in variable
    ]
    return faults


def policy_faults(policy: Mapping[str, Any]) -> list[str]:
    """Breaches of the NetworkPolicy: whom it lets in."""
    spec = policy["spec"]
    own = spec["podSelector"].get("matchLabels", {})
    faults = [] if PART_OF in own and spec["policyTypes"] == ["Ingress"] else ["it holds for no pod of ours"]
    for rule in spec["ingress"]:
        peers = rule.get("from", [])
        if not peers or any(not peer.get("podSelector", {}).get("matchLabels") for peer in peers):
            faults.append("every pod may come in")
        elif any(peer["podSelector"]["matchLabels"] != own for peer in peers) and not rule.get("ports"):
            faults.append("others may use every port")
    return faults


def slurm_faults(text: str) -> list[str]:
    """Breaches of the batch script."""
    code = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    faults = []
    if "RAY_AUTH_MODE=token\n" not in code or not re.search(
        r"^export .*\bRAY_AUTH_MODE\b", code, re.MULTILINE
    ):
        faults.append("no token authentication")
    if "umask 077" not in code:
        faults.append("others may read the token")
    if "trap 'rm -f \"$RAY_AUTH_TOKEN_PATH\"' EXIT" not in code:
        faults.append("the token stays")
    return faults + dashboard_faults(shlex.split(code[code.index("\nsrun ") :]))


def dockerfile_faults(text: str, ignored: str) -> list[str]:
    """Breaches of the image.

    Args:
        text: the Dockerfile.
        ignored: the Dockerfile.dockerignore.
    """
    faults = []
    users = re.findall(r"^USER (\S+)", text, re.MULTILINE)
    if not users or not re.fullmatch(r"[1-9]\d*(:\d+)?", users[-1]):
        faults.append("the image runs as root, or as a name that Kubernetes cannot judge")
    if re.findall(r"^FROM (\S+)", text, re.MULTILINE) != re.findall(
        r"^FROM (\S+:[\d.]+\S*)", text, re.MULTILINE
    ):
        faults.append("a base without a version")
    if not re.search(r"^ENV .*\bRAY_AUTH_MODE=token\b", text, re.MULTILINE):
        faults.append("Ray starts without token authentication")
    lines = [line for line in ignored.splitlines() if line and not line.startswith("#")]
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    if lines[0] != "*":
        faults.append("the whole folder reaches the builder")
    faults += [f"{source} reaches the image" for source in copied(text) if source not in allowed]
    return faults


def copied(dockerfile: str) -> list[str]:
    """What a Dockerfile copies from the repository."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]
