// Which event the front page shows.
import type { EventSummary } from "./api/types";

/** The newest of those that are open; failing that, the newest of all. */
export function pickEvent(events: EventSummary[]): EventSummary | null {
  const age = (event: EventSummary): number => (event.opens === null ? 0 : Date.parse(event.opens));
  const newest = (list: EventSummary[]): EventSummary | null =>
    [...list].sort((a, b) => age(b) - age(a))[0] ?? null;
  return newest(events.filter((event) => event.open)) ?? newest(events);
}
