// The board's map while the event runs: a dot for each place, and the last arrivals as pins that drop in.
import type { VNode } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { Pin } from "../api/types";
import { useSize } from "../map/useSize";
import { type Dot, Painter } from "./painter";
import { placeOn, planeOf, scaleOf } from "./plane";
import { useScheme } from "./useScheme";
import { World } from "./World";

interface Props {
  dots: Dot[];
  /** Pins to be shown as such: the last that arrived while the board watched. */
  arrivals: Pin[];
  total: number | null;
}

export function BoardMap({ dots, arrivals, total }: Props): VNode {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const size = useSize(box);
  const plane = useMemo(() => planeOf(size), [size]);
  const scheme = useScheme();
  // biome-ignore lint/correctness/useExhaustiveDependencies: another scheme has other colours
  useEffect(() => {
    if (canvas.current === null || size.width === 0) return;
    new Painter(plane, canvas.current, null).all(dots);
  }, [plane, size, dots, scheme]);
  const scale = scaleOf(plane);
  return (
    <div
      ref={box}
      class="board-map"
      role="img"
      aria-label={`World map with ${total ?? "no"} successes`}
    >
      {size.width > 0 && <World plane={plane} height={size.height} />}
      <canvas ref={canvas} />
      {size.width > 0 && (
        <svg class="board-arrivals" width={size.width} height={size.height} aria-hidden="true">
          {arrivals.map((pin) => {
            const [x, y] = placeOn(plane, ...pin.geometry.coordinates);
            const { submission } = pin.properties;
            return (
              <g key={submission} transform={`translate(${x} ${y}) scale(${scale})`}>
                <g class="pin arrived">
                  <circle class="pin-ring" r="5" />
                  <g class="drop">
                    <path
                      class="pin-body"
                      d="M0 0C-2.5-5-9-10.5-9-18A9 9 0 0 1 9-18C9-10.5 2.5-5 0 0Z"
                    />
                    <circle class="pin-eye" cy="-18" r="3.4" />
                  </g>
                </g>
              </g>
            );
          })}
        </svg>
      )}
    </div>
  );
}
