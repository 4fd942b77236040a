# shellcheck shell=bash
# Looking whether the settings of a node hold: what was found beside what is wanted.

ROWS=()   # result, setting, found, wanted: with a tab between them

# row RESULT SETTING FOUND WANTED
row() { ROWS+=("$1"$'\t'"$2"$'\t'"${3:-nothing}"$'\t'"$4"); }

# passes CODE [ELSE]: the result of a condition, from its exit code.
passes() { if (($1 == 0)); then printf pass; else printf '%s' "${2:-fail}"; fi; }

do_check() {
  check_daemon
  check_files
  check_kernel
  if on_this_machine; then
    check_filter
    check_engine
    check_machine
  fi
  if [[ $FORMAT == json ]]; then print_json; else print_table; fi
  # Not by `grep -q`, which hangs up on a long table, and a pipe that breaks is no match.
  if (($(count fail))); then exit "$ASKED_FAILED"; fi
  exit "$OK"
}

# check_daemon: each key of ours (of objects each of theirs), and what others may have set beside it.
check_daemon() {
  local key result found wanted
  while IFS=$'\t' read -r key result found wanted; do
    row "$result" "daemon.json $key" "$found" "$wanted"
  done < <(jq -rn --argjson found "$(daemon_found)" --argjson wanted "$(daemon_wanted)" '
    def shown: if type == "object" and has("Hard") then "\(.Soft):\(.Hard)" else tojson end;
    def line($name; $have; $want): [$name, (if $have == $want then "pass" else "fail" end),
      (if $have == null then "nothing" else $have | shown end), ($want | shown)];
    $wanted | keys_unsorted[] as $key | $wanted[$key] as $want | $found[$key] as $have
    | if $want | type == "object"
      then $want | keys[] as $inner | line("\($key).\($inner)"; $have | objects[$inner] // null; $want[$inner])
      else line($key; $have; $want) end
    | @tsv')
  while IFS=$'\t' read -r key found wanted; do
    row warn "daemon.json $key" "$found" "$wanted"
  done < <(daemon_found | jq -r --arg quarantine "$(setting quarantine)" '
    (select(."live-restore" == true) | ["live-restore", "true", "off: it excludes swarm mode"]),
    (select(.experimental == true) | ["experimental", "true", "off"]),
    (."insecure-registries" // [] | map(select(startswith("127.") or (. as $r | $quarantine | split(" ") | index($r)) | not))
      | select(length > 0) | ["insecure-registries", tojson, "at most the quarantine"]),
    (select((.hosts // [] | any(startswith("tcp://"))) and .tlsverify != true)
      | ["hosts", (.hosts | tojson), "tcp only with tlsverify, or behind --workers alone"])
    | @tsv')
  if [[ $(setting wall) == runsc ]]; then
    found=$(daemon_found | jq -c '.runtimes.runsc // empty')
    row "$([[ -n $found ]]; passes $?)" "daemon.json runtimes.runsc" "$found" "the runtime, since --wall is runsc"
  fi
}

check_files() {
  local source target
  while read -r source target; do
    same "$target" "$(<"$HERE/$source")"
  done < <(files)
  same "$FILTER" "$(filter_wanted)"
  [[ -L $TARGET$AT_BOOT && $(readlink "$TARGET$AT_BOOT") == ../portcall-firewall.service ]]
  row "$(passes $?)" "packet filter at the machine's start" "$(readlink "$TARGET$AT_BOOT")" "../portcall-firewall.service"
  [[ -L $TARGET$BY_TIMER && $(readlink "$TARGET$BY_TIMER") == "../$IMAGES" ]]
  row "$(passes $?)" "unused images go, by a timer" "$(readlink "$TARGET$BY_TIMER")" "../$IMAGES"
}

# same PATH TEXT
same() {
  local found=""
  if [[ -f $TARGET$1 ]]; then found=$(difference "$(<"$TARGET$1")" "$2"); fi
  [[ $found == "as wanted" ]]
  row "$(passes $?)" "$1" "$found" "as wanted"
}

# difference FOUND WANTED: the first line that one has and the other lacks.
difference() {
  local line
  if [[ $1 == "$2" ]]; then
    printf 'as wanted'
  elif line=$(grep -vxFm 1 -f <(printf '%s\n' "$1") <<<"$2"); then
    printf 'without: %s' "$(plain_line "$line")"
  elif line=$(grep -vxFm 1 -f <(printf '%s\n' "$2") <<<"$1"); then
    printf 'beside: %s' "$(plain_line "$line")"
  else
    printf 'in another order'
  fi
}

plain_line() { tr -s '[:space:]' ' ' <<<"$1" | sed -E 's/^ //; s/ $//' | cut -c1-60; }

# kernel_wanted: whether it may be missing, name and value of each line of sysctl.conf.
kernel_wanted() { sed -nE 's/^(-?)([a-z_.]+) *= *(.*)$/\1 \2 \3/p' "$HERE/sysctl.conf" | sed -E 's/^- /yes /; s/^ /no /'; }

# is_enough NAME FOUND WANTED: whether a value is what is wanted, or stricter.
is_enough() {
  case $1 in
    kernel.core_pattern) [[ -n $2 && $2 != '|'* ]] ;;
    user.max_user_namespaces) [[ $2 =~ ^[0-9]+$ ]] && (($2 > 0 && $2 <= $3)) ;;
    vm.unprivileged_userfaultfd | net.netfilter.nf_conntrack_tcp_be_liberal) [[ $2 == "$3" ]] ;;
    *) [[ $2 =~ ^-?[0-9]+$ ]] && (($2 >= $3)) ;;
  esac
}

# check_kernel: what the kernel says; of other roots, what their file says.
check_kernel() {
  local optional name value found
  while read -r optional name value; do
    if found=$(kernel_found "$name"); then
      is_enough "$name" "$found" "$value"
      row "$(passes $?)" "$name" "$found" "$value"
    elif [[ $optional == yes ]] && on_this_machine; then
      row warn "$name" "not in this kernel" "$value"
    else
      row fail "$name" "" "$value"
    fi
  done < <(kernel_wanted)
}

kernel_found() {
  if on_this_machine; then
    cat "/proc/sys/${1//.//}" 2>/dev/null
  else
    sed -nE "s/^-?${1//./\\.} *= *//p" "$TARGET$SYSCTL" 2>/dev/null | grep .
  fi
}

# filter_holds: whether what is loaded is, rule by rule, what the file makes in a network of its own.
filter_holds() { [[ -n $(filter_loaded) && $(filter_loaded) == "$(filter_meant)" ]]; }

filter_loaded() { nft -s list table inet portcall 2>/dev/null; nft -s list table bridge portcall 2>/dev/null; }

filter_meant() {
  filter_wanted | unshare --net -- sh -c 'nft -f - && nft -s list table inet portcall && nft -s list table bridge portcall'
}

check_filter() {
  local found
  found=$(filter_loaded)
  if [[ -n $found ]]; then found=$(difference "$found" "$(filter_meant)"); fi
  [[ $found == "as wanted" ]]
  row "$(passes $?)" "packet filter, as loaded" "$found" "as wanted"
  if [[ -n $(foreign_bridges) ]]; then
    row warn "bridges called br-…" "$(foreign_bridges | paste -sd' ')" "none but the engine's: the filter goes by addresses alone"
  fi
}

# check_engine: the running one, since settings hold only after a start.
check_engine() {
  local security
  if ! security=$(timeout 10 docker info --format '{{json .SecurityOptions}}' 2>/dev/null) || [[ -z $security ]]; then
    row warn "the running engine" "no answer" "an engine, to look at what it does with these settings"
    return
  fi
  if [[ $(setting wall) == userns ]]; then
    [[ $security == *name=userns* || $security == *name=rootless* ]]
    row "$(passes $?)" "the running engine: users" "$([[ $security == *name=userns* ]] && echo remapped || echo "as on the machine")" remapped
  fi
  [[ $security == *"profile=$SECCOMP"* ]]
  row "$(passes $?)" "the running engine: system calls" "$(grep -o 'seccomp,profile=[^"]*' <<<"$security" | cut -d= -f2)" "$SECCOMP"
}

check_machine() {
  local swaps data
  swaps=$(tail -n +2 /proc/swaps | cut -d' ' -f1 | paste -sd' ')
  [[ -z $swaps ]]
  row "$(passes $? warn)" swap "${swaps:-off}" "off: a service's limit of memory does not cover it"
  if [[ -d /run/systemd/system ]]; then
    systemctl --quiet is-active "$IMAGES"
    row "$(passes $?)" "unused images go, as it runs" "$(systemctl is-active "$IMAGES")" active
  fi
  data=$(timeout 10 docker info --format '{{.DockerRootDir}}' 2>/dev/null)
  [[ -n $data && -d $data ]] || return 0
  [[ $(stat -c %d "$data") != "$(stat -c %d /)" ]]
  row "$(passes $? warn)" "the engine's data" "$([[ $(stat -c %d "$data") == "$(stat -c %d /)" ]] && echo "on the machine's root" || echo apart)" "a file system of their own"
}

print_table() {
  local result setting found wanted
  printf '%-6s  %-44s  %-28s  %s\n' result setting found wanted
  for result in "${ROWS[@]}"; do
    IFS=$'\t' read -r result setting found wanted <<<"$result"
    printf '%-6s  %-44s  %-28s  %s\n' "$result" "$setting" "$found" "$wanted"
  done
  printf '\n%d pass, %d warn, %d fail\n' "$(count pass)" "$(count warn)" "$(count fail)"
}

count() { printf '%s\n' "${ROWS[@]}" | grep -c "^$1"; }

print_json() {
  printf '%s\n' "${ROWS[@]}" | jq -Rn '[inputs | split("\t") | {result: .[0], setting: .[1], found: .[2], wanted: .[3]}]
    | {result: (if any(.result == "fail") then "fail" elif any(.result == "warn") then "warn" else "pass" end), settings: .}'
}
