# shellcheck shell=bash
# Installing the settings of a node, and taking them back.

do_apply() {
  local source target
  keep_before
  put "$SAVED" "$SETTINGS"
  while read -r source target; do
    put "$target" "$(<"$HERE/$source")"
  done < <(files)
  put "$FILTER" "$(filter_wanted)"
  put_link "$AT_BOOT" ../portcall-firewall.service
  put_link "$BY_TIMER" "../$IMAGES"
  put_daemon
  if on_this_machine; then
    set_kernel && load_filter || exit "$ASKED_FAILED"
  fi
  tell_end "Everything is as wanted already."
  start_timer
}

# start_timer: now, and not only when the machine is started again.
start_timer() {
  if ! has_systemd || [[ $DRY == yes ]] || systemctl --quiet is-active "$IMAGES"; then return; fi
  systemctl start "$IMAGES" || { complain "$IMAGES does not start"; exit "$ASKED_FAILED"; }
}

# has_systemd: whether this machine's services are systemd's affair.
has_systemd() { on_this_machine && [[ -d /run/systemd/system ]]; }

# changed WHAT: notes a change; says whether it is to be made.
changed() {
  CHANGED+=("$1")
  if [[ $DRY == yes ]]; then
    say "would change: $1"
    return 1
  fi
  say "changed: $1"
}

# put PATH TEXT: a file with this text and a line's end, written whole or not at all.
put() {
  local file=$TARGET$1
  if [[ -f $file && $(<"$file") == "$2" ]]; then return; fi
  changed "$1" || return 0
  mkdir -p "${file%/*}"
  printf '%s\n' "$2" >"$file.new" && mv "$file.new" "$file"
}

put_link() {
  local link=$TARGET$1
  [[ $(readlink "$link") == "$2" ]] && return
  changed "$1" || return 0
  mkdir -p "${link%/*}"
  ln -sfn "$2" "$link"
}

# keep_before: daemon.json as it was before the first time; `none` if there was none.
keep_before() {
  [[ -f $TARGET$BEFORE ]] && return
  if [[ -f $TARGET$DAEMON ]]; then put "$BEFORE" "$(<"$TARGET$DAEMON")"; else put "$BEFORE" none; fi
}

put_daemon() {
  local found merged
  found=$(daemon_found)
  merged=$(daemon_merged)
  if [[ $(jq -S . <<<"$found") == "$(jq -S . <<<"$merged")" ]]; then return; fi
  jq -rn --argjson old "$found" --argjson new "$merged" '$new | keys[] | select($old[.] != $new[.])
    | "  \(.): \(if $old[.] == null then "nothing" else $old[.] | tojson end) -> \($new[.] | tojson)"'
  ENGINE_CHANGED=yes
  put "$DAEMON" "$merged"
}

# set_kernel: the values of sysctl.conf that differ.
set_kernel() {
  local name value optional found file
  while read -r optional name value; do
    file=/proc/sys/${name//.//}
    if [[ $optional == yes && ! -e $file ]]; then continue; fi
    found=$(cat "$file" 2>/dev/null)
    if is_enough "$name" "$found" "$value"; then continue; fi
    changed "$name: ${found:-nothing} -> $value" || continue
    if ! printf '%s\n' "$value" 2>/dev/null >"$file"; then
      complain "$name cannot be set to $value"
      return "$ASKED_FAILED"
    fi
  done < <(kernel_wanted)
}

# load_filter: in one transaction, if what is loaded differs.
load_filter() {
  if filter_holds; then return; fi
  changed "packet filter: tables inet portcall and bridge portcall" || return 0
  nft -f "$FILTER" || { complain "the packet filter could not be loaded; what held before holds still"; return "$ASKED_FAILED"; }
}

do_remove() {
  local source target table
  restore_daemon
  if has_systemd && [[ $DRY == no ]]; then systemctl stop "$IMAGES" 2>/dev/null; fi
  while read -r source target; do drop "$target"; done < <(files)
  for target in "$FILTER" "$SAVED" "$BEFORE" "$AT_BOOT" "$BY_TIMER"; do drop "$target"; done
  if [[ $DRY == no ]]; then rmdir "$TARGET$OURS" "$TARGET$UNITS/docker.service.d" 2>/dev/null; fi
  if on_this_machine; then
    for table in 'inet portcall' 'bridge portcall'; do
      # shellcheck disable=SC2086  # two words
      nft list table $table >/dev/null 2>&1 || continue
      # shellcheck disable=SC2086
      if changed "packet filter: table $table is gone"; then nft delete table $table; fi
    done
    if ((${#CHANGED[@]})); then say "Kernel settings stay until the machine is started again."; fi
  fi
  tell_end "Nothing of it is here."
}

# drop PATH
drop() {
  if [[ ! -e $TARGET$1 && ! -L $TARGET$1 ]]; then return; fi
  if changed "$1 is gone"; then rm -f "$TARGET$1"; fi
}

# restore_daemon: each key of ours gets its earlier value back, if nobody changed it since.
restore_daemon() {
  local before found restored
  [[ -f $TARGET$BEFORE && -f $TARGET$DAEMON ]] || return 0
  before=$(<"$TARGET$BEFORE")
  found=$(daemon_found)
  restored=$(jq --argjson before "$(if [[ $before == none ]]; then echo '{}'; else printf '%s' "$before"; fi)" \
    --argjson ours "$(daemon_wanted)" '
    ($before + $ours + {"default-ulimits": (($before."default-ulimits" // {}) + $ours."default-ulimits")}) as $applied
    | reduce ($ours | keys[]) as $key (.;
        if .[$key] != $applied[$key] then . elif $before | has($key) then .[$key] = $before[$key] else del(.[$key]) end)' <<<"$found")
  ENGINE_CHANGED=yes
  if [[ $before == none && $(jq -c . <<<"$restored") == '{}' ]]; then
    drop "$DAEMON"
  elif [[ $before != none && $(jq -S . <<<"$restored") == "$(jq -S . <<<"$before")" ]]; then
    put "$DAEMON" "$before"
  else
    put "$DAEMON" "$restored"
  fi
}

# tell_end IF_NOTHING: what is left to do.
tell_end() {
  if ((${#CHANGED[@]} == 0)); then say "$1"; fi
  if ! on_this_machine || [[ $DRY == yes ]]; then return; fi
  if [[ -d /run/systemd/system ]] && ((${#CHANGED[@]})); then systemctl daemon-reload; fi
  if [[ $ENGINE_CHANGED == no ]]; then return; fi
  if [[ $RESTART == no ]]; then
    say "The engine's settings changed: they hold after its next start (systemctl restart docker)."
  elif [[ -d /run/systemd/system ]]; then
    say "Restarting the engine ..."
    systemctl restart docker || exit "$ASKED_FAILED"
  else
    complain "--restart takes systemd; please restart the engine yourself"
    exit "$NOT_THERE"
  fi
}
