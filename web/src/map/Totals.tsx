// The numbers of an event in one line.
import type { VNode } from "preact";
import type { Stats } from "../api/types";

const NUMBER = new Intl.NumberFormat();

export function Totals({ stats }: { stats: Stats | null }): VNode {
  const figures: [name: string, label: string, value: number | undefined][] = [
    ["passed", "passed", stats?.totals.passed],
    ["grading", "grading", stats?.totals.grading],
    ["queued", "queued", stats?.totals.queued],
    ["places", "places", stats?.places],
  ];
  return (
    <dl class="totals" data-testid="totals">
      {figures.map(([name, label, value]) => (
        <div key={name} class={`total total-${name}`}>
          <dt>{label}</dt>
          <dd data-total={name}>{value === undefined ? "–" : NUMBER.format(value)}</dd>
        </div>
      ))}
    </dl>
  );
}
