// One question to a container and what came back, word for word. Strangers' text, so text only.
import type { VNode } from "preact";
import type { Transcript as Exchange } from "../api/types";
import { Pre } from "../parts/Pre";
import { duration } from "../parts/time";

interface Props {
  exchange: Exchange;
  /** How often it was asked with this very answer. */
  times: number;
}

export function Transcript({ exchange, times }: Props): VNode {
  const { request, address, status, headers, body, body_bytes, truncated, ms, error } = exchange;
  const shownHeaders = headers.map(([name, value]) => `${name}: ${value}`).join("\n");
  return (
    <div class="exchange" data-testid="transcript">
      <p class="exchange-line">
        <code>{request}</code> <span class="quiet">to {address}</span>
        {times > 1 && <span class="quiet">asked {times} times, the same answer each time</span>}
      </p>
      <p class="exchange-line">
        {status !== null && (
          <span class={status < 400 ? "status-code" : "status-code bad"}>{status}</span>
        )}
        {error !== null && <span class="status-code bad">{error}</span>}
        {ms !== null && <span class="quiet">{duration(ms)}</span>}
      </p>
      {shownHeaders !== "" && <Pre kind="headers" text={shownHeaders} />}
      {body !== "" && <Pre kind="body" testid="transcript-body" text={body} />}
      {truncated && <p class="quiet">The beginning of {body_bytes} bytes.</p>}
      {!truncated && status !== null && body_bytes === 0 && <p class="quiet">No body.</p>}
    </div>
  );
}
