# shellcheck shell=bash
# Starting, watching and stopping processes.
#
# Each process that is started is the head of its own process group and is recorded under
# the run's folder (.portcall/run/NAME-PID/) with its start time, so that a recycled pid is
# never taken for ours. It gets SIGTERM from the kernel when the script dies, however it
# dies. What a killed script could not clear away is cleared by the next run (`recover`).

STATE=$ROOT/.portcall
RUN=
STARTED=()   # names, in the order of their start
ATTENDED=    # the group of the command that is being waited for
MAY_END=yes  # no: that command is left to end by itself, see `undisturbed`
INSIDE=()    # prefix that puts a command into the run's own network, see `open_network`

# open_run NAME: makes this run's folder and sees to it that everything is stopped at the end.
open_run() {
  recover
  RUN=$STATE/run/$1-$$
  mkdir -p "$RUN/pid" "$RUN/log" || return "$INTERNAL"
  printf '%s %s\n' $$ "$(start_time $$)" >"$RUN/owner"
  trap 'close_run $?' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

# close_run CODE: stops all that was started, the newest first, and leaves with CODE.
close_run() {
  local code=$1 name i
  trap '' INT TERM HUP
  trap - EXIT
  if [[ -n $ATTENDED ]]; then end_attended; fi
  release_services
  if declare -F before_stopping >/dev/null; then before_stopping "$code"; fi
  for ((i = ${#STARTED[@]} - 1; i >= 0; i--)); do
    name=${STARTED[i]}
    stop "$name"
  done
  rm -rf --one-file-system -- "${RUN:?}"
  exit "$code"
}

end_attended() {
  if [[ $MAY_END == yes ]]; then
    end_group "$ATTENDED" 5
  else
    say "Stopping as soon as the package manager has finished, so that it leaves nothing half done ..."
    wait "$ATTENDED"
  fi
}

start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# is_same PID START: whether the process of that start time is still there and not a zombie.
is_same() {
  [[ -n $2 && $(start_time "$1") == "$2" ]] && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null
}

# start NAME COMMAND…: runs COMMAND in the background, its output in $RUN/log/NAME.log.
start() {
  local name=$1
  shift
  setsid setpriv --pdeathsig TERM "${INSIDE[@]}" "$@" </dev/null >"$(log_of "$name")" 2>&1 &
  printf '%s %s\n' $! "$(start_time $!)" >"$RUN/pid/$name"
  STARTED+=("$name")
}

log_of() { printf '%s/log/%s.log' "$RUN" "$1"; }

pid_of() { cut -d' ' -f1 "$RUN/pid/$1" 2>/dev/null; }

is_alive() {
  local pid began
  read -r pid began 2>/dev/null <"$RUN/pid/$1" && is_same "$pid" "$began"
}

# stop NAME [SECONDS]: SIGTERM, then SIGKILL to the whole group; what a part needs beyond
# that is in a function called after_NAME.
stop() {
  local name=$1 pid began i left=()
  if read -r pid began 2>/dev/null <"$RUN/pid/$name"; then
    is_same "$pid" "$began" && end_group "$pid" "${2:-20}" "$name"
    wait "$pid" 2>/dev/null
    rm -f "$RUN/pid/$name"
  fi
  for i in "${STARTED[@]}"; do [[ $i == "$name" ]] || left+=("$i"); done
  STARTED=("${left[@]}")
  if declare -F "after_$name" >/dev/null; then "after_$name"; fi
}

# end_group PID SECONDS [NAME]: ends a process group that we started.
end_group() {
  local deadline=$((SECONDS + $2))
  kill -TERM -- "-$1" 2>/dev/null
  while group_runs "$1"; do
    if ((SECONDS >= deadline)); then
      [[ -z ${3:-} ]] || complain "$3 did not stop within $2 s and was killed"
      kill -KILL -- "-$1" 2>/dev/null
      break
    fi
    sleep 0.1
  done
}

# group_runs PGID: whether anything but zombies is left in the group.
group_runs() { ps -eo pgid=,stat= | awk -v group="$1" '$1 == group && $2 !~ /^Z/ { found = 1 } END { exit !found }'; }

# await NAME SECONDS WHAT CHECK…: polls CHECK until it succeeds. When NAME has ended, or the
# time is over, says so with the end of its log.
await() {
  local name=$1 seconds=$2 what=$3 deadline
  shift 3
  deadline=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    if ! is_alive "$name"; then
      complain "$name ended before $what"
      show_end "$(log_of "$name")"
      return "$NOT_THERE"
    elif ((SECONDS >= deadline)); then
      complain "$name runs, but after $seconds s still not: $what"
      show_end "$(log_of "$name")"
      return "$NOT_THERE"
    fi
    sleep 0.1
  done
}

# attend COMMAND…: runs a long command so that Ctrl-C and SIGTERM are obeyed at once.
attend() {
  setsid "${INSIDE[@]}" "$@" </dev/null &
  wait_for_attended
}

# attend_into LOG COMMAND…: the same, with the output in LOG only. The redirection is the
# command's alone, so that what is said at the end of an interrupted run is seen.
attend_into() {
  setsid "${INSIDE[@]}" "${@:2}" </dev/null >"$1" 2>&1 &
  wait_for_attended
}

wait_for_attended() {
  local code
  ATTENDED=$!
  wait "$ATTENDED"
  code=$?
  ATTENDED=
  return "$code"
}

# undisturbed COMMAND…: whatever COMMAND attends to is not ended halfway, also when we stop.
undisturbed() {
  local code
  MAY_END=no
  "$@"
  code=$?
  MAY_END=yes
  return "$code"
}

# attend_logged LOG COMMAND…: the same, with the output also in LOG.
attend_logged() {
  # shellcheck disable=SC2016  # expanded by the inner shell
  attend bash -c 'set -o pipefail; log=$1; shift; "$@" 2>&1 | tee -a "$log"' logged "$@"
}

# again COMMAND…: what fetches something, up to three times, since a download may break off.
again() {
  local pause
  for pause in 3 15; do
    "$@" && return
    say "  once more in $pause s"
    sleep "$pause"
  done
  "$@"
}

# quietly WHAT COMMAND…: says WHAT, and shows the command's output only when it fails.
quietly() {
  local what=$1 log code began=$SECONDS
  shift
  log=$RUN/log/quietly.log
  say "  $what ..."
  attend_into "$log" "$@"
  code=$?
  if ((code != 0)); then
    complain "failed ($what): $*"
    show_end "$log" 40
  elif ((SECONDS - began >= 3)); then
    say "  done in $(took $((SECONDS - began)))"
  fi
  return "$code"
}

# free_port PREFERRED: that port of 127.0.0.1 when nobody listens there, else another one.
free_port() {
  local port=$1
  while port_listens "$port"; do
    port=$((20000 + RANDOM % 10000))
  done
  printf '%s' "$port"
}

port_listens() { [[ -n $("${INSIDE[@]}" ss -Hltn "sport = :$1") ]]; }

# open_network: gives this run a network namespace with nothing but a loopback in it. All that
# is started from then on has its own ports, bridges and packet filter rules, reaches nothing
# outside, and leaves nothing behind in the machine's own network.
open_network() {
  start network unshare --net sh -c 'ip link set lo up && exec sleep infinity'
  await network 30 "the private network is up" network_is_up || return
  INSIDE=(nsenter "--net=/proc/$(pid_of network)/ns/net" --)
}

network_is_up() { nsenter "--net=/proc/$(pid_of network)/ns/net" -- ip link show up dev lo | grep LOOPBACK >/dev/null \
  && [[ $(readlink "/proc/$(pid_of network)/ns/net") != $(readlink /proc/self/ns/net) ]]; }

# recover: ends and removes what earlier runs left whose script was killed.
recover() {
  local folder pid began file
  clear_hold
  for folder in "$STATE"/run/*-*/; do
    [[ -d $folder ]] || continue
    read -r pid began 2>/dev/null <"$folder/owner" && is_same "$pid" "$began" && continue
    say "Clearing away what an interrupted run left (${folder#"$ROOT/"})"
    for file in "$folder"pid/*; do
      read -r pid began 2>/dev/null <"$file" || continue
      is_same "$pid" "$began" && end_group "$pid" 20
    done
    if [[ -f $folder/engine/before ]]; then clear_engine "$folder"; fi
    rm -rf --one-file-system -- "$folder"
  done
}
