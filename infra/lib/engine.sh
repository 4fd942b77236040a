# shellcheck shell=bash
# shellcheck disable=SC2034  # read by the scripts that source this
# A Docker engine: a given one, a running one, or one of our own that leaves nothing behind.

DOCKER_HOST_URL=   # where the engine in use answers
OWN_ENGINE=no
HTTP_REGISTRIES=${PORTCALL_HTTP_REGISTRIES:-}   # hosts that the engine may speak plain HTTP to

# machine_engine_is_near: whether the machine's own engine lives in our network, so that it
# reaches the registry on our loopback. It does not when this runs in a container, or in a
# network namespace of its own, that is merely given the engine's socket. The kernel lists a
# Unix socket in the one network namespace that it was opened in.
machine_engine_is_near() {
  local socket
  socket=$(readlink -f /var/run/docker.sock) && [[ -S $socket ]] &&
    "${INSIDE[@]}" grep -qE " (/var)?$socket\$" /proc/net/unix
}

# use_engine: takes the engine at PORTCALL_DOCKER_HOST, or the machine's, or starts one.
use_engine() {
  if [[ -n ${PORTCALL_DOCKER_HOST:-} ]]; then
    DOCKER_HOST_URL=${PORTCALL_DOCKER_HOST%%,*}
    engine_answers || { complain "no Docker engine answers at PORTCALL_DOCKER_HOST=$DOCKER_HOST_URL"; return "$NOT_THERE"; }
    say "Docker engine: the given one at $DOCKER_HOST_URL"
    return
  fi
  DOCKER_HOST_URL=unix:///var/run/docker.sock
  if [[ -S /var/run/docker.sock ]] && ! machine_engine_is_near; then
    say "Docker engine: not the one at $DOCKER_HOST_URL, which lives in another network and would not reach the registry here"
  elif engine_answers; then
    say "Docker engine: the one that runs on this machine ($DOCKER_HOST_URL)"
    return
  fi
  start_engine
}

engine() { "${INSIDE[@]}" docker --host "$DOCKER_HOST_URL" "$@"; }

engine_answers() { timeout 5 "${INSIDE[@]}" docker --host "$DOCKER_HOST_URL" version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# start_engine: our own dockerd. Its images live under the run's folder; its sockets under
# /run, because the path of a Unix socket may have 107 characters at most.
start_engine() {
  local options=() host
  ((EUID == 0)) || { complain "starting a Docker engine takes root; without it, give the address of one in PORTCALL_DOCKER_HOST"; return "$NOT_THERE"; }
  hold_engine_lock || return
  mkdir -p "$RUN/engine" "$(engine_run)"
  remember_network >"$RUN/engine/before"
  engine_settings >"$RUN/engine/daemon.json"   # not those of the machine's own engine
  DOCKER_HOST_URL=unix://$(engine_run)/docker.sock
  for host in ${HTTP_REGISTRIES//,/ }; do options+=(--insecure-registry "$host"); done
  start engine dockerd --config-file "$RUN/engine/daemon.json" --host "$DOCKER_HOST_URL" --group "$(id -gn)" \
    --data-root "$RUN/engine/data" --exec-root "$(engine_run)/exec" --pidfile "$(engine_run)/pid" \
    --containerd-namespace "portcall-$$" --containerd-plugins-namespace "portcall-$$-plugins" \
    --shutdown-timeout 3 "${options[@]}"
  OWN_ENGINE=yes
  await engine 60 "it answers at $DOCKER_HOST_URL" engine_answers || return
  say "Docker engine: our own, version $(engine version --format '{{.Server.Version}}') at $DOCKER_HOST_URL"
}

# engine_settings: none, but gVisor twice where it is installed, once without limits for tests.
# Debian's is of 2022: newer kernels have no other platform for it (ptrace), and show it a file that
# it takes for the machine's own network (so it uses the container's instead of one of its own).
engine_settings() {
  local path
  path=$(command -v runsc) || { printf '{}\n'; return; }
  jq -n --arg path "$path" '{path: $path, runtimeArgs: ["--platform=ptrace", "--network=host"]} as $runsc
    | {runtimes: {runsc: $runsc, "runsc-without-limits": ($runsc | .runtimeArgs += ["--ignore-cgroups"])}}'
}

engine_run() { printf '/run/portcall-%s' "${1:-$$}"; }

# Two engines in one network rewrite each other's packet filter rules.
hold_engine_lock() {
  local file
  file=/run/portcall-engine-$("${INSIDE[@]}" readlink /proc/self/ns/net | tr -dc 0-9).lock
  exec {ENGINE_LOCK}>>"$file"
  if ! flock --nonblock "$ENGINE_LOCK"; then
    complain "an engine of another run is up in this machine's network (process $(cat "$file")): stop that run, or give its engine in PORTCALL_DOCKER_HOST"
    exec {ENGINE_LOCK}>&-
    return "$NOT_THERE"
  fi
  printf '%s\n' $$ >"$file"
  ENGINE_LOCK_FILE=$file
}

# after_engine: called by `stop`.
after_engine() {
  clear_engine "$RUN"
  rm -f "${ENGINE_LOCK_FILE:?}"
  exec {ENGINE_LOCK}>&-
  OWN_ENGINE=no
}

# clear_engine FOLDER: what a stopped (or killed) engine of the run in FOLDER leaves behind.
clear_engine() {
  local folder=$1 owner run id pid mount
  owner=$(cut -d' ' -f1 "$folder/owner")
  run=$(engine_run "$owner")
  # An engine that was killed leaves containers (their cgroup has their id) and their keepers
  # (their command line has the engine's folder).
  for id in "${folder%/}"/engine/data/containers/*; do
    id=${id##*/}
    # Nothing but an id: with no container left the pattern stands for itself.
    [[ $id =~ ^[0-9a-f]{64}$ ]] || continue
    while read -r pid; do kill -KILL "$pid" 2>/dev/null; done < <(
      grep -ls -- "/docker/$id" /proc/[0-9]*/cgroup | cut -d/ -f3)
    rmdir /sys/fs/cgroup/*/docker/"$id" /sys/fs/cgroup/docker/"$id" 2>/dev/null
  done
  for pid in $(pgrep -f -- "$run/exec/"); do kill -KILL "$pid" 2>/dev/null; done
  # The deepest mounts first. A mount point of ours is known by its path.
  while read -r mount; do umount -l "$mount" 2>/dev/null; done < <(
    cut -d' ' -f5 /proc/self/mountinfo | grep -F -e "$run/" -e "${folder%/}/engine/" | sort -r)
  # An engine in a network of its own takes its bridges and rules with it.
  if [[ ! -e $folder/log/network.log ]]; then restore_network "$folder/engine/before"; fi
  rm -rf -- "$run" "${folder%/}/engine"
}

# remember_network: the bridges, packet filter rules and forwarding switch of before.
remember_network() {
  printf 'forward %s\n' "$(cat /proc/sys/net/ipv4/ip_forward)"
  ip -o link show type bridge | sed -E 's/^[0-9]+: ([^:@]+).*/link \1/'
  local filter table
  for filter in iptables ip6tables; do
    for table in filter nat; do "$filter" -w -t "$table" -S 2>/dev/null | sed "s/^/$filter $table /"; done
  done
}

# restore_network BEFORE: removes an engine's bridges and rules that were not there before.
# What others made meanwhile stays: only names that an engine gives are touched.
restore_network() {
  local before=$1 line filter table rule words pid
  for pid in $(pgrep -x dockerd); do
    [[ $(readlink "/proc/$pid/ns/net") != "$(readlink /proc/self/ns/net)" ]] || return 0
  done
  while read -r line; do
    ip link delete "${line#link }" 2>/dev/null
  done < <(remember_network | grep -E '^link (docker0|br-[0-9a-f]{12})$' | grep -vxFf "$before")
  for words in '-A' '-N' '-P FORWARD'; do
    while read -r filter table rule; do
      remove_rule "$filter" "$table" "$rule"
    done < <(remember_network | grep -E -e "^ip6?tables [a-z]+ $words" | grep -vxFf "$before")
  done
  if grep -qx 'forward 0' "$before"; then printf 0 >/proc/sys/net/ipv4/ip_forward; fi
}

remove_rule() {
  local filter=$1 table=$2 words
  read -ra words <<<"$3"
  case $3 in
    '-P FORWARD DROP') "$filter" -w -t "$table" -P FORWARD ACCEPT ;;
    '-N DOCKER'*) "$filter" -w -t "$table" -X "${words[1]}" ;;
    '-A '*DOCKER* | '-A '*docker0* | '-A '*br-[0-9a-f]*) "$filter" -w -t "$table" -D "${words[@]:1}" ;;
  esac
}

# remove_workloads [LABEL]: containers and networks that carry a label of Portcall's.
remove_workloads() {
  local id
  for id in $(labelled_containers "$@"); do engine rm --force --volumes "$id" >/dev/null 2>&1; done
  for id in $(labelled_networks "$@"); do engine network rm "$id" >/dev/null 2>&1; done
}

labelled_containers() { engine ps --all --no-trunc --format '{{.ID}} {{.Labels}}' 2>/dev/null | grep -F "${1:-portcall.}" | cut -d' ' -f1; }
labelled_networks() { engine network ls --no-trunc --format '{{.ID}} {{.Labels}}' 2>/dev/null | grep -F "${1:-portcall.}" | cut -d' ' -f1; }
