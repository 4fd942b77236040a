// A new webhook: where to, and what of.
import type { VNode } from "preact";
import { useRef, useState } from "preact/hooks";
import { type NewWebhook, TOPICS } from "../../api/admin";
import { errorsByField, ProblemError } from "../../api/problem";
import { described, Field, FieldErrorText } from "../../submit/Field";
import { useOrganiser } from "../session";
import { NotDone } from "../Trouble";

export const TOPIC_WORDS: Record<string, string> = {
  verdict: "verdicts",
  cancelled: "cancellations",
  regrade: "re-grades",
};

const FIELDS = ["url", "on"];

interface Props {
  slug: string;
  onMade: (webhook: NewWebhook) => void;
}

export function NewWebhookForm({ slug, onMade }: Props): VNode {
  const { admin } = useOrganiser();
  const [url, setUrl] = useState("");
  const [on, setOn] = useState<string[]>([...TOPICS]);
  const [error, setError] = useState<Error | null>(null);
  const [sending, setSending] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const errors =
    error instanceof ProblemError
      ? errorsByField(error.problem.errors, FIELDS)
      : new Map<string, string>();
  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (sending) return;
    setSending(true);
    setError(null);
    try {
      onMade(await admin.newWebhook(slug, url.trim(), on));
      setUrl("");
    } catch (caught) {
      setError(caught instanceof Error ? caught : new Error(String(caught)));
      input.current?.focus();
    } finally {
      setSending(false);
    }
  };
  return (
    <section class="panel-box" aria-labelledby="new-webhook-title">
      <h2 id="new-webhook-title">New webhook</h2>
      <form class="form" onSubmit={send} noValidate data-testid="webhook-form">
        <Field name="url" label="Address" error={errors.get("url")}>
          <input
            {...described("url", errors.get("url"))}
            ref={input}
            type="url"
            inputMode="url"
            dir="ltr"
            placeholder="https://hooks.example/portcall"
            maxLength={2048}
            value={url}
            onInput={(event) => setUrl(event.currentTarget.value)}
          />
        </Field>
        <fieldset class={errors.has("on") ? "field wrong" : "field"}>
          <legend>It is told of</legend>
          <div class="choices">
            {TOPICS.map((topic) => (
              <label key={topic} class="choice">
                <input
                  type="checkbox"
                  checked={on.includes(topic)}
                  onChange={(event) =>
                    setOn(
                      event.currentTarget.checked
                        ? [...on, topic]
                        : on.filter((one) => one !== topic),
                    )
                  }
                />
                <span>{TOPIC_WORDS[topic]}</span>
              </label>
            ))}
          </div>
          <FieldErrorText name="on" error={errors.get("on")} />
        </fieldset>
        <NotDone error={errors.size === 0 ? error : null} />
        <button type="submit" class="button primary" disabled={sending}>
          {sending ? "One moment …" : "Make it"}
        </button>
      </form>
    </section>
  );
}
