// Sending the form: once however often it is clicked, and what the server said if it said no.
import { useRef, useState } from "preact/hooks";
import { postSubmission } from "../api/client";
import { type FieldError, type Problem, ProblemError } from "../api/problem";
import type { EventDetail } from "../api/types";
import { navigate } from "../router";
import { type Form, missing, toBody } from "./form";
import { keepSecret, newKey } from "./keep";

export interface Refusal {
  problem: Problem;
  retryAfterS: number | null;
}

export interface Sending {
  send: () => Promise<void>;
  sending: boolean;
  refusal: Refusal | null;
  /** The content has changed: what is sent next is another submission. */
  changed: () => void;
}

export function useSend(event: EventDetail, form: Form): Sending {
  const [refusal, setRefusal] = useState<Refusal | null>(null);
  const [sending, setSending] = useState(false);
  // One key per content: sending the same again is one submission, an edit makes another.
  const key = useRef<string | null>(null);

  const send = async (): Promise<void> => {
    if (sending) return;
    const lacks = missing(event, form);
    if (lacks.length > 0) {
      setRefusal(incomplete(lacks));
      return;
    }
    setSending(true);
    key.current ??= newKey();
    try {
      const accepted = await postSubmission(event.slug, toBody(form), key.current);
      key.current = null;
      if (accepted.secret !== null) keepSecret(accepted.id, accepted.secret);
      navigate(`/submissions/${accepted.id}`);
    } catch (error) {
      setRefusal(refusalOf(error));
      setSending(false);
    }
  };
  const changed = (): void => {
    key.current = null;
  };
  return { send, sending, refusal, changed };
}

function incomplete(errors: FieldError[]): Refusal {
  const { length } = errors;
  const title = length === 1 ? "One thing is missing" : `${length} things are missing`;
  const problem = { title, status: 0, code: "missing", detail: null, errors };
  return { problem, retryAfterS: null };
}

function refusalOf(error: unknown): Refusal {
  if (error instanceof ProblemError) {
    return { problem: error.problem, retryAfterS: error.retryAfterS };
  }
  const detail = `${error instanceof Error ? error.message : String(error)} What you typed is kept.`;
  return {
    problem: { title: "Not sent", status: 0, code: "offline", detail, errors: [] },
    retryAfterS: null,
  };
}
