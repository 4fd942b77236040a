// The steps of a grading as they happen, each with its time.
import type { VNode } from "preact";
import type { Submission } from "../api/types";
import { duration, Time, useNow } from "../parts/time";
import { type Row, timeline } from "./words";

export function Timeline({ submission }: { submission: Submission }): VNode {
  const rows = timeline(submission);
  return (
    <ol class="steps" aria-label="Steps">
      {rows.map((row) => (
        <li
          key={row.step}
          class={`step step-${row.state}`}
          data-step={row.step}
          data-step-state={row.state}
          aria-current={row.state === "now" ? "step" : undefined}
        >
          <span class="step-mark" aria-hidden="true" />
          <span class="step-text">
            {row.text}
            {row.state === "skipped" && <span class="quiet"> – not needed</span>}
            {row.state === "unreached" && <span class="quiet"> – not reached</span>}
          </span>
          <span class="step-time quiet">
            <StepTime row={row} />
          </span>
        </li>
      ))}
    </ol>
  );
}

function StepTime({ row }: { row: Row }): VNode | null {
  if (row.at === null) return null;
  if (row.state === "now") return <Running since={row.at} />;
  return (
    <>
      {row.ms !== null && <span class="step-ms">{duration(row.ms)}</span>}
      <Time at={row.at} kind="exact" />
    </>
  );
}

function Running({ since }: { since: string }): VNode | null {
  const now = useNow(1_000);
  // The viewer's clock may differ from the server's; better nothing than nonsense.
  const ms = now.getTime() - Date.parse(since);
  if (!(ms >= 1_000 && ms < 7_200_000)) return null;
  return (
    <span class="step-ms">{duration(Math.floor(ms / 1000) * 1000).replace(".0 s", " s")}</span>
  );
}
