# shellcheck shell=bash
# shellcheck disable=SC2034  # settings that the other files of this folder read
# The suites of ./infra/test, in the order in which they run.
#
# Nothing is compiled twice: everything that runs tests uses one build of the whole workspace
# with the same features ($FEATURES), and picks its tests from it by a filter. The suites that
# need no server come first. The others run in a network of their own, see `open_network`.

# shellcheck source=fuzz.sh
source "$ROOT/infra/lib/fuzz.sh"
# shellcheck source=long.sh
source "$ROOT/infra/lib/long.sh"

SUITES=(
  "fmt|quick|formatting of the Rust, and the shell scripts (shellcheck)"
  "clippy|quick|lints of the Rust, warnings are errors"
  "deny|quick|licences, sources and bans of the libraries"
  "web|quick|the page: types and lints, its tests, its build"
  "unit|quick|shared, api, worker, portcall: what needs no server"
  "simulation|quick|the grading core in a simulated world that goes wrong: a thousand seeds"
  "architecture|quick|who may import what, module headers, documented settings"
  "fuzz|quick|the fuzz targets, each for 10 seconds"
  "store|server|the store on a real MongoDB"
  "edge|server|what the public side bears: abuse by row, TLS, ACME, streams, organisers; apis alone, without an engine"
  "system|server|the whole system on a real engine, registry and MongoDB"
  "corpus|server|hostile submissions on the whole system: each its reason, nobody harmed (-- A01 X03: these rows)"
  "faults|server|what fails on purpose under load: eight rows of the fault table that a seed chooses (-- K21: this row)"
  "lab|server|many machines in namespaces of their own: a swarm, its graders, a replica set"
  "browser|server|the page in a real browser, on a whole system"
  "up|server|./infra/up --check, and ./infra/up until Ctrl-C with its ports taken"
)

ALSO_STATIC=(-p portcall-hostile --bin hostile)
FEATURES=(--workspace --features portcall-worker/faults)
# Which tests belong where. A test that needs a server is in a test binary that says so by its
# name: store… (a MongoDB), …_engine (an engine and a registry), lab… (a lab), or in portcall-tests.
ARCHITECTURE_TESTS='package(portcall-tests) & binary(architecture)'
SIMULATION_TESTS='package(portcall-worker) & binary(simulation)'
STORE_TESTS='binary(/^store/)'
CORPUS_TESTS='package(portcall-tests) & binary(/^corpus/)'
FAULTS_TESTS='package(portcall-tests) & binary(faults)'
# Apis alone, on a database: no engine, no worker.
EDGE_TESTS='package(portcall-tests) & binary(/^edge/)'
# What an event's visitors notice of it belongs to the same story, and takes what the system takes.
FRONT_STORY='binary(front) & test(/^full_/)'
LAB_TESTS="binary(/^lab/) | ($FRONT_STORY)"
SYSTEM_TESTS="(package(portcall-tests) | binary(/_engine$/)) - kind(lib) - binary(architecture) - binary(/^store/) - ($CORPUS_TESTS) - ($FAULTS_TESTS) - ($EDGE_TESTS) - ($LAB_TESTS)"
UNIT_TESTS="all() - ($ARCHITECTURE_TESTS) - ($SIMULATION_TESTS) - ($STORE_TESTS) - ($SYSTEM_TESTS) - ($CORPUS_TESTS) - ($FAULTS_TESTS) - ($EDGE_TESTS) - ($LAB_TESTS)"

# How many run at once, as .config/nextest.toml has it, and where some measure times or break something.
REAL_PARTS=3 MEASURED=2

GIVEN_ENGINE=${PORTCALL_TEST_DOCKER_HOST:-}

suite_fmt() {
  local scripts
  need_rust && need_rustfmt || return
  step "cargo fmt --all --check (what is listed differs)" cargo fmt --all --check -- -l
  want shellcheck shellcheck "checks the shell scripts"
  outside install_wanted || return
  mapfile -t scripts < <(cd "$ROOT" && grep -lE '^#(!/usr/bin/env bash|!/bin/sh| shellcheck shell)' \
    -r infra tests .ci --include='*' --exclude-dir=node_modules --exclude-dir=target 2>/dev/null)
  step "shellcheck of ${#scripts[@]} scripts" shellcheck --severity=warning --external-sources --source-path=SCRIPTDIR "${scripts[@]}"
}

suite_clippy() {
  once need_build_tools && once need_clippy && once fetch_crates || return
  step "cargo clippy" cargo clippy --locked "${FEATURES[@]}" --all-targets --no-deps -- -D warnings
}

suite_deny() {
  local deny=(cargo deny --config .cargo/deny.toml)
  once need_build_tools && once need_deny && once fetch_crates || return
  step "bans, licences, sources" "${deny[@]}" check bans licenses sources
  if compgen -G "${CARGO_HOME:-$HOME/.cargo}/advisory-db*/*" >/dev/null; then
    step "advisories" "${deny[@]}" check --disable-fetch advisories
  else
    skipped "advisories: no advisory database is on this machine (cargo deny fetch brings one)"
  fi
}

suite_web() {
  once need_basics && once need_node && once install_page_libraries || return
  step "types and lints (npm run check)" npm --prefix web run check
  counted read_vitest "npm test" npm --prefix web test -- "${PASS_ON[@]}"
  step "build (npm run build)" npm --prefix web run build
}

suite_unit() { rust_tests "$UNIT_TESTS"; }

suite_simulation() { rust_tests "$SIMULATION_TESTS"; }

suite_architecture() { rust_tests "$ARCHITECTURE_TESTS"; }

suite_store() {
  once need_basics && once build_tests && once need_mongod && once use_test_network && once use_test_mongod || return
  rust_tests "$STORE_TESTS"
}

# suite_edge: what it needs beside a database is a balancer, an ACME server and a client that tries
# every operation of /openapi.json.
suite_edge() {
  once need_basics && once build_tests && once need_mongod && once need_balancer && once need_pebble &&
    once need_schemathesis && once use_test_network && once use_test_mongod || return
  export PORTCALL_TEST_BIN=$BIN PORTCALL_TEST_STATIC_BIN=$STATIC_BIN
  export PORTCALL_TEST_SCHEMATHESIS=$SCHEMATHESIS
  # They wait more than they work.
  NEXTEST_TEST_THREADS=8 rust_tests "$EDGE_TESTS"
}

suite_system() {
  once use_test_parts && once use_ordinary && once need_balancer || return
  if runs_before && ! once build_before; then failed 1 "system: the programs of an earlier version, ${PORTCALL_TEST_BEFORE_REV:-HEAD^}, could not be built, see above"; fi
  export PORTCALL_PROBER_BIN=$STATIC_BIN/prober PORTCALL_CANARY_BIN=$STATIC_BIN/canary
  if runs_labs_too; then
    prepare_labs || return
    NEXTEST_TEST_THREADS=$REAL_PARTS rust_tests "($SYSTEM_TESTS) | ($LAB_TESTS)"
  else
    NEXTEST_TEST_THREADS=$MEASURED rust_tests "$SYSTEM_TESTS"
  fi
  forget_settings
}

# runs_labs_too: whether the labs' tests run beside those of the suite system, since all of them wait half
# of the time. With --full they measure what they do, and nothing runs beside them.
runs_labs_too() { [[ $PROFILE != full ]] && ((${#PASS_ON[@]} == 0)) && is_chosen system server && is_chosen lab server; }

# runs_before: whether a test is chosen that runs an earlier version beside this one.
runs_before() {
  local name
  [[ $PROFILE == full ]] || return
  ((${#PASS_ON[@]})) || return 0
  for name in "${PASS_ON[@]}"; do
    [[ $name == -* ]] || grep -F 'fn full_' tests/tests/versions.rs | grep -qF -- "$name" && return
  done
  return 1
}

# suite_corpus: its tests show what they found, and run one after the other. What is named is rows.
suite_corpus() {
  local name=()
  once use_test_parts && once need_nextest || return
  export PORTCALL_TEST_CORPUS=${PORTCALL_TEST_CORPUS:-third}
  if [[ $PROFILE == full ]]; then PORTCALL_TEST_CORPUS=all; fi
  if ((${#PASS_ON[@]})); then
    PORTCALL_TEST_CORPUS=${PASS_ON[*]}
    name=(each_hostile_submission)
    [[ ${PASS_ON[0]} =~ ^[A-Z][0-9]+$ ]] || name=("${PASS_ON[@]}")
  fi
  counted read_nextest "cargo nextest" env CARGO_NET_OFFLINE=true NEXTEST_PROFILE="$PROFILE" \
    cargo nextest run --locked "${FEATURES[@]}" --no-fail-fast --no-capture -E "$CORPUS_TESTS" -- "${name[@]}"
}

# suite_faults: its rows say what they found. With --full all are played, two at a time where none measures;
# a row that is named runs with all of its times, too.
suite_faults() {
  local name names=() profile=$PROFILE chosen=$FAULTS_TESTS shown=(--no-capture)
  for name in "${PASS_ON[@]}"; do
    if [[ $name =~ ^[Kk][0-9]+$ ]]; then name=full_${name,,}_; fi
    if [[ $name == full_* ]]; then profile=full; fi
    names+=("$name")
  done
  once use_test_parts && once need_nextest && once need_balancer && once need_clocks || return
  export PORTCALL_TEST_MONGOD=$MONGOD
  if [[ $profile == full ]]; then
    once need_lab || return
    if ((${#names[@]} == 0)) || [[ " ${names[*]}" == *full_k44* ]]; then once build_before || return; fi
  fi
  if [[ $profile == full && ${#names[@]} != 1 ]]; then
    chosen="($chosen) - test(=eight_of_the_table)"
    shown=(--test-threads "$MEASURED")
  fi
  counted read_nextest "cargo nextest" env CARGO_NET_OFFLINE=true NEXTEST_PROFILE="$profile" \
    cargo nextest run --locked "${FEATURES[@]}" --test faults --no-fail-fast "${shown[@]}" -E "$chosen" -- "${names[@]}"
}

# suite_lab: each test has a lab of its own (tests/lab), with an address of it in the tests' network.
suite_lab() {
  prepare_labs || return
  if [[ $PROFILE == full ]]; then once use_test_parts && once need_balancer || return; fi
  NEXTEST_TEST_THREADS=1 rust_tests "$LAB_TESTS"
}

prepare_labs() {
  once need_basics && once need_lab && once need_mongod && once build_tests && once build_static &&
    once use_test_network || return
  export PORTCALL_TEST_MONGOD=$MONGOD PORTCALL_TEST_BIN=$BIN PORTCALL_TEST_STATIC_BIN=$STATIC_BIN
}

# suite_browser: its tests make events of their own with `portcall event apply`, and take the api away
# for a while (kept.sh). PORTCALL_TEST_BROWSER_RUNS=20 runs them so often, one run after the other, and
# PORTCALL_TEST_BROWSER_SHOTS=1 takes pictures of every view at the end, into web/.shots.
suite_browser() {
  local run runs=${PORTCALL_TEST_BROWSER_RUNS:-1} token told
  once use_test_parts && once build_page && once need_chromium || return
  export PORTCALL_MONGODB_URI=$PORTCALL_TEST_MONGODB_URI PORTCALL_MONGODB_DATABASE=browser-$$
  # All its visitors have one address.
  export PORTCALL_RATE_PER_ADDRESS=0 PORTCALL_RATE_READS=0
  API_KEEPER=("$ROOT/infra/lib/kept.sh" "$RUN/api")
  if start_portcall && apply_event "$ROOT/infra/events/birthday-3.toml" && push_sample && token=$(browser_token); then
    told=(PORTCALL_TEST_BASE_URL="$PORTCALL_PUBLIC_URL" PORTCALL_TEST_IMAGE="$SAMPLE" PORTCALL_TEST_TOKEN="$token"
      PORTCALL_TEST_CHROMIUM="$CHROMIUM" PORTCALL_TEST_CTL="$BIN/portcall" PORTCALL_TEST_TELL_API="$RUN/api/tell"
      PORTCALL_TEST_PROFILE="$PROFILE")
    for ((run = 1; run <= runs; run++)); do
      if ((runs > 1)); then say "- run $run of $runs"; fi
      counted read_node "npm run e2e" env "${told[@]}" npm --prefix web run e2e -- "${PASS_ON[@]}"
    done
    if [[ -n ${PORTCALL_TEST_BROWSER_SHOTS:-} ]]; then
      step "pictures of every view (npm run shots)" env "${told[@]}" npm --prefix web run shots
    fi
  else
    failed 1 "browser: the system did not start"
  fi
  stop worker
  stop api
  API_KEEPER=()
  forget_settings
}

# browser_token: prints an operator's token.
browser_token() {
  "${INSIDE[@]}" "$BIN/portcall" token create --name "Ann, tests" --operator --expires 1d 2>"$(log_of token)" || {
    complain "no token could be made"
    show_end "$(log_of token)"
    return "$INTERNAL"
  }
}

suite_up() {
  local up
  once need_basics && once need_own_engine && once need_mongod && once use_test_network &&
    once build_tests && once build_static && once build_page || return
  stop_servers   # so that it finds its preferred ports, as on a fresh machine
  up=(env --default-signal=INT PORTCALL_BIN="$BIN" PORTCALL_STATIC_BIN="$STATIC_BIN" PORTCALL_WEB_DIR="$ROOT/web/dist"
    ${GIVEN_ENGINE:+PORTCALL_DOCKER_HOST="$GIVEN_ENGINE"} "$ROOT/infra/up")
  step "./infra/up --check" "${up[@]}" --check
  say "- ./infra/up with its ports taken, until Ctrl-C"
  if interrupted_up; then passed; else failed 1 "$SUITE: ./infra/up with its ports taken, until Ctrl-C"; fi
  stop taken-5000
  stop taken-8080
}

# interrupted_up: while others hold the ports that ./infra/up prefers, it takes and prints free
# ones; what it prints for another terminal works there; Ctrl-C ends it well and leaves nothing.
interrupted_up() {
  local port pid log bridges code=0
  bridges=$(bridges_inside)   # of the engine that earlier suites used
  for port in 8080 5000; do
    port_listens "$port" && continue
    start "taken-$port" "$STATIC_BIN/app" "listen:127.0.0.1:$port"
    await "taken-$port" 30 "it listens" port_listens "$port" || return
  done
  start up "${up[@]}"
  pid=$(pid_of up)
  log=$(log_of up)
  await up 420 "it says that it is up" grep -q 'Ctrl-C stops and removes everything' "$log" || return
  sed -n '/^== Portcall is up/,$p' "$log"
  for port in 8080 5000; do
    grep "^Port $port is taken: .* listens on 127.0.0.1:[0-9]" "$log" || { complain "nothing is said of port $port"; code=1; }
  done
  printed_lines_work "$log" || code=1
  kill -INT "$pid"
  ends_well up 180 || code=1
  nothing_is_left_of "$pid" "$bridges" || code=1
  if ((code != 0)); then show_end "$log"; fi
  stop up
  return "$code"
}

# printed_lines_work LOG: the lines that are indented for copying, in a shell that knows nothing.
printed_lines_work() {
  local lines answer
  lines=$(sed -n '/^== Portcall is up/,$s/^    //p' "$1")
  answer=$("${INSIDE[@]}" env -i HOME="$HOME" PATH="$PATH" bash -euc "$lines
    portcall status >&2" 2>"$(log_of printed)") &&
    jq -e '.state == "queued" or .state == "grading"' <<<"${answer##*$'\n'}" >/dev/null && return
  complain "the printed lines do not work: $answer"
  show_end "$(log_of printed)"
  return 1
}

# ends_well NAME SECONDS: whether it ends within that time with exit code 0.
ends_well() {
  local code deadline=$((SECONDS + $2))
  while is_alive "$1"; do
    ((SECONDS < deadline)) || { complain "$1 has not ended after $2 s"; return 1; }
    sleep 0.1
  done
  wait "$(pid_of "$1")"
  code=$?
  ((code == OK)) || complain "$1 ended with exit code $code"
  return "$code"
}

# bridges_inside: the names of the bridges in the tests' own network.
bridges_inside() {
  if ((${#INSIDE[@]})); then "${INSIDE[@]}" ip -o link show type bridge | sed -E 's/^[0-9]+: ([^:@]+).*/\1/'; fi
}

# nothing_is_left_of PID BRIDGES: of the ./infra/up that was PID, with these bridges there before;
# those who held its ports still do.
nothing_is_left_of() {
  local left deadline=$((SECONDS + 15))
  while left=$(left_of_up "$@") && [[ -n $left ]] && ((SECONDS < deadline)); do sleep 0.5; done
  [[ -z $left ]] && return
  complain "left of ./infra/up:"
  printf '%s\n' "$left" >&2
  return 1
}

# left_of_up PID BRIDGES: what is still there, a line each.
left_of_up() {
  compgen -G "$STATE/run/up-$1"
  compgen -G "/run/portcall-$1"
  cut -d' ' -f5 /proc/self/mountinfo | grep -e "/portcall-$1/" -e "/up-$1/"
  if ((${#INSIDE[@]})); then
    running_inside | grep -v ' listen:'
    bridges_inside | grep -vxF -e "$2"
  fi
  port_listens 8080 && port_listens 5000 || echo "no listener on the ports that others held"
}

# ---- what they need

# rust_tests FILTER: the tests of the one build that FILTER picks.
rust_tests() {
  once build_tests && once need_nextest && once choose_long_tests || return
  counted read_nextest "cargo nextest" env CARGO_NET_OFFLINE=true NEXTEST_PROFILE="$PROFILE" \
    cargo nextest run --locked "${FEATURES[@]}" --no-fail-fast -E "($1) - ($LEFT_OUT)" -- "${PASS_ON[@]}"
}

build_tests() {
  once need_build_tools && once fetch_crates || return
  say "Building everything and its tests (the first time takes some minutes) ..."
  attend cargo build --locked "${FEATURES[@]}" --lib --bins --tests || return "$ASKED_FAILED"
}

# use_test_parts: an engine, a registry and a database for the whole run, which tests find in
# their environment. Those that are given (PORTCALL_TEST_…) are taken as they are.
use_test_parts() {
  once need_basics && once need_own_engine && once need_mongod &&
    once build_tests && once build_static && once use_test_network && once use_test_mongod || return
  if [[ -z ${PORTCALL_TEST_DOCKER_HOST:-} ]]; then
    start_engine || return
    export PORTCALL_TEST_DOCKER_HOST=$DOCKER_HOST_URL
  fi
  DOCKER_HOST_URL=$PORTCALL_TEST_DOCKER_HOST
  PORTCALL_REGISTRY=${PORTCALL_TEST_REGISTRY:-}
  use_registry || return
  unset PORTCALL_REGISTRY
  export PORTCALL_TEST_REGISTRY=$REGISTRY PORTCALL_TEST_BIN=$BIN PORTCALL_TEST_STATIC_BIN=$STATIC_BIN
}

use_test_mongod() {
  export PORTCALL_TEST_MONGOD=$MONGOD
  [[ -n ${PORTCALL_TEST_MONGODB_URI:-} ]] && return
  use_mongod || return
  export PORTCALL_TEST_MONGODB_URI=$PORTCALL_MONGODB_URI
  forget_settings
}

# use_test_network: with root, and with nothing given that lives outside of it.
use_test_network() {
  if [[ -n ${PORTCALL_TEST_DOCKER_HOST:-}${PORTCALL_TEST_REGISTRY:-}${PORTCALL_TEST_MONGODB_URI:-} ]] || ((EUID != 0)); then
    say "Network: the machine's own"
    return
  fi
  open_network && say "Network: one of its own, with nothing but a loopback"
}

# begin_early: what takes long and needs nothing that is built is begun before the first suite,
# so that it downloads and unpacks while the compiler works.
begin_early() {
  is_chosen system server && once need_own_engine && once begin_ordinary
}

# begin_ordinary: the layer of Debian packages that some test images share.
begin_ordinary() {
  [[ -n ${PORTCALL_TEST_ORDINARY:-} ]] && return
  once need_debootstrap || return
  say "Making the images of ordinary web servers meanwhile (the first time takes two minutes)"
  start ordinary nice "$ROOT/tests/images/ordinary" "$PARTS"
}

use_ordinary() {
  local log
  once begin_ordinary || return
  [[ -n ${PORTCALL_TEST_ORDINARY:-} ]] && return
  log=$(log_of ordinary)
  if is_alive ordinary; then say "Waiting for the images of ordinary web servers ..."; fi
  if ! wait "$(pid_of ordinary)"; then
    complain "the ordinary images could not be made"
    show_end "$log"
    return "$NOT_THERE"
  fi
  stop ordinary
  export PORTCALL_TEST_ORDINARY
  PORTCALL_TEST_ORDINARY=$(tail -n 1 "$log")
}

declare -A ONCE

# once FUNCTION: runs it the first time, and afterwards answers as it did then.
once() {
  if [[ -z ${ONCE[$1]:-} ]]; then
    case $1 in
      use_*) "$1" ;;
      *) outside "$1" ;;
    esac
    ONCE[$1]=$?
  fi
  return "${ONCE[$1]}"
}

# outside COMMAND…: in the machine's own network, where packages can be had.
outside() {
  local INSIDE=()
  "$@"
}

# forget_settings: so that no setting of the caller's, or of an earlier suite's, reaches a test.
forget_settings() {
  local name
  for name in $(compgen -e PORTCALL_); do
    [[ $name == PORTCALL_TEST_* ]] || unset "$name"
  done
}

# ---- what they leave

# stop_servers: the parts that tests shared, after a look at what tests left on them.
stop_servers() {
  local i
  if [[ -n ${ONCE[use_test_parts]:-} && -n $DOCKER_HOST_URL ]] && engine_answers; then nothing_on_engine; fi
  for ((i = ${#STARTED[@]} - 1; i >= 0; i--)); do
    [[ ${STARTED[i]} == network ]] || stop "${STARTED[i]}"
  done
  DOCKER_HOST_URL=
}

nothing_on_engine() {
  local left deadline=$((SECONDS + 30))
  while left=$(labelled_containers; labelled_networks) && [[ -n $left ]] && ((SECONDS < deadline)); do sleep 0.5; done
  if [[ -z $left ]]; then
    passed
    say "Left on the engine: nothing"
  else
    engine ps --all --format '  {{.Names}} {{.Image}} {{.Status}} {{.Labels}}' | grep -F portcall. >&2
    engine network ls --format '  {{.Name}} {{.Labels}}' | grep -F portcall. >&2
    failed 1 "left on the engine: $(wc -w <<<"$left") containers or networks"
    remove_workloads
  fi
}

# nothing_runs: in the run's own network there may be no process any more but its keeper.
nothing_runs() {
  ((${#INSIDE[@]})) || return 0
  local left deadline=$((SECONDS + 15))
  while mapfile -t left < <(running_inside) && ((${#left[@]})) && ((SECONDS < deadline)); do sleep 0.5; done
  if ((${#left[@]})); then
    printf '  %s\n' "${left[@]}" >&2
    kill -KILL "${left[@]%%:*}" 2>/dev/null
    failed 1 "left running: ${#left[@]} processes"
  else
    passed
    say "Left running: nothing"
  fi
}

# running_inside: what runs in the run's own network beside its keeper, as "pid: command line".
running_inside() {
  local keeper process pid
  keeper=$(pid_of network)
  for process in /proc/[0-9]*; do
    pid=${process#/proc/}
    [[ $pid != "$keeper" && $(readlink "$process/ns/net") == "$(readlink "/proc/$keeper/ns/net")" ]] || continue
    printf '%s: %s\n' "$pid" "$(tr '\0' ' ' <"$process/cmdline" | cut -c1-100)"
  done 2>/dev/null
}
