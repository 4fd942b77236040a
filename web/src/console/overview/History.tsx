// What came in and what became of it over time, and why things failed: as charts and as tables.
import type { VNode } from "preact";
import { useMemo } from "preact/hooks";
import type { Bucket, History } from "../../api/admin";
import { setSearch, useSearch } from "../../router";
import { Panel, Shown } from "../Panel";
import { useOrganiser } from "../session";
import { usePolled } from "../usePolled";
import { count } from "../words";
import { ChartBox } from "./ChartBox";
import {
  isEmpty,
  labels,
  OTHERS,
  reasons,
  type Series,
  SPANS,
  spanOf,
  throughput,
  total,
} from "./series";

const EVERY_MS = 10_000;

export function HistoryPanel({ slug }: { slug: string }): VNode {
  const { admin } = useOrganiser();
  const span = spanOf(useSearch());
  const polled = usePolled(
    `${slug} ${span.name}`,
    (signal) => admin.history(slug, span.stepS, span.buckets, signal),
    EVERY_MS,
  );
  return (
    <div class="halves" aria-busy={polled.busy}>
      <Panel title="Throughput" id="throughput" aside={<SpanChoice chosen={span.name} />}>
        <Shown polled={polled} what="history">
          {(history) => <Throughput history={history} />}
        </Shown>
      </Panel>
      <Panel title="Failures by reason" id="reasons">
        <Shown polled={polled} what="history">
          {(history) => <Reasons history={history} slug={slug} />}
        </Shown>
      </Panel>
    </div>
  );
}

function SpanChoice({ chosen }: { chosen: string }): VNode {
  return (
    <label class="span-choice">
      <span class="unseen">Time shown</span>
      <select
        data-testid="history-span"
        value={chosen}
        onChange={(event) => setSearch(`?span=${event.currentTarget.value}`, "replace")}
      >
        {SPANS.map((span) => (
          <option key={span.name} value={span.name}>
            Last {span.words}
          </option>
        ))}
      </select>
    </label>
  );
}

function Throughput({ history }: { history: History }): VNode {
  const { buckets, step_s } = history;
  const series = useMemo(() => throughput(buckets), [buckets]);
  const names = useMemo(() => labels(buckets, step_s), [buckets, step_s]);
  return (
    <>
      <ChartBox
        testid="chart-throughput"
        title="What was submitted and what became of it"
        labels={names}
        series={series}
        empty={isEmpty(series) ? "Nothing came in this time." : null}
      />
      <ul class="legend">
        {series.map((one) => (
          <li key={one.name}>
            <Swatch series={one} /> {one.name} <strong>{count(total(one))}</strong>
          </li>
        ))}
      </ul>
      <Numbers buckets={buckets} labels={names} series={series} what="throughput" />
    </>
  );
}

function Reasons({ history, slug }: { history: History; slug: string }): VNode {
  const { buckets, step_s } = history;
  const series = useMemo(() => reasons(buckets), [buckets]);
  const names = useMemo(() => labels(buckets, step_s), [buckets, step_s]);
  const found = (code: string): string =>
    `/console/${slug}/submissions?reason=${encodeURIComponent(code)}`;
  return (
    <>
      <ChartBox
        testid="chart-reasons"
        title="Why submissions did not pass"
        labels={names}
        series={series}
        empty={isEmpty(series) ? "Nothing failed in this time." : null}
      />
      <ul class="legend">
        {series.map((one) => (
          <li key={one.name}>
            <Swatch series={one} />{" "}
            {one.name === OTHERS ? one.name : <a href={found(one.name)}>{one.name}</a>}{" "}
            <strong>{count(total(one))}</strong>
          </li>
        ))}
      </ul>
      <Numbers buckets={buckets} labels={names} series={series} what="reasons" />
    </>
  );
}

function Swatch({ series }: { series: Series }): VNode {
  return <span class={`swatch swatch-${series.colour} swatch-${series.kind}`} aria-hidden="true" />;
}

interface NumbersProps {
  buckets: Bucket[];
  labels: string[];
  series: Series[];
  what: string;
}

/** The same numbers to read, for screen readers and for whoever wants them exactly. */
function Numbers({ buckets, labels: names, series, what }: NumbersProps): VNode | null {
  if (series.length === 0) return null;
  return (
    <details class="numbers">
      <summary>As a table</summary>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so keys must reach it */}
      <section class="scroll" tabIndex={0} aria-label={`Table of ${what}`}>
        <table class="table">
          <caption class="unseen">Table of {what}</caption>
          <thead>
            <tr>
              <th scope="col">From</th>
              {series.map((one) => (
                <th key={one.name} scope="col" class="num">
                  {one.name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {buckets.map((bucket, n) => (
              <tr key={bucket.at}>
                <th scope="row">
                  <time dateTime={bucket.at}>{names[n]}</time>
                </th>
                {series.map((one) => (
                  <td key={one.name} class="num">
                    {count(one.values[n] ?? 0)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </details>
  );
}
