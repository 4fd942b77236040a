// An unfinished form, kept in this browser until it is sent: one for each event, and beside it one that
// gave way to another try of an earlier submission.
//
// The contact is not part of it. It is nobody else's business, and a browser may be shared: it stays
// with the tab (session storage), which is enough for a reload, and goes when the tab does.
import type { EventDetail } from "../api/types";
import { type Form, fitted, isEmpty } from "./form";

export interface Draft {
  form: Form;
  /** The submission that the form was filled from, if it was. */
  from: string | null;
  /** The key under which this very content was sent without an answer, if it was. */
  key: string | null;
  /** When it was written, in milliseconds. */
  at: number;
}

/** The one that is filled in, and the one that lies beside it. */
export type Slot = "now" | "beside";

const DRAFT: Record<Slot, string> = { now: "portcall.draft.", beside: "portcall.draft-beside." };
const CONTACT: Record<Slot, string> = {
  now: "portcall.contact.",
  beside: "portcall.contact-beside.",
};
/** What has lain for so long is not taken up again. */
const OLDEST_MS = 30 * 86_400_000;

export function readDraft(event: EventDetail, now = Date.now(), slot: Slot = "now"): Draft | null {
  try {
    const stored = localStorage.getItem(DRAFT[slot] + event.slug);
    if (stored === null) return null;
    const contact = sessionStorage.getItem(CONTACT[slot] + event.slug) ?? "";
    const draft = draftOf(JSON.parse(stored), event, contact);
    return draft !== null && now - draft.at < OLDEST_MS ? draft : null;
  } catch {
    return null;
  }
}

export function writeDraft(slug: string, draft: Draft, slot: Slot = "now"): void {
  try {
    if (isEmpty(draft.form)) {
      dropDraft(slug, slot);
      return;
    }
    const { contact, ...form } = draft.form;
    localStorage.setItem(DRAFT[slot] + slug, JSON.stringify({ ...draft, form }));
    sessionStorage.setItem(CONTACT[slot] + slug, contact);
  } catch {
    // Storage is full or forbidden: the form itself is still there.
  }
}

export function dropDraft(slug: string, slot: Slot = "now"): void {
  try {
    localStorage.removeItem(DRAFT[slot] + slug);
    sessionStorage.removeItem(CONTACT[slot] + slug);
  } catch {
    // Nothing was kept, then.
  }
}

/** What was stored, as far as it is a form of this event as it is now. */
export function draftOf(stored: unknown, event: EventDetail, contact: string): Draft | null {
  if (!isRecord(stored) || !isRecord(stored.form) || typeof stored.at !== "number") return null;
  const { form } = stored;
  const place = isRecord(form.place) ? form.place : {};
  const spot = isRecord(place.spot) ? place.spot : {};
  const { lat, lng } = spot;
  const answers = isRecord(form.answers) ? form.answers : {};
  const known = typeof lat === "number" && typeof lng === "number" ? { lat, lng } : null;
  const read: Form = {
    name: text(form.name),
    handle: text(form.handle),
    contact,
    place: { label: text(place.label), spot: known },
    images: Array.isArray(form.images) ? form.images.map(text) : [],
    answers: Object.fromEntries(
      Object.entries(answers).map(([name, value]) => [name, text(value)]),
    ),
  };
  if (isEmpty(read)) return null;
  return {
    form: fitted(event, read),
    from: typeof stored.from === "string" ? stored.from : null,
    key: typeof stored.key === "string" ? stored.key : null,
    at: stored.at,
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
