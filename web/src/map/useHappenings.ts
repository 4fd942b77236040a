// What is on the map and what is happening on it: the pins of the window, kept true by the event's stream.
import { useMemo, useState } from "preact/hooks";
import { getRecent } from "../api/client";
import type { Cell, Pin, Stats } from "../api/types";
import type { LiveStatus } from "../live";
import { mergeOverlaps } from "./merge";
import { useEventLive } from "./useEventLive";
import { usePins, type WindowPins } from "./usePins";
import type { Size, View } from "./viewport";

const MOST_SEEN = 60;
/** The most that the API gives at once. */
const MOST_RECENT = 50;

export interface Happenings {
  pins: WindowPins;
  /** The pins and counts as they are drawn at this zoom. */
  features: (Cell | Pin)[];
  /** Pins that arrived while this page watched, the newest first. */
  seen: Pin[];
  /** The last arrival in words, for those who listen. */
  said: string;
  stats: Stats | null;
  status: LiveStatus;
}

/** Of those that arrived, somebody may have been taken off the map: then the list must not name them. */
async function stillThere(
  slug: string,
  keep: (change: (list: Pin[]) => Pin[]) => void,
): Promise<void> {
  let known: Set<string> | null = null;
  try {
    const recent = await getRecent(slug, MOST_RECENT);
    known = new Set(recent.map(({ properties }) => properties.submission));
  } catch {
    // Whom nobody vouches for is not named; the map itself asks again.
  }
  keep((list) => list.filter(({ properties }) => known?.has(properties.submission) ?? false));
}

export function useHappenings(slug: string, view: View, size: Size): Happenings {
  const pins = usePins(slug, view, size);
  const [seen, setSeen] = useState<Pin[]>([]);
  const [said, setSaid] = useState("");
  const { stats, status } = useEventLive(slug, {
    onPin: (pin) => {
      pins.add(pin);
      setSeen((list) => [pin, ...list].slice(0, MOST_SEEN));
      setSaid(`${pin.properties.name} from ${pin.properties.place} has passed.`);
    },
    onHello: pins.meet,
    onStale: () => {
      pins.reload();
      void stillThere(slug, setSeen);
    },
  });
  // Merged anew at every quarter of a zoom, and never by a mere move.
  const mergeZoom = Math.round(view.zoom * 4) / 4;
  const features = useMemo(
    () => mergeOverlaps(pins.features, mergeZoom, pins.fresh),
    [pins.features, mergeZoom, pins.fresh],
  );
  return { pins, features, seen, said, stats, status };
}
