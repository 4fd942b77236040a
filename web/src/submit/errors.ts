// Which of a refusal's errors still stand beside their fields.
import { errorsByField, mendable } from "../api/problem";
import type { Form } from "./form";
import type { Refusal } from "./useSend";

/**
 * The errors by field. The name of an image is checked anew as it is typed, so what was said of an
 * older one goes; every other error stays until the form is sent again, and nothing jumps meanwhile.
 */
export function errorsOf(
  refusal: Refusal | null,
  form: Form,
  fields: string[],
): Map<string, string> {
  if (refusal === null) return new Map();
  const errors = errorsByField(mendable(refusal.problem), fields);
  for (const [index, image] of form.images.entries()) {
    if (refusal.form.images[index] !== image) errors.delete(`images.${index}`);
  }
  return errors;
}
