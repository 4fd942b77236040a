#!/usr/bin/env bash
# usage: kept.sh FOLDER COMMAND…
#
# Runs COMMAND, and ends and starts it again as it is told, so that a test can take a part of the
# system away for a while. FOLDER/tell WORD does the telling, and returns when it is done:
#
#   kill    ends it with SIGKILL
#   stop    ends it with SIGTERM
#   start   starts it, unless it runs
#
# It never touches a process that it has not started. When COMMAND ends untold, so does this.

set -u

if [[ $1 == --tell ]]; then
  # Opened both ways: that does not wait for somebody at the other end.
  printf '%s %s\n' "$3" $$ 1<>"$2/told"
  deadline=$((SECONDS + 30))
  until [[ -e $2/done.$$ ]]; do
    ((SECONDS < deadline)) || { printf 'kept.sh: not done after 30 s: %s\n' "$3" >&2; exit 70; }
    sleep 0.05
  done
  rm -f "$2/done.$$"
  exit 0
fi

FOLDER=$1
shift
COMMAND=("$@")
CHILD=
mkdir -p "$FOLDER"
rm -f "$FOLDER"/told "$FOLDER"/done.*
mkfifo "$FOLDER/told" || exit 70
printf '#!/bin/sh\nexec "%s" --tell "%s" "$1"\n' "$(readlink -f "$0")" "$FOLDER" >"$FOLDER/tell"
chmod +x "$FOLDER/tell"
exec 3<>"$FOLDER/told"

begin() {
  [[ -z $CHILD ]] || return 0
  setpriv --pdeathsig KILL "${COMMAND[@]}" 3>&- &
  CHILD=$!
}

# end SIGNAL: returns when it has ended.
end() {
  [[ -n $CHILD ]] || return 0
  kill "-$1" "$CHILD" 2>/dev/null
  wait "$CHILD" 2>/dev/null
  CHILD=
}

trap 'end TERM; exit 0' TERM INT HUP
begin
while true; do
  if read -r -t 0.5 -u 3 word who; then
    case $word in
      kill) end KILL ;;
      stop) end TERM ;;
      start) begin ;;
    esac
    : >"$FOLDER/done.$who"
  elif [[ -n $CHILD ]] && ! kill -0 "$CHILD" 2>/dev/null; then
    wait "$CHILD"
    exit
  fi
done
