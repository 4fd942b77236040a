// A submission, from the queue to its verdict, as it happens.
import "./styles/evidence.css";
import "./styles/status.css";
import type { VNode } from "preact";
import { useEffect } from "preact/hooks";
import { isFinal, type Submission } from "./api/types";
import { CopyBlock } from "./parts/Copy";
import { Header } from "./parts/Header";
import { Failed, Loading, OfflineStrip } from "./parts/Notice";
import { Time } from "./parts/time";
import { EarlierAttempts } from "./status/Attempts";
import { Evidence } from "./status/Evidence";
import { Timeline } from "./status/Timeline";
import { useSubmission } from "./status/useSubmission";
import { Verdict } from "./status/Verdict";
import { megabytes, queueSentence, STATE_WORDS, sentence, shownAttempt } from "./status/words";
import { keptSecret } from "./submit/keep";

export function StatusView({ id }: { id: string }): VNode {
  const { submission, error, live, stale, retry } = useSubmission(id);
  useEffect(() => {
    const words = submission === null ? "Submission" : STATE_WORDS[submission.state];
    const who = submission === null ? "" : ` · ${submission.participant.name}`;
    document.title = `${words}${who} · Portcall`;
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
      {submission !== null && stale && (
        <OfflineStrip text="No connection. This page goes on by itself as soon as there is one." />
      )}
      <main class="page narrow" id="main" tabIndex={-1} data-live={live}>
        {submission !== null ? (
          <Status submission={submission} />
        ) : error !== null ? (
          <Failed what="submission" error={error} onRetry={retry} />
        ) : (
          <Loading what="submission" />
        )}
      </main>
    </>
  );
}

function Status({ submission }: { submission: Submission }): VNode {
  const { state, participant, place } = submission;
  const attempt = shownAttempt(submission);
  const earlier = submission.attempts.filter((other) => other.n !== attempt?.n);
  return (
    <>
      <div class="status-head">
        <div>
          <h1 dir="auto">
            {participant.name}
            {participant.handle !== null && <span class="quiet"> {participant.handle}</span>}
          </h1>
          <p class="quiet">
            <span dir="auto">{place.label}</span>, submitted <Time at={submission.created_at} />
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
      <Verdict submission={submission} />
      {!isFinal(state) && <Waiting submission={submission} />}
      <section aria-labelledby="steps-title">
        <h2 id="steps-title">Steps</h2>
        <Timeline submission={submission} />
      </section>
      {attempt?.evidence != null && (
        <Evidence
          evidence={attempt.evidence}
          images={submission.images.length}
          logs={attempt.outcome === "passed" ? "not kept" : "kept"}
        />
      )}
      <EarlierAttempts attempts={earlier} />
      <Sent submission={submission} />
    </>
  );
}

/** Everything that one wants to know while there is no verdict. */
function Waiting({ submission }: { submission: Submission }): VNode {
  const { queue, delayed, deadline, state } = submission;
  return (
    <div class="waiting">
      {delayed !== null && (
        <p class="strip" data-testid="delayed">
          Delayed, next try at <Time at={delayed.next_try} kind="exact" />:{" "}
          {sentence(delayed.detail)} Nothing is counted against you.
        </p>
      )}
      {state === "queued" && queue !== null && <p data-testid="queue">{queueSentence(queue)}</p>}
      {deadline !== null && (
        <p class="quiet" data-testid="deadline">
          {state === "grading" ? (
            <>
              This attempt ends by <Time at={deadline} kind="clock" />. Should it get stuck, another
              one follows.
            </>
          ) : (
            <>
              Should it not be graded by <Time at={deadline} kind="clock" />, it ends undecided, and
              that is not your fault.
            </>
          )}
        </p>
      )}
    </div>
  );
}

/** What was sent, and the secret that goes with it. */
function Sent({ submission }: { submission: Submission }): VNode {
  const secret = keptSecret(submission.id);
  return (
    <section aria-labelledby="sent-title">
      <h2 id="sent-title">What was sent</h2>
      <ul class="images">
        {submission.images.map((image) => (
          <li key={image.ref}>
            <code class="image-ref">{image.ref}</code>
            {image.alias !== null && <span class="mark">{image.alias}</span>}
            <span class="quiet">
              {[image.platform, image.size === null ? null : megabytes(image.size)]
                .filter((part) => part !== null)
                .join(", ")}
            </span>
            {image.digest !== null && <code class="digest quiet">{image.digest}</code>}
          </li>
        ))}
      </ul>
      {Object.keys(submission.answers).length > 0 && (
        <dl class="facts">
          {Object.entries(submission.answers).map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd dir="auto">{value}</dd>
            </div>
          ))}
        </dl>
      )}
      {secret !== null && (
        <details class="terminal">
          <summary>Your secret</summary>
          <p class="quiet">
            It withdraws this submission. Only this browser keeps it; copy it if you need it
            elsewhere.
          </p>
          <CopyBlock label="Secret" text={secret} />
        </details>
      )}
    </section>
  );
}
