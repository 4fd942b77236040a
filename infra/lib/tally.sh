# shellcheck shell=bash
# Counting what the tests' runners say, and closing with one line.

PASSED=0 FAILED=0 SKIPPED=0
FAILURES=()

passed() { PASSED=$((PASSED + ${1:-1})); }
skipped() {
  SKIPPED=$((SKIPPED + 1))
  say "  skipped: $*"
}

# failed COUNT WHAT: counts failures and remembers WHAT for the end.
failed() {
  FAILED=$((FAILED + $1))
  shift
  FAILURES+=("$*")
  printf '%s: FAILED: %s\n' "${0##*/}" "$*" >&2
}

# step WHAT COMMAND…: a command that is one test.
step() {
  local what=$1
  shift
  say "- $what"
  if attend_logged "$(log_of "$SUITE")" "$@"; then passed; else failed 1 "$SUITE: $what"; fi
}

# counted READER WHAT COMMAND…: a command that runs many tests; READER takes their number from
# its output and sets `good` and `bad`. A command that fails without a count is one failure.
counted() {
  local reader=$1 what=$2 log good=0 bad=0 code
  shift 2
  log=$(log_of "$SUITE-counted")
  : >"$log"
  attend_logged "$log" "$@"
  code=$?
  "$reader" "$log"
  if ((code != 0 && bad == 0)); then bad=1; fi
  if ((good + bad == 0)); then
    failed 1 "$SUITE: $what ran no test"
    return
  fi
  passed "$good"
  if ((bad > 0)); then
    failed "$bad" "$SUITE: $bad of $((good + bad)) ($what)"
    mapfile -t -O "${#FAILURES[@]}" FAILURES < <(named_failures "$log")
  fi
}

# named_failures LOG: the tests that failed, as nextest, vitest, node:test and tests/fuzz/run name them.
named_failures() {
  plain "$1" | grep -E '^ *((FAIL|TIMEOUT|ABORT|LEAK-FAIL|SIG[A-Z]+) +\[|✖ .*\([0-9.]+ms\)|FAIL +[^ ]+ >|FAILED )' |
    sed -E 's/^ */  /; s/ \(([0-9.]+ms|[0-9 ]+\/[0-9]+)\)//; s/ +\[ *[0-9.]+s\]//' | awk '!seen[$0]++' | head -n 20
}

# number LINE WORD: the number before WORD in LINE, or 0.
number() { sed -nE "s/(.*[^0-9])?([0-9]+) $2.*/\2/p" <<<"$1" | grep . || echo 0; }

plain() { sed -E 's/\x1b\[[0-9;]*[A-Za-z]//g' "$1"; }

# nextest: "Summary [ 1.2s] 9 tests run: 6 passed (1 slow), 2 failed, 1 timed out, 3 skipped".
# What it calls skipped is what the suite's filter left to other suites.
read_nextest() {
  local line
  line=$(plain "$1" | grep -E 'Summary \[' | tail -n 1)
  good=$(number "${line#*run:}" passed)
  bad=$(($(number "${line#*run:}" failed) + $(number "${line#*run:}" 'timed out') + $(number "${line#*run:}" 'exec failed')))
}

# vitest: "Tests  1 failed | 11 passed (12)".
read_vitest() {
  local line
  line=$(plain "$1" | grep -E '^ *Tests +[0-9]' | tail -n 1)
  good=$(number "$line" passed)
  bad=$(number "$line" failed)
}

# node:test: "# pass 3", or with another reporter "ℹ pass 3".
read_node() {
  good=$(plain "$1" | sed -nE 's/^(#|ℹ) pass ([0-9]+)$/\2/p' | tail -n 1 | grep . || echo 0)
  bad=$(plain "$1" | sed -nE 's/^(#|ℹ) (fail|cancelled) ([0-9]+)$/\3/p' | paste -sd+ | sed 's/^$/0/')
  bad=$((bad))
}

# close_tally: the failures once more, and the closing line. Says whether all is well.
close_tally() {
  local failure
  if ((${#FAILURES[@]})); then
    headline "Failed"
    for failure in "${FAILURES[@]}"; do say "- $failure"; done
  fi
  printf '\n%d passed, %d failed' "$PASSED" "$FAILED"
  if ((SKIPPED)); then printf ', %d skipped' "$SKIPPED"; fi
  printf '\n'
  ((FAILED == 0))
}
