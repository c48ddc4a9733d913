#!/usr/bin/env bash
# Replays an access log with CrowdSec 1.4.6 of Debian 12 and its shipped HTTP scenarios: lines a second of CPU time, and what it found.
# Nothing is installed: the package is unpacked into a temporary folder, and its local API listens on 127.0.0.1:18080 meanwhile.
#
#     scripts/bench_crowdsec.sh access.log [type]        the type is apache2 or nginx; default: apache2
#     scripts/bench_crowdsec.sh --scenarios              the scenarios of docs/signatures.md, each from an address of its own
set -euo pipefail

scenarios=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../secbeat-orchestrator/src/replay/tests/scenarios.txt")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
log=$folder/scenarios.log
[ "$1" = --scenarios ] || log=$(realpath "$1")
type=${2:-apache2}
cd "$folder"

# As the test has them, by time.
[ "$1" != --scenarios ] || python3 - "$scenarios" >"$log" <<'END'
import sys

lines, client, count = [], 0, 0
for line in open(sys.argv[1]):
    if not line.startswith("    "):
        client, count = client + 1, 0
        continue
    request, _, agent = line.strip().partition(" | ")
    times, status, request = request.split(" ", 2)
    for n in range(int(times)):
        asked = request.replace("{}", str(n))
        time = f"27/Nov/2026:10:00:{count // 25 % 60:02} +0000"
        lines.append((count // 25 % 60, f'198.18.0.{client} - - [{time}] "{asked} HTTP/1.1" {status} 512 "-" "{agent or "Mozilla/5.0"}"'))
        count += 1
print("\n".join(line for _, line in sorted(lines, key=lambda line: line[0])))
END

apt-get download crowdsec >apt.out 2>&1 || { cat apt.out >&2; exit 1; }
dpkg -x crowdsec_*.deb package
mkdir data plugins notifications
cp -r package/etc/crowdsec/patterns package/etc/crowdsec/profiles.yaml package/etc/crowdsec/simulation.yaml .
cp -r package/usr/share/crowdsec/hub .
cp package/usr/share/crowdsec/data/* data/
# A scenario asks for it by another name.
cp data/path_traversal.txt data/http_path_traversal.txt
echo 'share_manual_decisions: false' >console.yaml
: >acquis.yaml
cat >config.yaml <<END
common: {daemonize: false, log_media: stdout, log_level: warning, working_dir: .}
config_paths: {config_dir: $folder, data_dir: $folder/data, simulation_path: $folder/simulation.yaml, hub_dir: $folder/hub,
  index_path: $folder/hub/.index.json, notification_dir: $folder/notifications, plugin_dir: $folder/plugins}
crowdsec_service: {acquisition_path: $folder/acquis.yaml, parser_routines: 1}
cscli: {output: human, hub_branch: master}
db_config: {log_level: warning, type: sqlite, db_path: $folder/data/crowdsec.db}
api:
  client: {credentials_path: $folder/local.yaml}
  server: {log_level: warning, listen_uri: 127.0.0.1:18080, profiles_path: $folder/profiles.yaml, console_path: $folder/console.yaml}
prometheus: {enabled: false}
END

# What `cscli collections install` does, which asks the network.
python3 - "$type" <<'END'
import json, os, sys

index = json.load(open("hub/.index.json"))

def enable(kind, name):
    item = index[kind][name]
    folders = item["path"].split("/")[: 2 if kind in ("parsers", "postoverflows") else 1]
    os.makedirs("/".join(folders), exist_ok=True)
    link = "/".join([*folders, os.path.basename(item["path"])])
    if not os.path.lexists(link):
        os.symlink(os.path.abspath("hub/" + item["path"]), link)
    for kind in ("parsers", "scenarios", "postoverflows", "collections"):
        names = item.get(kind) or []
        for name in [names] if isinstance(names, str) else names:
            enable(kind, name)

for collection in (sys.argv[1], "base-http-scenarios", "http-cve"):
    enable("collections", "crowdsecurity/" + collection)
for parser in ("syslog-logs", "dateparse-enrich"):
    enable("parsers", "crowdsecurity/" + parser)
END

package/usr/bin/cscli -c config.yaml machines add bench -p bench -f local.yaml -u http://127.0.0.1:18080 >cscli.out 2>&1
python3 - "$log" "$type" <<'END'
import resource, sqlite3, subprocess, sys

log, kind = sys.argv[1:]
with open("crowdsec.out", "w") as output:
    command = ["package/usr/bin/crowdsec", "-c", "config.yaml", "-dsn", "file://" + log, "-type", kind]
    subprocess.run(command, stdout=output, stderr=output, check=True)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
seconds = usage.ru_utime + usage.ru_stime
lines = sum(1 for _ in open(log, "rb"))
print(f"{lines} lines, {seconds:.1f} s of CPU time, {lines / seconds:.0f} lines/s")
found = "select scenario, count(*), count(distinct source_ip) from alerts group by 1 order by 2 desc"
sources = "select count(distinct source_ip) from alerts"
print(sqlite3.connect("data/crowdsec.db").execute(sources).fetchone()[0], "sources found")
for scenario, alerts, sources in sqlite3.connect("data/crowdsec.db").execute(found):
    print(f"{alerts:>6} alerts of {sources:>5} sources  {scenario}")
END
