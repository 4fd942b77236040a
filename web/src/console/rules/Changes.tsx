// What a new version changes, to be looked at before it is applied.
import type { VNode } from "preact";
import { useMemo } from "preact/hooks";
import { type DiffLine, diff } from "./diff";

const SIGNS: Record<DiffLine["kind"], string> = { added: "+", removed: "−", same: " ", gap: "" };
const NAMES: Partial<Record<DiffLine["kind"], string>> = { added: "added: ", removed: "removed: " };

export function Changes({ before, after }: { before: string; after: string }): VNode {
  const lines = useMemo(() => diff(before, after), [before, after]);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so keys must reach it
    <section class="diff" tabIndex={0} aria-label="Changes">
      {lines.map((line, n) => (
        <div key={n} class={`diff-line diff-${line.kind}`}>
          <span class="diff-sign" aria-hidden="true">
            {SIGNS[line.kind]}
          </span>
          <span class="unseen">{NAMES[line.kind]}</span>
          <code>{line.text}</code>
        </div>
      ))}
    </section>
  );
}
