// Where organisers want to be told: webhooks, what was told to them, and how that went.
import type { VNode } from "preact";
import { useState } from "preact/hooks";
import type { NewWebhook, Webhook } from "../../api/admin";
import { CopyBlock } from "../../parts/Copy";
import { Time } from "../../parts/time";
import { setSearch, useSearch } from "../../router";
import { Confirm } from "../Confirm";
import { Shown } from "../Panel";
import { useOrganiser } from "../session";
import { NotDone } from "../Trouble";
import { usePolled } from "../usePolled";
import { Deliveries } from "./Deliveries";
import { NewWebhookForm, TOPIC_WORDS } from "./NewWebhook";

const EVERY_MS = 10_000;

export function Webhooks({ slug }: { slug: string }): VNode {
  const { admin } = useOrganiser();
  const polled = usePolled(slug, (signal) => admin.webhooks(slug, signal), EVERY_MS);
  const [made, setMade] = useState<NewWebhook | null>(null);
  return (
    <div class="stack">
      <h1>Webhooks</h1>
      <p class="quiet">
        Portcall posts a signed message to each address when something happens, and tries again
        while it is not answered.
      </p>
      {made !== null && <Secret made={made} onDone={() => setMade(null)} />}
      <Shown polled={polled} what="webhooks">
        {({ webhooks }) =>
          webhooks.length === 0 ? (
            <p class="empty">There is no webhook yet.</p>
          ) : (
            <ul class="cards" data-testid="webhook-list">
              {webhooks.map((webhook) => (
                <One key={webhook.id} webhook={webhook} onChanged={polled.refresh} />
              ))}
            </ul>
          )
        }
      </Shown>
      <NewWebhookForm
        slug={slug}
        onMade={(webhook) => {
          setMade(webhook);
          polled.refresh();
        }}
      />
    </div>
  );
}

function Secret({ made, onDone }: { made: NewWebhook; onDone: () => void }): VNode {
  return (
    <section class="panel-box secret" aria-labelledby="secret-title" data-testid="webhook-secret">
      <h2 id="secret-title">The secret of the new webhook</h2>
      <p>
        Messages to <code>{made.url}</code> are signed with it. It is shown this once: copy it now.
      </p>
      <CopyBlock label="Secret of the webhook" text={made.secret} />
      <button type="button" class="button" onClick={onDone}>
        I have copied it
      </button>
    </section>
  );
}

function One({ webhook, onChanged }: { webhook: Webhook; onChanged: () => void }): VNode {
  const { admin } = useOrganiser();
  const { id, url, on, created_at, created_by, disabled_at } = webhook;
  const search = useSearch();
  const shown = new URLSearchParams(search).get("show") === id;
  const [deleting, setDeleting] = useState(false);
  const [pinged, setPinged] = useState(0);
  const [error, setError] = useState<Error | null>(null);
  const ping = async (): Promise<void> => {
    setError(null);
    try {
      await admin.ping(id);
      setPinged((n) => n + 1);
      setSearch(`?show=${id}`, "replace");
    } catch (caught) {
      setError(caught instanceof Error ? caught : new Error(String(caught)));
    }
  };
  return (
    <li class="card still" data-webhook={id}>
      <strong class="webhook-url" dir="ltr">
        {url}
      </strong>
      {disabled_at !== null && (
        <span class="mark mark-failed">
          nothing is sent since <Time at={disabled_at} kind="clock" />
        </span>
      )}
      <span class="quiet">
        {on.map((topic) => TOPIC_WORDS[topic] ?? topic).join(", ")}, made <Time at={created_at} />{" "}
        by <bdi>{created_by}</bdi>
      </span>
      <div class="acts">
        <button
          type="button"
          class="button small"
          data-testid="webhook-deliveries"
          aria-expanded={shown}
          onClick={() => setSearch(shown ? "" : `?show=${id}`, "replace")}
        >
          {shown ? "Hide messages" : "Messages"}
        </button>
        {disabled_at === null && (
          <button
            type="button"
            class="button small"
            data-testid="webhook-ping"
            onClick={() => void ping()}
          >
            Send a ping
          </button>
        )}
        <button
          type="button"
          class="button small danger-quiet"
          data-testid="webhook-delete"
          onClick={() => setDeleting(true)}
        >
          Delete …
        </button>
      </div>
      <NotDone error={error} />
      {shown && <Deliveries key={pinged} id={id} />}
      {deleting && (
        <Confirm
          title="Delete this webhook?"
          word="Delete it"
          danger="danger"
          note="none"
          onConfirm={async () => {
            await admin.deleteWebhook(id);
            onChanged();
          }}
          onClose={() => setDeleting(false)}
        >
          <p>
            <code>{url}</code> is told nothing any more, and the list of what it was told is gone.
          </p>
        </Confirm>
      )}
    </li>
  );
}
