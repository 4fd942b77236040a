// The organiser's console: who one is, which event, and the section of it that the address names.
import "../styles/evidence.css";
import "../styles/status.css";
import "../styles/submit.css";
import "../styles/console.css";
import "../styles/console-overview.css";
import "../styles/console-lists.css";
import "../styles/console-rules.css";
import type { VNode } from "preact";
import { useMemo } from "preact/hooks";
import { Admin } from "../api/admin";
import { Header } from "../parts/Header";
import { Loading } from "../parts/Notice";
import type { Route } from "../router";
import { Audit } from "./Audit";
import { ChooseEvent } from "./ChooseEvent";
import { Frame } from "./Frame";
import { Overview } from "./overview/Overview";
import { RegradeView } from "./regrades/Regrade";
import { Regrades } from "./regrades/Regrades";
import { Rules } from "./rules/Rules";
import { SignIn } from "./SignIn";
import { type Organiser, OrganiserContext, signOut, useSession } from "./session";
import { Submission } from "./submission/Submission";
import { Search } from "./submissions/Search";
import { SuspectView } from "./suspects/Suspect";
import { Suspects } from "./suspects/Suspects";
import { Trouble } from "./Trouble";
import { usePolled } from "./usePolled";
import { Webhooks } from "./webhooks/Webhooks";

export type ConsoleRoute = Extract<Route, { view: "console" }>;

/** A token can be taken back while it is used; the console asks now and then. */
const ME_MS = 60_000;
const REFUSED =
  "This token is not good any more: it was revoked, or it has expired. Sign in with another one.";

export function ConsoleView({ route }: { route: ConsoleRoute }): VNode {
  const { token, ended } = useSession();
  if (token === null) return <SignIn ended={ended} />;
  return <SignedIn key={token} token={token} route={route} />;
}

function SignedIn({ token, route }: { token: string; route: ConsoleRoute }): VNode {
  const admin = useMemo(() => new Admin(token, () => signOut(REFUSED)), [token]);
  const { value: me, error, refresh } = usePolled("me", (signal) => admin.me(signal), ME_MS);
  const organiser = useMemo<Organiser | null>(() => me && { admin, me }, [admin, me]);
  if (organiser === null) {
    return (
      <>
        <Header event={null}>
          <button type="button" class="button" onClick={() => signOut(null)}>
            Sign out
          </button>
        </Header>
        <main class="page" id="main" tabIndex={-1}>
          <h1 class="unseen">Console</h1>
          {error === null ? (
            <Loading what="console" />
          ) : (
            <Trouble what="token" error={error} onRetry={refresh} />
          )}
        </main>
      </>
    );
  }
  return (
    <OrganiserContext.Provider value={organiser}>
      {route.slug === null ? (
        <ChooseEvent />
      ) : (
        <Frame slug={route.slug} section={route.section}>
          <Section key={`${route.slug}/${route.section}/${route.id ?? ""}`} {...route} />
        </Frame>
      )}
    </OrganiserContext.Provider>
  );
}

function Section({ slug, section, id }: ConsoleRoute): VNode | null {
  if (slug === null) return null;
  switch (section) {
    case "overview":
      return <Overview slug={slug} />;
    case "submissions":
      return id === null ? <Search slug={slug} /> : <Submission slug={slug} id={id} />;
    case "regrades":
      return id === null ? <Regrades slug={slug} /> : <RegradeView slug={slug} id={id} />;
    case "rules":
      return <Rules slug={slug} />;
    case "suspects":
      return id === null ? <Suspects slug={slug} /> : <SuspectView slug={slug} digest={id} />;
    case "audit":
      return <Audit slug={slug} />;
    case "webhooks":
      return <Webhooks slug={slug} />;
  }
}
