// Who stands behind a pin, or behind a count that no zoom can split.
import type { VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Cell, Pin } from "../api/types";
import { Time } from "../parts/time";

export type Card = { kind: "pin"; pin: Pin } | { kind: "spot"; cell: Cell; pins: Pin[] | null };

/** The height that a card may need above its pin; with less it stands below. */
const ROOM_ABOVE_PX = 330;
const HALF_WIDTH_PX = 165;

/** A card stays whole while its pin is on the map, and leaves with it. */
export function besides(x: number, mapWidth: number): number {
  const whole = Math.min(Math.max(x, HALF_WIDTH_PX), mapWidth - HALF_WIDTH_PX);
  const off = x < 0 ? x : x > mapWidth ? x - mapWidth : 0;
  return Math.round(whole + off);
}

interface Props {
  card: Card;
  /** The title of the event. */
  event: string;
  /** Where on the map it points at. */
  at: [number, number];
  mapWidth: number;
  onPin: (pin: Pin) => void;
  /** What had the focus before the card did, if it is still there. */
  onClose: (before: HTMLElement | SVGElement | null) => void;
}

export function PinCard({ card, event, at, mapWidth, onPin, onClose }: Props): VNode {
  const box = useRef<HTMLElement>(null);
  const before = useRef<Element | null>(null);
  const close = (): void => {
    const back = before.current;
    const can = back instanceof HTMLElement || back instanceof SVGElement;
    onClose(can && back.isConnected && back !== document.body ? back : null);
  };
  const key = card.kind === "pin" ? card.pin.id : card.cell.id;
  // biome-ignore lint/correctness/useExhaustiveDependencies: another card takes the focus again
  useEffect(() => {
    if (!box.current?.contains(document.activeElement)) before.current = document.activeElement;
    box.current?.focus({ preventScroll: true });
  }, [key]);
  return (
    <section
      ref={box}
      class={at[1] < ROOM_ABOVE_PX ? "pin-card below" : "pin-card"}
      data-testid="pin-card"
      tabIndex={-1}
      aria-label={card.kind === "pin" ? card.pin.properties.name : "People at this spot"}
      style={{ "--x": `${besides(at[0], mapWidth)}px`, "--y": `${Math.round(at[1])}px` }}
      onKeyDown={({ key: pressed }) => {
        if (pressed === "Escape") close();
      }}
    >
      <button type="button" class="card-close" aria-label="Close" onClick={close}>
        ×
      </button>
      {card.kind === "pin" ? (
        <OnePin pin={card.pin} event={event} />
      ) : (
        <Spot {...card} onPin={onPin} />
      )}
    </section>
  );
}

function OnePin({ pin, event }: { pin: Pin; event: string }): VNode {
  const { name, handle, place, submission, at } = pin.properties;
  return (
    <>
      <h2 dir="auto">{name}</h2>
      {handle !== null && (
        <p class="card-handle" dir="auto">
          {handle}
        </p>
      )}
      <p dir="auto">{place}</p>
      <p class="quiet">
        passed{" "}
        <span dir="auto" class="card-event">
          {event}
        </span>{" "}
        <Time at={at} />
      </p>
      <a href={`/submissions/${submission}`}>See the submission</a>
    </>
  );
}

interface SpotProps {
  cell: Cell;
  pins: Pin[] | null;
  onPin: (pin: Pin) => void;
}

/** The few that the count names are there at once; all of them as soon as they are looked up. */
function Spot({ cell, pins, onPin }: SpotProps): VNode {
  const { members = [] } = cell.properties;
  return (
    <>
      <h2>{cell.properties.count} successes at this spot</h2>
      {pins === null || (pins.length === 0 && members.length > 0) ? (
        <ul class="card-list">
          {members.map(({ name, submission }) => (
            <li key={submission}>
              <a class="card-name" href={`/submissions/${submission}`} dir="auto">
                {name}
              </a>
            </li>
          ))}
        </ul>
      ) : pins.length === 0 ? (
        <p class="quiet">They are too close together to tell apart on the map.</p>
      ) : (
        <ul class="card-list">
          {pins.map((pin) => (
            <li key={pin.id}>
              <button type="button" class="link" dir="auto" onClick={() => onPin(pin)}>
                {pin.properties.name}
              </button>{" "}
              <span class="quiet" dir="auto">
                {[pin.properties.handle, pin.properties.place].filter(Boolean).join(", ")}
              </span>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
