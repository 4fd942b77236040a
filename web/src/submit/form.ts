// The submission form without its looks: what it holds, what is missing, and the body it becomes.
import type { FieldError } from "../api/problem";
import type { EventDetail, NewSubmission, Place, Submission } from "../api/types";

export interface Form {
  name: string;
  handle: string;
  /** `spot` is set while the label is the one that was picked from the suggestions. */
  place: { label: string; spot: { lat: number; lng: number } | null };
  images: string[];
  answers: Record<string, string>;
}

export function emptyForm(event: EventDetail): Form {
  return {
    name: "",
    handle: "",
    place: { label: "", spot: null },
    images: Array.from({ length: Math.max(1, event.images.min) }, () => ""),
    answers: Object.fromEntries(event.answers.map(({ name }) => [name, ""])),
  };
}

/** The form of an earlier submission, for another try. */
export function formFrom(event: EventDetail, earlier: Submission): Form {
  const blank = emptyForm(event);
  const { label, lat, lng } = earlier.place;
  const images = earlier.images.slice(0, event.images.max).map(({ ref }) => ref);
  while (images.length < blank.images.length) images.push("");
  return {
    name: earlier.participant.name,
    handle: earlier.participant.handle ?? "",
    place: { label, spot: lat === null || lng === null ? null : { lat, lng } },
    images,
    answers: Object.fromEntries(
      Object.keys(blank.answers).map((name) => [name, earlier.answers[name] ?? ""]),
    ),
  };
}

export function withPlace(form: Form, place: Place): Form {
  return { ...form, place: { label: place.label, spot: { lat: place.lat, lng: place.lng } } };
}

/** The body of the POST: trimmed, and without what was left empty. */
export function toBody(form: Form): NewSubmission {
  const handle = form.handle.trim();
  const label = form.place.label.trim();
  return {
    participant: { name: form.name.trim(), ...(handle === "" ? {} : { handle }) },
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
  ];
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
  for (const { name, label, one_of } of event.answers) {
    const detail = one_of === null ? `Please fill in “${label ?? name}”.` : "Please choose one.";
    want(`/answers/${name}`, form.answers[name], detail);
  }
  return errors;
}

/** The same submission as one line for a terminal. */
export function curlLine(origin: string, path: string, body: NewSubmission): string {
  const quoted = JSON.stringify(body).replaceAll("'", "'\\''");
  return `curl -i ${origin}${path} \\\n  -H 'content-type: application/json' \\\n  -d '${quoted}'`;
}
