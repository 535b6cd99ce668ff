"""Starting Ray, and building algorithms, without its noise and without its silent hang.

What a run of Ray 2.60 prints, and what stops it here:

- notices on token authentication, deprecated calls of RLlib's own and ``gputil``: the ``logging_level`` of
  `ray.init`; on the new API stack: the level of RLlib's own logger. Errors still come;
- each worker's copy of them, with its process id: ``log_to_driver=False``. The traceback of a worker that
  fails comes with the exception in the driver, and all of it is in the logs of the session;
- an E-level line on "constructor arguments in the object store", once per runner, from C++ (ray issue 53727):
  its only setting, ``RAY_BACKEND_LOG_LEVEL=fatal``, would silence real faults as well, so `build_quietly`
  drops the lines of `NOISE` from standard error while it builds.

An algorithm that needs more CPUs than its cluster has waits for them for ever, without a word; `start_ray`
compares the two first.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ray
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.tune import PlacementGroupFactory
from ray.util import placement_group, remove_placement_group

from invrec_rllib.errors import InputError

_PACKAGE = Path(__file__).resolve().parent.parent
NOISE = re.compile(
    rb"core_worker\.cc:\d+: Actor with class name: .* has constructor arguments in the object store"
)


def resources_needed(config: AlgorithmConfig, *, concurrent_trials: int = 0) -> dict[str, float]:
    """What an algorithm's remote runners and learners take from the cluster, by resource name.

    Args:
        config: the algorithm's configuration; it is not changed.
        concurrent_trials: 0 when the algorithm is built in this process; under Tune the number of trials at
            once, each of which takes its main process's share as well.

    Returns:
        Amounts such as ``{"CPU": 4.0}``.

    Raises:
        InputError: `config` belongs to no algorithm.
    """
    factory = placement(config)
    bundles = factory.bundles if concurrent_trials else factory.bundles[1:]
    total: dict[str, float] = {}
    for bundle in bundles:
        for name, amount in bundle.items():
            total[name] = total.get(name, 0.0) + float(amount) * max(concurrent_trials, 1)
    return {name: amount for name, amount in total.items() if amount > 0}


def placement(config: AlgorithmConfig) -> PlacementGroupFactory:
    """What a trial of Tune takes: a bundle for its main process, and one for each remote runner and learner.

    Raises:
        InputError: `config` belongs to no algorithm.
    """
    algorithm: Any = config.algo_class
    if algorithm is None:
        raise InputError(f"config must be an algorithm's, such as PPOConfig(), got {type(config).__name__}")
    with quiet_loggers():
        factory: PlacementGroupFactory = algorithm.default_resource_request(config.copy(copy_frozen=False))
    return factory


def has_room(config: AlgorithmConfig, *, seconds: float) -> bool:
    """Whether the cluster makes room for an algorithm's remote runners and learners within a time.

    Unlike the cluster's own figures it is not taken in by nodes that were just lost, which count until Ray has missed
    some of their heartbeats: an algorithm that is built meanwhile waits for them for ever, without a word.
    """
    bundles = [bundle for bundle in placement(config).bundles[1:] if bundle]
    if not bundles:
        return True
    group = placement_group(bundles)
    try:
        return bool(group.wait(seconds))
    finally:
        remove_placement_group(group)


def start_ray(
    num_cpus: int | None = None,
    *,
    address: str | None = None,
    needed: Mapping[str, float] | None = None,
    ship_code: bool = False,
    verbose: bool = False,
    **options: Any,
) -> dict[str, float]:
    """Start Ray on this machine, or connect to a cluster, and see that the job fits.

    A Ray that already runs in this process is used as it is.

    Args:
        num_cpus: CPUs to declare to a local Ray; None declares what the machine has, or what the job needs if
            that is more (runners then share cores). Not allowed with an address.
        address: ``"auto"``, ``"host:port"`` or ``"ray://..."``; None is the environment variable
            ``RAY_ADDRESS``, or a local Ray.
        needed: resources that the job needs at once, see `resources_needed`.
        ship_code: send this package's code to the workers, which then need not have it installed, only what it
            depends on (Ray's `py_modules`); not where Ray runs in this process already.
        verbose: let Ray print all that it prints by default.
        options: passed on to `ray.init`.

    Returns:
        The resources of the cluster.

    Raises:
        InputError: the cluster has less than the job needs, or an argument is out of range.
        ConnectionError: no cluster at that address.
    """
    needed = dict(needed or {})
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if ray.is_initialized():
        return _fitting_resources(needed)
    if address == "local":
        options["num_cpus"] = _local_cpus(num_cpus, needed.get("CPU", 0.0))
        options.setdefault("include_dashboard", False)
    elif num_cpus is not None:
        raise InputError(f"num_cpus={num_cpus} is for a local Ray only; the cluster at {address} has its own")
    if ship_code:
        options["runtime_env"] = {**options.get("runtime_env", {}), "py_modules": [str(_PACKAGE)]}
    quiet = {} if verbose else {"logging_level": logging.ERROR, "log_to_driver": False}
    ray.init(address=address, **{**quiet, **options})
    try:
        return _fitting_resources(needed)
    except InputError:
        ray.shutdown()
        raise


def stop_ray() -> None:
    """Stop a local Ray of this process, or leave the cluster; nothing if there is none."""
    if ray.is_initialized():
        ray.shutdown()


@contextlib.contextmanager
def ray_running(
    num_cpus: int | None = None,
    *,
    address: str | None = None,
    needed: Mapping[str, float] | None = None,
    ship_code: bool = False,
) -> Iterator[dict[str, float]]:
    """Ray as `start_ray` starts it, while it lasts.

    A Ray that already ran in this process, a worker's among them, is used and goes on afterwards.
    """
    ours = not ray.is_initialized()
    resources = start_ray(num_cpus, address=address, needed=needed, ship_code=ship_code)
    try:
        yield resources
    finally:
        if ours:
            stop_ray()


def build_quietly(config: AlgorithmConfig) -> Algorithm:
    """`config.build_algo()`, after a check that the cluster has room, and without RLlib's notices.

    A `log_level` other than RLlib's default, "WARN", is kept.

    Raises:
        InputError: the cluster lacks resources, with which RLlib would wait for ever.
    """
    if ray.is_initialized():
        _fitting_resources(resources_needed(config))
    config = config.copy(copy_frozen=False)
    if config.log_level == "WARN":
        config.debugging(log_level="ERROR")
        # The build checks the configuration, aloud, before it sets that level.
        logging.getLogger("ray.rllib").setLevel(logging.ERROR)
    with drop_from_stderr(), warnings.catch_warnings():
        # Every local runner registers its environment with gymnasium under one and the same name.
        warnings.filterwarnings("ignore", message=".*Overriding environment rllib-")
        return config.build_algo()


def usable_cpus() -> int:
    """CPUs of the machine that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _local_cpus(num_cpus: int | None, needed: float) -> int:
    if num_cpus is not None and num_cpus < 1:
        raise InputError(f"num_cpus must be an integer of at least 1, got {num_cpus}")
    if num_cpus is not None and num_cpus < needed:
        raise InputError(
            f"num_cpus={num_cpus}, but runners and learners need {needed:g} CPUs: raise it or take fewer"
        )
    if num_cpus is not None:
        return num_cpus
    return max(usable_cpus(), -int(-needed // 1))


def _cluster_resources() -> dict[str, float]:
    resources: dict[str, float] = ray.cluster_resources()
    return resources


def _fitting_resources(needed: Mapping[str, float]) -> dict[str, float]:
    available = _cluster_resources()
    short = [
        f"{amount:g} {name} needed, {available.get(name, 0.0):g} in the cluster"
        for name, amount in sorted(needed.items())
        if amount > available.get(name, 0.0)
    ]
    if short:
        raise InputError(
            f"Ray has too little for this job, which would wait for ever: {'; '.join(short)}. Take fewer "
            "runners or learners, or a larger cluster (a local Ray: num_cpus)"
        )
    return available


@contextlib.contextmanager
def quiet_loggers() -> Iterator[None]:
    """Only errors of Ray and RLlib, while it lasts."""
    # RLlib gives its own logger a level, which then does not follow Ray's.
    loggers = [logging.getLogger(name) for name in ("ray", "ray.rllib")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def drop_from_stderr(noise: re.Pattern[bytes] = NOISE) -> Iterator[None]:
    """Drop the lines that match `noise` from this process's standard error, C++ code's included.

    All other lines pass at once. Works on the file descriptor, so that it holds for all threads.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    reader, writer = os.pipe()
    os.dup2(writer, 2)
    os.close(writer)
    end = b"end of the filter %d\n" % threading.get_ident()
    done = threading.Event()

    def copy() -> None:
        with os.fdopen(reader, "rb") as lines, os.fdopen(terminal, "wb", buffering=0) as out:
            for line in lines:
                if line.endswith(end):
                    out.write(line[: -len(end)])
                    done.set()
                elif not noise.search(line):
                    out.write(line)

    # A child process may hold the pipe open: the thread serves it until it ends, and nobody waits for that.
    thread = threading.Thread(target=copy, name="drop-from-stderr", daemon=True)
    back = os.dup(terminal)
    thread.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.write(2, end)
        os.dup2(back, 2)
        os.close(back)
        done.wait()
