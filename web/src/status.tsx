// A submission, from the queue to its verdict, as it happens.
import "./styles/evidence.css";
import "./styles/status.css";
import type { VNode } from "preact";
import { useEffect } from "preact/hooks";
import { isFinal, type Submission } from "./api/types";
import type { LiveStatus } from "./live";
import { Header } from "./parts/Header";
import { AwayStrip, Failed, Loading, OfflineStrip } from "./parts/Notice";
import { Time } from "./parts/time";
import { OtherAttempts } from "./status/Attempts";
import { Evidence } from "./status/Evidence";
import { isErased } from "./status/erased";
import { FreshSecret } from "./status/FreshSecret";
import { Sent } from "./status/Sent";
import { TakeBack } from "./status/TakeBack";
import { Timeline } from "./status/Timeline";
import { useSubmission } from "./status/useSubmission";
import { Verdict } from "./status/Verdict";
import { Waiting } from "./status/Waiting";
import { STATE_WORDS, shownAttempt } from "./status/words";

export function StatusView({ id }: { id: string }): VNode {
  const { submission, error, live, stale, retry } = useSubmission(id);
  useEffect(() => {
    document.title = `${titleOf(submission)} · Portcall`;
  }, [submission]);
  const event =
    submission === null ? null : { slug: submission.event, title: submission.event_title };
  return (
    <>
      <Header event={event}>
        {event !== null && (
          <a class="button" href={`/events/${event.slug}`}>
            Map
          </a>
        )}
      </Header>
      {submission !== null && !stale && <AwayStrip as_of={submission.as_of} />}
      {submission !== null && stale && (
        <OfflineStrip text="No connection. This page goes on by itself as soon as there is one." />
      )}
      <main class="page narrow" id="main" tabIndex={-1} data-live={live}>
        {submission !== null ? (
          <Status submission={submission} live={live} onChanged={retry} />
        ) : error !== null ? (
          <Failed what="submission" error={error} onRetry={retry} />
        ) : (
          <Loading what="submission" />
        )}
      </main>
    </>
  );
}

function titleOf(submission: Submission | null): string {
  if (submission === null) return "Submission";
  const words = STATE_WORDS[submission.state];
  return isErased(submission) ? words : `${words} · ${submission.participant.name}`;
}

interface StatusProps {
  submission: Submission;
  live: LiveStatus;
  /** Something was done to it from here. */
  onChanged: () => void;
}

function Status({ submission, live, onChanged }: StatusProps): VNode {
  const { id, state } = submission;
  const erased = isErased(submission);
  const attempt = shownAttempt(submission);
  const others = submission.attempts.filter((other) => other.n !== attempt?.n);
  return (
    <>
      <Head submission={submission} />
      {!erased && <FreshSecret id={id} />}
      {erased && (
        <p class="strip" data-testid="erased">
          What was personal in this submission was erased, and it is on no map. How it ended, its
          times and the digests of its images stay.
        </p>
      )}
      <Verdict submission={submission} />
      {!isFinal(state) && <Waiting submission={submission} live={live} />}
      {(attempt !== null || !isFinal(state)) && (
        <section aria-labelledby="steps-title">
          <h2 id="steps-title">Steps</h2>
          <Timeline submission={submission} />
        </section>
      )}
      {attempt?.evidence != null && (
        <Evidence
          evidence={attempt.evidence}
          images={submission.images.length}
          logs={attempt.outcome === "passed" ? "not kept" : "kept"}
        />
      )}
      <OtherAttempts attempts={others} />
      <Sent submission={submission} />
      {!erased && <TakeBack key={id} submission={submission} onDone={onChanged} />}
    </>
  );
}

/** Who, where, when, and how it stands. */
function Head({ submission }: { submission: Submission }): VNode {
  const { state, participant, place, created_at } = submission;
  const erased = isErased(submission);
  return (
    <div class="status-head">
      <div>
        <h1 dir="auto">
          {erased ? "A submission" : participant.name}
          {participant.handle !== null && <span class="quiet"> {participant.handle}</span>}
        </h1>
        <p class="quiet">
          {erased ? (
            "Submitted "
          ) : (
            <>
              <span dir="auto">{place.label}</span>, submitted{" "}
            </>
          )}
          <Time at={created_at} />
        </p>
      </div>
      <p
        class={`state state-${state}`}
        data-testid="submission-state"
        data-state={state}
        data-current-step={submission.step ?? ""}
        aria-live="polite"
      >
        {STATE_WORDS[state]}
      </p>
    </div>
  );
}
