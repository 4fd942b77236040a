// A question of the event: a few choices as buttons, many as a list, everything else as text.
import type { VNode } from "preact";
import type { AnswerField } from "../api/types";
import { described, Field, FieldErrorText, idOf } from "./Field";
import { questionOf } from "./form";

interface Props {
  field: AnswerField;
  value: string;
  error: string | undefined;
  onChange: (value: string) => void;
}

const MOST_BUTTONS = 5;

export function AnswerInput({ field, value, error, onChange }: Props): VNode {
  const name = `answers.${field.name}`;
  const choices = field.one_of;
  if (choices !== null && choices.length <= MOST_BUTTONS) {
    return <Choices {...{ field, value, error, onChange, name, choices }} />;
  }
  return (
    <Field name={name} label={questionOf(field)} error={error}>
      {choices === null ? (
        <input
          {...described(name, error)}
          type="text"
          maxLength={field.max_length ?? undefined}
          value={value}
          onInput={(event) => onChange(event.currentTarget.value)}
        />
      ) : (
        <select
          {...described(name, error)}
          value={value}
          onChange={(event) => onChange(event.currentTarget.value)}
        >
          <option value="">Choose …</option>
          {choices.map((choice) => (
            <option key={choice} value={choice}>
              {choice}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

interface ChoicesProps extends Props {
  name: string;
  choices: string[];
}

function Choices({ field, value, error, onChange, name, choices }: ChoicesProps): VNode {
  return (
    <fieldset
      class={error === undefined ? "field" : "field wrong"}
      aria-describedby={error === undefined ? undefined : `${idOf(name)}-error`}
    >
      <legend dir="auto">{questionOf(field)}</legend>
      <div class="choices">
        {choices.map((choice, index) => (
          <label key={choice} class="choice">
            <input
              type="radio"
              id={index === 0 ? idOf(name) : undefined}
              name={name}
              value={choice}
              checked={value === choice}
              onChange={() => onChange(choice)}
            />
            <span dir="auto">{choice}</span>
          </label>
        ))}
      </div>
      <FieldErrorText name={name} error={error} />
    </fieldset>
  );
}
