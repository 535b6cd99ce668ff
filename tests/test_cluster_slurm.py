"""The batch script for Slurm, run with stand-ins for Slurm and for Ray, which note what they are called with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cluster_files import FOLDER
from ray.scripts.scripts import start
from ray.scripts.symmetric_run import curate_and_validate_ray_start_args

# Notes its arguments and the token's file, and ends as the test wants.
RAY = """#!{python}
import json, os, stat, sys
token = os.environ["RAY_AUTH_TOKEN_PATH"]
noted = {{
    "words": sys.argv[1:],
    "auth_mode": os.environ["RAY_AUTH_MODE"],
    "token": open(token).read(),
    "token_path": token,
    "token_mode": stat.S_IMODE(os.stat(token).st_mode),
}}
json.dump(noted, open({noted!r}, "w"))
sys.exit({code})
"""
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""
SCONTROL = """#!/bin/bash
[[ "$*" == 'show hostnames node[7-9]' ]] && printf 'node%d\\n' 7 8 9
"""


@dataclass(frozen=True)
class Finished:
    """What a run of the script left: its exit code and what the stand-in for Ray noted."""

    code: int
    noted: dict[str, Any]

    @property
    def ray_start(self) -> list[str]:
        """Words before the command of the sweep, without the subcommand."""
        words: list[str] = self.noted["words"]
        return words[1 : words.index("--")]

    @property
    def sweep(self) -> list[str]:
        """The command that the head runs."""
        words: list[str] = self.noted["words"]
        return words[words.index("--") + 1 :]


def submit(folder: Path, *command: str, code: int = 0) -> Finished:
    """Run the script in a folder as Slurm would on the first of three nodes."""
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    noted = folder / "noted.json"
    for name, text in {
        "ray": RAY.format(python=sys.executable, noted=str(noted), code=code),
        "srun": SRUN,
        "scontrol": SCONTROL,
        "activate": f'PATH="{programs}:$PATH"\n',
    }.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "SCRATCH": "/scratch/me",
        "SLURM_JOB_ID": "42",
        "SLURM_JOB_NODELIST": "node[7-9]",
        "SLURM_JOB_NUM_NODES": "3",
        "SLURM_CPUS_ON_NODE": "64",
    }
    run = subprocess.run(
        ["bash", FOLDER / "slurm.sh", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert noted.exists(), run.stderr
    return Finished(run.returncode, json.loads(noted.read_text()))


def test_ray_starts_on_all_nodes_with_options_that_it_knows(tmp_path: Path) -> None:
    finished = submit(tmp_path)
    assert finished.noted["words"][0] == "symmetric-run"
    assert finished.ray_start[:4] == ["--address", "node7:6379", "--min-nodes", "3"]
    options = curate_and_validate_ray_start_args([*finished.ray_start, "--", *finished.sweep])
    context = start.make_context("start", [word for word in options if word not in finished.sweep])
    assert context.params["num_cpus"] == 64
    # All nodes get the same options, and Ray's workers refuse to start with this one.
    assert context.params["include_dashboard"] is None


def test_the_head_runs_the_sweep(tmp_path: Path) -> None:
    sweep = "invrec tune tune_configs/learning_rates.yaml --address auto --storage /scratch/me/sweeps"
    assert submit(tmp_path).sweep == sweep.split()


def test_the_head_runs_a_command_that_was_given_word_by_word(tmp_path: Path) -> None:
    command = ["invrec", "tune", "a file.yaml", "--address", "auto"]
    assert submit(tmp_path, *command).sweep == command


def test_every_job_has_a_token_of_its_own_that_others_cannot_read(tmp_path: Path) -> None:
    first, second = (submit(tmp_path / name).noted for name in ("first", "second"))
    assert first["auth_mode"] == "token"
    assert first["token_mode"] == 0o600
    assert len(first["token"]) == 64
    assert first["token"] != second["token"]


@pytest.mark.parametrize("code", [0, 3])
def test_the_token_goes_with_the_job_whose_exit_code_is_the_sweeps(tmp_path: Path, code: int) -> None:
    finished = submit(tmp_path, code=code)
    assert finished.code == code
    assert not Path(finished.noted["token_path"]).exists()
