// Sending the form: once however often it is clicked, and what the server said if it said no.
import { useRef, useState } from "preact/hooks";
import { postSubmission } from "../api/client";
import { type FieldError, type Problem, ProblemError } from "../api/problem";
import type { Accepted, EventDetail } from "../api/types";
import { navigate } from "../router";
import { type Form, missing, toBody } from "./form";
import { tellFresh } from "./keep";
import type { Drafting } from "./useDraft";

export interface Refusal {
  problem: Problem;
  /** When it may be sent again, in milliseconds; null for at once. */
  readyAt: number | null;
  /** The form that was refused: what was changed since may be right. */
  form: Form;
}

/** What became of the form when it was sent, unless it was taken in. */
export type Reply =
  | { kind: "none" }
  | { kind: "refused"; refusal: Refusal }
  | { kind: "earlier"; earlier: Accepted };

export interface Sending {
  send: (same?: "show" | "again") => Promise<void>;
  sending: boolean;
  reply: Reply;
  /** Forgets what was said. */
  clear: () => void;
}

/** `onRules` is called where the answer may mean that the event is not what it was. */
export function useSend(event: EventDetail, draft: Drafting, onRules: () => void): Sending {
  const [reply, setReply] = useState<Reply>({ kind: "none" });
  const [sending, setSending] = useState(false);
  const busy = useRef(false);
  const { form, key, finish } = draft;

  const accept = (accepted: Accepted): void => {
    finish();
    if (accepted.note !== undefined) {
      setReply({ kind: "earlier", earlier: accepted });
      return;
    }
    tellFresh(accepted.id, accepted.secret);
    navigate(`/submissions/${accepted.id}`);
  };
  const refuse = (refusal: Refusal): void => {
    setReply({ kind: "refused", refusal });
    if ([409, 422].includes(refusal.problem.status)) onRules();
  };
  const send = async (same: "show" | "again" = "show"): Promise<void> => {
    if (busy.current) return;
    const lacks = missing(event, form);
    if (lacks.length > 0) {
      refuse(incomplete(lacks, form));
      return;
    }
    busy.current = true;
    setSending(true);
    try {
      accept(await posted(event.slug, form, key, same));
    } catch (error) {
      refuse(refusalOf(error, form, Date.now()));
    } finally {
      busy.current = false;
      setSending(false);
    }
  };
  return { send, sending, reply, clear: () => setReply({ kind: "none" }) };
}

/** A key that came before with something else (from another tab, say) is no use: it gets a new one. */
async function posted(
  slug: string,
  form: Form,
  key: Drafting["key"],
  same: "show" | "again",
): Promise<Accepted> {
  const body = toBody(form);
  try {
    return await postSubmission(slug, body, key.take(), same);
  } catch (error) {
    const reused = error instanceof ProblemError && error.problem.code === "idempotency_key_reused";
    if (!reused) throw error;
    return postSubmission(slug, body, key.renew(), same);
  }
}

function incomplete(errors: FieldError[], form: Form): Refusal {
  const { length } = errors;
  const title = length === 1 ? "One thing is missing" : `${length} things are missing`;
  const problem = { title, status: 0, code: "missing", detail: null, errors };
  return { problem, readyAt: null, form };
}

const KEPT = "Nothing was taken in. What you typed is kept in this browser.";

export function refusalOf(error: unknown, form: Form, now: number): Refusal {
  if (error instanceof ProblemError) {
    const { problem, retryAfterS } = error;
    const readyAt = retryAfterS === null ? null : now + retryAfterS * 1000;
    // When it closed, or opens, the page says in the viewer's own time.
    const detail = problem.status === 409 ? KEPT : problem.detail;
    return { problem: { ...problem, title: titleOf(problem), detail }, readyAt, form };
  }
  const detail =
    "There is no connection to the server. What you typed is kept; send it again as soon as you " +
    "are online. It is taken in once, however often it is sent.";
  const problem = { title: "Not sent", status: 0, code: "offline", detail, errors: [] };
  return { problem, readyAt: null, form };
}

/** What a status means for somebody who fills in a form. */
function titleOf({ status, errors, title }: Problem): string {
  if (status === 409) return "This event takes no submissions now";
  if (status === 422 || status === 400) {
    return errors.length > 1 ? `${errors.length} things have to be mended` : "Not taken in yet";
  }
  if (status === 429) return "Too many for the moment";
  if (status >= 500) return "The server cannot take it in right now";
  return title;
}
