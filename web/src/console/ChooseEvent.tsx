// Which event: an organiser's own is opened at once, an operator chooses among all.
import type { VNode } from "preact";
import { useEffect } from "preact/hooks";
import { listEvents } from "../api/client";
import type { EventSummary } from "../api/types";
import { Header } from "../parts/Header";
import { Loading } from "../parts/Notice";
import { Time } from "../parts/time";
import { navigate } from "../router";
import { Account } from "./Account";
import { useOrganiser } from "./session";
import { OldNews, Trouble } from "./Trouble";
import { usePolled } from "./usePolled";

export function ChooseEvent(): VNode {
  const { me } = useOrganiser();
  const own = me.event;
  const { value, error, refresh } = usePolled("events", listEvents, 30_000);
  useEffect(() => {
    document.title = "Console · Portcall";
    // Replaced, so that a step back does not lead here again.
    if (own !== null) navigate(`/console/${own}`, "replace");
  }, [own]);
  return (
    <>
      <Header event={null}>
        <Account />
      </Header>
      <main class="page" id="main" tabIndex={-1}>
        <h1>Events</h1>
        <OldNews error={value === null ? null : error} />
        {value !== null ? (
          <Events events={value} />
        ) : error !== null ? (
          <Trouble what="events" error={error} onRetry={refresh} />
        ) : (
          <Loading what="events" />
        )}
      </main>
    </>
  );
}

function Events({ events }: { events: EventSummary[] }): VNode {
  if (events.length === 0) {
    return (
      <p class="empty">
        No event is here yet. <code>portcall event apply FILE</code> makes one.
      </p>
    );
  }
  return (
    <ul class="cards">
      {events.map((event) => (
        <li key={event.slug}>
          <a class="card" href={`/console/${event.slug}`} data-testid="console-event">
            <strong dir="auto">{event.title}</strong>
            <span class={event.open ? "mark mark-passed" : "mark"}>
              {event.open ? "open" : "closed"}
            </span>
            <span class="quiet">
              <code>{event.slug}</code>
              {event.opens !== null && (
                <>
                  {" · opens "}
                  <Time at={event.opens} kind="clock" />
                </>
              )}
              {event.closes !== null && (
                <>
                  {" · closes "}
                  <Time at={event.closes} kind="clock" />
                </>
              )}
            </span>
          </a>
        </li>
      ))}
    </ul>
  );
}
