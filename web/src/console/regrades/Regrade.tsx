// One re-grade: how far it is, what would change, and the decision to apply, undo, or give it up.
import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Change, Order, Regrade } from "../../api/admin";
import { ProblemError } from "../../api/problem";
import { Time } from "../../parts/time";
import { useSearch } from "../../router";
import { Confirm } from "../Confirm";
import { Paging } from "../Paging";
import { Shown } from "../Panel";
import { useOrganiser } from "../session";
import { usePolled } from "../usePolled";
import { CHANGE_WORDS, count, counted, REGRADE_WORDS } from "../words";
import { isMoving, ORDER_WORDS, orders } from "./orders";
import { Rows } from "./Rows";

const MOVING_MS = 1_500;
const STILL_MS = 10_000;

export function RegradeView({ slug, id }: { slug: string; id: string }): VNode {
  const { admin } = useOrganiser();
  const after = new URLSearchParams(useSearch()).get("after");
  const [every, setEvery] = useState(MOVING_MS);
  const polled = usePolled(after ?? "", (signal) => admin.regrade(id, after, signal), every);
  const { value, put, refresh } = polled;
  useEffect(() => {
    if (value !== null) setEvery(isMoving(value.state) ? MOVING_MS : STILL_MS);
  }, [value]);
  const order = async (wanted: Order): Promise<void> => {
    try {
      const now = await admin.order(id, wanted);
      // The answer has the first rows; further ones are asked for again.
      if (after === null) put(now);
      else refresh();
    } catch (error) {
      if (error instanceof ProblemError && error.problem.status === 409) refresh();
      throw error;
    }
  };
  return (
    <div class="stack">
      <p>
        <a href={`/console/${slug}/regrades`}>All re-grades</a>
      </p>
      {value === null && <h1 class="unseen">Re-grade</h1>}
      <Shown polled={polled} what="re-grade">
        {(regrade) => (
          <>
            <Head regrade={regrade} onOrder={order} />
            <Counts regrade={regrade} />
            <div aria-busy={polled.busy}>
              <Rows rows={regrade.rows} slug={slug} />
              <Paging
                name="after"
                here={after}
                next={regrade.next}
                words={["First rows", "More rows"]}
              />
            </div>
          </>
        )}
      </Shown>
    </div>
  );
}

interface HeadProps {
  regrade: Regrade;
  onOrder: (order: Order) => Promise<void>;
}

function Head({ regrade, onOrder }: HeadProps): VNode {
  const { state, version, by, note, created_at, submissions, counts } = regrade;
  const [asked, setAsked] = useState<Order | null>(null);
  const done = submissions - counts.waiting;
  return (
    <>
      <div class="section-head">
        <div>
          <h1>Re-grade of {counted(submissions, "submission")}</h1>
          <p class="quiet">
            By rules version {version}, <Time at={created_at} /> by <bdi>{by}</bdi>
          </p>
          {note !== null && (
            <blockquote class="audit-note" dir="auto">
              {note}
            </blockquote>
          )}
        </div>
        <div class="acts">
          {orders(state).map((order) => (
            <button
              key={order}
              type="button"
              class={order === "apply" ? "button primary" : "button"}
              data-testid={`regrade-${order}`}
              disabled={order === "apply" && state !== "ready"}
              onClick={() => setAsked(order)}
            >
              {ORDER_WORDS[order].button}
            </button>
          ))}
        </div>
      </div>
      <div class="progress" data-testid="regrade-preview" data-state={state}>
        <p role="status">
          <span class={`mark mark-${state}`}>{REGRADE_WORDS[state]}</span>{" "}
          {counts.waiting > 0 && state !== "discarded" && (
            <>
              {count(done)} of {count(submissions)} graded
            </>
          )}
        </p>
        {isMoving(state) && (
          <progress max={Math.max(1, submissions)} value={done} aria-label="Graded" />
        )}
      </div>
      {asked !== null && (
        <Confirm
          title={ORDER_WORDS[asked].title}
          word={ORDER_WORDS[asked].word}
          note="none"
          onConfirm={() => onOrder(asked)}
          onClose={() => setAsked(null)}
        >
          <p>{ORDER_WORDS[asked].text(counts)}</p>
        </Confirm>
      )}
    </>
  );
}

const SHOWN: Change[] = ["would_pass", "would_fail", "unchanged", "undetermined", "waiting"];
const KINDS: Partial<Record<Change, string>> = {
  would_pass: " tile-good",
  would_fail: " tile-bad",
};

function Counts({ regrade }: { regrade: Regrade }): VNode {
  const { counts, applied, undone } = regrade;
  return (
    <>
      <ul class="tiles five" aria-label="What would change">
        {SHOWN.map((change) => (
          <li key={change} class={`tile still${KINDS[change] ?? ""}`} data-change={change}>
            <span class="tile-name">{CHANGE_WORDS[change]}</span>
            <strong>{count(counts[change])}</strong>
          </li>
        ))}
      </ul>
      <Fates what="Applied" fates={applied} />
      <Fates what="Undone" fates={undone} />
    </>
  );
}

const FATES: Record<string, string> = {
  applied: "taken over",
  left: "left as they were, for want of a new verdict",
  conflict: "left alone, because they had changed meanwhile",
  undone: "put back",
};

function Fates({ what, fates }: { what: string; fates: Record<string, number> }): VNode | null {
  const told = Object.entries(fates).filter(([, n]) => n > 0);
  if (told.length === 0) return null;
  return (
    <p>
      <strong>{what}:</strong>{" "}
      {told.map(([fate, n]) => `${count(n)} ${FATES[fate] ?? fate}`).join(", ")}.
    </p>
  );
}
