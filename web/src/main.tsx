// The start of the page: which view the address asks for, each loaded when it is first shown.
import { type ComponentType, render, type VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import { listEvents } from "./api/client";
import { pickEvent } from "./events";
import { Header } from "./parts/Header";
import { Failed, Loading, Notice } from "./parts/Notice";
import { useResource } from "./parts/resource";
import { followLinks, parsePath, type Route, usePath } from "./router";

/** Whether somebody went on from the view that they came to. */
let moved = false;

function focusMain(): void {
  document.getElementById("main")?.focus({ preventScroll: true });
}

/** Shows a view as soon as its code is there. */
function Later<P extends object>({
  load,
  what,
  props,
}: {
  load: () => Promise<ComponentType<P>>;
  what: string;
  props: P;
}): VNode {
  const [resource, retry] = useResource<ComponentType<P>>(what, load);
  // What had the focus is gone with what was shown meanwhile.
  // biome-ignore lint/correctness/useExhaustiveDependencies: whenever something else is shown
  useEffect(() => {
    const lost = document.activeElement === null || document.activeElement === document.body;
    if (moved && lost) focusMain();
  }, [resource.state]);
  if (resource.state === "ready") {
    const View = resource.value;
    return <View {...props} />;
  }
  return (
    <Plain>
      {resource.state === "loading" ? (
        <Loading what={what} />
      ) : (
        <Failed what={what} error={resource.error} onRetry={retry} />
      )}
    </Plain>
  );
}

const loadMap = () => import("./map").then((module) => module.MapView);
const loadBoard = () => import("./board/Board").then((module) => module.BoardView);
const loadSubmit = () => import("./submit").then((module) => module.SubmitView);
const loadStatus = () => import("./status").then((module) => module.StatusView);
const loadConsole = () => import("./console/Console").then((module) => module.ConsoleView);

function Plain({ children }: { children: VNode }): VNode {
  return (
    <>
      <Header event={null} />
      <main class="page" id="main" tabIndex={-1}>
        {children}
      </main>
    </>
  );
}

/** The map of the event that the address names, or of the newest one. */
function EventMap({ slug }: { slug: string | null }): VNode {
  const [resource, retry] = useResource("events", listEvents);
  if (resource.state === "loading") return <Plain>{<Loading what="map" />}</Plain>;
  if (resource.state === "failed") {
    return <Plain>{<Failed what="event" error={resource.error} onRetry={retry} />}</Plain>;
  }
  const events = resource.value;
  const event = slug === null ? pickEvent(events) : events.find((e) => e.slug === slug);
  if (event === null || event === undefined) return <NoEvent named={slug !== null} />;
  return (
    <Titled title={event.title}>
      <Later
        load={loadMap}
        what="map"
        props={{ key: event.slug, slug: event.slug, title: event.title }}
      />
    </Titled>
  );
}

function NoEvent({ named }: { named: boolean }): VNode {
  return (
    <Plain>
      <Notice title={named ? "There is no such event" : "No event is on yet"}>
        <p>
          {named
            ? "The address may be mistyped, or the event was removed."
            : "As soon as an organiser opens one, its map appears here."}
        </p>
        {named && (
          <p>
            <a class="button" href="/">
              To the map
            </a>
          </p>
        )}
      </Notice>
    </Plain>
  );
}

function Titled({ title, children }: { title: string; children: VNode }): VNode {
  useEffect(() => {
    document.title = `${title} · Portcall`;
  }, [title]);
  return children;
}

function View({ route }: { route: Route }): VNode {
  switch (route.view) {
    case "home":
      return <EventMap slug={null} />;
    case "event":
      return <EventMap slug={route.slug} />;
    case "submit":
      return <Later load={loadSubmit} what="form" props={{ slug: route.slug }} />;
    case "board":
      return <Later load={loadBoard} what="board" props={{ slug: route.slug }} />;
    case "submission":
      return <Later load={loadStatus} what="submission" props={{ id: route.id }} />;
    case "console":
      return <Later load={loadConsole} what="console" props={{ route }} />;
    case "missing":
      return (
        <Titled title="Not found">
          <Plain>
            <Notice title="There is no such page">
              <p>
                <a class="button" href="/">
                  To the map
                </a>
              </p>
            </Notice>
          </Plain>
        </Titled>
      );
  }
}

/** What stays while the address changes: the console keeps its frame between its sections. */
function keyOf(route: Route, path: string): string {
  if (route.view === "console") return "/console";
  return route.view === "home" ? "/" : path;
}

function App(): VNode {
  const path = usePath();
  const route = parsePath(path);
  const [first] = useState(path);
  // Whoever reads by ear or by keys starts at the top of the new view.
  useEffect(() => {
    if (path === first) return;
    moved = true;
    focusMain();
  }, [path, first]);
  return (
    <>
      <a class="skip" href="#main">
        To the content
      </a>
      <View key={keyOf(route, path)} route={route} />
    </>
  );
}

const root = document.getElementById("app");
if (root !== null) {
  document.addEventListener("click", followLinks);
  render(<App />, root);
}
