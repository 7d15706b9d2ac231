#!/bin/sh
# Makes the buckets that are not there yet: buckets.sh URL ACCESS_KEY FILE, the secret in S3_SECRET_KEY.
# The names are the lines of FILE; runs any number of times.
set -eu
# Of nothing: the requests have no body.
empty=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855

# request OPTIONS... PATH: prints the status code. The secret goes in by a pipe, not on the command line.
request() {
  printf 'user = "%s:%s"\n' "$access" "$S3_SECRET_KEY" |
    curl -s -K - -o /dev/null -w '%{http_code}' --max-time 10 --aws-sigv4 aws:amz:us-east-1:s3 -H "x-amz-content-sha256: $empty" "$@"
}

url=$1 access=$2
while read -r name; do
  case $name in '' | '#'*) continue ;; esac
  [ "$(request -I "$url/$name")" = 200 ] && continue
  status=$(request -X PUT "$url/$name")
  case $status in
    200 | 409) ;;
    *) echo "the bucket $name could not be made (status $status)" >&2; exit 1 ;;
  esac
done <"$3"
