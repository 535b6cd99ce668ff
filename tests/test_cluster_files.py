"""The files of `cluster/`: what schemas and linters say of them, and that their rules of safety hold and bite."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import ray.autoscaler
import yaml
from cluster_files import (
    FOLDER,
    KUBERNETES,
    LAUNCHER,
    POLICY,
    ROOT,
    TOKEN_FILE,
    copied,
    dockerfile_faults,
    documents,
    header,
    kubernetes_faults,
    launcher_faults,
    pinned_versions,
    pod_templates,
    policy_faults,
    ray_clusters,
    read,
    secret_faults,
    slurm_faults,
    start_commands,
    version_faults,
    versions_named,
)
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import start

FILES = (*LAUNCHER, "slurm.sh", "Dockerfile", *KUBERNETES, POLICY)
SCHEMA = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text("utf-8"))
BIN = Path(sys.executable).parent
# Kubernetes of three years: as far back as clouds still run it, and the newest that the package knows.
KUBERNETES_VERSIONS = ("1.31", kubernetes_validate.latest_version())


def lint(program: str, *options: str, text: str) -> str:
    """What a linter has to say of a text."""
    run = subprocess.run(
        [BIN / program, *options, "-"], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    return run.stdout + run.stderr


def lint_shell(text: str) -> str:
    """What shellcheck says of a script for bash."""
    return lint("shellcheck", "--shell=bash", text=text)


def validate_pod(spec: dict[str, Any], version: str) -> None:
    """Raise what is wrong with a PodSpec."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    kubernetes_validate.validate(pod, version, strict=True)


def policy() -> dict[str, Any]:
    """The NetworkPolicy that is applied beside the other files."""
    return documents(read(POLICY))[0]


# What each file is about.


def test_every_file_of_the_folder_is_checked_here() -> None:
    found = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()}
    assert found == {*FILES, "Dockerfile.dockerignore"}


@pytest.mark.parametrize("name", [*LAUNCHER, "slurm.sh", *KUBERNETES])
def test_a_file_opens_with_three_commands_and_what_it_assumes(name: str) -> None:
    opening = header(read(name))
    commands = re.findall(r"^  (ray|kubectl|sbatch|scancel) ", opening, re.MULTILINE)
    assert len(commands) == 3
    assert "What it assumes:" in opening
    assert "Change first:" in opening
    assert name in opening


@pytest.mark.parametrize("name", [*LAUNCHER, "slurm.sh", *KUBERNETES])
def test_a_file_says_how_to_submit_a_sweep(name: str) -> None:
    sweep = r"invrec tune tune_configs/learning_rates\.yaml --address auto --storage \S+"
    assert re.search(sweep, read(name))


@pytest.mark.parametrize("name", FILES)
def test_versions_are_those_that_were_tested_together(name: str) -> None:
    assert version_faults(read(name)) == []


@pytest.mark.parametrize(
    ("names", "of"),
    [
        (LAUNCHER, {"ray", "torch", "python"}),
        (("slurm.sh",), {"ray", "torch", "python"}),
        (("Dockerfile",), {"python", "invrec"}),
        (KUBERNETES, {"ray", "invrec"}),
    ],
)
def test_a_file_names_the_versions_that_it_needs(names: tuple[str, ...], of: set[str]) -> None:
    assert [set(versions_named(read(name))) for name in names] == [of] * len(names)


@pytest.mark.parametrize("name", ["ray", "torch", "python", "invrec"])
def test_another_version_is_found(name: str) -> None:
    spelled = {
        "ray": "pip install ray==9.9.9",
        "torch": "torch==9.9.9",
        "python": "python9.9",
        "invrec": "x/invrec:9.9.9",
    }
    tested = pinned_versions()[name]
    found = version_faults(spelled[name])
    assert len(found) == 1
    assert found[0].startswith(f"{name} 9.9")
    assert found[0].endswith(tested)


@pytest.mark.parametrize("name", [*FILES, "Dockerfile.dockerignore"])
def test_no_file_holds_a_credential(name: str) -> None:
    assert secret_faults(read(name)) == []


@pytest.mark.parametrize(
    "text",
    [
        "aws_access_key_id: " + "AKIA" + "ABCDEFGHIJKLMNOP",
        "-----BEGIN " + "RSA PRIVATE KEY-----",
        '{"private_key": "x"}',
        "export RAY_AUTH_TOKEN=" + "0123456789abcdef" * 4,
        'password: "correcthorse"',
        "RAY_AUTH_TOKEN=mysecret1",
    ],
)
def test_a_credential_is_found(text: str) -> None:
    assert len(secret_faults(text)) >= 1


# Ray's cluster launcher.


def launcher(name: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(read(name))
    return config


@pytest.mark.parametrize("name", LAUNCHER)
def test_a_launcher_file_fits_rays_schema_and_checks(name: str) -> None:
    config = launcher(name)
    jsonschema.validate(config, SCHEMA)
    validate_config(prepare_config(copy.deepcopy(config)))


def test_rays_schema_rejects_a_key_that_it_does_not_know() -> None:
    with pytest.raises(jsonschema.ValidationError, match="max_worker"):
        jsonschema.validate({**launcher("aws.yaml"), "max_worker": 3}, SCHEMA)


@pytest.mark.parametrize("name", ["aws.yaml", "gcp.yaml"])
def test_workers_are_spot_machines_within_bounds_and_the_head_is_not(name: str) -> None:
    config = launcher(name)
    types = config["available_node_types"]
    spot = re.compile(r"'(MarketType|provisioningModel)': '(spot|SPOT)'")
    assert config["head_node_type"] == "head"
    assert spot.search(str(types["worker"]))
    assert not spot.search(str(types["head"]))
    assert 1 <= types["worker"]["min_workers"] <= types["worker"]["max_workers"] <= config["max_workers"]
    assert types["head"]["max_workers"] == 0


def test_on_premises_all_machines_of_the_list_are_workers() -> None:
    config = prepare_config(launcher("on_premises.yaml"))
    assert config["max_workers"] == len(config["provider"]["worker_ips"])


@pytest.mark.parametrize("name", LAUNCHER)
def test_ray_start_knows_the_options_of_a_launcher_file(name: str) -> None:
    for role, words in start_commands(launcher(name)).items():
        context = start.make_context("start", words[words.index("start") + 1 :])
        assert context.params["head"] is (role == "head")
        assert context.params["address"] == (None if role == "head" else "$RAY_HEAD_IP:6379")


@pytest.mark.parametrize("name", LAUNCHER)
def test_what_a_launcher_file_copies_exists(name: str) -> None:
    sources = set(launcher(name)["file_mounts"].values()) - {TOKEN_FILE}
    assert {"pyproject.toml", "README.md", "LICENSE", "constraints.txt", "invrec_rllib"} < sources
    assert {source for source in sources if not (ROOT / source).exists()} == set()


@pytest.mark.parametrize("name", LAUNCHER)
def test_extras_that_a_launcher_file_installs_exist(name: str) -> None:
    (named,) = re.findall(r"-e '\.\[(.+)\]'", "\n".join(launcher(name)["setup_commands"]))
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    assert [
        extra for extra in named.split(",") if not re.search(rf"^{extra} = \[", project, re.MULTILINE)
    ] == []


@pytest.mark.parametrize("name", LAUNCHER)
def test_shellcheck_passes_the_commands_of_a_launcher_file(name: str) -> None:
    config = launcher(name)
    for key in ("setup_commands", "head_start_ray_commands", "worker_start_ray_commands"):
        # RAY_HEAD_IP is Ray's; what `echo` writes into .bashrc is expanded there.
        commands = [f"({command})" for command in config[key]]
        script = "\n".join(["export RAY_HEAD_IP", "# shellcheck disable=SC2016", "{", *commands, "}"])
        assert lint_shell(script) == ""


@pytest.mark.parametrize("name", LAUNCHER)
def test_a_launcher_file_is_safe(name: str) -> None:
    assert launcher_faults(launcher(name)) == []


@pytest.mark.parametrize("name", LAUNCHER)
@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("RAY_AUTH_MODE=token ray start --head", "ray start --head", "the head starts without token"),
        ("RAY_AUTH_MODE=token ray start --address", "ray start --address", "the worker starts without token"),
        ("RAY_AUTH_MODE=token ray", "RAY_AUTH_MODE=disabled ray", "the worker starts without token"),
        ("--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0", "the dashboard listens on 0.0.0.0"),
        ("~/.ray/auth_token: ~/.ray/auth_token", "~/token: LICENSE", "the token is not copied"),
        ("~/.ray/auth_token: ~/.ray/auth_token", "~/.ray/auth_token: token.txt", "the token is not copied"),
        ("chmod 600", "chmod 644", "others on a machine may read the token"),
        ("invrec_rllib: invrec_rllib", "invrec_rllib: .", ". leaves the user's machine"),
        ("invrec_rllib: invrec_rllib", "invrec_rllib: ~/.aws", "~/.aws leaves the user's machine"),
        ("ssh_user: ", "ssh_user: root #", "Ray runs as root"),
        ("provider:", "provider:\n  gcp_credentials: {type: x}", "credentials are copied"),
    ],
)
def test_an_unsafe_launcher_file_is_found(name: str, old: str, new: str, fault: str) -> None:
    assert any(fault in line for line in launcher_faults(yaml.safe_load(broken(name, old, new))))


def broken(name: str, old: str, new: str) -> str:
    """A file with a fault put in; lines after the first are as far in as the line that holds `old`."""
    pattern = r"^( *)(.*?)" + r"\n\1".join(re.escape(line) for line in old.split("\n"))
    text, count = re.subn(
        pattern, lambda m: m[1] + m[2] + f"\n{m[1]}".join(new.split("\n")), read(name), flags=re.MULTILINE
    )
    assert count, f"{name} has no {old!r}"
    return text


# Kubernetes.


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
@pytest.mark.parametrize("name", [*KUBERNETES, POLICY])
def test_kubernetes_knows_every_object_and_pod(name: str, version: str) -> None:
    for document in documents(read(name)):
        if not document["apiVersion"].startswith("ray.io/"):
            kubernetes_validate.validate(document, version, strict=True)
        for _, template in pod_templates(document):
            validate_pod(template["spec"], version)


def test_kubernetes_rejects_a_pod_with_a_field_that_it_does_not_know() -> None:
    (_, template), *_ = pod_templates(documents(read(KUBERNETES[0]))[1])
    with pytest.raises(kubernetes_validate.ValidationError, match="toleration"):
        validate_pod({**template["spec"], "toleration": []}, KUBERNETES_VERSIONS[-1])


@pytest.mark.parametrize("name", KUBERNETES)
def test_a_ray_cluster_grows_and_shrinks_within_bounds(name: str) -> None:
    (spec,) = [spec for document in documents(read(name)) for spec in ray_clusters(document)]
    assert spec["enableInTreeAutoscaling"] is True
    for group in spec["workerGroupSpecs"]:
        assert 1 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


@pytest.mark.parametrize("name", KUBERNETES)
def test_workers_prefer_spot_nodes(name: str) -> None:
    templates = {
        pod: template for document in documents(read(name)) for pod, template in pod_templates(document)
    }
    spot = [
        pod
        for pod, template in templates.items()
        if "spot" in str(template["spec"].get("affinity", {}))
        and "spot" in str(template["spec"].get("tolerations"))
    ]
    assert spot == ["workers"]


def test_the_fault_tolerant_cluster_uses_the_redis_beside_it() -> None:
    found = documents(read("kubernetes/ray_cluster_fault_tolerant.yaml"))
    by_kind = {document["kind"]: document for document in found}
    (service,) = [d for d in found if d["kind"] == "Service"]
    port = service["spec"]["ports"][0]["port"]
    options = by_kind["RayCluster"]["spec"]["gcsFaultToleranceOptions"]
    template = by_kind["StatefulSet"]["spec"]["template"]
    (redis,) = template["spec"]["containers"]
    assert options["redisAddress"] == f"{service['metadata']['name']}:{port}"
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    assert redis["ports"][0]["containerPort"] == port
    assert redis["env"][0]["valueFrom"] == options["redisPassword"]["valueFrom"]


def test_shellcheck_passes_what_starts_redis() -> None:
    (redis,) = [
        container
        for document in documents(read("kubernetes/ray_cluster_fault_tolerant.yaml"))
        for _, template in pod_templates(document)
        for container in template["spec"]["containers"]
        if container["name"] == "redis"
    ]
    assert redis["command"] == ["sh", "-c"]
    assert lint("shellcheck", "--shell=sh", text=f"export REDIS_PASSWORD\n{redis['args'][0]}") == ""


@pytest.mark.parametrize("name", KUBERNETES)
def test_a_kubernetes_file_is_safe(name: str) -> None:
    assert [
        fault for document in documents(read(name)) for fault in kubernetes_faults(document, policy())
    ] == []


def test_the_network_policy_is_safe() -> None:
    assert policy_faults(policy()) == []


@pytest.mark.parametrize("name", KUBERNETES)
@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("authOptions: {mode: token}", "authOptions: {mode: disabled}", "no token authentication"),
        ("authOptions: {mode: token}", "", "no token authentication"),
        ("serviceType: ClusterIP", "serviceType: LoadBalancer", "outsiders reach the head"),
        (
            "serviceType: ClusterIP",
            "serviceType: ClusterIP\nenableIngress: true",
            "outsiders reach the head",
        ),
        ("runAsNonRoot: true", "runAsNonRoot: false", "runs as root"),
        ("runAsUser: 1000", "runAsUser: 0", "runs as root"),
        (
            "seccompProfile: {type: RuntimeDefault}",
            "seccompProfile: {type: Unconfined}",
            "no seccomp profile",
        ),
        (
            "allowPrivilegeEscalation: false",
            "allowPrivilegeEscalation: true",
            "ray-head: may become privileged",
        ),
        (
            "allowPrivilegeEscalation: false",
            "allowPrivilegeEscalation: true",
            "autoscaler: may become privileged",
        ),
        ("capabilities: {drop: [ALL]}", "capabilities: {add: [SYS_ADMIN]}", "workers: ray-worker: keeps"),
        ('limits: {cpu: "8", memory: 16Gi}', 'limits: {cpu: "8"}', "ray-worker: no limits"),
        ("invrec:0.1.0", "invrec:latest", "an image without a version"),
        ("invrec:0.1.0", "invrec", "an image without a version"),
        ("serviceAccountName: invrec", "serviceAccountName: invrec\nhostNetwork: true", "hostNetwork is on"),
        ("emptyDir: {sizeLimit: 20Gi}", "hostPath: {path: /tmp}", "a folder of the node"),
        ("part-of: invrec}", "part-of: other}", "no network policy holds for it"),
        (
            "- name: ray-head",
            "- name: ray-head\n  env: [{name: RAY_AUTH_TOKEN, value: x}]",
            "RAY_AUTH_TOKEN in plain text",
        ),
    ],
)
def test_an_unsafe_kubernetes_file_is_found(name: str, old: str, new: str, fault: str) -> None:
    text = broken(name, old, new)
    found = [line for document in documents(text) for line in kubernetes_faults(document, policy())]
    assert any(fault in line for line in found)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("type: ClusterIP", "type: NodePort", "a Service that outsiders reach"),
        ("kind: ServiceAccount", "kind: Secret", "a Secret is written out"),
        ("kind: ServiceAccount", "kind: Ingress", "a Ingress that outsiders reach"),
        (
            "redisPassword:\n  valueFrom:\n    secretKeyRef: {name: invrec-redis, key: password}",
            "redisPassword: {value: x}",
            "Redis has no password, or one in plain text",
        ),
        ("redisPassword:", "redisUsername:", "Redis has no password"),
    ],
)
def test_an_unsafe_redis_is_found(old: str, new: str, fault: str) -> None:
    text = broken("kubernetes/ray_cluster_fault_tolerant.yaml", old, new)
    found = [line for document in documents(text) for line in kubernetes_faults(document, policy())]
    assert any(fault in line for line in found)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "podSelector:\n  matchLabels: {app.kubernetes.io/part-of: invrec}",
            "podSelector: {}",
            "no pod of ours",
        ),
        ("policyTypes: [Ingress]", "policyTypes: [Egress]", "no pod of ours"),
        (
            "matchLabels: {app.kubernetes.io/name: kuberay-operator}",
            "matchLabels: {}",
            "every pod may come in",
        ),
        ("ports:\n  - {port: 8265, protocol: TCP}", "", "others may use every port"),
    ],
)
def test_an_unsafe_network_policy_is_found(old: str, new: str, fault: str) -> None:
    assert any(fault in line for line in policy_faults(documents(broken(POLICY, old, new))[0]))


# The image.


def test_hadolint_passes_the_dockerfile() -> None:
    assert lint("hadolint", text=read("Dockerfile")) == ""


def test_hadolint_finds_an_image_without_a_version() -> None:
    assert "DL3006" in lint("hadolint", text=broken("Dockerfile", "python:3.11-slim-bookworm", "python"))


def test_the_dockerfile_is_safe() -> None:
    assert dockerfile_faults(read("Dockerfile"), read("Dockerfile.dockerignore")) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("USER 1000:1000", "", "runs as root"),
        ("USER 1000:1000", "USER 0", "runs as root"),
        ("USER 1000:1000", "USER invrec", "a name that Kubernetes cannot judge"),
        ("python:3.11-slim-bookworm", "python", "a base without a version"),
        ("python:3.11-slim-bookworm", "python:latest", "a base without a version"),
        (" RAY_AUTH_MODE=token", "", "Ray starts without token authentication"),
        ("COPY invrec_rllib ./invrec_rllib", "COPY . .", ". reaches the image"),
    ],
)
def test_an_unsafe_dockerfile_is_found(old: str, new: str, fault: str) -> None:
    found = dockerfile_faults(broken("Dockerfile", old, new), read("Dockerfile.dockerignore"))
    assert any(fault in line for line in found)


def test_a_build_that_sends_the_whole_folder_is_found() -> None:
    ignored = broken("Dockerfile.dockerignore", "*\n!constraints.txt", ".git\n!constraints.txt")
    assert dockerfile_faults(read("Dockerfile"), ignored) == ["the whole folder reaches the builder"]


def test_the_image_takes_its_versions_from_the_constraints_and_copies_what_exists() -> None:
    text = read("Dockerfile")
    installs = re.findall(r"pip install (.+)$", text, re.MULTILINE)
    assert len(installs) == 2
    assert "\"$(grep '^torch==' constraints.txt)\"" in installs[0]
    assert installs[1].endswith("-c constraints.txt")
    assert {source for source in copied(text) if not (ROOT / source).exists()} == set()


# Slurm.


def test_shellcheck_passes_the_batch_script() -> None:
    assert lint_shell(read("slurm.sh")) == ""


def test_shellcheck_finds_a_word_without_quotes() -> None:
    assert "SC2086" in lint_shell(broken("slurm.sh", '"$head_node:6379"', "$head_node:6379"))


def test_the_batch_script_is_safe() -> None:
    assert slurm_faults(read("slurm.sh")) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("RAY_AUTH_MODE=token", "RAY_AUTH_MODE=disabled", "no token authentication"),
        ("export RAY_AUTH_MODE ", "export ", "no token authentication"),
        ("umask 077", "umask 022", "others may read the token"),
        ("trap ", ": ", "the token stays"),
        ("--num-cpus", "--dashboard-host 0.0.0.0 --num-cpus", "the dashboard listens on 0.0.0.0"),
        ("--num-cpus", "--dashboard-host=10.0.0.1 --num-cpus", "the dashboard listens on 10.0.0.1"),
    ],
)
def test_an_unsafe_batch_script_is_found(old: str, new: str, fault: str) -> None:
    assert any(fault in line for line in slurm_faults(broken("slurm.sh", old, new)))
