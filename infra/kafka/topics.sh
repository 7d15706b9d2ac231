#!/bin/sh
# Creates the topics of a list with the broker's own tool; for the container of the Kafka image.
#   topics.sh BOOTSTRAP FILE; a line of FILE: name partitions key=value,key=value
set -eu
tool=/opt/kafka/bin/kafka-topics.sh
known=$("$tool" --bootstrap-server "$1" --list)
grep -v '^#' "$2" | while read -r name partitions settings; do
  [ -n "$name" ] || continue
  case "
$known
" in *"
$name
"*) continue ;; esac
  # Settings have no spaces: each becomes a --config of its own.
  # shellcheck disable=SC2046
  "$tool" --bootstrap-server "$1" --create --if-not-exists --topic "$name" --partitions "$partitions" \
    --replication-factor 1 $(printf '%s' "$settings" | tr ',' '\n' | sed 's/^/--config /')
done
