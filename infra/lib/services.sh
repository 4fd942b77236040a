# shellcheck shell=bash
# The database and the registry of a local run.

DATA=           # where the database and the registry keep their files
REGISTRY=       # host:port of the registry

# chosen_port PREFERRED WHAT: a free port, and a word on the error stream when it is not the
# preferred one.
chosen_port() {
  local port
  port=$(free_port "$1")
  [[ $port == "$1" ]] || say "Port $1 is taken: $2 listens on 127.0.0.1:$port" >&2
  printf '%s' "$port"
}

# use_mongod: the database at PORTCALL_MONGODB_URI, or a replica set of one member.
use_mongod() {
  local port
  if [[ -n ${PORTCALL_MONGODB_URI:-} ]]; then
    say "Database: the given one"
    return
  fi
  port=$(mongod_port) || return
  mkdir -p "$DATA/mongod"
  start mongod "$MONGOD" --replSet rs --dbpath "$DATA/mongod" --bind_ip 127.0.0.1 --port "$port" --nounixsocket \
    --wiredTigerCacheSizeGB 0.25 --setParameter shutdownTimeoutMillisForSignaledShutdown=0 \
    --setParameter diagnosticDataCollectionEnabled=false
  await mongod 60 "it listens on 127.0.0.1:$port" port_listens "$port" || return
  "${INSIDE[@]}" "$BIN/portcall" store init-replica-set \
    --uri "mongodb://127.0.0.1:$port/?directConnection=true" >"$(log_of init-replica-set)" 2>&1 || {
    complain "the database's replica set could not be made"
    show_end "$(log_of init-replica-set)"
    return "$NOT_THERE"
  }
  export PORTCALL_MONGODB_URI="mongodb://127.0.0.1:$port/?replicaSet=rs"
  say "Database: a MongoDB replica set of one member at 127.0.0.1:$port"
}

# A replica set remembers the address of its member, so kept data stay on their port.
mongod_port() {
  local port
  if [[ -f $DATA/mongod.port ]]; then
    port=$(<"$DATA/mongod.port")
    if port_listens "$port"; then
      complain "the kept database belongs to port $port, which is taken; free it or remove $DATA"
      return "$NOT_THERE"
    fi
  else
    port=$(chosen_port 27017 "the database")
    mkdir -p "$DATA"
    printf '%s\n' "$port" >"$DATA/mongod.port"
  fi
  printf '%s' "$port"
}

# use_registry: the registry at PORTCALL_REGISTRY, or our own without a password, on loopback.
use_registry() {
  if [[ -n ${PORTCALL_REGISTRY:-} ]]; then
    REGISTRY=$PORTCALL_REGISTRY
    say "Registry: the given one at $REGISTRY"
    return
  fi
  REGISTRY=127.0.0.1:$(chosen_port 5000 "the registry")
  mkdir -p "$DATA/registry"
  cat >"$RUN/registry.yml" <<YAML
version: 0.1
log: { level: warn }
storage:
  filesystem: { rootdirectory: $DATA/registry }
  delete: { enabled: true }
http: { addr: "$REGISTRY" }
YAML
  start registry docker-registry serve "$RUN/registry.yml"
  await registry 15 "it answers at $REGISTRY" "${INSIDE[@]}" curl -fsS --max-time 2 "http://$REGISTRY/v2/" || return
  say "Registry: our own at $REGISTRY"
}
