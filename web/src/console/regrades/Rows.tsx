// What would change for each submission of a re-grade: before, after.
import type { VNode } from "preact";
import type { RegradeRow, Side } from "../../api/admin";
import { STATE_WORDS } from "../../status/words";
import { CHANGE_WORDS } from "../words";

export function Rows({ rows, slug }: { rows: RegradeRow[]; slug: string }): VNode {
  if (rows.length === 0) return <p class="empty">No more rows here.</p>;
  return (
    <table class="table results regrade-rows" data-testid="regrade-rows">
      <caption class="unseen">What would change for each submission</caption>
      <thead>
        <tr>
          <th scope="col">Submission</th>
          <th scope="col">Before</th>
          <th scope="col">After</th>
          <th scope="col">Change</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row.submission} data-submission={row.submission} data-change={row.change}>
            <td class="result-who">
              <a href={`/console/${slug}/submissions/${row.submission}`}>
                <code>{row.submission}</code>
              </a>
            </td>
            <td>
              <span class="only-narrow quiet">before </span>
              <SideOf side={row.before} />
            </td>
            <td>
              <span class="only-narrow quiet">after </span>
              {row.after === null ? <span class="quiet">–</span> : <SideOf side={row.after} />}
            </td>
            <td>
              <span class={`mark change-${row.change}`}>{CHANGE_WORDS[row.change]}</span>
              {row.undone !== null ? (
                <span class="mark">{row.undone}</span>
              ) : (
                row.applied !== null && <span class="mark">{row.applied}</span>
              )}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function SideOf({ side }: { side: Side }): VNode {
  return (
    <>
      <span class={`state small state-${side.state}`}>{STATE_WORDS[side.state]}</span>
      {side.reason !== null && <code class="reason-code">{side.reason}</code>}
    </>
  );
}
