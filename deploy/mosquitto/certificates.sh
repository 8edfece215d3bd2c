#!/bin/sh
# A certificate authority of one's own and a certificate of the broker: certificates.sh FOLDER NAME [NAME…]
# NAME: under which gateways and the monitor reach the broker, host names or IP addresses; all of them are in the certificate.
# What is there already is kept, so that a second run renews only what was deleted. ca.key belongs into a safe.
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

if [ ! -s ca.crt ] || [ ! -s ca.key ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=meter-monitor CA" \
        -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign" \
        -keyout ca.key -out ca.crt 2>/dev/null
    echo "new authority: $folder/ca.crt goes to every gateway and to the monitor (ca_file)"
fi

if [ ! -s server.crt ] || [ ! -s server.key ]; then
    alternatives=
    for each in "$@"; do
        case $each in
            *[!0-9.]*) kind=DNS ;;
            *) kind=IP ;;
        esac
        case $each in *:*) kind=IP ;; esac
        alternatives="${alternatives:+$alternatives,}$kind:$each"
    done
    printf '%s\n' "basicConstraints=CA:FALSE" "keyUsage=critical,digitalSignature" "extendedKeyUsage=serverAuth" \
        "subjectAltName=$alternatives" > server.ext
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" \
        -keyout server.key -out server.csr 2>/dev/null
    openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 825 -extfile server.ext \
        -out server.crt 2>/dev/null
    rm -f server.csr server.ext
    echo "new certificate for $*: $folder/server.crt, valid for 825 days"
fi
chmod 644 ca.crt server.crt
