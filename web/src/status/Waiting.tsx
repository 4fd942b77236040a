// Everything that one wants to know while there is no verdict: where it stands in the queue, how long that
// takes, what happens if it takes too long, and whether this page hears of it.
import type { VNode } from "preact";
import type { Submission } from "../api/types";
import type { LiveStatus } from "../live";
import { Time } from "../parts/time";
import { Words } from "../parts/Words";
import { queueSentence, sentence } from "./words";

const LIVE_WORDS: Record<LiveStatus, string> = {
  connecting: "Connecting …",
  open: "This page follows it live.",
  polling: "This page asks every few seconds.",
  closed: "",
};

interface Props {
  submission: Submission;
  live: LiveStatus;
}

export function Waiting({ submission, live }: Props): VNode {
  const { queue, delayed, deadline, state, updated_at } = submission;
  return (
    <section class="waiting" aria-label="While it waits">
      {delayed !== null && (
        <p class="delay" data-testid="delayed">
          <strong>
            Delayed, next try at <Time at={delayed.next_try} kind="exact" />.
          </strong>{" "}
          <Words text={sentence(delayed.detail)} /> Nothing is counted against you.{" "}
          <code>{delayed.reason}</code>
        </p>
      )}
      {state === "queued" && delayed === null && (
        <p class="turn" data-testid="queue" aria-live="polite">
          {queue === null ? "It is about to be graded." : queueSentence(queue)}
        </p>
      )}
      {state === "grading" && (
        <p class="turn">
          Being graded since{" "}
          <Time at={submission.attempts.at(-1)?.started_at ?? updated_at} kind="exact" />.
        </p>
      )}
      {deadline !== null && (
        <p class="quiet" data-testid="deadline">
          <DeadlineWords state={state} deadline={deadline} />
        </p>
      )}
      <p class="live-line quiet" data-live={live}>
        <span class="live-mark" aria-hidden="true" />
        {LIVE_WORDS[live]}
      </p>
    </section>
  );
}

function DeadlineWords({ state, deadline }: { state: string; deadline: string }): VNode {
  return state === "grading" ? (
    <>
      This attempt ends by <Time at={deadline} kind="exact" />. Should it get stuck, another one
      follows.
    </>
  ) : (
    <>
      Should it not be graded by <Time at={deadline} kind="clock" />, it ends undecided, and that is
      not your fault.
    </>
  );
}
