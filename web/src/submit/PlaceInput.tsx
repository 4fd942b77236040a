// Where somebody is: free text, with suggestions that carry coordinates. A combobox by the ARIA book.
import type { VNode } from "preact";
import type { Place } from "../api/types";
import { described, Field } from "./Field";
import type { Form } from "./form";
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
  const { active, shown, open, close, onKey } = places;
  return (
    <Field name={NAME} label="Where are you?" hint={HINT} error={error}>
      <div class="combo">
        <input
          {...described(NAME, error, HINT)}
          type="text"
          role="combobox"
          aria-expanded={shown}
          aria-controls={LIST}
          aria-autocomplete="list"
          aria-activedescendant={shown && active >= 0 ? `${LIST}-${active}` : undefined}
          autocomplete="off"
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
        {place.spot !== null && (
          <span class="combo-spot" aria-hidden="true">
            {place.spot.lat.toFixed(1)}°, {place.spot.lng.toFixed(1)}°
          </span>
        )}
        <Suggestions {...places} />
      </div>
    </Field>
  );
}

function Suggestions({ found, active, shown, pick }: Places): VNode {
  return (
    <div id={LIST} role="listbox" aria-label="Places" class="combo-list" hidden={!shown}>
      {found.map((option, index) => (
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
          {option.label}
        </div>
      ))}
    </div>
  );
}
