# shellcheck shell=bash
# shellcheck disable=SC2034,SC2153  # shared with tests/lab and lab.sh
# The hosts of a lab (tests/lab) and what runs on them: engines, registries, databases, the lure.
#
# What runs on a host is started by `boot`, the first process of a process namespace, in a mount
# namespace with a /run and an /etc of its own. So a host that is switched off is off at once, with its
# containers, and no mount of an engine is ever seen outside.

socket_of() { printf 'unix://%s/%s.sock' "$SOCKETS" "$1"; }
on() { docker --host "$(socket_of "$1")" "${@:2}"; }

# managers: those that joined, one in a line.
managers() { (cd "$LAB/joined" && compgen -G 'm?' | sort); }

# endpoints: where a worker finds the managers.
endpoints() {
  local host list=()
  for host in $(managers); do list+=("tcp://$(address_of "$host"):2376"); done
  (IFS=,; printf '%s' "${list[*]}")
}

database() {
  local who=''
  if [[ $MONGO == auth ]]; then who="root:$(<"$LAB/mongo.password")@"; fi
  printf 'mongodb://%s%s:27017,%s:27017,%s:27017/?replicaSet=rs' "$who" \
    "$(address_of d1)" "$(address_of d2)" "$(address_of d3)"
  [[ -z $who ]] || printf '&authSource=admin'
}

# ---- certificates

# make_authority: one for the lab, and the certificate of its clients.
make_authority() {
  local folder=$LAB/certificates
  mkdir -p "$folder" "$LAB/authority"
  certify "$LAB/authority/key.pem" "$folder/ca.pem" -subj "/CN=$ID" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign || return
  signed "$folder" "/CN=worker" clientAuth
}

# certify KEY CERTIFICATE OPTION…
certify() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 30 \
    -keyout "$1" -out "$2" "${@:3}" 2>"$LAB/log/openssl.log" ||
    { complain "a certificate could not be made"; show_end "$LAB/log/openssl.log"; return 1; }
}

# signed FOLDER SUBJECT PURPOSE [OPTION…]: cert.pem and key.pem.
signed() {
  certify "$1/key.pem" "$1/cert.pem" -CA "$LAB/certificates/ca.pem" -CAkey "$LAB/authority/key.pem" \
    -subj "$2" -addext basicConstraints=critical,CA:FALSE -addext "extendedKeyUsage=$3" "${@:4}"
}

# ---- on and off

# prepare HOST: its settings and data, before it is started for the first time.
prepare() { mkdir "$LAB/$1" && "prepare_${1:0:1}" "$1" || { complain "$1 could not be prepared"; return 1; }; }

# start_host HOST: what runs there. It is not waited for.
start_host() {
  local host=$1
  PORTCALL_TEST_LAB=$LAB MONGOD=$(<"$LAB/mongod") setsid \
    nsenter "--net=/run/netns/$(namespace_of "$host")" -- \
    unshare --mount --uts --pid --fork --kill-child --mount-proc "$ROOT/tests/lab" boot "$host" \
    </dev/null >>"$LAB/log/$host.log" 2>&1 {LOCK}<&- &
  printf '%s %s\n' $! "$(start_time $!)" >"$LAB/pid/$host"
}

# host_runs HOST: whether it is on. f has nothing that could be off.
host_runs() {
  local pid began
  [[ $1 == f ]] || { read -r pid began 2>/dev/null <"$LAB/pid/$1" && is_same "$pid" "$began"; }
}

# first_of HOST: its first process, as this machine counts.
first_of() { pgrep -P "$(cut -d' ' -f1 "$LAB/pid/$1" 2>/dev/null || echo none)" 2>/dev/null; }

# kill_host HOST: everything on it is gone when this returns.
kill_host() {
  local pid deadline=$((SECONDS + 20))
  host_runs "$1" || { complain "$1 is off"; return 1; }
  pid=$(first_of "$1")
  kill -KILL "${pid:-$(cut -d' ' -f1 "$LAB/pid/$1")}"
  while host_runs "$1"; do
    ((SECONDS < deadline)) || { complain "$1 does not end"; return 1; }
    sleep 0.05
  done
  rm -f "$LAB/pid/$1"
}

start_again() {
  if host_runs "$1"; then complain "$1 is on"; return 1; fi
  [[ -d $LAB/$1 ]] || { complain "$1 was never on"; return 1; }
  start_host "$1" && await_host "$1"
}

# restart_daemon HOST: what runs there is killed, but nothing that it started.
restart_daemon() {
  local pid
  host_runs "$1" || { complain "$1 is off"; return 1; }
  : >"$LAB/$1/again"
  for pid in $(pgrep -P "$(first_of "$1")" -x 'dockerd|mongod|docker-registry|haproxy'); do kill -KILL "$pid"; done
  while [[ -e $LAB/$1/again ]] && host_runs "$1"; do sleep 0.05; done
  await_host "$1"
}

# await_host HOST: until it answers.
await_host() {
  local deadline=$((SECONDS + 60))
  until answers "$1"; do
    if ! host_runs "$1" || ((SECONDS >= deadline)); then
      complain "$1 does not answer"
      show_end "$LAB/log/$1.log"
      return 1
    fi
    sleep 0.1
  done
}

answers() {
  local at
  at=$(address_of "$1")
  case $1 in
    m? | g?) curl -fsS --max-time 2 --unix-socket "$SOCKETS/$1.sock" http://engine/_ping ;;
    q) in_net q curl -fsS --max-time 2 --noproxy '*' "http://$at:5000/v2/" "http://$at:5001/v2/" ;;
    d?) in_net "$1" bash -c ": </dev/tcp/$at/27017" ;;
    x) in_net x bash -c ": </dev/tcp/127.0.0.1/$ANYWHERE" ;;
  esac >/dev/null 2>&1
}

# ---- inside

# boot HOST: the first process there. It ends, and with it everything on the host, when its daemon does.
boot() {
  local host=$1 run=$LAB/$1/run
  [[ $$ == 1 ]] || wrong_use "boot is for hosts"
  hostname "$host" || exit
  mkdir -p "$run" && mount -t tmpfs -o mode=755 lab "$run" && mkdir "$run/$ID" "$run/etc" "$run/work" "$run/engine" &&
    mount --bind "$SOCKETS" "$run/$ID" &&
    mount -t overlay -o "lowerdir=/etc,upperdir=$run/etc,workdir=$run/work" lab /etc || exit
  if [[ -d $LAB/$host/data ]]; then mount --bind "$LAB/$host/data" "$run/engine" || exit; fi
  rm -f /etc/resolv.conf && printf 'nameserver 192.0.2.53\n' >/etc/resolv.conf
  "boot_${host:0:1}" "$host"
}

# keep HOST COMMAND…: until it ends by itself. A bash that waits takes care of orphans, as a first process must.
keep() {
  while :; do
    "${@:2}" &
    wait $!
    [[ -e $LAB/$1/again ]] || exit
    rm "$LAB/$1/again"
  done
}

# ---- engines

prepare_m() {
  local address
  address=$(address_of "$1")
  mkdir "$LAB/$1/data" "$LAB/$1/tls" &&
    signed "$LAB/$1/tls" "/CN=$1" serverAuth -addext "subjectAltName=IP:$address,DNS:$1" &&
    engine_settings_of "$1" >"$LAB/$1/daemon.json"
}

# prepare_g HOST: as infra/nodes/node prepares a machine, in a folder that `boot` copies to /etc.
prepare_g() {
  local host nodes=() log=$LAB/log/$1-node.log
  mkdir "$LAB/$1/node"
  for host in m1 m2 m3 g1 g2 g3; do nodes+=("$(address_of "$host")"); done
  "$ROOT/infra/nodes/node" apply --root "$LAB/$1/node" --cgroups cgroupfs --egress closed --pool "$POOLS" \
    --nodes "$(IFS=,; printf '%s' "${nodes[*]}")" --quarantine "$(address_of q):5001" \
    --workers "$(address_of f),$(address_of door),$(address_of m1),$(address_of m2),$(address_of m3)" >"$log" 2>&1 ||
    { show_end "$log"; return 1; }
  prepare_m "$1"
}

# engine_settings_of HOST: with the lab's own paths.
engine_settings_of() {
  local settings='{}' registries
  registries="[\"$(address_of q):5001\"]"
  case $1 in
    m?) registries="[\"$(address_of q):5000\", \"$(address_of q):5001\"]" ;;
    g?) settings=$(<"$LAB/$1/node/etc/docker/daemon.json") ;;
  esac
  jq --arg parent "/$ID/$1" --argjson registries "$registries" '
    . + {"cgroup-parent": $parent, "insecure-registries": $registries, "shutdown-timeout": 3}' <<<"$settings"
}

# boot_m HOST: a user for userns-remap, which dockerd would otherwise make, and the engine.
boot_m() {
  local host=$1 tls=$LAB/$1/tls base=$((100000 + ${LAST[$1]} * 65536))
  printf 'dockremap:x:297:297::/nonexistent:/usr/sbin/nologin\n' >>/etc/passwd
  printf 'dockremap:x:297:\n' >>/etc/group
  printf 'dockremap:%d:65536\n' "$base" | tee /etc/subuid >/etc/subgid
  mount --rbind "$LAB/$host/run" /run || exit
  keep "$host" dockerd --config-file "$LAB/$host/daemon.json" --data-root /run/engine --group "$(id -gn)" \
    --host "unix://$SOCKETS/$host.sock" --host "tcp://$(address_of "$host"):2376" \
    --tlsverify --tlscacert "$LAB/certificates/ca.pem" --tlscert "$tls/cert.pem" --tlskey "$tls/key.pem"
}

boot_g() {
  cp -a "$LAB/$1/node/etc/portcall" /etc/ || exit
  if [[ $FILTER == yes ]]; then nft -f /etc/portcall/nftables.nft || exit; fi
  boot_m "$1"
}

# ---- the swarm

# on_leader ARGUMENT…: the docker client on a manager that answers for the swarm.
on_leader() {
  local host
  for host in $(managers); do
    host_runs "$host" && timeout 5 docker --host "$(socket_of "$host")" "$@" 2>/dev/null && return
  done
  return 1
}

make_swarm() {
  local n waiting=() code=0 host
  await_host m1 || return
  swarm_step m1 swarm init --advertise-addr "$(address_of m1)" --default-addr-pool 10.81.0.0/16 || return
  on m1 swarm join-token -q manager >"$LAB/m1/manager.token" && on m1 swarm join-token -q worker >"$LAB/m1/worker.token" || return
  : >"$LAB/joined/m1"
  for ((n = 2; n <= MANAGERS; n++)); do join_host "m$n" & waiting+=($!); done
  for ((n = 1; n <= GRADERS; n++)); do join_host "g$n" & waiting+=($!); done
  for n in "${waiting[@]}"; do wait "$n" || code=1; done
  ((code == 0)) || return
  for host in "$LAB"/joined/*; do settle "${host##*/}" || return; done
}

# swarm_step HOST ARGUMENT…: with what the engine says when it fails.
swarm_step() {
  on "$@" >>"$LAB/log/swarm.log" 2>&1 || { complain "docker ${*:2:2} on $1 failed"; show_end "$LAB/log/swarm.log" 5; return 1; }
}

# join_host HOST: by way of any manager that is on and reached.
join_host() {
  local token=worker manager
  if [[ $1 == m* ]]; then token=manager; fi
  for manager in $(managers); do ! host_runs "$manager" || is_cut "$manager" || break; done
  await_host "$1" && swarm_step "$1" swarm join --advertise-addr "$(address_of "$1")" \
    --token "$(<"$LAB/m1/$token.token")" "$(address_of "$manager"):2377" && : >"$LAB/joined/$1"
}

# settle HOST: a grader is one by its label.
settle() {
  local options=(--availability "$MANAGING") deadline=$((SECONDS + 30)) node
  # By its id: one that was replaced has the same name.
  node=$(on "$1" info --format '{{.Swarm.NodeID}}' 2>/dev/null)
  if [[ $1 == g* ]]; then options=(--label-add portcall.grader=1 ${SLOTS:+--label-add "portcall.slots=$SLOTS"}); fi
  until on_leader node inspect --format '{{.Status.State}}' "$node" | grep -qx ready; do
    ((SECONDS < deadline)) || { complain "$1 is no node of the swarm"; return 1; }
    sleep 0.1
  done
  on_leader node update "${options[@]}" "$node" >/dev/null || { complain "$1 could not be given its part"; return 1; }
}

# join_late HOST: one that was not there from the beginning, that left, or that is new.
join_late() {
  [[ -d $LAB/$1 ]] || prepare "$1" || return
  host_runs "$1" || start_host "$1" || return
  await_host "$1" || return
  [[ $(on "$1" info --format '{{.Swarm.LocalNodeState}}' 2>/dev/null) == inactive ]] ||
    { complain "$1 is in a swarm already"; return 1; }
  join_host "$1" && settle "$1"
}

# renew_host HOST: a machine of the same name and address that was never used, off.
renew_host() {
  if host_runs "$1"; then kill_host "$1" || return; fi
  rm -rf -- "${LAB:?}/$1" "$LAB/joined/$1"
  prepare "$1"
}

# ---- registries

prepare_q() {
  mkdir "$LAB/q/public" "$LAB/q/quarantine"
  cat >"$LAB/q/public.yml" <<YAML
version: 0.1
log: { level: warn, accesslog: { disabled: true } }
storage:
  filesystem: { rootdirectory: $LAB/q/public }
  delete: { enabled: true }
http: { addr: "$(address_of q):5000" }
YAML
}

boot_q() {
  REGISTRY_HTTP_ADDR=$(address_of q):5001 REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=$LAB/q/quarantine \
    docker-registry serve "$ROOT/infra/quarantine/config.yml" &
  keep q docker-registry serve "$LAB/q/public.yml"
}

# ---- databases

prepare_d() { mkdir "$LAB/$1/db"; }

# make_mongo_key: by which members know each other, and the password of their clients.
make_mongo_key() {
  printf '%s' "${MONGOD:-}" >"$LAB/mongod"
  [[ $MONGO == auth ]] || return 0
  (umask 077; openssl rand -base64 256 >"$LAB/mongo.key"; openssl rand -hex 16 >"$LAB/mongo.password")
}

boot_d() {
  local host=$1 own=()
  if [[ $MONGO == auth ]]; then own=(--keyFile "$LAB/mongo.key"); fi
  keep "$host" "$MONGOD" --replSet rs --dbpath "$LAB/$host/db" --bind_ip "$(address_of "$host"),127.0.0.1" --port 27017 \
    --nounixsocket --wiredTigerCacheSizeGB 0.25 --oplogSize 128 --quiet "${own[@]}" \
    --setParameter shutdownTimeoutMillisForSignaledShutdown=0 --setParameter enableTestCommands=1 \
    --setParameter diagnosticDataCollectionEnabled=false
}

make_replica_set() {
  local tool=(python3 "$ROOT/infra/lib/replica_set.py") host primary deadline=$((SECONDS + 60))
  [[ $MONGO != none ]] || return 0
  for host in d1 d2 d3; do await_host "$host" || return; done
  in_net d1 "${tool[@]}" initiate 127.0.0.1:27017 rs 2000 \
    "$(address_of d1):27017" "$(address_of d2):27017" "$(address_of d3):27017" || return
  until primary=$(in_net d1 "${tool[@]}" primary 127.0.0.1:27017) && [[ -n $primary ]]; do
    ((SECONDS < deadline)) || { complain "the replica set has no primary"; return 1; }
    sleep 0.1
  done
  [[ $MONGO == auth ]] || return 0
  for host in d1 d2 d3; do
    [[ $primary == "$(address_of "$host"):27017" ]] || continue
    in_net "$host" "${tool[@]}" root 127.0.0.1:27017 root "$(<"$LAB/mongo.password")"
  done
}

# ---- the lure

prepare_x() {
  cat >"$LAB/x/haproxy.cfg" <<CFG
global
  maxconn 1000
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 10s
frontend anywhere
  bind :$ANYWHERE
  http-request return status 200 content-type text/plain string "the lure of $ID"
CFG
}

boot_x() {
  keep x haproxy -db -f "$LAB/x/haproxy.cfg"
}

# ---- what there is, for machines

describe() {
  local host first
  for host in "${HOSTS[@]}"; do
    first=''
    if host_runs "$host"; then first=$(first_of "$host"); fi
    jq -n --arg name "$host" --arg address "$(address_of "$host")" --arg namespace "/run/netns/$(namespace_of "$host")" \
      --arg socket "$SOCKETS/$host.sock" --arg first "$first" --arg joined "$([[ ! -e $LAB/joined/$host ]] || echo yes)" '
      {name: $name, address: $address, namespace: $namespace, pid: ($first | tonumber? // null)}
      + if $name | test("^[mg]") then {socket: $socket, joined: ($joined == "yes")} else {} end'
  done | jq -s --arg id "$ID" --arg folder "$LAB" --arg endpoints "$(endpoints)" --arg certificates "$LAB/certificates" \
    --arg q "$(address_of q)" --arg database "$([[ $MONGO == none ]] || database)" --arg door "$([[ $DOOR == no ]] || address_of door)" '
    {id: $id, folder: $folder, endpoints: ($endpoints / ","), certificates: $certificates,
     public: "\($q):5000", quarantine: "\($q):5001", database: (if $database == "" then null else $database end),
     hosts: (map({key: .name, value: .}) | from_entries)}' >"$LAB/lab.json.new" &&
    mv "$LAB/lab.json.new" "$LAB/lab.json"
}
