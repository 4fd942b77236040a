# shellcheck shell=bash
# shellcheck disable=SC2034  # read by the scripts that source this
# Building: the programs, the static ones that run inside containers, those of an earlier revision,
# and the page.

TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
BIN=${PORTCALL_BIN:-$TARGET/debug}                # portcall-api, portcall-worker, portcall
STATIC_BIN=${PORTCALL_STATIC_BIN:-}               # prober, canary, app; set by build_static
ALSO_STATIC=()                                    # further packages and programs
export -n PORTCALL_BIN PORTCALL_STATIC_BIN        # the programs refuse settings that they do not know

# build_programs: portcall-api, portcall-worker and portcall, unless PORTCALL_BIN has them.
build_programs() {
  [[ -n ${PORTCALL_BIN:-} ]] && return
  say "Building the programs (the first time takes a few minutes) ..."
  attend cargo build --locked --manifest-path "$ROOT/Cargo.toml" \
    -p portcall-api -p portcall-worker -p portcall-ctl || return "$ASKED_FAILED"
}

# build_static: the prober, the canary and the sample app ($ALSO_STATIC: and others), which run in
# images that hold nothing else. A named target keeps the macros of the compiler dynamic.
build_static() {
  [[ -n $STATIC_BIN ]] && return
  local triple
  triple=$(rustc -vV | sed -n 's/^host: //p')
  say "Building the programs that run inside containers ..."
  attend env RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --manifest-path "$ROOT/Cargo.toml" \
    --target "$triple" --no-default-features \
    -p portcall-app -p portcall-worker -p portcall-canary "${ALSO_STATIC[@]}" --bin app --bin prober --bin canary ||
    return "$ASKED_FAILED"
  STATIC_BIN=$TARGET/$triple/debug
}

# build_before: the programs of an earlier revision, which tests run beside these: sets and exports
# PORTCALL_TEST_BEFORE, unless it is given. The sources are there while it builds only; what was
# built stays in the target folder, for the next run of the same revision.
build_before() {
  [[ -n ${PORTCALL_TEST_BEFORE:-} ]] && return
  local revision=${PORTCALL_TEST_BEFORE_REV:-HEAD^} folder=$TARGET/before commit triple
  commit=$(git -C "$ROOT" rev-parse --verify "$revision^{commit}" 2>"$(log_of before)") || {
    complain "no earlier version can be built: the repository has no $revision (set PORTCALL_TEST_BEFORE_REV, or in a shallow clone: git fetch --unshallow)"
    show_end "$(log_of before)"
    return "$NOT_THERE"
  }
  triple=$(rustc -vV | sed -n 's/^host: //p')
  if [[ $commit != "$(cat "$folder/programs/of" 2>/dev/null)" ]]; then
    say "Building the programs of $revision, $(git -C "$ROOT" log -1 --format='%h (%cs: %s)' "$commit") (some minutes) ..."
    rm -rf -- "$folder/programs" "$RUN/before"
    mkdir -p "$folder/programs" "$RUN/before" || return "$INTERNAL"
    # As of now, because to cargo an old time is something that it has built already.
    git -C "$ROOT" archive "$commit" | tar --extract --touch --directory "$RUN/before" || return "$ASKED_FAILED"
    cargo_before -p portcall-api -p portcall-worker --bin portcall-api --bin portcall-worker &&
      RUSTFLAGS="-C target-feature=+crt-static" cargo_before --target "$triple" --no-default-features \
        -p portcall-worker -p portcall-canary --bin prober --bin canary || return "$ASKED_FAILED"
    rm -rf -- "$RUN/before"
    cp "$folder"/debug/portcall-{api,worker} "$folder/$triple"/debug/{prober,canary} "$folder/programs" &&
      printf '%s\n' "$commit" >"$folder/programs/of" || return "$INTERNAL"
  fi
  # Which settings it knows.
  git -C "$ROOT" show "$commit:infra/env.sample" >"$folder/programs/env.sample" || return "$INTERNAL"
  say "An earlier version: $revision, ${commit:0:12}"
  export PORTCALL_TEST_BEFORE=$folder/programs
}

# cargo_before ARGUMENT…: builds in the sources of that revision; nobody will debug what comes of it.
cargo_before() {
  attend env --chdir="$RUN/before" CARGO_TARGET_DIR="$TARGET/before" CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0 \
    cargo build --locked "$@"
}

# page_is_new: whether nothing of the page changed since it was built, or PORTCALL_WEB_DIR has it.
page_is_new() {
  [[ -n ${PORTCALL_WEB_DIR:-} ]] && return
  local built=$ROOT/web/dist/index.html
  [[ -f $built ]] && [[ -z $(find "$ROOT/web" \( -name node_modules -o -name dist -o -name '.*' \) -prune -o \
    -type f -newer "$built" -print -quit) ]]
}

# build_page: web/dist, when the sources of the page changed.
build_page() {
  page_is_new && return
  need_node && install_page_libraries || return
  say "Building the page ..."
  attend npm --prefix "$ROOT/web" run build || return "$ASKED_FAILED"
}

# page_libraries: npm takes it for a success when a program for this machine could not be fetched.
page_libraries() {
  local program
  quietly "installing the page's libraries (npm ci)" npm --prefix "$ROOT/web" ci || return
  for program in biome tsc vite; do
    quietly "looking whether $program runs" "$ROOT/web/node_modules/.bin/$program" --version || return
  done
}

# install_page_libraries: npm ci, when the lock file changed since.
install_page_libraries() {
  local mark=$ROOT/web/node_modules/.installed-from
  cmp -s "$ROOT/web/package-lock.json" "$mark" && return
  again page_libraries || return "$ASKED_FAILED"
  cp "$ROOT/web/package-lock.json" "$mark"
}
