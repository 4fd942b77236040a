# shellcheck shell=bash
# shellcheck disable=SC2034  # good and bad are read by `counted`
# The suite `fuzz`: builds the targets of tests/fuzz into one program, with our own packages
# instrumented and the libraries as the other suites have them, and runs each for a while.

# Seconds for each target; PORTCALL_TEST_FUZZ_S says otherwise.
FUZZ_S=10 FULL_FUZZ_S=60

suite_fuzz() {
  local seconds=$FUZZ_S
  once need_fuzz_tools && once build_fuzz || return
  if [[ $LEVEL == full ]]; then seconds=$FULL_FUZZ_S; fi
  seconds=${PORTCALL_TEST_FUZZ_S:-$seconds}
  say "Each target runs $seconds s"
  mkdir -p "$RUN/fuzz"
  counted read_fuzz "fuzz targets" "$ROOT/tests/fuzz/run" "$TARGET/debug/examples/fuzz" "$seconds" "$PORTCALL_TEST_SEED" "$RUN/fuzz" \
    "${PASS_ON[@]}"
}

need_fuzz_tools() {
  want c++ g++ "compiles libFuzzer"
  need_build_tools
}

# build_fuzz: what runs for seconds only is compiled in half the time.
build_fuzz() {
  local instrument=$ROOT/tests/fuzz/instrument
  if [[ $LEVEL != full && -z ${PORTCALL_TEST_FUZZ_S:-} ]]; then instrument+=-quick; fi
  say "Building the fuzz targets ..."
  attend env RUSTC_WORKSPACE_WRAPPER="$instrument" cargo build --locked "${FEATURES[@]}" \
    --features portcall-fuzz/libfuzzer --example fuzz || return "$ASKED_FAILED"
}

# tests/fuzz/run: a line for each target that begins with "passed" or "FAILED".
read_fuzz() {
  good=$(grep -c '^passed ' "$1")
  bad=$(grep -c '^FAILED ' "$1")
}
