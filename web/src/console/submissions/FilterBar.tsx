// The form of a search: what is typed is asked for after a short pause, what is chosen at once.
import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { getStats } from "../../api/client";
import { errorsByField, type ProblemError } from "../../api/problem";
import { STATE_WORDS } from "../../status/words";
import { described, FieldErrorText } from "../../submit/Field";
import { usePolled } from "../usePolled";
import { type Filters, isFiltered, NO_FILTERS, STATES, searchOf } from "./query";

const PAUSE_MS = 350;
const FIELDS = ["q", "state", "reason", "country", "hidden"];

interface Props {
  slug: string;
  filters: Filters;
  problem: ProblemError | null;
  onFilters: (filters: Filters, how: "push" | "replace") => void;
}

export function FilterBar({ slug, filters, problem, onFilters }: Props): VNode {
  const [typed, setTyped] = useState(filters);
  const asked = useRef(searchOf(filters));
  const here = searchOf(filters);
  // A step back, or a link, changes what is asked for: the form follows.
  useEffect(() => {
    if (here === asked.current) return;
    asked.current = here;
    setTyped(filters);
  }, [here, filters]);
  const pause = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(pause.current), []);
  const ask = (next: Filters, how: "push" | "replace"): void => {
    clearTimeout(pause.current);
    asked.current = searchOf(next);
    onFilters(next, how);
  };
  const type = (change: Partial<Filters>): void => {
    const next = { ...typed, ...change };
    setTyped(next);
    clearTimeout(pause.current);
    // Half a code of a country is none; it is asked for once it is whole.
    if (next.country.length === 1) return;
    pause.current = setTimeout(() => ask(next, "replace"), PAUSE_MS);
  };
  const choose = (change: Partial<Filters>): void => {
    const next = { ...typed, ...change };
    setTyped(next);
    ask(next, "push");
  };
  const errors = errorsByField(problem?.problem.errors ?? [], FIELDS);
  const reasons = usePolled(slug, (signal) => getStats(slug, signal), null);
  return (
    <search>
      <form
        class="form filters"
        onSubmit={(event) => {
          event.preventDefault();
          ask(typed, "replace");
        }}
      >
        <Text name="q" label="Name, handle, image, place or id" wide="wide" errors={errors}>
          <input
            {...described("q", errors.get("q"))}
            type="search"
            dir="auto"
            maxLength={200}
            data-testid="console-search"
            value={typed.q}
            onInput={(event) => type({ q: event.currentTarget.value })}
          />
        </Text>
        <Text name="state" label="State" errors={errors}>
          <select
            {...described("state", errors.get("state"))}
            value={typed.state}
            onChange={(event) => choose({ state: event.currentTarget.value })}
          >
            <option value="">Any</option>
            {STATES.map((state) => (
              <option key={state} value={state}>
                {STATE_WORDS[state]}
              </option>
            ))}
          </select>
        </Text>
        <Text name="reason" label="Reason" errors={errors}>
          <input
            {...described("reason", errors.get("reason"))}
            type="search"
            maxLength={80}
            list="known-reasons"
            autocapitalize="off"
            spellcheck={false}
            value={typed.reason}
            onInput={(event) => type({ reason: event.currentTarget.value })}
          />
          <datalist id="known-reasons">
            {reasons.value?.reasons.map(({ code }) => (
              <option key={code} value={code} />
            ))}
          </datalist>
        </Text>
        <Country typed={typed} errors={errors} onType={type} />
        <Text name="hidden" label="On the map" errors={errors}>
          <select
            {...described("hidden", errors.get("hidden"))}
            value={typed.hidden}
            onChange={(event) => choose({ hidden: event.currentTarget.value })}
          >
            <option value="">Any</option>
            <option value="false">Not hidden</option>
            <option value="true">Hidden</option>
          </select>
        </Text>
        {isFiltered(typed) && (
          <button
            type="button"
            class="button filters-clear"
            onClick={() => {
              setTyped(NO_FILTERS);
              ask(NO_FILTERS, "push");
            }}
          >
            Clear
          </button>
        )}
      </form>
    </search>
  );
}

interface CountryProps {
  typed: Filters;
  errors: Map<string, string>;
  onType: (change: Partial<Filters>) => void;
}

function Country({ typed, errors, onType }: CountryProps): VNode {
  return (
    <Text name="country" label="Country" errors={errors}>
      <input
        {...described("country", errors.get("country"))}
        class="filter-country"
        type="text"
        maxLength={2}
        placeholder="US"
        autocapitalize="characters"
        value={typed.country}
        onInput={(event) => onType({ country: event.currentTarget.value })}
      />
    </Text>
  );
}

interface TextProps {
  name: string;
  label: string;
  wide?: "wide";
  errors: Map<string, string>;
  children: VNode | VNode[];
}

function Text({ name, label, wide, errors, children }: TextProps): VNode {
  const error = errors.get(name);
  return (
    <div class={`field ${wide ?? ""} ${error === undefined ? "" : "wrong"}`}>
      <label for={`field-${name}`}>{label}</label>
      {children}
      <FieldErrorText name={name} error={error} />
    </div>
  );
}
