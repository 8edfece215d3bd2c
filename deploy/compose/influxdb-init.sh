#!/bin/bash
# InfluxDB's image runs this once, when its volume is new: the database that InfluxQL asks for, and a token each for the
# monitor (write) and Grafana (read), which may nothing else.
set -eu
tokens=${TOKENS:-/run/tokens}
organisation=$DOCKER_INFLUXDB_INIT_ORG
bucket=$DOCKER_INFLUXDB_INIT_BUCKET_ID

influx v1 dbrp create --org "$organisation" --bucket-id "$bucket" \
    --db "$DOCKER_INFLUXDB_INIT_BUCKET" --rp autogen --default > /dev/null

# token NAME RIGHT…: printed once by the server, and kept where NAME's service reads it.
token() {
    local name=$1
    shift
    influx auth create --org "$organisation" --description "$name" "$@" --json \
        | sed -n 's/^[[:space:]]*"token": "\(.*\)",\{0,1\}$/\1/p' > "$tokens/$name/$name-token"
    [ -s "$tokens/$name/$name-token" ]
    chmod 644 "$tokens/$name/$name-token"
}
token monitor --write-bucket "$bucket"
token grafana --read-bucket "$bucket"
