// Whether the event takes submissions, and the hand on the door.
import type { VNode } from "preact";
import { useState } from "preact/hooks";
import type { EventDetail } from "../../api/types";
import { Time } from "../../parts/time";
import { Confirm } from "../Confirm";
import { useEvent } from "../event";
import { useOrganiser } from "../session";
import { Trouble } from "../Trouble";

export type DoorState = "open" | "held" | "early" | "over";

/** The event as everybody sees it says since when its organisers keep it closed. */
export function doorState(event: EventDetail, now: Date): DoorState {
  if (event.open) return "open";
  if (event.closed_at != null) return "held";
  return event.opens !== null && new Date(event.opens) > now ? "early" : "over";
}

export function DoorPanel({ slug }: { slug: string }): VNode {
  const { event, error, refresh } = useEvent();
  const { admin } = useOrganiser();
  const [turning, setTurning] = useState<"close" | "reopen" | null>(null);
  if (event === null) {
    return error === null ? (
      <p class="door door-wait" role="status">
        Loading the event …
      </p>
    ) : (
      <Trouble what="event" error={error} onRetry={refresh} />
    );
  }
  const state = doorState(event, new Date());
  const turn = async (note: string): Promise<void> => {
    if (turning === null) return;
    await admin.turnDoor(slug, turning, note);
    refresh();
  };
  return (
    <div class={`door door-${state}`} data-testid="door" data-state={state}>
      <span class="door-mark" aria-hidden="true" />
      <p>
        <DoorWords event={event} state={state} />
      </p>
      <button
        type="button"
        class="button"
        data-testid={state === "held" ? "door-reopen" : "door-close"}
        onClick={() => setTurning(state === "held" ? "reopen" : "close")}
      >
        {state === "held" ? "Reopen …" : "Close …"}
      </button>
      {turning !== null && (
        <Confirm
          title={turning === "close" ? "Close the event now?" : "Reopen the event?"}
          word={turning === "close" ? "Close it" : "Reopen it"}
          note="asked"
          {...(turning === "close" ? { danger: "danger" as const } : {})}
          onConfirm={turn}
          onClose={() => setTurning(null)}
        >
          {turning === "close" ? (
            <p>
              New submissions are refused at once, whatever the rules say. What was taken in before
              is graded all the same.
            </p>
          ) : (
            <p>What the rules say about when it is open holds again.</p>
          )}
        </Confirm>
      )}
    </div>
  );
}

function DoorWords({ event, state }: { event: EventDetail; state: DoorState }): VNode {
  switch (state) {
    case "open":
      return (
        <>
          <strong>Open.</strong>{" "}
          {event.closes === null ? (
            "It takes submissions until somebody closes it."
          ) : (
            <>
              It closes by itself <Time at={event.closes} kind="clock" />.
            </>
          )}
        </>
      );
    case "held":
      return (
        <>
          <strong>Closed by an organiser.</strong>{" "}
          {event.closed_at != null && (
            <>
              Since <Time at={event.closed_at} kind="clock" /> nothing is taken in.
            </>
          )}
        </>
      );
    case "early":
      return (
        <>
          <strong>Not open yet.</strong>{" "}
          {event.opens !== null && (
            <>
              By its rules it opens <Time at={event.opens} kind="clock" />.
            </>
          )}
        </>
      );
    case "over":
      return (
        <>
          <strong>Over.</strong>{" "}
          {event.closes !== null && (
            <>
              By its rules it closed <Time at={event.closes} kind="clock" />.
            </>
          )}
        </>
      );
  }
}
