// The form: built from the event's rules, it sends a submission and leads to its status.
import "./styles/submit.css";
import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import { getEvent, getSubmission, paths } from "./api/client";
import { errorsByField } from "./api/problem";
import type { EventDetail } from "./api/types";
import { CopyBlock } from "./parts/Copy";
import { Credits } from "./parts/Credits";
import { Header } from "./parts/Header";
import { Failed, Loading } from "./parts/Notice";
import { useResource } from "./parts/resource";
import { Time } from "./parts/time";
import { AnswerInput } from "./submit/AnswerInput";
import { ErrorSummary } from "./submit/ErrorSummary";
import { described, Field } from "./submit/Field";
import {
  curlLine,
  emptyForm,
  type Form,
  fieldNames,
  formFrom,
  toBody,
  withPlace,
} from "./submit/form";
import { ImageInputs } from "./submit/ImageInputs";
import { PlaceInput } from "./submit/PlaceInput";
import { Rules } from "./submit/Rules";
import { useSend } from "./submit/useSend";

interface Start {
  event: EventDetail;
  form: Form;
}

/** The event's rules, and the form to begin with: empty, or that of an earlier submission. */
async function prepare(slug: string, from: string | null, signal: AbortSignal): Promise<Start> {
  const [event, earlier] = await Promise.all([
    getEvent(slug, signal),
    from === null ? null : getSubmission(from, null, signal).catch(() => null),
  ]);
  const same = earlier !== null && earlier.submission.event === event.slug;
  return { event, form: same ? formFrom(event, earlier.submission) : emptyForm(event) };
}

export function SubmitView({ slug }: { slug: string }): VNode {
  const [from] = useState(() => new URLSearchParams(location.search).get("from"));
  const [start, retry] = useResource(slug, (signal) => prepare(slug, from, signal));
  const event = start.state === "ready" ? start.value.event : null;
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
        {start.state === "loading" && <Loading what="form" />}
        {start.state === "failed" && <Failed what="event" error={start.error} onRetry={retry} />}
        {start.state === "ready" && <SubmitForm {...start.value} />}
      </main>
    </>
  );
}

function SubmitForm({ event, form: begin }: Start): VNode {
  const [form, setForm] = useState(begin);
  const { send, sending, refusal, changed } = useSend(event, form);
  const edit = (change: Partial<Form>): void => {
    changed();
    setForm((old) => ({ ...old, ...change }));
  };
  const fields = fieldNames(event, form);
  const errors = errorsByField(refusal?.problem.errors ?? [], fields);
  return (
    <div class="columns">
      <div>
        <h1>Submit to {event.title}</h1>
        <p class="lead">Name your images. Within seconds you know whether they pass, and why.</p>
        {!event.open && <Closed event={event} />}
        {refusal !== null && <ErrorSummary {...refusal} fields={fields} />}
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
          <button
            type="submit"
            class="button primary large"
            data-testid="submit-button"
            disabled={sending || !event.open}
          >
            {sending ? "Checking the images …" : "Submit"}
          </button>
        </form>
        <details class="terminal">
          <summary>The same from a terminal</summary>
          <CopyBlock
            label="The curl line for this submission"
            testid="curl"
            text={curlLine(location.origin, paths.submissions(event.slug), toBody(form))}
          />
        </details>
        <Credits />
      </div>
      <Rules event={event} />
    </div>
  );
}

interface AskProps {
  form: Form;
  errors: Map<string, string>;
  edit: (change: Partial<Form>) => void;
}

/** Who, where, which images, and what the event wants to know. */
function Questions({ event, form, errors, edit }: AskProps & { event: EventDetail }): VNode {
  return (
    <>
      <Who form={form} errors={errors} edit={edit} />
      <PlaceInput
        place={form.place}
        error={errors.get("place.label")}
        onText={(label) => edit({ place: { label, spot: null } })}
        onPick={(place) => edit(withPlace(form, place))}
      />
      <ImageInputs
        rules={event.images}
        images={form.images}
        errors={errors}
        onChange={(images) => edit({ images })}
      />
      {event.answers.map((field) => (
        <AnswerInput
          key={field.name}
          field={field}
          value={form.answers[field.name] ?? ""}
          error={errors.get(`answers.${field.name}`)}
          onChange={(value) => edit({ answers: { ...form.answers, [field.name]: value } })}
        />
      ))}
    </>
  );
}

function Who({ form, errors, edit }: AskProps): VNode {
  const name = errors.get("participant.name");
  const handle = errors.get("participant.handle");
  return (
    <div class="pair">
      <Field name="participant.name" label="Your name" error={name}>
        <input
          {...described("participant.name", name)}
          type="text"
          autocomplete="name"
          value={form.name}
          onInput={(event) => edit({ name: event.currentTarget.value })}
        />
      </Field>
      <Field name="participant.handle" label="Handle" optional="optional" error={handle}>
        <input
          {...described("participant.handle", handle)}
          type="text"
          autocomplete="nickname"
          autocapitalize="none"
          value={form.handle}
          placeholder="@you"
          onInput={(event) => edit({ handle: event.currentTarget.value })}
        />
      </Field>
    </div>
  );
}

function Closed({ event }: { event: EventDetail }): VNode {
  const later = event.opens !== null && Date.parse(event.opens) > Date.now();
  return (
    <p class="strip" role="status">
      {later && event.opens !== null ? (
        <>
          This event opens on <Time at={event.opens} kind="clock" />.
        </>
      ) : (
        "This event is closed; nothing can be submitted any more."
      )}
    </p>
  );
}
