// What is left of a submission after its personal data was erased: state, times and digests.
import type { Submission } from "../api/types";

export function isErased({ erased_at }: Submission): boolean {
  return erased_at !== null;
}
