// All errors of a form in one place, each with the way to its field. Takes the focus when it appears.
import type { VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { fieldOf, mendable, nearestField } from "../api/problem";
import type { EventDetail } from "../api/types";
import { useNow } from "../parts/time";
import { Words } from "../parts/Words";
import { idOf } from "./Field";
import { labelOf } from "./form";
import type { Refusal } from "./useSend";

interface Props {
  event: EventDetail;
  refusal: Refusal;
  fields: string[];
}

export function ErrorSummary({ event, refusal, fields }: Props): VNode {
  const { problem, readyAt } = refusal;
  const box = useRef<HTMLElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: every new refusal takes the focus
  useEffect(() => {
    box.current?.focus();
    box.current?.scrollIntoView({ block: "nearest" });
  }, [refusal]);
  const jump = (field: string): void => document.getElementById(idOf(field))?.focus();
  const listed = mendable(problem);
  return (
    <section
      ref={box}
      class="summary"
      role="alert"
      tabIndex={-1}
      data-testid="error-summary"
      data-code={problem.code}
    >
      <h2>{problem.title}</h2>
      {problem.detail !== null && listed.length === 0 && (
        <p>
          <Words text={problem.detail} />
        </p>
      )}
      {listed.length > 0 && (
        <ul>
          {listed.map((error) => {
            const field = nearestField(fieldOf(error.pointer), fields);
            return (
              <li key={error.pointer + error.detail} dir="auto">
                {field === null ? (
                  error.detail
                ) : (
                  <button type="button" class="link" onClick={() => jump(field)}>
                    {/* What the form itself misses it asks for by name. */}
                    {error.code !== "missing" && `${labelOf(event, field)}: `}
                    {error.detail}
                  </button>
                )}
              </li>
            );
          })}
        </ul>
      )}
      {readyAt !== null && <Countdown until={readyAt} />}
    </section>
  );
}

/** Whole seconds until then, or 0. */
export function secondsUntil(until: number, now: number): number {
  return Math.max(0, Math.ceil((until - now) / 1000));
}

/** Counts down for the eyes alone: told every second, it would drown everything else. */
function Countdown({ until }: { until: number }): VNode {
  useNow(250);
  const left = secondsUntil(until, Date.now());
  return (
    <p role="timer" data-testid="retry-after" data-seconds={left}>
      {left > 0 ? `You can send it again in ${left} s.` : "You can send it again now."}
    </p>
  );
}
