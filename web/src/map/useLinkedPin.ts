// A link may name a pin: its card opens once, as soon as the pin, or the spot that it shares, is there.
import { useEffect, useRef } from "preact/hooks";
import { type Bbox, type Cell, isPin, type Pin } from "../api/types";
import type { Movable } from "./useView";
import { MAX_ZOOM, parseHash } from "./viewport";

/** Links name places to about this many degrees. */
const NEAR_DEGREES = 1e-3;
/** How many levels closer to look while the pin is inside a count. */
const CLOSER = 2;

interface Linked {
  id: string;
  lng: number;
  lat: number;
}

interface Ways extends Pick<Movable, "current" | "fly"> {
  show: (pin: Pin) => void;
  enter: (cell: Cell) => void;
}

export function useLinkedPin(features: (Cell | Pin)[], ways: Ways): void {
  const wanted = useRef<Linked | null | undefined>(undefined);
  if (wanted.current === undefined) wanted.current = linkedBy(location.hash);
  const { show, enter, current, fly } = ways;
  useEffect(() => {
    const linked = wanted.current ?? null;
    if (linked === null) return;
    const found = findLinked(features, linked);
    if (found === null) return;
    const { lng, lat, zoom } = current();
    const left =
      Math.abs(lng - linked.lng) > NEAR_DEGREES || Math.abs(lat - linked.lat) > NEAR_DEGREES;
    if (found.as === "counted" && !left && zoom < MAX_ZOOM) {
      fly({ lng: linked.lng, lat: linked.lat, zoom: Math.min(MAX_ZOOM, zoom + CLOSER) });
      return;
    }
    wanted.current = null;
    if (found.as === "pin") show(found.pin);
    // Whoever followed the link may look elsewhere by now.
    else if (found.as === "member" || !left) enter(found.cell);
  }, [features, show, enter, current, fly]);
}

function linkedBy(hash: string): Linked | null {
  const parsed = parseHash(hash);
  if (parsed === null || parsed.pin === null) return null;
  return { id: parsed.pin, lng: parsed.view.lng, lat: parsed.view.lat };
}

export type Found =
  | { as: "pin"; pin: Pin }
  /** One of those whom a spot names. */
  | { as: "member"; cell: Cell }
  /** Somewhere among those that a count holds. */
  | { as: "counted"; cell: Cell };

export function findLinked(features: (Cell | Pin)[], { id, lng, lat }: Linked): Found | null {
  const cells: Cell[] = [];
  for (const feature of features) {
    if (!isPin(feature)) cells.push(feature);
    else if (feature.properties.submission === id) return { as: "pin", pin: feature };
  }
  const named = cells.find(({ properties }) =>
    properties.members?.some(({ submission }) => submission === id),
  );
  if (named !== undefined) return { as: "member", cell: named };
  const around = cells.find(({ properties }) => holds(properties.bbox, lng, lat));
  return around === undefined ? null : { as: "counted", cell: around };
}

function holds([west, south, east, north]: Bbox, lng: number, lat: number): boolean {
  const [w, e] = [west - NEAR_DEGREES, east + NEAR_DEGREES];
  const inside = west <= east ? lng >= w && lng <= e : lng >= w || lng <= e;
  return inside && lat >= south - NEAR_DEGREES && lat <= north + NEAR_DEGREES;
}
