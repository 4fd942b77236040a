// Pins and counts on the map. For eyes and pointers; the list beside the map says the same to the rest.
import type { VNode } from "preact";
import type { Cell, Pin } from "../api/types";
import { isPin } from "../api/types";
import { spreadApart } from "./spread";
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

export function Markers(props: Props): VNode {
  const { features, view, size } = props;
  const cells: VNode[] = [];
  const pins: VNode[] = [];
  const offsets = spreadApart(features.filter(isPin));
  for (const feature of features) {
    const [lng, lat] = feature.geometry.coordinates;
    let [x, y] = toScreen(view, size, lng, lat);
    if (x < -MARGIN || x > size.width + MARGIN || y < -MARGIN || y > size.height + MARGIN) continue;
    if (isPin(feature)) {
      const offset = offsets.get(feature.properties.submission);
      if (offset !== undefined) [x, y] = [x + offset[0], y + offset[1]];
      pins.push(
        <PinMark key={feature.properties.submission} {...props} pin={feature} at={[x, y]} />,
      );
    } else {
      cells.push(<CellMark key={feature.id} cell={feature} at={[x, y]} onCell={props.onCell} />);
    }
  }
  return (
    <g class="markers">
      {cells}
      {pins}
    </g>
  );
}

const COMPACT = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });

/** Grows with the logarithm: 2 is small, a million still leaves the map visible. */
export function cellRadius(count: number): number {
  return Math.min(44, 13 + 6 * Math.log10(Math.max(count, 1)));
}

interface CellProps {
  cell: Cell;
  at: [number, number];
  onCell: (cell: Cell) => void;
}

function CellMark({ cell, at, onCell }: CellProps): VNode {
  const { count } = cell.properties;
  const radius = cellRadius(count);
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the list beside the map has the buttons
    <g
      class="cell"
      data-testid="cell"
      data-count={count}
      transform={`translate(${at[0]} ${at[1]})`}
      onClick={() => onCell(cell)}
    >
      <g class="pop">
        <circle class="cell-halo" r={radius + 5} />
        <circle class="cell-disc" r={radius} />
        <text class="cell-count">{COMPACT.format(count)}</text>
      </g>
    </g>
  );
}

interface PinProps extends Props {
  pin: Pin;
  at: [number, number];
}

function PinMark({ pin, at, arrived, selected, onPin }: PinProps): VNode {
  const { submission, name } = pin.properties;
  const classes = ["pin"];
  if (arrived.has(submission)) classes.push("arrived");
  if (selected === submission) classes.push("selected");
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the list beside the map has the buttons
    <g
      class={classes.join(" ")}
      data-testid="pin"
      data-submission={submission}
      transform={`translate(${at[0]} ${at[1]})`}
      onClick={() => onPin(pin)}
    >
      <title>{name}</title>
      <circle class="pin-ring" r="5" />
      <g class="drop">
        <circle class="pin-reach" r="20" cy="-13" />
        <path class="pin-body" d="M0 0C-2.5-5-9-10.5-9-18A9 9 0 0 1 9-18C9-10.5 2.5-5 0 0Z" />
        <circle class="pin-eye" cy="-18" r="3.4" />
      </g>
    </g>
  );
}
