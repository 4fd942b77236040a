# shellcheck shell=bash
# Portcall itself on this machine: api, worker, the event, and the sample submission.

SAMPLE=          # the sample image, as a participant names it
SUBMISSION=      # the address of the sample's submission document
API_KEEPER=()    # prefix under which the api runs, see kept.sh

# start_portcall: an api and a worker on the database and the engine in use.
start_portcall() {
  export PORTCALL_API_ADDR=${PORTCALL_API_ADDR:-127.0.0.1:$(chosen_port 8080 "the api")}
  export PORTCALL_API_OPS_ADDR=${PORTCALL_API_OPS_ADDR:-127.0.0.1:$(free_port 9080)}
  export PORTCALL_API_DRAIN_MS=${PORTCALL_API_DRAIN_MS:-0}   # nothing stands before it here
  export PORTCALL_WORKER_OPS_ADDR=${PORTCALL_WORKER_OPS_ADDR:-127.0.0.1:$(free_port 9081)}
  export PORTCALL_PUBLIC_URL=${PORTCALL_PUBLIC_URL:-http://$PORTCALL_API_ADDR}
  export PORTCALL_WEB_DIR=${PORTCALL_WEB_DIR:-$ROOT/web/dist}
  export PORTCALL_DOCKER_HOST=$DOCKER_HOST_URL
  export PORTCALL_PROBER_BIN=${PORTCALL_PROBER_BIN:-$STATIC_BIN/prober}
  export PORTCALL_CANARY_BIN=${PORTCALL_CANARY_BIN:-$STATIC_BIN/canary}
  export PORTCALL_WORKER_NAME=${PORTCALL_WORKER_NAME:-local-$$}

  start api "${API_KEEPER[@]}" "$BIN/portcall-api"
  await api 60 "it is ready" is_ready "$PORTCALL_API_OPS_ADDR" || return
  say "Api: $PORTCALL_PUBLIC_URL (health and metrics at $PORTCALL_API_OPS_ADDR)"
  start worker "$BIN/portcall-worker"
  await worker 60 "it is ready" is_ready "$PORTCALL_WORKER_OPS_ADDR" || return
  say "Worker: $PORTCALL_WORKER_NAME (health and metrics at $PORTCALL_WORKER_OPS_ADDR)"
}

is_ready() { "${INSIDE[@]}" curl -fsS --max-time 2 "http://$1/readyz"; }

ask() { "${INSIDE[@]}" curl -sS --max-time 10 "$@"; }

# after_worker: called by `stop`; what a worker could not remove itself, on whoever's engine.
after_worker() {
  remove_workloads "portcall.worker=${PORTCALL_WORKER_NAME:?}"
  if [[ $OWN_ENGINE == no && -n $SAMPLE ]]; then engine image rm --force "$SAMPLE" >/dev/null 2>&1; fi
}

# apply_event FILE: opens the event, with the local registry allowed.
apply_event() {
  "${INSIDE[@]}" "$BIN/portcall" event apply "$1" --allow-registry "$REGISTRY" >"$(log_of event)" 2>&1 || {
    complain "the event $1 could not be applied"
    show_end "$(log_of event)"
    return "$INTERNAL"
  }
  say "Event: $(basename "$1" .toml)"
}

# push_sample: builds the sample image and pushes it to the registry.
push_sample() {
  local context=$RUN/sample log
  log=$(log_of sample)
  SAMPLE=$REGISTRY/sample:1
  mkdir -p "$context"
  strip -o "$context/app" "$STATIC_BIN/app" 2>/dev/null || cp "$STATIC_BIN/app" "$context/app"
  if DOCKER_BUILDKIT=0 engine build --tag "$SAMPLE" --file "$ROOT/infra/sample/Dockerfile" "$context" >"$log" 2>&1 &&
    engine push "$SAMPLE" >>"$log" 2>&1; then
    say "Sample image: $SAMPLE is built and pushed"
  else
    complain "the sample image could not be built and pushed"
    show_end "$log"
    return "$INTERNAL"
  fi
}

sample_body() {
  jq -n --arg image "$SAMPLE" '{
    participant: {name: "Gordon"}, place: {label: "San Francisco, CA, USA"},
    images: [$image], answers: {vote: "Cats"}}'
}

# submit_sample: POSTs the sample as a participant would.
submit_sample() {
  # It is graded here and now, also where the database knows it from before.
  local url="http://$PORTCALL_API_ADDR/api/v1/events/birthday-3/submissions?again=true" answer status
  say "Submitting it:"
  say "  curl -X POST '$url' -H 'content-type: application/json' -d '$(sample_body | jq -c .)'"
  answer=$(ask -X POST "$url" -H 'content-type: application/json' -d "$(sample_body)" -w '\n%{http_code} %{time_total}') || return "$INTERNAL"
  status=${answer##*$'\n'}
  answer=${answer%$'\n'*}
  if [[ $status != 202* ]]; then
    complain "the submission was refused (${status% *}):"
    jq . <<<"$answer" >&2 2>/dev/null || printf '%s\n' "$answer" >&2
    return "$ASKED_FAILED"
  fi
  SUBMISSION=http://$PORTCALL_API_ADDR/api/v1/submissions/$(jq -r .id <<<"$answer")
  say "  answered ${status% *} in ${status#* } s: $SUBMISSION"
}

# follow_sample: shows each state of the submission until its verdict.
follow_sample() {
  local began=${EPOCHREALTIME/./} seen='' now document deadline=$((SECONDS + ${1:-120}))
  while ((SECONDS < deadline)); do
    document=$(ask "$SUBMISSION") || { sleep 0.5; continue; }
    now=$(jq -r '.state + (if .step then ", " + .step else "" end)
      + (if .delayed then " (delayed: " + .delayed.detail + ")" else "" end)' <<<"$document")
    if [[ $now != "$seen" ]]; then
      printf '  %5s s  %s\n' "$(seconds_since "$began")" "$now"
      seen=$now
    fi
    case $now in
      passed*) return ;;
      failed* | undetermined* | cancelled*) show_reason "$document"; return "$ASKED_FAILED" ;;
    esac
    sleep 0.1
  done
  complain "no verdict after ${1:-120} s; the submission is still: $seen"
  show_end "$(log_of worker)"
  return "$ASKED_FAILED"
}

seconds_since() {
  local tenths=$(((${EPOCHREALTIME/./} - $1) / 100000))
  printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

show_reason() {
  jq -r '"the sample did not pass: \(.verdict.reason.code // "no reason") (\(.verdict.reason.owner // "?")): \(.verdict.reason.message // "")",
    (.verdict.reason.hint // empty),
    (.attempts[-1].evidence.checks[]?.failures[]? | "  \(.path): expected \(.expected), got \(.got)")' <<<"$1" >&2
  show_end "$(log_of worker)"
}

# await_pin: the pin must be on the map soon after the verdict.
await_pin() {
  local began=${EPOCHREALTIME/./} pins deadline=$((SECONDS + 30))
  while ((SECONDS <= deadline)); do
    pins=$(ask "http://$PORTCALL_API_ADDR/api/v1/events/birthday-3/pins?bbox=-180,-85,180,85&zoom=2")
    if jq -e '.total >= 1 and ([.features[].properties.count] | add) >= 1' <<<"$pins" >/dev/null 2>&1; then
      say "  $(seconds_since "$began") s later the pin is on the map: $PORTCALL_PUBLIC_URL/"
      return
    fi
    sleep 0.1
  done
  complain "the sample passed, but its pin is not on the map after 30 s: $pins"
  return "$ASKED_FAILED"
}
