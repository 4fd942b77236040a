// What was told to a webhook, the newest first, further back on demand.
import type { VNode } from "preact";
import { useState } from "preact/hooks";
import type { Delivery } from "../../api/admin";
import { duration, Time } from "../../parts/time";
import { Shown } from "../Panel";
import { useOrganiser } from "../session";
import { usePolled } from "../usePolled";
import { counted } from "../words";

const EVERY_MS = 3_000;

const STATES: Record<string, [words: string, kind: string]> = {
  pending: ["on its way", "mark-warn"],
  delivered: ["delivered", "mark-passed"],
  failed: ["given up", "mark-failed"],
  dropped: ["not wanted any more", ""],
};

export function Deliveries({ id }: { id: string }): VNode {
  const { admin } = useOrganiser();
  const [places, setPlaces] = useState<string[]>([]);
  const before = places.at(-1) ?? null;
  const polled = usePolled(
    `${id} ${before ?? ""}`,
    (signal) => admin.deliveries(id, before, signal),
    EVERY_MS,
  );
  return (
    <div class="deliveries" aria-busy={polled.busy}>
      <Shown polled={polled} what="messages">
        {({ deliveries, next }) => (
          <>
            {deliveries.length === 0 ? (
              <p class="empty">Nothing was told to it in the last seven days.</p>
            ) : (
              <ul class="machines" data-testid="delivery-list">
                {deliveries.map((delivery) => (
                  <One key={delivery.id} delivery={delivery} />
                ))}
              </ul>
            )}
            {(next !== null || places.length > 0) && (
              <div class="paging">
                {places.length > 0 && (
                  <button
                    type="button"
                    class="button small"
                    onClick={() => setPlaces(places.slice(0, -1))}
                  >
                    Newer
                  </button>
                )}
                {next !== null && (
                  <button
                    type="button"
                    class="button small"
                    onClick={() => setPlaces([...places, next])}
                  >
                    Older
                  </button>
                )}
              </div>
            )}
          </>
        )}
      </Shown>
    </div>
  );
}

function One({ delivery }: { delivery: Delivery }): VNode {
  const { type, submission, created_at, state, tries, next_try, last } = delivery;
  const [words, kind] = STATES[state] ?? [state, ""];
  return (
    <li class="machine" data-delivery={delivery.id} data-state={state}>
      <strong>{type}</strong>
      <span class={`mark ${kind}`}>{words}</span>
      <span class="quiet">
        <Time at={created_at} />, {counted(tries, "try", "tries")}
        {next_try !== null && (
          <>
            , next <Time at={next_try} />
          </>
        )}
        {submission !== null && (
          <>
            , about <code>{submission.slice(-12)}</code>
          </>
        )}
      </span>
      {last !== null && (
        <span class="machine-why">
          {last.code === null ? "no answer" : `answered ${last.code}`} after {duration(last.ms)}
          {last.detail !== null && `: ${last.detail}`}
          {last.excerpt !== "" && (
            <code class="excerpt" dir="auto">
              {last.excerpt}
            </code>
          )}
        </span>
      )}
    </li>
  );
}
