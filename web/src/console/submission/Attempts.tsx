// Every attempt at grading a submission, one at a time with its steps and its evidence.
import type { VNode } from "preact";
import { useState } from "preact/hooks";
import type { Whole } from "../../api/admin";
import type { Attempt } from "../../api/types";
import { duration, Time } from "../../parts/time";
import { Words } from "../../parts/Words";
import { Evidence } from "../../status/Evidence";
import { sentence, shownAttempt } from "../../status/words";
import { Panel } from "../Panel";
import { STEP_NAMES } from "../words";

const OUTCOMES: Record<string, string> = {
  passed: "passed",
  failed: "failed",
  released: "given back",
  handed_back: "handed back",
  lost: "lost with its worker",
  cancelled: "cancelled",
};

export function outcomeOf(attempt: Attempt): string {
  return attempt.outcome === null ? "under way" : (OUTCOMES[attempt.outcome] ?? attempt.outcome);
}

export function Attempts({ submission }: { submission: Whole }): VNode {
  const { attempts, images } = submission;
  const [wanted, setWanted] = useState<number | null>(null);
  const usual = shownAttempt(submission)?.n ?? attempts.at(-1)?.n;
  const shown = attempts.find(({ n }) => n === (wanted ?? usual)) ?? attempts.at(-1);
  if (shown === undefined) {
    return (
      <Panel title="Attempts" id="attempts">
        <p class="empty">It was not tried yet.</p>
      </Panel>
    );
  }
  return (
    <Panel title="Attempts" id="all-attempts">
      {attempts.length > 1 && (
        <fieldset class="choices" aria-label="Attempt shown">
          {attempts.map((attempt) => (
            <button
              key={attempt.n}
              type="button"
              class="button small"
              aria-pressed={attempt.n === shown.n}
              onClick={() => setWanted(attempt.n)}
            >
              {attempt.n}: {outcomeOf(attempt)}
            </button>
          ))}
        </fieldset>
      )}
      <div class="attempt" data-attempt={shown.n}>
        <One attempt={shown} />
        {shown.evidence !== null && (
          <Evidence
            evidence={shown.evidence}
            images={images.length}
            logs={shown.outcome === "passed" ? "not kept" : "kept"}
          />
        )}
      </div>
    </Panel>
  );
}

function One({ attempt }: { attempt: Attempt }): VNode {
  const { n, worker, node, generation, started_at, ended_at, reason, steps } = attempt;
  return (
    <>
      <p>
        <strong>
          Attempt {n}: {outcomeOf(attempt)}.
        </strong>{" "}
        {reason !== null && (
          <>
            <Words text={sentence(reason.message)} /> <code>{reason.code}</code>
          </>
        )}
      </p>
      <dl class="facts wide">
        <div>
          <dt>Began</dt>
          <dd>
            <Time at={started_at} kind="clock" />
          </dd>
        </div>
        {ended_at !== null && (
          <div>
            <dt>Took</dt>
            <dd>{duration(Date.parse(ended_at) - Date.parse(started_at))}</dd>
          </div>
        )}
        <div>
          <dt>Worker</dt>
          <dd>{worker}</dd>
        </div>
        <div>
          <dt>Node</dt>
          <dd>{node ?? "–"}</dd>
        </div>
        <div>
          <dt>Claim</dt>
          <dd>{generation}</dd>
        </div>
      </dl>
      {steps.length > 0 && (
        <ol class="step-line" aria-label="Steps">
          {steps.map((step, index) => (
            <li key={index}>
              <span>{STEP_NAMES[step.step]}</span>
              <span class="quiet">{step.ms === null ? "…" : duration(step.ms)}</span>
            </li>
          ))}
        </ol>
      )}
    </>
  );
}
