// Pins and counts on the map: one stop of the Tab key, then the arrow keys; the list says the same.
import type { VNode } from "preact";
import { useMemo, useRef } from "preact/hooks";
import type { Cell, Pin } from "../api/types";
import { isPin } from "../api/types";
import type { Rect } from "./labels";
import { nearestCity } from "./naming";
import { spreadApart } from "./spread";
import { type Spot, useRoving } from "./useRoving";
import { markId, useSplits } from "./useSplits";
import { type Size, toScreen, type View } from "./viewport";

interface Props {
  features: (Cell | Pin)[];
  /** Submissions whose pins have just arrived and drop in. */
  arrived: ReadonlySet<string>;
  selected: string | null;
  view: View;
  size: Size;
  onCell: (cell: Cell) => void;
  onPin: (pin: Pin) => void;
}

const MARGIN = 60;
/** From further away than this a mark does not glide, it appears. */
const LONGEST_GLIDE_PX = 260;

interface Mark extends Spot {
  feature: Cell | Pin;
}

export function Markers(props: Props): VNode {
  const { features, view, size, arrived, selected } = props;
  const group = useRef<SVGSVGElement>(null);
  const splits = useSplits(features);
  const marks = marksOf(features, view, size);
  const inWindow = marks.filter(
    ({ x, y }) => x >= 0 && x <= size.width && y >= 0 && y <= size.height,
  );
  const { stop, ...events } = useRoving(group, inWindow, {
    x: size.width / 2,
    y: size.height / 2,
  });
  const glide = (id: string, x: number, y: number): string | null => {
    const from = splits.get(id);
    if (from === undefined) return null;
    const [fromX, fromY] = toScreen(view, size, ...from);
    const [dx, dy] = [Math.round(fromX - x), Math.round(fromY - y)];
    return Math.hypot(dx, dy) > LONGEST_GLIDE_PX ? null : `${dx}px ${dy}px`;
  };
  return (
    // The handlers are on an element outside of the drawing: on the drawing they would make it a stop.
    <div role="presentation" {...events}>
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset is for forms */}
      <svg
        ref={group}
        class="markers"
        role="group"
        aria-label="Pins and counts. Arrow keys lead from one to the next."
        width={size.width}
        height={size.height}
      >
        {marks.map(({ id, x, y, feature }) =>
          isPin(feature) ? (
            <PinMark
              key={id}
              pin={feature}
              at={[x, y]}
              stop={id === stop}
              arrived={arrived.has(id)}
              selected={selected === id}
              glide={glide(id, x, y)}
              onPin={props.onPin}
            />
          ) : (
            <CellMark
              key={id}
              cell={feature}
              at={[x, y]}
              stop={id === stop}
              glide={glide(id, x, y)}
              onCell={props.onCell}
            />
          ),
        )}
      </svg>
    </div>
  );
}

/** What the marks take up of the window. */
export function rectsOf(features: (Cell | Pin)[], view: View, size: Size): Rect[] {
  return marksOf(features, view, size).map(({ x, y, feature }): Rect => {
    if (isPin(feature)) return [x - 10, y - 29, x + 10, y + 2];
    const reach = cellRadius(feature.properties.count) + 5;
    return [x - reach, y - reach, x + reach, y + reach];
  });
}

/** Where the marks near the window lie, pins above the counts. */
function marksOf(features: (Cell | Pin)[], view: View, size: Size): Mark[] {
  const offsets = spreadApart(features.filter(isPin));
  const cells: Mark[] = [];
  const pins: Mark[] = [];
  for (const feature of features) {
    let [x, y] = toScreen(view, size, ...feature.geometry.coordinates);
    if (x < -MARGIN || x > size.width + MARGIN || y < -MARGIN || y > size.height + MARGIN) continue;
    const id = markId(feature);
    const offset = isPin(feature) ? offsets.get(id) : undefined;
    if (offset !== undefined) [x, y] = [x + offset[0], y + offset[1]];
    (isPin(feature) ? pins : cells).push({ id, x, y, feature });
  }
  return [...cells, ...pins];
}

const COMPACT = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });

/** Grows with the logarithm: 2 is small, a million still leaves the map visible. */
export function cellRadius(count: number): number {
  return Math.min(44, 13 + 6 * Math.log10(Math.max(count, 1)));
}

interface MarkProps {
  at: [number, number];
  /** Whether the Tab key comes to this one. */
  stop: boolean;
  /** Where it comes from, if a count has split. */
  glide: string | null;
}

/** Enter and space do what a click does. */
function pressed(event: KeyboardEvent, act: () => void): void {
  if (event.key !== "Enter" && event.key !== " ") return;
  event.preventDefault();
  act();
}

interface CellProps extends MarkProps {
  cell: Cell;
  onCell: (cell: Cell) => void;
}

function CellMark({ cell, at, stop, glide, onCell }: CellProps): VNode {
  const { count } = cell.properties;
  const radius = cellRadius(count);
  const label = useMemo(() => {
    const city = nearestCity(...cell.geometry.coordinates);
    return `${count} successes${city === null ? "" : ` around ${city}`}: zoom in`;
  }, [cell, count]);
  return (
    // biome-ignore lint/a11y/useSemanticElements: a button cannot stand in a drawing
    <g
      class="cell"
      role="button"
      tabindex={stop ? 0 : -1}
      aria-label={label}
      data-testid="cell"
      data-mark={cell.id}
      data-count={count}
      transform={`translate(${at[0]} ${at[1]})`}
      onClick={() => onCell(cell)}
      onKeyDown={(event) => pressed(event, () => onCell(cell))}
    >
      <g class={glide === null ? "pop" : "pop glide"} style={{ "--from": glide ?? "none" }}>
        <circle class="cell-halo" r={radius + 5} />
        <circle class="cell-disc" r={radius} />
        <text class="cell-count">{COMPACT.format(count)}</text>
      </g>
    </g>
  );
}

interface PinProps extends MarkProps {
  pin: Pin;
  arrived: boolean;
  selected: boolean;
  onPin: (pin: Pin) => void;
}

function PinMark({ pin, at, stop, glide, arrived, selected, onPin }: PinProps): VNode {
  const { submission, name, place } = pin.properties;
  const classes = ["pin"];
  if (arrived) classes.push("arrived");
  if (selected) classes.push("selected");
  return (
    // biome-ignore lint/a11y/useSemanticElements: a button cannot stand in a drawing
    <g
      class={classes.join(" ")}
      role="button"
      tabindex={stop ? 0 : -1}
      aria-label={`${name}, ${place}`}
      data-testid="pin"
      data-mark={submission}
      data-submission={submission}
      transform={`translate(${at[0]} ${at[1]})`}
      onClick={() => onPin(pin)}
      onKeyDown={(event) => pressed(event, () => onPin(pin))}
    >
      <title>{name}</title>
      <circle class="pin-ring" r="5" />
      <g
        class={glide === null || arrived ? "drop" : "drop glide"}
        style={{ "--from": glide ?? "none" }}
      >
        <circle class="pin-reach" r="20" cy="-13" />
        <path class="pin-body" d="M0 0C-2.5-5-9-10.5-9-18A9 9 0 0 1 9-18C9-10.5 2.5-5 0 0Z" />
        <circle class="pin-eye" cy="-18" r="3.4" />
      </g>
    </g>
  );
}
