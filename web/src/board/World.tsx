// Land and borders behind the board's dots: drawn once, no names, once round the world.
import type { VNode } from "preact";
import { useMemo } from "preact/hooks";
import { useWorld } from "../map/useWorld";
import { SQUARE } from "../map/world";
import { type Plane, turnOf } from "./plane";

/** A wide screen shows more coast than a map of the same zoom that fits in a hand. */
const FINER = 1;

export function World({ plane, height }: { plane: Plane; height: number }): VNode {
  const world = useWorld(plane.zoom + FINER);
  const { left, top, world: width } = plane;
  return useMemo(() => {
    const scale = width / SQUARE;
    const turn = turnOf(plane);
    return (
      <svg
        class="board-world"
        aria-hidden="true"
        width={width}
        height={height}
        style={{ left: `${left}px` }}
      >
        {world !== null &&
          [0, 1].map((copy) => (
            <g key={copy} transform={`translate(${copy * width - turn} ${top}) scale(${scale})`}>
              {world.countries.map(({ path }, index) => (
                <path key={index} class="land" d={path} />
              ))}
            </g>
          ))}
      </svg>
    );
  }, [world, plane, left, top, width, height]);
}
