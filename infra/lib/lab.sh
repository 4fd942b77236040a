# shellcheck shell=bash
# shellcheck disable=SC2034  # read by tests/lab, which sources this
# The network of a lab (tests/lab): its addresses, its namespaces and links, the lures, and the end of
# all of it.
#
# A lab is known by a number that nobody else on the machine has while its folder is there; every name
# and address outside of that folder follows from the number.

CLAIMS=/run/portcall-labs      # a line for each lab: its number and its folder
LAB=${PORTCALL_TEST_LAB:-$TARGET/lab}
ID=                            # portcall-labN: namespaces are ID-HOST, cgroups /ID/HOST
NET=                           # the first three bytes of every address
SOCKETS=                       # the path of a Unix socket may have 107 characters at most

readonly HOSTS=(x m1 m2 m3 g1 g2 g3 d1 d2 d3 q f)
# The last byte of each address. `door` is the caller's end.
readonly -A LAST=([x]=1 [m1]=11 [m2]=12 [m3]=13 [g1]=21 [g2]=22 [g3]=23 [d1]=31 [d2]=32 [d3]=33 [q]=41 [f]=51 [door]=254)
# What strangers' containers get addresses from: slots of tests, the swarm's own, slots by default.
readonly POOLS=10.64.0.0/12,10.81.0.0/16,10.213.0.0/16
# Nobody of ours calls these anywhere, so whoever does is noted.
readonly TRAPS='22, 53, 2375'
# Where x takes whatever was meant for somewhere else.
readonly ANYWHERE=9

address_of() { printf '%s.%s' "$NET" "${LAST[$1]}"; }
namespace_of() { printf '%s-%s' "$ID" "$1"; }
is_host() { [[ $1 != door && -n ${LAST[$1]:-} ]]; }

# in_net HOST COMMAND…: in the network of that host, and otherwise on this machine.
in_net() {
  local host=$1
  shift
  nsenter "--net=/run/netns/$(namespace_of "$host")" -- "$@"
}

# ---- which lab

# claim_number: gives this lab a number, and clears what others left whose folder is gone.
claim_number() {
  local n folder lock stale=() found=no
  exec {lock}</run && flock "$lock" || return
  while read -r n folder; do
    [[ $(cat "$folder/number" 2>/dev/null) == "$n" ]] || stale+=("$n")
  done < <(cat "$CLAIMS" 2>/dev/null)
  for n in "${stale[@]}"; do
    name_lab "$n"
    clear_machine
    sed -i "/^$n /d" "$CLAIMS"
  done
  for ((n = 0; n < 100; n++)); do
    ! grep -qs "^$n " "$CLAIMS" || continue
    name_lab "$n"
    printf '%s\n' "$n" >"$LAB/number" && printf '%s %s\n' "$n" "$LAB" >>"$CLAIMS" && found=yes
    break
  done
  exec {lock}<&-
  [[ $found == yes ]] || { complain "the lab got no number on this machine"; return "$NOT_THERE"; }
}

release_number() {
  local lock
  exec {lock}</run && flock "$lock" || return
  if [[ -e $CLAIMS ]]; then sed -i "/^$1 /d" "$CLAIMS"; fi
  [[ -s $CLAIMS ]] || rm -f "$CLAIMS"
  exec {lock}<&-
}

name_lab() {
  ID=portcall-lab$1
  NET=10.80.$1
  SOCKETS=/run/$ID
}

# ---- namespaces and links

# make_network: a bridge in a namespace of its own, and every host on it. x is everybody's way to
# everywhere, and has none itself.
make_network() {
  local host
  ip netns add "$(namespace_of wire)" && ip -n "$(namespace_of wire)" -batch - <<'IP' || return
link set lo up
link add wire type bridge forward_delay 0
link set wire up
IP
  for host in "${HOSTS[@]}"; do make_host "$host" || return; done
}

# make_host HOST: its namespace, with a link to the bridge.
make_host() {
  local host=$1 namespace
  namespace=$(namespace_of "$host")
  ip netns add "$namespace" || return
  in_net "$host" sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
    echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6' || return
  ip -n "$(namespace_of wire)" -batch - <<IP || return
link add $host type veth peer name eth0 netns $namespace
link set $host master wire up
IP
  ip -n "$namespace" -batch - <<IP || return
link set lo up
address add $(address_of "$host")/24 dev eth0
link set eth0 up
IP
  if [[ $host != x ]]; then ip -n "$namespace" route add default via "$(address_of x)" || return; fi
  lure_rules "$host" | in_net "$host" nft -f -
}

# lure_rules HOST: notes who came. x has nothing of its own, so it notes everybody, and answers in
# place of whom they wanted.
lure_rules() {
  local port='{ ip saddr . ip daddr . meta l4proto . th dport }'
  printf 'table ip lure {\n set seen { type ipv4_addr . ipv4_addr . inet_proto . inet_service; flags dynamic; size 65535; }\n'
  printf ' chain arrivals { type filter hook prerouting priority -310;\n  iifname lo return\n'
  if [[ $1 == x ]]; then
    printf '  ip daddr 224.0.0.0/4 return\n  ip protocol { tcp, udp } add @seen %s\n' "$port"
    printf '  ip protocol != { tcp, udp } add @seen { ip saddr . ip daddr . meta l4proto . 0 }\n }\n'
    printf ' chain instead { type nat hook prerouting priority -100;\n  ip protocol tcp redirect to :%s\n }\n' "$ANYWHERE"
  else
    printf '  meta l4proto { tcp, udp } th dport { %s } add @seen %s\n }\n' "$TRAPS" "$port"
  fi
  printf '}\n'
}

# lures: who came where, as JSON lines, on which host it was noticed.
lures() {
  local host
  for host in "${HOSTS[@]}"; do
    in_net "$host" nft -j list set ip lure seen 2>/dev/null | jq -c --arg at "$host" '
      .nftables[].set? // empty | .elem[]? | (.elem.val? // .) | .concat
      | {at: $at, from: .[0], to: .[1], protocol: (.[2] | tostring), port: .[3]}'
  done
}

forget_lures() {
  local host
  for host in "${HOSTS[@]}"; do in_net "$host" nft flush set ip lure seen; done
}

# may_open_door: the caller's own network must lead nowhere else.
may_open_door() {
  [[ -n $(ip route show default) ]] || return 0
  complain "this network has a way out, so the lab gets no door to it: use 'tests/lab run', or a network of your own"
  return "$WRONG_USE"
}

# open_door: an address of the lab for whoever calls.
open_door() {
  ip -n "$(namespace_of wire)" link add door type veth peer name "$ID" netns "/proc/$$/ns/net" &&
    ip -n "$(namespace_of wire)" link set door master wire up &&
    ip address add "$(address_of door)/24" dev "$ID" && ip link set "$ID" up
}

cut_host() { ip -n "$(namespace_of wire)" link set "$1" down; }
restore_host() { ip -n "$(namespace_of wire)" link set "$1" up; }
is_cut() { [[ $(ip -n "$(namespace_of wire)" -j link show "$1" 2>/dev/null | jq -r '.[0].flags | index("UP")') == null ]]; }

# ---- the end

# inside_lab: every process in a namespace of the lab, but us and those who wait for us.
inside_lab() {
  local host pid ours=" "
  pid=$$
  while ((pid > 1)); do
    ours+="$pid "
    pid=$(sed -n 's/^PPid:\t//p' "/proc/$pid/status") || break
  done
  for host in "${HOSTS[@]}" wire; do
    for pid in $(ip netns pids "$(namespace_of "$host")" 2>/dev/null); do
      [[ $ours == *" $pid "* ]] || printf '%s\n' "$pid"
    done
  done
}

# clear_machine: everything of a lab that is outside of its folder. What runs in a host is in a process
# namespace of that host, whose first process is in the network that we look at: with it all others
# and every mount of theirs are gone.
clear_machine() {
  local pids pid host folder deadline=$((SECONDS + 20))
  while mapfile -t pids < <(inside_lab) && ((${#pids[@]})) && ((SECONDS < deadline)); do
    for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null; done
    sleep 0.1
  done
  # The other end goes with it at once; a namespace takes its time.
  ip -n "$(namespace_of wire)" link delete door 2>/dev/null
  for host in "${HOSTS[@]}" wire; do
    [[ ! -e /run/netns/$(namespace_of "$host") ]] || ip netns delete "$(namespace_of "$host")"
  done
  for folder in /sys/fs/cgroup/"$ID" /sys/fs/cgroup/*/"$ID"; do
    [[ ! -d $folder ]] || clear_cgroup "$folder"
  done
  rm -rf -- "${SOCKETS:?}"
}

# clear_cgroup FOLDER: the deepest first; a process that was killed may take a moment to leave.
clear_cgroup() {
  local deadline=$((SECONDS + 10))
  until find "$1" -depth -type d -exec rmdir {} + 2>/dev/null; [[ ! -d $1 ]]; do
    ((SECONDS < deadline)) || { complain "$1 is still in use"; return 1; }
    sleep 0.1
  done
}

# remains: what of this lab is on the machine, outside of its folder.
remains() {
  local folder
  ip netns list 2>/dev/null | grep -o "^$ID-[a-z0-9]*" | sed 's/^/namespace /'
  ip -o link show 2>/dev/null | grep -oE " ${ID}(@|:)" | sed 's/^/interface/; s/[@:]$//'
  inside_lab | sed 's/^/process /'
  cut -d' ' -f5 /proc/self/mountinfo | grep -F -e "$ID" -e "$LAB/" | sed 's/^/mount /'
  for folder in "$SOCKETS" /sys/fs/cgroup/"$ID" /sys/fs/cgroup/*/"$ID"; do
    [[ ! -e $folder ]] || printf 'folder %s\n' "$folder"
  done
}
