"""A real Ray cluster of several nodes on this machine: processes of `ray start`, with ports, a folder and a token of
their own.

Nodes are killed with SIGKILL, all of their processes by id, as a machine is lost. Drivers are processes of their own
as well: `ProcessCluster.environment` holds the address and the token.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"
# Generous: a machine that runs other tests beside these starts Ray slowly.
PATIENCE_SECONDS = 120.0
STARTED = "Ray runtime started."


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(holds: Callable[[], bool], what: str, *, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: it did not within `seconds`; the message says `what`.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.1)


def family(pid: int) -> list[int]:
    """A process and all of its descendants, by id."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The name, in brackets, may hold anything; the parent's id is the second field after it.
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for member in found:
        found += children.get(member, [])
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and that nobody has asked about does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@dataclass(eq=False)
class Node:
    """One node: its `ray start --block` and what that started.

    Attributes:
        name: how it is called in its log's name.
        process: the `ray start`.
        log: what it printed.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def started(self) -> bool:
        """Whether Ray runs on it.

        Raises:
            RuntimeError: it ended instead, with what it printed.
        """
        printed = self.log.read_text("utf-8", "replace")
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{printed}")
        return STARTED in printed

    def kill(self) -> None:
        """End all of its processes at once, and wait until they are gone."""
        members = family(self.process.pid)
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: not any(alive(pid) for pid in members), f"{self.name} gone")


@dataclass
class ProcessCluster:
    """A head, and nodes that come and go. Made by `process_cluster`.

    Attributes:
        folder: holds the sessions, the token and the logs.
        port: the head's.
        dashboard_port: of the dashboard and the job API.
        environment: for whoever wants to use the cluster: its address and its token.
        head: the head's node.
        workers: other nodes that run.
        variables: further environment variables of all processes of the cluster and of whoever uses it.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    dashboard_port: int = field(default_factory=free_port)
    environment: Mapping[str, str] = field(init=False)
    head: Node = field(init=False)
    workers: list[Node] = field(default_factory=list)
    variables: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        token = self.folder / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        self.environment = {
            **inherited,
            "RAY_ADDRESS": self.address,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_USAGE_STATS_ENABLED": "0",
            **self.variables,
        }

    @property
    def address(self) -> str:
        """Address of the head, for `ray.init`."""
        return f"{HOST}:{self.port}"

    @property
    def jobs_address(self) -> str:
        """Address of the job API, for `ray job submit`; it answers if the head has a dashboard."""
        return f"http://{HOST}:{self.dashboard_port}"

    def start_head(self, *, num_cpus: int, dashboard: bool) -> None:
        """Start the head, once."""
        self.head = self._launch(
            "head",
            num_cpus,
            "--head",
            f"--port={self.port}",
            f"--ray-client-server-port={free_port()}",
            f"--include-dashboard={str(dashboard).lower()}",
            f"--dashboard-host={HOST}",
            f"--dashboard-port={self.dashboard_port}",
        )
        wait_until(self.head.started, "head started")

    def add_node(self, *, num_cpus: int = 1) -> Node:
        """Start one more node, and wait until it has joined."""
        self.add_nodes(1, num_cpus=num_cpus)
        return self.workers[-1]

    def add_nodes(self, number: int, *, num_cpus: int = 1) -> None:
        """Start so many more nodes at once, and wait until they have joined."""
        begun = [
            self._launch(f"worker{self._num_started()}", num_cpus, f"--address={self.address}")
            for _ in range(number)
        ]
        self.workers += begun
        for node in begun:
            wait_until(node.started, f"{node.name} started")

    def kill_node(self, node: Node) -> None:
        """Lose a node without a warning, as a spot machine or a power supply goes."""
        node.kill()
        if node in self.workers:
            self.workers.remove(node)

    def run(
        self, command: Sequence[str], *, seconds: float = PATIENCE_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run a command that uses the cluster, and wait for its end."""
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=seconds, check=False
        )

    def _num_started(self) -> int:
        return len(list(self.folder.glob("*.log")))

    def _launch(self, name: str, num_cpus: int, *options: str) -> Node:
        log = self.folder / f"{name}.log"
        command = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block"),
            f"--node-ip-address={HOST}",
            f"--num-cpus={num_cpus}",
            f"--temp-dir={self.folder / name}",
            # Small: a machine's shared memory is for all nodes on it.
            f"--object-store-memory={80 * 1024**2}",
            # By default the nodes of one machine would ask for the same ports.
            f"--dashboard-agent-listen-port={free_port()}",
            "--min-worker-port=0",
            "--max-worker-port=0",
            *options,
        ]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return Node(name, process, log)


@contextlib.contextmanager
def process_cluster(
    num_workers: int = 0,
    *,
    num_cpus: int = 1,
    head_cpus: int = 0,
    dashboard: bool = False,
    variables: Mapping[str, str] | None = None,
) -> Iterator[ProcessCluster]:
    """A cluster while it lasts; all of its processes and its folder are gone afterwards.

    Args:
        num_workers: nodes besides the head to begin with.
        num_cpus: CPUs that each of them declares.
        head_cpus: CPUs that the head declares.
        dashboard: whether the head has a dashboard, and with it the job API.
        variables: further environment variables of all processes of the cluster and of whoever uses it.
    """
    # Under /tmp itself: paths of Ray's sockets may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="ray_", dir="/tmp"))
    cluster = ProcessCluster(folder, variables=variables or {})
    try:
        cluster.start_head(num_cpus=head_cpus, dashboard=dashboard)
        cluster.add_nodes(num_workers, num_cpus=num_cpus)
        yield cluster
    finally:
        for node in (*cluster.workers, *([cluster.head] if hasattr(cluster, "head") else [])):
            node.kill()
        shutil.rmtree(folder, ignore_errors=True)
