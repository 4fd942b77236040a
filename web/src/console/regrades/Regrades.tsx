// Re-grades of the event: a new one by how submissions ended, and those that were made.
import type { VNode } from "preact";
import type { RegradeHead } from "../../api/admin";
import { Time } from "../../parts/time";
import { useSearch } from "../../router";
import { useKept } from "../kept";
import { Newer, Paging } from "../Paging";
import { Shown } from "../Panel";
import { useOrganiser } from "../session";
import { usePolled } from "../usePolled";
import { counted, REGRADE_WORDS } from "../words";
import { NewRegrade } from "./NewRegrade";

const EVERY_MS = 5_000;

export function Regrades({ slug }: { slug: string }): VNode {
  const { admin } = useOrganiser();
  const before = new URLSearchParams(useSearch()).get("before");
  const polled = usePolled(
    before ?? "",
    async (signal) => {
      const { regrades, next } = await admin.regrades(slug, before, signal);
      return { items: regrades, next };
    },
    EVERY_MS,
  );
  const kept = useKept<RegradeHead>(before ?? "", polled.value, !polled.busy);
  return (
    <div class="stack">
      <h1>Re-grades</h1>
      <NewRegrade slug={slug} />
      <section aria-labelledby="made-title">
        <h2 id="made-title">Made so far</h2>
        <Shown polled={polled} what="re-grades">
          {(page) => (
            <div aria-busy={polled.busy}>
              <Newer count={kept.newer} what="re-grade" onShow={kept.showAll} />
              {kept.rows.length === 0 ? (
                <p class="empty">Nothing was graded anew yet.</p>
              ) : (
                <ul class="cards" data-testid="regrade-list">
                  {kept.rows.map(({ row }) => (
                    <Head key={row.id} head={row} slug={slug} />
                  ))}
                </ul>
              )}
              <Paging name="before" here={before} next={page.next} />
            </div>
          )}
        </Shown>
      </section>
    </div>
  );
}

function Head({ head, slug }: { head: RegradeHead; slug: string }): VNode {
  const { id, state, submissions, version, by, note, created_at } = head;
  return (
    <li data-regrade={id} data-state={state}>
      <a class="card" href={`/console/${slug}/regrades/${id}`}>
        <strong>{counted(submissions, "submission")}</strong>
        <span class={`mark mark-${state}`}>{REGRADE_WORDS[state]}</span>
        <span class="quiet">
          by rules version {version}, <Time at={created_at} /> by <bdi>{by}</bdi>
        </span>
        {note !== null && (
          <span class="card-note" dir="auto">
            {note}
          </span>
        )}
      </a>
    </li>
  );
}
