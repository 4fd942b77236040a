# shellcheck shell=bash
# What the scripts say, and the exit codes that they share with the programs.

readonly OK=0 ASKED_FAILED=1 WRONG_USE=64 NOT_THERE=69 INTERNAL=70
export OK ASKED_FAILED WRONG_USE NOT_THERE INTERNAL

# say TEXT: one plain line about what is being done.
say() { printf '%s\n' "$*"; }

# headline TEXT: the start of a new part of the work.
headline() { printf '\n== %s\n' "$*"; }

# complain TEXT: what went wrong, on the error stream.
COMPLAINT=   # the last one
complain() {
  # shellcheck disable=SC2034  # infra/test reads it
  COMPLAINT=$*
  printf '%s: %s\n' "${0##*/}" "$*" >&2
}

# show_end FILE [LINES]: the last lines of a log, so that nobody has to go and look.
show_end() {
  [[ -s $1 ]] || { printf '    (%s is empty)\n' "$1" >&2; return; }
  printf '    last lines of %s:\n' "$1" >&2
  tail -n "${2:-25}" "$1" | sed 's/^/    | /' >&2
}

# usage_from FILE: the comment at the top of a script is its --help.
usage_from() { sed -n '1d;/^#/!q;s/^# \{0,1\}//p' "$1"; }

# took SECONDS: a duration as people write it.
took() { if (($1 < 60)); then printf '%d s' "$1"; else printf '%d min %d s' $(($1 / 60)) $(($1 % 60)); fi; }
