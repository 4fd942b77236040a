// The end of a submission: one sentence, the reason, the limit that was hit, and what to do next.
import type { VNode } from "preact";
import type { Reason, Submission } from "../api/types";
import { duration, Time } from "../parts/time";
import { Words } from "../parts/Words";
import { isErased } from "./erased";
import { limitName, OUTCOME_WORDS, regrading, sentence, verdictSentence } from "./words";

const OWNERS: Record<Reason["owner"], string> = {
  participant: "Something in the submission has to change.",
  registry: "The registry was the cause, not the submission.",
  platform: "The platform was the cause, not the submission.",
};

/** Close enough to tell the pin from its neighbours, far enough to see where it is. */
const LINK_ZOOM = 6.5;

export function mapLink({ event, place, id }: Submission): string {
  if (place.lat === null || place.lng === null) return `/events/${event}`;
  return `/events/${event}#${place.lng.toFixed(4)},${place.lat.toFixed(4)},${LINK_ZOOM}/${id}`;
}

export function Verdict({ submission }: { submission: Submission }): VNode | null {
  const { verdict } = submission;
  if (verdict === null) return null;
  const erased = isErased(submission);
  return (
    <section class={`verdict verdict-${verdict.outcome}`} aria-labelledby="verdict-title">
      <h2 id="verdict-title" data-testid="verdict" dir="auto">
        <Words text={verdictSentence(submission)} />
      </h2>
      {verdict.reason !== null && <ReasonText reason={verdict.reason} outcome={verdict.outcome} />}
      <p class="quiet">
        Decided <Time at={verdict.at} />
        {verdict.attempt > 0 && <> after {duration(verdict.grading_ms)} of grading</>}
        {verdict.attempt > 1 && <>, attempt {verdict.attempt}</>}.
      </p>
      <Regraded submission={submission} />
      {submission.hidden && !erased && (
        <p data-testid="hidden">The organisers keep its pin off the map.</p>
      )}
      <p class="actions">
        {submission.on_map && (
          <a class="button primary" href={mapLink(submission)} data-testid="map-link">
            See it on the map
          </a>
        )}
        <a
          class={verdict.outcome === "passed" ? "button" : "button primary"}
          href={`/events/${submission.event}/submit${erased ? "" : `?from=${submission.id}`}`}
          data-testid="try-again"
        >
          {verdict.outcome === "passed" ? "Submit another" : "Try again"}
        </a>
      </p>
    </section>
  );
}

/** What organisers did to the verdict is nothing to hide. */
function Regraded({ submission }: { submission: Submission }): VNode | null {
  const { kind, other } = regrading(submission);
  if (other === null || other.outcome === null) return null;
  const outcome = OUTCOME_WORDS[other.outcome];
  return (
    <p data-testid="regraded" data-kind={kind}>
      {kind === "anew"
        ? `The organisers had it graded again, and this verdict counts. Attempt ${other.n} before it ${outcome}.`
        : `The organisers had it graded again and took that back: attempt ${other.n}, which ${outcome}, does not count.`}
    </p>
  );
}

function ReasonText({ reason, outcome }: { reason: Reason; outcome: string }): VNode {
  const { code, owner, message, hint, limit } = reason;
  return (
    <div class="reason">
      {/* A failure's message is the headline already. */}
      {outcome !== "failed" && (
        <p>
          <Words text={sentence(message)} />
        </p>
      )}
      {hint !== null && (
        <p class="hint-line">
          <Words text={sentence(hint)} />
        </p>
      )}
      <dl class="facts">
        <div>
          <dt>Reason</dt>
          <dd>
            <code data-testid="reason-code">{code}</code>
          </dd>
        </div>
        {limit !== null && (
          <div>
            <dt>Limit</dt>
            <dd data-testid="limit">
              {limitName(limit.name, limit.unit)}: {limit.value}
              {limit.unit !== null && ` ${limit.unit}`}
            </dd>
          </div>
        )}
      </dl>
      <p class="quiet">{OWNERS[owner]}</p>
    </div>
  );
}
