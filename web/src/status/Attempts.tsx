// Attempts before the one that is shown: a retry is nothing to hide.
import type { VNode } from "preact";
import type { Attempt } from "../api/types";
import { Time } from "../parts/time";
import { Words } from "../parts/Words";
import { sentence } from "./words";

export function EarlierAttempts({ attempts }: { attempts: Attempt[] }): VNode | null {
  if (attempts.length === 0) return null;
  return (
    <section aria-labelledby="attempts-title">
      <h2 id="attempts-title">Earlier attempts</h2>
      <ol class="attempts">
        {attempts.map((attempt) => (
          <li key={attempt.n} value={attempt.n}>
            <Time at={attempt.started_at} kind="clock" />, {attempt.outcome ?? "unfinished"}
            {attempt.reason !== null && (
              <>
                : <Words text={sentence(attempt.reason.message)} />{" "}
                <code>{attempt.reason.code}</code>
              </>
            )}
          </li>
        ))}
      </ol>
    </section>
  );
}
