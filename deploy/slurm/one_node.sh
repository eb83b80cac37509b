#!/bin/bash
# A SLURM of one node on this machine, for the time of a command; to try things out, not to work with.
#
#     apt-get install slurm-wlm munge
#     deploy/slurm/one_node.sh sinfo
#
# Needs root. All of it listens on 127.0.0.1, on ports that are free, lies in a folder of its own, and is gone afterwards.
# The node has four CPUs, whatever the machine has.
set -euo pipefail
folder=$(mktemp -d /tmp/emreel-slurm-XXXXXX)
chmod 711 "$folder"          # munged insists that others can reach its socket
free_ports=$(python3 -c 'import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(one.getsockname()[1] for one in held))')
read -r control_port node_port <<< "$free_ports"
started=()

stop_all() {
    for pid in $(printf '%s\n' "${started[@]}" | tac); do
        kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
    done
    rm -rf "$folder"
}
trap stop_all EXIT

dd if=/dev/urandom of="$folder/munge.key" bs=1024 count=1 status=none
chmod 400 "$folder/munge.key"
munged --foreground --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
    --log-file="$folder/munged.log" --seed-file="$folder/munge.seed" > "$folder/munged.out" 2>&1 &
started+=($!)

memory=$(awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
cat > "$folder/slurm.conf" <<END
ClusterName=one
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=$control_port
SlurmdPort=$node_port
SlurmUser=root
AuthInfo=socket=$folder/munge.socket
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
NodeName=$(hostname) NodeAddr=127.0.0.1 CPUs=4 RealMemory=$memory State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
mkdir "$folder/state" "$folder/spool"
export SLURM_CONF=$folder/slurm.conf

for _ in $(seq 100); do [ -S "$folder/munge.socket" ] && break; sleep 0.1; done
slurmctld -D > "$folder/slurmctld.out" 2>&1 &
started+=($!)
slurmd -D > "$folder/slurmd.out" 2>&1 &
started+=($!)
for _ in $(seq 300); do
    sinfo --noheader --format=%t 2>/dev/null | grep -q idle && break
    sleep 0.1
done
if ! sinfo --noheader --format=%t 2>/dev/null | grep -q idle; then
    tail -n 20 "$folder"/*.log "$folder"/*.out >&2
    exit 1
fi
"$@"
