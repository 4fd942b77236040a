// How long each step of a grading takes in this event: half are faster than the first number.
import type { VNode } from "preact";
import type { StepTimes } from "../../api/admin";
import { duration } from "../../parts/time";
import { count, STEP_NAMES } from "../words";

/** How wide a bar is, in per cent of the longest time. */
export function width(ms: number | null, longest: number): number {
  if (ms === null || longest <= 0) return 0;
  return Math.max(1, Math.round((100 * ms) / longest));
}

export function Steps({ times }: { times: StepTimes[] }): VNode {
  const measured = times.filter((time) => time.measured > 0);
  if (measured.length === 0) {
    return <p class="empty">Nothing was graded yet, so there is nothing to measure.</p>;
  }
  const longest = Math.max(...measured.map((time) => time.p90_ms ?? 0));
  return (
    <table class="table steps-table">
      <caption class="unseen">Of the last gradings of this event, at most 500</caption>
      <thead>
        <tr>
          <th scope="col">Step</th>
          <th scope="col" class="num">
            Median
          </th>
          <th scope="col" class="num">
            90 % within
          </th>
          <th scope="col" class="num measured">
            Measured
          </th>
        </tr>
      </thead>
      <tbody>
        {times.map(({ step, measured: n, p50_ms, p90_ms }) => (
          <tr key={step} data-step={step}>
            <th scope="row">
              {STEP_NAMES[step]}
              <span class="gauge" aria-hidden="true">
                <span class="gauge-90" style={{ width: `${width(p90_ms, longest)}%` }} />
                <span class="gauge-50" style={{ width: `${width(p50_ms, longest)}%` }} />
              </span>
            </th>
            <td class="num">{p50_ms === null ? "–" : duration(p50_ms)}</td>
            <td class="num">{p90_ms === null ? "–" : duration(p90_ms)}</td>
            <td class="num quiet measured">{count(n)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
