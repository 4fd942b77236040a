// The bar on top of every view: the name, where one is, and what one can do from here.
import type { ComponentChildren, VNode } from "preact";

interface Props {
  /** The event's title, linked to its map. */
  event: { slug: string; title: string } | null;
  children?: ComponentChildren;
}

export function Header({ event, children }: Props): VNode {
  return (
    <header class="bar">
      <a class="brand" href="/">
        <svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
          <rect class="brand-ground" width="32" height="32" rx="8" />
          <path
            class="brand-pin"
            d="M16 5.5A7.5 7.5 0 0 0 8.5 13c0 5.2 7.5 13.5 7.5 13.5S23.5 18.2 23.5 13A7.5 7.5 0 0 0 16 5.5Z"
          />
          <circle class="brand-eye" cx="16" cy="13" r="3" />
        </svg>
        <span>Portcall</span>
      </a>
      {event !== null && (
        <a class="bar-event" href={`/events/${event.slug}`}>
          {event.title}
        </a>
      )}
      <div class="bar-rest">{children}</div>
    </header>
  );
}
