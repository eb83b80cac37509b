#!/bin/bash
# A run through a real SLURM of one node, held against a run in one process: `make slurm`. Needs root, slurm-wlm and munge.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/.venv/bin:$PATH" MPLBACKEND=Agg OMP_NUM_THREADS=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
log=deploy/slurm/run.log
deploy/make_keys.sh "$work/keys"
cat > "$work/settings.yaml" <<'END'
jobqueue:
  slurm: {name: emreel, cores: 1, processes: 1, memory: 2GiB, walltime: "00:15:00", interface: lo, death-timeout: 60,
          local-directory: /tmp, log-directory: slurm-logs, worker-extra-args: ["--dashboard-address", "127.0.0.1:0"],
          scheduler-options: {dashboard_address: "127.0.0.1:0"}}
END
movie=(amorphous_front -k 4)
emreel run "${movie[@]}" -o "$work/alone" 2> /dev/null > /dev/null

{
    echo "$ JOBS=2 sbatch --wait deploy/slurm/batch.sh emreel run ${movie[*]} -o slurm"
    (
        export DASK_CONFIG="$work/keys/dask.yaml" JOBS=2 SETTINGS="$work/settings.yaml"
        deploy/slurm/one_node.sh bash -c "
            sbatch --wait --output=$work/driver.log deploy/slurm/batch.sh emreel run ${movie[*]} -o $work/slurm && ended=0 || ended=1
            cat $work/driver.log
            scontrol show jobs --oneliner | grep -oE '(JobId|JobName|JobState|NumCPUs)=[^ ]+' | paste -d' ' - - - -
            exit \$ended"
    )
    if grep -q "did 0 tasks" "$work/driver.log"; then echo "a worker did nothing"; exit 1; fi
    echo "$ compare the result with that of one process"
    python - "$work/alone" "$work/slurm" << 'END'
import sys

import numpy as np

from emreel.result import open_result, verify_result

alone, slurm = (open_result(path) for path in sys.argv[1:])
digests = [result.facts["identity"]["model"] for result in (alone, slurm)]
assert digests[0] == digests[1], digests
assert np.array_equal(alone.label.values, slurm.label.values) and not verify_result(sys.argv[2])
print(f"model {digests[0][:16]} both times; {slurm.label.sizes['time']} frames of labels are equal")
END
} 2>&1 | sed -e "s#$work#/scratch#g" -e "s#$PWD#/home/me/emreel#g" -e "s#$(hostname)#node1#g" | tee "$log"
exit "${PIPESTATUS[0]}"
