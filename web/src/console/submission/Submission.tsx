// A submission's whole history: who sent what, every attempt with its evidence, and what was done to it.
import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Act, Whole } from "../../api/admin";
import { isFinal } from "../../api/types";
import { Time } from "../../parts/time";
import { Words } from "../../parts/Words";
import { navigate } from "../../router";
import { megabytes, queueSentence, STATE_WORDS, sentence } from "../../status/words";
import { AuditLines } from "../AuditLines";
import { Confirm } from "../Confirm";
import { useEvent } from "../event";
import { Panel, Shown } from "../Panel";
import { useOrganiser } from "../session";
import { usePolled } from "../usePolled";
import { Attempts } from "./Attempts";
import { possible, wordsOf } from "./acts";

const RUNNING_MS = 2_000;
const ENDED_MS = 10_000;

export function Submission({ slug, id }: { slug: string; id: string }): VNode {
  const { admin } = useOrganiser();
  const { event } = useEvent();
  const [every, setEvery] = useState(RUNNING_MS);
  const polled = usePolled(id, (signal) => admin.submission(id, signal), every);
  const { value } = polled;
  useEffect(() => {
    if (value === null) return;
    // Where links to it begin, nobody knows its event.
    if (value.event !== slug) navigate(`/console/${value.event}/submissions/${id}`, "replace");
    setEvery(isFinal(value.state) ? ENDED_MS : RUNNING_MS);
    document.title = `${value.participant.name || "Submission"} · ${event?.title ?? slug} · Portcall console`;
  }, [value, event, slug, id]);
  const act = async (wanted: Act, note: string): Promise<void> => {
    const now = await admin.act(id, wanted, note);
    if (now === null) polled.refresh();
    else polled.put(now);
  };
  return (
    <div class="stack">
      <p>
        <a href={`/console/${slug}/submissions`}>All submissions</a>
      </p>
      {value === null && <h1 class="unseen">Submission</h1>}
      <Shown polled={polled} what="submission">
        {(submission) => <History submission={submission} slug={slug} onAct={act} />}
      </Shown>
    </div>
  );
}

interface HistoryProps {
  submission: Whole;
  slug: string;
  onAct: (act: Act, note: string) => Promise<void>;
}

function History({ submission, slug, onAct }: HistoryProps): VNode {
  const { id, state, participant, hidden, erased_at, audit } = submission;
  return (
    <>
      <div
        class="section-head"
        data-submission={id}
        data-state={state}
        data-hidden={String(hidden)}
      >
        <div>
          <h1 dir="auto">
            {erased_at === null ? participant.name : "An erased submission"}
            {participant.handle !== null && <span class="quiet"> {participant.handle}</span>}
          </h1>
          <p class="marks">
            <span class={`state small state-${state}`} data-testid="submission-state">
              {STATE_WORDS[state]}
            </span>
            {hidden && <span class="mark mark-warn">hidden from the map</span>}
            {erased_at !== null && (
              <span class="mark">
                erased <Time at={erased_at} />
              </span>
            )}
          </p>
        </div>
        <Acts submission={submission} onAct={onAct} />
      </div>
      <Outcome submission={submission} />
      <Facts submission={submission} slug={slug} />
      <Attempts submission={submission} />
      <Panel title="What was done to it" id="acts">
        {audit.length === 0 ? (
          <p class="empty">No organiser has done anything to it.</p>
        ) : (
          <AuditLines lines={audit} slug={slug} about="one submission" testid="submission-audit" />
        )}
      </Panel>
    </>
  );
}

function Acts({ submission, onAct }: Omit<HistoryProps, "slug">): VNode {
  const [asked, setAsked] = useState<Act | null>(null);
  const words = asked === null ? null : wordsOf(asked);
  return (
    <div class="acts">
      {possible(submission).map((act) => (
        <button
          key={act}
          type="button"
          class={wordsOf(act).danger ? "button danger-quiet" : "button"}
          data-testid={`act-${act}`}
          onClick={() => setAsked(act)}
        >
          {wordsOf(act).button}
        </button>
      ))}
      {words !== null && (
        <Confirm
          title={words.title}
          word={words.word}
          note="asked"
          {...(words.danger ? { danger: "danger" as const } : {})}
          onConfirm={(note) => onAct(words.act, note)}
          onClose={() => setAsked(null)}
        >
          <p>{words.text}</p>
        </Confirm>
      )}
    </div>
  );
}

/** The verdict and its reason, or where it stands in the queue. */
function Outcome({ submission }: { submission: Whole }): VNode | null {
  const { verdict, queue, delayed, deadline, state } = submission;
  if (verdict !== null) {
    const { reason, outcome, at, attempt } = verdict;
    return (
      <div class={`outcome verdict-${outcome}`} data-testid="outcome">
        <p>
          <strong dir="auto">
            {reason === null ? (
              `${STATE_WORDS[outcome]}.`
            ) : (
              <Words text={sentence(reason.message)} />
            )}
          </strong>
        </p>
        {reason !== null && (
          <p>
            <code data-testid="reason-code">{reason.code}</code>
            {reason.hint !== null && (
              <>
                {" "}
                <Words text={sentence(reason.hint)} />
              </>
            )}
          </p>
        )}
        <p class="outcome-more">
          Decided <Time at={at} />, attempt {attempt}.
        </p>
      </div>
    );
  }
  if (isFinal(state)) return null;
  return (
    <div class="outcome">
      {queue !== null && <p>{queueSentence(queue).replace(/^You are/, "It is")}</p>}
      {delayed !== null && (
        <p>
          Delayed, next try at <Time at={delayed.next_try} kind="exact" />:{" "}
          {sentence(delayed.detail)}
        </p>
      )}
      {deadline !== null && (
        <p class="outcome-more">
          This state ends by <Time at={deadline} kind="clock" /> at the latest.
        </p>
      )}
    </div>
  );
}

function Facts({ submission, slug }: { submission: Whole; slug: string }): VNode {
  const { id, contact, place, images, answers, event_version, revision } = submission;
  return (
    <Panel
      title="What was sent"
      id="sent"
      aside={<a href={`/submissions/${id}`}>As the participant sees it</a>}
    >
      <dl class="facts wide">
        <Fact name="Id">
          <code>{id}</code>
        </Fact>
        <Fact name="Submitted">
          <Time at={submission.created_at} kind="clock" />
        </Fact>
        <Fact name="Changed">
          <Time at={submission.updated_at} />, revision {revision}
        </Fact>
        <Fact name="Rules">
          <a href={`/console/${slug}/rules?version=${event_version}`}>version {event_version}</a>
        </Fact>
        {contact !== null && (
          <Fact name="Contact">
            <span dir="auto">{contact}</span>
          </Fact>
        )}
        <Fact name="Place">
          <span dir="auto">{place.label === "" ? "–" : place.label}</span>
          {place.country !== null && ` (${place.country})`}
        </Fact>
        {Object.entries(answers).map(([name, value]) => (
          <Fact key={name} name={name}>
            <span dir="auto">{value}</span>
          </Fact>
        ))}
      </dl>
      <ul class="images">
        {images.map((image, n) => (
          <li key={n}>
            <code class="image-ref">{image.ref}</code>
            {image.alias !== null && <span class="mark">{image.alias}</span>}
            <span class="quiet">
              {[image.platform, image.size === null ? null : megabytes(image.size)]
                .filter((part) => part !== null)
                .join(", ")}
            </span>
            {image.digest !== null && <code class="digest quiet">{image.digest}</code>}
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function Fact({
  name,
  children,
}: {
  name: string;
  children: VNode | (VNode | string | number | false)[];
}): VNode {
  return (
    <div>
      <dt dir="auto">{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
