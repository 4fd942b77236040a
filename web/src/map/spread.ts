// Pins of one and the same place, moved apart on the screen so that each can be seen and touched.
import type { Pin } from "../api/types";

type Offset = [dx: number, dy: number];

const RING = 9;
const FIRST_RADIUS_PX = 20;

/** Offsets in pixels for pins that share their coordinates; pins that stand alone have none. */
export function spreadApart(pins: Pin[]): Map<string, Offset> {
  const spots = new Map<string, string[]>();
  for (const { geometry, properties } of pins) {
    const spot = geometry.coordinates.map((degrees) => degrees.toFixed(5)).join();
    const group = spots.get(spot);
    if (group === undefined) spots.set(spot, [properties.submission]);
    else group.push(properties.submission);
  }
  const offsets = new Map<string, Offset>();
  for (const group of spots.values()) {
    if (group.length < 2) continue;
    // Sorted, so that a newcomer does not shuffle those who are there.
    group.sort().forEach((submission, index) => {
      const ring = Math.floor(index / RING);
      const onRing = Math.min(RING, group.length - ring * RING);
      const angle = (2 * Math.PI * (index % RING)) / onRing + ring * 0.35;
      const radius = FIRST_RADIUS_PX * (ring + 1);
      offsets.set(submission, [Math.cos(angle) * radius, Math.sin(angle) * radius]);
    });
  }
  return offsets;
}
