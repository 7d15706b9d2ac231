#!/bin/sh
# One Ed25519 pair per service, for the tokens that it signs. The file's stem is the key id.
# Names are the first words of the lines of standard input; what is there already stays.
#   infra/keys.sh FOLDER < infra/services.txt
set -eu
mkdir -p "$1/private" "$1/public"
chmod 700 "$1/private"
while read -r name _; do
  private=$1/private/$name.pem public=$1/public/$name.pem
  [ -s "$private" ] && [ -s "$public" ] && continue
  (umask 077 && openssl genpkey -algorithm ed25519 -out "$private" 2>/dev/null)
  openssl pkey -in "$private" -pubout -out "$public"
done
