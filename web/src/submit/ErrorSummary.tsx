// All errors of a form in one place, each with the way to its field. Takes the focus when it appears.
import type { VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { fieldOf, nearestField, type Problem } from "../api/problem";
import { idOf } from "./Field";

interface Props {
  problem: Problem;
  fields: string[];
  retryAfterS: number | null;
}

export function ErrorSummary({ problem, fields, retryAfterS }: Props): VNode {
  const box = useRef<HTMLElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: every new problem takes the focus
  useEffect(() => {
    box.current?.focus();
  }, [problem]);
  const jump = (field: string): void => document.getElementById(idOf(field))?.focus();
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
      {problem.detail !== null && problem.errors.length === 0 && <p>{problem.detail}</p>}
      {problem.errors.length > 0 && (
        <ul>
          {problem.errors.map((error) => {
            const field = nearestField(fieldOf(error.pointer), fields);
            return (
              <li key={error.pointer + error.detail}>
                {field === null ? (
                  error.detail
                ) : (
                  <button type="button" class="link" onClick={() => jump(field)}>
                    {error.detail}
                  </button>
                )}
              </li>
            );
          })}
        </ul>
      )}
      {retryAfterS !== null && <p>Try again in {Math.ceil(retryAfterS)} s.</p>}
    </section>
  );
}
