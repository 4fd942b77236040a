// What stands beside the board's map: who passed last, from which countries, and what waits.
import type { VNode } from "preact";
import type { Pin, Stats } from "../api/types";
import { Time } from "../parts/time";
import { ranking, waitingWords } from "./words";

const NUMBER = new Intl.NumberFormat();
const MOST_COUNTRIES = 5;

interface Props {
  recent: Pin[] | null;
  arrived: ReadonlySet<string>;
  stats: Stats | null;
}

export function Side({ recent, arrived, stats }: Props): VNode {
  return (
    <div class="board-side">
      <Recent recent={recent} arrived={arrived} />
      <Countries countries={stats?.countries ?? []} />
      <Waiting stats={stats} />
    </div>
  );
}

function Recent({ recent, arrived }: Pick<Props, "recent" | "arrived">): VNode {
  return (
    <section class="board-recent" aria-label="The latest successes">
      <h2>Just passed</h2>
      {recent !== null && recent.length === 0 ? (
        <p class="quiet">Nobody yet. The first success appears here within seconds.</p>
      ) : (
        <ol class="recent" data-testid="board-recent">
          {(recent ?? []).map(({ properties: { submission, name, place, at } }) => (
            <li
              key={submission}
              class={arrived.has(submission) ? "success fresh" : "success"}
              data-submission={submission}
            >
              <span class="success-name" dir="auto">
                {name}
              </span>
              <span class="success-place">
                <span class="success-where" dir="auto">
                  {place}
                </span>{" "}
                <Time at={at} />
              </span>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

function Countries({ countries }: { countries: Stats["countries"] }): VNode {
  const [ranks, more] = ranking(countries, MOST_COUNTRIES);
  return (
    <section class="board-countries" aria-label="Countries">
      <h2>Countries{more > 0 && <span class="more"> and {NUMBER.format(more)} more</span>}</h2>
      <ol class="ranks" data-testid="board-countries">
        {ranks.map(({ country, name, pins, share }) => (
          <li key={country} data-country={country} style={{ "--share": share.toFixed(4) }}>
            <span class="rank-name">{name}</span>
            <span class="rank-pins">{NUMBER.format(pins)}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}

function Waiting({ stats }: { stats: Stats | null }): VNode {
  const words = stats === null ? null : waitingWords(stats);
  return (
    <section class="board-waiting" aria-label="The queue">
      <h2>Queue</h2>
      <p data-testid="board-queue">
        {words?.now ?? "–"}
        {words?.since != null && <span class="quiet"> {words.since}</span>}
      </p>
    </section>
  );
}
