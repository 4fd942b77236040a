// Where somebody is: free text, with suggestions that carry coordinates. A combobox by the ARIA book.
import type { VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Place } from "../api/types";
import { described, Field, idOf } from "./Field";
import type { Form } from "./form";
import { people, placeNote } from "./places";
import { type Places, usePlaces } from "./usePlaces";

interface Props {
  place: Form["place"];
  error: string | undefined;
  onText: (label: string) => void;
  onPick: (place: Place) => void;
}

const NAME = "place.label";
const LIST = "place-suggestions";
const HINT = "Your city is enough. It becomes your pin on the map.";

export function PlaceInput({ place, error, onText, onPick }: Props): VNode {
  const places = usePlaces(place.spot === null ? place.label.trim() : "", onPick);
  const { active, shown, found, open, close, onKey } = places;
  const note = placeNote(place, found);
  return (
    <Field name={NAME} label="Where are you?" hint={HINT} error={error}>
      <div class="combo">
        <input
          {...described(NAME, error, HINT, "note")}
          type="text"
          role="combobox"
          aria-expanded={shown}
          aria-controls={LIST}
          aria-autocomplete="list"
          aria-activedescendant={shown && active >= 0 ? `${LIST}-${active}` : undefined}
          autocomplete="off"
          maxLength={480}
          value={place.label}
          placeholder="San Francisco"
          onInput={(event) => {
            open();
            onText(event.currentTarget.value);
          }}
          onFocus={open}
          onBlur={close}
          onKeyDown={onKey}
        />
        <Suggestions {...places} />
      </div>
      <p
        class={`note note-${note?.kind ?? "none"}`}
        id={`${idOf(NAME)}-note`}
        data-testid="place-note"
        aria-live="polite"
      >
        {note?.text}
      </p>
    </Field>
  );
}

function Suggestions({ offered, active, shown, pick }: Places): VNode {
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (active >= 0) list.current?.children[active]?.scrollIntoView({ block: "nearest" });
  }, [active]);
  return (
    <div ref={list} id={LIST} role="listbox" aria-label="Places" class="combo-list" hidden={!shown}>
      {offered.map((option, index) => (
        // biome-ignore lint/a11y/useFocusableInteractive: the input keeps the focus
        // biome-ignore lint/a11y/useKeyWithClickEvents: keys are the input's
        <div
          key={`${option.label} ${option.lat}`}
          id={`${LIST}-${index}`}
          role="option"
          aria-selected={index === active}
          data-testid="place-option"
          // Before the blur that would close the list.
          onMouseDown={(event) => event.preventDefault()}
          onClick={() => pick(index)}
        >
          <span dir="auto">{option.label}</span>
          <span class="quiet">{people(option.population)}</span>
        </div>
      ))}
    </div>
  );
}
