// Finding submissions: the search stands in the address, so that it can be shared and gone back to.
import type { VNode } from "preact";
import { useState } from "preact/hooks";
import type { Found } from "../../api/admin";
import { errorsByField, ProblemError } from "../../api/problem";
import { setSearch, useSearch } from "../../router";
import { useKept } from "../kept";
import { Newer, Paging } from "../Paging";
import { Shown } from "../Panel";
import { useOrganiser } from "../session";
import { NotDone } from "../Trouble";
import { type Polled, usePolled } from "../usePolled";
import { Exports } from "./Export";
import { FilterBar } from "./FilterBar";
import { filtersOf, isFiltered, NO_FILTERS, regradeQuery, searchOf } from "./query";
import { Results } from "./Results";
import { Selection } from "./Selection";

const EVERY_MS = 5_000;

export function Search({ slug }: { slug: string }): VNode {
  const { admin } = useOrganiser();
  const search = useSearch();
  const filters = filtersOf(search);
  const after = new URLSearchParams(search).get("after");
  const polled = usePolled(
    search,
    (signal) => admin.search(slug, { ...filters, after }, signal),
    EVERY_MS,
  );
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const invalid = refusedSearch(polled.error);
  const alike = regradeQuery(filters);
  return (
    <div class="stack">
      <div class="section-head">
        <h1>Submissions</h1>
        <Exports slug={slug} />
      </div>
      <FilterBar
        slug={slug}
        filters={filters}
        problem={invalid}
        onFilters={(next, how) => setSearch(searchOf(next), how)}
      />
      {invalid !== null ? (
        <Unread error={invalid} />
      ) : (
        <Shown polled={polled} what="submissions">
          {() => (
            <div aria-busy={polled.busy}>
              <List
                slug={slug}
                search={search}
                after={after}
                polled={polled}
                chosen={chosen}
                onChosen={setChosen}
                filtered={isFiltered(filters)}
              />
            </div>
          )}
        </Shown>
      )}
      {alike !== null && (
        <p>
          <a class="button" href={`/console/${slug}/regrades${alike}`} data-testid="regrade-alike">
            Re-grade all that ended like this …
          </a>
        </p>
      )}
      <Selection slug={slug} chosen={chosen} onClear={() => setChosen(new Set())} />
    </div>
  );
}

/** What no field of the form stands for, such as a place in the list, is said here. */
function Unread({ error }: { error: ProblemError }): VNode {
  const placed = errorsByField(error.problem.errors, Object.keys(NO_FILTERS));
  if (placed.size === 0) return <NotDone error={error} />;
  return <p class="empty">Nothing can be found before the search is mended.</p>;
}

/** A search that the API cannot read: the form says so, and there is nothing to show below it. */
function refusedSearch(error: Error | null): ProblemError | null {
  const refused = error instanceof ProblemError && [400, 422].includes(error.problem.status);
  return refused ? error : null;
}

interface ListProps {
  slug: string;
  search: string;
  after: string | null;
  polled: Polled<{ items: Found[]; next: string | null }>;
  chosen: ReadonlySet<string>;
  onChosen: (chosen: ReadonlySet<string>) => void;
  filtered: boolean;
}

function List({ slug, search, after, polled, chosen, onChosen, filtered }: ListProps): VNode {
  const kept = useKept(search, polled.value, !polled.busy);
  if (kept.rows.length === 0) {
    return (
      <div class="empty" data-testid="console-results">
        <p>{filtered ? "Nothing was found." : "Nothing was submitted yet."}</p>
        {filtered && (
          <button
            type="button"
            class="button"
            onClick={() => setSearch(searchOf(NO_FILTERS), "push")}
          >
            Show all
          </button>
        )}
      </div>
    );
  }
  return (
    <>
      <Newer count={kept.newer} what="submission" onShow={kept.showAll} />
      <Results slug={slug} rows={kept.rows} chosen={chosen} onChosen={onChosen} />
      <Paging name="after" here={after} next={polled.value?.next ?? null} />
    </>
  );
}
