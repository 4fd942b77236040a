// What the event checks, and within which limits, beside the form.
import type { VNode } from "preact";
import type { EventDetail, Limits } from "../api/types";

/** The limits that a participant can do something about, in words. */
const LIMITS: [key: keyof Limits, words: (value: number) => string][] = [
  ["memory_mib", (v) => `${v} MiB of memory`],
  ["cpus", (v) => (v === 1 ? "1 CPU" : `${v} CPUs`)],
  ["pids", (v) => `${v} processes`],
  ["ready_s", (v) => `${v} s to listen on port 80`],
  ["request_s", (v) => `${v} s for one answer`],
  ["body_kib", (v) => `${v} KiB for one answer`],
  ["image_mib", (v) => `${v} MiB for an image, compressed`],
  ["grading_s", (v) => `${v} s in all`],
];

function which(image: string): string {
  if (image === "any") return "one of the images";
  if (image === "all") return "every image";
  return /^\d+$/.test(image) ? `image ${Number(image) + 1}` : image;
}

export function Rules({ event }: { event: EventDetail }): VNode {
  const limits = LIMITS.map(([key, words]) => words(event.limits[key]));
  return (
    <aside class="rules" aria-labelledby="rules-title">
      <h2 id="rules-title">What is checked</h2>
      <p class="quiet">
        Your containers are started without internet, and asked on <strong>port 80</strong>.
      </p>
      <ol class="checks">
        {event.checks.map((check) => (
          <li key={check.name}>
            <p>
              <code>
                {check.method} {check.path}
              </code>{" "}
              at {which(check.image)} answers {check.status}
            </p>
            {check.rules.length > 0 && (
              <ul>
                {check.rules.map((rule) => (
                  <li key={rule}>
                    <code>{rule}</code>
                  </li>
                ))}
              </ul>
            )}
          </li>
        ))}
      </ol>
      {event.services.length > 0 && (
        <>
          <h3>Given to you</h3>
          <ul class="plain">
            {event.services.map(({ alias, image }) => (
              <li key={alias}>
                <code>{alias}</code> <span class="quiet">{image}</span>
              </li>
            ))}
          </ul>
        </>
      )}
      <h3>Limits</h3>
      <ul class="limits">
        {limits.map((limit) => (
          <li key={limit}>{limit}</li>
        ))}
      </ul>
      {event.images.registries.length > 0 && (
        <>
          <h3>Registries</h3>
          <p class="quiet">{event.images.registries.join(", ")}</p>
        </>
      )}
    </aside>
  );
}
