#!/bin/sh
# A certificate authority of one's own and a certificate of the broker: certificates.sh FOLDER NAME [NAME…]
# NAME: under which gateways and the monitor reach the broker, host names or IP addresses; all of them are in the certificate.
# A second run keeps what is there. It renews the broker's certificate where fewer than 60 days of it are left or a NAME is
# not in it; its authority, and so what gateways trust, stays. The broker reads it at SIGHUP. ca.key belongs into a safe:
# where it is gone, what is good is kept, and a renewal fails.
set -eu

if [ $# -lt 2 ]; then
    echo "usage: $0 FOLDER NAME [NAME...]" >&2
    exit 2
fi
folder=$1
shift
name=$1
umask 077
mkdir -p "$folder"
cd "$folder"

if [ ! -s ca.crt ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=meter-monitor CA" \
        -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign" \
        -keyout ca.key -out ca.crt 2>/dev/null
    echo "new authority: $folder/ca.crt goes to every gateway and to the monitor (ca_file)"
fi

# is_good NAME…: the certificate lasts, is of this authority, and has all these names.
is_good() {
    [ -s server.crt ] && [ -s server.key ] || return 1
    openssl x509 -in server.crt -noout -checkend "$((60 * 86400))" > /dev/null || return 1
    openssl verify -CAfile ca.crt server.crt > /dev/null 2>&1 || return 1
    for each in "$@"; do
        [ "$(kind_of "$each")" = IP ] && check=-checkip || check=-checkhost
        openssl x509 -in server.crt -noout "$check" "$each" | grep -q "does match" || return 1
    done
}

kind_of() {
    case $1 in
        *:*) echo IP ;;
        *[!0-9.]*) echo DNS ;;
        *) echo IP ;;
    esac
}

if ! openssl x509 -in ca.crt -noout -checkend "$((400 * 86400))" > /dev/null; then
    echo "$folder/ca.crt ends within 400 days: make a new authority in another folder, and give gateways both" >&2
fi
if ! is_good "$@"; then
    if [ ! -s ca.key ]; then
        echo "$folder/server.crt is to be renewed: put ca.key, which signs it, back beside ca.crt" >&2
        exit 1
    fi
    alternatives=
    for each in "$@"; do
        alternatives="${alternatives:+$alternatives,}$(kind_of "$each"):$each"
    done
    printf '%s\n' "basicConstraints=CA:FALSE" "keyUsage=critical,digitalSignature" "extendedKeyUsage=serverAuth" \
        "subjectAltName=$alternatives" > server.ext
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" \
        -keyout server.key.new -out server.csr 2>/dev/null
    openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 825 -extfile server.ext \
        -out server.crt.new 2>/dev/null
    if [ -e server.key ]; then
        chown --reference=server.key server.key.new # a broker that has given up being root reads it again
        chmod --reference=server.key server.key.new
    fi
    mv server.key.new server.key
    mv server.crt.new server.crt
    rm -f server.csr server.ext
    echo "new certificate for $*: $folder/server.crt, valid for 825 days"
fi
chmod 644 ca.crt server.crt
