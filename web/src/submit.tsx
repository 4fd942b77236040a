// The form: built from the event's rules, it sends a submission and leads to its status.
import "./styles/submit.css";
import type { VNode } from "preact";
import { useCallback, useEffect, useState } from "preact/hooks";
import { getEvent, getSubmission, paths } from "./api/client";
import type { EventDetail } from "./api/types";
import { CopyBlock } from "./parts/Copy";
import { Credits } from "./parts/Credits";
import { Header } from "./parts/Header";
import { Failed, Loading } from "./parts/Notice";
import { useResource } from "./parts/resource";
import { Time, useNow } from "./parts/time";
import { Door } from "./submit/Door";
import type { Draft } from "./submit/draft";
import { Earlier } from "./submit/Earlier";
import { ErrorSummary, secondsUntil } from "./submit/ErrorSummary";
import { errorsOf } from "./submit/errors";
import { curlLine, fieldNames, formFrom, toBody } from "./submit/form";
import { Questions } from "./submit/Questions";
import { Rules } from "./submit/Rules";
import { type Begin, begin, useDraft } from "./submit/useDraft";
import { type Reply, useSend } from "./submit/useSend";

interface Start {
  event: EventDetail;
  start: Begin;
}

/** The event's rules, and the form to begin with: empty, a draft, or that of an earlier submission. */
async function prepare(slug: string, from: string | null, signal: AbortSignal): Promise<Start> {
  const [event, earlier] = await Promise.all([
    getEvent(slug, signal),
    from === null ? null : getSubmission(from, null, signal).catch(() => null),
  ]);
  const same = earlier !== null && earlier.submission.event === event.slug;
  return { event, start: begin(event, same ? formFrom(event, earlier.submission) : null, from) };
}

export function SubmitView({ slug }: { slug: string }): VNode {
  const [from] = useState(() => new URLSearchParams(location.search).get("from"));
  const [prepared, retry] = useResource(slug, (signal) => prepare(slug, from, signal));
  const event = prepared.state === "ready" ? prepared.value.event : null;
  useEffect(() => {
    document.title = event === null ? "Submit · Portcall" : `Submit to ${event.title} · Portcall`;
  }, [event]);
  return (
    <>
      <Header event={event}>
        <a class="button" href={`/events/${slug}`}>
          Map
        </a>
      </Header>
      <main class="page" id="main" tabIndex={-1}>
        {prepared.state === "loading" && <Loading what="form" />}
        {prepared.state === "failed" && (
          <Failed what="event" error={prepared.error} onRetry={retry} />
        )}
        {prepared.state === "ready" && <SubmitForm {...prepared.value} />}
      </main>
    </>
  );
}

function SubmitForm({ event: first, start }: Start): VNode {
  const [event, setEvent] = useState(first);
  const { slug } = event;
  // Rules and opening hours may change while somebody fills in the form.
  const reread = useCallback((): void => {
    getEvent(slug).then(setEvent, () => undefined);
  }, [slug]);
  const draft = useDraft(event, start);
  const { send, sending, reply, clear } = useSend(event, draft, reread);
  const { form, edit } = draft;
  const fields = fieldNames(event, form);
  const errors = errorsOf(reply.kind === "refused" ? reply.refusal : null, form, fields);
  const turn = (to: () => void): void => {
    to();
    clear();
    document.getElementById("main")?.focus();
  };
  return (
    <div class="columns">
      <div>
        <h1 dir="auto">Submit to {event.title}</h1>
        <p class="lead">Name your images. Within seconds you know whether they pass, and why.</p>
        <Door event={event} onOpen={reread} />
        {draft.restored !== null && (
          <Restored at={draft.restored} onDiscard={() => turn(draft.discard)} />
        )}
        {draft.beside !== null && <Beside other={draft.beside} onSwap={() => turn(draft.swap)} />}
        {reply.kind === "refused" && (
          <ErrorSummary event={event} refusal={reply.refusal} fields={fields} />
        )}
        {reply.kind === "earlier" && (
          <Earlier earlier={reply.earlier} sending={sending} onAgain={() => void send("again")} />
        )}
        <form
          class="form"
          noValidate
          data-testid="submit-form"
          onSubmit={(submitted) => {
            submitted.preventDefault();
            void send();
          }}
        >
          <Questions {...{ event, form, errors, edit }} />
          <SendButton open={event.open} sending={sending} reply={reply} />
        </form>
        <details class="terminal">
          <summary>The same from a terminal</summary>
          <CopyBlock
            label="The curl line for this submission"
            testid="curl"
            text={curlLine(location.origin, paths.submissions(slug), toBody(form))}
          />
        </details>
        <Credits />
      </div>
      <Rules event={event} />
    </div>
  );
}

/** That the form is not empty, whose words these are, and how to be rid of them. */
function Restored({ at, onDiscard }: { at: number; onDiscard: () => void }): VNode {
  return (
    <p class="restored" role="status" data-testid="draft-restored">
      <span>
        This is what you began <Time at={new Date(at).toISOString()} />. Only this browser has it.
      </span>
      <button type="button" class="button small" data-testid="draft-discard" onClick={onDiscard}>
        Discard it
      </button>
    </p>
  );
}

/** Another try does not throw away what somebody had begun. */
function Beside({ other, onSwap }: { other: Draft; onSwap: () => void }): VNode {
  const at = <Time at={new Date(other.at).toISOString()} />;
  return (
    <p class="restored" data-testid="draft-beside">
      <span>
        {other.from === null ? (
          <>You had begun another form {at}. It is kept.</>
        ) : (
          <>The form filled from an earlier submission is kept, too, as it was {at}.</>
        )}
      </span>
      <button type="button" class="button small" data-testid="draft-swap" onClick={onSwap}>
        Go on with that one
      </button>
    </p>
  );
}

interface SendProps {
  open: boolean;
  sending: boolean;
  reply: Reply;
}

/** Stays where the focus is, so while it must wait it says so and does nothing. */
function SendButton({ open, sending, reply }: SendProps): VNode {
  const until = reply.kind === "refused" ? reply.refusal.readyAt : null;
  useNow(until === null ? null : 250);
  const wait = until === null ? 0 : secondsUntil(until, Date.now());
  const still = sending || wait > 0;
  return (
    <button
      type="submit"
      class="button primary large"
      data-testid="submit-button"
      disabled={!open}
      aria-disabled={still}
      onClick={(clicked) => {
        if (still) clicked.preventDefault();
      }}
    >
      {sending ? "Checking the images …" : wait > 0 ? `Submit (in ${wait} s)` : "Submit"}
    </button>
  );
}
