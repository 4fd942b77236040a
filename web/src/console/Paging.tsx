// The ways through a long list: what came meanwhile, further back, and to its beginning.
import type { VNode } from "preact";
import { useSearch } from "../router";
import { counted } from "./words";

/** The query with another place in the list; every other choice in it stays. */
export function placed(search: string, name: string, place: string | null): string {
  const query = new URLSearchParams(search);
  if (place === null) query.delete(name);
  else query.set(name, place);
  const text = query.toString();
  return text === "" ? "" : `?${text}`;
}

interface PagingProps {
  /** The parameter of the cursor. */
  name: string;
  /** Where one is; null at the beginning. */
  here: string | null;
  next: string | null;
  words?: readonly [back: string, on: string];
}

const WORDS = ["Newest", "Older"] as const;

export function Paging({ name, here, next, words = WORDS }: PagingProps): VNode | null {
  const search = useSearch();
  if (here === null && next === null) return null;
  return (
    <nav class="paging" aria-label="Pages">
      {here !== null && (
        <a class="button" href={location.pathname + placed(search, name, null)}>
          {words[0]}
        </a>
      )}
      {next !== null && (
        <a
          class="button"
          data-testid="page-older"
          href={location.pathname + placed(search, name, next)}
        >
          {words[1]}
        </a>
      )}
    </nav>
  );
}

interface NewerProps {
  count: number;
  what: string;
  onShow: () => void;
}

/** Always there, so that its coming moves nothing else that a finger is on its way to. */
export function Newer({ count, what, onShow }: NewerProps): VNode {
  return (
    <div class="newer" role="status">
      <span>The newest first.</span>
      {count > 0 && (
        <button type="button" class="button small" data-testid="show-newer" onClick={onShow}>
          Show {counted(count, `new ${what}`)}
        </button>
      )}
    </div>
  );
}
