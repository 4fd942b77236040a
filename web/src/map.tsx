// The map of an event: the world, who passed where, and what is happening right now.
import "./styles/map.css";
import "./styles/over.css";
import type { VNode } from "preact";
import { useRef } from "preact/hooks";
import { BoardLinks } from "./map/BoardLinks";
import { useGestures } from "./map/gestures";
import { type Card, PinCard } from "./map/PinCard";
import { PinList } from "./map/PinList";
import { Stage } from "./map/Stage";
import { Totals } from "./map/Totals";
import { useCard } from "./map/useCard";
import { useHappenings } from "./map/useHappenings";
import { useSize } from "./map/useSize";
import { useView } from "./map/useView";
import { useWorld } from "./map/useWorld";
import { toScreen, zoomAround } from "./map/viewport";
import { ZoomButtons } from "./map/ZoomButtons";
import { Credits } from "./parts/Credits";
import { Header } from "./parts/Header";
import { AwayStrip, OfflineStrip } from "./parts/Notice";

interface Props {
  slug: string;
  title: string;
}

const PIN_ZOOM = 5.5;

export function MapView({ slug, title }: Props): VNode {
  const stage = useRef<HTMLDivElement>(null);
  const size = useSize(stage);
  const movable = useView(size);
  const { view, current, resting, fly } = movable;
  useGestures(stage, size, movable);
  const world = useWorld(view.zoom);
  const { pins, features, seen, said, stats, status } = useHappenings(slug, view, size);
  const { card, show, visit, enter, close } = useCard(slug, size, movable, pins.features);
  const { total, arrived } = pins;
  const submitHref = `/events/${slug}/submit`;

  const zoomBy = (levels: number): void => {
    const from = resting();
    fly(zoomAround(from, size, size.width / 2, size.height / 2, from.zoom + levels));
  };
  const backTo = (before: HTMLElement | SVGElement | null): void => {
    close();
    (before ?? stage.current)?.focus({ preventScroll: true });
  };

  return (
    <div class="map-page">
      <Header event={{ slug, title }}>
        <Totals stats={stats} />
        <BoardLinks slug={slug} />
        <a class="button primary" href={submitHref}>
          Submit
        </a>
      </Header>
      {!pins.failed && <AwayStrip as_of={stats?.as_of} />}
      {pins.failed && <OfflineStrip text="No connection. The map may be out of date." />}
      <main class="map-main" id="main" tabIndex={-1}>
        <h1 class="unseen">{title}: the map of successes</h1>
        <Stage
          {...{ stage, view, size, world, status, total, features, arrived }}
          selected={card?.kind === "pin" ? card.pin.properties.submission : null}
          onCell={enter}
          onPin={show}
        />
        <ZoomButtons onZoom={zoomBy} />
        <Credits />
        {card !== null && (
          <PinCard
            card={card}
            event={title}
            at={toScreen(view, size, ...anchor(card))}
            mapWidth={size.width}
            onPin={(pin) => visit(pin, current().zoom)}
            onClose={backTo}
          />
        )}
      </main>
      <PinList
        {...{ features, seen, arrived, total, world, submitHref }}
        onPin={(pin) => visit(pin, Math.max(current().zoom, PIN_ZOOM))}
        onCell={enter}
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
