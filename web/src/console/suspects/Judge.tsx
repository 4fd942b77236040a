// What an operator can say of an image, after a question.
import type { VNode } from "preact";
import { useState } from "preact/hooks";
import type { Judgement } from "../../api/admin";
import { Confirm } from "../Confirm";
import { JUDGEMENT_WORDS, judgements } from "./words";

interface Props {
  standing: string;
  onJudge: (wanted: Judgement, note: string) => Promise<void>;
}

export function Judge({ standing, onJudge }: Props): VNode {
  const [asked, setAsked] = useState<Judgement | null>(null);
  return (
    <div class="acts">
      {judgements(standing).map((judgement) => (
        <button
          key={judgement}
          type="button"
          class={judgement === "poison" ? "button danger-quiet" : "button"}
          data-testid={`judge-${judgement}`}
          onClick={() => setAsked(judgement)}
        >
          {JUDGEMENT_WORDS[judgement].button}
        </button>
      ))}
      {asked !== null && (
        <Confirm
          title={JUDGEMENT_WORDS[asked].title}
          word={JUDGEMENT_WORDS[asked].word}
          note="asked"
          {...(asked === "poison" ? { danger: "danger" as const } : {})}
          onConfirm={(note) => onJudge(asked, note)}
          onClose={() => setAsked(null)}
        >
          <p>{JUDGEMENT_WORDS[asked].text}</p>
          <p>This goes for every event, and organisers of all events can read the reason.</p>
        </Confirm>
      )}
    </div>
  );
}
