// For whoever has the secret: to cancel a submission, or to take it off the map with everything personal.
import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { takeBack } from "../api/client";
import { ProblemError } from "../api/problem";
import { isFinal, type State, type Submission } from "../api/types";
import { CopyBlock } from "../parts/Copy";
import { keepSecret, keptSecret } from "../submit/keep";

export type Act = "cancel" | "erase";

interface Words {
  button: string;
  title: string;
  text: string;
  confirm: string;
}

/** What may be done to it now, the mildest first. */
export function actsOn(state: State): Act[] {
  return isFinal(state) ? ["erase"] : ["cancel", "erase"];
}

const ERASES =
  "Name, handle, contact, place, free answers, image names and everything that was seen of the " +
  "containers are erased for good. That it was there, its times and how it ended stay.";

export function wordsOf(act: Act, state: State): Words {
  if (act === "cancel") {
    return {
      button: "Cancel it",
      title: "Cancel this submission?",
      text: "It is not graded any more. It can be submitted again at any time.",
      confirm: "Cancel the submission",
    };
  }
  if (!isFinal(state)) {
    return {
      button: "Cancel and erase",
      title: "Cancel this submission, and erase what is personal?",
      text: `It is not graded any more. ${ERASES}`,
      confirm: "Cancel and erase",
    };
  }
  const onMap = state === "passed";
  return {
    button: onMap ? "Withdraw from the map" : "Erase personal data",
    title: onMap ? "Withdraw from the map?" : "Erase what is personal?",
    text: onMap ? `The pin leaves the map. ${ERASES}` : ERASES,
    confirm: onMap ? "Withdraw and erase" : "Erase",
  };
}

interface Props {
  submission: Submission;
  /** It was done: what is shown is not what there is any more. */
  onDone: () => void;
}

export function TakeBack({ submission, onDone }: Props): VNode {
  const { id, state } = submission;
  const [act, setAct] = useState<Act | null>(null);
  const kept = keptSecret(id);
  const buttons = <Acts state={state} onAct={setAct} />;
  return (
    <section class="take-back" aria-labelledby="take-back-title">
      <h2 id="take-back-title">Is it yours?</h2>
      {kept === null ? (
        <details class="terminal" data-testid="take-back">
          <summary>Take it back with its secret</summary>
          <p class="quiet">The secret came with the answer to the submission.</p>
          {buttons}
        </details>
      ) : (
        <>
          <p class="quiet">
            This browser keeps the secret of this submission, so you can take it back here.
          </p>
          {buttons}
          <details class="terminal">
            <summary>Show the secret</summary>
            <CopyBlock label="The secret of this submission" testid="secret-kept" text={kept} />
          </details>
        </>
      )}
      {act !== null && (
        <Confirm
          id={id}
          act={act}
          words={wordsOf(act, state)}
          kept={kept}
          onClose={() => setAct(null)}
          onDone={() => {
            setAct(null);
            onDone();
          }}
        />
      )}
    </section>
  );
}

function Acts({ state, onAct }: { state: State; onAct: (act: Act) => void }): VNode {
  return (
    <p class="actions">
      {actsOn(state).map((each, index) => (
        <button
          key={each}
          type="button"
          class="button"
          data-testid={index === 0 ? "withdraw" : "withdraw-erase"}
          onClick={() => onAct(each)}
        >
          {wordsOf(each, state).button}
        </button>
      ))}
    </p>
  );
}

interface ConfirmProps {
  id: string;
  act: Act;
  words: Words;
  kept: string | null;
  onClose: () => void;
  onDone: () => void;
}

function Confirm({ id, act, words, kept, onClose, onDone }: ConfirmProps): VNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const [typed, setTyped] = useState("");
  const { run, busy, wrong } = useTakeBack(id, act, onDone);
  // Modal, with the rest of the page out of reach; it gives the focus back when it closes.
  useEffect(() => {
    const box = dialog.current;
    box?.showModal();
    return () => box?.close();
  }, []);
  const secret = kept ?? typed.trim();
  return (
    <dialog
      ref={dialog}
      class="confirm"
      aria-labelledby="confirm-title"
      data-testid="withdraw-dialog"
      onClose={onClose}
    >
      <form
        onSubmit={(submitted) => {
          submitted.preventDefault();
          if (secret !== "") void run(secret);
        }}
      >
        <h2 id="confirm-title">{words.title}</h2>
        <p>{words.text}</p>
        {kept === null && (
          <div class="field">
            <label for="withdraw-secret">The secret</label>
            <input
              id="withdraw-secret"
              type="text"
              autocomplete="off"
              autocapitalize="none"
              spellcheck={false}
              value={typed}
              data-testid="withdraw-secret"
              onInput={(event) => setTyped(event.currentTarget.value)}
            />
          </div>
        )}
        {wrong !== null && (
          <p class="field-error" role="alert" data-testid="withdraw-error">
            {wrong}
          </p>
        )}
        <p class="actions">
          <button type="button" class="button" onClick={() => dialog.current?.close()}>
            Keep it
          </button>
          <button
            type="submit"
            class="button danger"
            data-testid="withdraw-confirm"
            disabled={secret === ""}
            aria-disabled={busy}
          >
            {busy ? "One moment …" : words.confirm}
          </button>
        </p>
      </form>
    </dialog>
  );
}

interface Taking {
  run: (secret: string) => Promise<void>;
  busy: boolean;
  wrong: string | null;
}

function useTakeBack(id: string, act: Act, onDone: () => void): Taking {
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState<string | null>(null);
  const run = async (secret: string): Promise<void> => {
    if (busy) return;
    setBusy(true);
    setWrong(null);
    try {
      await takeBack(id, secret, act);
      // It was the right one, then: to erase it later, it need not be typed again.
      keepSecret(id, secret);
      onDone();
    } catch (error) {
      setWrong(whyNot(error));
      setBusy(false);
    }
  };
  return { run, busy, wrong };
}

export function whyNot(error: unknown): string {
  if (!(error instanceof ProblemError)) return "There is no connection to the server. Try again.";
  const { problem, retryAfterS } = error;
  if (problem.code === "already_final") {
    return "It was graded meanwhile: there is nothing left to cancel.";
  }
  if (retryAfterS !== null) return `Not now. Try again in ${Math.ceil(retryAfterS)} s.`;
  return problem.detail ?? problem.title;
}
