// Lines of the audit log, as a list: when, who, what, why, and how it ended.
import type { VNode } from "preact";
import type { AuditLine } from "../api/admin";
import { Time } from "../parts/time";
import { actWords, detailPairs, outcomeWord, regradeOf, suspectOf } from "./words";

interface Props {
  lines: AuditLine[];
  slug: string;
  testid?: string;
  /** Beside the submission that they are about, its link says nothing. */
  about?: "one submission";
}

export function AuditLines({ lines, slug, testid, about }: Props): VNode {
  return (
    <ol class="audit" data-testid={testid}>
      {lines.map((line) => (
        <Line key={line.id} line={line} slug={slug} linked={about === undefined} />
      ))}
    </ol>
  );
}

interface LineProps {
  line: AuditLine;
  slug: string;
  linked: boolean;
}

function Line({ line, slug, linked }: LineProps): VNode {
  const { at, by, role, what, submission, note, detail, outcome } = line;
  const regrade = regradeOf(line);
  const suspect = suspectOf(line);
  const pairs = detailPairs(detail).filter(([name]) => name !== "regrade");
  return (
    <li class="audit-line" data-what={what} data-outcome={outcome ?? ""}>
      <p class="audit-main">
        <strong>{actWords(what)}</strong>
        {outcome !== "done" && (
          <span class={outcome === null ? "mark mark-warn" : "mark mark-failed"}>
            {outcomeWord(outcome)}
          </span>
        )}
        {linked && submission !== null && (
          <a href={`/console/${slug}/submissions/${submission}`}>the submission</a>
        )}
        {regrade !== null && <a href={`/console/${slug}/regrades/${regrade}`}>the re-grade</a>}
        {suspect !== null && <a href={`/console/${slug}/suspects/${suspect}`}>the image</a>}
      </p>
      {note !== null && (
        <blockquote class="audit-note" dir="auto">
          {note}
        </blockquote>
      )}
      <p class="audit-more quiet">
        <Time at={at} /> by <span dir="auto">{by}</span>, {role}
        {pairs.map(([name, value]) => (
          <span key={name} class="audit-pair">
            {name} <code dir="auto">{value}</code>
          </span>
        ))}
      </p>
    </li>
  );
}
