// Every version that the rules had, and one of them to look at or to go back to.
import type { VNode } from "preact";
import { Time } from "../../parts/time";
import { Panel, Shown } from "../Panel";
import { useOrganiser } from "../session";
import { usePolled } from "../usePolled";
import { Editor } from "./Editor";

interface VersionsProps {
  slug: string;
  current: number | null;
  shown: number | null;
}

export function Versions({ slug, current, shown }: VersionsProps): VNode {
  const { admin } = useOrganiser();
  // Asked again as soon as another version holds.
  const polled = usePolled(
    `${slug} ${current ?? ""}`,
    (signal) => admin.versions(slug, signal),
    null,
  );
  const here = shown ?? current;
  return (
    <Panel title="Versions" id="versions">
      <Shown polled={polled} what="versions">
        {({ items }) => (
          <ol class="versions" data-testid="rules-versions">
            {items.map(({ version, applied_at, title }) => (
              <li key={version}>
                <a
                  href={`/console/${slug}/rules${version === current ? "" : `?version=${version}`}`}
                  aria-current={version === here ? "true" : undefined}
                >
                  <strong>Version {version}</strong>
                  {version === current && <span class="mark mark-passed">holds now</span>}
                  <span class="quiet" dir="auto">
                    {title}
                  </span>
                  <span class="quiet">
                    <Time at={applied_at} />
                  </span>
                </a>
              </li>
            ))}
          </ol>
        )}
      </Shown>
    </Panel>
  );
}

interface EarlierProps {
  slug: string;
  version: number;
  onTake: (text: string) => void;
}

export function Earlier({ slug, version, onTake }: EarlierProps): VNode {
  const { admin } = useOrganiser();
  const polled = usePolled(String(version), (signal) => admin.rules(slug, version, signal), null);
  return (
    <div class="rules-editor">
      <Shown polled={polled} what="version">
        {(rules) => (
          <>
            <p class="strip" role="status">
              Version {version}, applied <Time at={rules.applied_at} kind="clock" />. It does not
              hold any more.
            </p>
            <Editor
              label={`The event's file, version ${version}`}
              testid="rules-earlier"
              text={rules.source}
              mistakes={[]}
            />
            <div class="rules-buttons">
              <a class="button" href={`/console/${slug}/rules`}>
                Back to the current one
              </a>
              <button
                type="button"
                class="button"
                data-testid="rules-take"
                onClick={() => onTake(rules.source)}
              >
                Edit from this version
              </button>
            </div>
          </>
        )}
      </Shown>
    </div>
  );
}
