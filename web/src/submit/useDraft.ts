// The form as it is being filled: every change is kept in this browser, and taken up again later.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import type { EventDetail } from "../api/types";
import { type Draft, dropDraft, readDraft, writeDraft } from "./draft";
import { emptyForm, type Form } from "./form";
import { newKey } from "./keep";

/** The form to begin with, and where it comes from. */
export interface Begin {
  form: Form;
  from: string | null;
  key: string | null;
  /** When the draft was written that it is; null if it is none. */
  restored: number | null;
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
  /** Begins anew, with nothing filled in. */
  discard: () => void;
  /** It was sent: nothing is left to keep. */
  finish: () => void;
}

const PAUSE_MS = 300;

/** An earlier submission that the address names goes before a draft, unless the draft is of it. */
export function begin(event: EventDetail, filled: Form | null, from: string | null): Begin {
  const draft = readDraft(event);
  if (draft !== null && (filled === null || draft.from === from)) {
    return { form: draft.form, from: draft.from, key: draft.key, restored: draft.at };
  }
  return { form: filled ?? emptyForm(event), from, key: null, restored: null };
}

export function useDraft(event: EventDetail, start: Begin): Drafting {
  const [form, setForm] = useState(start.form);
  const [restored, setRestored] = useState(start.restored);
  const now = useRef<Omit<Draft, "at">>({ form: start.form, from: start.from, key: start.key });
  const waiting = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const { slug } = event;

  const write = useCallback((): void => {
    clearTimeout(waiting.current);
    waiting.current = undefined;
    writeDraft(slug, { ...now.current, at: Date.now() });
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
  };
  const discard = (): void => {
    finish();
    now.current = { form: emptyForm(event), from: null, key: null };
    setForm(now.current.form);
    setRestored(null);
  };
  const key = { take: () => now.current.key ?? renew(), renew };
  return { form, edit, key, restored, discard, finish };
}
