// The event that the console is at, as everybody sees it, renewed now and then.
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { EventDetail } from "../api/types";

export interface CurrentEvent {
  /** Null until it was answered. */
  event: EventDetail | null;
  error: Error | null;
  refresh: () => void;
}

const NONE: CurrentEvent = { event: null, error: null, refresh: () => undefined };

export const EventContext = createContext<CurrentEvent>(NONE);

export function useEvent(): CurrentEvent {
  return useContext(EventContext);
}
