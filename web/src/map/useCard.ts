// The open card: a pin or a spot that somebody clicked, found in the list, or was linked to.
import { useCallback, useState } from "preact/hooks";
import { getPins } from "../api/client";
import { type Bbox, type Cell, isPin, type Pin } from "../api/types";
import type { Card } from "./PinCard";
import { useLinkedPin } from "./useLinkedPin";
import type { Movable } from "./useView";
import { fitBbox, type Insets, LIST_PX, MAX_ZOOM, panBy, type Size, WIDE_PX } from "./viewport";

const INSETS: Insets = { top: 90, right: 60, bottom: 60, left: 60 };
/** A box smaller than this (degrees) is one spot for every purpose. */
const SPOT_DEGREES = 1e-4;

export interface OpenCard {
  card: Card | null;
  show: (pin: Pin) => void;
  /** Shows a pin and brings it to where its card leaves it free. */
  visit: (pin: Pin, zoom: number) => void;
  /** Zooms to what a count holds; where no zoom would split it, its card opens. */
  enter: (cell: Cell) => void;
  close: () => void;
}

export function useCard(
  slug: string,
  size: Size,
  { current, fly }: Movable,
  features: (Cell | Pin)[],
): OpenCard {
  const [card, setCard] = useState<Card | null>(null);
  const show = useCallback((pin: Pin): void => setCard({ kind: "pin", pin }), []);
  const close = useCallback((): void => setCard(null), []);

  const visit = useCallback(
    (pin: Pin, zoom: number): void => {
      const [lng, lat] = pin.geometry.coordinates;
      show(pin);
      const middle = { lng, lat, zoom };
      // On narrow screens the card lies over the lower half of the map.
      const down = size.width > WIDE_PX ? 0 : size.height * 0.25;
      fly(panBy(middle, size, 0, down));
    },
    [show, fly, size],
  );

  const openSpot = useCallback(
    (cell: Cell): void => {
      setCard({ kind: "spot", cell, pins: null });
      lookUp(slug, cell).then((found) => {
        setCard((now) =>
          now?.kind === "spot" && now.cell === cell ? { ...now, pins: found } : now,
        );
      });
    },
    [slug],
  );

  const enter = useCallback(
    (cell: Cell): void => {
      const { bbox } = cell.properties;
      const { zoom } = current();
      if (isSpot(bbox) || zoom >= MAX_ZOOM - 0.1) {
        openSpot(cell);
        return;
      }
      const right = size.width > WIDE_PX ? LIST_PX + INSETS.right : INSETS.right;
      const target = fitBbox(bbox, size, { ...INSETS, right });
      setCard(null);
      // Every click must lead on, also when the box fills the window already.
      fly({ ...target, zoom: Math.max(target.zoom, Math.min(MAX_ZOOM, zoom + 1)) });
    },
    [size, current, fly, openSpot],
  );

  useLinkedPin(features, { show, enter, current, fly });
  return { card, show, visit, enter, close };
}

function isSpot([west, south, east, north]: Bbox): boolean {
  return Math.abs(east - west) < SPOT_DEGREES && Math.abs(north - south) < SPOT_DEGREES;
}

/** Whoever stands at a spot, as far as the finest zoom can tell them apart. */
async function lookUp(slug: string, cell: Cell): Promise<Pin[]> {
  const [west, south, east, north] = cell.properties.bbox;
  const bbox: Bbox = [west - 1e-5, south - 1e-5, east + 1e-5, north + 1e-5];
  return getPins(slug, bbox, MAX_ZOOM).then(
    ({ features }) => features.filter(isPin),
    () => [],
  );
}
