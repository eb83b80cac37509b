#!/bin/sh
# Keys for TLS between scheduler, workers and clients: an authority of your own and one pair that all of them share.
# Whoever has key.pem can run code on the cluster: keep the folder as you keep a password. Nothing is overwritten.
#
#     deploy/make_keys.sh keys        # keys/ca.pem, keys/cert.pem, keys/key.pem; valid for 365 days (DAYS=30: less)
set -eu
folder=${1:?usage: make_keys.sh FOLDER}
days=${DAYS:-365}
mkdir -p "$folder"
if [ -e "$folder/key.pem" ]; then
    echo "$folder/key.pem is there already. Give another folder, or remove it." >&2
    exit 1
fi
umask 077
authority=$(mktemp)
trap 'rm -f "$authority" "$folder/request.pem"' EXIT
openssl req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days "$days" \
    -subj "/CN=emreel authority" -keyout "$authority" -out "$folder/ca.pem" 2>/dev/null
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -subj "/CN=emreel" -keyout "$folder/key.pem" -out "$folder/request.pem" 2>/dev/null
openssl x509 -req -in "$folder/request.pem" -CA "$folder/ca.pem" -CAkey "$authority" -set_serial "0x$(openssl rand -hex 16)" \
    -days "$days" -out "$folder/cert.pem" 2>/dev/null
