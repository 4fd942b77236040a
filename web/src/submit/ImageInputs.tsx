// The images of a submission: one line each, as many as the event allows, checked while they are typed.
import type { VNode } from "preact";
import type { EventDetail } from "../api/types";
import { Words } from "../parts/Words";
import { described, FieldErrorText, idOf } from "./Field";
import { type ImageHint, useImageCheck } from "./useImageCheck";

interface Props {
  slug: string;
  rules: EventDetail["images"];
  images: string[];
  errors: Map<string, string>;
  onChange: (images: string[]) => void;
}

export function ImageInputs({ slug, rules, images, errors, onChange }: Props): VNode {
  const set = (index: number, value: string): void =>
    onChange(images.map((image, i) => (i === index ? value : image)));
  const several = rules.max > 1;
  const removable = images.length > Math.max(1, rules.min);
  return (
    <fieldset class="field">
      <legend>{several ? "Images" : "Image"}</legend>
      <p class="hint">
        As you would write it after <code>docker pull</code>
        {several &&
          `; ${rules.min === rules.max ? rules.min : `${rules.min} to ${rules.max}`} of them`}
        .{rules.aliases.length > 0 && several && " They reach each other by the names in front."}
      </p>
      {images.map((image, index) => (
        <ImageLine
          key={index}
          slug={slug}
          index={index}
          label={rules.aliases[index] ?? (several ? `Image ${index + 1}` : "Image")}
          labelled={several ? "shown" : "unseen"}
          image={image}
          error={errors.get(`images.${index}`)}
          onInput={(value) => set(index, value)}
          onRemove={removable ? () => onChange(images.filter((_, i) => i !== index)) : null}
        />
      ))}
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

interface LineProps {
  slug: string;
  index: number;
  label: string;
  labelled: "shown" | "unseen";
  image: string;
  error: string | undefined;
  onInput: (value: string) => void;
  onRemove: (() => void) | null;
}

function ImageLine(props: LineProps): VNode {
  const { slug, index, label, labelled, image, error, onInput, onRemove } = props;
  const name = `images.${index}`;
  const hint = useImageCheck(slug, image);
  return (
    <div class={error === undefined ? "image" : "image wrong"}>
      <div class="image-line">
        <label for={idOf(name)} class={labelled === "shown" ? "image-alias" : "unseen"} dir="auto">
          {label}
        </label>
        <input
          {...described(name, error, undefined, "note")}
          type="text"
          inputMode="url"
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
          value={image}
          placeholder="you/app:1.0"
          onInput={(event) => onInput(event.currentTarget.value)}
        />
        {onRemove !== null && (
          <button
            type="button"
            class="button small"
            aria-label={`Remove image ${index + 1}`}
            onClick={onRemove}
          >
            Remove
          </button>
        )}
      </div>
      <FieldErrorText name={name} error={error} />
      {/* What the server said of this very name says more than what its spelling does. */}
      <Hint index={index} hint={error === undefined ? hint : { state: "none" }} />
    </div>
  );
}

function Hint({ index, hint }: { index: number; hint: ImageHint }): VNode {
  return (
    <p
      class={`note image-hint hint-${hint.state}`}
      id={`${idOf(`images.${index}`)}-note`}
      data-testid={`image-hint-${index}`}
      data-state={hint.state}
      aria-live="polite"
    >
      <HintText hint={hint} />
    </p>
  );
}

function HintText({ hint }: { hint: ImageHint }): VNode | null {
  switch (hint.state) {
    case "none":
      return null;
    case "waiting":
      return <span class="quiet">Reading the name …</span>;
    case "good":
      return (
        <>
          <span class="unseen">This name is read as </span>
          <Tick />
          <code>{hint.canonical}</code>
        </>
      );
    case "bad":
      return <Words text={hint.detail} />;
  }
}

function Tick(): VNode {
  return (
    <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
      <path d="M2.5 8.5 6.5 12.5 13.5 4" fill="none" stroke="currentColor" stroke-width="2.2" />
    </svg>
  );
}
