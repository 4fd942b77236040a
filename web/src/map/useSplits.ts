// Where marks come from when a count splits: they part from the place where the count stood.
import { useRef } from "preact/hooks";
import { type Bbox, type Cell, isPin, type Pin } from "../api/types";

type LngLat = [number, number];

export function markId(feature: Cell | Pin): string {
  return isPin(feature) ? feature.properties.submission : feature.id;
}

/** For marks that were not there before: the place of the count that held them. */
export function splitFrom(before: (Cell | Pin)[], now: (Cell | Pin)[]): Map<string, LngLat> {
  const known = new Set(before.map(markId));
  const counts = before.filter((feature): feature is Cell => !isPin(feature));
  const froms = new Map<string, LngLat>();
  for (const feature of now) {
    const id = markId(feature);
    if (known.has(id)) continue;
    const [lng, lat] = feature.geometry.coordinates;
    const parent = counts.find(
      ({ properties: { bbox, count } }) =>
        count > feature.properties.count && inside(bbox, lng, lat),
    );
    if (parent !== undefined) froms.set(id, parent.geometry.coordinates);
  }
  return froms;
}

function inside([west, south, east, north]: Bbox, lng: number, lat: number): boolean {
  const between = west <= east ? lng >= west && lng <= east : lng >= west || lng <= east;
  return between && lat >= south && lat <= north;
}

/** The splits of the newest change; the same map until the features change again. */
export function useSplits(features: (Cell | Pin)[]): Map<string, LngLat> {
  const last = useRef<{ features: (Cell | Pin)[]; froms: Map<string, LngLat> }>({
    features: [],
    froms: new Map(),
  });
  if (last.current.features !== features) {
    last.current = { features, froms: splitFrom(last.current.features, features) };
  }
  return last.current.froms;
}
