// The attempts that are not shown above: a retry is nothing to hide.
import type { VNode } from "preact";
import type { Attempt } from "../api/types";
import { Time } from "../parts/time";
import { Words } from "../parts/Words";
import { OUTCOME_WORDS, sentence } from "./words";

export function OtherAttempts({ attempts }: { attempts: Attempt[] }): VNode | null {
  if (attempts.length === 0) return null;
  return (
    <section aria-labelledby="attempts-title">
      <h2 id="attempts-title">Other attempts</h2>
      <ol class="attempts" data-testid="attempts">
        {attempts.map(({ n, outcome, reason, started_at }) => (
          <li key={n} value={n} data-outcome={outcome ?? ""}>
            <p>
              <Time at={started_at} kind="clock" />:{" "}
              {outcome === null ? "under way" : OUTCOME_WORDS[outcome]}
            </p>
            {reason !== null && (
              <p class="quiet" dir="auto">
                <Words text={sentence(reason.message)} /> <code>{reason.code}</code>
              </p>
            )}
          </li>
        ))}
      </ol>
    </section>
  );
}
