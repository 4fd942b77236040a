// Why an event takes nothing now, and since or until when. At the hour it opens by itself.
import type { VNode } from "preact";
import { useEffect } from "preact/hooks";
import type { EventDetail } from "../api/types";
import { Time } from "../parts/time";

/** Timers hold no more than 24 days; an hour is often enough. */
const LONGEST_MS = 3_600_000;
/** The server's clock and this one may differ a little, or by more. */
const SKEW_MS = 500;
const LATE_MS = 5_000;

export function Door({ event, onOpen }: { event: EventDetail; onOpen: () => void }): VNode | null {
  const { open, opens } = event;
  const waits = !open && event.closed_at === undefined && opens !== null;
  useEffect(() => {
    if (!waits) return;
    const left = Date.parse(event.opens ?? "") - Date.now();
    if (!(left > -LONGEST_MS)) return;
    const wait = setTimeout(onOpen, left > 0 ? Math.min(left + SKEW_MS, LONGEST_MS) : LATE_MS);
    return () => clearTimeout(wait);
  }, [waits, event, onOpen]);
  if (open) return null;
  return (
    <p class="strip" role="status" data-testid="door">
      <DoorWords event={event} />
    </p>
  );
}

function DoorWords({ event }: { event: EventDetail }): VNode {
  const { opens, closes, closed_at } = event;
  if (closed_at !== undefined) {
    return (
      <>
        The organisers closed this event at <Time at={closed_at} kind="clock" />; nothing can be
        submitted at the moment.
      </>
    );
  }
  if (opens !== null && Date.parse(opens) > Date.now()) {
    return (
      <>
        This event opens at <Time at={opens} kind="clock" />. You can fill in the form already; this
        browser keeps it.
      </>
    );
  }
  return closes === null ? (
    <>This event is closed; nothing can be submitted any more.</>
  ) : (
    <>
      This event closed at <Time at={closes} kind="clock" />; nothing can be submitted any more.
    </>
  );
}
