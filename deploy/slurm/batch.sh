#!/bin/bash
#SBATCH --job-name=emreel-driver
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --time=04:00:00
#SBATCH --output=emreel-%j.log
# The command itself as a job, which starts the jobs of its workers; from the folder of emreel's environment:
#
#     JOBS=4 sbatch deploy/slurm/batch.sh emreel run heating.mrc -o heating -k 4
#
# Stopped at its time limit, the same line goes on where it was.
set -euo pipefail
export PATH="$PWD/.venv/bin:$PATH" OMP_NUM_THREADS=1
exec python "${EMREEL_DEPLOY:-deploy}/slurm/run.py" --jobs "${JOBS:-1}" ${SETTINGS:+--settings "$SETTINGS"} -- "$@"
