// One labelled input with its hint and its error, tied together for those who cannot see them.
import type { ComponentChildren, VNode } from "preact";

interface FieldProps {
  name: string;
  label: string;
  hint?: string | undefined;
  error: string | undefined;
  optional?: "optional";
  children: ComponentChildren;
}

export function idOf(name: string): string {
  return `field-${name.replaceAll(".", "-")}`;
}

/** What ties an input to its hint, to what is said of it meanwhile, and to its error. */
export function described(
  name: string,
  error: string | undefined,
  hint?: string | undefined,
  note?: "note",
): { id: string; name: string; "aria-invalid"?: "true"; "aria-describedby"?: string } {
  const id = idOf(name);
  const by = [hint && `${id}-hint`, note && `${id}-note`, error && `${id}-error`]
    .filter(Boolean)
    .join(" ");
  return {
    id,
    name,
    ...(error === undefined ? {} : { "aria-invalid": "true" as const }),
    ...(by === "" ? {} : { "aria-describedby": by }),
  };
}

export function Field({ name, label, hint, error, optional, children }: FieldProps): VNode {
  const id = idOf(name);
  return (
    <div class={error === undefined ? "field" : "field wrong"}>
      <label for={id} dir="auto">
        {label}
        {optional !== undefined && <span class="quiet"> (optional)</span>}
      </label>
      {hint !== undefined && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      {children}
      <FieldErrorText name={name} error={error} />
    </div>
  );
}

export function FieldErrorText({
  name,
  error,
}: {
  name: string;
  error: string | undefined;
}): VNode | null {
  if (error === undefined) return null;
  return (
    <p class="field-error" id={`${idOf(name)}-error`} data-testid={`error-${name}`} dir="auto">
      {error}
    </p>
  );
}
