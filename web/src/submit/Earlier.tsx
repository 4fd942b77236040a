// The same was submitted before: which it was, how it stands, and how to have it graded once more.
import type { VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { type Accepted, isFinal } from "../api/types";
import { Time } from "../parts/time";
import { STATE_WORDS } from "../status/words";

interface Props {
  earlier: Accepted;
  sending: boolean;
  onAgain: () => void;
}

export function Earlier({ earlier, sending, onAgain }: Props): VNode {
  const box = useRef<HTMLElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: every such answer takes the focus
  useEffect(() => {
    box.current?.focus();
    box.current?.scrollIntoView({ block: "nearest" });
  }, [earlier]);
  const { id, state, created_at } = earlier;
  return (
    <section
      ref={box}
      class="summary earlier"
      role="alert"
      tabIndex={-1}
      data-testid="duplicate"
      data-submission={id}
    >
      <h2>You submitted the same before</h2>
      <p>
        Name, place, images and answers are those of your submission of <Time at={created_at} />
        {" ("}
        {STATE_WORDS[state].toLowerCase()}
        {"). "}Nothing new was taken in.
      </p>
      <p class="actions">
        <a class="button primary" href={`/submissions/${id}`}>
          Show it
        </a>
        {isFinal(state) && (
          <button
            type="button"
            class="button"
            data-testid="grade-again"
            disabled={sending}
            onClick={onAgain}
          >
            Have it graded again
          </button>
        )}
      </p>
    </section>
  );
}
