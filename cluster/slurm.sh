#!/usr/bin/env bash
# A Ray cluster inside one Slurm job: it comes up, runs a sweep and goes down with the job.
#
# Run in the repository's root, on a login node:
#   sbatch cluster/slurm.sh                                             # bring it up, and submit the sweep below with it
#   sbatch cluster/slurm.sh invrec tune tune_configs/seeds.yaml --address auto --storage "$SCRATCH/sweeps"   # another
#   scancel --name invrec-sweep                                         # take it down before its time
# A sweep that was cut off goes on with the same command and --resume.
#
# What it assumes:
#   - the repository and its virtual environment .venv (extras [report,cluster], constraints.txt) in a folder that
#     all nodes see, and Python 3.11, Ray 2.60.0 and torch 2.13.0 in it;
#   - a home that all nodes see, and a shared folder $SCRATCH for the results;
#   - whole nodes (--exclusive): `ray symmetric-run` ends with `ray stop`, which ends every Ray of yours on a node;
#   - a network among the nodes that outsiders cannot reach. Other users of the machine can: Ray refuses whoever
#     does not have this job's token, which lies in a file that only you can read and goes with the job.
#
# Change first: the partition and account of your site, nodes and time, SCRATCH if your site names it otherwise.
# A preemptible partition may take the job back: with --requeue and --resume in the command the sweep goes on.
#SBATCH --job-name=invrec-sweep
#SBATCH --nodes=3
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --no-kill
#SBATCH --time=08:00:00
#SBATCH --output=%x-%j.log
set -euo pipefail
umask 077

if (($# == 0)); then
  set -- invrec tune tune_configs/learning_rates.yaml --address auto --storage "${SCRATCH:?}/sweeps"
fi

# shellcheck disable=SC1091
. .venv/bin/activate

RAY_AUTH_MODE=token
RAY_AUTH_TOKEN_PATH="$HOME/.ray/token-of-job-$SLURM_JOB_ID"
# Slow nodes get five minutes to join.
RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300
export RAY_AUTH_MODE RAY_AUTH_TOKEN_PATH RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT
mkdir -p "$HOME/.ray"
trap 'rm -f "$RAY_AUTH_TOKEN_PATH"' EXIT
python -c 'import secrets; print(secrets.token_hex(32), end="")' >"$RAY_AUTH_TOKEN_PATH"

read -r head_node < <(scontrol show hostnames "$SLURM_JOB_NODELIST")

# One Ray per node with all of its cores, the first of them the head; the command runs on the head alone. The
# dashboard listens on its loopback. A node that fails takes its trials with it, not the job.
srun --no-kill --kill-on-bad-exit=0 --cpus-per-task="$SLURM_CPUS_ON_NODE" ray symmetric-run \
  --address "$head_node:6379" \
  --min-nodes "$SLURM_JOB_NUM_NODES" \
  --num-cpus "$SLURM_CPUS_ON_NODE" \
  -- "$@"
