// What the form asks: who, where, which images, and what the event wants to know.
import type { VNode } from "preact";
import type { EventDetail } from "../api/types";
import { AnswerInput } from "./AnswerInput";
import { described, Field } from "./Field";
import { type Form, typedPlace, withPlace } from "./form";
import { ImageInputs } from "./ImageInputs";
import { PlaceInput } from "./PlaceInput";

interface AskProps {
  form: Form;
  errors: Map<string, string>;
  edit: (change: Partial<Form>) => void;
}

const CONTACT_HINT = "For the organisers alone, should they have to reach you. It is never public.";

export function Questions({ event, form, errors, edit }: AskProps & { event: EventDetail }): VNode {
  return (
    <>
      <Who form={form} errors={errors} edit={edit} />
      <PlaceInput
        place={form.place}
        error={errors.get("place.label")}
        onText={(label) => edit({ place: typedPlace(label) })}
        onPick={(place) => edit(withPlace(form, place))}
      />
      <ImageInputs
        slug={event.slug}
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
      <Contact form={form} errors={errors} edit={edit} />
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
          dir="auto"
          autocomplete="name"
          maxLength={256}
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
          maxLength={256}
          value={form.handle}
          placeholder="@you"
          onInput={(event) => edit({ handle: event.currentTarget.value })}
        />
      </Field>
    </div>
  );
}

function Contact({ form, errors, edit }: AskProps): VNode {
  const name = "participant.contact";
  const error = errors.get(name);
  return (
    <Field name={name} label="Contact" hint={CONTACT_HINT} optional="optional" error={error}>
      <input
        {...described(name, error, CONTACT_HINT)}
        type="text"
        inputMode="email"
        autocomplete="email"
        autocapitalize="none"
        maxLength={800}
        value={form.contact}
        placeholder="you@example.org"
        onInput={(event) => edit({ contact: event.currentTarget.value })}
      />
    </Field>
  );
}
