# shellcheck shell=bash
# shellcheck disable=SC2034  # LEFT_OUT is read by suites.sh
# Tests of the suites store, edge, system and lab that take twenty seconds or more, most of it waiting.
# A third of them runs always, which the seed chooses; all of them run with --full, and any that is named.

LONG_TESTS=(
  # store
  k29_one_is_claimed_once_though_the_server_is_late
  # edge
  a_broken_pair_is_refused_and_a_good_one_taken_without_a_connection_lost
  a_file_that_breaks_off_does_not_look_complete
  a_renewal_under_load_fails_no_handshake
  an_answer_that_nobody_reads_ends_the_connection
  an_api_is_replaced_and_nobody_notices
  an_api_refuses_what_can_be_read_in_two_ways
  an_order_outlives_who_made_it
  an_orderer_that_is_killed_is_replaced
  an_ordinary_client_is_served_within_what_is_announced
  nothing_is_waited_for_for_long
  readers_that_never_read_are_let_go_of
  reading_goes_on_from_memory_while_the_majority_is_gone
  two_thousand_streams_end_with_the_right_state
  who_does_nothing_is_not_kept
  # system
  a_canary_that_somebody_wants_is_run_at_once_and_told
  a_command_runs_once_inside_the_stack
  a_drained_node_ends_what_it_grades_and_takes_nothing_until_it_comes_back
  a_node_whose_strict_containers_cannot_listen_does_not_pass
  a_quarantine_that_is_away_is_the_platforms_fault
  a_queue_wants_more_nodes_and_the_hook_is_called_until_it_goes_well
  a_whole_event_is_run_within_the_access_of_each_user
  a_worker_that_wakes_too_late_changes_nothing
  an_image_that_should_pass_and_fails_is_said
  an_interrupted_rehearsal_leaves_nothing
  its_report_is_what_the_database_has
  killed_at_each_step_another_worker_finishes
  no_acknowledged_submission_is_lost_with_the_primary
  nothing_is_taken_before_it_can_be_answered
  slots_follow_an_order_while_submissions_run
  ten_are_graded_anew_looked_at_applied_and_undone
  what_is_graded_well_alone_after_two_workers_died_is_cleared
  what_takes_a_third_worker_down_is_refused_and_the_others_pass
  what_waited_before_the_backup_is_graded_after_the_restore
  while_the_store_is_silent_requests_are_held_and_then_told
  without_a_wall_its_rows_fail
  without_its_database_a_worker_waits_for_it
  without_its_docker_endpoint_a_worker_waits_for_it
  # lab
  a_grader_is_reached_over_an_overlay_and_reaches_nothing_else
  a_grader_node_without_its_settings_fails_the_canary
  a_lab_ends_with_the_process_that_wanted_it
  a_stranger_is_graded_on_a_grader_probed_from_a_manager_and_reaches_nobody
  a_way_that_loses_is_noticed
  an_engine_that_is_restarted_takes_its_tasks_along_and_nobody_is_blamed
  what_runs_as_it_should_on_one_swarm
)

# LEFT_OUT: the filter of those that the seed leaves out; set by choose_long_tests.
LEFT_OUT="none()"

# choose_long_tests: leaves two thirds of them out and says so, unless all are wanted or names are given.
choose_long_tests() {
  local left_out
  every_long_test_exists || return
  if [[ $PROFILE == full ]] || ((${#PASS_ON[@]})); then return; fi
  mapfile -t left_out < <(by_seed "$PORTCALL_TEST_SEED" "${LONG_TESTS[@]}" | tail -n +$((${#LONG_TESTS[@]} / 3 + 1)))
  LEFT_OUT="test(/(^|::)($(IFS='|'; printf '%s' "${left_out[*]}"))\$/)"
  say "Of ${#LONG_TESTS[@]} long tests, ${#left_out[@]} are left to other runs (PORTCALL_TEST_SEED); --full runs them all"
}

# by_seed SEED NAME…: the names in an order that the seed alone determines.
by_seed() {
  local name seed=$1
  shift
  for name in "$@"; do printf '%s %s\n' "$(sha256sum <<<"$seed $name" | cut -c1-16)" "$name"; done | sort | cut -d' ' -f2
}

# every_long_test_exists: a test that was renamed would run always, and nobody would notice.
every_long_test_exists() {
  local name gone=()
  for name in "${LONG_TESTS[@]}"; do
    grep -rqE --include='*.rs' "fn $name\(" "$ROOT/tests/tests" "$ROOT/worker/tests" "$ROOT/shared/tests" || gone+=("$name")
  done
  ((${#gone[@]} == 0)) || { complain "there is no test ${gone[*]} any more (infra/lib/long.sh)"; return "$INTERNAL"; }
}
