// Who did what in this event, the newest first.
import type { VNode } from "preact";
import type { AuditLine } from "../api/admin";
import { useSearch } from "../router";
import { AuditLines } from "./AuditLines";
import { useKept } from "./kept";
import { Newer, Paging } from "./Paging";
import { Shown } from "./Panel";
import { useOrganiser } from "./session";
import { usePolled } from "./usePolled";

const EVERY_MS = 10_000;

export function Audit({ slug }: { slug: string }): VNode {
  const { admin } = useOrganiser();
  const before = new URLSearchParams(useSearch()).get("before");
  const polled = usePolled(before ?? "", (signal) => admin.audit(slug, before, signal), EVERY_MS);
  const kept = useKept<AuditLine>(before ?? "", polled.value, !polled.busy);
  return (
    <div class="stack">
      <h1>Audit log</h1>
      <p class="quiet">Every act of an organiser or operator, also those that were refused.</p>
      <Shown polled={polled} what="audit log">
        {(page) => (
          <div aria-busy={polled.busy}>
            <Newer count={kept.newer} what="line" onShow={kept.showAll} />
            {kept.rows.length === 0 ? (
              <p class="empty">Nobody has done anything here yet.</p>
            ) : (
              <AuditLines lines={kept.rows.map(({ row }) => row)} slug={slug} testid="audit-list" />
            )}
            <Paging name="before" here={before} next={page.next} />
          </div>
        )}
      </Shown>
    </div>
  );
}
