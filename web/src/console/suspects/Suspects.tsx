// Images that machines went down under, and the machines that lost several of them.
import type { VNode } from "preact";
import { useState } from "preact/hooks";
import type { LosingMachine, Suspect } from "../../api/admin";
import { Time } from "../../parts/time";
import { useSearch } from "../../router";
import { Newer } from "../Paging";
import { Panel, Shown } from "../Panel";
import { useOrganiser } from "../session";
import { usePolled } from "../usePolled";
import { count, counted } from "../words";
import { lossWords, STANDING_CHOICES, standingWords, wantedStanding } from "./words";

const EVERY_MS = 5_000;

export function Suspects({ slug }: { slug: string }): VNode {
  const { admin } = useOrganiser();
  const wanted = wantedStanding(useSearch());
  const polled = usePolled("suspects", (signal) => admin.suspects(signal), EVERY_MS);
  return (
    <div class="stack" data-testid="console-suspects">
      <h1>Suspect images</h1>
      <p class="quiet">
        Images that machines went down under, those of all events together: the machines are shared.
      </p>
      <Shown polled={polled} what="images">
        {({ images, machines }) =>
          images.length === 0 ? (
            <p class="empty">No machine went down under an image.</p>
          ) : (
            <>
              <section aria-label="Images">
                <Standings slug={slug} wanted={wanted} />
                <Images key={wanted ?? ""} slug={slug} images={images} wanted={wanted} />
              </section>
              <Losing machines={machines} />
            </>
          )
        }
      </Shown>
    </div>
  );
}

interface StandingsProps {
  slug: string;
  wanted: string | null;
}

function Standings({ slug, wanted }: StandingsProps): VNode {
  const desk = `/console/${slug}/suspects`;
  const choices = [
    { standing: null, words: "All", href: desk },
    ...STANDING_CHOICES.map(([standing, words]) => ({
      standing,
      words,
      href: `${desk}?standing=${standing}`,
    })),
  ];
  return (
    <nav class="choices" aria-label="Standing">
      {choices.map(({ standing, words, href }) => (
        <a
          key={words}
          class="button small"
          href={href}
          aria-current={standing === wanted ? "true" : undefined}
        >
          {words}
        </a>
      ))}
    </nav>
  );
}

interface ImagesProps extends StandingsProps {
  images: Suspect[];
}

/** In the order in which they were first shown: what changes meanwhile changes in its place. */
function Images({ slug, images, wanted }: ImagesProps): VNode {
  const fitting = images.filter(({ standing }) => wanted === null || standing === wanted);
  const digests = fitting.map(({ digest }) => digest);
  const [shown, setShown] = useState(digests);
  const known = new Map(images.map((image) => [image.digest, image]));
  const rows = shown.flatMap((digest) => known.get(digest) ?? []);
  const newer = digests.filter((digest) => !shown.includes(digest)).length;
  return (
    <>
      <Newer count={newer} what="image" onShow={() => setShown(digests)} />
      {rows.length === 0 ? (
        <p class="empty">No image has this standing.</p>
      ) : (
        <ul class="cards" data-testid="suspect-list">
          {rows.map((image) => (
            <Card key={image.digest} image={image} slug={slug} />
          ))}
        </ul>
      )}
    </>
  );
}

function Card({ image, slug }: { image: Suspect; slug: string }): VNode {
  const { digest, standing, changed_at, graded_alone_now } = image;
  const { mark, kind, means } = standingWords(standing);
  return (
    <li data-digest={digest} data-standing={standing}>
      <a class="card" href={`/console/${slug}/suspects/${digest}`}>
        <code class="digest">{digest}</code>
        <span class={`mark ${kind}`}>{mark}</span>
        {graded_alone_now && <span class="mark">is graded alone now</span>}
        <span class="quiet">
          {lossWords(image)}, changed <Time at={changed_at} />
        </span>
        <span class="card-note">{means}</span>
      </a>
    </li>
  );
}

function Losing({ machines }: { machines: LosingMachine[] }): VNode {
  const several = machines
    .filter(({ images }) => images > 1)
    .sort((a, b) => b.images - a.images || a.machine.localeCompare(b.machine));
  return (
    <Panel title="Machines that lost several" id="losing" testid="losing-machines">
      <p class="quiet">
        A machine that goes down takes along whatever is graded there. One that lost several images
        is perhaps at fault itself.
      </p>
      {several.length === 0 ? (
        <p class="empty">No machine went down under more than one image.</p>
      ) : (
        <ul class="machines">
          {several.map(({ machine, images, cleared }) => (
            <li key={machine} class="machine" data-machine={machine}>
              <strong dir="auto">{machine}</strong>
              <span class="mark mark-warn">{counted(images, "image")}</span>
              <span class="quiet">
                {cleared === 0 ? "none cleared since" : `${count(cleared)} cleared since`}
              </span>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}
