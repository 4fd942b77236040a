// Why it ended as it did: each check with its transcripts, the containers' last words, and how to repeat it.
import type { VNode } from "preact";
import type { Check, CheckFailure, ContainerEnd, Evidence as Proof } from "../api/types";
import { CopyBlock } from "../parts/Copy";
import { Pre } from "../parts/Pre";
import { Words } from "../parts/Words";
import { Transcript } from "./Transcript";
import { distinct, saysNoMore, sentence, shown } from "./words";

interface Props {
  evidence: Proof;
  images: number;
  /** Of a success no logs are kept, so their absence says nothing. */
  logs: "kept" | "not kept";
}

export function Evidence({ evidence, images, logs }: Props): VNode {
  const { checks = [], containers = [], reproduce = [] } = evidence;
  return (
    <>
      {checks.length > 0 && (
        <section aria-labelledby="checks-title">
          <h2 id="checks-title">Checks</h2>
          {checks.map((check) => (
            <CheckBox key={`${check.name} ${check.image}`} check={check} images={images} />
          ))}
        </section>
      )}
      {containers.length > 0 && (
        <section aria-labelledby="containers-title">
          <h2 id="containers-title">Containers</h2>
          {containers.map((container) => (
            <ContainerBox key={container.alias} container={container} logs={logs} />
          ))}
        </section>
      )}
      {reproduce.length > 0 && (
        <section aria-labelledby="reproduce-title">
          <h2 id="reproduce-title">See it for yourself</h2>
          <p class="quiet">These lines do on your machine what was done here, one after another.</p>
          <ol class="lines" data-testid="reproduce">
            {reproduce.map((line, index) => (
              <li key={index}>
                <CopyBlock label={`line ${index + 1}`} text={line} />
              </li>
            ))}
          </ol>
        </section>
      )}
    </>
  );
}

function CheckBox({ check, images }: { check: Check; images: number }): VNode {
  const { name, image, passed, skipped, failures, transcripts } = check;
  const outcome = skipped !== null ? "skipped" : passed ? "passed" : "failed";
  return (
    <details class={`check check-${outcome}`} data-testid="check" open={outcome !== "passed"}>
      <summary>
        <span class={`mark mark-${outcome}`}>{outcome}</span>
        <strong>{name}</strong>{" "}
        {image !== null && images > 1 && <span class="quiet">image {image + 1}</span>}
      </summary>
      {skipped !== null && (
        <p class="quiet">
          <Words text={sentence(skipped)} />
        </p>
      )}
      {failures.length > 0 && <Failures failures={failures} />}
      {distinct(transcripts).map(({ exchange, times }, index) => (
        <Transcript key={index} exchange={exchange} times={times} />
      ))}
    </details>
  );
}

function Failures({ failures }: { failures: CheckFailure[] }): VNode {
  return (
    <ul class="failures" data-testid="failures">
      {failures.map((failure) => (
        <li key={`${failure.path} ${failure.message}`}>
          {!saysNoMore(failure) && (
            <p>
              <Words text={sentence(failure.message)} />
            </p>
          )}
          {failure.path !== "" && (
            <dl class="compare">
              <div>
                <dt>Path</dt>
                <dd>
                  <code>{failure.path}</code>
                </dd>
              </div>
              <div>
                <dt>Expected</dt>
                <dd class="expected">
                  <code>{shown(failure.expected)}</code>
                </dd>
              </div>
              <div>
                <dt>Got</dt>
                <dd class="got">
                  <code>{shown(failure.got)}</code>
                </dd>
              </div>
            </dl>
          )}
        </li>
      ))}
    </ul>
  );
}

interface ContainerProps extends Pick<Props, "logs"> {
  container: ContainerEnd;
}

function ContainerBox({ container, logs }: ContainerProps): VNode {
  const { image, alias, exit_code, oom_killed, log } = container;
  return (
    <div class="container" data-testid="container">
      <p>
        <strong>{alias}</strong> {image === null && <span class="quiet">given by the event, </span>}
        {exit_code === null ? (
          <span class="quiet">was running until the end</span>
        ) : (
          <span class="status-code bad">exited with code {exit_code}</span>
        )}
        {oom_killed && <span class="status-code bad">, out of memory</span>}
      </p>
      {log !== "" && <Pre testid="log" text={log} />}
      {log === "" && logs === "kept" && <p class="quiet">It wrote no log lines.</p>}
    </div>
  );
}
