// A new re-grade of all that ended in a certain way. The address can say which, so links can fill it.
import type { VNode } from "preact";
import { useState } from "preact/hooks";
import { getStats } from "../../api/client";
import { errorsByField, ProblemError } from "../../api/problem";
import { navigate, useSearch } from "../../router";
import { STATE_WORDS } from "../../status/words";
import { FieldErrorText } from "../../submit/Field";
import { Confirm } from "../Confirm";
import { useOrganiser } from "../session";
import { GRADED } from "../submissions/query";
import { NotDone } from "../Trouble";
import { usePolled } from "../usePolled";
import { counted } from "../words";

export interface Wanted {
  states: string[];
  reasons: string[];
}

/** What a link asks for; words that are none are left out. */
export function wantedOf(search: string): Wanted {
  const query = new URLSearchParams(search);
  const split = (name: string): string[] =>
    (query.get(name) ?? "").split(",").filter((word) => word !== "");
  return {
    states: split("states").filter((state) => GRADED.some((graded) => graded === state)),
    reasons: split("reasons"),
  };
}

/** The same in a sentence. */
export function wantedWords({ states, reasons }: Wanted): string {
  const which =
    states.length === 0 ? "All with a verdict" : `All that ${states.map(ended).join(" or ")}`;
  return reasons.length === 0 ? which : `${which}, because of ${reasons.join(" or ")}`;
}

function ended(state: string): string {
  if (state === "undetermined") return "could not be decided";
  return state === "passed" ? "passed" : "failed";
}

export function NewRegrade({ slug }: { slug: string }): VNode {
  const { admin } = useOrganiser();
  const linked = wantedOf(useSearch());
  const [wanted, setWanted] = useState<Wanted>(linked);
  const [open, setOpen] = useState(linked.states.length + linked.reasons.length > 0);
  const [asking, setAsking] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const stats = usePolled(slug, (signal) => getStats(slug, signal), null);
  const errors =
    error instanceof ProblemError ? errorsByField(error.problem.errors, ["where.states"]) : null;
  const begin = async (note: string): Promise<void> => {
    setError(null);
    const said = note.trim() === "" ? {} : { note: note.trim() };
    try {
      const head = await admin.newRegrade(slug, { where: wanted, ...said });
      navigate(`/console/${slug}/regrades/${head.id}`);
    } catch (caught) {
      // What is wrong with the choice is said beside it, not in the question.
      if (!(caught instanceof ProblemError) || !aboutChoice(caught)) throw caught;
      setError(caught);
    }
  };
  return (
    <details class="panel-box new" open={open} onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary>
        <h2>New re-grade</h2>
      </summary>
      <p class="quiet">
        Grades submissions anew by the current rules, without changing anything. You look at the
        outcome first. To choose single ones, tick them in the list of{" "}
        <a href={`/console/${slug}/submissions`}>submissions</a>.
      </p>
      <Choice
        legend="That ended as"
        hint="None ticked: any of them."
        options={GRADED.map((state) => ({ value: state, words: STATE_WORDS[state] }))}
        chosen={wanted.states}
        onChosen={(states) => setWanted({ ...wanted, states })}
      />
      <Choice
        legend="For the reason"
        hint={stats.value?.reasons.length === 0 ? "There is none yet." : "None ticked: any."}
        options={reasonOptions(stats.value?.reasons ?? [], wanted.reasons)}
        chosen={wanted.reasons}
        onChosen={(reasons) => setWanted({ ...wanted, reasons })}
      />
      <FieldErrorText name="where" error={errors?.get("where.states")} />
      <NotDone error={errors?.get("where.states") === undefined ? error : null} />
      <button
        type="button"
        class="button primary"
        data-testid="regrade-new"
        onClick={() => setAsking(true)}
      >
        Grade them anew …
      </button>
      {asking && (
        <Confirm
          title="Grade them anew?"
          word="Grade them anew"
          note="asked"
          onConfirm={begin}
          onClose={() => setAsking(false)}
        >
          <p>{wantedWords(wanted)}, at most 1,000.</p>
          <p>Nothing changes before you have looked at the outcome and applied it.</p>
        </Confirm>
      )}
    </details>
  );
}

function aboutChoice({ problem }: ProblemError): boolean {
  return problem.errors.some(({ pointer }) => pointer.startsWith("/where"));
}

interface Option {
  value: string;
  words: string;
}

/** Every reason that came, and those that a link names although none came. */
export function reasonOptions(
  known: { code: string; count: number }[],
  wanted: string[],
): Option[] {
  const counted_ = known.map(({ code, count }) => ({
    value: code,
    words: `${code} (${counted(count, "time")})`,
  }));
  const others = wanted.filter((code) => !known.some((one) => one.code === code));
  return [...counted_, ...others.map((code) => ({ value: code, words: code }))];
}

interface ChoiceProps {
  legend: string;
  hint: string;
  options: Option[];
  chosen: string[];
  onChosen: (chosen: string[]) => void;
}

function Choice({ legend, hint, options, chosen, onChosen }: ChoiceProps): VNode {
  const turn = (value: string, on: boolean): void =>
    onChosen(on ? [...chosen, value] : chosen.filter((one) => one !== value));
  return (
    <fieldset class="field">
      <legend>{legend}</legend>
      <p class="hint">{hint}</p>
      <div class="choices">
        {options.map(({ value, words }) => (
          <label key={value} class="choice">
            <input
              type="checkbox"
              checked={chosen.includes(value)}
              onChange={(event) => turn(value, event.currentTarget.checked)}
            />
            <span>{words}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
