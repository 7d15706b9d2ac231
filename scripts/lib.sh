# shellcheck shell=bash
# What the scripts share: where things lie, what must be installed, how a part is started, asked
# and stopped. Sourced; the caller has already said `set -euo pipefail`.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/bahi
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
[[ $TARGET == /* ]] || TARGET=$ROOT/$TARGET

say()  { printf '%s\n' "$*" >&2; }
step() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die()  { printf 'error: %s\n' "$*" >&2; exit 1; }

# --- Where data lies --------------------------------------------------------------------------

# Outside the checkout, so that `git clean` costs no data. PostgreSQL refuses to run as root, and
# its user cannot look into root's home: root's data lies under /var/lib instead.
data_root() {
  if [[ -n ${BAHI_DATA:-} ]]; then printf '%s' "$BAHI_DATA"
  elif [[ -n ${XDG_DATA_HOME:-} ]]; then printf '%s/bahi' "$XDG_DATA_HOME"
  elif (( EUID == 0 )); then printf '/var/lib/bahi'
  else printf '%s/.local/share/bahi' "$HOME"; fi
}

# The copies of the infrastructure that live side by side. All but the first start from empty and are
# not durable beyond what infra/postgres/<instance>.conf says.
INSTANCES=(run test bench faults)

# use_instance NAME: sets DATA, LOGS, PIDS, KEYS and the ports.
use_instance() {
  [[ " ${INSTANCES[*]} " == *" $1 "* ]] || die "no such instance: $1 (${INSTANCES[*]})"
  INSTANCE=$1
  DATA=$(data_root)/$INSTANCE LOGS=$DATA/logs PIDS=$DATA/pids KEYS=$DATA/keys SECRETS=$DATA/secrets.env
  # shellcheck source=../infra/ports.env
  source "$ROOT/infra/ports.env"
  local up=${INSTANCE^^} name
  for name in PG REDIS KAFKA KAFKA_CTRL S3; do
    local from=${up}_$name
    printf -v "${name}_PORT" '%s' "${!from}"
  done
}

make_folders() {
  mkdir -p "$DATA" "$LOGS" "$PIDS"
  chmod 755 "$DATA"
  if (( EUID == 0 )) && ! as_postgres test -x "$DATA"; then
    die "the user postgres cannot reach $DATA: set BAHI_DATA to a folder that it can"
  fi
}

# One holder at a time; a lock dies with the process that holds it. What is started in the background
# must not inherit it (7 and 9 are closed there). The files lie beside DATA: --fresh removes DATA.
lock_instance() {
  exec 9>"$DATA.lock"
  flock -w 600 9 || die "another script holds $DATA.lock"
}

lock_fleet() {
  mkdir -p "$(dirname "$DATA")"
  exec 7>"$DATA.fleet.lock"
  flock -n 7 || { say "waiting for another scripts/up or scripts/down"; flock -w 1800 7; } || die "another script holds $DATA.fleet.lock"
}

# --- What must be installed -------------------------------------------------------------------

PACKAGES=(postgresql redis-server default-jre-headless maven libssl-dev pkg-config
          build-essential libpq-dev zlib1g-dev openssl curl util-linux python3)

install_missing() {
  command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || {
    local tool
    for tool in redis-server redis-cli java mvn openssl curl flock setsid; do
      command -v "$tool" >/dev/null || die "$tool is missing, and only Debian's apt-get can be asked to install it"
    done
    return 0
  }
  local missing=() package
  for package in "${PACKAGES[@]}"; do
    case $package in
      # Another way to have the same thing is as good.
      default-jre-headless) command -v java >/dev/null && continue ;;
      maven) command -v mvn >/dev/null && continue ;;
      # Only a tool of the tests is written in it.
      python3) { [[ $INSTANCE != test ]] || command -v python3 >/dev/null; } && continue ;;
    esac
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  (( ${#missing[@]} )) || return 0
  step "installing ${missing[*]}"
  local sudo=()
  if (( EUID != 0 )); then
    command -v sudo >/dev/null || die "not root and no sudo: install by hand: apt-get install ${missing[*]}"
    sudo=(sudo)
  fi
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q >&2 || say "apt-get update failed; trying with the lists at hand"
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >&2 ||
    die "apt-get could not install ${missing[*]}"
}

# from_debian PACKAGE PATH: prints where that file of a Debian package lies. The package is unpacked into the cache and not
# installed: no daemon that it brings is started, and root is not asked.
from_debian() {
  local folder=$CACHE/debian/$1 fresh
  if [[ ! -e $folder/$2 ]]; then
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
    mkdir -p "$CACHE/debian"
    fresh=$(mktemp -d "$CACHE/debian/new.XXXXXX")
    (
      cd "$fresh" || exit 1
      apt-get download -q "$1" >/dev/null 2>&1 ||
        { (( EUID == 0 )) && apt-get update -q >/dev/null 2>&1 && apt-get download -q "$1" >/dev/null 2>&1; } || exit 1
      dpkg-deb -x ./*.deb unpacked
    ) || { rm -rf "$fresh"; return 1; }
    rm -rf "$folder"
    mv -T "$fresh/unpacked" "$folder" 2>/dev/null || true
    rm -rf "$fresh"
    [[ -e $folder/$2 ]] || return 1
  fi
  printf '%s' "$folder/$2"
}

# The folder of the fonts that prints are set in (Noto, SIL Open Font License 1.1): those that are installed, else Debian's.
# Prints nothing where there are none; services then say what they cannot print.
fonts_folder() {
  local folder=/usr/share/fonts/truetype/noto file
  if [[ -e $folder/NotoSans-Regular.ttf && -e $folder/NotoSansDevanagari-Regular.ttf ]]; then printf '%s' "$folder"; return; fi
  file=$(from_debian fonts-noto-core usr/share/fonts/truetype/noto/NotoSansDevanagari-Regular.ttf) || return 0
  dirname "$file"
}

# The folder of poppler's tools, with which tests look at PDFs, and of the libraries that these need, as `TOOLS:LIBRARIES..`.
poppler_folders() {
  local tools package libraries='' folder
  if command -v pdftoppm >/dev/null && command -v pdftotext >/dev/null; then dirname "$(command -v pdftotext)"; return; fi
  tools=$(from_debian poppler-utils usr/bin/pdftotext) || return 0
  for package in libpoppler126 libopenjp2-7 liblcms2-2 libtiff6 libjpeg62-turbo libpng16-16 libfreetype6 libfontconfig1 libcairo2 libnss3 libnspr4; do
    folder=$(from_debian "$package" "usr/share/doc/$package") || continue
    libraries+=:$(dirname "$(dirname "$(dirname "$folder")")")/lib/$(uname -m)-linux-gnu
  done
  printf '%s%s' "$(dirname "$tools")" "$libraries"
}

# pip_into FOLDER ARGUMENTS..: what pip installs lies in that folder and nowhere else. Debian's Python comes without pip; the one
# that it keeps for virtual environments runs as it lies.
pip_into() {
  local folder=$1 paths=() wheels
  shift
  if ! python3 -m pip --version >/dev/null 2>&1; then
    wheels=$(from_debian python3-pip-whl usr/share/python-wheels) || { say "no pip, and none to be had from Debian"; return 1; }
    paths=("PYTHONPATH=$(printf '%s\n' "$wheels"/pip-*.whl)")
  fi
  env "${paths[@]}" PIP_ROOT_USER_ACTION=ignore \
    python3 -m pip install -q --disable-pip-version-check --only-binary :all: --target "$folder" "$@" >&2
}

# Kosoku runs the cases of the Autobahn test suite against a WebSocket server; its wheels for x86_64 and aarch64.
KOSOKU=0.1.0
KOSOKU_WHEELS=(sha256:a9b34e593defe29d931e346c88947b58a015495f09dd13643e4cc952c75602ac
               sha256:911610fc6d21e9d8b5b53936ea134b2b4ab58cd6252e9ad7c7f69c540a028027)

# The folder that Kosoku lies in, fetched once. Prints nothing where it cannot be had; the tests that need it then say so.
kosoku_folder() {
  local folder=$CACHE/kosoku-$KOSOKU fresh
  if [[ ! -f $folder/bin/kosoku ]]; then
    step "fetching Kosoku $KOSOKU (PyPI, 3 MB, once)"
    mkdir -p "$CACHE"
    fresh=$(mktemp -d "$CACHE/kosoku.XXXXXX")
    pip_into "$fresh/kosoku" --require-hashes \
      -r <(printf 'kosoku==%s%s\n' "$KOSOKU" "$(printf ' --hash=%s' "${KOSOKU_WHEELS[@]}")") ||
      { rm -rf "$fresh"; say "Kosoku $KOSOKU could not be fetched (it needs Python 3.10 or newer)"; return 0; }
    mv -T "$fresh/kosoku" "$folder" 2>/dev/null || true
    rm -rf "$fresh"
  fi
  printf '%s' "$folder"
}

# The folder that Schemathesis and all it stands on lie in, fetched once for each set of versions.
schemathesis_folder() {
  local pinned=$ROOT/infra/fuzz/requirements.txt folder fresh
  folder=$CACHE/schemathesis-$(sha256sum "$pinned" | cut -c1-12)
  if [[ ! -d $folder ]]; then
    command -v python3 >/dev/null || return 1
    step "fetching Schemathesis (PyPI, 40 MB, once)"
    mkdir -p "$CACHE"
    fresh=$(mktemp -d "$CACHE/schemathesis.XXXXXX")
    pip_into "$fresh/all" -r "$pinned" || { rm -rf "$fresh"; return 1; }
    mv -T "$fresh/all" "$folder" 2>/dev/null || true
    rm -rf "$fresh"
  fi
  printf '%s' "$folder"
}

need_cargo() {
  command -v cargo >/dev/null || { [[ -x ${HOME:-}/.cargo/bin/cargo ]] && PATH=$HOME/.cargo/bin:$PATH; }
  command -v cargo >/dev/null ||
    die "cargo is missing: install Rust with rustup (https://rustup.rs), then run this again"
}

# --- Processes --------------------------------------------------------------------------------

# A pid file holds the pid and the start time of its process, so that a number that the kernel gave
# to somebody else after a crash or a reboot is never taken for ours.
started_at() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

remember_pid() { printf '%s %s\n' "$2" "$(started_at "$2")" >"$PIDS/$1.pid"; }

# pid_of NAME: prints the pid when that very process still runs.
pid_of() {
  local pid since
  [[ -r $PIDS/$1.pid ]] || return 1
  read -r pid since <"$PIDS/$1.pid" || return 1
  [[ -n $pid && -n $since && $(started_at "$pid") == "$since" ]] || return 1
  # A zombie has ended; only its parent has not looked yet.
  [[ $(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -c1) != Z ]] || return 1
  printf '%s' "$pid"
}

# Keeps a log from growing without end: past 64 MB the one before is dropped.
turn_log() { [[ ! -f $1 || $(stat -c %s "$1") -lt 67108864 ]] || mv -f "$1" "$1.1"; }

# spawn NAME LOG COMMAND...: in the background, in its own session, remembered.
spawn() {
  local name=$1 log=$2
  shift 2
  turn_log "$log"
  setsid "$@" >>"$log" 2>&1 </dev/null 7>&- 9>&- &
  remember_pid "$name" $!
  disown
}

# stop NAME SECONDS: TERM, then KILL when the time is over.
stop() {
  local pid i
  pid=$(pid_of "$1") || { rm -f "$PIDS/$1.pid"; return 0; }
  kill -TERM "$pid" 2>/dev/null || true
  for (( i = 0; i < $2 * 20; i++ )); do
    pid_of "$1" >/dev/null || { rm -f "$PIDS/$1.pid"; return 0; }
    sleep 0.05
  done
  say "$1 did not stop within $2 s: killed"
  kill -KILL "$pid" 2>/dev/null || true
  rm -f "$PIDS/$1.pid"
}

# await SECONDS COMMAND...: asks until the answer is yes.
await() {
  local until=$(( SECONDS + $1 ))
  shift
  until "$@" >/dev/null 2>&1; do
    (( SECONDS < until )) || return 1
    sleep 0.1
  done
}

# --- Secrets and keys -------------------------------------------------------------------------

# Passwords are drawn once per instance and kept; a role that is new in the register gets one too.
load_secrets() {
  touch "$SECRETS"
  chmod 600 "$SECRETS"
  local name
  for name in PG_PASSWORD_BAHI_ADMIN DEMO_PASSWORD S3_SECRET_KEY $(grep -oE 'PG_PASSWORD_[A-Z0-9_]+' "$ROOT/infra/postgres/roles.sql" | sort -u); do
    grep -q "^$name=" "$SECRETS" || printf '%s=%s\n' "$name" "$(openssl rand -hex 16)" >>"$SECRETS"
  done
  set -a
  # shellcheck disable=SC1090
  source "$SECRETS"
  set +a
}

make_keys() { sh "$ROOT/infra/keys.sh" "$KEYS" <"$ROOT/infra/services.txt"; }

# --- PostgreSQL -------------------------------------------------------------------------------

as_postgres() {
  if (( EUID == 0 )); then ( cd / && exec runuser -u postgres -- "$@" ); else ( cd / && exec "$@" ); fi
}

# The folder of initdb and pg_ctl; Debian keeps it off the PATH.
pg_bin() {
  local folder
  for folder in /usr/lib/postgresql/15/bin $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV) $(command -v initdb >/dev/null && dirname "$(readlink -f "$(command -v initdb)")"); do
    [[ -x $folder/initdb ]] && { printf '%s' "$folder"; return; }
  done
  die "no PostgreSQL server found"
}

pg_ready() { "$(pg_bin)/pg_isready" -q -h 127.0.0.1 -p "$PG_PORT"; }

pg_url() { printf 'postgres://%s:%s@127.0.0.1:%s/%s' "$1" "$2" "$PG_PORT" "$3"; }

admin_psql() {
  PGPASSWORD=$PG_PASSWORD_BAHI_ADMIN PGOPTIONS='-c client_min_messages=warning' "$(pg_bin)/psql" -X -q -h 127.0.0.1 -p "$PG_PORT" -U bahi_admin -d "${PG_DATABASE:-postgres}" -v ON_ERROR_STOP=1 "$@"
}

pg_ours() { [[ -f $DATA/postgres/PG_VERSION ]] && as_postgres "$(pg_bin)/pg_ctl" -D "$DATA/postgres" status >/dev/null 2>&1; }

pg_up() {
  local bin folder=$DATA/postgres
  bin=$(pg_bin)
  if pg_ready && pg_ours; then return; fi
  pg_ready && die "port $PG_PORT is taken by another PostgreSQL (infra/ports.env)"

  if [[ ! -f $folder/PG_VERSION || -e $DATA/postgres.unfinished ]]; then
    step "$INSTANCE: new PostgreSQL cluster"
    mkdir -p "$folder"
    # Emptied, not removed: it may be a disk of its own.
    find "$folder" -mindepth 1 -delete
    touch "$LOGS/postgres.log"
    (( EUID != 0 )) || chown postgres "$folder" "$LOGS/postgres.log"
    chmod 700 "$folder"
    touch "$DATA/postgres.unfinished"
    # The password goes in by a pipe: it never stands in a file or on a command line.
    # shellcheck disable=SC2016
    as_postgres bash -c '"$1" -D "$2" -U bahi_admin --auth=scram-sha-256 --pwfile=<(cat) --encoding=UTF8 --locale=C.UTF-8 --no-instructions' \
      initdb "$bin/initdb" "$folder" <<<"$PG_PASSWORD_BAHI_ADMIN" >"$LOGS/initdb.log" 2>&1 9>&- ||
      { cat "$LOGS/initdb.log" >&2; die "initdb failed"; }
    printf "include_if_exists 'bahi.conf'\n" >>"$folder/postgresql.conf"
    rm -f "$DATA/postgres.unfinished"
  fi
  # The checkout may be closed to the user postgres: the settings are copied next to the data.
  local settings=("$ROOT/infra/postgres/postgresql.conf")
  [[ ! -f $ROOT/infra/postgres/$INSTANCE.conf ]] || settings+=("$ROOT/infra/postgres/$INSTANCE.conf")
  cat "${settings[@]}" >"$folder/bahi.conf"
  (( EUID != 0 )) || chown postgres "$folder/bahi.conf"

  # After a crash the old pid may belong to anyone; PostgreSQL would then refuse to start.
  local old
  if [[ -f $folder/postmaster.pid ]]; then
    old=$(head -n1 "$folder/postmaster.pid")
    [[ $(readlink "/proc/$old/cwd" 2>/dev/null) == "$folder" ]] || rm -f "$folder/postmaster.pid"
  fi

  local try
  for try in 1 2 3 4 5 6 7 8 9 10; do
    # Children of a killed postmaster hold the shared memory for a moment: ask again.
    as_postgres "$bin/pg_ctl" -D "$folder" -l "$LOGS/postgres.log" -w -t 60 -s \
      -o "-p $PG_PORT -c listen_addresses=${PG_LISTEN:-127.0.0.1} -c unix_socket_directories=''" start </dev/null >>"$LOGS/pg_ctl.log" 2>&1 7>&- 9>&- && break
    (( try < 10 )) || { tail -n 20 "$LOGS/postgres.log" >&2; die "PostgreSQL does not start (log: $LOGS/postgres.log)"; }
    sleep 0.5
  done
  await 60 pg_ready || die "PostgreSQL does not answer on port $PG_PORT"
}

pg_down() {
  pg_ours || return 0
  as_postgres "$(pg_bin)/pg_ctl" -D "$DATA/postgres" -m fast -w -t 60 -s stop || as_postgres "$(pg_bin)/pg_ctl" -D "$DATA/postgres" -m immediate -w -s stop
}

pg_roles() { admin_psql -f "$ROOT/infra/postgres/roles.sql" >/dev/null; }
pg_databases() { admin_psql -f "$ROOT/infra/postgres/databases.sql" >/dev/null; }

# --- Redis ------------------------------------------------------------------------------------

redis_ready() { [[ $(redis-cli -h 127.0.0.1 -p "$REDIS_PORT" PING 2>/dev/null) == PONG ]]; }

redis_up() {
  if redis_ready; then
    pid_of redis >/dev/null && return
    die "port $REDIS_PORT is taken by another Redis (infra/ports.env)"
  fi
  # One that is still loading its data answers LOADING: it is ours, only wait.
  if ! pid_of redis >/dev/null; then
    mkdir -p "$DATA/redis"
    local durability=()
    [[ $INSTANCE == run ]] || durability=(--appendonly no)
    spawn redis "$LOGS/redis.log" redis-server "$ROOT/infra/redis/redis.conf" --bind 127.0.0.1 \
      --port "$REDIS_PORT" --dir "$DATA/redis" --daemonize no "${durability[@]}"
  fi
  await 30 redis_ready || { tail -n 20 "$LOGS/redis.log" >&2; die "Redis does not answer on port $REDIS_PORT"; }
}

redis_down() { stop redis 15; }

# --- Kafka ------------------------------------------------------------------------------------

# jars NAME MEGABYTES: the folder of what infra/NAME/pom.xml names, fetched once.
jars() {
  local folder
  folder=$CACHE/$1-$(sha256sum "$ROOT/infra/$1/pom.xml" | cut -c1-12)
  if [[ ! -d $folder ]]; then
    step "fetching $1 (Maven Central, $2 MB, once)"
    mkdir -p "$CACHE"
    local fresh
    fresh=$(mktemp -d "$CACHE/$1.XXXXXX")
    mvn -q -B -f "$ROOT/infra/$1/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DoutputDirectory="$fresh" >&2 ||
      { rm -rf "$fresh"; die "Maven could not fetch $1"; }
    # Two at once: the second finds the folder there and drops its own.
    mv -T "$fresh" "$folder" 2>/dev/null || rm -rf "$fresh"
  fi
  printf '%s' "$folder"
}

kafka_lib() { jars kafka 55; }

# The broker's answer to a Metadata request (version 1, all topics), as text with the numbers in
# hex; fails when the broker does not answer or knows no broker yet. No JVM, no kcat.
kafka_metadata() {
  local answer size
  exec 8<>"/dev/tcp/127.0.0.1/$KAFKA_PORT" || return 1
  printf '\x00\x00\x00\x12\x00\x03\x00\x01\x00\x00\x00\x07\x00\x04bahi\xff\xff\xff\xff' >&8
  size=$(timeout 3 head -c 4 <&8 | od -An -tx1 | tr -d ' \n')
  [[ -n $size ]] || { exec 8>&-; return 1; }
  answer=$(timeout 3 head -c "$((16#$size))" <&8 | od -An -v -tx1 | tr -d ' \n')
  exec 8>&-
  # correlation id 7, then the number of brokers: at least one
  [[ ${answer:0:8} == 00000007 && ${answer:8:8} != 00000000 ]] || return 1
  printf '%s' "$answer"
}

kafka_ready() { kafka_metadata >/dev/null 2>&1; }

kafka_up() {
  if kafka_ready; then
    pid_of kafka >/dev/null && return
    die "port $KAFKA_PORT is taken by another broker (infra/ports.env)"
  fi
  local lib
  lib=$(kafka_lib)
  mkdir -p "$DATA/kafka"
  sed -e "s|@PORT@|$KAFKA_PORT|; s|@CTRL@|$KAFKA_CTRL_PORT|; s|@DATA@|$DATA/kafka/data|" \
    "$ROOT/infra/kafka/server.properties" >"$DATA/kafka/server.properties"
  local java=(java -cp "$lib/*" "-Dlog4j2.configurationFile=$ROOT/infra/kafka/log4j2.properties" "-Dbahi.logs=$LOGS")
  if ! pid_of kafka >/dev/null; then
    if [[ ! -f $DATA/kafka/data/meta.properties ]]; then
      rm -rf "$DATA/kafka/data"
      local id
      # An id may not begin with a dash: the tool would read it as an option.
      id=A$(openssl rand -base64 16 | tr '+/' '-_' | cut -c2-22)
      "${java[@]}" -XX:TieredStopAtLevel=1 kafka.tools.StorageTool format -t "$id" -c "$DATA/kafka/server.properties" >"$LOGS/kafka.out" 2>&1 ||
        { cat "$LOGS/kafka.out" >&2; die "Kafka's storage could not be formatted"; }
    fi
    spawn kafka "$LOGS/kafka.out" "${java[@]}" -Xms256m -Xmx512m -XX:+ExitOnOutOfMemoryError kafka.Kafka "$DATA/kafka/server.properties"
  fi
  local until=$(( SECONDS + 90 ))
  until kafka_ready; do
    pid_of kafka >/dev/null || { tail -n 20 "$LOGS/kafka.out" "$LOGS/kafka.log" >&2; die "Kafka ended while starting"; }
    (( SECONDS < until )) || { tail -n 20 "$LOGS/kafka.log" >&2; die "Kafka does not answer on port $KAFKA_PORT"; }
    sleep 0.1
  done
}

kafka_down() { stop kafka 30; }

# Creates the topics of the register that are not there yet, in one JVM; none missing, no JVM.
kafka_topics() {
  local known name absent=0
  known=$(kafka_metadata) || die "Kafka does not answer on port $KAFKA_PORT"
  while read -r name _; do
    [[ -z $name || $name == \#* ]] && continue
    [[ $known == *$(printf '%04x' "${#name}")$(printf '%s' "$name" | od -An -v -tx1 | tr -d ' \n')* ]] || absent=$(( absent + 1 ))
  done <"$ROOT/infra/kafka/topics.txt"
  (( absent )) || return 0
  step "$INSTANCE: creating $absent topics"
  java -cp "$(kafka_lib)/*" -XX:TieredStopAtLevel=1 "-Dlog4j2.configurationFile=$ROOT/infra/kafka/log4j2.properties" "-Dbahi.logs=$LOGS/tools" \
    bsh.Interpreter "$ROOT/infra/kafka/topics.bsh" "127.0.0.1:$KAFKA_PORT" "$ROOT/infra/kafka/topics.txt" >"$LOGS/topics.log" 2>&1 &&
    ! grep -qiE 'error|exception' "$LOGS/topics.log" || { cat "$LOGS/topics.log" >&2; die "the topics could not be created"; }
}

# --- S3 -----------------------------------------------------------------------------------------

# The store and the Go that it is built with; any other S3 server does as well (BAHI_S3_* of a service).
VERSITYGW=v1.8.0 GO_LEAST=1.25.0 GO_PINNED=1.26.0
S3_ACCESS_KEY=bahi

# Prints a Go that is new enough: the machine's own, or else the pinned one, which Go's module proxy serves as a module.
# Any Go can fetch that, so Debian's old one does.
go_command() {
  local have old machine folder=$CACHE/go-$GO_PINNED fresh
  if command -v go >/dev/null; then
    have=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || have=
    have=${have#go}
    if [[ -n $have && $(printf '%s\n' "$GO_LEAST" "$have" | sort -V | head -n1) == "$GO_LEAST" ]]; then
      command -v go
      return
    fi
  fi
  if [[ ! -x $folder/bin/go ]]; then
    case $(uname -m) in
      x86_64) machine=amd64 ;;
      aarch64) machine=arm64 ;;
      *) die "no Go for $(uname -m) is known here: install Go $GO_LEAST or newer" ;;
    esac
    step "fetching Go $GO_PINNED (once)"
    old=$(command -v go || from_debian golang-1.19-go usr/lib/go-1.19/bin/go) ||
      die "no Go, and none to be had from Debian: install Go $GO_LEAST or newer"
    mkdir -p "$CACHE"
    fresh=$(mktemp -d "$CACHE/go.XXXXXX")
    (
      cd "$fresh" || exit 1
      GOROOT=$(dirname "$(dirname "$(readlink -f "$old")")") GOPATH=$fresh GO111MODULE=on GOTOOLCHAIN=local GOFLAGS=-modcacherw \
        "$old" mod download "golang.org/toolchain@v0.0.1-go$GO_PINNED.linux-$machine" >&2
    ) || { rm -rf "$fresh"; die "Go $GO_PINNED could not be fetched"; }
    # Modules carry no permission to be run.
    chmod +x "$fresh"/pkg/mod/golang.org/toolchain@*/bin/* "$fresh"/pkg/mod/golang.org/toolchain@*/pkg/tool/*/*
    mv -T "$fresh"/pkg/mod/golang.org/toolchain@* "$folder" 2>/dev/null || true
    rm -rf "$fresh"
    [[ -x $folder/bin/go ]] || die "Go $GO_PINNED is not what it was expected to be"
  fi
  printf '%s' "$folder/bin/go"
}

# The store's binary, built once.
versitygw_binary() {
  local binary=$CACHE/versitygw-$VERSITYGW go fresh
  if [[ ! -x $binary ]]; then
    go=$(go_command) || exit 1
    step "building versitygw $VERSITYGW (Go module proxy, two minutes, once)"
    mkdir -p "$CACHE"
    fresh=$(mktemp -d "$CACHE/versitygw.XXXXXX")
    env -u GOROOT GOPATH="$fresh/path" GOCACHE="$fresh/cache" GOBIN="$fresh/bin" GO111MODULE=on GOTOOLCHAIN=local CGO_ENABLED=0 \
      GOFLAGS='-modcacherw -trimpath -buildvcs=false' nice \
      "$go" install -ldflags '-s -w' "github.com/versity/versitygw/cmd/versitygw@$VERSITYGW" >"$fresh/log" 2>&1 ||
      { tail -n 20 "$fresh/log" >&2; rm -rf "$fresh"; die "versitygw could not be built"; }
    mv -f "$fresh/bin/versitygw" "$binary"
    rm -rf "$fresh"
  fi
  printf '%s' "$binary"
}

s3_url() { printf 'http://%s:%s@127.0.0.1:%s' "$S3_ACCESS_KEY" "$S3_SECRET_KEY" "$S3_PORT"; }

s3_ready() { curl -fs -o /dev/null --max-time 2 "http://127.0.0.1:$S3_PORT/healthz"; }

s3_up() {
  if s3_ready; then
    pid_of s3 >/dev/null && return
    die "port $S3_PORT is taken by another server (infra/ports.env)"
  fi
  if ! pid_of s3 >/dev/null; then
    local binary
    binary=$(versitygw_binary) || exit 1
    mkdir -p "$DATA/s3/objects" "$DATA/s3/metadata"
    # Metadata in files of their own: not every file system keeps extended attributes.
    spawn s3 "$LOGS/s3.log" env ROOT_ACCESS_KEY="$S3_ACCESS_KEY" ROOT_SECRET_KEY="$S3_SECRET_KEY" \
      "$binary" --port "127.0.0.1:$S3_PORT" --health /healthz --quiet posix --sidecar "$DATA/s3/metadata" "$DATA/s3/objects"
  fi
  await 30 s3_ready || { tail -n 20 "$LOGS/s3.log" >&2; die "the S3 store does not answer on port $S3_PORT"; }
}

s3_down() { stop s3 15; }

# Makes the buckets of the register that are not there yet.
s3_buckets() { sh "$ROOT/infra/s3/buckets.sh" "http://127.0.0.1:$S3_PORT" "$S3_ACCESS_KEY" "$ROOT/infra/s3/buckets.txt"; }

# --- All of it --------------------------------------------------------------------------------

# Silent also where nothing of it is installed yet.
infra_is_up() {
  { pg_ready && pg_ours && redis_ready && pid_of redis && kafka_ready && pid_of kafka && s3_ready && pid_of s3; } >/dev/null 2>&1
}

infra_up() {
  install_missing
  make_folders
  lock_instance
  load_secrets
  make_keys
  # What tests and benchmarks left behind is worth nothing, nor was it written durably.
  if [[ $INSTANCE != run ]]; then
    pg_ours || rm -rf "$DATA/postgres"
    pid_of kafka >/dev/null || rm -rf "$DATA/kafka"
    pid_of s3 >/dev/null || rm -rf "$DATA/s3"
  fi
  # The slow ones start side by side; the first failure ends all.
  kafka_lib >/dev/null
  versitygw_binary >/dev/null
  kafka_up & local kafka=$!
  redis_up
  s3_up
  s3_buckets
  pg_up
  pg_roles
  [[ $INSTANCE != run ]] || pg_databases
  wait "$kafka" || exit 1
  kafka_topics
  exec 9>&-
}

infra_down() {
  [[ -d $DATA ]] || return 0
  make_folders
  lock_instance
  kafka_down & local kafka=$!
  redis_down
  s3_down
  pg_down
  wait "$kafka"
  exec 9>&-
}

# --- The fleet --------------------------------------------------------------------------------

register() {
  BAHI_PG_HOST=127.0.0.1:$PG_PORT BAHI_KAFKA=127.0.0.1:$KAFKA_PORT BAHI_REDIS_HOST=127.0.0.1:$REDIS_PORT BAHI_S3=http://127.0.0.1:$S3_PORT \
    BAHI_KEYS=$KEYS BAHI_REGISTER=$ROOT/deploy/services.toml "$BIN/register" --root "$ROOT" "$@"
}

service_port() { awk -v name="$1" '$1 == name { print $2 }' "$ROOT/infra/services.txt"; }

# Services of the register that this checkout has built.
built_services() {
  local name
  while read -r name _; do
    [[ -x $BIN/$name ]] && printf '%s\n' "$name"
  done <"$ROOT/infra/services.txt"
}

# What a service runs with: its binary, its environment, the register. A change means a restart.
fingerprint() {
  { stat -c '%n %i %Y' "$BIN/$1"; register env "$1"; cat "$ROOT/deploy/services.toml"; } | sha256sum | cut -c1-32
}

runs_as() { pid_of "$1" >/dev/null && [[ $(cat "$PIDS/$1.as" 2>/dev/null) == "$2" ]]; }

service_ready() { curl -fs -o /dev/null --max-time 2 "http://127.0.0.1:$1/readyz"; }

# Runs `<service> migrate` of one service.
migrate_service() {
  local env
  mapfile -t env < <(register migrate-env "$1")
  env "${env[@]}" "$BIN/$1" migrate >>"$LOGS/$1.migrate.log" 2>&1 ||
    { tail -n 20 "$LOGS/$1.migrate.log" >&2; die "$1 could not migrate its database (log: $LOGS/$1.migrate.log)"; }
}

start_service() {
  local env port until
  mapfile -t env < <(register env "$1")
  port=$(service_port "$1")
  stop "$1" 30
  # Whoever else listens there would answer in the service's place.
  ! service_ready "$port" || die "port $port of $1 is taken by something that scripts/up did not start"
  spawn "$1" "$LOGS/$1.log" env "BAHI_FONTS=$(fonts_folder)" "${env[@]}" "$BIN/$1" run
  until=$(( SECONDS + 60 ))
  until service_ready "$port"; do
    pid_of "$1" >/dev/null || { tail -n 20 "$LOGS/$1.log" >&2; die "$1 ended while starting (log: $LOGS/$1.log)"; }
    (( SECONDS < until )) || { tail -n 20 "$LOGS/$1.log" >&2; die "$1 is not ready after 60 s (log: $LOGS/$1.log)"; }
    sleep 0.1
  done
  printf '%s\n' "$2" >"$PIDS/$1.as"
  say "  $1 is ready on $port"
}

# all_of COMMAND NAMES...: side by side; fails when one of them fails.
all_of() {
  local command=$1 jobs=() job answer=0
  shift
  for job in "$@"; do
    # shellcheck disable=SC2086
    $command ${job//=/ } & jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job" || answer=1; done
  return "$answer"
}

fleet_up() {
  local name mark changed=() migrating=()
  for name in $(built_services); do
    mark=$(fingerprint "$name")
    if runs_as "$name" "$mark" && service_ready "$(service_port "$name")"; then continue; fi
    changed+=("$name=$mark")
    [[ $(register databases) != *"$name bahi_"* ]] || migrating+=("$name")
  done
  (( ${#changed[@]} )) || { say "  all up already"; return 0; }
  # Every schema before any service: the outbox worker reads all of them.
  (( ! ${#migrating[@]} )) || all_of migrate_service "${migrating[@]}" || exit 1
  all_of start_service "${changed[@]}" || exit 1
}

# In any state of the checkout: what has a pid file is stopped, all at once.
fleet_down() {
  local file name names=()
  for file in "$PIDS"/*.pid; do
    name=$(basename "$file" .pid)
    [[ -e $file && $name != redis && $name != kafka && $name != s3 ]] && names+=("$name=30")
  done
  (( ! ${#names[@]} )) || all_of stop "${names[@]}"
}

print_fleet() {
  local name port pid answer=0 state
  while read -r name port; do
    pid=$(pid_of "$name") || pid=-
    if service_ready "$port"; then state=ready; else state=down answer=1; fi
    printf '%-14s %-6s 127.0.0.1:%-6s pid %s\n' "$name" "$state" "$port" "$pid"
  done <"$ROOT/infra/services.txt"
  return "$answer"
}

# How a person or a check reaches the running system. Never in git: it holds passwords.
write_env() {
  local port name database
  port=$(service_port api-gateway)
  (
    umask 077
    {
      printf 'BAHI_URL=http://127.0.0.1:%s\n' "$port"
      printf 'BAHI_ADMIN_URL=http://127.0.0.1:%s\n' "$(register admin api-gateway)"
      printf 'BAHI_EMAIL=owner@demo.bahi.example\n'
      printf 'BAHI_PASSWORD=%s\n' "$DEMO_PASSWORD"
      printf 'BAHI_KAFKA=127.0.0.1:%s\n' "$KAFKA_PORT"
      printf 'BAHI_REDIS=redis://127.0.0.1:%s/0\n' "$REDIS_PORT"
      printf 'BAHI_S3=%s\n' "$(s3_url)"
      while read -r name database; do
        name=${name//-/_}
        printf 'BAHI_PG_%s=%s\n' "${name^^}" "$(pg_url bahi_admin "$PG_PASSWORD_BAHI_ADMIN" "$database")"
      done < <(register databases)
    } >"$ROOT/.bahi/env.new"
    mv "$ROOT/.bahi/env.new" "$ROOT/.bahi/env"
  )
}
