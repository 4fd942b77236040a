// What stays around every section of an event: its name, the ways between the sections, the way out.
import type { ComponentChildren, VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { getEvent } from "../api/client";
import { ProblemError } from "../api/problem";
import type { EventDetail } from "../api/types";
import { Header } from "../parts/Header";
import { CONSOLE_SECTIONS, type ConsoleSection } from "../router";
import { Account } from "./Account";
import { EventContext } from "./event";
import { useOrganiser } from "./session";
import { usePolled } from "./usePolled";

const NAMES: Record<ConsoleSection, string> = {
  overview: "Overview",
  submissions: "Submissions",
  regrades: "Re-grades",
  rules: "Rules",
  suspects: "Suspects",
  audit: "Audit",
  webhooks: "Webhooks",
};

export function sectionHref(slug: string, section: ConsoleSection): string {
  return section === "overview" ? `/console/${slug}` : `/console/${slug}/${section}`;
}

interface Props {
  slug: string;
  section: ConsoleSection;
  children: ComponentChildren;
}

export function Frame({ slug, section, children }: Props): VNode {
  const { me } = useOrganiser();
  const polled = usePolled<EventDetail>(slug, (signal) => getEvent(slug, signal), 10_000);
  // Until the new event's answer is there, the old one's must not be shown under its address.
  const event = polled.value?.slug === slug ? polled.value : null;
  const title = event?.title ?? slug;
  useEffect(() => {
    document.title = `${NAMES[section]} · ${title} · Portcall console`;
  }, [section, title]);
  const tab = useRef<HTMLAnchorElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another section is another tab
  useEffect(() => {
    // On a phone not all of them fit: the one that one is in must be among those that are seen.
    tab.current?.scrollIntoView?.({ block: "nearest", inline: "center" });
  }, [section]);
  const mine = me.event === null || me.event === slug;
  return (
    <>
      <Header event={{ slug, title }}>
        <Account />
      </Header>
      <nav class="tabs" aria-label="Console">
        <ul>
          {CONSOLE_SECTIONS.map((one) => (
            <li key={one}>
              <a
                ref={one === section ? tab : null}
                href={sectionHref(slug, one)}
                aria-current={one === section ? "page" : undefined}
              >
                {NAMES[one]}
              </a>
            </li>
          ))}
          {me.role === "operator" && (
            <li class="tabs-end">
              <a href="/console">All events</a>
            </li>
          )}
        </ul>
      </nav>
      <main class="page console" id="main" tabIndex={-1}>
        <EventContext.Provider value={{ event, error: polled.error, refresh: polled.refresh }}>
          {!mine ? (
            <NotMine slug={slug} own={me.event} />
          ) : isMissing(polled.error) ? (
            <Missing slug={slug} />
          ) : (
            children
          )}
        </EventContext.Provider>
      </main>
    </>
  );
}

function isMissing(error: Error | null): boolean {
  return error instanceof ProblemError && error.problem.status === 404;
}

/** Each part of a section would say so for itself. */
function Missing({ slug }: { slug: string }): VNode {
  return (
    <div class="trouble" role="alert" data-testid="trouble" data-kind="missing">
      <h1>There is no such event</h1>
      <p>
        <code>{slug}</code> may be mistyped, or the event was removed.
      </p>
      <a class="button" href="/console">
        To the console
      </a>
    </div>
  );
}

function NotMine({ slug, own }: { slug: string; own: string | null }): VNode {
  return (
    <div class="trouble" role="alert" data-testid="trouble" data-kind="forbidden">
      <h1>Your token is for another event</h1>
      <p>
        It does not extend to <code>{slug}</code>.
      </p>
      {own !== null && (
        <a class="button" href={`/console/${own}`}>
          To {own}
        </a>
      )}
    </div>
  );
}
