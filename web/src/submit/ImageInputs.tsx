// The images of a submission: one line each, as many as the event allows.
import type { VNode } from "preact";
import type { EventDetail } from "../api/types";
import { described, FieldErrorText, idOf } from "./Field";

interface Props {
  rules: EventDetail["images"];
  images: string[];
  errors: Map<string, string>;
  onChange: (images: string[]) => void;
}

export function ImageInputs({ rules, images, errors, onChange }: Props): VNode {
  const set = (index: number, value: string): void =>
    onChange(images.map((image, i) => (i === index ? value : image)));
  const several = rules.max > 1;
  return (
    <fieldset class="field">
      <legend>{several ? "Images" : "Image"}</legend>
      <p class="hint">
        As you would write it after <code>docker pull</code>
        {several &&
          `; ${rules.min === rules.max ? rules.min : `${rules.min} to ${rules.max}`} of them`}
        .{rules.aliases.length > 0 && several && " They reach each other by the names in front."}
      </p>
      {images.map((image, index) => {
        const name = `images.${index}`;
        const error = errors.get(name);
        const alias = rules.aliases[index];
        return (
          <div key={index} class={error === undefined ? "image" : "image wrong"}>
            <div class="image-line">
              <label for={idOf(name)} class={several ? "image-alias" : "unseen"}>
                {alias ?? (several ? `Image ${index + 1}` : "Image")}
              </label>
              <input
                {...described(name, error)}
                type="text"
                inputMode="url"
                autocomplete="off"
                autocapitalize="none"
                spellcheck={false}
                value={image}
                placeholder="you/app:1.0"
                onInput={(event) => set(index, event.currentTarget.value)}
              />
              {images.length > rules.min && images.length > 1 && (
                <button
                  type="button"
                  class="button small"
                  aria-label={`Remove image ${index + 1}`}
                  onClick={() => onChange(images.filter((_, i) => i !== index))}
                >
                  Remove
                </button>
              )}
            </div>
            <FieldErrorText name={name} error={error} />
          </div>
        );
      })}
      {images.length < rules.max && (
        <button
          type="button"
          class="button small"
          data-testid="add-image"
          onClick={() => onChange([...images, ""])}
        >
          Add an image
        </button>
      )}
    </fieldset>
  );
}
