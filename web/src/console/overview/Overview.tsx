// How the event goes: the queue, the numbers, what fails and why, and the machinery below.
import type { VNode } from "preact";
import { getStats } from "../../api/client";
import type { Stats } from "../../api/types";
import { Panel, Shown } from "../Panel";
import { useOrganiser } from "../session";
import { usePolled } from "../usePolled";
import { count, counted, waited } from "../words";
import { DoorPanel } from "./Door";
import { FleetPanel } from "./Fleet";
import { HistoryPanel } from "./History";
import { Steps } from "./Steps";

const EVERY_MS = 5_000;

export function Overview({ slug }: { slug: string }): VNode {
  const { admin } = useOrganiser();
  const stats = usePolled(slug, (signal) => getStats(slug, signal), EVERY_MS);
  const fleet = usePolled(slug, (signal) => admin.fleet(signal), EVERY_MS);
  return (
    <div class="stack" data-testid="console-overview">
      <h1 class="unseen">Overview</h1>
      <DoorPanel slug={slug} />
      <Panel title="Now" id="now">
        <Shown polled={stats} what="numbers">
          {(value) => <Now stats={value} busy={fleet.value?.busy ?? null} slug={slug} />}
        </Shown>
      </Panel>
      <HistoryPanel slug={slug} />
      <div class="halves">
        <Panel title="Time of each step" id="steps">
          <Shown polled={stats} what="times">
            {(value) => <Steps times={value.step_times} />}
          </Shown>
        </Panel>
        <FleetPanel polled={fleet} />
      </div>
    </div>
  );
}

interface NowProps {
  stats: Stats;
  busy: number | null;
  slug: string;
}

function Now({ stats, busy, slug }: NowProps): VNode {
  const { totals, queue } = stats;
  const of = (state: string): string => `/console/${slug}/submissions?state=${state}`;
  const oldest = queue.oldest_s === null ? "nobody waits" : `oldest: ${waited(queue.oldest_s)}`;
  const slots = counted(queue.slots, "slot");
  return (
    <ul class="tiles">
      <Tile name="Waiting" value={totals.queued} more={oldest} href={of("queued")} />
      <Tile
        name="Being graded"
        value={totals.grading}
        more={busy === null ? slots : `${count(busy)} of ${slots} busy`}
        href={of("grading")}
      />
      <Tile
        name="Passed"
        value={totals.passed}
        more={counted(stats.pins, "pin")}
        href={of("passed")}
        kind="good"
      />
      <Tile
        name="Failed"
        value={totals.failed}
        more={share(totals.failed, totals.passed + totals.failed)}
        href={of("failed")}
        kind="bad"
      />
      <Tile
        name="Undecided"
        value={totals.undetermined}
        more="not their fault"
        href={of("undetermined")}
        kind="warn"
      />
      <Tile
        name="All"
        value={totals.submissions}
        more={counted(stats.participants, "participant")}
        href={`/console/${slug}/submissions`}
      />
    </ul>
  );
}

export function share(part: number, all: number): string {
  return all === 0 ? "none yet" : `${Math.round((100 * part) / all)} % of the decided`;
}

interface TileProps {
  name: string;
  value: number;
  more: string;
  href: string;
  kind?: "good" | "bad" | "warn";
}

function Tile({ name, value, more, href, kind }: TileProps): VNode {
  return (
    <li>
      <a class={kind === undefined ? "tile" : `tile tile-${kind}`} href={href}>
        <span class="tile-name">{name}</span>
        <strong>{count(value)}</strong>
        <span class="quiet">{more}</span>
      </a>
    </li>
  );
}
