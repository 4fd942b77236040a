// Plus and minus, for those without a wheel.
import type { VNode } from "preact";

interface Props {
  /** By how many levels to zoom, around the middle. */
  onZoom: (levels: number) => void;
}

export function ZoomButtons({ onZoom }: Props): VNode {
  return (
    <div class="zoom">
      <button type="button" aria-label="Zoom in" data-testid="zoom-in" onClick={() => onZoom(1)}>
        +
      </button>
      <button type="button" aria-label="Zoom out" data-testid="zoom-out" onClick={() => onZoom(-1)}>
        −
      </button>
    </div>
  );
}
