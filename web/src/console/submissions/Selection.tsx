// What was chosen in the list, whatever page it was on, and the way to grade it anew.
import type { VNode } from "preact";
import { useState } from "preact/hooks";
import { navigate } from "../../router";
import { Confirm } from "../Confirm";
import { useOrganiser } from "../session";
import { counted } from "../words";
import { MOST_CHOSEN } from "./Results";

interface Props {
  slug: string;
  chosen: ReadonlySet<string>;
  onClear: () => void;
}

export function Selection({ slug, chosen, onClear }: Props): VNode | null {
  const { admin } = useOrganiser();
  const [asking, setAsking] = useState(false);
  const regrade = async (note: string): Promise<void> => {
    const said = note.trim() === "" ? {} : { note: note.trim() };
    const head = await admin.newRegrade(slug, { submissions: [...chosen], ...said });
    navigate(`/console/${slug}/regrades/${head.id}`);
  };
  if (chosen.size === 0) return null;
  return (
    <section class="selection" aria-label="Chosen submissions">
      <p role="status">
        <strong>{counted(chosen.size, "submission")}</strong> chosen
        {chosen.size >= MOST_CHOSEN && ", the most at once"}
      </p>
      <button type="button" class="button" onClick={onClear}>
        Clear
      </button>
      <button
        type="button"
        class="button primary"
        data-testid="regrade-new"
        onClick={() => setAsking(true)}
      >
        Re-grade …
      </button>
      {asking && (
        <Confirm
          title={`Grade ${counted(chosen.size, "submission")} anew?`}
          word="Grade them anew"
          note="asked"
          onConfirm={regrade}
          onClose={() => setAsking(false)}
        >
          <p>
            They are graded by the current rules, as copies that nobody sees. Nothing changes before
            you have looked at the outcome and applied it.
          </p>
        </Confirm>
      )}
    </section>
  );
}
