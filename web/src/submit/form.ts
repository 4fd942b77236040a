// The submission form without its looks: what it holds, what is missing, and the body it becomes.
import type { FieldError } from "../api/problem";
import type { AnswerField, EventDetail, NewSubmission, Place, Submission } from "../api/types";
import { isErased } from "../status/erased";
import { coordinatesIn, type Spot } from "./places";

export interface Form {
  name: string;
  handle: string;
  /** For the organisers alone; no answer of the api ever has it. */
  contact: string;
  /** `spot` is set while the label is what was picked from the suggestions, or is coordinates. */
  place: { label: string; spot: Spot | null };
  images: string[];
  answers: Record<string, string>;
}

/** What the fields are called that every event has. */
export const LABELS: Record<string, string> = {
  "participant.name": "Your name",
  "participant.handle": "Handle",
  "participant.contact": "Contact",
  "place.label": "Where are you?",
};

export function emptyForm(event: EventDetail): Form {
  return {
    name: "",
    handle: "",
    contact: "",
    place: { label: "", spot: null },
    images: Array.from({ length: Math.max(1, event.images.min) }, () => ""),
    answers: Object.fromEntries(event.answers.map(({ name }) => [name, ""])),
  };
}

/** The form of an earlier submission, for another try. */
export function formFrom(event: EventDetail, earlier: Submission): Form {
  if (isErased(earlier)) return emptyForm(event);
  const { label, lat, lng } = earlier.place;
  return fitted(event, {
    name: earlier.participant.name,
    handle: earlier.participant.handle ?? "",
    contact: "",
    place: { label, spot: lat === null || lng === null ? null : { lat, lng } },
    images: earlier.images.map(({ ref }) => ref),
    answers: earlier.answers,
  });
}

/** A form with as many images as the event takes and the questions that it asks now. */
export function fitted(event: EventDetail, form: Form): Form {
  const blank = emptyForm(event);
  const images = form.images.slice(0, event.images.max);
  while (images.length < blank.images.length) images.push("");
  const asked = Object.keys(blank.answers);
  const answers = Object.fromEntries(asked.map((name) => [name, form.answers[name] ?? ""]));
  return { ...form, images, answers };
}

/** Whether nothing was typed at all. */
export function isEmpty(form: Form): boolean {
  const typed = [form.name, form.handle, form.contact, form.place.label, ...form.images];
  return [...typed, ...Object.values(form.answers)].every((text) => text.trim() === "");
}

/** A place as it is typed: coordinates stand for themselves. */
export function typedPlace(label: string): Form["place"] {
  return { label, spot: coordinatesIn(label) };
}

export function withPlace(form: Form, place: Place): Form {
  return { ...form, place: { label: place.label, spot: { lat: place.lat, lng: place.lng } } };
}

/** The body of the POST: trimmed, and without what was left empty. */
export function toBody(form: Form): NewSubmission {
  const handle = form.handle.trim();
  const contact = form.contact.trim();
  const label = form.place.label.trim();
  return {
    participant: {
      name: form.name.trim(),
      ...(handle === "" ? {} : { handle }),
      ...(contact === "" ? {} : { contact }),
    },
    place: form.place.spot === null ? { label } : { label, ...form.place.spot },
    images: form.images.map((image) => image.trim()),
    answers: Object.fromEntries(
      Object.entries(form.answers)
        .map(([name, value]) => [name, value.trim()] as const)
        .filter(([, value]) => value !== ""),
    ),
  };
}

/** The names of all inputs, in their order on the page. */
export function fieldNames(event: EventDetail, form: Form): string[] {
  return [
    "participant.name",
    "participant.handle",
    "place.label",
    ...form.images.map((_, index) => `images.${index}`),
    ...event.answers.map(({ name }) => `answers.${name}`),
    "participant.contact",
  ];
}

/** A question as the form asks it: in the organiser's words, or by its name. */
export function questionOf({ name, label }: AnswerField): string {
  return label ?? name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");
}

/** What a field is called on the page. */
export function labelOf(event: EventDetail, field: string): string {
  const [group, name = ""] = field.split(".");
  if (group === "images") {
    const index = Number(name);
    const one = event.images.max > 1 ? `Image ${index + 1}` : "Image";
    return event.images.aliases[index] ?? one;
  }
  if (group === "answers") {
    const asked = event.answers.find((answer) => answer.name === name);
    return asked === undefined ? name : questionOf(asked);
  }
  return LABELS[field] ?? field;
}

/** What can be known to be missing without asking the server; everything else is the server's to say. */
export function missing(event: EventDetail, form: Form): FieldError[] {
  const errors: FieldError[] = [];
  const want = (pointer: string, value: string | undefined, detail: string): void => {
    if ((value ?? "").trim() === "") errors.push({ pointer, code: "missing", detail });
  };
  want("/participant/name", form.name, "Please give a name.");
  want("/place/label", form.place.label, "Please say where you are.");
  form.images.forEach((image, index) => {
    const spare = form.images.length > Math.max(1, event.images.min);
    want(`/images/${index}`, image, `Please name an image${spare ? ", or remove this line" : ""}.`);
  });
  for (const field of event.answers) {
    const { name, one_of } = field;
    const what = one_of === null ? "Please answer" : "Please choose";
    want(`/answers/${name}`, form.answers[name], `${what}: ${questionOf(field)}`);
  }
  return errors;
}

/** The same submission as one line for a terminal. */
export function curlLine(origin: string, path: string, body: NewSubmission): string {
  const quoted = JSON.stringify(body).replaceAll("'", "'\\''");
  return `curl -i ${origin}${path} \\\n  -H 'content-type: application/json' \\\n  -d '${quoted}'`;
}
