#!/bin/bash
# Wipes a sensor whose lease ends: stops everything of ours, destroys its keys, removes what was installed. The administrator's sshd,
# the firewall and their guard stay. Interrupted, it is run again from the start.
set -euo pipefail
shopt -s nullglob

mapfile -t units < <(systemctl list-units --all --plain --no-legend --full --type=service,socket,timer \
  'strandline-*' named.service syslog-ng.service | awk '$2 == "loaded" && $1 !~ /^strandline-guard/ { print $1 }')
if [ "${#units[@]}" -gt 0 ]; then
  systemctl stop "${units[@]}"
  systemctl disable --quiet "${units[@]}" || true # a unit without an [Install] section can't be disabled
fi

# The spool first: without a key the rest of it could not be sent any more, and nobody has to.
rm -rf /var/spool/strandline
for key in /etc/strandline/tls/key.pem /etc/strandline/tls/*/key.pem /etc/strandline/*/*_key; do
  [ ! -f "$key" ] || shred --remove "$key"
done
rm -rf /var/lib/strandline /var/cache/strandline /etc/strandline /usr/lib/strandline /etc/syslog-ng/syslog-ng.conf
