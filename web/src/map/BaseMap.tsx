// Land, borders and names, under the pins. Shapes are drawn once; moving only changes a transform.
import type { VNode } from "preact";
import { useMemo } from "preact/hooks";
import { placeLabels, type Rect } from "./labels";
import { useTowns } from "./towns";
import { type Size, shownWidth, toUnit, type View, worldPx } from "./viewport";
import { SQUARE, type World } from "./world";

interface Props {
  world: World;
  view: View;
  size: Size;
}

/** How many worlds east or west of the first are in the window: at most one beside it. */
export function copiesInView(view: View, size: Size): number[] {
  const [cx] = toUnit(view.lng, 0);
  const world = worldPx(view.zoom);
  const left = cx - size.width / 2 / world;
  const right = left + shownWidth(view, size) / world;
  const copies: number[] = [];
  for (let copy = Math.floor(left); copy <= Math.floor(right); copy += 1) copies.push(copy);
  return copies;
}

export function BaseMap({ world, view, size }: Props): VNode {
  const scale = worldPx(view.zoom) / SQUARE;
  const [cx, cy] = toUnit(view.lng, view.lat);
  const width = shownWidth(view, size);
  return (
    <svg class="base" aria-hidden="true" width={width} height={size.height}>
      {copiesInView(view, size).map((copy) => {
        const left = size.width / 2 - (cx - copy) * SQUARE * scale;
        const top = size.height / 2 - cy * SQUARE * scale;
        return (
          <g key={copy} transform={`translate(${left} ${top}) scale(${scale})`}>
            <Shapes
              world={world}
              window={[
                -left / scale,
                -top / scale,
                (width - left) / scale,
                (size.height - top) / scale,
              ]}
            />
          </g>
        );
      })}
    </svg>
  );
}

interface ShapesProps {
  world: World;
  window: [number, number, number, number];
}

/** Only countries near the window, and the same nodes again while those stay the same. */
function Shapes({ world, window: [x0, y0, x1, y1] }: ShapesProps): VNode {
  const padX = (x1 - x0) / 4;
  const padY = (y1 - y0) / 4;
  const near: number[] = [];
  world.countries.forEach(({ box }, index) => {
    const apart =
      box[2] < x0 - padX || box[0] > x1 + padX || box[3] < y0 - padY || box[1] > y1 + padY;
    if (!apart) near.push(index);
  });
  const key = near.join();
  // biome-ignore lint/correctness/useExhaustiveDependencies: `key` is `near`, comparable
  return useMemo(
    () => (
      <>
        <path class="graticule" d={world.graticule} />
        {near.map((index) => (
          <path key={index} class="land" d={world.countries[index]?.path} />
        ))}
      </>
    ),
    [world, key],
  );
}

interface NamesProps extends Props {
  /** What the marks take up. */
  marks: readonly Rect[];
}

/** The names, out of the way of the marks above them. */
export function Names({ world, view, size, marks }: NamesProps): VNode {
  const towns = useTowns(view.zoom);
  return (
    <svg class="names" aria-hidden="true" width={size.width} height={size.height}>
      {placeLabels(world, towns, view, size, marks).map(({ key, text, x, y, kind, side, dot }) =>
        kind === "country" ? (
          <text key={key} class="country-name" x={x} y={y}>
            {text}
          </text>
        ) : (
          <g key={key} transform={`translate(${x} ${y})`}>
            {dot && <circle class="city-dot" r="2" cx={side === "left" ? 6 : -6} />}
            <text class={`city-name ${side}`}>{text}</text>
          </g>
        ),
      )}
    </svg>
  );
}
