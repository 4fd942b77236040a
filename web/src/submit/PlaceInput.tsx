// Where somebody is: free text, with suggestions that carry coordinates. A combobox by the ARIA book.
import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import { findPlaces } from "../api/client";
import type { Place } from "../api/types";
import { described, Field } from "./Field";
import type { Form } from "./form";

interface Props {
  place: Form["place"];
  error: string | undefined;
  onText: (label: string) => void;
  onPick: (place: Place) => void;
}

const NAME = "place.label";
const TYPING_MS = 180;
const LIST = "place-suggestions";

export function PlaceInput({ place, error, onText, onPick }: Props): VNode {
  const [found, setFound] = useState<Place[]>([]);
  const [open, setOpen] = useState(false);
  const [active, setActive] = useState(-1);
  const query = place.spot === null ? place.label.trim() : "";

  useEffect(() => {
    if (query.length < 2) {
      setFound([]);
      return;
    }
    const abort = new AbortController();
    const wait = setTimeout(() => {
      findPlaces(query, abort.signal).then(
        (places) => {
          if (abort.signal.aborted) return;
          setFound(places);
          setActive(-1);
        },
        () => undefined, // free text does without suggestions
      );
    }, TYPING_MS);
    return () => {
      clearTimeout(wait);
      abort.abort();
    };
  }, [query]);

  const shown = open && found.length > 0;
  const pick = (index: number): void => {
    const picked = found[index];
    if (picked === undefined) return;
    setOpen(false);
    onPick(picked);
  };
  const onKey = (event: KeyboardEvent): void => {
    if (event.key === "Escape") setOpen(false);
    if (!shown) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const step = event.key === "ArrowDown" ? 1 : -1;
      setActive(
        (now) => (now + step + found.length + (now < 0 && step < 0 ? 1 : 0)) % found.length,
      );
    } else if (event.key === "Enter" && active >= 0) {
      pick(active);
    } else return;
    event.preventDefault();
  };

  const hint = "Your city is enough. It becomes your pin on the map.";
  return (
    <Field name={NAME} label="Where are you?" hint={hint} error={error}>
      <div class="combo">
        <input
          {...described(NAME, error, hint)}
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
            setOpen(true);
            onText(event.currentTarget.value);
          }}
          onFocus={() => setOpen(true)}
          onBlur={() => setOpen(false)}
          onKeyDown={onKey}
        />
        {place.spot !== null && (
          <span class="combo-spot" aria-hidden="true">
            {place.spot.lat.toFixed(1)}°, {place.spot.lng.toFixed(1)}°
          </span>
        )}
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
      </div>
    </Field>
  );
}
