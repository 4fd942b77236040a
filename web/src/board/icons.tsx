// The few signs on the board's buttons.
import type { VNode } from "preact";

const SHAPES = {
  play: "M7 4.5v15l12.5-7.5z",
  pause: "M6 5h4v14H6zM14 5h4v14h-4z",
  again: "M12 5a7 7 0 1 1-6.6 4.7l1.9.6A5 5 0 1 0 12 7v3L7.5 6 12 2z",
  end: "M6 6h12v12H6z",
  fill: "M4 4h6v2H6v4H4zM14 4h6v6h-2V6h-4zM4 14h2v4h4v2H4zM18 14h2v6h-6v-2h4z",
  shrink: "M8 4h2v6H4V8h4zM14 4h2v4h4v2h-6zM4 14h6v6H8v-4H4zM14 14h6v2h-4v4h-2z",
  board: "M3 5h18v11H3zM5 7v7h14V7zM8 18h8v2H8z",
} as const;

export function Icon({ name }: { name: keyof typeof SHAPES }): VNode {
  return (
    <svg class="icon" viewBox="0 0 24 24" width="20" height="20" aria-hidden="true">
      <path fill="currentColor" d={SHAPES[name]} />
    </svg>
  );
}
