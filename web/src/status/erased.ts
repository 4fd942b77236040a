// What is left of a submission after its personal data was erased. The api overwrites names, places and
// image names with these words; state, times and digests stay.
import type { Submission } from "../api/types";

const NAME = "(erased)";
const IMAGE = "erased.invalid/erased";

/** Nobody can submit such an image: there is no such host. */
export function isErased({ participant, images }: Submission): boolean {
  return participant.name === NAME && images.every(({ ref }) => ref === IMAGE);
}
