// The map as a list: the same pins and counts for keyboards, screen readers and small windows.
import type { VNode } from "preact";
import { useMemo } from "preact/hooks";
import { type Cell, isPin, type Pin } from "../api/types";
import { Time } from "../parts/time";
import { areaName } from "./naming";
import type { World } from "./world";

interface Props {
  features: (Cell | Pin)[];
  /** Pins that arrived while this page watched; some may have joined a count since. */
  seen: Pin[];
  arrived: ReadonlySet<string>;
  total: number | null;
  world: World | null;
  submitHref: string;
  onPin: (pin: Pin) => void;
  onCell: (cell: Cell) => void;
}

const MOST_PINS = 60;
const MOST_AREAS = 24;

export function latestFirst(features: (Cell | Pin)[], seen: Pin[]): Pin[] {
  const pins = new Map<string, Pin>();
  for (const pin of [...seen, ...features.filter(isPin)]) pins.set(pin.properties.submission, pin);
  return [...pins.values()]
    .sort((a, b) => Date.parse(b.properties.at) - Date.parse(a.properties.at))
    .slice(0, MOST_PINS);
}

export function PinList(props: Props): VNode {
  const { features, seen, arrived, total, world, onPin, onCell } = props;
  const pins = useMemo(() => latestFirst(features, seen), [features, seen]);
  const areas = useMemo(
    () =>
      features
        .filter((feature): feature is Cell => !isPin(feature))
        .sort((a, b) => b.properties.count - a.properties.count)
        .slice(0, MOST_AREAS)
        .map((cell) => ({ cell, ...areaName(cell, world) })),
    [features, world],
  );
  return (
    <section class="panel" aria-label="Successes on the map">
      {total === 0 && pins.length === 0 && <NobodyYet href={props.submitHref} />}
      {pins.length > 0 && (
        <>
          <h2>Latest</h2>
          <ul class="rows" data-testid="pin-list">
            {pins.map((pin) => (
              <PinRow
                key={pin.properties.submission}
                pin={pin}
                fresh={arrived.has(pin.properties.submission)}
                onPin={onPin}
              />
            ))}
          </ul>
        </>
      )}
      {areas.length > 0 && (
        <>
          <h2>In this view</h2>
          <ul class="rows" data-testid="area-list">
            {areas.map(({ cell, name, detail }) => (
              <li key={cell.id}>
                <button type="button" class="row" onClick={() => onCell(cell)}>
                  <span class="row-count">{cell.properties.count}</span>
                  <span class="unseen"> successes: </span>
                  <span class="row-name">
                    {name}
                    {detail !== null && <span class="row-handle"> {detail}</span>}
                  </span>
                  <span class="unseen">: zoom in</span>
                </button>
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}

interface RowProps {
  pin: Pin;
  fresh: boolean;
  onPin: (pin: Pin) => void;
}

function PinRow({ pin, fresh, onPin }: RowProps): VNode {
  const { submission, name, handle, place, at } = pin.properties;
  return (
    <li data-submission={submission}>
      <button type="button" class={fresh ? "row fresh" : "row"} onClick={() => onPin(pin)}>
        <span class="row-dot" aria-hidden="true" />
        <span class="row-who">
          <span class="row-name" dir="auto">
            {name}
            {handle !== null && <span class="row-handle"> {handle}</span>}
          </span>
          <span class="quiet" dir="auto">
            {place}
          </span>
        </span>
        <span class="quiet row-hint">
          <Time at={at} />
        </span>
      </button>
    </li>
  );
}

function NobodyYet({ href }: { href: string }): VNode {
  return (
    <div class="panel-empty">
      <h2>Nobody is on the map yet</h2>
      <p class="quiet">The first success appears here within seconds.</p>
      <a class="button" href={href}>
        Be the first
      </a>
    </div>
  );
}
