// One image that machines went down under: what is done with it, what was lost, and what operators said.
import type { VNode } from "preact";
import { useEffect } from "preact/hooks";
import type { Judgement, Loss, Suspect, SuspectOrder } from "../../api/admin";
import { Time } from "../../parts/time";
import { useEvent } from "../event";
import { Panel, Shown } from "../Panel";
import { useOrganiser } from "../session";
import { usePolled } from "../usePolled";
import { Judge } from "./Judge";
import { circumstances, lossWords, orderWords, standingWords } from "./words";

const EVERY_MS = 5_000;
/** So much of a digest tells it from others in the title. */
const TITLE_LETTERS = 19;

interface Props {
  slug: string;
  digest: string;
}

export function SuspectView({ slug, digest }: Props): VNode {
  const { admin } = useOrganiser();
  const { event } = useEvent();
  const polled = usePolled("suspects", (signal) => admin.suspects(signal), EVERY_MS);
  const { value, put } = polled;
  useEffect(() => {
    if (value === null) return;
    document.title = `${digest.slice(0, TITLE_LETTERS)} · Suspects · ${event?.title ?? slug} · Portcall console`;
  }, [value, digest, event, slug]);
  const judge = async (wanted: Judgement, note: string): Promise<void> => {
    const now = await admin.judge(slug, digest, wanted, note);
    if (value === null) return;
    const images = value.images.map((image) => (image.digest === digest ? now : image));
    put({ ...value, images });
  };
  return (
    <div class="stack">
      <p>
        <a href={`/console/${slug}/suspects`}>All suspect images</a>
      </p>
      {value === null && <h1 class="unseen">Suspect image</h1>}
      <Shown polled={polled} what="image">
        {({ images }) => {
          const image = images.find((one) => one.digest === digest);
          return image === undefined ? (
            <Unknown slug={slug} />
          ) : (
            <Known image={image} slug={slug} onJudge={judge} />
          );
        }}
      </Shown>
    </div>
  );
}

function Unknown({ slug }: { slug: string }): VNode {
  return (
    <div class="trouble" role="alert" data-testid="trouble" data-kind="missing">
      <h1>Nothing is known of this image</h1>
      <p>No machine went down under it, or its digest is mistyped.</p>
      <a class="button" href={`/console/${slug}/suspects`}>
        To the list
      </a>
    </div>
  );
}

interface KnownProps {
  image: Suspect;
  slug: string;
  onJudge: (wanted: Judgement, note: string) => Promise<void>;
}

function Known({ image, slug, onJudge }: KnownProps): VNode {
  const { me } = useOrganiser();
  const { digest, standing, changed_at, graded_alone_now, losses, orders } = image;
  const { mark, kind, means } = standingWords(standing);
  return (
    <>
      <div class="section-head" data-testid="suspect" data-digest={digest} data-standing={standing}>
        <div>
          <h1>Suspect image</h1>
          <code class="digest">{digest}</code>
          <p class="marks">
            <span class={`mark ${kind}`}>{mark}</span>
            {graded_alone_now && <span class="mark">is graded alone now</span>}
            <span class="quiet">
              changed <Time at={changed_at} />
            </span>
          </p>
        </div>
        {me.role === "operator" && <Judge standing={standing} onJudge={onJudge} />}
      </div>
      <div class="outcome">
        <p>{means}</p>
        {me.role !== "operator" && (
          <p class="outcome-more">Operators can clear, quarantine or refuse it.</p>
        )}
      </div>
      <Panel
        title="What was lost under it"
        id="losses"
        aside={<span class="quiet">{lossWords(image)}</span>}
      >
        <Losses losses={losses} slug={slug} />
      </Panel>
      <Panel title="What operators said of it" id="orders">
        <Orders orders={orders} />
      </Panel>
    </>
  );
}

function Losses({ losses, slug }: { losses: Loss[]; slug: string }): VNode {
  if (losses.length === 0) {
    return <p class="empty">No machine went down under it.</p>;
  }
  return (
    <ul class="machines" data-testid="suspect-losses">
      {[...losses].reverse().map((loss, n) => {
        const { at, machine, counts, submission } = loss;
        return (
          <li
            key={losses.length - n}
            class="machine"
            data-machine={machine}
            data-counts={counts ? "yes" : "no"}
          >
            <strong dir="auto">{machine}</strong>
            <span class={counts ? "mark mark-warn" : "mark"}>
              {counts ? "counts" : "counts no more"}
            </span>
            <span class="quiet">
              went down <Time at={at} kind="clock" />, <bdi>{circumstances(loss)}</bdi>
            </span>
            {submission !== null && (
              <a href={`/console/${slug}/submissions/${submission}`}>the submission</a>
            )}
          </li>
        );
      })}
    </ul>
  );
}

function Orders({ orders }: { orders: SuspectOrder[] }): VNode {
  if (orders.length === 0) return <p class="empty">No operator has said anything of it.</p>;
  return (
    <ol class="audit" data-testid="suspect-orders">
      {[...orders].reverse().map(({ standing, by, at, note }, n) => (
        <li key={orders.length - n} class="audit-line" data-standing={standing}>
          <p class="audit-main">
            <strong>{orderWords(standing)}</strong>
          </p>
          {note !== null && (
            <blockquote class="audit-note" dir="auto">
              {note}
            </blockquote>
          )}
          <p class="audit-more quiet">
            <Time at={at} /> by <bdi>{by}</bdi>
          </p>
        </li>
      ))}
    </ol>
  );
}
