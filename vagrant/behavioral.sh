#!/usr/bin/env bash
# The behavioural test, on the attacker's machine: 50 errors are answered, then nothing is until the ban has ended, and the
# visitor is answered all the time. Ends with 0 if all is as it should be.
set -euo pipefail

site=http://192.168.56.11:8443
attacker=192.168.56.12
visitor=192.168.56.13

# The status that a request from $1 for $2 is answered with; 000 if it is not.
status() {
    curl --silent --max-time 2 --interface "$1" --output /dev/null --write-out '%{http_code}' "$site$2" || true
}

# Waits until `status` says $1 to a request from $2 for $3, for at most $4 seconds.
wait_for() {
    local deadline=$((SECONDS + $4))
    until [ "$(status "$2" "$3")" = "$1" ]; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            echo "behavioral.sh: $3 from $2 was not answered with $1 within $4 s" >&2
            exit 1
        fi
        sleep 0.2
    done
}

wait_for 200 "$visitor" / 300
echo "the site is there"
# Reports reach the orchestrator once the edge is connected, which nobody here can see: so the errors are made until they count.
deadline=$((SECONDS + 120))
answered=0
while [ "$(status "$attacker" "/missing-$answered")" = 404 ]; do
    answered=$((answered + 1))
    if [ "$SECONDS" -ge "$deadline" ]; then
        echo "behavioral.sh: nobody was banned after $answered errors" >&2
        exit 1
    fi
done
echo "banned after $answered errors"
if [ "$answered" -lt 50 ]; then
    echo "behavioral.sh: that is too early" >&2
    exit 1
fi
for _ in 1 2 3; do
    [ "$(status "$visitor" /)" = 200 ] || { echo "behavioral.sh: the visitor is not served" >&2; exit 1; }
    [ "$(status "$attacker" /)" = 000 ] || { echo "behavioral.sh: the ban does not hold" >&2; exit 1; }
done
echo "the visitor is served, the attacker is not"
wait_for 200 "$attacker" / 60
echo "the ban has ended by itself"
