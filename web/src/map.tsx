// The map of an event: the world, who passed where, and what is happening right now.
import "./styles/map.css";
import "./styles/over.css";
import type { VNode } from "preact";
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { getPins } from "./api/client";
import { type Bbox, type Cell, isPin, type Pin } from "./api/types";
import { BaseMap } from "./map/BaseMap";
import { useGestures } from "./map/gestures";
import { Markers } from "./map/Markers";
import { mergeOverlaps } from "./map/merge";
import { type Card, PinCard } from "./map/PinCard";
import { PinList } from "./map/PinList";
import { Totals } from "./map/Totals";
import { useEventLive } from "./map/useEventLive";
import { usePins } from "./map/usePins";
import { useSize } from "./map/useSize";
import { useView } from "./map/useView";
import { useWorld } from "./map/useWorld";
import { fitBbox, type Insets, MAX_ZOOM, parseHash, toScreen, zoomAround } from "./map/viewport";
import { Header } from "./parts/Header";
import { OfflineStrip } from "./parts/Notice";

interface Props {
  slug: string;
  title: string;
}

const INSETS: Insets = { top: 90, right: 60, bottom: 60, left: 60 };
/** The width of the list where it lies over the map. */
const PANEL_PX = 320;
/** A box smaller than this (degrees) is one spot for every purpose. */
const SPOT_DEGREES = 1e-4;
const PIN_ZOOM = 5.5;
const MOST_SEEN = 60;

function isSpot([west, south, east, north]: Bbox): boolean {
  return Math.abs(east - west) < SPOT_DEGREES && Math.abs(north - south) < SPOT_DEGREES;
}

export function MapView({ slug, title }: Props): VNode {
  const stage = useRef<HTMLDivElement>(null);
  const size = useSize(stage);
  const movable = useView(size);
  const { view, current, fly } = movable;
  useGestures(stage, size, movable);
  const world = useWorld(view.zoom);
  const pins = usePins(slug, view, size);
  // Merged anew at every quarter of a zoom, and never by a mere move.
  const mergeZoom = Math.round(view.zoom * 4) / 4;
  const features = useMemo(
    () => mergeOverlaps(pins.features, mergeZoom, pins.fresh),
    [pins.features, mergeZoom, pins.fresh],
  );
  const [seen, setSeen] = useState<Pin[]>([]);
  const [card, setCard] = useState<Card | null>(null);
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

  const openPin = useCallback(
    (pin: Pin, zoom: number): void => {
      const [lng, lat] = pin.geometry.coordinates;
      setCard({ kind: "pin", pin });
      fly({ lng, lat, zoom });
    },
    [fly],
  );

  const openCell = useCallback(
    (cell: Cell): void => {
      const { bbox } = cell.properties;
      if (isSpot(bbox) || current().zoom >= MAX_ZOOM - 0.1) {
        setCard({ kind: "spot", cell, pins: null });
        lookUp(slug, cell).then((found) => {
          setCard((now) =>
            now?.kind === "spot" && now.cell === cell ? { ...now, pins: found } : now,
          );
        });
        return;
      }
      const right = size.width > 900 ? PANEL_PX + INSETS.right : INSETS.right;
      const target = fitBbox(bbox, size, { ...INSETS, right });
      setCard(null);
      // Every click must lead on, also when the box fills the window already.
      fly({ ...target, zoom: Math.max(target.zoom, Math.min(MAX_ZOOM, current().zoom + 1)) });
    },
    [slug, size, current, fly],
  );

  useLinkedPin(pins.features, setCard);

  const centre = (delta: number): void =>
    fly(zoomAround(view, size, size.width / 2, size.height / 2, view.zoom + delta));

  return (
    <div class="map-page">
      <Header event={{ slug, title }}>
        <Totals stats={stats} />
        <a class="button primary" href={`/events/${slug}/submit`}>
          Submit
        </a>
      </Header>
      {pins.failed && <OfflineStrip text="No connection. The map may be out of date." />}
      <main class="map-main" id="main">
        <h1 class="unseen">{title}: the map of successes</h1>
        {/* biome-ignore lint/a11y/useSemanticElements: a fieldset is for forms */}
        <div
          ref={stage}
          class="stage"
          role="group"
          // biome-ignore lint/a11y/noNoninteractiveTabindex: arrow keys move the map
          tabIndex={0}
          aria-label="Map. Arrow keys move it, plus and minus zoom."
          data-testid="map"
          data-live={status}
          data-zoom={view.zoom.toFixed(2)}
        >
          {size.width > 0 && (
            <svg
              role="img"
              aria-label={`World map with ${pins.total ?? "no"} successes; the list after it says the same`}
              width={size.width}
              height={size.height}
            >
              {world !== null && <BaseMap world={world} view={view} size={size} />}
              <Markers
                features={features}
                arrived={pins.arrived}
                selected={card?.kind === "pin" ? card.pin.properties.submission : null}
                view={view}
                size={size}
                onCell={openCell}
                onPin={(pin) => setCard({ kind: "pin", pin })}
              />
            </svg>
          )}
        </div>
        <div class="zoom">
          <button
            type="button"
            aria-label="Zoom in"
            data-testid="zoom-in"
            onClick={() => centre(1)}
          >
            +
          </button>
          <button
            type="button"
            aria-label="Zoom out"
            data-testid="zoom-out"
            onClick={() => centre(-1)}
          >
            −
          </button>
        </div>
        {card !== null && (
          <PinCard
            card={card}
            at={toScreen(view, size, ...anchor(card))}
            mapWidth={size.width}
            onPin={(pin) => openPin(pin, current().zoom)}
            onClose={() => {
              setCard(null);
              stage.current?.focus({ preventScroll: true });
            }}
          />
        )}
      </main>
      <PinList
        features={features}
        seen={seen}
        arrived={pins.arrived}
        total={pins.total}
        world={world}
        submitHref={`/events/${slug}/submit`}
        onPin={(pin) => openPin(pin, Math.max(current().zoom, PIN_ZOOM))}
        onCell={openCell}
      />
      <p class="unseen" aria-live="polite">
        {said}
      </p>
    </div>
  );
}

function anchor(card: Card): [number, number] {
  return (card.kind === "pin" ? card.pin : card.cell).geometry.coordinates;
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

/** A link may name a pin: its card opens once, as soon as the pin is there. */
function useLinkedPin(features: (Cell | Pin)[], open: (card: Card) => void): void {
  const wanted = useRef(parseHash(location.hash)?.pin ?? null);
  useEffect(() => {
    if (wanted.current === null) return;
    const pin = features.filter(isPin).find((p) => p.properties.submission === wanted.current);
    if (pin === undefined) return;
    wanted.current = null;
    open({ kind: "pin", pin });
  }, [features, open]);
}
