// The form as it is being filled: every change is kept in this browser, and taken up again later.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import type { EventDetail } from "../api/types";
import { type Draft, dropDraft, readDraft, writeDraft } from "./draft";
import { emptyForm, type Form, isEmpty } from "./form";
import { newKey } from "./keep";

/** The form to begin with, and where it comes from. */
export interface Begin {
  form: Form;
  from: string | null;
  key: string | null;
  /** When the draft was written that it is; null if it is none. */
  restored: number | null;
  /** What was begun before and gave way to it. */
  beside: Draft | null;
}

/** One key for one content: sending the same again is the same submission, an edit makes another. */
export interface Key {
  take: () => string;
  renew: () => string;
}

export interface Drafting {
  form: Form;
  edit: (change: Partial<Form>) => void;
  key: Key;
  restored: number | null;
  beside: Draft | null;
  /** Goes on with what lies beside the form, which takes its place. */
  swap: () => void;
  /** Begins anew, with nothing filled in. */
  discard: () => void;
  /** It was sent: nothing is left to keep. */
  finish: () => void;
}

const PAUSE_MS = 300;

/**
 * An earlier submission that the address names goes before a draft, unless the draft is of it. Nobody loses
 * what they began by that: it lies beside the form.
 */
export function begin(event: EventDetail, filled: Form | null, from: string | null): Begin {
  const drafts = [readDraft(event), readDraft(event, Date.now(), "beside")];
  const [first, second = null] = drafts.filter((draft) => draft !== null);
  if (filled === null) return first === undefined ? anew(event, from) : goOn(first, second);
  const own = drafts.find((draft) => draft?.from === from);
  if (own) return goOn(own, own === first ? second : (first ?? null));
  return { form: filled, from, key: null, restored: null, beside: first ?? null };
}

function anew(event: EventDetail, from: string | null): Begin {
  return { form: emptyForm(event), from, key: null, restored: null, beside: null };
}

function goOn({ form, from, key, at }: Draft, beside: Draft | null): Begin {
  return { form, from, key, restored: at, beside };
}

export function useDraft(event: EventDetail, start: Begin): Drafting {
  const [form, setForm] = useState(start.form);
  const [restored, setRestored] = useState(start.restored);
  const [beside, setBeside] = useState(start.beside);
  const other = useRef(start.beside);
  const now = useRef<Omit<Draft, "at">>({ form: start.form, from: start.from, key: start.key });
  const waiting = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const { slug } = event;

  const write = useCallback((): void => {
    clearTimeout(waiting.current);
    waiting.current = undefined;
    writeDraft(slug, { ...now.current, at: Date.now() });
    putBeside(slug, other.current);
  }, [slug]);
  // Whoever leaves within the pause loses nothing either.
  useEffect(() => {
    const leave = (): void => {
      if (waiting.current !== undefined) write();
    };
    globalThis.addEventListener("pagehide", leave);
    return () => {
      globalThis.removeEventListener("pagehide", leave);
      leave();
    };
  }, [write]);

  const edit = (change: Partial<Form>): void => {
    now.current = { ...now.current, form: { ...now.current.form, ...change }, key: null };
    setForm(now.current.form);
    clearTimeout(waiting.current);
    waiting.current = setTimeout(write, PAUSE_MS);
  };
  const renew = (): string => {
    const key = newKey();
    now.current = { ...now.current, key };
    // Before it is used: whoever reloads while waiting for the answer sends the same again.
    write();
    return key;
  };
  const finish = (): void => {
    clearTimeout(waiting.current);
    waiting.current = undefined;
    dropDraft(slug);
    putBeside(slug, other.current);
  };
  const swap = (): void => {
    const next = other.current;
    if (next === null) return;
    const given = { ...now.current, at: Date.now() };
    other.current = isEmpty(given.form) ? null : given;
    now.current = { form: next.form, from: next.from, key: next.key };
    setForm(next.form);
    setRestored(next.at);
    setBeside(other.current);
    write();
  };
  const discard = (): void => {
    finish();
    now.current = { form: emptyForm(event), from: null, key: null };
    setForm(now.current.form);
    setRestored(null);
  };
  const key = { take: () => now.current.key ?? renew(), renew };
  return { form, edit, key, restored, beside, swap, discard, finish };
}

function putBeside(slug: string, draft: Draft | null): void {
  if (draft === null) dropDraft(slug, "beside");
  else writeDraft(slug, draft, "beside");
}
