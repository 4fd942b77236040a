// Asks before something is done, and takes the reason for the audit log.
import type { ComponentChildren, VNode } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { OfflineError, ProblemError } from "../api/problem";
import { described, Field } from "../submit/Field";

export const LONGEST_NOTE = 500;

export interface ConfirmProps {
  title: string;
  children?: ComponentChildren;
  /** The word on the button that does it. */
  word: string;
  danger?: "danger";
  note: "asked" | "none";
  /** Is told the note; what it throws is shown, and the question stays. */
  onConfirm: (note: string) => Promise<void>;
  onClose: () => void;
}

export function Confirm(props: ConfirmProps): VNode {
  const { title, children, word, danger, note: wanted, onConfirm, onClose } = props;
  const box = useRef<HTMLDialogElement>(null);
  const [note, setNote] = useState("");
  const [doing, setDoing] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  useLayoutEffect(() => {
    const dialog = box.current;
    // Modal: the page behind is out of reach, and the focus returns where it was.
    if (dialog !== null && !dialog.open) dialog.showModal();
    return () => {
      dialog?.close();
      // What asked may be gone by now, such as "Hide" after hiding: then the view takes the focus.
      setTimeout(() => {
        if (document.activeElement !== document.body) return;
        document.getElementById("main")?.focus({ preventScroll: true });
      });
    };
  }, []);
  const confirm = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (doing) return;
    setDoing(true);
    setError(null);
    try {
      await onConfirm(note);
      onClose();
    } catch (caught) {
      setError(caught instanceof Error ? caught : new Error(String(caught)));
      setDoing(false);
    }
  };
  const atNote = noteFault(error);
  return (
    <dialog
      ref={box}
      class="dialog"
      aria-labelledby="confirm-title"
      data-testid="confirm"
      onCancel={(event) => {
        event.preventDefault();
        if (!doing) onClose();
      }}
    >
      <form class="form dialog-form" onSubmit={confirm} noValidate>
        <h2 id="confirm-title">{title}</h2>
        {children !== undefined && <div class="dialog-text">{children}</div>}
        {wanted === "asked" && <Note note={note} fault={atNote} onNote={setNote} />}
        {error !== null && atNote === undefined && (
          <p class="not-done" role="alert" data-testid="confirm-problem">
            {error instanceof OfflineError
              ? "No connection: whether it was done is not known. It is safe to try again."
              : error.message}
          </p>
        )}
        <div class="dialog-buttons">
          <button type="button" class="button" disabled={doing} onClick={onClose}>
            Back
          </button>
          <button
            type="submit"
            class={danger === undefined ? "button primary" : "button primary grave"}
            data-testid="act-confirm"
            disabled={doing}
          >
            {doing ? "One moment …" : word}
          </button>
        </div>
      </form>
    </dialog>
  );
}

/** What the API says about the note; anything else it says stands below. */
export function noteFault(error: Error | null): string | undefined {
  if (!(error instanceof ProblemError)) return undefined;
  return error.problem.errors.find((one) => one.pointer === "/note")?.detail;
}

interface NoteProps {
  note: string;
  fault: string | undefined;
  onNote: (note: string) => void;
}

function Note({ note, fault, onNote }: NoteProps): VNode {
  const hint = "For the audit log, so that others know why.";
  return (
    <Field name="note" label="Reason" hint={hint} error={fault} optional="optional">
      <textarea
        {...described("note", fault, hint)}
        rows={3}
        maxLength={LONGEST_NOTE}
        dir="auto"
        value={note}
        onInput={(event) => onNote(event.currentTarget.value)}
      />
    </Field>
  );
}
