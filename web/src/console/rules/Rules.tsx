// The event's rules as their file: changed here, judged by the API as one types, applied as a new version.
import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Rules as File } from "../../api/admin";
import { setSearch, useSearch } from "../../router";
import { Confirm } from "../Confirm";
import { useEvent } from "../event";
import { Shown } from "../Panel";
import { useOrganiser } from "../session";
import { NotDone } from "../Trouble";
import { usePolled } from "../usePolled";
import { Changes } from "./Changes";
import { type Draft, keepDraft, readDraft } from "./draft";
import { Editor } from "./Editor";
import { type Judgement, judged, useCheck } from "./useCheck";
import { Earlier, Versions } from "./Versions";

const EVERY_MS = 15_000;

export function Rules({ slug }: { slug: string }): VNode {
  const { admin } = useOrganiser();
  const wanted = Number(new URLSearchParams(useSearch()).get("version"));
  const version = Number.isInteger(wanted) && wanted > 0 ? wanted : null;
  const polled = usePolled(slug, (signal) => admin.rules(slug, null, signal), EVERY_MS);
  const [draft, setDraft] = useState<Draft | null>(() => readDraft(slug));
  const change = (next: Draft | null): void => {
    setDraft(next);
    keepDraft(slug, next);
  };
  return (
    <div class="stack">
      <h1>Rules</h1>
      <div class="rules-columns">
        <Shown polled={polled} what="rules">
          {(current) =>
            version !== null && version !== current.version ? (
              <Earlier
                key={version}
                slug={slug}
                version={version}
                onTake={(text) => {
                  change({ base: current.version, text });
                  setSearch("", "push");
                }}
              />
            ) : (
              <Current
                slug={slug}
                current={current}
                draft={draft}
                onDraft={change}
                onApplied={polled.refresh}
              />
            )
          }
        </Shown>
        <Versions slug={slug} current={polled.value?.version ?? null} shown={version} />
      </div>
    </div>
  );
}

interface CurrentProps {
  slug: string;
  current: File;
  draft: Draft | null;
  onDraft: (draft: Draft | null) => void;
  onApplied: () => void;
}

function Current({ slug, current, draft, onDraft, onApplied }: CurrentProps): VNode {
  const { admin } = useOrganiser();
  const event = useEvent();
  const [asking, setAsking] = useState(false);
  const [applied, setApplied] = useState<number | null>(null);
  const text = draft?.text ?? current.source;
  const changed = text !== current.source;
  const check = useCheck(slug, text, changed);
  const { judgement } = check;
  const behind = draft !== null && changed && draft.base !== current.version ? draft.base : null;
  const type = (next: string): void => {
    setApplied(null);
    onDraft(next === current.source ? null : { base: draft?.base ?? current.version, text: next });
  };
  const apply = async (): Promise<void> => {
    const now = await admin.rules(slug, null);
    if (now.version !== current.version) {
      onApplied();
      throw new Error(
        `Version ${now.version} was applied meanwhile. Go back and look at it first.`,
      );
    }
    try {
      const { version } = await admin.putRules(slug, text, "apply");
      onDraft(null);
      setApplied(version);
      onApplied();
      event.refresh();
    } catch (error) {
      const told = judged(error);
      if (told.is !== "wrong") throw error;
      check.told(told);
    }
  };
  return (
    <div class="rules-editor">
      {behind !== null && (
        <p class="strip" role="status" data-testid="rules-behind">
          Your text was made from version {behind}; by now version {current.version} holds. Applying
          it replaces that one.
        </p>
      )}
      <Editor
        label="The event's file"
        testid="rules-editor"
        text={text}
        mistakes={judgement.is === "wrong" ? judgement.mistakes : []}
        onText={type}
      />
      <div class="rules-buttons">
        <p class="quiet" role="status" data-testid="rules-state" data-state={judgement.is}>
          {stateWords(judgement, changed, applied ?? null, current.version)}
        </p>
        {changed && (
          <button type="button" class="button" onClick={() => onDraft(null)}>
            Discard changes
          </button>
        )}
        <button
          type="button"
          class="button"
          data-testid="rules-check"
          onClick={() => void check.now()}
        >
          Check
        </button>
        <button
          type="button"
          class="button primary"
          data-testid="rules-apply"
          disabled={!changed}
          onClick={() => {
            void check.now().then((answer) => setAsking(answer.is === "good"));
          }}
        >
          Apply …
        </button>
      </div>
      <NotDone error={judgement.is === "unknown" ? judgement.error : null} />
      {asking && (
        <Confirm
          title={`Apply as version ${current.version + 1}?`}
          word="Apply it"
          note="none"
          onConfirm={apply}
          onClose={() => setAsking(false)}
        >
          <p>
            It holds for what is submitted from then on. What was submitted before keeps its
            verdict; a re-grade would judge it by the new rules.
          </p>
          <Changes before={current.source} after={text} />
        </Confirm>
      )}
      <Guard dirty={changed} />
    </div>
  );
}

export function stateWords(
  judgement: Judgement,
  changed: boolean,
  applied: number | null,
  version: number,
): string {
  if (judgement.is === "asking") return "Checking …";
  if (judgement.is === "wrong") {
    const n = judgement.mistakes.length;
    return n === 1 ? "One mistake." : `${n} mistakes.`;
  }
  if (judgement.is === "unknown") return "It could not be checked.";
  if (judgement.is === "good") return changed ? "No mistake. Not applied yet." : "No mistake.";
  if (applied !== null) return `Applied as version ${applied}.`;
  return changed ? "Changed, not checked yet." : `Version ${version}, as it holds now.`;
}

/** Closing the tab would lose what this tab alone keeps. */
function Guard({ dirty }: { dirty: boolean }): null {
  useEffect(() => {
    if (!dirty) return;
    const ask = (event: BeforeUnloadEvent): void => event.preventDefault();
    globalThis.addEventListener("beforeunload", ask);
    return () => globalThis.removeEventListener("beforeunload", ask);
  }, [dirty]);
  return null;
}
