# shellcheck shell=bash
# shellcheck disable=SC2034  # read by the scripts that source this
# Building: the programs, the static ones that run inside containers, and the page.

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

# install_page_libraries: npm ci, when the lock file changed since.
install_page_libraries() {
  local mark=$ROOT/web/node_modules/.installed-from
  cmp -s "$ROOT/web/package-lock.json" "$mark" && return
  quietly "installing the page's libraries (npm ci)" npm --prefix "$ROOT/web" ci || return "$ASKED_FAILED"
  cp "$ROOT/web/package-lock.json" "$mark"
}
