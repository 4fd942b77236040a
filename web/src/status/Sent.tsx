// What was sent: the images with what they stood for, and the answers.
import type { VNode } from "preact";
import type { Submission } from "../api/types";
import { isErased } from "./erased";
import { megabytes } from "./words";

export function Sent({ submission }: { submission: Submission }): VNode {
  const erased = isErased(submission);
  const answers = Object.entries(submission.answers);
  return (
    <section aria-labelledby="sent-title">
      <h2 id="sent-title">What was sent</h2>
      <ul class="images">
        {submission.images.map((image, index) => (
          <li key={index}>
            {erased ? (
              <span class="quiet">An image whose name was erased</span>
            ) : (
              <code class="image-ref">{image.ref}</code>
            )}
            {image.alias !== null && <span class="mark">{image.alias}</span>}
            <span class="quiet">
              {[image.platform, image.size === null ? null : megabytes(image.size)]
                .filter((part) => part !== null)
                .join(", ")}
            </span>
            {image.digest !== null && <code class="digest quiet">{image.digest}</code>}
          </li>
        ))}
      </ul>
      {answers.length > 0 && (
        <dl class="facts">
          {answers.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd dir="auto">{value}</dd>
            </div>
          ))}
        </dl>
      )}
    </section>
  );
}
