// What was found: a table where there is room, cards where there is not. The same elements for both.
import type { VNode } from "preact";
import type { Found } from "../../api/admin";
import { Time } from "../../parts/time";
import { STATE_WORDS } from "../../status/words";
import type { Row } from "../kept";
import { GRADED } from "./query";

/** Most submissions that one request may name. */
export const MOST_CHOSEN = 400;

interface Props {
  slug: string;
  rows: Row<Found>[];
  chosen: ReadonlySet<string>;
  onChosen: (chosen: ReadonlySet<string>) => void;
}

/** Whether there is a verdict that another grading could change. */
export function canRegrade({ state, erased_at }: Found): boolean {
  return erased_at === null && GRADED.includes(state);
}

export function Results({ slug, rows, chosen, onChosen }: Props): VNode {
  const eligible = rows.map(({ row }) => row).filter(canRegrade);
  const all = eligible.length > 0 && eligible.every(({ id }) => chosen.has(id));
  const choose = (ids: string[], on: boolean): void => {
    const next = new Set(chosen);
    for (const id of ids) {
      if (!on) next.delete(id);
      else if (next.size < MOST_CHOSEN) next.add(id);
    }
    onChosen(next);
  };
  return (
    <table class="table results" data-testid="console-results">
      <thead>
        <tr>
          <th scope="col" class="pick">
            <label class="pick-label">
              <input
                type="checkbox"
                aria-label="Choose all of this page that can be re-graded"
                checked={all}
                disabled={eligible.length === 0}
                onChange={(event) =>
                  choose(
                    eligible.map(({ id }) => id),
                    event.currentTarget.checked,
                  )
                }
              />
            </label>
          </th>
          <th scope="col">Participant</th>
          <th scope="col">State</th>
          <th scope="col">Place</th>
          <th scope="col">Images</th>
          <th scope="col">Submitted</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((one) => (
          <ResultRow
            key={one.row.id}
            slug={slug}
            one={one}
            chosen={chosen.has(one.row.id)}
            onChosen={(on) => choose([one.row.id], on)}
          />
        ))}
      </tbody>
    </table>
  );
}

interface RowProps {
  slug: string;
  one: Row<Found>;
  chosen: boolean;
  onChosen: (on: boolean) => void;
}

function ResultRow({ slug, one, chosen, onChosen }: RowProps): VNode {
  const { row, left } = one;
  const { id, state, reason, participant, place, images, hidden, erased_at, created_at } = row;
  const name = erased_at === null ? participant.name : "(erased)";
  return (
    <tr
      class={left ? "result left" : "result"}
      data-submission={id}
      data-state={state}
      data-hidden={hidden ? "true" : "false"}
    >
      <td class="pick">
        <label class="pick-label">
          <input
            type="checkbox"
            aria-label={`Choose ${name}`}
            checked={chosen}
            disabled={!canRegrade(row)}
            onChange={(event) => onChosen(event.currentTarget.checked)}
          />
        </label>
      </td>
      <td class="result-who">
        <a href={`/console/${slug}/submissions/${id}`}>
          <bdi>{name}</bdi>
        </a>
        {participant.handle !== null && participant.handle !== "" && (
          <span class="quiet" dir="auto">
            {" "}
            {participant.handle}
          </span>
        )}
      </td>
      <td class="result-state">
        <span class={`state small state-${state}`}>{STATE_WORDS[state]}</span>
        {reason !== null && <code class="reason-code">{reason}</code>}
        {hidden && <span class="mark mark-warn">hidden</span>}
        {left && <span class="mark">no longer matches</span>}
      </td>
      <td class="result-place">
        <span dir="auto">{place.label}</span>
        {place.country !== null && <span class="quiet"> {place.country}</span>}
      </td>
      <td class="result-images">
        {images.map((image, n) => (
          <code key={n} title={image}>
            {image}
          </code>
        ))}
      </td>
      <td class="result-when quiet">
        <Time at={created_at} />
      </td>
    </tr>
  );
}
