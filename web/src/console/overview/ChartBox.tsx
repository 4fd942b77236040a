// A drawn chart with its place kept before it is there. What it shows also stands in a table beside.
import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Drawn } from "./chart";
import { type Series, total } from "./series";

interface Props {
  testid: string;
  title: string;
  labels: string[];
  series: Series[];
  /** Said in place of a chart without a single bar. */
  empty: string | null;
}

/** The chart in a sentence, for whoever does not see it. */
export function inWords(title: string, series: Series[]): string {
  const sums = series.map((one) => `${one.name} ${total(one)}`);
  return `${title}: ${sums.length === 0 ? "nothing" : sums.join(", ")}. The table below has it all.`;
}

export function ChartBox({ testid, title, labels, series, empty }: Props): VNode {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [drawn, setDrawn] = useState<Drawn | null>(null);
  const [lost, setLost] = useState(false);
  useEffect(() => {
    let ended = false;
    let made: Drawn | null = null;
    import("./chart").then(
      ({ draw }) => {
        if (ended || canvas.current === null) return;
        made = draw(canvas.current);
        setDrawn(made);
      },
      () => setLost(true),
    );
    return () => {
      ended = true;
      made?.destroy();
    };
  }, []);
  useEffect(() => drawn?.update(labels, series), [drawn, labels, series]);
  return (
    <div class="chart" data-testid={testid} data-drawn={drawn === null ? "no" : "yes"}>
      <canvas ref={canvas} role="img" aria-label={inWords(title, series)} />
      {empty !== null && <p class="chart-empty quiet">{empty}</p>}
      {lost && <p class="chart-empty quiet">The chart could not be loaded; the table is below.</p>}
    </div>
  );
}
