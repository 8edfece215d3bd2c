#!/bin/sh
# Makes every password, certificate and account of the compose file that is not there yet, each where its one service
# sees it. The service `secrets` runs it, as root and without a network, before all others at every start: a second run
# changes nothing but the accounts of gateways that have come or gone.
#
# SECRETS: a folder with a volume for each service. CONFIG: the monitor's configuration. HOST_NAMES: how gateways reach
# the broker, separated by spaces. SIMULATOR: demo gives the simulated gateways an account.
set -eu
umask 077
secrets=${SECRETS:-/secrets}
config=${CONFIG:-/etc/meter-monitor}
here=$(dirname "$0")
monitor_uid=10001 mosquitto_uid=1883 influxdb_uid=1000 grafana_uid=472 alertmanager_uid=65534

# once FILE: what comes in goes to the file, if that is not there; whole or not at all.
once() {
    if [ -s "$1" ]; then
        cat > /dev/null
    else
        cat > "$1.new"
        mv "$1.new" "$1"
    fi
}

random() { openssl rand -hex 24; }

# give UID FOLDER: nobody else reads it.
give() { chown -R "$1:$1" "$2" && chmod -R u+rwX,go-rwx "$2"; }

# 1. Passwords that nobody chose.
for folder in authority accounts broker/certs broker/meter-monitor broker-data monitor simulator influxdb tokens/monitor \
    tokens/grafana grafana alertmanager; do
    mkdir -p "$secrets/$folder"
done
random | once "$secrets/influxdb/admin-password"
random | once "$secrets/influxdb/admin-token"
random | once "$secrets/grafana/admin-password"
random | once "$secrets/monitor/broker-password"
random | once "$secrets/simulator/password"
# The mail server's password is the operator's to bring; see docs/operations.md.
[ -e "$secrets/alertmanager/smtp-password" ] || : > "$secrets/alertmanager/smtp-password"

# 2. The broker's certificate, from an authority whose key no service sees.
# shellcheck disable=SC2086  # several names
sh "$here/certificates.sh" "$secrets/authority" mosquitto ${HOST_NAMES:-localhost 127.0.0.1}
cp "$secrets/authority/server.crt" "$secrets/authority/server.key" "$secrets/broker/certs/"
cp "$secrets/authority/ca.crt" "$secrets/monitor/ca.crt"
cp "$secrets/authority/ca.crt" "$secrets/simulator/ca.crt"

# 3. The broker's accounts. The command reads the configuration, which names a file that InfluxDB's first start makes.
echo "not made yet" | once "$secrets/tokens/monitor/monitor-token"
meter-monitor gateways --config "$config" --out "$secrets/accounts"
cp "$secrets/accounts/acl" "$secrets/accounts/passwd" "$secrets/broker/meter-monitor/"
if [ "${SIMULATOR:-}" = demo ]; then
    # One account that speaks for all gateways: for the demo alone.
    printf '\nuser simulator\ntopic write meters/#\n' >> "$secrets/broker/meter-monitor/acl"
    python3 -c 'import secrets, sys
from monitor.gateways_command import hashed
print("simulator:" + hashed(sys.stdin.readline().strip(), secrets.token_bytes(12)))' \
        < "$secrets/simulator/password" >> "$secrets/broker/meter-monitor/passwd"
fi

# 4. Each to its user.
give "$mosquitto_uid" "$secrets/broker"
chown "$mosquitto_uid:$mosquitto_uid" "$secrets/broker-data"
give "$monitor_uid" "$secrets/monitor"
give "$monitor_uid" "$secrets/simulator"
give "$influxdb_uid" "$secrets/influxdb"
give "$influxdb_uid" "$secrets/tokens"
give "$grafana_uid" "$secrets/grafana"
give "$alertmanager_uid" "$secrets/alertmanager"
# InfluxDB makes the tokens, two others read one each; neither sees the other's volume.
chmod 755 "$secrets/tokens" "$secrets/tokens/monitor" "$secrets/tokens/grafana"
find "$secrets/tokens" -type f -exec chmod 644 {} +
