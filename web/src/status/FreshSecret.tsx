// Right after a submission was taken in: its secret, which nobody is told a second time.
import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import { CopyBlock } from "../parts/Copy";
import { type Fresh, freshSecret, keptSecret, settleFresh } from "../submit/keep";

export function FreshSecret({ id }: { id: string }): VNode | null {
  const [fresh, setFresh] = useState(() => freshSecret(id));
  // Leaving the page is putting it away.
  useEffect(() => () => settleFresh(id), [id]);
  if (fresh === null) return null;
  if (fresh.secret === null) return keptSecret(id) === null ? <Lost /> : null;
  return (
    <section class="fresh" aria-labelledby="fresh-title" data-testid="secret-once">
      <h2 id="fresh-title">Your secret</h2>
      <p>
        With it you can cancel this submission, or withdraw it later. It is shown only now.{" "}
        {keptWords(fresh)}
      </p>
      <CopyBlock label="Your secret" testid="secret" text={fresh.secret} />
      <p class="actions">
        <button type="button" class="button small" onClick={() => setFresh(null)}>
          I have it
        </button>
      </p>
    </section>
  );
}

function keptWords({ storage }: Fresh): string {
  return storage === "kept"
    ? "This browser keeps it; copy it if you need it elsewhere."
    : "This browser cannot keep it: copy it now.";
}

/** The answer with the secret did not arrive, and there is no other. */
function Lost(): VNode {
  return (
    <p class="strip" role="status" data-testid="secret-lost">
      This had been taken in already by a try whose answer did not reach you. Its secret was in that
      answer, so this submission cannot be taken back from here; the organisers can do it for you.
    </p>
  );
}
