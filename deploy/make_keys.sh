#!/bin/sh
# Keys for TLS between scheduler, workers and clients: an authority of your own, one pair that all of them share, and
# Dask's settings for them. Whoever has key.pem can run code on the cluster: keep the folder as you keep a password.
#
#     deploy/make_keys.sh keys          # then DASK_CONFIG=keys/dask.yaml for each scheduler, worker and emreel
#     deploy/make_keys.sh keys /keys    # for containers, which see the folder as /keys
#
# Valid for 365 days (DAYS=30: less). Nothing is overwritten.
set -eu
folder=${1:?usage: make_keys.sh FOLDER [FOLDER AS CONTAINERS SEE IT]}
days=${DAYS:-365}
umask 077
mkdir -p "$folder"
if [ -e "$folder/key.pem" ]; then
    echo "$folder/key.pem is there already. Give another folder, or remove it." >&2
    exit 1
fi
seen=${2:-$(cd "$folder" && pwd)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
make_key() { openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "$@" 2>/dev/null; }
make_key -x509 -days "$days" -subj "/CN=emreel authority" -keyout "$work/authority.pem" -out "$folder/ca.pem"
make_key -subj "/CN=emreel" -keyout "$folder/key.pem" -out "$work/request.pem"
openssl x509 -req -in "$work/request.pem" -CA "$folder/ca.pem" -CAkey "$work/authority.pem" \
    -set_serial "0x$(openssl rand -hex 16)" -days "$days" -out "$folder/cert.pem" 2>/dev/null
cat > "$folder/dask.yaml" <<END
distributed:
  comm:
    require-encryption: true
    default-scheme: tls
    tls:
      ca-file: "$seen/ca.pem"
      scheduler: {cert: "$seen/cert.pem", key: "$seen/key.pem"}
      worker: {cert: "$seen/cert.pem", key: "$seen/key.pem"}
      client: {cert: "$seen/cert.pem", key: "$seen/key.pem"}
  nanny:
    pre-spawn-environ:            # memory of a frame is kept for the next one, see docs/scaling.md
      MALLOC_TRIM_THRESHOLD_: 8388608
      MALLOC_MMAP_THRESHOLD_: 5242880
END
