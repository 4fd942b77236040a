// The four numbers of an event, as large as the board allows.
import type { VNode } from "preact";
import type { Stats } from "../api/types";

const NUMBER = new Intl.NumberFormat();

export function Figures({ stats }: { stats: Stats | null }): VNode {
  const figures: [name: string, value: number | undefined][] = [
    ["passed", stats?.totals.passed],
    ["people", stats?.participants],
    ["places", stats?.places],
    ["countries", stats?.countries.length],
  ];
  return (
    <dl class="figures" data-testid="board-figures">
      {figures.map(([name, value]) => (
        <div key={name} class={`figure figure-${name}`}>
          <dt>{name}</dt>
          <dd data-total={name} data-testid={name === "passed" ? "board-total" : undefined}>
            {value === undefined ? "–" : NUMBER.format(value)}
          </dd>
        </div>
      ))}
    </dl>
  );
}
