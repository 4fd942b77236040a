// What is on the map and what is happening on it: the pins of the window, kept true by the event's stream.
import { useMemo, useState } from "preact/hooks";
import type { Cell, Pin, Stats } from "../api/types";
import type { LiveStatus } from "../live";
import { mergeOverlaps } from "./merge";
import { useEventLive } from "./useEventLive";
import { usePins, type WindowPins } from "./usePins";
import type { Size, View } from "./viewport";

const MOST_SEEN = 60;

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
    onStale: pins.reload,
  });
  // Merged anew at every quarter of a zoom, and never by a mere move.
  const mergeZoom = Math.round(view.zoom * 4) / 4;
  const features = useMemo(
    () => mergeOverlaps(pins.features, mergeZoom, pins.fresh),
    [pins.features, mergeZoom, pins.fresh],
  );
  return { pins, features, seen, said, stats, status };
}
